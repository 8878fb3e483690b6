#!/bin/sh
# moe-cat: looking, JSON and back, checking, filtering, joining, compressed and archived inputs.
. "$(dirname "$0")/lib.sh"

cat >in.jsonl <<'END'
{"t":"header","argv":["moe-x","-a"],"kind":"rollouts","labels":"none","seed":7,"tool":"moe-x","v":[1,0],"unknown":{"kept":true}}
{"t":"rollout","id":"a#0.0","arm":"on","step":0,"reward":1.0,"route":{"decision":"keep"},"f":{"$float":"NaN"},"seal":{"$bin":"gQH/"},"ids":{"data":{"$bin":"AQAAAAIAAAA="},"dtype":"I32","shape":[2]}}
{"t":"rollout","id":"a#0.1","arm":"off","step":0,"reward":0.25,"route":{"decision":"route"},"text":"hostile \u001b[31m \\ é","raw":{"$str":"gA=="}}
{"t":"step","step":0,"n":2}
{"t":"rollout","id":"b#1.0","arm":"on","step":1,"reward":-3,"big":18446744073709551615}
{"t":"end","from":[],"labels":"synthetic","n":4,"sha256":"","note":"kept too"}
END
ok "JSON Lines become a stream" moe-cat --from-json in.jsonl -o a.moes
ok "the stream is whole" moe-cat --check a.moes
contains "and counts its records" out '^a\.moes: ok: rollouts, 1 segment, 4 records, .* labels synthetic, sha256 [0-9a-f]{64}$'
moe-cat --json a.moes >a.jsonl
moe-cat --from-json <a.jsonl >b.moes
same "--json and --from-json are inverses" a.moes b.moes
contains "unknown header keys stay" a.jsonl '^\{"t":"header".*"unknown":\{"kept":true\}'
contains "unknown end keys stay" a.jsonl '"note":"kept too"'
contains "what JSON lacks has its form" a.jsonl '"f":\{"\$float":"NaN"\}.*"seal":\{"\$bin":"gQH/"\}'
contains "texts that are no UTF-8 too" a.jsonl '"raw":\{"\$str":"gA=="\}'
contains "an integer stays an integer, a float a float" a.jsonl '"big":18446744073709551615.*"reward":-3[,}]'
contains "a float stays a float" a.jsonl '"reward":1\.0'
moe-cat --json --values a.moes >values.jsonl
contains "--values shows numbers" values.jsonl '"ids":\[1,2\]'

ok "a summary" moe-cat a.moes
contains "says the kind and the command" out 'rollouts  by: moe-x -a'
contains "counts the types" out '^  rollout  3'
contains "has ranges" out 'reward .* -3 / -0\.583333 / 1$'
contains "has tensors" out 'ids +I32\[2\] .* 1 / 1\.5 / 2$'
contains "has distinct texts" out '"on" 2, "off" 1'
ok "the first records" moe-cat --head -n 2 a.moes
contains "hostile text is escaped" out 'hostile \\x1b\[31m'
lacks "and never written raw" out "$(printf '\033')"

one=$(printf '%064d' 1) two=$(printf '%064d' 2)
printf '{"id":"1","a":"%s","b":"%s"}\n{"id":"2","a":"%s","b":"%s"}\n' "$one" "$one" "$one" "$two" | moe-cat --from-json -k prompts | moe-cat >wide.txt
contains "a digest is shown" wide.txt "^    a +str +\"$one\" 2\$"
contains "several are not" wide.txt '^    b +str +length 64 / 64 / 64$'
# long keys that are not ASCII are cut between characters
long=$(printf '\303\251%.0s' $(seq 1 70))
printf '{"id":"1","a%s":{"b":1,"%s":{"c":2}},"%s":1}\n' "$long" "$long" "$long" | moe-cat --from-json -k prompts -o wide.moes
for how in '' --head; do
	# shellcheck disable=SC2086
	ok "moe-cat $how of long keys" moe-cat $how wide.moes
	cp out wide.txt
	ok "is UTF-8" iconv -f UTF-8 -t UTF-8 wide.txt
done
printf '{"id":"1","\303\251\303\251":5,"ee":5}\n' | moe-cat --from-json -k prompts | moe-cat >wide.txt
equal "and columns are of characters" "$(sed -n 's/^\(.*\)int .*/\1/p' wide.txt | while IFS= read -r l; do printf %s "$l" | wc -m; done | sort -u | wc -l | tr -d ' ')" 1
awk 'BEGIN { for (i = 0; i < 70; i++) printf "{\"t\":\"type%d\",\"a\":1}\n", i }' | moe-cat --from-json -k x -o types.moes
ok "a summary of 70 types" moe-cat types.moes
contains "shows 64" out '^  type63  1$'
contains "and says how many more there are" out '^  \.\.\. and 6 more types$'

