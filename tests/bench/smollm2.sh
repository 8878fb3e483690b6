#!/bin/bash
# smollm2.sh - SmolLM2-135M-Instruct beside others on the same weights, in one run: moe-base --score and moe-rollout beside transformers and llama.cpp, then a
# step of GRPO beside TRL + PEFT (smollm2_grpo.py). About seven minutes on two idle cores with ROUNDS=2.
#   MOE_BASE=DIR (of moe-base --from-gguf) MOE_GGUF=FILE [MOE_PYTHON=...] tests/bench/smollm2.sh
# Tokens a second of each, by turns, best of ROUNDS; without the files or the Python it says so. llama.cpp is measured where llama_cpp can be imported: on
# the F32 weights when MOE_GGUF_F32 names such a file (tests/interop/gguf_compare.py writes it there), and on MOE_GGUF as it is. llama.cpp at larger
# batches: decode.sh with MOE_LLAMA, whose weights are random but of this shape.
# Beside each speed stand the multiply-adds and the bytes of weights that it takes, and their share of what the machine can.
set -eu
bin=${MOE_BIN:-build} python=${MOE_PYTHON:-python3}
if [ ! -f "${MOE_BASE:-}/config.json" ] || ! "$python" -c 'import torch, transformers' 2>/dev/null; then
	echo "smollm2: skipped (set MOE_BASE to the model's directory, MOE_PYTHON to a Python with torch and transformers)"
	exit 0
fi
f32=${MOE_GGUF_F32:-}
[ -z "$f32" ] || [ -f "$f32" ] || f32=
"$python" "$(dirname "$0")/smollm2.py" "$bin" "$MOE_BASE" "${MOE_GGUF:-}" "$f32"
STEPS=${STEPS:-3} "$python" -W ignore "$(dirname "$0")/smollm2_grpo.py" "$bin" "$MOE_BASE"
