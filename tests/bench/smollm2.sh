#!/bin/bash
# smollm2.sh - SmolLM2-135M-Instruct: moe-base --score and moe-rollout beside transformers and llama.cpp on the same weights, in one run.
#   MOE_BASE=DIR (of moe-base --from-gguf) MOE_GGUF=FILE [MOE_PYTHON=...] tests/bench/smollm2.sh
# Tokens a second of each, by turns, best of ROUNDS; without the files or the Python it says so. llama.cpp is measured where llama_cpp can be imported: on
# the F32 weights when MOE_GGUF_F32 names such a file (tests/interop/gguf_compare.py writes one), and on MOE_GGUF as it is.
set -eu
bin=${MOE_BIN:-build} python=${MOE_PYTHON:-python3}
if [ ! -f "${MOE_BASE:-}/config.json" ] || ! "$python" -c 'import torch, transformers' 2>/dev/null; then
	echo "smollm2: skipped (set MOE_BASE to the model's directory, MOE_PYTHON to a Python with torch and transformers)"
	exit 0
fi
exec "$python" "$(dirname "$0")/smollm2.py" "$bin" "$MOE_BASE" "${MOE_GGUF:-}" "${MOE_GGUF_F32:-}"
