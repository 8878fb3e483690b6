#!/bin/sh
# Routers inside the pass: the loop with each, replay, resume after a kill, the flip test, pins, arms, and what refuses them.
# shellcheck disable=SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

tiny_world 6

loop() { # NAME: three steps on policy
	rm -f "$1.fifo"
	mkfifo "$1.fifo"
	moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 12 --seed 5 |
		timeout 100 moe-rollout -q -m base -a "$1.a0.moes" --follow "$1.fifo" --group 4 --per-step 4 --max-new 12 --seed 5 -j 1 |
		moe-grade -q -e "$env" -j 1 | tee "$1.run.moes" |
		timeout 100 moe-train -q -m base -a "$1.a0.moes" --pin pins.moes --publish "$1.fifo" --metrics "$1.m.moes" -j 1 -o "$1.moes"
}
train() { moe-train -q -m base --pin pins.moes "$@"; }

for m in $(pinned_methods); do
	ok "$m is pinned" moe-pin -q -m base --method $m --seed 3 -o $m.a0.moes pins.moes
	ok "$m: three steps on policy, with no moe-route" loop $m
	ok "$m: replay, two threads" train -a $m.a0.moes -j 2 -o again.moes $m.run.moes
	equal "$m: gives the same digest" "$(digest again.moes)" "$(digest $m.moes)"
	moe-cat --json $m.run.moes | jq -c 'if .t == "rollout" then .seal = {"$bin": "3q2+7w=="} else . end' | moe-cat --from-json -o flipped.moes
	ok "$m: with every seal replaced" train -a $m.a0.moes -o flip.moes flipped.moes
	equal "$m: still the same digest" "$(digest flip.moes)" "$(digest $m.moes)"
	rm -f ck
	moe-cat --json $m.run.moes | jq -c 'select(.step == null or .step < 2)' | moe-cat --from-json -o part.moes
	ok "$m: two of the steps" train -a $m.a0.moes --checkpoint ck --save-every 1 -o part.a.moes part.moes
	ok "$m: going on from there" train -a $m.a0.moes --checkpoint ck --resume -o resumed.moes $m.run.moes
	equal "$m: ends at the same digest" "$(digest resumed.moes)" "$(digest $m.moes)"
	equal "$m: experts and router in the metrics" "$(moe-cat --json $m.m.moes | jq -c 'select(.t == "metrics") |
		has("expert/quarantine/min_gate") and has("expert/clean/update_mass") and has("router/support") and has("router/pin_loss") and
		has("router/quarantine/load")' | uniq)" true
	fails 3 "$m: PEFT has no place for a router" moe-cat --peft peft.$m $m.moes
	ok "$m: arms" moe-ablate -q --arms on,quarantine-off,experts-off:2,base -o $m.arms.moes $m.moes
	moe-prompts -q -e "$env" --split test --modes run_tests -n 2 --seed 6 >prompts.moes
	ok "$m: can be sampled from" moe-rollout -q -m base -a $m.arms.moes --group 1 --max-new 6 -o ev.moes prompts.moes
done
for m in topk entmax; do
	equal "$m: the record says who decided, by which gates" "$(moe-cat --json $m.run.moes | jq -c "select(.t == \"rollout\") | .route |
		.by == \"router\" and .method == \"$m\" and .weights.shape == [2] and has(\"decision\") and has(\"score\")" | uniq)" true
	equal "$m: the sampler's bits, on the first step" "$(moe-cat --json $m.m.moes | jq -r 'select(.step == 0) |
		."route/keep" > 0 or ."sampling/sampling_logp_difference/max" < 1e-6' | head -1)" true
done
equal 'a layout says what its reader needs' "$(moe-cat --json topk.arms.moes | jq -c 'select(.t == "layout") | [.arm, .needs]' | head -2 | tr '\n' ' ')" \
	'["on",["router"]] ["quarantine-off",["present","router"]] '
fails 2 'another ratio than min, for a router that is not causal' train --ratio none -a balanced.a0.moes -o x.moes balanced.run.moes
contains 'it says why' err 'is not causal'
fails 3 'moe-route on a router that was in the pass' moe-route -m base -a topk.a0.moes -o x.moes topk.run.moes
contains 'it says what to do instead' err 'leave moe-route out'
fails 2 'a router without pins' moe-train -q -m base -a topk.a0.moes -o x.moes topk.run.moes
contains 'is told how to get them' err '\-\-pin'
ok 'unless it wants none' moe-pin -q -m base --method topk --set pin=0 -o np.moes pins.moes
ok 'then it trains by reward alone' moe-train -q -m base -a np.moes -o x.moes topk.run.moes
moe-pin -q -m base --method vanilla -o v.moes </dev/null
fails 2 'pins for a method that takes none' train -a v.moes -o x.moes topk.run.moes
# the pairs are part of a run's key
moe-pairs -q -e "$env" -n 4 --modes run_tests -o fewer.moes
rm -f ck
ok 'a checkpoint' train -a topk.a0.moes --checkpoint ck --save-every 1 -o x.moes topk.run.moes
fails 3 'is of its pairs' moe-train -q -m base --pin fewer.moes -a topk.a0.moes --checkpoint ck --resume -o x.moes topk.run.moes
done_testing
