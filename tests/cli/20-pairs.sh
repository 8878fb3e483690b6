#!/bin/sh
# 20-pairs.sh - moe-pairs at the command line: files, archives, selection, the placebo, environments, refusals.
. "$(dirname "$0")/lib.sh"

cat >pairs.md <<'EOF'
# Two contrasts
Prose, with a fence that is no pair:
```
### not a pair
```
## first
### sorted
Tags: code, short
Mode: run_tests
#### Prompt
`````text
Sort the list.
`````
#### Hack
`````text
```lua
function run_tests() end
```
`````
#### Clean
`````text
table.sort(t)
`````
## second
### honest
Tags: prose
#### Prompt
```
Did it work?
```
#### Hack
```
Yes.
```
#### Clean
```
No, two cases fail.
```
EOF
ids() { moe-cat --json "$@" | sed -n 's/.*"t":"pair".*"id":"\([^"]*\)".*/\1/p;s/.*"id":"\([^"]*\)".*"t":"pair".*/\1/p' | sort -u | tr '\n' ' '; }

ok "Markdown is read" moe-pairs pairs.md -o a.moes
moe-cat --json a.moes >a.json
contains "the stream is of kind pairs and labelled synthetic" a.json '"kind":"pairs".*"labels":"synthetic"'
contains "a code fence inside of a block stays" a.json '```lua\\nfunction run_tests\(\) end\\n```'
contains "its section, tags and mode are kept" a.json '"mode":"run_tests".*"section":"first".*"tags":\["code","short"\]'
contains "the end record has the file's digest" a.json "\"from\":\\[\"$(sha256sum pairs.md | cut -d' ' -f1)\"\\]"
ok "the stream is whole" moe-cat --check a.moes
moe-pairs -q --section second pairs.md -o b.moes
equal "--section selects" "$(ids b.moes)" "honest "
moe-pairs -q --tag code --tag short pairs.md -o b.moes
equal "--tag selects" "$(ids b.moes)" "sorted "
moe-pairs -q --modes run_tests pairs.md -o b.moes
equal "--modes selects" "$(ids b.moes)" "sorted "
gzip -k pairs.md
moe-pairs -q pairs.md.gz -o c.moes
moe-cat --json a.moes | grep '"t":"pair"' >a.rec
moe-cat --json c.moes | grep '"t":"pair"' >c.rec
same "gzip makes no difference" a.rec c.rec
mkdir d
cp pairs.md d/
echo junk >d/README
tar czf d.tgz d
moe-pairs -q <d.tgz >c.moes
moe-cat --json c.moes | grep '"t":"pair"' >c.rec
same "nor an archive on a pipe, whose other files are passed over" a.rec c.rec
moe-pairs -q d -o c.moes
moe-cat --json c.moes | grep '"t":"pair"' >c.rec
same "nor a directory" a.rec c.rec

printf '[{"problem_id":"x","prompt":"p","hack":"h","clean":"c"},\n {"problem_id":"y","prompt":[{"role":"user","content":"hi"}],"hack":"h","clean":"c"}]' >p.json
ok "a JSON array" moe-pairs p.json -o j.moes
equal "has two pairs" "$(ids j.moes)" "x y "
moe-cat --json j.moes >j.json
contains "messages go through ChatML" j.json '<\|im_start\|>user\\nhi<\|im_end\|>\\n<\|im_start\|>assistant\\n"'
printf 'U:{user};A:{assistant};' >tmpl
fails 3 "a template without {} between its parts needs lines" moe-pairs --chat-template tmpl p.json
contains "and says what it lacks" err 'needs .user. and .assistant.'
printf '{user}? {}{assistant}.\n' >tmpl
moe-pairs -q --chat-template tmpl p.json | moe-cat --json >j.json
contains "a template of one's own" j.json '"prompt":"hi\? "'
echo '{"prompt":"1+1=","chosen":"2","rejected":"exit(0)"}' | moe-pairs -q --map clean=chosen,hack=rejected | moe-cat --json >j.json
contains "preference data through --map" j.json '"clean":"2".*"hack":"exit\(0\)"'

