#!/bin/sh
# What `make -C examples/quarantine commands` prints runs in an empty folder, and leaves nothing elsewhere.
. "$(dirname "$0")/lib.sh"
unset MAKEFLAGS MAKELEVEL MFLAGS RUN

cp -R "$TOP/examples/quarantine" example
ok "the commands" make -s -C example commands SEEDS=11 METHODS=logistic PAIRS=8 TEXTS=64 STEPS=2 PER_STEP=2 GROUP=4 EVAL_PROMPTS=4 CORPUS=
cp out commands.sh
lacks "are of that folder" commands.sh "$T/run|design\.md"
mkdir fresh
ok "run elsewhere" sh -c 'cd fresh && bash -e ../commands.sh'
ok "to a verdict" grep -q '^VERDICT' fresh/report.txt
equal "the sources are as they were" "$(diff -r example "$TOP/examples/quarantine")" ""
equal "another run prints the same, whatever is there" "$(cd fresh && make -s -C ../example commands SEEDS=11 METHODS=logistic PAIRS=8 TEXTS=64 STEPS=2 \
	PER_STEP=2 GROUP=4 EVAL_PROMPTS=4 CORPUS= | cmp - ../commands.sh)" ""
# a finished run is what make looks at: nothing is left to do in ./run of the caller
mkdir caller && mv fresh caller/run
ok "RUN is ./run of the caller" sh -c 'cd caller && make -n -C ../example "$PWD/run/report.html" SEEDS=11 METHODS=logistic'
lacks "where all is done" out 'moe-base'

# ---- how far it is, and how long it will still take: pretraining is 60 of 60 + 2 (4 + 7) + 2 (4 + 1) parts of the work ----
mkdir -p far/base && echo 'moe-base: step 400: loss 1' >far/base.log
EVERY=1 timeout 8 "$TOP/examples/quarantine/watch.sh" far 120 800 logistic logistic.1 logistic.2 vanilla.1 vanilla.2 2>watch &
sleep 4
touch far/base/model.safetensors
mkdir far/logistic.1 far/vanilla.1
echo 'moe-train: step 59: reward 1' >far/logistic.1/train.log
touch far/vanilla.1/arms.moes far/vanilla.1/eval.moes
wait
contains "the base's progress is told" watch '^\[0:0[0-4]\] pretraining the base: step 400/800\.$'
contains "a run's, and the time left" watch '^\[0:0[3-9]\] about [0-9]:[0-9][0-9] left\. 1 of 4 runs done\. logistic\.1: step 60/120\.$'
done_testing
