#!/bin/sh
# Scores that are made anew every few steps on the policy: on policy, recorded, routed again, after a kill, audited, refused.
# shellcheck disable=SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

tiny_world 12
routes() { moe-cat --json "$1" | jq -c 'select(.t == "rollout") | [.step, .route.score, .route.null, .route.decision]'; }
scores_at() { moe-cat --json "$1" | jq -c "select(.t == \"rollout\" and .step == $2) | .route.score" | sha256sum; }
# score of each `step` record: the step in which it was made, and the rest of it
made() { moe-cat --json "$1" | jq -r 'select(.t == "step" and .score) | .score.step' | tr '\n' ' '; }
score_of() { moe-cat --json --values "$1" | jq -c "select(.t == \"step\" and .score and .score.step == $2) | .score | del(.step)" | sha256sum; }
prompts() { moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 24 --seed 5; }
pin() { moe-pin -q -m base --seed 3 --method "$1" --set refresh="$2" -o "$3" pins.moes 2>/dev/null; }
first=fifo second=route # which FIFO the trainer serves first
plan=
live() { # ADAPTER NAME CHECKPOINT [OPTIONS OF MOE-ROLLOUT]
	x=$1 n=$2 c=$3
	shift 3
	rm -f "$n.fifo" "$n.route"
	mkfifo "$n.fifo" "$n.route"
	prompts | timeout 100 moe-rollout -q -m base -a "$x" --follow "$n.fifo" "$@" --group 4 --per-step 4 --max-new 12 --seed 5 -j 1 |
		moe-grade -q -e "$env" -j 1 | timeout 100 moe-route -q -m base -a "$x" --pin pins.moes --follow "$n.route" --resume "$c" -j 1 | tee "$n.run.moes" |
		sh -c 'echo $$ >'"$n.pid"'; exec moe-train -q -m base -a '"$x"' --seed 5 --lr 0.01 --plan sample.clean=0.5 --publish '"$n.$first"' --publish '"$n.$second"' \
			'"$plan"' --checkpoint '"$c"' --save-every 1 --resume -j 1 -o '"$n.moes"
}

# ---- each score, six steps, made anew in every second one ----
for m in vector tstat haar gradient gradient-haar logistic random; do
	pin $m 2 $m.0.moes
	ok "six steps on policy, $m" live $m.0.moes $m $m.ckpt --resume $m.ckpt
	equal 'the score is made in every second one' "$(made $m.run.moes)" '0 2 4 '
	# fails where a direction of before is kept
	equal 'and is another one each time' "$(for k in 0 2 4; do score_of $m.run.moes $k; done | sort -u | wc -l | tr -d ' ')" 3
	pin $m 0 $m.b.moes
	moe-route -q -m base -a $m.b.moes -o $m.b.run.moes $m.run.moes
	equal 'in the first, where the policy is the base, it is that of moe-pin' "$(scores_at $m.run.moes 0)" "$(scores_at $m.b.run.moes 0)"
	equal 'and later rollouts have other scores' "$([ "$(scores_at $m.run.moes 1)" = "$(scores_at $m.b.run.moes 1)" ]; echo $?)" 1
	equal 'which nothing on record belies' "$(made $m.b.run.moes)" ''
done
equal 'refresh=0 is in no layout' "$(moe-cat --json vector.b.moes | jq -c 'select(.t == "layout") | .settings | has("refresh")')" false

# ---- what the quarantine learns is not seen ----
plan='--plan keep.clean=1/0 --plan keep.quarantine=1/1 --plan absorb.clean=1/0'
ok 'a quarantine that learns alone' live vector.0.moes alone alone.ckpt --resume alone.ckpt
plan=
moe-route -q -m base -a vector.b.moes -o alone.b.moes alone.run.moes
equal 'does learn' "$(moe-cat --json alone.run.moes | jq -r 'select(.t == "rollout") | .policy' | sort -u | wc -l | tr -d ' ')" 6
equal 'and leaves the scores those of the base' "$(routes alone.run.moes | sha256sum)" "$(routes alone.b.moes | sha256sum)"

