#!/bin/bash
# smollm2.sh - SmolLM2-135M-Instruct beside others on the same weights, in one run: moe-base --score and moe-rollout beside transformers and llama.cpp,
# sampling at batch 1, 16 and 128 beside llama.cpp, then a step of GRPO beside TRL + PEFT (smollm2_grpo.py). About ten minutes on two idle cores with ROUNDS=2.
#   MOE_BASE=DIR (of moe-base --from-gguf) MOE_GGUF=FILE [MOE_GGUF_F32=FILE] [MOE_LLAMA=DIR] [MOE_PYTHON=...] tests/bench/smollm2.sh
# Tokens a second of each, by turns, best of ROUNDS; without the files or the Python it says so. llama.cpp is measured where llama_cpp can be imported: on
# the F32 weights when MOE_GGUF_F32 names such a file, which is written where it is missing, and on MOE_GGUF as it is. Its batches of 16 and 128 need
# MOE_LLAMA (decode.sh says what lies there; the parts of an installed llama-cpp-python do: its site-packages/include and llama_cpp/lib).
# Beside each speed of the first table stand the multiply-adds and the bytes of weights that it takes, and their share of what the machine can.
set -eu
part=smollm2
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
if [ ! -f "${MOE_BASE:-}/config.json" ] || ! "$python" -c 'import torch, transformers' 2>/dev/null; then
	echo "smollm2: skipped (set MOE_BASE to the model's directory, MOE_PYTHON to a Python with torch and transformers)"
	exit 0
fi
f32=${MOE_GGUF_F32:-} gguf=${MOE_GGUF:-}
if [ -n "$f32" ] && [ ! -f "$f32" ]; then
	PYTHONPATH=$top/tests/interop "$python" -c 'import sys, gguf, gguf_compare; gguf_compare.f32_file(gguf.GGUFReader(sys.argv[1]), sys.argv[2])' "$gguf" "$f32"
fi
"$python" "$top/tests/bench/smollm2.py" "$bin" "$MOE_BASE" "$gguf" "$f32"
if [ -n "${MOE_LLAMA:-}" ]; then
	lib=$(dirname "$(ls "$MOE_LLAMA"/lib*/libllama.so)")
	compile decode_bench
	compile decode_llama -I"$MOE_LLAMA/include" -L"$lib" -Wl,--disable-new-dtags,-rpath,"$lib" -lllama -lggml -lggml-base
	for round in $(seq "$rounds"); do
		for batch in 1 16 128; do
			group=$((batch < 16 ? batch : 16)) name="sampling, $batch in groups of $((batch < 16 ? batch : 16)), 64+32"
			"$tmp/decode_bench" "$MOE_BASE" "$threads" "$batch" "$group" 64 32 2 >"$tmp/json"
			sample_json "$name" tokens/s ours tokens_per_sec "$tmp/json"
			for file in ${f32:+"F32=$f32"} ${gguf:+"stored=$gguf"}; do
				"$tmp/decode_llama" run "${file#*=}" "$threads" "$batch" "$group" 64 32 2 >"$tmp/json"
				sample_json "$name" tokens/s "llama.cpp ${file%%=*}" tokens_per_sec "$tmp/json"
			done
		done
	done
	finish
fi
STEPS=${STEPS:-3} "$python" -W ignore "$top/tests/bench/smollm2_grpo.py" "$bin" "$MOE_BASE"
