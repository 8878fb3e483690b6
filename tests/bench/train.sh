#!/bin/bash
# train.sh - training speed at three shapes: share of matrix products, their share of sgemm's peak, and PyTorch on the same batch, side by side.
# MOE_PYTHON names a Python that has torch, transformers and peft; without one, only our own numbers are shown. ROUNDS runs of each alternate
# (so that a busy machine hits both alike) and the best counts. SHAPES picks some of the lines.
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
${CC:-cc} -O2 -std=c11 -D_XOPEN_SOURCE=700 -I"$top/lib" -I"$top" "$top/tests/bench/engine_bench.c" "$bin/libmoe.a" -o "$tmp/engine_bench" \
	$(pkg-config --libs msgpack libarchive json-c nettle lua5.4 libpcre2-8 libutf8proc libseccomp) -lblis -lm -pthread
if ! "$python" -c 'import torch, transformers, peft' 2>/dev/null; then
	echo "no torch, transformers and peft ($python): our own numbers alone"
	python=
fi
echo "train: $threads threads; forward and backward; best of $rounds rounds; load $(cut -d' ' -f1 /proc/loadavg)"
printf '%-32s %10s %7s %7s %7s %8s %10s %8s %7s %7s\n' shape tokens/s GFLOP/s 'gemm %' 'peak %' MB torch/s MB ratio 'mem'
while read -r shape mode len n tasks sec; do
	case " ${SHAPES:-tiny 30m smollm2-135m} " in *" $shape "*) ;; *) continue ;; esac
	: >"$tmp/ours"
	: >"$tmp/theirs"
	for _ in $(seq "$rounds"); do
		"$tmp/engine_bench" "$shape" "$mode" "$threads" "$len" "$n" "$tasks" "$sec" >>"$tmp/ours"
		if [ -n "$python" ]; then
			"$python" "$top/tests/bench/train_torch.py" "$shape" "$mode" "$threads" "$len" "$n" "$tasks" "$sec" 2>/dev/null >>"$tmp/theirs"
		fi
	done
	jq -rs --slurpfile t "$tmp/theirs" --arg name "$shape $mode $((n * tasks)) x $len" '
		def r(n): . * pow(10; n) | round / pow(10; n);
		(max_by(.tokens_per_sec)) as $a | ($t | max_by(.tokens_per_sec)) as $b |
		[$name, ($a.tokens_per_sec | r(0)), ($a.gflops | r(1)), ($a.gemm_share * 100 | r(0)), ($a.peak_percent_in_gemm | r(0)), $a.peak_mb] +
		(if $b then [($b.tokens_per_sec | r(0)), ($b.peak_mb | r(0)), ($a.tokens_per_sec / $b.tokens_per_sec | r(2)), ($a.peak_mb / $b.peak_mb | r(2))]
		else ["-", "-", "-", "-"] end) | @tsv' "$tmp/ours" |
		while IFS=$'\t' read -r -a f; do
			printf '%-32s %10s %7s %7s %7s %8s %10s %8s %7s %7s\n' "${f[@]}"
		done
done <<'EOF'
tiny full 45 8 8 5
tiny experts 45 8 8 5
30m full 128 4 4 5
30m experts 128 4 4 5
smollm2-135m experts 256 2 2 8
EOF
echo "gemm %: share of the wall time inside products; peak %: their speed against 1024^3 sgemm on all threads; mem: our peak memory over theirs"