# ---- the order in which the trainer serves its FIFOs, and a lag ----
first=route second=fifo
ok 'the router first' live vector.0.moes other other.ckpt --resume other.ckpt
equal 'gives the same adapter' "$(digest other.moes)" "$(digest vector.moes)"
for first in route fifo; do
	[ $first = fifo ] && second=route
	ok "weights one step old, $first first" live vector.0.moes lag lag.$first.ckpt --lag 1
	equal 'are those that it is scored under' "$(made lag.run.moes)" '0 2 4 '
done

# ---- recorded: trained, routed, and both again ----
moe-train -q -m base -a vector.0.moes --seed 5 --lr 0.01 --plan sample.clean=0.5 -o replay.moes vector.run.moes 2>/dev/null
equal 'the recording trains the same adapter' "$(digest replay.moes)" "$(digest vector.moes)"
again() { # ROLLOUTS NAME
	mkfifo "$2.fifo"
	timeout 100 moe-route -q -m base -a vector.0.moes --pin pins.moes --follow "$2.fifo" -j 2 "$1" | tee "$2.run.moes" |
		moe-train -q -m base -a vector.0.moes --seed 5 --lr 0.01 --plan sample.clean=0.5 --publish "$2.fifo" -o "$2.moes"
}
ok 'the recording is routed and trained again' again vector.run.moes again
equal 'it decides the same' "$(routes again.run.moes | sha256sum)" "$(routes vector.run.moes | sha256sum)"
equal 'by the same scores' "$(for k in 0 2 4; do score_of again.run.moes $k; done)" "$(for k in 0 2 4; do score_of vector.run.moes $k; done)"
equal 'and ends with the same adapter' "$(digest again.moes)" "$(digest vector.moes)"
ok 'so does one whose seals are negated' sh -c 'moe-report --flip-seals vector.run.moes >bare.moes'
ok 'routed and trained' again bare.moes flip
equal 'the same adapter' "$(digest flip.moes)" "$(digest vector.moes)"
: >all.moes
moe-train -q -m base -a vector.0.moes --seed 5 --lr 0.01 --plan sample.clean=0.5 --publish all.moes -o x.moes vector.run.moes 2>/dev/null
ok 'routed by a file of all weights' moe-route -q -m base -a vector.0.moes --pin pins.moes --follow all.moes -o file.moes vector.run.moes
equal 'the same again' "$(routes file.moes | sha256sum)" "$(routes vector.run.moes | sha256sum)"
moe-cat --json vector.run.moes | jq -c 'select(.t != "rollout" or .step >= 4) | select(.t != "step" or .step >= 4)' | moe-cat --from-json -o late.moes
ok 'from a step on in which it is made' moe-route -q -m base -a vector.0.moes --pin pins.moes --follow all.moes -o late.run.moes late.moes
equal 'the same too' "$(routes late.run.moes | sha256sum)" "$(routes vector.run.moes | tail -n 32 | sha256sum)"
moe-cat -s -w step=0 logistic.run.moes >zero.moes
ok 'why, token by token' moe-route -q -m base -a logistic.0.moes --pin pins.moes --explain -o why.moes zero.moes

# a step that updates nothing publishes the weights that there were
: >one.moes
moe-cat -s -w step=0 vector.run.moes | moe-train -q -m base -a vector.0.moes --seed 5 --lr 0.01 --plan sample.clean=0.5 --publish one.moes -o x.moes 2>/dev/null
mkfifo twice.fifo
(cat one.moes all.moes >twice.fifo) 2>/dev/null &
ok 'with the first weights published twice' timeout 100 moe-route -q -m base -a vector.0.moes --pin pins.moes --follow twice.fifo -o file.moes vector.run.moes
equal 'still the same' "$(routes file.moes | sha256sum)" "$(routes vector.run.moes | sha256sum)"

