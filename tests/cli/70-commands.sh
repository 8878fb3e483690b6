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
done_testing
