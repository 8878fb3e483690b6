#!/bin/bash
# decode.sh - sampling speed at batch 1, 16 and 128, side by side with transformers' generate on the same model directory (random weights),
# batch and lengths. MOE_PYTHON names a Python that has torch and transformers; without one, only our own numbers are shown. ROUNDS runs of
# each alternate (so that a busy machine hits both alike) and the best counts. SHAPES picks some of the shapes.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${MOE_BIN:-$top/build}
case $bin in /*) ;; *) bin=$PWD/$bin ;; esac
threads=${THREADS:-$(nproc)}
python=${MOE_PYTHON:-python3}
rounds=${ROUNDS:-2}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# shellcheck disable=SC2046 # flags are words
${CC:-cc} -O2 -std=c11 -D_XOPEN_SOURCE=700 -I"$top/lib" -I"$top" "$top/tests/bench/decode_bench.c" "$bin/libmoe.a" -o "$tmp/decode_bench" \
	$(pkg-config --libs msgpack libarchive json-c nettle lua5.4 libpcre2-8 libutf8proc libseccomp) -lblis -lm -pthread
if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
	echo "no torch and transformers ($python): our own numbers alone"
	python=
fi
echo "decode: $threads threads; new tokens a second, prompts included; best of $rounds rounds; load $(cut -d' ' -f1 /proc/loadavg)"
printf '%-34s %10s %8s %10s %8s %7s %7s\n' shape tokens/s MB generate/s MB ratio mem
made=
while read -r shape batch len new sec; do
	case " ${SHAPES:-tiny smollm2-135m} " in *" $shape "*) ;; *) continue ;; esac
	if [ "$made" != "$shape" ]; then
		rm -rf "$tmp/base"
		"$bin/moe-base" -q --new "$shape" -o "$tmp/base"
		made=$shape
	fi
	: >"$tmp/ours"
	: >"$tmp/theirs"
	for _ in $(seq "$rounds"); do
		"$tmp/decode_bench" "$tmp/base" "$threads" "$batch" "$len" "$new" "$sec" >>"$tmp/ours"
		if [ -n "$python" ]; then
			HF_HUB_OFFLINE=1 "$python" "$top/tests/bench/decode_torch.py" "$tmp/base" "$threads" "$batch" "$len" "$new" "$sec" 2>/dev/null >>"$tmp/theirs"
		fi
	done
	jq -rs --slurpfile t "$tmp/theirs" --arg name "$shape batch $batch, $len+$new" '
		def r(n): . * pow(10; n) | round / pow(10; n);
		(max_by(.tokens_per_sec)) as $a | ($t | max_by(.tokens_per_sec)) as $b |
		[$name, ($a.tokens_per_sec | r(0)), ($a.peak_mb | r(0))] +
		(if $b then [($b.tokens_per_sec | r(0)), ($b.peak_mb | r(0)), ($a.tokens_per_sec / $b.tokens_per_sec | r(2)), ($a.peak_mb / $b.peak_mb | r(2))]
		else ["-", "-", "-", "-"] end) | @tsv' "$tmp/ours" |
		while IFS=$'\t' read -r -a f; do
			printf '%-34s %10s %8s %10s %8s %7s %7s\n' "${f[@]}"
		done
done <<'END'
tiny 1 64 64 1
tiny 16 64 64 1
tiny 128 64 64 1
smollm2-135m 1 64 32 3
smollm2-135m 16 64 32 3
smollm2-135m 128 64 32 3
END
echo "mem: our peak memory over theirs"
