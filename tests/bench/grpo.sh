#!/bin/bash
# grpo.sh - a step of GRPO on the demo's tiny base: moe-prompts | moe-rollout | moe-grade | moe-train beside TRL's GRPOTrainer with PEFT on the same
# directory: 8 prompts x 8 completions of at most 28 tokens (lib.sh, beside_trl). lib.sh says what can be set.
set -eu
part="a step of GRPO"
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
need_python torch transformers peft trl datasets
demo_base
for round in $(seq "$rounds"); do
	beside_trl "tiny, 8 x 8 x 28, rank 32" 43 3 8 64
done
finish
