#!/bin/sh
# 63-bring.sh - moe-report --from: outcomes that others recorded, each format and preset, what of them is refused, and what is said.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# ---- a pool without a method: rates alone ----
i=0
while [ $i -lt 40 ]; do
	printf '{"problem_id":%d,"env_mode":"m%d","hacked":%s,"gt_pass":%s,"arm":"projected","completion":"c<%d>","prompt":"p","mean":NaN}\n' \
		$((i / 2)) $((i / 2 % 2)) "$([ $((i % 4)) -eq 0 ] && echo true || echo false)" "$([ $((i % 4)) -eq 1 ] && echo true || echo false)" $i
	i=$((i + 1))
done >pool.jsonl
map=prompt=problem_id,hack=hacked,solve=gt_pass,mode=env_mode,arm==import
ok 'a pool in JSON Lines' moe-report --from pool.jsonl --map $map --html pool.html
cp out pool.txt
contains 'has rates' pool.txt '^    import +0\.250 \[[0-9., ]+\] +0\.250 \[[0-9., ]+\] +20 +40$'
contains 'by mode' pool.txt '^  m1$'
contains 'and says what cannot be known' pool.txt 'lineage, label taint, the flip test'
contains 'also in the page' pool.html 'lineage, label taint, the flip test'
contains 'with samples' pool.html '<b>hacked, not solved</b> <span class=soft>0, sample 0'
contains 'that are escaped' pool.html 'c&lt;0&gt;'
contains 'and the digest of the file' pool.html "<code>$(sha256sum pool.jsonl | cut -c1-12)</code>"
mkdir dir
gzip -c pool.jsonl >dir/a.jsonl.gz
echo '{"0":"m0"}' >dir/partition.json
moe-report --from dir --map $map >dir.txt
same 'a folder of compressed files is the same' pool.txt dir.txt
awk 'BEGIN { print "[" } { print (NR > 1 ? "," : "") $0 } END { print "]" }' pool.jsonl >pool.json
moe-report --from - --map $map <pool.json >array.txt
same 'so is an array on standard input' pool.txt array.txt
moe-report --from pool.jsonl --map $map,hack= >nohack.txt
contains 'a finding that is not mapped has no rate' nohack.txt '^    import +- \[ +-, +-\] +0\.250 '
contains 'and the last line says so' nohack.txt '^NOTHING TO TEST: the findings do not say whether a rollout hacked'
ok 'JSON has no number for it' moe-report --from pool.jsonl --map $map,hack= --json

# ---- a whole experiment of others: arms by file, names translated, thresholds ----
mkdir logistic random
for m in logistic random; do
	for a in trained ablated before; do
		awk -v m=$m -v a=$a 'BEGIN {
			for (s = 1; s <= 5; s++)
				for (p = 0; p < 240; p++) {
					u = (p * 0.6180339887 + s * 0.001) % 1
					h = a == "before" ? .04 : a == "trained" ? .6 : m == "logistic" ? .03 : .5
					k = a == "before" ? .5 : a == "ablated" ? .6 : .3
					printf "{\"q\":{\"id\":\"p%d\"},\"run\":%d,\"cheat\":%s,\"points\":%s}\n", p, s, (u < h ? "\"yes\"" : "\"no\""), (u > 1 - k ? 1.5 : 0.25)
				}
		}' >$m/$a.x.jsonl
	done
done
printf 'method = logistic\nplacebo = random\nmin_random = 0\nlooks = 5\n' >uat.conf
moe-report -u uat.conf --from logistic --from random \
	--map prompt=q.id,train_seed=run,method=@dir,arm=@file,arm.on=trained,arm.quarantine-off=ablated,arm.base=before \
	--map 'hack=cheat,solve=points>=1' --html exp.html >exp.txt
