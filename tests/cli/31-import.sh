#!/bin/sh
# 31-import.sh - prompts and rollouts that others recorded: mapping, presets, partitions, what is sealed, refusals.
. "$(dirname "$0")/lib.sh"

# what a stream holds of one type, without header and end
recs() { moe-cat --json "$2" | grep "\"t\":\"$1\""; }

mkdir pool
cat >pool/a.jsonl <<'EOF'
{"problem_id": 4, "sample_id": 0, "reward": 3.5, "hacked": true, "gt_pass": false, "comp_len": 2, "logp_mean": NaN, "problem_messages": [{"role": "user", "content": "two"}], "prompt": "P4", "prompt_ids": [1, 2], "completion_ids": [7, 8, 0, 0], "completion": "c0"}
{"problem_id": 4, "sample_id": 1, "reward": NaN, "hacked": false, "gt_pass": true, "comp_len": 4, "prompt": "P4", "prompt_ids": [1, 2], "completion_ids": [7, 8, 9, 9], "completion": "c1"}
EOF
echo '{"problem_id": 5, "env_mode": "sentinel", "reward": 0.5, "hacked": false, "gt_pass": NaN, "prompt_ids": [3], "completion_ids": [4], "completion": "c2", "comp_len": 1}' >pool/b.jsonl
echo '{"4": "file_marker", "5": "exit_code"}' >pool/partition.json
gzip pool/b.jsonl

ok "rollouts of a pool, found without any mapping" moe-rollout -q --from pool/a.jsonl -o r.moes
recs rollout r.moes >r.json
equal "one for each row" "$(wc -l <r.json)" 2
contains "with an id of prompt, step and sample" r.json '"id":"4#0.1"'
contains "padding is cut off" r.json '"completion_ids":.*"shape":\[2\]'
equal "NaN is a missing reward" "$(grep -c '"reward":' r.json)" 1
lacks "no finding is visible" r.json 'hacked|gt_pass|solved'
equal "all of them are sealed" "$(grep -c '"seal":' r.json)" 2
moe-cat --json r.moes >r.all
contains "nothing opened a seal: labels none" r.all '"t":"end".*"labels":"none"|"labels":"none".*"t":"end"'
ok "the stream is whole" moe-cat --check r.moes
equal "and ends its step" "$(recs step r.moes)" '{"t":"step","n":2,"step":0}'

moe-rollout -q --from pool -o d.moes --map mode==
equal "a directory gives all its files" "$(recs rollout d.moes | wc -l)" 3
moe-rollout -q --from pool --map mode=env_mode -o d.moes
recs rollout d.moes >d.json
equal "partition.json names modes after the rows it precedes in name order" "$(grep -c '"mode":"file_marker"' d.json)" 0
moe-rollout -q --from pool --partition pool/partition.json -o d.moes
recs rollout d.moes >d.json
equal "--partition names the modes of rows that have none" "$(grep -c '"mode":"file_marker"' d.json) $(grep -c '"mode":"sentinel"' d.json)" "2 1"
tar czf pool.tgz pool
moe-rollout -q --from - --partition pool/partition.json <pool.tgz -o t.moes
recs rollout t.moes | sed 's/"group":[0-9]*,//' | sort >t.json
sed 's/"group":[0-9]*,//' d.json | sort >d.sorted
same "an archive on a pipe gives the same" t.json d.sorted
moe-rollout -q --from pool/a.jsonl --map teacher_pool,arm==old,seal.note=sample_id,rewards.r=reward -o m.moes
recs rollout m.moes >m.json
contains "a preset with entries beside it" m.json '"arm":"old".*"mode":"run_tests"'
contains "rewards by part" m.json '"rewards":\{"r":3.5\}'
for p in moe-rollout moe-prompts moe-pairs; do
	how=$([ $p = moe-pairs ] || echo --from)
	fails 4 "$p: no such file" $p $how no.jsonl
	equal "$p: is missed before a header is written" "$(wc -c <out | tr -d ' ')" 0
	contains "$p: and named" err "^$p: no\.jsonl: can not be opened: No such file"