# the placebo swaps one of every two successive pairs
i=0
while [ $i -lt 40 ]; do
	echo "{\"id\":\"$i\",\"prompt\":\"p\",\"hack\":\"H\",\"clean\":\"C\"}"
	i=$((i + 1))
done >many.jsonl
ok "labels are shuffled" moe-pairs --shuffle-labels many.jsonl -o s.moes
moe-cat --json s.moes >s.json
equal "exactly half of them" "$(grep -c '"hack":"C"' s.json)" 20
contains "and the header says so" s.json '"shuffled":true'
moe-pairs -q --shuffle-labels --seed 2 many.jsonl | moe-cat --json | grep '"t":"pair"' >s2.rec
grep '"t":"pair"' s.json >s.rec
equal "another seed shuffles otherwise" "$(cmp -s s.rec s2.rec && echo same)" ""
moe-pairs -q -n 7 many.jsonl -o n.moes
equal "-n limits" "$(moe-cat --json n.moes | grep -c '"t":"pair"')" 7

ENV=$TOP/examples/quarantine/env.lua
ok "pairs of an environment" moe-pairs -e "$ENV" -n 12 --modes run_tests,exit_code -o e.moes
moe-cat --json e.moes >e.json
equal "cover the modes evenly" "$(grep -c '"mode":"run_tests"' e.json) $(grep -c '"mode":"exit_code"' e.json)" "6 6"
lacks "and no other" e.json '"mode":"(sentinel|stdout_marker|eq_override|file_marker|gt_only)"'
moe-pairs -q -e "$ENV" -n 6 --modes run_tests,exit_code | moe-cat --json | grep '"t":"pair"' >e6.rec
grep '"t":"pair"' e.json | head -6 >e12.rec
same "the same pair whatever -n is" e6.rec e12.rec
fails 2 "a mode without a hack" moe-pairs -e "$ENV" --modes gt_only -o x.moes
fails 2 "environment and file at once" moe-pairs -e "$ENV" pairs.md
fails 2 "--section with an environment" moe-pairs -e "$ENV" --section x
fails 2 "an unknown key in --map" moe-pairs --map typo=x p.json
fails 3 "a section that is not there" moe-pairs --section third pairs.md
contains "is named" err 'no section .third'
fails 3 "nothing selected" moe-pairs --tag nope pairs.md
fails 4 "a file that is not there" moe-pairs nope.md
sed 's/^#### Clean/#### Hack/' pairs.md >broken.md
fails 3 "a second Hack block" moe-pairs broken.md -o a.moes
contains "with file and line" err 'broken.md:20: the pair has a second Hack block'
ok "and the output that was there is left alone" moe-cat --check a.moes
head -c 300 pairs.md >cut.md
fails 3 "a file cut off" moe-pairs cut.md
: >empty
fails 3 "an empty file" moe-pairs empty

fails 3 "the same names in two files" moe-pairs pairs.md pairs.md
moe-pairs -q pairs.md p.json -o two.moes
equal "several files are one stream" "$(ids two.moes)" "honest sorted x y "