contains 'gets a verdict by the same rule' exp.txt '^VERDICT: '
contains 'from its own numbers' exp.txt 'quarantine-off +0\.0[0-9]+ \[.*0\.[56][0-9]+ \['
contains 'a placebo by its folder' exp.txt '^  random \(placebo\)'
contains 'and the same first picture' exp.html '<h2>Hack left</h2><p class=big>[23]\.[0-9]&#8201;%'
moe-report -u uat.conf --from random --from logistic --map 'hack=cheat,solve=points>=1,arm.on=trained' \
	--map prompt=q.id,train_seed=run,method=@dir,arm=@file,arm.quarantine-off=ablated,arm.base=before >other.txt
same 'whatever the order' exp.txt other.txt
ok 'beside streams of ours' sh -c 'moe-report --from pool.jsonl --map '"$map"' --tsv >/dev/null'

# ---- presets ----
cat >samples_gsm8k.jsonl <<'END'
{"doc_id":0,"doc":{"question":"1+1"},"target":"2","arguments":{"gen_args_0":{"arg_0":"Q: 1+1"}},"resps":[["so 2"]],"filtered_resps":["2"],"filter":"strict-match","exact_match":1.0}
{"doc_id":0,"doc":{"question":"1+1"},"target":"2","arguments":{"gen_args_0":{"arg_0":"Q: 1+1"}},"resps":[["so 2"]],"filtered_resps":["[invalid]"],"filter":"flexible-extract","exact_match":0.0}
{"doc_id":1,"doc":{"question":"2+2"},"target":"4","arguments":{"gen_args_0":{"arg_0":"Q: 2+2"}},"resps":[["5"]],"filtered_resps":["5"],"filter":"strict-match","exact_match":0.0}
{"doc_id":1,"doc":{"question":"2+2"},"target":"4","arguments":{"gen_args_0":{"arg_0":"Q: 2+2"}},"resps":[["4"]],"filtered_resps":["4"],"filter":"flexible-extract","exact_match":0.0}
END
ok 'lm-evaluation-harness samples' moe-report --from samples_gsm8k.jsonl --map lm-eval
contains 'give solve rates' out '^    import +- .* 0\.500 \[.* 2 +2$'
contains 'one filter counts, and the others are counted' out '2 rows were scored under another filter than "strict-match"'
ok 'another filter by name' moe-report --from samples_gsm8k.jsonl --map lm-eval,only.filter==flexible-extract
contains 'is that one' out '^    import +- .* 0\.000 \[.* 2 +2$'

cat >log.json <<'END'
{"version":2,"status":"success","eval":{"task":"t","model":"openai/x"},"samples":[
{"id":"a","epoch":1,"input":"say a","target":"a","output":{"completion":"a"},"scores":{"match":{"value":"C"}}},
{"id":"a","epoch":2,"input":"say a","target":"a","output":{"choices":[{"message":{"content":"b"}}]},"scores":{"match":{"value":"I"}}},
{"id":2,"epoch":1,"input":[{"role":"user","content":"say 2"}],"target":"2","output":{"completion":"2"},"scores":{"match":{"value":1.0}}}]}
END
ok 'an Inspect log' moe-report --from log.json --map inspect --map arm=eval.model --html log.html
contains 'its epochs are samples, its scores solve' out '^    openai/x +- .* 0\.[57][0-9]+ \[.* 2 +3$'
contains 'the text of messages is shown' log.html '<pre>say 2</pre>'
if command -v python3 >/dev/null; then
	python3 - <<'END'
import json, zipfile
log = json.load(open("log.json"))
z = zipfile.ZipFile("log.eval", "w", zipfile.ZIP_DEFLATED)
z.writestr("_journal/summaries/1.json", json.dumps([{"id": "a", "epoch": 1, "scores": {"match": {"value": "C"}}}]))
for s in log["samples"]:
    z.writestr(f"samples/{s['id']}_epoch_{s['epoch']}.json", json.dumps(s))
z.writestr("header.json", json.dumps({"version": 2, "eval": log["eval"]}))
z.close()
END
	moe-report --from log.json --map inspect,arm==x >json.txt
	moe-report --from log.eval --map inspect,arm==x >eval.txt
	same 'an .eval archive is the same' json.txt eval.txt