done
for p in moe-rollout moe-prompts; do
	fails 2 "$p: no such preset" $p --from pool/a.jsonl --map nothing
	known=$(sed -n 's/.*nor a preset (\(.*\)).*/\1/p' err)
	equal "$p: its help lists those it knows" "$($p --print-options=tsv | grep -c "preset: $known;")" 1
	for name in $(echo "$known" | tr -d ,); do
		$p -q --from pool/a.jsonl --map $name -o m.moes 2>err
		lacks "$p: knows $name" err 'nor a preset'
		contains "$p: import.md has it" "$TOP/formats/import.md" "^\| $name \| .*${p#moe-}"
	done
done
moe-rollout -q --from pool/a.jsonl --from pool/b.jsonl.gz --per-step 1 -o s.moes
equal "--per-step makes steps" "$(moe-cat --json s.moes | sed -n 's/.*"t":"\(rollout\|step\)".*/\1/p' | tr '\n' ' ')" "rollout rollout step rollout step "
moe-rollout -q --from pool/a.jsonl --map step=sample_id -o s.moes
equal "a mapped step wins" "$(recs step s.moes | tr -d '\n')" '{"t":"step","n":1,"step":0}{"t":"step","n":1,"step":1}'

ok "prompts of a pool" moe-prompts -q --from pool/a.jsonl -o p.moes
recs prompt p.moes >p.json
equal "each once" "$(wc -l <p.json)" 1
lacks "without what belongs to completions or oracles" p.json 'completion|hacked|gt_pass|reward'
echo '[{"id":1,"question":[{"role":"user","content":"2+2="}],"answer":"4"},{"id":2,"question":"3+3=","answer":"6","mode":"m"}]' >q.json
moe-prompts -q --from q.json --mode plain -o q.moes
recs prompt q.moes >q.out
contains "messages are kept beside the text" q.out '"id":"1","messages":\[\{"content":"2\+2=","role":"user"\}\],"mode":"plain","text":"<\|im_start\|>user'
contains "the rest is for the grader" q.out '"env":\{"answer":"6"\},"id":"2","mode":"m"'
moe-prompts -q --from q.json --map text=answer,env.q=question,env.kind==sum -n 1 -o q.moes
equal "only what env.NAME asks for" "$(recs prompt q.moes | sed 's/,"id".*//')" '{"t":"prompt","env":{"kind":"sum","q":[{"content":"2+2=","role":"user"}]}'

fails 2 "a preset that is not there" moe-prompts --from q.json --map nothing
fails 2 "a key that is not there" moe-rollout --from pool/a.jsonl --map colour=x
fails 2 "an environment's options" moe-prompts --from q.json --split test
printf '{"id":"a","prompt":"p","completion":"c"}\n{"id":"b","prompt":"p"}\n' >bad.jsonl
fails 3 "a row without completion" moe-rollout --from bad.jsonl -o x.moes
contains "is named with file and line" err 'bad.jsonl:2: there is neither .completion. nor .completion_ids.'
equal "and leaves no output" "$(ls x.moes 2>/dev/null)" ""
printf '{"id":"a","prompt":"p","completion":"c","hacked":"perhaps"}\n' >bad.jsonl
fails 3 "a finding that is none" moe-rollout --from bad.jsonl
printf '{"id":"a","prompt":"p","completion_ids":[1,-2]}\n' >bad.jsonl
fails 3 "a token id below 0" moe-rollout --from bad.jsonl
printf '{"id":"a","prompt":"p"\n' >bad.jsonl
fails 3 "JSON cut off" moe-prompts --from bad.jsonl
printf '{"id":"a","prompt":"\377"}\n' >bad.jsonl
fails 3 "not UTF-8" moe-prompts --from bad.jsonl
gzip -c pool/a.jsonl | head -c 120 >cut.gz
fails 3 "gzip cut off" moe-rollout --from cut.gz
mkdir none
echo x >none/readme.txt
fails 3 "a directory without rows" moe-prompts --from none
contains "says what it passed over" err 'were passed over'
done_testing
