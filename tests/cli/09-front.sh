#!/bin/sh
# moe: the front program runs the others, writes a skeleton, and says what the machine has.
. "$(dirname "$0")/lib.sh"

ok "moe --help" moe --help
contains "lists the programs" out 'moe rollout'
ok "moe NAME is moe-NAME" moe cat --version
contains "its own name" out '^moe-cat [0-9]'
moe-cat --help >one
moe cat --help >two
same "with the same options" one two
fails 2 "a usage error keeps its status" moe cat --no-such-option
fails 2 "an unknown name" moe nonsense
contains "is refused by name" err "'nonsense' is not a program"
fails 2 "no name" moe
fails 2 "a name with a slash runs nothing" moe ../moe-cat

ok "moe new" moe new mine
equal "writes the files of an experiment" "$(ls mine | tr '\n' ' ')" "Makefile env.lua settings.mk uat.conf "
same "with the skeleton's environment" mine/env.lua "$TOP/examples/new/env.lua"
ok "which draws tasks" moe-prompts -q -e mine/env.lua --split train -n 4 -o p.moes
fails 2 "a folder that holds something" moe new mine
contains "is left alone" err 'is not empty'
mkdir empty
ok "an empty one is taken" moe new empty
unset MAKEFLAGS MAKELEVEL MFLAGS
ok "make knows what to do" make -n -C mine "$T/run/report.html" RUN="$T/run" MOE_BIN="$MOE_BIN" SEEDS=1
contains "by the settings of the folder" out "moe-pairs.* --modes phrase "
fails 2 "new without a folder" moe new

ok "moe doctor" moe doctor
for word in processor kernels libraries isolation programs helpers self-test; do
	contains "tells of $word" out "^$word"
done
contains "and the pipeline works" out '^self-test    ok'
mkdir lonely
cp "$MOE_BIN/moe" lonely/
PATH=/usr/bin:/bin fails 1 "without the programs" lonely/moe doctor
contains "it says so" out 'missing: moe-prompts'
done_testing