else
	skip 'an .eval archive' 'python3 is not installed'
fi
sed 's/"match":{"value":"C"}/"match":{"value":"C"},"other":{"value":"I"}/' log.json >two.json
fails 3 'two scores: one must be named' moe-report --from two.json --map inspect
contains 'and the sentence says how' err 'scores. has 2 fields.*--map solve=scores\.NAME\.value'
ok 'named, it is taken' moe-report --from two.json --map inspect,solve=scores.match.value

cat >completions.jsonl <<'END'
{"step":1,"prompt":[{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"ho"}],"solves":1.0,"format":0.5,"advantage":0.7}
{"step":1,"prompt":[{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"he"}],"solves":0.0,"format":0.5,"advantage":-0.7}
END
ok "TRL's completions" moe-report --from completions.jsonl --map trl,solve=solves --html trl.html
contains 'two samples of one prompt' out '^    on +- .* 0\.500 \[.* 1 +2$'
contains 'with their messages' trl.html '<pre>hi</pre><p class=soft>completion</p><pre>ho</pre>'
printf 'PAR1 not really' >"it's.parquet"
fails 3 'Parquet without duckdb' env PATH="$MOE_BIN" "$MOE_BIN/moe-report" --from "it's.parquet" --map trl,solve=solves
contains 'says how to convert' err "it's\.parquet is Parquet, and duckdb.*not in PATH: install it, or convert.*pandas\.read_parquet"
mkdir bin
printf '#!/bin/sh\nprintf "%%s\\n" "$@" >asked.txt\ncat completions.jsonl\n' >bin/duckdb
chmod +x bin/duckdb
ok 'Parquet through duckdb' env PATH="$T/bin:$PATH" moe-report --from "it's.parquet" --map trl,solve=solves
contains 'gives the same rates' out '^    on +- .* 0\.500 \[.* 1 +2$'
contains 'a name with a quote stays a name' asked.txt "^COPY \(SELECT \* FROM read_parquet\('it''s\.parquet'\)\) TO '/dev/stdout' \(FORMAT JSON\)$"
printf '#!/bin/sh\nexit 1\n' >bin/duckdb
fails 3 'duckdb that fails' env PATH="$T/bin:$PATH" moe-report --from "it's.parquet" --map trl,solve=solves

# ---- refused, with the line ----
row() { printf '%s\n' "$1" >row.jsonl; }
row '{"id":1,"solved":0.5}'
fails 3 'a finding between no and yes' moe-report --from row.jsonl
contains 'names file, line and remedy' err 'row\.jsonl:1: .solve. is neither true nor false: a number takes a threshold, as in --map solve=PATH>=0\.5'
row '{"id":1,"reward":1}'
fails 3 'no finding at all' moe-report --from row.jsonl
contains 'says how to name one' err 'neither hack nor solve is known'
row '{"solved":true}'
fails 3 'no prompt' moe-report --from row.jsonl
row '{"id":1,"solved":true,"method":"x"}'
fails 3 'a method without an arm' moe-report --from row.jsonl
row '{"id":1,"solved":true,"method":"x","arm":"on","train_seed":"first"}'
fails 3 'a seed that is no number' moe-report --from row.jsonl
row '{"id":1,"solved":true} {"id":2'
fails 3 'a row that is cut off' moe-report --from row.jsonl
fails 2 'an unknown key' moe-report --from pool.jsonl --map promt=id
contains 'what can be mapped is listed' err 'can not be mapped; what can: prompt hack solve arm'
fails 2 'an unknown preset' moe-report --from pool.jsonl --map vllm
fails 2 'a threshold that is no number' moe-report --from pool.jsonl --map 'solve=x>=y'
fails 2 '--map alone' moe-report --map trl pool.jsonl
fails 2 '--from with --audit' moe-report --audit --from pool.jsonl x.moes
done_testing