moe-cat -s a.moes b.moes >two.moes
cat a.moes b.moes >cat.moes
same "joining whole streams is cat" two.moes cat.moes
ok "two segments" moe-cat --check two.moes
contains "are counted" out '2 segments, 8 records'
moe-cat -s -w arm=on -w 'reward>0' a.moes >on.moes
equal "filters" "$(moe-cat --json on.moes | jq -r 'select(.t=="rollout").id')" 'a#0.0'
equal "filters reach into maps" "$(moe-cat --json -w route.decision=route a.moes | jq -r 'select(.t=="rollout").id')" 'a#0.1'
equal "and negate" "$(moe-cat --json -w arm!=on a.moes | jq -r 'select(.t=="rollout").id')" 'a#0.1'
equal "the limit" "$(moe-cat --json -n 1 a.moes | wc -l | tr -d ' ')" 3
# numbers are compared exactly, whatever their size
for n in 9007199254740992 9007199254740993 -9223372036854775808 18446744073709551615 1000 2.5 -0.0 9007199254740992.0 1e30 '"1e30"' '{"$float":"NaN"}'; do
	printf '{"id":"1","n":%s}\n' "$n"
done | moe-cat --from-json -k prompts -o n.moes
matching() { moe-cat --json "$@" n.moes | sed -n '/"t":"prompt"/s/.*"n":\(.*\)}$/\1/p' | tr '\n' ' '; }
equal "n=9007199254740993" "$(matching -w n=9007199254740993)" "9007199254740993 "
equal "n=9007199254740992, an integer or a float" "$(matching -w n=9007199254740992)" "9007199254740992 9007199254740992.0 "
equal "n>9007199254740992.0" "$(matching -w 'n>9007199254740992.0' -w 'n<1e19')" "9007199254740993 "
equal "n=1e3 is the integer 1000" "$(matching -w n=1e3)" "1000 "
equal "n<=-9223372036854775808" "$(matching -w 'n<=-9223372036854775808')" "-9223372036854775808 "
equal "n<18446744073709551616 is all but 1e30" "$(matching -w 'n>=18446744073709551615' -w 'n<18446744073709551616')" "18446744073709551615 "
equal "n=18446744073709551616 is none" "$(matching -w n=18446744073709551616)" ""
equal "n=-0 is 0" "$(matching -w n=-0)" "-0.0 "
equal "n>2 and n<3" "$(matching -w 'n>2' -w 'n<3')" "2.5 "
equal "n=1e30, a float or a text" "$(matching -w n=1e30)" "1e+30 \"1e30\" "
long=$(printf '%0200d' 1)
printf '{"id":"1","%s":{"%s":5}}\n{"id":"2"}\n' "$long" "$long" | moe-cat --from-json -k prompts -o long.moes
equal "long keys" "$(moe-cat --json -w "$long.$long>=5" long.moes | jq -r 'select(.t=="prompt").id')" 1
fails 2 "a condition without a comparison" moe-cat -w "$long" long.moes
contains "is said to be that" err 'expected KEY=VALUE'
moe-cat --json -n 2 cat.moes >limited.jsonl
equal "it is one of records: every segment is there" "$(jq -r .t limited.jsonl | tr '\n' ' ')" "header rollout rollout end header end "
equal "and names its source, though its records were left out" "$(jq -c 'select(.t=="end").from' limited.jsonl)" \
	"$(jq -c 'select(.t=="end")|[.sha256]' a.jsonl a.jsonl)"
equal "with the label taint that only the end has" "$(jq -r 'select(.t=="end").labels' limited.jsonl | tr '\n' ' ')" "synthetic synthetic "
moe-cat -s -n 4 a.moes >limited.moes
equal "also when as many records were wanted as there are" "$(moe-cat --json limited.moes | jq -c 'select(.t=="end")|[.labels,.from]')" \
	"$(jq -c 'select(.t=="end")|[.labels,[.sha256]]' a.jsonl)"
