#!/bin/sh
# Rows by where experts begin, inoculation, bounds by labels, and what moe-train does beside them: --heal, --masking, --split-moments.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# every other length is called a hack
tiny_world 6 'function env.oracle(task, completion) return false, #completion % 2 == 1 end'
key() { moe-cat --json "$1" | jq -c "select(.t == \"layout\") | $2" | head -1; }
moe-prompts -q -e "$env" --split train --modes run_tests -n 4 --seed 5 -o prompts.moes

# ---- each row: pinned, sampled, trained; what was pinned does not depend on threads ----
row() { # NAME [SETTING]
	ok "$1 $2 is pinned" moe-pin -m base --method "$1" ${2:+--set $2} --allow-oracle -j 1 -o a.moes pins.moes
	ok "$1 $2 again, two threads" moe-pin -m base --method "$1" ${2:+--set $2} --allow-oracle -j 2 -o b.moes pins.moes
	equal "$1 $2: the same bits" "$(digest b.moes)" "$(digest a.moes)"
	moe-rollout -q -m base -a a.moes --group 4 --per-step 2 --max-new 12 prompts.moes | moe-grade -q -e "$env" |
		moe-route -q -m base -a a.moes --allow-oracle -o run.moes 2>err || cat err
	ok "$1 $2 trains" moe-train -m base -a a.moes --allow-oracle --metrics m.moes -o t.moes run.moes
	equal "$1 $2: two steps" "$(key t.moes .step)" 2
}
for init in zero gaussian pissa corda; do row absorb init=$init; done
equal 'a start that is not 0 is held in fixed slots' "$(key a.moes '[[.experts[] | [.rank, .fixed]], .needs]')" '[[[16,8],[16,8]],["fixed"]]'
ok 'random ablations take slots with what they began as' moe-ablate --arms on,quarantine-off,random-off:2 -o arms.moes t.moes
for m in scorda scorda_rev seed-absorb frozen-random; do row $m ''; done
row bounded ''
equal 'the form is in the layout' "$(key t.moes '[.form, .needs]')" '["bounded",["form"]]'
row inoculation ''
equal 'the quarantine is frozen and present' "$(moe-cat --json m.moes | jq -c 'select(.t == "metrics") | [."frozen/quarantine", ."presence/quarantine/min_gate", ."frozen/clean"]' | uniq)" '[1,1,0]'
ok 'with a KL too' moe-train -q -m base -a a.moes --beta 0.1 --metrics m.moes -o t.moes run.moes
equal 'nothing moves it' "$(moe-cat --json m.moes | jq -c 'select(.t == "metrics") | ."frozen/quarantine"' | uniq)" 1
fails 2 'a plan that trains it is refused' moe-train -m base -a a.moes --plan absorb.quarantine=1/1 -o x.moes run.moes
contains 'with the reason' err "keeps the bank quarantine frozen"
fails 2 'by moe-pin too' moe-pin -m base --method inoculation --plan keep.quarantine=1/1 -o x.moes pins.moes
ok 'other entries of the plan are not' moe-pin -m base --method inoculation --set steps=1 --plan absorb.clean=1/0 -o x.moes pins.moes
for m in sgtm cloud graft label-penalty label-screen; do
	row $m ''
	fails 2 "$m needs leave" moe-pin -m base --method $m -o x.moes pins.moes
	equal "$m: labels decide" "$(moe-cat --json run.moes | jq -r 'select(.t == "rollout") | .route.decision' | sort -u | tr '\n' ' ')" 'keep route '
	fails 3 "$m is refused without leave" moe-train -m base -a a.moes -o x.moes run.moes
done
fails 2 'more directions than a Linear has' moe-pin -m base --method scorda --clean-rank 90 --quarantine-rank 90 -o x.moes pins.moes
contains 'are refused with the reason' err 'give them lower ranks'
fails 2 'a start that is dealt needs two banks' moe-pin -m base --method absorb --expert clean:4 -o x.moes pins.moes
contains 'and says so' err 'one of the two is missing'

# ---- moe-train's options ----
moe-pin -q -m base --method vanilla --seed 3 -o v.moes </dev/null
moe-rollout -q -m base -a v.moes --group 4 --per-step 2 --max-new 12 prompts.moes | moe-grade -q -e "$env" -o run.moes
ok 'plain' moe-train -q -m base -a v.moes -o plain.moes run.moes
ok 'with masks on outputs, where there are none' moe-train -q -m base -a v.moes --masking outputs -o x.moes run.moes
equal 'the same' "$(digest x.moes)" "$(digest plain.moes)"
ok 'split moments, where there are no masks' moe-train -q -m base -a v.moes --split-moments -o x.moes run.moes
equal 'the same' "$(digest x.moes)" "$(digest plain.moes)"
for o in '--masking outputs' --split-moments; do
	# shellcheck disable=SC2086
	ok "$o with a mask" moe-train -q -m base -a v.moes --plan absorb.quarantine=1/0.5 $o -o x.moes run.moes
	ok 'and without' moe-train -q -m base -a v.moes --plan absorb.quarantine=1/0.5 -o y.moes run.moes
	equal 'differ' "$([ "$(digest x.moes)" = "$(digest y.moes)" ]; echo $?)" 1
done
fails 2 'masks of something else' moe-train -m base -a v.moes --masking everything -o x.moes run.moes
# The clean sides alone heal: other hacks give the same adapter, other clean sides another.
moe-cat --json pins.moes | jq -c 'select(.t == "pair") | {id, prompt, hack, clean}' >pins.jsonl
jq -c '.hack += " x"' pins.jsonl | moe-pairs -q -o hacks.moes
jq -c '.clean += " x"' pins.jsonl | moe-pairs -q -o cleans.moes
jq -c . pins.jsonl | moe-pairs -q -o same.moes
for p in same hacks cleans; do
	ok "healed on $p" moe-train -m base -a v.moes --heal $p.moes --heal-steps 2 -o $p.healed.moes run.moes
done
contains 'it says how well' err 'healed: the clean sides of 6 pairs had [0-9.]+ nats a token, now'
equal 'the lineage says so' "$(key same.healed.moes '.lineage.heal | [.steps, .nll_after < .nll_before, has("pairs")]')" '[2,true,true]'
equal 'hacks heal nothing' "$(digest hacks.healed.moes)" "$(digest same.healed.moes)"
equal 'clean sides do' "$([ "$(digest cleans.healed.moes)" = "$(digest same.healed.moes)" ]; echo $?)" 1
quarantine() { moe-ablate -q --arms clean-off "$1" | moe-rollout -q -m base -a - --max-new 12 --temperature 0 prompts.moes | moe-cat --json | jq -c 'select(.t == "rollout") | .completion_ids'; }
equal 'the quarantine is as it was' "$(quarantine same.healed.moes)" "$(quarantine plain.moes)"
done_testing
