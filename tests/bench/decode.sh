#!/bin/bash
# decode.sh - sampling speed, side by side with transformers' generate and (when it is there) llama.cpp, on the same model directories (random
# weights), prompts and lengths. New tokens a second, prompts included. lib.sh says what can be set.
#
# What is compared. Batch 1, and prompts whose 16 completions are sampled together, as GRPO does. Ours and llama.cpp compute a prompt once for its
# group; transformers is used as its users do, with num_return_sequences, and computes it for every completion. All draw from
# the whole vocabulary at temperature 1, nothing stops early. A row of a model stored in bf16 is computed in float32 by ours, and in
# "theirs" by transformers; llama.cpp gets the matrices as they are stored, and caches in f16, its default.
set -eu
part=sampling
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
compile decode_bench
need_python torch transformers
need_llama
while read -r shape store dtype batch group len new sec most; do
	wanted "$shape" || continue
	base "$shape" "$store"
	if [ -n "$llama" ] && [ ! -f "$base/gguf" ]; then
		"$tmp/decode_llama" convert "$base" "$base/gguf"
	fi
	name="$shape $store"
	[ "$store$dtype" != bf16auto ] || name+=" (theirs bf16)"
	name+=", $((batch / group)) x $group, $len+$new"
	for round in $(seq "$((rounds < most ? rounds : most))"); do
		"$tmp/decode_bench" "$base" "$threads" "$batch" "$group" "$len" "$new" "$sec" >"$tmp/json"
		sample_json "$name" tokens/s ours tokens_per_sec "$tmp/json"
		if [ -n "$python" ]; then
			theirs "$tmp/json" decode_torch.py "$base" "$dtype" "$threads" "$batch" "$group" "$len" "$new" "$sec"
			sample_json "$name" tokens/s transformers tokens_per_sec "$tmp/json"
		fi
		if [ -n "$llama" ]; then
			"$tmp/decode_llama" run "$base/gguf" "$threads" "$batch" "$group" "$len" "$new" "$sec" >"$tmp/json"
			sample_json "$name" tokens/s llama.cpp tokens_per_sec "$tmp/json"
		fi
	done
done <<'END'
tiny f32 float32 1 1 64 64 1 9
tiny f32 float32 16 16 64 64 1 9
tiny f32 float32 128 16 64 64 1 9
smollm2-135m f32 float32 1 1 64 32 2 9
smollm2-135m f32 float32 16 16 64 32 2 9
smollm2-135m f32 float32 128 16 64 32 1 1
smollm2-135m bf16 auto 16 16 64 32 2 1
END
finish
