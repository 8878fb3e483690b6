#!/bin/sh
# 61-audit.sh - moe-report --audit and --run on a real loop: three steps on policy, ablation, evaluation; and what must fail.
# shellcheck disable=SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# A random base earns nothing, so the environment pays by length here.
env=$T/env.lua
sed '$d' "$TOP/examples/quarantine/env.lua" >"$env"
printf '%s\n' 'function env.grade(task, completion) return { length = #completion * 7 % 4 } end' 'return env' >>"$env"
moe-base -q --new tiny -o base 2>err || cat err
moe-pairs -q -e "$env" -n 12 --modes run_tests,stdout_marker -o pins.moes 2>err || cat err
moe-pin -q -m base --seed 3 -o a0.moes pins.moes 2>err || cat err
mkfifo weights
moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker,exit_code -n 12 --seed 5 |
	timeout 100 moe-rollout -q -m base -a a0.moes --follow weights --group 4 --per-step 4 --max-new 12 --seed 5 -j 1 |
	moe-grade -q -e "$env" -j 1 | moe-route -q -m base -a a0.moes -j 1 | tee run.moes |
	timeout 100 moe-train -q -m base -a a0.moes --publish weights --metrics metrics.moes -j 1 -o a1.moes
moe-ablate -q --arms on,quarantine-off,clean-off,random-off:2,base,scale:quarantine=0.5 -o arms.moes a1.moes 2>err || cat err
moe-prompts -q -e "$env" --split test --modes run_tests,stdout_marker,exit_code -n 12 --seed 7 |
	moe-rollout -q -m base -a arms.moes --group 1 --max-new 8 --seed 7 -j 1 | moe-grade -q -e "$env" -j 1 -o eval.moes

# ---- the flip test ----
ok 'seals are flipped' moe-report --flip-seals run.moes -o flipped.moes
ok 'moe-train takes the copy as it took the original' moe-train -q -m base -a a0.moes -j 1 -o f1.moes flipped.moes
ok 'the audit holds' moe-report --audit eval.moes arms.moes a1.moes a0.moes pins.moes --run run.moes --run flipped.moes --flipped f1.moes
cp out held
contains 'every arm leads to an adapter' held '^lineage +held +7 evaluated arms'
contains 'and to its ancestors' held '^lineage +held +[0-9]+ links'
contains 'and to the pairs' held '^lineage +held .*ends at the pairs'
contains 'the trained adapter names the recording' held '^lineage +held +1 adapter names one of the 2 recorded runs'
contains 'no prompt is shared' held '^disjoint +held +no prompt is shared by the pairs \(12\) and the evaluation'
contains 'no task' held '^disjoint +held +no task is shared by the training'
contains 'no marker' held '^disjoint +held +no marker is shared by the training'
contains 'the flip test holds' held '^flip test +held .*differ in every seal and in nothing else'
lacks 'all was done' held '^[a-z ]+  (not done|FAILED)'

# ---- what must fail ----
audit() { moe-report --audit eval.moes arms.moes a1.moes a0.moes pins.moes --run run.moes "$@"; }
moe-train -q -m base -a a0.moes -j 1 -o same.moes run.moes
fails 1 'the same recording once more is no flip test' audit --flipped same.moes
contains 'it says so' out 'same stream'
moe-cat --json run.moes | awk '/"reward":/ { if (++n % 2) sub(/"reward":[0-9.]+/, "\"reward\":2.75") } { print }' | moe-cat --from-json -o other.moes
moe-train -q -m base -a a0.moes -j 1 -o o1.moes other.moes
fails 1 'an adapter that came out differently' audit --run other.moes --flipped o1.moes
contains 'is named' out '^flip test +FAILED +o1.moes differs from a1.moes'
moe-cat --json flipped.moes | sed 's/"t":"rollout"/"t":"rollout","note":1/' | moe-cat --from-json -o noted.moes
moe-train -q -m base -a a0.moes -j 1 -o n1.moes noted.moes
fails 1 'a recording that differs in more than seals' audit --run noted.moes --flipped n1.moes
contains 'is no flip test either' out 'differ in more than their seals'
moe-pairs -q -e "$env" -n 12 --seed 9 --modes run_tests,stdout_marker -o others.moes 2>err || cat err
fails 1 'other pairs than those that were pinned' moe-report --audit eval.moes arms.moes a1.moes a0.moes others.moes
contains 'are found out' out '^lineage +FAILED .*pairs that are not the file given'
fails 1 'an evaluation of another adapter' moe-report --audit eval.moes a1.moes a0.moes pins.moes
contains 'is found out' out '^lineage +FAILED .*none of the adapters given'
moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker,exit_code -n 12 --seed 5 |
	moe-rollout -q -m base -a arms.moes --group 1 --max-new 8 --seed 7 -j 1 | moe-grade -q -e "$env" -j 1 -o leak.moes
fails 1 'an evaluation on what was trained on' moe-report --audit leak.moes arms.moes a1.moes a0.moes pins.moes --run run.moes
contains 'is found out: prompts' out '^disjoint +FAILED .*prompts of the training occur in the evaluation'
contains 'tasks' out '^disjoint +FAILED .*tasks of the training occur'
moe-cat --json eval.moes | sed 's/"policy":"[0-9a-f]*"/"policy":"\\u001b[31m\\u202e\\u009bx"/; s/"arm":"on"/"arm":"\\u202eno"/' | moe-cat --from-json -o evil.moes
fails 1 'names that a terminal would obey' moe-report --audit evil.moes arms.moes a1.moes a0.moes pins.moes
contains 'are escaped in the audit' out 'was sampled by \\x1b\[31m\\u\{202e\}'
fails 1 'the same in a report' moe-report evil.moes
contains 'are escaped there' out '\\u\{202e\}no'
moe-cat --json a1.moes | sed '1s/"labels":"[a-z]*"/"labels":"oracle"/' | moe-cat --from-json -o tainted.moes
fails 1 'an adapter with oracle labels' moe-report --audit eval.moes arms.moes tainted.moes a0.moes pins.moes
contains 'is named too' out '^labels +FAILED'

# ---- the report on the same files ----
fails 1 'a report on them' moe-report eval.moes metrics.moes arms.moes --run run.moes --html page.html
contains 'no hack can have emerged from a random base' out '^VERDICT: (UNDECIDED|NO HACK)'
contains 'presence and update mass are there' out 'logistic, seed 1 .*held'
contains 'so is the gate' out 'THE GATE'
contains 'held against random directions' out '^ +logistic, seed 1 \(19\) '
contains 'as the page says too' page.html 'random directions:'
contains 'and how the random ablations match' out 'random ablations remove (0\.9|1\.0)[0-9]* to (0\.9|1\.0)[0-9]* of the quarantine'
contains 'the deploy curve is drawn' page.html 'The deploy knob'
contains 'and the discovery' page.html 'when each run discovered'
done_testing
