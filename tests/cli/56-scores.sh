#!/bin/sh
# Scores per rollout: thresholds that are quantiles of the run's scores, on policy, replayed, after a kill, flipped and audited.
# shellcheck disable=SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

tiny_world 12
routes() { moe-cat --json "$1" | jq -c 'select(.t == "rollout") | [.step, .route.score, .route.decision]'; }
decided() { moe-cat --json "$1" | jq -r "select(.t == \"rollout\") | select(.step >= $2) | .route.decision" | sort | uniq -c | awk '{printf "%s %s ", $2, $1}'; }

# ---- quantiles ----
ok 'moe-pin --set thresholds=quantiles' moe-pin -m base --seed 3 --set thresholds=quantiles --set q=0.25 --set half_life=32 -o a0.moes pins.moes
contains 'it says that they route whatever there is' err 'about 0\.25 of the rollouts are kept and 0\.25 routed whether'
fails 2 'a share above a half' moe-pin -m base --set q=0.6 pins.moes
live() { # NAME CHECKPOINT
	mkfifo "$1.fifo"
	moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 24 --seed 5 |
		timeout 100 moe-rollout -q -m base -a a0.moes --follow "$1.fifo" --resume "$2" --group 4 --per-step 4 --max-new 12 --seed 5 -j 1 |
		moe-grade -q -e "$env" -j 1 | moe-route -q -m base -a a0.moes --resume "$2" -j 1 | tee "$1.run.moes" |
		sh -c 'echo $$ >'"$1.pid"'; exec moe-train -q -m base -a a0.moes --seed 5 --plan sample.clean=0.5 --publish '"$1.fifo"' --checkpoint '"$2"' \
			--save-every 1 --resume -j 1 -o '"$1.moes"
}
ok 'six steps on policy' live whole whole.ckpt
equal 'keep and route about q each' "$(decided whole.run.moes 0 | tr -dc '0-9 ' | awk '{ ok = $1 + $2 + $3 == 96 && $2 >= 15 && $2 <= 35 && $3 >= 15 && $3 <= 35; print ok }')" 1
live killed cut.ckpt 2>/dev/null &
while [ ! -e cut.ckpt ] && kill -0 $! 2>/dev/null; do :; done
kill -9 "$(cat killed.pid)" 2>/dev/null
wait $!
ok 'a killed run is started again' live again cut.ckpt
n=$(routes again.run.moes | wc -l)
equal 'and does not begin at the beginning' "$((n < 96))" 1
equal 'it decides by the scores from before the break' "$(routes again.run.moes | sha256sum)" "$(routes whole.run.moes | tail -n "$n" | sha256sum)"
equal 'and ends with the same adapter' "$(digest again.moes)" "$(digest whole.moes)"
moe-cat --json whole.run.moes | jq -c 'select(.t != "rollout" or .step >= 3)' | moe-cat --from-json -o late.moes
ok 'without the scores from before' moe-route -m base -a a0.moes -o late.routed.moes late.moes
contains 'it warns' err 'begins with step 3, and the thresholds depend on the scores of all steps before'
equal 'for it decides otherwise' "$([ "$(routes late.routed.moes | sha256sum)" = "$(routes late.moes | sha256sum)" ]; echo $?)" 1
fails 3 'nor with those of other steps' moe-route -q -m base -a a0.moes --resume cut.ckpt late.moes
contains 'which it names' err 'begins with step 3, and cut.ckpt holds the scores of the steps before 6'
ok 'a recording from its beginning needs none' moe-route -q -m base -a a0.moes --resume none.ckpt -o fresh.moes whole.run.moes
equal 'the recording is routed again as it was' "$(routes fresh.moes | sha256sum)" "$(routes whole.run.moes | sha256sum)"
ok 'with every seal negated' sh -c 'moe-report --flip-seals whole.run.moes | moe-route -q -m base -a a0.moes -o flipped.moes'
equal 'nothing is decided otherwise' "$(routes flipped.moes | sha256sum)" "$(routes whole.run.moes | sha256sum)"
ok 'and trained' moe-train -q -m base -a a0.moes --seed 5 --plan sample.clean=0.5 -o flip.moes flipped.moes
equal 'it is the same adapter' "$(digest flip.moes)" "$(digest whole.moes)"
moe-pin -q -m base --seed 4 --set thresholds=quantiles -o b0.moes pins.moes
fails 3 'scores of another run are refused' moe-route -m base -a b0.moes --resume cut.ckpt late.moes
ok 'the placebo of these thresholds' moe-pin -q -m base --placebo-of logistic --seed 3 --set thresholds=quantiles --set q=0.25 --set half_life=32 -o p0.moes pins.moes
ok 'routes' moe-route -q -m base -a p0.moes -o p.moes whole.run.moes
equal 'the same shares' "$(decided p.moes 0)" "$(decided whole.run.moes 0)"
equal 'of others' "$([ "$(routes p.moes | sha256sum)" = "$(routes whole.run.moes | sha256sum)" ]; echo $?)" 1

# ---- other scores and placebos ----
ok 'a regression on pooled states' moe-pin -m base --seed 3 --set features=pooled -o pooled.moes pins.moes
contains 'it says how well on held-out pairs' err 'AUROC [01]\.[0-9]+'
ok 'decides' moe-route -q -m base -a pooled.moes -o r.moes whole.run.moes
ok 'moe-pin --method gradient' moe-pin -m base --seed 3 --method gradient -o g0.moes pins.moes
contains 'it says how well on held-out pairs' err 'AUROC [01]\.[0-9]+'
ok 'it decides' moe-route -q -m base -a g0.moes -o g.moes whole.run.moes
ok 'with two threads' moe-route -q -m base -a g0.moes -j 2 -o g2.moes whole.run.moes
equal 'the same' "$(routes g2.moes | sha256sum)" "$(routes g.moes | sha256sum)"
ok 'its placebo' moe-pin -q -m base --seed 3 --placebo-of gradient -o gh.moes pins.moes
ok 'decides too' moe-route -q -m base -a gh.moes -o r.moes whole.run.moes
ok 'hash needs no pairs' moe-pin -q -m base --method hash --set keep=0.3 --set route=0.3 -o h0.moes </dev/null
ok 'it decides without a score' moe-route -q -m base -a h0.moes -o h.moes whole.run.moes
equal 'by tokens' "$(moe-cat --json h.moes | jq -c 'select(.t == "rollout") | [.prompt_ids, .completion_ids, .route.decision]' | sort -u |
	jq -c '.[:2]' | uniq -d | wc -l | tr -d ' ')" 0
fails 2 'shares above one' moe-pin -m base --method hash --set keep=0.8
done_testing