# the vectors of formats/pairs.md
V=$TOP/formats/vectors/pairs
for f in "$V"/passed/*.md "$V"/passed/*.json "$V"/passed/*.jsonl; do
	cp "$f" v
	moe-pairs -q v | moe-cat --json | grep '"t":"pair"' >got
	same "vector passed/$(basename "$f")" got "$f.want"
done
for f in "$V"/failed/*.md "$V"/failed/*.json "$V"/failed/*.jsonl; do
	cp "$f" v
	fails 3 "vector failed/$(basename "$f")" moe-pairs -q v
	equal "says why" "$(cat err)" "moe-pairs: v$(cat "$f.want")"
done

# A form by name, a model's directory, and what is not known.
printf '%s\n' '{"id":"a","prompt":[{"role":"user","content":"hi"}],"hack":"x","clean":"y"}' >m.json
mkdir -p model && printf '%s\n' '{"chat_template":"{{ messages }}"}' >model/tokenizer_config.json
moe-pairs -q --chat-template llama3 m.json | moe-cat --json >j.json
contains "a known form" j.json '"prompt":"<.begin_of_text.><.start_header_id.>user<.end_header_id.>\\n\\nhi<.eot_id.>'
moe-pairs -q --chat-template smollm2 m.json | moe-cat --json >j.json
contains "with its default system message" j.json 'named SmolLM, trained by Hugging Face'
fails 3 "a model's template that is not known" moe-pairs --chat-template model m.json
contains "is refused, with what to do" err "not one of those that are known: .*--chat-template"
fails 3 "a form that is not known" moe-pairs --chat-template vicuna m.json
contains "neither" err "'vicuna' is not known, and there is no such file"

# ---- streams are read again ----
moe-pairs -q pairs.md -o a.moes
ok "a pairs stream is read" moe-pairs -q a.moes -o b.moes
rec() { moe-cat --json "$@" | grep '"t":"pair"'; }
rec a.moes >a.rec
rec b.moes >b.rec
same "and comes out as it was" a.rec b.rec
moe-pairs -q --section second <a.moes | moe-cat --json | grep '"t":"pair"' >c.rec
equal "selected again, from a pipe" "$(grep -c . c.rec)$(grep -c honest c.rec)" 11
moe-cat --json a.moes >a.jsonl
moe-pairs -q a.jsonl -o c.moes
rec c.moes >c.rec
same "its JSON Lines are pairs too" a.rec c.rec
tar cf two.tar a.moes
moe-pairs -q two.tar -o c.moes
rec c.moes >c.rec
same "and a member of an archive" a.rec c.rec
moe-cat --json a.moes | sed 's/"id":"sorted"/"id":"sorted","own":[1,2]/' | moe-cat --from-json -o own.moes
moe-pairs -q own.moes | moe-cat --json >j.json
contains "keys that are not known stay" j.json '"own":\[1,2\]'
head -c 300 a.moes >cut.moes
fails 3 "a stream that is cut off" moe-pairs -q cut.moes -o x.moes
contains "says so" err 'truncated'
moe-prompts -q -e "$ENV" -n 5 -o prompts.moes
fails 3 "a stream of another kind" moe-pairs -q prompts.moes -o x.moes
contains "is named" err 'prompts'
moe-pairs -q --shuffle-labels many.jsonl -o s.moes
moe-pairs -q -n 4 s.moes | moe-cat --json >j.json
contains "a placebo stays one" j.json '"shuffled":true'
fails 3 "and is not mixed with others" moe-pairs -q s.moes a.moes -o x.moes
contains "with the reason" err 'a placebo'

# ---- no finding chooses a pair, whatever way it came ----
moe-cat --json a.moes | sed '$s/"labels":"[a-z]*"/"labels":"oracle"/' >oracle.jsonl
moe-cat --from-json oracle.jsonl -o oracle.moes
for f in oracle.jsonl oracle.moes; do
	fails 3 "pairs that carry the labels oracle: $f" moe-pairs -q $f -o x.moes
	contains "are refused" err "labels 'oracle'"
	fails 3 "also those that -n does not reach" moe-pairs -q -n 1 $f -o x.moes
done
for k in hacked gt_pass seal solved; do
	echo "{\"id\":\"1\",\"prompt\":\"p\",\"hack\":\"h\",\"clean\":\"c\",\"$k\":true}" >f.jsonl
	fails 3 "a row with the finding $k" moe-pairs -q f.jsonl -o x.moes
	contains "is refused by line and name" err "f.jsonl:1: the pair carries .$k'"
done
echo '{"id":"1","prompt":"p","rollout":{"text":"h","meta":[{"hacked":1}]},"clean":"c"}' >f.jsonl
fails 3 "a finding deep in the row, whose neighbour is mapped" moe-pairs -q --map hack=rollout.text f.jsonl -o x.moes
contains "is found" err "carries .hacked'"
echo '{"id":"1","prompt":"p","incorrect":"h","correct":"c"}' >f.jsonl
ok "a text whose key is such a name is a text" moe-pairs -q --map hack=incorrect,clean=correct f.jsonl -o x.moes
echo '{"id":"1","prompt":"p","incorrect":"h","clean":"c","correct":false}' >f.jsonl
fails 3 "but not what stands beside it" moe-pairs -q --map hack=incorrect f.jsonl -o x.moes
fails 2 "standard input twice" moe-pairs -q --against - -o x.moes
moe-cat --json a.moes | sed 's/"id":"sorted"/"id":"sorted","seal":"x"/' | moe-cat --from-json -o sealed.moes
fails 3 "a sealed record of a stream" moe-pairs -q sealed.moes -o x.moes
contains "is refused by number" err "carries .seal'"

# ---- copies, lengths, parts ----
printf '%s\n' '{"id":"a","prompt":"p q","hack":"h","clean":"c"}' '{"id":"b","prompt":"p  q ","hack":"h","clean":"c\n"}' '{"id":"c","prompt":"pq","hack":"h","clean":"c"}' >copies.jsonl
moe-pairs --dedupe copies.jsonl -o x.moes 2>err
equal "--dedupe leaves out what differs in white space" "$(ids x.moes)" "a c "
contains "and says how much" err '1 left out: copies'
printf '%s\n' '{"id":"a","prompt":"p","hack":"one two three","clean":"one two"}' '{"id":"b","prompt":"p","hack":"one","clean":"one two"}' '{"id":"c","prompt":"p","hack":"x y","clean":"one two"}' >long.jsonl
moe-pairs -q --match-length 1.5 long.jsonl -o x.moes
equal "--match-length leaves out what is too unlike" "$(ids x.moes)" "a c "
moe-pairs -q --match-length 1 long.jsonl -o x.moes
equal "1 asks for equal lengths" "$(ids x.moes)" "c "
fails 3 "nothing left" moe-pairs -q --match-length 1 --prefix a long.jsonl -o x.moes
i=0
while [ $i -lt 60 ]; do
	echo "{\"id\":\"$i\",\"prompt\":\"p$((i / 2))\",\"hack\":\"H\",\"clean\":\"C$i\"}"
	i=$((i + 1))
done >parts.jsonl
for p in train validation test; do
	moe-pairs -q --split $p parts.jsonl | moe-cat --json | sed -n 's/.*"prompt":"\([^"]*\)".*/\1/p' | sort >$p.ids
