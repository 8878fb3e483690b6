#!/bin/sh
# moe-ablate: arms that need more than the adapter - matched damage, a trajectory, the pairs' direction - and what is refused.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
env=$TOP/examples/quarantine/env.lua
layouts() { moe-cat --json "$1" | jq -c "select(.t == \"layout\") | $2"; }

moe-prompts -q -e "$env" --texts -n 200 --seed 1 >texts.moes 2>err || cat err
moe-base -q --new tiny -o new 2>err || cat err
moe-base -q --pretrain -m new --steps 10 -o base texts.moes 2>err || cat err
moe-pairs -q -e "$env" -n 8 --modes run_tests,stdout_marker -o pins.moes 2>err || cat err
moe-pin -q -m base -o a0.moes pins.moes 2>err || cat err
moe-prompts -q -e "$env" -n 8 --seed 2 | moe-rollout -q -m base -a a0.moes --group 4 --per-step 4 --max-new 10 | moe-grade -q -e "$env" | moe-cat --json |
	jq -c 'if .t == "rollout" then .reward = .completion_ids.shape[0] % 5 else . end' | moe-cat --from-json | moe-route -q -m base -a a0.moes -o run.moes 2>err || cat err
: >path.moes
ok 'moe-train publishes into a file' moe-train -q -m base -a a0.moes --lr 0.002 --publish path.moes -o a1.moes run.moes
moe-prompts -q -e "$env" -n 6 --seed 9 -o prompts.moes 2>err || cat err
moe-rollout -q -m base -a a1.moes --max-new 10 -o on.moes prompts.moes 2>err || cat err

# ---- matched damage ----
for t in prompts on pins; do
	ok "damage-off on $t" moe-ablate -m base --texts $t.moes --arms quarantine-off,damage-off:3 -o d.moes a1.moes
	contains 'it says how near they come' err '3 ablations matched in damage: [0-9.]+ to [0-9.]+ of the quarantine.s distance'
	equal 'KL is matched within 2 percent' "$(layouts d.moes '.match | select(.) | .ratio > 0.98 and .ratio < 1.02' | sort -u)" true
done
ok 'again, with two threads' moe-ablate -q -j 2 -m base --texts pins.moes --arms quarantine-off,damage-off:3 -o e.moes a1.moes
equal 'gives the same arms' "$(moe-cat --json d.moes | jq -c 'select(.t == "arm-end") | .digest')" "$(moe-cat --json e.moes | jq -c 'select(.t == "arm-end") | .digest')"
equal 'the texts are among the inputs' "$(moe-cat --json d.moes | jq -c 'select(.t == "end") | .from | length')" 2
moe-cat --json on.moes | sed '$s/"labels":"[a-z]*"/"labels":"oracle"/' | moe-cat --from-json -o tainted.moes
ok 'texts that an oracle has seen' moe-ablate -q -m base --texts tainted.moes --arms damage-off:1 -o t.moes a1.moes
equal 'taint the arms' "$(moe-cat --json t.moes | jq -r 'select(.t == "end") | .labels')" oracle
fails 2 'damage-off without texts' moe-ablate -m base --arms damage-off:1 -o x.moes a1.moes
contains 'says what it needs' err "the arm 'damage-off-1' needs --texts FILE"
fails 2 'nor without a base' moe-ablate --texts on.moes --arms damage-off:1 -o x.moes a1.moes
fails 2 'texts that no arm needs' moe-ablate -m base --texts on.moes --arms on -o x.moes a1.moes
contains 'are refused' err 'no arm that was asked for needs it'
fails 3 'texts of another kind' moe-ablate -m base --texts a0.moes --arms damage-off:1 -o x.moes a1.moes
contains 'are named' err 'texts are prompts, rollouts or pairs'
moe-prompts -q -e "$env" -n 0 -o none.moes
fails 3 'no text at all' moe-ablate -m base --texts none.moes --arms damage-off:1 -o x.moes a1.moes
moe-ablate -q --arms base a1.moes | moe-rollout -q -m base -a - --max-new 4 prompts.moes 2>/dev/null >off.moes || moe-cat --json on.moes | sed 's/"arm":"on"/"arm":"base"/' | moe-cat --from-json -o off.moes
fails 3 'rollouts of other arms alone' moe-ablate -m base --texts off.moes --arms damage-off:1 -o x.moes a1.moes
contains 'are none of on' err 'no rollouts of the arm on'
moe-base -q --new tiny --seed 5 -o other
fails 3 'another base' moe-ablate -m other --texts pins.moes --arms damage-off:1 -o x.moes a1.moes
ok 'unless that is allowed' moe-ablate -q -m other --any-base --texts pins.moes --arms damage-off:1 -o x.moes a1.moes

