#!/bin/bash
# decode.sh - sampling speed, side by side with transformers' generate and (when it is there) llama.cpp, on the same model directories (random
# weights), prompts and lengths. New tokens a second, prompts included. lib.sh says what can be set; beside that:
#
#   MOE_LLAMA=DIR   an installed llama.cpp (CPU backend, native, Release): DIR/include/llama.h and DIR/lib*/libllama.so. decode_llama.c is
#                   compiled against it and writes the GGUF by itself. Without it there is no such column.
#
# What is compared. Batch 1, and prompts whose 16 completions are sampled together, as GRPO does. Ours and llama.cpp compute a prompt once for its
# group; transformers is used as its users do, with num_return_sequences, and computes it for every completion. All draw from
# the whole vocabulary at temperature 1, nothing stops early. A row of a model stored in bf16 is computed in float32 by ours, and in
# "theirs" by transformers; llama.cpp gets the matrices as they are stored, and caches in f16, its default.
set -eu
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
compile decode_bench
need_python torch transformers
llama=${MOE_LLAMA-}
if [ -n "$llama" ]; then
	lib=$(dirname "$(ls "$llama"/lib*/libllama.so)")
	compile decode_llama -I"$llama/include" -L"$lib" -Wl,--disable-new-dtags,-rpath,"$lib" -lllama -lggml -lggml-base
else
	echo "without llama.cpp (MOE_LLAMA names where it is installed)"
fi
echo "decode: $threads threads; new tokens a second, prompts included; best of $rounds rounds; load $(cut -d' ' -f1 /proc/loadavg)"
format='%-42s %9s %6s %10s %6s %6s %5s'
head=(shape tokens/s MB generate/s MB ratio mem)
[ -z "$llama" ] || { format+=' %10s %6s %6s %5s'; head+=(llama.cpp MB ratio mem); }
# shellcheck disable=SC2059 # the format is ours
printf "$format\n" "${head[@]}"
while read -r shape store dtype batch group len new sec most; do
	wanted "$shape" tiny smollm2-135m || continue
	base "$shape" "$store"
	rm -f "$tmp"/*.json
	touch "$tmp/ours.json" "$tmp/torch.json" "$tmp/llama.json"
	if [ -n "$llama" ] && [ ! -f "$base/gguf" ]; then
		"$tmp/decode_llama" convert "$base" "$base/gguf"
	fi
	for _ in $(seq "$((rounds < most ? rounds : most))"); do
		"$tmp/decode_bench" "$base" "$threads" "$batch" "$group" "$len" "$new" "$sec" >>"$tmp/ours.json"
		[ -z "$python" ] || theirs "$tmp/torch.json" decode_torch.py "$base" "$dtype" "$threads" "$batch" "$group" "$len" "$new" "$sec"
		[ -z "$llama" ] || "$tmp/decode_llama" run "$base/gguf" "$threads" "$batch" "$group" "$len" "$new" "$sec" >>"$tmp/llama.json"
	done
	name="$shape $store"
	[ "$store$dtype" != bf16auto ] || name+=" (theirs bf16)"
	[ "$store$dtype" != bf16float32 ] || name+=" (theirs f32)"
	jq -rs --slurpfile t "$tmp/torch.json" --slurpfile l "$tmp/llama.json" --argjson llama "$([ -n "$llama" ] && echo true || echo false)" \
		--arg name "$name $((batch / group)) x $group, $len+$new" '
		def r(n): . * pow(10; n) | round / pow(10; n);
		max_by(.tokens_per_sec) as $a |
		def beside: if length == 0 then ["-", "-", "-", "-"] else max_by(.tokens_per_sec) |
			[(.tokens_per_sec | r(0)), (.peak_mb | r(0)), ($a.tokens_per_sec / .tokens_per_sec | r(2)), ($a.peak_mb / .peak_mb | r(2))] end;
		[$name, ($a.tokens_per_sec | r(0)), ($a.peak_mb | r(0))] + ($t | beside) + (if $llama then $l | beside else [] end) | @tsv' "$tmp/ours.json" |
		while IFS=$'\t' read -r -a f; do
			# shellcheck disable=SC2059 # the format is ours
			printf "$format\n" "${f[@]}"
		done
done <<'END'
tiny f32 float32 1 1 64 64 1 9
tiny f32 float32 16 16 64 64 1 9
tiny f32 float32 128 16 64 64 1 9
smollm2-135m f32 float32 1 1 64 32 3 9
smollm2-135m f32 float32 16 16 64 32 3 9
smollm2-135m f32 float32 128 16 64 32 3 1
smollm2-135m f32 float32 128 16 256 64 1 1
smollm2-135m bf16 auto 16 16 64 32 3 1
smollm2-135m bf16 float32 16 16 64 32 3 1
END
echo "shape: prompts x completions of each, prompt+new tokens. ratio: our speed over theirs; mem: our peak memory over theirs"
