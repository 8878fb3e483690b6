#!/bin/bash
# smollm2.sh - SmolLM2-135M-Instruct beside others on the same weights: sampling at batch 1, 16 and 128 beside llama.cpp, and a step of GRPO beside TRL + PEFT
# on the prompts of examples/smollm2. lib.sh says what can be set; beside that:
#
#   MOE_BASE=DIR        the model's directory (moe-base --from-gguf); without it there is no such part
#   MOE_GGUF=FILE       the file that it is from: llama.cpp on weights as they are stored there
#   MOE_GGUF_F32=FILE   the same in F32, which is written where it is missing
#
# Two rounds at most. Larger batches of transformers: decode.sh, whose weights are random but of this shape.
set -eu
part=SmolLM2-135M-Instruct
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
if [ ! -f "${MOE_BASE:-}/config.json" ]; then
	echo "$part: without the model (MOE_BASE names its directory)" >&2
	exit 0
fi
rounds=$((rounds < 2 ? rounds : 2))
f32=${MOE_GGUF_F32:-} gguf=${MOE_GGUF:-}
if [ -n "$f32" ] && [ ! -f "$f32" ]; then
	PYTHONPATH=$top/tests/interop "$python" -c 'import sys, gguf, gguf_compare; gguf_compare.f32_file(gguf.GGUFReader(sys.argv[1]), sys.argv[2])' "$gguf" "$f32"
fi
need_llama
compile decode_bench
for round in $(seq "$rounds"); do
	for batch in 1 16 128; do
		group=$((batch < 16 ? batch : 16)) name="sampling, $batch in groups of $((batch < 16 ? batch : 16)), 64+32"
		"$tmp/decode_bench" "$MOE_BASE" "$threads" "$batch" "$group" 64 32 2 >"$tmp/json"
		sample_json "$name" tokens/s ours tokens_per_sec "$tmp/json"
		for file in ${f32:+"F32=$f32"} ${gguf:+"as stored=$gguf"}; do
			[ -n "$llama" ] || break
			"$tmp/decode_llama" run "${file#*=}" "$threads" "$batch" "$group" 64 32 2 >"$tmp/json"
			sample_json "$name" tokens/s "llama.cpp, ${file%%=*}" tokens_per_sec "$tmp/json"
		done
	done
done
need_python torch transformers peft trl datasets
demo=$MOE_BASE env=$top/examples/smollm2/env.lua modes=mentions,praise,gt_only new=32
for round in $(seq "$rounds"); do
	beside_trl "a step of GRPO, 8 x 8 x 32, rank 32" 4 2 3 16
done
finish
