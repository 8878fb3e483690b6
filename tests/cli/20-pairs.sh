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
done_testing