equal "the limit may be 0" "$(moe-cat --json -n 0 a.moes | jq -r .t | tr '\n' ' ')" "header end "
head -c $(($(wc -c <a.moes) - 1)) a.moes >late.moes
fails 3 "damage behind the limit is found" moe-cat -s -n 1 -o no.moes late.moes
echo '{"id":"1","text":"x"}' | moe-cat --from-json -k pairs -o pairs.moes
equal "only one kind" "$(cat a.moes pairs.moes a.moes | moe-cat --json -k pairs | jq -r 'select(.t=="header").kind')" pairs
ok "one record" moe-cat --check pairs.moes
contains "is in the singular" out ': pairs, 1 segment, 1 record, '
moe-cat pairs.moes >one.txt
contains "in a summary too" one.txt '^    1 record, complete'
ok "which one of several files may have" moe-cat -k pairs a.moes pairs.moes
printf old >keep
for how in '' --head --json '--stream -o keep' '--numpy -o keep'; do
	# shellcheck disable=SC2086
	fails 1 "moe-cat $how of a kind that is not there" moe-cat $how -k pears a.moes pairs.moes a.moes
	equal "names those that are" "$(cat err)" "moe-cat: nothing here is of kind pears: there is rollouts, pairs"
done
equal "and replaces no file" "$(cat keep)" old
ok "a stream of an unknown kind can be made" sh -c 'echo "{\"id\":1}" | moe-cat --from-json -k prmpts -o prmpts.moes'
equal "with a warning" "$(head -n 1 err)" \
	"moe-cat: warning: no program reads streams of kind prmpts: the kinds are texts, prompts, pairs, rollouts, adapter, metrics, scores, routes, tensors"
contains "another says that a text without its header line knows nothing of labels" err 'no header line, so whether sealed labels have touched'
contains "the stream neither" "$(moe-cat --check prmpts.moes >check.out; echo check.out)" 'labels unknown'
lacks "a text with its header line does know" "$(moe-cat --json a.moes | moe-cat --from-json -o again.moes 2>err; echo err)" 'no header line'
ok "looked at" moe-cat -k prmpts prmpts.moes
moe-cat -s prmpts.moes >copy.moes
same "and passed on" copy.moes prmpts.moes
for k in texts prompts pairs rollouts adapter metrics scores routes tensors; do
	contains "records.md has $k" "$TOP/formats/records.md" "^## $k( |\$)"
	contains "moe-stream(5) has $k" "$TOP/man/moe-stream.5" "^\.It Cm $k\$"
done
equal "and no others" "$(grep -c '^## ' "$TOP/formats/records.md") $(sed -n '/^\.Ss Kinds/,/^\.El/p' "$TOP/man/moe-stream.5" | grep -c '^\.It Cm')" "9 9"
ok "lineage is whole" moe-cat --check --lineage a.moes on.moes
contains "and printed" out '^on\.moes <- a\.moes '
fails 1 "lineage with a missing parent" moe-cat --check --lineage on.moes
# inputs that are no streams
cp "$TOP/examples/quarantine/env.lua" env.lua
moe-prompts -e env.lua -n 3 -o p.moes
ok "lineage that ends in a file that is no stream" moe-cat --check --lineage p.moes env.lua
contains "says what it is counted by" out "^env\.lua: not a stream, counted by its SHA-256: [0-9]+ bytes, sha256 $(sha256sum <env.lua | cut -c1-64)$"
contains "and who names it" out '^p\.moes <- env\.lua '
tar -czf env.tgz env.lua p.moes
ok "or in a member of an archive" moe-cat --check --lineage env.tgz
ok "also from a pipe" sh -c 'cat env.lua | moe-cat --check --lineage p.moes -'
fails 1 "without it the lineage is not whole" moe-cat --check --lineage p.moes
fails 3 "a file that is no stream and that none names" moe-cat --check --lineage p.moes env.lua in.jsonl
contains "is said" err '^moe-cat: in\.jsonl: not a moe stream, and no stream names it as an input'
fails 3 "without --lineage it is an error" moe-cat --check env.lua
for bad in '[1,"0000000000000000000000000000000000000000000000000000000000000000"]' '"x"' '[null]' '["0000000000000000000000000000000000000000000000000000000000000000",5]' \
	'["00000000000000000000000000000000000000000000000000000000000000"]' '["AB00000000000000000000000000000000000000000000000000000000000000"]' '{}'; do
	sed "s/\"from\":\[\]/\"from\":$bad/" a.jsonl >from.jsonl
	fails 3 "an end whose from is $bad" moe-cat --from-json -o from.moes from.jsonl
	contains "is refused" err '"from"'