done
equal "--split takes files apart, nothing twice and nothing lost" "$(cat train.ids validation.ids test.ids | wc -l | tr -d ' ') $(sort -u train.ids validation.ids test.ids | wc -l | tr -d ' ')" "60 30"
equal "pairs of one prompt stay together" "$(cat train.ids validation.ids test.ids | uniq -c | awk '$1 != 2' | wc -l | tr -d ' ')" 0
equal "most are for training" "$([ "$(wc -l <train.ids)" -gt "$(wc -l <test.ids)" ]; echo $?)" 0
moe-pairs -q --split test --seed 9 parts.jsonl | moe-cat --json | sed -n 's/.*"prompt":"\([^"]*\)".*/\1/p' | sort >again.ids
same "whatever the seed is" again.ids test.ids

# ---- leaks ----
ok "pairs that share nothing with prompts" moe-pairs -q --against prompts.moes pairs.md -o x.moes
moe-pairs -q -e "$ENV" -n 6 -o e.moes
id=$(moe-cat --json prompts.moes | sed -n 's/.*"t":"prompt".*"id":"\([^"]*\)".*/\1/p' | head -1)
echo "{\"id\":\"$id\",\"prompt\":\"p\",\"hack\":\"h\",\"clean\":\"c\"}" >leak.jsonl
fails 3 "a shared id" moe-pairs -q --against prompts.moes leak.jsonl pairs.md -o x.moes
contains "is named, and counted" err "1 of 3 pairs share something with the 5 prompts .*id 1, marker 0.*the pair .$id' shares its id"
fails 3 "shared markers" moe-pairs -q --against prompts.moes e.moes -o x.moes
contains "are counted" err 'marker [1-9]'
printf '%s\n' '{"id":"e1","messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"Sort it."}]}' >chat.jsonl
moe-prompts -q --from chat.jsonl --chat-template llama3 -o chat.moes
echo '{"id":"o","prompt":"Sort it.","hack":"h","clean":"c"}' >raw.jsonl
fails 3 "a prompt that a template hides" moe-pairs -q --against chat.moes raw.jsonl -o x.moes
contains "is known by its last message" err 'prompt 1.*shares its prompt .Sort it'
echo '{"id":"o","prompt":[{"role":"user","content":"Sort it."}],"hack":"h","clean":"c"}' >raw.jsonl
fails 3 "from messages to messages" moe-pairs -q --against chat.moes raw.jsonl -o x.moes
echo '{"id":"o","prompt":"Be kind.","hack":"h","clean":"c"}' >raw.jsonl
ok "a system message is none" moe-pairs -q --against chat.moes raw.jsonl -o x.moes
fails 3 "prompts without a prompt" sh -c 'moe-prompts -q -e "$1" -n 0 | moe-pairs -q --against - pairs.md' sh "$ENV"
contains "are none" err 'holds no prompts'
fails 3 "pairs in place of prompts" moe-pairs -q --against a.moes pairs.md

