#!/bin/bash
# train.sh - training speed at three shapes, side by side with PyTorch on the same model directories (random weights) and sequences: forward and
# backward, without the optimiser. lib.sh says what can be set.
#
# What is counted: tokens that have a loss, per second, the same for both. Of a text that is every token; of prompts with completions (a
# step of GRPO) the completions' tokens. There a prompt is computed once for its completions by ours (as moe-train does by default for completions with the
# same gates and masks, in passes of about 1024 tokens), and with every completion by PyTorch, whose trainers do so; equal lengths, so that it needs no
# padding. PyTorch runs in passes of as many sequences as the last but two number of a line says.
set -eu
part=training
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
compile engine_bench
need_python torch transformers peft
while read -r shape mode prompts group len new tokens seqs sec most; do
	wanted "$shape" || continue
	base "$shape" f32
	name="$shape $mode, $prompts x $len"
	[ "$new" = 0 ] || name="$shape $mode, $prompts x $group, $len+$new"
	for round in $(seq "$((rounds < most ? rounds : most))"); do
		"$tmp/engine_bench" "$base" "$mode" "$threads" "$prompts" "$group" "$len" "$new" "$tokens" "$sec" >"$tmp/json"
		sample_json "$name" tokens/s ours tokens_per_sec "$tmp/json"
		sample "$name: its products against those of 1024^3" % ours "$(jq '100 * .gemm_of_peak' "$tmp/json")"
		sample "$name: share of the time in products" % ours "$(jq '100 * .gemm_share' "$tmp/json")"
		[ -n "$python" ] || continue
		theirs "$tmp/json" train_torch.py "$base" "$mode" "$threads" "$prompts" "$group" "$len" "$new" "$seqs" "$sec"
		sample_json "$name" tokens/s "PyTorch + PEFT" tokens_per_sec "$tmp/json"
	done
done <<'END'
tiny full 64 1 45 0 360 64 2 9
tiny experts 8 16 28 16 1024 128 2 9
30m experts 8 16 128 32 1024 16 3 1
smollm2-135m experts 4 1 256 0 512 4 4 9
smollm2-135m experts 2 16 256 64 1024 4 4 1
END
finish