# ---- stopped: all three go on from the trainer's checkpoint ----
ok 'three steps' live vector.0.moes cut cut.ckpt --resume cut.ckpt --steps 3
ok 'the other three' live vector.0.moes more cut.ckpt --resume cut.ckpt
equal 'are those that were left' "$(moe-cat --json more.run.moes | jq -r 'select(.t == "step") | .step' | tr '\n' ' ')" '3 4 5 '
equal 'decided by the score of before' "$(routes more.run.moes | sha256sum)" "$(routes vector.run.moes | tail -n 48 | sha256sum)"
equal 'with the same adapter in the end' "$(digest more.moes)" "$(digest vector.moes)"
fails 3 'without the checkpoint' moe-route -q -m base -a vector.0.moes --pin pins.moes --follow all.moes more.run.moes
contains 'that score is not known' err 'begins with step 3, and the score is that of step 2: --resume'
live vector.0.moes killed kill.ckpt --resume kill.ckpt 2>/dev/null &
while [ ! -e kill.ckpt ] && kill -0 $! 2>/dev/null; do :; done
kill -9 "$(cat killed.pid)" 2>/dev/null
wait $!
ok 'a killed run is started again' live vector.0.moes again2 kill.ckpt --resume kill.ckpt
equal 'to the same adapter' "$(digest again2.moes)" "$(digest vector.moes)"

# ---- audit ----
moe-report --audit -m base vector.moes vector.0.moes pins.moes --run vector.run.moes >out 2>err
contains 'the audit says what it cannot make anew' out '^made anew +not done +vector.run.moes: all 96 decisions follow from the scores on record, but those are of the weights of each step'
moe-cat --json vector.run.moes | jq -c 'if .t == "rollout" and .step == 1 then .route.decision = (if .route.decision == "keep" then "route" else "keep" end) else . end' |
	moe-cat --from-json -o edited.moes
moe-train -q -m base -a vector.0.moes --seed 5 -o edited.1.moes edited.moes 2>/dev/null
moe-report --audit -m base edited.1.moes vector.0.moes pins.moes --run edited.moes >out 2>err
contains 'and tells decisions that do not follow' out '^made anew +FAILED +edited.moes: 16 of 96 decisions differ from what vector decides by the scores on record'

# ---- refusals ----
fails 2 'the pairs are needed' moe-route -m base -a vector.0.moes vector.run.moes
contains 'which the message says' err 'made anew from the pairs every 2 steps: --pin PAIRS names them'
fails 2 'a score of the base follows nothing' moe-route -m base -a vector.b.moes --pin pins.moes --follow all.moes vector.run.moes
fails 3 'weights are' moe-route -m base -a vector.0.moes --pin pins.moes vector.run.moes
contains 'those of each step' err 'step 1 was sampled by the adapter [0-9a-f]{12}, not by [0-9a-f]{12}: .*--follow'
fails 3 'weights of another run' moe-route -m base -a vector.0.moes --pin pins.moes --follow vector.moes vector.run.moes
contains 'are not taken' err 'step 1, sampled by the adapter'
moe-pairs -q -e "$env" -n 11 --modes run_tests,stdout_marker -o fewer.moes 2>err || cat err
fails 3 'other pairs' moe-route -m base -a vector.0.moes --pin fewer.moes --follow all.moes vector.run.moes
contains 'are not the fixed ones' err 'not the pairs that the adapter was pinned with'
mkfifo wrong.fifo
(cat haar.moes >wrong.fifo) 2>/dev/null &
fails 3 'a trainer that publishes others' timeout 100 moe-route -m base -a vector.0.moes --pin pins.moes --follow wrong.fifo vector.run.moes
contains 'is told' err 'step 1 was sampled by the adapter [0-9a-f]{12}, and the trainer published'
mkfifo left.fifo
(: >left.fifo) &
fails 3 'one that leaves' timeout 100 moe-route -m base -a vector.0.moes --pin pins.moes --follow left.fifo vector.run.moes
contains 'is told too' err 'the trainer left before it published'
done_testing
