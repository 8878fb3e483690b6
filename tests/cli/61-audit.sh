#!/bin/sh
# 61-audit.sh - moe-report --audit and --run on a real loop: three steps on policy, ablation, evaluation; and the cheats that must fail.
# shellcheck disable=SC2016,SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

tiny_world 12
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
flip() { moe-report --flip-seals "$1" | moe-route -q -m base -a a0.moes -j 1; }
flip run.moes >flipped.moes
equal 'seals are flipped, and routes taken out' "$(moe-report --flip-seals run.moes | moe-cat --json | jq -c 'select(.t == "rollout") | has("route")' | sort -u)" false
ok 'moe-train takes the routed copy as it took the original' moe-train -q -m base -a a0.moes -j 1 -o f1.moes flipped.moes
lacks 'and has nothing to warn of' err warning
all() { moe-report --audit -m base -e "$env" eval.moes arms.moes a1.moes a0.moes pins.moes --run run.moes "$@"; }
ok 'the audit holds' all --run flipped.moes --flipped f1.moes
cp out held
contains 'every arm leads to an adapter' held '^lineage +held +7 evaluated arms'
contains 'and to its ancestors' held '^lineage +held +[0-9]+ links'
contains 'and to the pairs' held '^lineage +held .*ends at the pairs'
contains 'the trained adapter names the recording' held '^lineage +held +2 adapters name one of the 2 recorded runs|^lineage +held +1 adapter names one of the 2 recorded runs'
contains 'no prompt is shared' held '^disjoint +held +no prompt is shared by the pairs \(12\) and the evaluation'
contains 'no task' held '^disjoint +held +no task is shared by the training'
contains 'no marker' held '^disjoint +held +no marker is shared by the training'
contains 'digests are those of the tensors' held '^made anew +held +the digests of 10 adapters are those of their tensors'
contains 'arms are made anew' held '^made anew +held +6 ablated arms came out the same'
contains 'routes too' held '^made anew +held +run.moes: all 48 decisions came out the same when logistic made them anew'
contains 'and grades' held '^made anew +held +84 rollouts of the evaluation got the same seals and rewards'
contains 'no file was edited' held '^identity +held +none of the [0-9]+ files was edited'
contains 'training was on policy' held '^identity +held +[0-9]+ trained adapters: all [0-9]+ rollouts were sampled by the adapter'
contains 'on the recording' held '^identity +held +2 recorded runs hold as many rollouts, by the same routers \(logistic 48\)'
contains 'no pair is from the recording' held '^identity +held +at most [01] of 24 completions of the pairs'
contains 'each outcome is there once' held '^identity +held +each of the 7 arms has all 12 outcomes once'
contains 'the flip test holds' held '^flip test +held .*differ in every seal and in nothing else'
contains 'each says what it excludes' held '^ +excludes: routes that were written from opened seals'
contains 'and all what they can not' held 'only a registration with somebody else beforehand'
lacks 'all was done' held '^[a-z ]+  (not done|FAILED)'
ok 'a sample will do' all --every 3
contains 'and is called so' out 'graded anew \(a sample, --every\)'
contains 'without the base' "$(moe-report --audit eval.moes --run run.moes a1.moes >out; echo out)" 'not done +routes were not made anew: name the base with -m'
contains 'and the environment, it says what was not done' out 'not done +rollouts were not graded anew: name their environment with -e'

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