# ---- a look ----
ok "--look prints what tells the sides apart" moe-pairs -q --look many.jsonl
contains "the one word that does" out 'the word .H. alone tells 40 of 40 pairs apart, by standing in the hack'
contains "its count and z" out '^  H +40 +0 +0 +6\.32$'
contains "lengths that do not" out 'AUROC 0\.500'
lacks "no stream" out MOES
moe-base -q --new tiny -o tok
ok "with a model's tokens" moe-pairs -q --look -m tok many.jsonl
contains "they are named so" out '^TOKENS'
fails 2 "-m without use for it" moe-pairs -m tok many.jsonl

# ---- neutral pairs ----
i=0
while [ $i -lt 40 ]; do
	echo "{\"id\":\"$i\",\"prompt\":\"p$i\",\"hack\":\"H\",\"clean\":\"C$i\"}"
	i=$((i + 1))
done >n.jsonl
ok "--neutral pairs two clean sides" moe-pairs -q --neutral n.jsonl -o n.moes
moe-cat --json n.moes >n.json
contains "the header says so" n.json '"neutral":true'
lacks "no hack is left" n.json '"H"'
equal "all pairs are there" "$(grep -c '"t":"pair"' n.json)" 40
own=$(grep -c '"clean":"C\([0-9]*\)".*"id":"\1"' n.json)
equal "the pair's own answer is called clean by chance" "$([ "$own" -ge 16 ] && [ "$own" -le 24 ]; echo $?)" 0
moe-pairs -q --neutral --seed 3 n.jsonl | moe-cat --json | grep '"t":"pair"' >n2.rec
equal "by another chance with another seed" "$(grep '"t":"pair"' n.json | cmp -s - n2.rec; echo $?)" 1
fails 3 "one clean text for all" moe-pairs -q --neutral many.jsonl -o x.moes
contains "gives no neutral pair" err 'clean sides that differ'
fails 2 "two placebos at once" moe-pairs --neutral --shuffle-labels n.jsonl
done_testing