fails 2 'standard input twice' moe-ablate -m base --texts - --arms damage-off:1 -o x.moes
moe-cat --json on.moes | jq -c 'if .t == "rollout" then .prompt_ids.data["$bin"] = ("//9/" + .prompt_ids.data["$bin"][4:]) else . end' | moe-cat --from-json -o odd.moes
fails 3 'tokens of another vocabulary' moe-ablate -m base --texts odd.moes --arms damage-off:1 -o x.moes a1.moes
contains 'by file and record' err 'odd.moes: record 1: token -?[0-9]+ is outside of'

# ---- a trajectory ----
ok 'trajectory-out' moe-ablate -q --trajectory path.moes --arms trajectory-out=1,2,64 -o t.moes a1.moes
equal 'says how much of the way it was' "$(layouts t.moes '[.arm, .match.steps, (.match.share > 0 and .match.share <= 1.000001)] | join(" ")' | tr -d '"' | tr '\n' ';')" 'trajectory-out=1 2 true;trajectory-out=2 2 true;trajectory-out=64 2 true;'
moe-rollout -q -m base -a t.moes --max-new 8 -o r.moes prompts.moes
moe-ablate -q --arms base a1.moes | moe-rollout -q -m base -a /dev/stdin --max-new 8 -o b.moes prompts.moes
ids() { moe-cat --json "$1" | jq -c "select(.t == \"rollout\" and .arm == \"$2\") | .completion_ids" | sort; }
equal 'without all of its directions nothing is left of the training' "$(ids r.moes trajectory-out=64)" "$(ids b.moes base)"
fails 2 'trajectory-out without one' moe-ablate --arms trajectory-out=1 -o x.moes a1.moes
fails 2 'more directions than there can be' moe-ablate --trajectory path.moes --arms trajectory-out=65 -o x.moes a1.moes
moe-pin -q -m base --quarantine-rank 3 -o thin.moes pins.moes
fails 3 'of another run' moe-ablate --trajectory path.moes --arms trajectory-out=1 -o x.moes thin.moes
contains 'it says so' err 'another layout'
fails 3 'steps in the wrong order' moe-ablate --trajectory path.moes --trajectory path.moes --arms trajectory-out=1 -o x.moes a1.moes
contains 'they are named' err 'after step 1 stands behind the one after step 2'
moe-ablate -q --arms clean-off -o off.moes a1.moes
fails 3 'an ablated adapter is no step' moe-ablate --trajectory off.moes --arms trajectory-out=1 -o x.moes a1.moes
fails 3 'memory is bounded' moe-ablate --max-mem 400K --trajectory path.moes --arms trajectory-out=1 -o x.moes a1.moes
contains 'by --max-mem' err 'max-mem'

# ---- the pairs' direction ----
ok 'pairs-out' moe-ablate -q -m base --pairs pins.moes --arms on,pairs-out -o p.moes a1.moes
equal 'adds an expert of rank 1 to the bank shared' "$(layouts p.moes '.experts | map(.bank + ":" + (.rank | tostring)) | join(",")' | tail -1)" '"clean:8,quarantine:8,shared:1"'
equal 'and says which layer' "$(layouts p.moes '.match | select(.) | .layer >= 1 and .margin > 0')" true
ok 'arms of different layouts are sampled side by side' moe-rollout -q -m base -a p.moes --max-new 8 -o r.moes prompts.moes
equal 'both of them' "$(moe-cat --json r.moes | jq -r 'select(.t == "rollout") | .arm' | sort -u | tr '\n' ' ')" 'on pairs-out '
moe-pin -q -m base --method topk --targets q,v -o topk.moes pins.moes
fails 3 'a router without o and down' moe-ablate -m base --pairs pins.moes --arms pairs-out -o x.moes topk.moes
contains 'would be moved' err 'would move this adapter.s router'
moe-cat --json pins.moes | sed '$s/"labels":"[a-z]*"/"labels":"oracle"/' | moe-cat --from-json -o oracle.moes
fails 3 'pairs that findings chose' moe-ablate -m base --pairs oracle.moes --arms pairs-out -o x.moes a1.moes
contains 'are refused' err "labels 'oracle'"
fails 2 'pairs-out without pairs' moe-ablate -m base --arms pairs-out -o x.moes a1.moes
done_testing
