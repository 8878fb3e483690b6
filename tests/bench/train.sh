#!/bin/bash
# train.sh - training speed at three shapes, side by side with PyTorch on the same model directories (random weights) and sequences: forward and
# backward, without the optimiser. lib.sh says what can be set.
#
# What is counted: tokens that have a loss, per second, the same for both. Of a text that is every token; of prompts with completions (a
# step of GRPO) the completions' tokens. There a prompt is computed once for its completions by ours (as moe-train does by default for completions with the
# same gates and masks, in passes of about 1024 tokens), and with every completion by PyTorch, whose trainers do so; equal lengths, so that it needs no
# padding. PyTorch runs in passes of as many sequences as the last but two number of a line says.
set -eu
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
compile engine_bench
need_python torch transformers peft
echo "train: $threads threads; tokens with a loss a second, forward and backward; best of $rounds rounds; load $(cut -d' ' -f1 /proc/loadavg)"
format='%-42s %9s %7s %6s %6s %6s %9s %6s %6s %5s %6s\n'
# shellcheck disable=SC2059 # the format is ours
printf "$format" shape tokens/s GFLOP/s 'gemm%' 'peak%' MB torch/s MB ratio mem sgemm
while read -r shape mode prompts group len new tokens seqs sec most; do
	wanted "$shape" tiny 30m smollm2-135m || continue
	base "$shape" f32
	rm -f "$tmp"/*.json
	touch "$tmp/ours.json" "$tmp/torch.json"
	for _ in $(seq "$((rounds < most ? rounds : most))"); do
		"$tmp/engine_bench" "$base" "$mode" "$threads" "$prompts" "$group" "$len" "$new" "$tokens" "$sec" >>"$tmp/ours.json"
		[ -z "$python" ] || theirs "$tmp/torch.json" train_torch.py "$base" "$mode" "$threads" "$prompts" "$group" "$len" "$new" "$seqs" "$sec"
	done
	name="$shape $mode $prompts x $len"
	[ "$new" = 0 ] || name="$shape $mode $prompts x $group, $len+$new"
	jq -rs --slurpfile t "$tmp/torch.json" --arg name "$name" '
		def r(n): . * pow(10; n) | round / pow(10; n);
		(max_by(.tokens_per_sec)) as $a | ($t | max_by(.tokens_per_sec)) as $b |
		[$name, ($a.tokens_per_sec | r(0)), ($a.gflops | r(1)), ($a.gemm_share * 100 | r(0)), ($a.gemm_of_peak * 100 | r(0)), $a.peak_mb] +
		(if $b then [($b.tokens_per_sec | r(0)), ($b.peak_mb | r(0)), ($a.tokens_per_sec / $b.tokens_per_sec | r(2)), ($a.peak_mb / $b.peak_mb | r(2)),
			(($t | map(.sgemm_gflops) | max) / (map(.sgemm_gflops) | max) | r(2))]
		else ["-", "-", "-", "-", "-"] end) | @tsv' "$tmp/ours.json" |
		while IFS=$'\t' read -r -a f; do
			# shellcheck disable=SC2059 # the format is ours
			printf "$format" "${f[@]}"
		done
done <<'EOF'
tiny full 64 1 45 0 360 64 4 9
tiny experts 64 1 45 0 360 64 4 9
tiny experts 8 16 28 16 1024 128 4 9
30m full 16 1 128 0 512 16 4 9
30m experts 16 1 128 0 512 16 4 9
30m experts 8 16 128 32 1024 16 4 1
smollm2-135m experts 4 1 256 0 512 4 6 9
smollm2-135m experts 2 16 256 64 1024 4 6 1
EOF
echo "shape: texts x tokens, or prompts x completions of each, prompt+new tokens. gemm%: share of the wall time inside products; peak%: their speed"
echo "against 1024^3 sgemm on all threads; ratio: our speed over theirs; mem: our peak memory over theirs; sgemm: their 1024^3 sgemm over ours"
