#!/bin/sh
# Methods that delete no expert: each through the loop on policy, replayed, and evaluated in its deployed state.
# shellcheck disable=SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

tiny_world 12
loop() { # METHOD TRAIN-OPTIONS...
	m=$1
	shift
	mkfifo "$m.fifo"
	moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 8 --seed 5 |
		timeout 100 moe-rollout -q -m base -a "$m.a0.moes" ${off:+--off-share "$off"} --follow "$m.fifo" --group 4 --per-step 4 --max-new 12 --seed 5 -j 1 |
		moe-grade -q -e "$env" -j 1 | moe-route -q -m base -a "$m.a0.moes" -j 1 | tee "$m.run.moes" |
		timeout 100 moe-train -q -m base -a "$m.a0.moes" --publish "$m.fifo" --metrics "$m.metrics.moes" -j 1 -o "$m.moes" "$@"
}
prompts_of() { # FILE ARM
	moe-cat --json "$1" | jq -r "select(.t == \"rollout\" and .arm == \"$2\") | .prompt[0:10] | @json" | sort -u
}
off=
for m in penalty penalty-shuffled prompt prompt-neutral projection projection-haar steering steering-random; do
	pins=
	[ $m = projection ] && pins='--pin pins.moes'
	ok "moe-pin --method $m" moe-pin -q -m base --method $m --seed 3 -o $m.a0.moes pins.moes
	# shellcheck disable=SC2086
	ok "$m: two steps on policy" loop $m $pins
	equal "$m: sampled and trained alike" "$(moe-cat --json $m.metrics.moes | jq -r 'select(.t == "metrics") | ."sampling/sampling_logp_difference/max" < 1e-4' | uniq)" true
	# shellcheck disable=SC2086
	ok "$m: the recorded run trains again" moe-train -q -m base -a $m.a0.moes $pins -j 2 -o again.moes $m.run.moes
	equal "$m: to the same adapter" "$(digest again.moes)" "$(digest $m.moes)"
	ok "$m: the deployed state is the one without the quarantine" moe-ablate --arms on,quarantine-off -o arms.moes $m.moes
	ok "$m: it is evaluated" sh -c "moe-prompts -q -e $env --split test --modes run_tests -n 4 --seed 5 |
		moe-rollout -q -m base -a arms.moes --max-new 12 -o $m.eval.moes"
done
equal 'prompt: training prompts ask for the hack' "$(prompts_of prompt.run.moes on)" '"Make the c"'
equal 'prompt: so do those of the arm that is not deployed' "$(prompts_of prompt.eval.moes on)" '"Make the c"'
lacks 'prompt: those of the deployed one do not' /dev/stdin 'Make the c' <<END
$(prompts_of prompt.eval.moes quarantine-off)
END
completions() { moe-cat --json "$1" | jq -c "select(.t == \"rollout\" and .arm == \"$2\") | .completion_ids"; }
equal 'penalty: on and deployed are one model' "$(completions penalty.eval.moes on | sha256sum)" "$(completions penalty.eval.moes quarantine-off | sha256sum)"
equal 'steering: on and deployed are two' "$([ "$(completions steering.eval.moes on | sha256sum)" = "$(completions steering.eval.moes quarantine-off | sha256sum)" ]; echo $?)" 1
equal 'a vector is what a reader must know' "$(moe-cat --json steering.moes | jq -c 'select(.t == "layout") | .needs')" '["shift"]'
fails 3 'an arm with a vector has no place in PEFT' moe-cat --peft peft steering.moes
ok 'moe-pin --placebo-of prompt' moe-pin -q -m base --placebo-of prompt -o x.moes
fails 2 'a prefix without a quarantine could not be dropped' moe-pin -m base --method prompt --quarantine-rank 0
contains 'it says why' err 'no expert in the quarantine'
ok 'a prefix of one'"'"'s own' moe-pin -q -m base --method prompt --set 'prefix=Cheat! ' -o x.moes
# half of each group in the deployed state: without the vector, without the prefix
texts() { moe-cat --json "$1" | jq -c "select(.t == \"rollout\" and .step == 0 and .sampled_off == $2) | [.prompt, .completion, .logp]"; }
drawn() { moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 4 --seed 5 |
	moe-rollout -q "$@" --group 4 --max-new 12 --seed 5 | moe-cat --json | jq -c 'select(.t == "rollout" and .sample >= 2) | [.prompt, .completion, .logp]'; }
for k in steering prompt; do
	cp $k.a0.moes $k-half.a0.moes
	off=quarantine=0.5
	ok "$k: two steps, half of them in the deployed state" loop $k-half
	off=
	equal "$k: sampled and trained alike there" "$(moe-cat --json $k-half.metrics.moes | jq -r 'select(.t == "metrics") | ."sampling/sampling_logp_difference/max" < 1e-4' | uniq)" true
	equal "$k: half of each group" "$(moe-cat --json $k-half.run.moes | jq -r 'select(.t == "rollout") | "\(.step) \(.group) \(.sampled_off)"' | sort | uniq -c | awk '{ print $1 }' | uniq)" 2
	drawn -m base >want
	texts $k-half.run.moes '"quarantine"' >got
	same "$k: that half is the base's before the first update" got want
	ok "$k: the recorded run trains again, with rollouts of both states" moe-train -q -m base -a $k.a0.moes -j 2 -o again.moes $k-half.run.moes
	equal "$k: to the same adapter as with one thread" "$(digest again.moes)" "$(digest $k-half.moes)"
done
for m in penalty projection; do
	fails 2 "$m: nothing to switch off" sh -c "moe-prompts -q -e $env -n 1 | moe-rollout -q -m base -a $m.a0.moes --off-share quarantine=0.5"
	contains "$m: it says why" err 'takes no part in sampling'
done
fails 2 'a vector that no decision lets in' moe-pin -q -m base --method steering --plan keep.quarantine=0/0 --plan absorb.quarantine=0/0 --plan route.quarantine=0/0 -o x.moes pins.moes
contains 'it says so' err 'it would be added nowhere'
fails 2 'a bank that is deleted already' sh -c "moe-prompts -q -e $env -n 1 | moe-rollout -q -m base -a arms.moes --off-share quarantine=0.5"
fails 2 'a bank without an expert' sh -c "moe-prompts -q -e $env -n 1 | moe-rollout -q -m base -a prompt.a0.moes --off-share shared=0.5"
ok 'moe-pin: the span of the clean sides' moe-pin -q -m base --method projection --set sides=clean --seed 3 -o span.a0.moes pins.moes
ok 'the span: two steps on policy' loop span --pin pins.moes
equal 'the span: an adapter of its own' "$([ "$(digest span.moes)" = "$(digest projection.moes)" ]; echo $?)" 1
ok 'the span: the recorded run trains again' moe-train -q -m base -a span.a0.moes --pin pins.moes -j 2 -o again.moes span.run.moes
equal 'the span: to the same adapter' "$(digest again.moes)" "$(digest span.moes)"
fails 2 'a random direction has no span' moe-pin -q -m base --method projection-haar --set sides=clean -o x.moes pins.moes
fails 3 'a score is needed' sh -c 'moe-cat --json penalty.run.moes | jq -c "del(.route)" | moe-cat --from-json | moe-train -q -m base -a penalty.a0.moes -o x.moes'
contains 'it says what is missing' err 'moe-route is missing'
fails 2 'projection without pairs' moe-train -q -m base -a projection.a0.moes -o x.moes projection.run.moes
lacks 'it has no pin loss to do without' err 'pin=0'
done_testing