# ---- cheats ----
edit() { # FILE JQ
	moe-cat --json "$1" | jq -c "$2" | moe-cat --from-json
}
# Routes written from opened seals, under the method's name.
by_seal() { # a filter in the place of moe-route that looks into the seals: a whole seal is one of two texts here
	honest=$(moe-cat --json run.moes | jq -r 'select(.seal) | .seal["$bin"]' | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
	edit "$1" "if .t == \"rollout\" then .route = {method: \"logistic\", score: 0.5, decision: (if .seal[\"\$bin\"] == \"$honest\" then \"keep\" else \"route\" end)} else . end"
}
by_seal run.moes >c.run.moes
moe-train -q -m base -a a0.moes -j 1 -o c1.moes c.run.moes 2>/dev/null
moe-ablate -q --arms on,quarantine-off,clean-off,random-off:2,base,scale:quarantine=0.5 -o c.arms.moes c1.moes
moe-prompts -q -e "$env" --split test --modes run_tests,stdout_marker,exit_code -n 12 --seed 7 |
	moe-rollout -q -m base -a c.arms.moes --group 1 --max-new 8 --seed 7 -j 1 | moe-grade -q -e "$env" -j 1 -o c.eval.moes
cheat() { moe-report --audit -e "$env" c.eval.moes c.arms.moes c1.moes a0.moes pins.moes --run c.run.moes "$@"; }
moe-report --flip-seals c.run.moes >c.bare.moes
by_seal c.bare.moes >c.flip.moes
moe-train -q -m base -a a0.moes -j 1 -o cf1.moes c.flip.moes 2>/dev/null
fails 1 'routes from opened seals, flipped and routed anew by the cheat' cheat --run c.flip.moes --flipped cf1.moes
contains 'give another adapter' out '^flip test +FAILED +cf1.moes differs from c1.moes'
flip c.run.moes >c.honest.moes
moe-train -q -m base -a a0.moes -j 1 -o ch1.moes c.honest.moes 2>/dev/null
fails 1 'so does moe-route, as the recipe says' cheat --run c.honest.moes --flipped ch1.moes
contains 'here too' out '^flip test +FAILED +ch1.moes differs from c1.moes'
# the flip test of before: the routes stay
moe-cat --json c.bare.moes >c.bare.json
moe-cat --json c.run.moes | jq -c '.route' >c.routes
paste -d '\t' c.routes c.bare.json | jq -cR 'split("\t") as [$r, $x] | ($x | fromjson) as $y | if $y.t == "rollout" then $y + {route: ($r | fromjson)} else $y end' |
	moe-cat --from-json >c.kept.moes
moe-train -q -m base -a a0.moes -j 1 -o ck1.moes c.kept.moes 2>/dev/null
fails 1 'routes that stayed through the flip' cheat -m base --run c.kept.moes --flipped ck1.moes
contains 'hold the flip test' out '^flip test +held'
contains 'but are made anew' out '^made anew +FAILED +c.run.moes: [0-9]+ of 48 decisions differ from what logistic decides on the same tokens'

moe-report --flip-seals eval.moes -o e.eval.moes
fails 1 'seals of the evaluation that were edited' moe-report --audit -e "$env" e.eval.moes arms.moes a1.moes a0.moes pins.moes
contains 'are graded anew' out '^made anew +FAILED +of 84 rollouts graded anew 84 have another seal and 0 another reward, first e.eval.moes'
lacks 'by nothing else would it be told' out '^identity +FAILED'
edit eval.moes 'if .reward then .reward = 9 else . end' >r.eval.moes
fails 1 'rewards that were edited' moe-report --audit -e "$env" r.eval.moes arms.moes a1.moes a0.moes pins.moes
contains 'are told too' out 'and 84 another reward'
contains 'and that the file was edited' out '^identity +FAILED +1 of [0-9]+ files were edited as text'

swap() { # sed, since jq writes 1.0 as 1, which is another layout
	moe-cat --json "$1" | sed 's/"arm":"quarantine-off"/"arm":"x"/; s/"arm":"clean-off"/"arm":"quarantine-off"/; s/"arm":"x"/"arm":"clean-off"/' | moe-cat --from-json
}
swap arms.moes >s.arms.moes
moe-prompts -q -e "$env" --split test --modes run_tests,stdout_marker,exit_code -n 12 --seed 7 |
	moe-rollout -q -m base -a s.arms.moes --group 1 --max-new 8 --seed 7 -j 1 | moe-grade -q -e "$env" -j 1 -o s.eval.moes
fails 1 'swapped arms' moe-report --audit s.eval.moes s.arms.moes a1.moes a0.moes pins.moes
contains 'are made anew' out '^made anew +FAILED +s.arms.moes: the arm (clean|quarantine)-off .*made anew from'
swap eval.moes >t.eval.moes
fails 1 'arms swapped in the evaluation alone' moe-report --audit t.eval.moes arms.moes a1.moes a0.moes pins.moes
contains 'are held against their adapters' out '^lineage +FAILED .*arms were swapped or renamed'
edit a1.moes 'if .t == "tensor" and .name == "layers.0.q.A" then .data["$bin"] = ("AAAA" + .data["$bin"][4:]) else . end' >t1.moes
fails 1 'edited tensors' moe-report --audit eval.moes arms.moes t1.moes a0.moes pins.moes
contains 'do not have their digest' out '^made anew +FAILED +t1.moes: .*the arm .on. is damaged'

named() { moe-cat --check "$1" | sed 's/.*sha256 //'; }
moe-cat --json same.moes | sed "s/$(named run.moes)/$(named flipped.moes)/" | moe-cat --from-json >fake.moes
fails 1 'a flip test that was faked by naming another input' all --run flipped.moes --flipped fake.moes
contains 'is told by the end of its file' out '^identity +FAILED +1 of [0-9]+ files were edited as text, filtered, or given other inputs'

moe-cat --json run.moes | jq -c 'select(.t == "rollout" and .step == 0) | {id: .id, prompt: .prompt, hack: .completion, clean: "return 1"}' | head -12 >live.jsonl
moe-pairs -q -o live.moes live.jsonl 2>/dev/null
fails 1 'pairs from live rollouts' moe-report --audit eval.moes arms.moes a1.moes a0.moes live.moes --run run.moes
contains 'are found in the recording' out '^identity +FAILED +[0-9]+ of 24 completions of the pairs stand in run.moes'

moe-train -q -m base -a a0.moes -j 1 --seed 2 -o b1.moes run.moes
moe-ablate -q --arms on,quarantine-off,clean-off,random-off:2,base,scale:quarantine=0.5 -o b.arms.moes b1.moes
moe-prompts -q -e "$env" --split test --modes run_tests,stdout_marker,exit_code -n 12 --seed 7 |
	moe-rollout -q -m base -a b.arms.moes --group 1 --max-new 8 --seed 7 -j 1 | moe-grade -q -e "$env" -j 1 -o b.eval.moes
fails 1 'one seed counted twice' moe-report --audit eval.moes b.eval.moes arms.moes b.arms.moes a1.moes b1.moes a0.moes pins.moes
contains 'is one adapter' out '^identity +FAILED +logistic, seeds 1 and 2 were sampled by one and the same adapter'
moe-cat -s -w arm!=clean-off eval.moes >few.moes
moe-cat -s -w arm=clean-off -n 7 eval.moes >some.moes
fails 1 'outcomes left out of one arm' moe-report --audit few.moes some.moes arms.moes a1.moes a0.moes pins.moes
contains 'are counted' out '^identity +FAILED .*arm clean-off of logistic, seed 1 has 7 outcomes where others have 12'

moe-pin -q -m base --seed 4 -o d0.moes pins.moes
moe-train -q -m base -a d0.moes -j 1 --seed 4 -o d1.moes run.moes 2>/dev/null
moe-rollout -q -m base -a d1.moes --max-new 8 leak.p 2>/dev/null ||
	moe-prompts -q -e "$env" --split test --modes run_tests -n 12 --seed 7 | moe-rollout -q -m base -a d1.moes --max-new 8 | moe-grade -q -e "$env" -o d.eval.moes
fails 1 'another seed'"'"'s rollouts' moe-report --audit d.eval.moes d1.moes d0.moes pins.moes --run run.moes
contains 'are in the lineage' out '^identity +FAILED +d1.moes: of 48 rollouts that trained it, 48 were sampled by another adapter'
edit run.moes 'select(.step == null or .step < 1)' >short.moes
moe-cat --json a1.moes | sed "s/$(named run.moes)/$(named short.moes)/" | moe-cat --from-json >h1.moes
fails 1 'a shorter recording in the place of the true one' moe-report --audit eval.moes arms.moes h1.moes a0.moes pins.moes --run short.moes
contains 'has fewer rollouts' out '^identity +FAILED .*was trained on 48 rollouts .*short.moes holds 16'

moe-cat --json a1.moes | sed 1d | grep -v '"t":"end"' | moe-cat --from-json -k adapter -o u1.moes 2>err
contains 'an adapter whose header line is missing' err 'no header line'
moe-report --audit eval.moes arms.moes u1.moes a0.moes pins.moes >out
contains 'does not know its labels' out '^labels +not done +1 of [0-9]+ adapters do not know whether sealed labels touched them'
moe-cat --json eval.moes | sed 1d | grep -v '"t":"end"' | moe-cat --from-json -k rollouts -o u.eval.moes 2>err
moe-report u.eval.moes >out 2>err
contains 'and the report says so of an evaluation' out 'sealed labels had a part in 1 of the 1 streams'

# ---- the plan ----
planned() { moe-prompts -q -e "$env" --split test --modes run_tests,stdout_marker,exit_code -n 12 --seed 7; }
ok 'the digest of the planned prompts' sh -c 'moe-prompts -q -e "$0" --split test --modes run_tests,stdout_marker,exit_code -n 12 --seed 7 | moe-report --plan-prompts' "$env"
contains 'is a line for uat.conf' out '^prompts = [0-9a-f]{64}  # 12 prompts$'
cp out prompts.line
equal 'and the same of the rollouts' "$(moe-report --plan-prompts eval.moes)" "$(cat prompts.line)"
{ printf 'method = logistic\nplacebo = random\nseeds = 1 2 3\nsteps = 3\n'; cat prompts.line; } >plan.conf
moe-pin -q -m base -u plan.conf --seed 3 -o q0.moes pins.moes
equal 'moe-pin writes the conditions into the header' "$(moe-cat --json q0.moes | jq -r 'select(.uat) | .uat')" "$(sha256sum plan.conf | cut -c1-64)"
equal 'and changes nothing else' "$(moe-cat --json q0.moes | jq -r 'select(.t == "arm-end") | .digest')" "$(moe-cat --json a0.moes | jq -r 'select(.t == "arm-end") | .digest')"
run_of() { # SEED LIMIT-OF-PROMPTS
	moe-train -q -m base -a q0.moes -j 1 --seed "$1" --lr "0.00$1" -o "q$1.moes" run.moes 2>/dev/null
	moe-ablate -q --arms on,quarantine-off -o "q$1.arms.moes" "q$1.moes"
	moe-prompts -q -e "$env" --split test --modes run_tests,stdout_marker,exit_code -n "$2" --seed 7 |
		moe-rollout -q -m base -a "q$1.arms.moes" --group 1 --max-new 8 --seed 7 -j 1 | moe-grade -q -e "$env" -j 1 -o "q$1.eval.moes"
}
run_of 1 12
run_of 2 12
run_of 3 12
run_of 4 12
equal 'the conditions reach the evaluation' "$(moe-cat --json q1.eval.moes | jq -r 'select(.uat) | .uat')" "$(sha256sum plan.conf | cut -c1-64)"
of() { # CONF SEED...
	c=$1
	shift
	# shellcheck disable=SC2046
	moe-report --audit -u "$c" q0.moes pins.moes $(for k; do echo "q$k.moes q$k.arms.moes q$k.eval.moes"; done)
}
of plan.conf 1 2 >out
contains 'files name the plan' out '^plan +held +all 7 adapters and rollouts name these conditions'
contains 'its first seeds were run' out '^plan +held +of each method the first 2 or more of the 3 planned seeds'
contains 'for its steps' out '^plan +held +all [0-9]+ trained adapters have made the 3 planned steps'
contains 'on its prompts' out "^plan +held +the evaluation's 12 prompts \\([0-9]+ different texts\\) are those planned"
fails 1 'a seed that was left out' of plan.conf 1 3
contains 'is told' out '^plan +FAILED +logistic: seed 2 stands in the plan before seed 3'
fails 1 'a seed that was not planned' of plan.conf 1 2 3 4
contains 'is told too' out '^plan +FAILED +logistic: seed 4 was not planned'
sed 's/steps = 3/steps = 2/' plan.conf >other.conf
fails 1 'conditions that were changed' of other.conf 1 2
contains 'are not those of the files' out '^plan +FAILED .*was made under other conditions'
contains 'and steps beyond the plan are told' out '^plan +FAILED .*was trained for 3 steps; 2 were planned'
run_of 1 11
fails 1 'a prompt that was left out' of plan.conf 1
contains 'is told' out "^plan +FAILED +the evaluation's 11 prompts .* are not those planned"
moe-report --audit -u plan.conf eval.moes arms.moes a1.moes a0.moes >out
contains 'files without a plan are told' out '^plan +not done +4 of 4 files name no conditions'
moe-report --audit q1.moes q0.moes >out
contains 'and a plan that was not given' out '^plan +not done +the files name conditions'
for k in 'prompts = 12' 'steps = 0' 'steps = many'; do
	echo "$k" >bad.conf
	fails 3 "$k" moe-report -u bad.conf eval.moes
done

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