done
# members that are no streams are left out, but damage in them is found
cp a.moes m1.moes
head -c 70000 /dev/urandom >m2.bin
tar -cf two.tar m1.moes m2.bin
moe-cat --check two.tar >out 2>err
contains "what was left out is told" out '1 member left out: no stream'
gzip -k m2.bin
printf 'xxxx' | dd of=m2.bin.gz bs=1 seek=60000 conv=notrunc 2>/dev/null
tar -cf damaged.tar m1.moes m2.bin.gz
fails 3 "damage in a member that is no stream" moe-cat --check damaged.tar
fails 3 "also where it is only passed over" moe-cat -s -o x.moes damaged.tar
# tars of all kinds, in pieces
for f in v7 ustar gnu pax; do
	cp a.moes '{a}.moes'
	tar --format=$f -cf kind.tar '{a}.moes' && cat kind.tar >whole.tar
	ok "a tar of kind $f" moe-cat --check whole.tar
	{ head -c 100 whole.tar && sleep 0.1 && tail -c +101 whole.tar; } | moe-cat --check >out 2>err
	equal "in two pieces" $? 0
done
# what is cut in its compression
i=0
while [ $i -lt 12000 ]; do
	i=$((i + 1))
	echo "{\"t\":\"x\",\"n\":$i,\"s\":\"$((i * 7919 % 3001))\"}"
done | moe-cat --from-json -k things -o long.moes
gzip -k long.moes && zstd -q -k long.moes && tar -cf long.tar long.moes
for f in long.moes.gz long.moes.zst long.tar; do
	head -c $(($(wc -c <$f) * 9 / 10)) $f >cut.x
	fails 3 "$f, cut" moe-cat -s -o x.moes cut.x
	contains "names the record" err 'record [0-9]+'
	ok "is taken up to there if allowed" moe-cat -s --allow-truncated -o x.moes cut.x
	n=$(moe-cat --json x.moes | grep -c '"t":"x"')
	[ "$n" -gt 1000 ] && [ "$n" -lt 12000 ]
	equal "with what was whole" $? 0
done
# the chunks of a tensor count as one record, and go together
for at in 0 4; do printf '{"t":"tensor","name":"x","dtype":"F32","shape":[2],"offset":%s,"data":{"$bin":"YWJjZA=="}}\n' $at; done >chunks.jsonl
echo '{"t":"tensor","name":"y","dtype":"F32","shape":[1],"offset":0,"data":{"$bin":"YWJjZA=="}}' >>chunks.jsonl
moe-cat --from-json -k tensors chunks.jsonl -o chunks.moes
moe-cat -s -n 1 chunks.moes -o c1.moes
ok "a limit does not cut a tensor" moe-cat --check c1.moes
equal "whose chunks count as one" "$(moe-cat --json c1.moes | grep -c '"name":"x"')" 2
moe-cat -s -w offset=4 chunks.moes -o c1.moes
equal "nor does a condition" "$(moe-cat --json c1.moes | grep -c '"t":"tensor"')" 0
cp a.moes into.moes
fails 2 "an input that is also appended to" sh -c 'exec timeout 10 moe-cat -s a.moes into.moes >>into.moes'
contains "would never end" err 'into.moes: is the output too'
fails 2 "a bad condition" moe-cat -w arm a.moes
fails 2 "an unknown option" moe-cat --nope a.moes
fails 2 "two kinds of work" moe-cat --json --check a.moes

size=$(wc -c <a.moes)
for cut in 0 5 9 60 $((size / 2)) $((size - 1)); do
	head -c "$cut" a.moes >cut.moes
	fails 3 "cut at $cut" moe-cat --check cut.moes
done
contains "says where" err 'cut\.moes: truncated: record 5, byte [0-9]+: the upstream program died before its end record'
ok "a cut stream can be allowed" moe-cat --allow-truncated cut.moes
head -c $((size / 2)) a.moes | moe-cat --json 2>err >part.jsonl
contains "what came before the cut is shown" part.jsonl '"t":"header"'
sed 's/a#0\.1/a#0.2/' a.moes >bad.moes
fails 3 "a changed byte" moe-cat --check bad.moes
contains "is named" err 'SHA-256'
fails 3 "no stream at all" moe-cat --check in.jsonl
contains "a failure is no warning, and JSON is seen" err '^moe-cat: in\.jsonl: byte 0: not a moe stream: .*moe-cat --from-json'
ok "a file of 123 bytes of header, which is {" sh -c 'printf "{\0\0\0\0\0\0\0{%0122d" 0 >x.safetensors'
fails 3 "is no stream" moe-cat x.safetensors
contains "and is seen as safetensors" err 'not a moe stream: .*moe-cat --from-safetensors'
fails 3 "what looks like nothing" moe-cat env.lua
contains "gets no advice" err ': the magic of a segment was expected$'
{ cat a.moes && echo '{}'; } >tail.moes
fails 3 "JSON behind a stream" moe-cat --check tail.moes
contains "neither" err ': the magic of a segment was expected$'
fails 3 "an empty file" moe-cat /dev/null
fails 4 "a missing file" moe-cat missing.moes

