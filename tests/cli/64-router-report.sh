#!/bin/sh
# 64-router-report.sh - moe-report of routers: what training did by expert and bank, and whether the controls fit the deletion.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

tiny_world 6
moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 8 --seed 5 -o train.moes
moe-prompts -q -e "$env" --split test --modes run_tests -n 4 --seed 6 -o test.moes

seed() { # METHOD SEED SETTING: one step of training, and its evaluation
	moe-pin -q -m base --method "$1" --seed "$2" ${3:+--set "$3"} -o a0.moes pins.moes &&
		moe-rollout -q -m base -a a0.moes --group 4 --per-step 4 --max-new 8 --seed "$2" -j 1 train.moes |
		moe-grade -q -e "$env" -j 1 >run.moes &&
		moe-train -q -m base --pin pins.moes -a a0.moes --seed "$2" --metrics "$1.$2.m.moes" -j 1 -o "$1.$2.moes" run.moes &&
		moe-ablate -q --arms on,quarantine-off,random-off:2,base -o "$1.$2.arms.moes" "$1.$2.moes" &&
		moe-rollout -q -m base -a "$1.$2.arms.moes" --group 1 --max-new 6 -j 1 test.moes |
		moe-grade -q -e "$env" -j 1 >"$1.$2.ev.moes"
}
ok 'a router, seed 1' seed topk 1 deploy=renorm
ok 'a router, seed 2' seed topk 2 deploy=renorm

report() { moe-report --method topk "$@" topk.?.ev.moes; }
fails 1 'text' report -o text topk.?.m.moes topk.1.arms.moes
contains 'a table of experts' text '^ROUTER, EXPERTS'
contains 'the router: support and entropy' text '^    router +- +- +- +- +[0-9.]+ +[0-9.]+ +- +-$'
contains 'a bank' text '^    bank quarantine +[0-9.]+ +[0-2]/2( +[0-9.]+){6}$'
contains 'an expert' text '^    expert quarantine +[0-9.]+ +[0-2]/2 +[0-9.]+ +[0-9.]+ +- +- +[0-9.]+ +[0-9.]+$'
lacks 'what deletion does with gates is known from the adapter' text 'is handed on to the others'
fails 1 'without it' report --json -o json
equal 'the report says that it is not' "$(jq '[.notes[] | select(test("router, is among these inputs"))] | length' json)" 1
equal 'no line but the verdict is wider than 100 columns' "$(grep -v '^VERDICT' text | awk 'length > 100' | wc -l | tr -d ' ')" 0

fails 1 'JSON' report --json -o json topk.?.m.moes topk.1.arms.moes
# KEY in the metrics, then where the report has it: the mean over seeds of the means over steps
means() {
	for s in 1 2; do moe-cat --json topk.$s.m.moes | jq -s --arg k "$1" '[.[] | select(.t == "metrics") | .[$k] // empty] | add / length'; done |
		jq -s "add / length * 1e6 | round"
}
told() { jq ".router[] | select(.method == \"topk\" and .of == \"$1\" and .name == \"$2\") | .$3 * 1e6 | round" json; }
while read -r key of name number; do
	equal "$key" "$(told "$of" "${name#-}" "$number")" "$(means "$key")"
done <<'TABLE'
router/support router - support
router/entropy router - entropy
presence/quarantine/zero_share bank quarantine zero_share
router/quarantine/load bank quarantine load
router/quarantine/support bank quarantine support
router/clean/entropy bank clean entropy
router/quarantine/logit_norm bank quarantine logit_norm
update_mass/clean bank clean update_mass
expert/quarantine/zero_share expert quarantine zero_share
expert/quarantine/load expert quarantine load
expert/clean/logit_norm expert clean logit_norm
expert/clean/update_mass expert clean update_mass
TABLE
least() { for s in 1 2; do moe-cat --json topk.$s.m.moes; done | jq -s '[.[] | select(.t == "metrics") | ."expert/clean/min_gate"] | min * 1e6 | round'; }
equal 'the least gate is that of all seeds' "$(told expert clean min_gate)" "$(least)"
fails 1 'a page' report --html page.html -o text topk.?.m.moes
contains 'has the table' page.html 'The router, its banks and experts'
contains 'with its experts' page.html 'expert quarantine</td>'

crit() { jq -r '.criteria[] | select(.claim | test("random ablations")) | .state + " " + .note' json; }
equal 'a deletion that renormalises has no control in random-off' "$(crit)" \
	"open deletion hands a deleted expert's gate on (deploy=renorm), which random-off cannot: its controls are experts-off:19 (moe-ablate)"
for s in 1 2; do
	moe-ablate -q --arms on,quarantine-off,experts-off:2,base -o x.arms.moes topk.$s.moes
	moe-rollout -q -m base -a x.arms.moes --group 1 --max-new 6 -j 1 test.moes | moe-grade -q -e "$env" -j 1 >"topk.$s.ev.moes"
done
fails 1 'whole experts are its controls' report --json -o json topk.1.arms.moes
lacks 'and then nothing is said of random-off' json 'random-off cannot'
equal 'they count as random ablations' "$(jq '.methods[0].random_drops | length' json)" 2
equal 'without metrics there is no table' "$(jq 'has("router")' json)" false
# a deploy of a later version
moe-cat --json topk.1.arms.moes | sed 's/"deploy":"renorm"/"deploy":"sideways"/' | moe-cat --from-json -o later.moes
fails 3 'a deploy that nobody knows' report later.moes
contains 'is refused' err 'deploy that this version does not know'
done_testing
