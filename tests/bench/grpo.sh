#!/bin/bash
# grpo.sh - a step of GRPO on the demo's tiny base: moe-prompts | moe-rollout | moe-grade | moe-train beside TRL's GRPOTrainer with PEFT on the same
# directory: 8 prompts x 8 completions of at most 28 tokens, rank 32 on all Linears, sampling and grading included, start and loading not. lib.sh says what
# can be set. TRL's reward is a length, which costs nothing; ours runs the completions in their sandbox, twice.
set -eu
part="a step of GRPO"
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
need_python torch transformers peft trl datasets
demo_base
for round in $(seq "$rounds"); do
	sample "tiny, 8 x 8 x 28, rank 32" s ours "$(grpo_step vanilla "$threads")"
	[ -n "$python" ] || continue
	theirs "$tmp/json" grpo_trl.py "$demo" "$threads" 8 8 28 8 "$env" $modes
	sample_json "tiny, 8 x 8 x 28, rank 32" s "TRL + PEFT" sec_per_step "$tmp/json"
done
finish
