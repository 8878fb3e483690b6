#!/bin/bash
# grpo.sh - a step of GRPO: moe-prompts | moe-rollout | moe-grade | moe-train beside TRL's GRPOTrainer with PEFT on the same directory: 8 prompts x 8
# completions, rank 32 on all Linears, sampling and grading included, start and loading not. On the demo's tiny base, and on SmolLM2-135M-Instruct where
# MOE_BASE names its directory (moe-base --from-gguf). lib.sh says what can be set.
#
# Both draw at temperature 1 until the model stops, from the same prompts, so that lengths agree up to chance. TRL's reward is a length, which costs
# nothing; ours runs the completions in their sandbox, twice.
set -eu
part="a step of GRPO"
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
need_python torch transformers peft trl datasets
# measure ROW MANY FEW STEPS MICRO: our steps MANY less FEW, TRL's STEPS less the first, in passes of MICRO sequences
measure() {
	sample "$1" s ours "$(grpo_step vanilla "$threads" "$2" "$3")"
	[ -n "$python" ] || return 0
	theirs "$tmp/json" grpo_trl.py "$demo" "$threads" 8 8 "$new" "$4" "$5" "$env" "$modes"
	sample_json "$1" s "TRL + PEFT" sec_per_step "$tmp/json"
}
demo_base
for round in $(seq "$rounds"); do
	measure "tiny, 8 x 8 x 28, rank 32" 43 3 8 64
done
if [ -f "${MOE_BASE-}/config.json" ]; then
	demo=$MOE_BASE env=$top/examples/smollm2/env.lua modes=mentions,praise,gt_only new=32
	for round in $(seq "$((rounds < 2 ? rounds : 2))"); do
		measure "SmolLM2-135M-Instruct, 8 x 8 x 32, rank 32" 4 2 3 16
	done
else
	echo "$part: without SmolLM2-135M-Instruct (MOE_BASE names its directory)" >&2
fi
finish