gzip -k a.moes
zstd -q a.moes
mkdir d
cp a.moes d/1.moes
cp a.moes.gz d/2.moes.gz
echo "no stream" >d/readme
tar -cf all.tar d/1.moes d/2.moes.gz d/readme
tar -czf all.tar.gz d
for f in a.moes.gz a.moes.zst; do
	moe-cat -s $f >x.moes
	same "$f reads as the plain stream" x.moes a.moes
done
moe-cat -s <all.tar >x.moes
same "members of an archive are joined, other files left out" x.moes two.moes
moe-cat -s <all.tar.gz >x.moes
same "also compressed, from a pipe" x.moes two.moes
head -c 200 a.moes.gz >cut.gz
fails 3 "a cut gzip file" moe-cat --check cut.gz

printf '{"id":"1","text":"x","v":NaN}\n\n{"id":"2","text":"y"}\n' | moe-cat --from-json -k prompts >p.moes
equal "foreign lines, with Python's NaN" "$(moe-cat --json p.moes | jq -c 'select(.t=="prompt")|[.id,.v]')" "$(printf '["1",{"$float":"NaN"}]\n["2",null]')"
printf '{"id":"1"}\n' >plain.jsonl
fails 2 "foreign lines need a kind" moe-cat --from-json plain.jsonl
printf '{"id":1}\n{"id":\n' >broken.jsonl
fails 3 "broken JSON" moe-cat --from-json -k prompts broken.jsonl
contains "is named by line" err 'broken\.jsonl: line 2:'
# what JSON can say and a record can not is refused, not changed
for bad in '18446744073709551616|the integer 18446744073709551616 does not fit' '-9223372036854775809|the integer -9223372036854775809 does not fit' \
	'1e400|the number 1e400 is beyond' '{"a":1,"b":[{"a":2,"a":3}]}|the same key twice in one object: "a"' '{"a\u0000b":1}|the key "a.u0000b" has a NUL in it'; do
	{
		echo '{"id":"1"}'
		printf '%s\n' "{\"id\":\"2\",\"x\":${bad%|*}}"
	} >odd.jsonl
	fails 3 "a value of ${bad%|*}" moe-cat --from-json -k prompts -o no.moes odd.jsonl
	contains "is named" err "odd\.jsonl: line 2: ${bad#*|}"
done
awk 'BEGIN { printf "{\"id\":\"1\",\"x\":{"; for (i = 0; i < 300000; i++) printf "%s\"k%d\":{\"a\":%d}", i ? "," : "", i, i; print "}}" }' >wide.jsonl
ok "300,000 keys" timeout 60 moe-cat --from-json -k prompts -o wide.moes wide.jsonl
sed 's/"k299999":/"k7":/' wide.jsonl >double.jsonl
fails 3 "of which one comes twice" timeout 60 moe-cat --from-json -k prompts -o no.moes double.jsonl
contains "which is named" err 'twice in one object: "k7"'
head -3 a.jsonl >cut.jsonl
fails 3 "a text without its end line" moe-cat --from-json cut.jsonl
# options that would do nothing are refused
for bad in "--lineage a.moes" "--values a.moes" "--check -w id=1 a.moes" "--check -k prompts a.moes" "-n 3 a.moes" "--pack -n 3 -o x a.moes" "--bank clean a.moes" \
	"--safetensors -w id=1 -o x a.moes" "--unpack=d -o x a.moes" "--json --head a.moes" "--from-json --allow-truncated a.moes"; do
	# shellcheck disable=SC2086
	fails 2 "moe-cat $bad" moe-cat $bad
done
# --check goes on after a file that is bad or not there, and exits as the first of them
cp "$TOP/formats/vectors/passed/$(ls "$TOP/formats/vectors/passed" | grep moes | head -1)" good.moes
fails 4 "--check of a file that is not there" moe-cat --check nowhere.moes good.moes
contains "goes on" out '^good.moes: ok'
done_testing
