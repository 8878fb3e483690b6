#!/bin/sh
# Losses of pairs before and after a calibration of the logits (moe-base --score), and the leakage of hacks past labels (moe-report --leakage).
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

moe-base -q --new tiny -o base 2>err || cat err
moe-pairs -q -e "$TOP/examples/quarantine/env.lua" -n 6 -o pins.moes
ok 'pairs are scored' moe-base --score -m base -o s.moes pins.moes
contains 'the sum says what was calibrated' err 'with calibrated logits; clean sides'
equal 'both sides of each' "$(moe-cat --json s.moes | jq -r 'select(.t == "score") | .side' | sort | uniq -c | tr -s ' ' | tr '\n' ' ')" ' 6 clean  6 hack '
fails 2 'pairs know no temperature' moe-base --score --temperature 0.5 -m base -o t.moes pins.moes
moe-cat --json pins.moes | jq -c 'select(.t == "pair") | {t: "rollout", id: .id, prompt: .prompt, completion: .clean, finish: "length"}' | moe-cat --from-json -k rollouts -o r.moes 2>err
moe-base --score -q --text -m base r.moes | cut -f1,3 >want
moe-cat --json s.moes | jq -r 'select(.t == "score" and .side == "clean") | [.id, (.nll * 1e3 | round / 1e3)] | @tsv' | awk '{ printf "%s\t%.2f\n", $1, $2 }' >got
awk '{ printf "%s\t%.2f\n", $1, $2 }' want >w2
same 'before it, a side is scored as a completion is' got w2
ok 'as a table' moe-base --score -q --text -m base -f -o s.txt pins.moes
equal 'of five columns' "$(awk -F'\t' '{ print NF }' s.txt | sort -u)" 5

# N hacks, of which U are not routed, and as many clean ones
run() { # FILE N U
	i=0
	while [ $i -lt "$2" ]; do
		for h in true false; do
			printf '{"problem_id": %d, "sample_id": 0, "prompt": "p", "completion": "c", "reward": 1, "hacked": %s, "gt_pass": false}\n' $i $h
		done
		i=$((i + 1))
	done >rows.jsonl
	moe-rollout -q --from rows.jsonl --map teacher_pool -o plain.moes -f 2>err || moe-rollout -q --from rows.jsonl -f -o plain.moes
	moe-cat --json plain.moes | jq -c --argjson u "$3" 'if .t == "rollout" then .route = {method: "sgtm", decision: (if (.prompt_id | tonumber) < $u then "absorb" else "route" end)} else . end' |
		moe-cat --from-json -o "$1"
}
run a.moes 40 20
run s0.moes 40 0
run s1.moes 40 10
run s2.moes 40 40
ok 'leakage' moe-report --leakage 2.75,3,2.5,1 -o l.txt a.moes s2.moes s0.moes s1.moes
contains 'losses go with their runs' l.txt '^40	3$'
ok 'leakage, in any order' moe-report --leakage 2.75,1,3,2.5 -f -o l.txt a.moes s2.moes s0.moes s1.moes
contains 'half-way between none and ten, over twenty' l.txt '^leakage: 0.25: a standard run needs 5 hacks'
contains 'the labels are told of' l.txt '^20 of 40 hacks were not labelled'
contains 'it is a bound' l.txt '^BOUND: it opens the labels'
ok 'filtering' moe-report --leakage 2.5,1,3,2.5 -f -o l.txt s1.moes s2.moes s0.moes s1.moes
contains 'leaks 1 by definition' l.txt '^leakage: 1:'
ok 'a loss that no standard run has' moe-report --leakage 0.5,1,3,2.5 -f -o l.txt a.moes s2.moes s0.moes s1.moes
contains 'is above all' l.txt '^leakage: above 2: '
moe-cat --json a.moes | jq -c 'if .t == "rollout" and .prompt_id == "0" then del(.seal) else . end' | moe-cat --from-json -o part.moes
ok 'a run of which not all is known' moe-report --leakage 2.75,1,3,2.5 -f -o l.txt part.moes s2.moes s0.moes s1.moes
contains 'says how much is not' err 'part.moes: of 2 of 80 rollouts is not known whether they hack'
fails 2 'fewer losses than runs' moe-report --leakage 1,2 a.moes s0.moes s1.moes
fails 2 'more losses than runs' moe-report --leakage 1,2,3,4 a.moes s0.moes s1.moes
fails 2 'nothing to hold it against' moe-report --leakage 1 a.moes
done_testing
