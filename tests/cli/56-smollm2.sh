#!/bin/sh
# 56-smollm2.sh - the job of examples/smollm2 on a model that knows nothing: killed in the middle, it goes on from its checkpoint to the same adapter.
. "$(dirname "$0")/lib.sh"
moe-base -q --new tiny -o base
export BASE="$PWD/base" FORM=smollm2 METHODS="logistic random" STEPS=8 GROUP=4 PER_STEP=2 MAX_NEW=24 EVAL_PROMPTS=6 MODES=length,gt_only
job() { # RUN [TARGET]
	make -s -C "$TOP/examples/smollm2" RUN="$PWD/$1" ${2:+"$PWD/$1/$2"}
}

ok "a run of training" job one logistic.1/a1.moes
fails 1 "learns something" sh -c '[ "$1" = "$2" ]' - "$(digest one/logistic.1/a0.moes)" "$(digest one/logistic.1/a1.moes)"
equal "leaves one recording" "$(echo one/logistic.1/part.* one/logistic.1/run.moes)" 'one/logistic.1/part.* one/logistic.1/run.moes'

fails 2 "a trainer that fails at once ends the run" env LR=-1 timeout -s KILL 60 make -s -C "$TOP/examples/smollm2" RUN="$PWD/bad" "$PWD/bad/logistic.1/a1.moes"
contains "the sampler does not wait" bad/logistic.1/rollout.log 'the trainer left'

# all of its processes, as the terminal's interrupt does
setsid make -s -C "$TOP/examples/smollm2" STEPS=400 RUN="$PWD/two" "$PWD/two/logistic.1/a1.moes" >killed 2>&1 &
job=$!
for _ in $(seq 600); do
	[ ! -e two/logistic.1/checkpoint ] || break
	sleep 0.1
done
kill -- "-$job"
wait "$job" 2>/dev/null
ok "killed, it leaves a checkpoint" test -e two/logistic.1/checkpoint -a ! -e two/logistic.1/a1.moes
ok "and goes on" job two logistic.1/a1.moes
equal "to the same adapter" "$(digest two/logistic.1/a1.moes)" "$(digest one/logistic.1/a1.moes)"
steps() {
	moe-cat --json "$1" | grep -o '"t":"step"' | wc -l
}
equal "the parts are joined, no step twice" "$(steps two/logistic.1/run.moes)" 8
rm two/logistic.1/a1.moes
ok "a run goes on with more steps" env STEPS=10 make -s -C "$TOP/examples/smollm2" RUN="$PWD/two" "$PWD/two/logistic.1/a1.moes"
equal "which join its recording" "$(steps two/logistic.1/run.moes)" 10
rm two/logistic.1/a1.moes
ok "a recording trains it again" moe-train -q -m base -a one/logistic.1/a0.moes --lr 0.0005 -o again.moes one/logistic.1/run.moes
equal "bit for bit" "$(digest again.moes)" "$(digest one/logistic.1/a1.moes)"

ok "the whole job" job one
contains "ends in a verdict" out '^VERDICT: UNDECIDED'
ok "and gives answers to read" job one samples.txt
contains "of the trained model" one/samples.txt '^  random.1, trained '
contains "beside the deployed one's" one/samples.txt '^  random.1, deleted '
done_testing
