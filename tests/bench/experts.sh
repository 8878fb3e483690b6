#!/bin/bash
# experts.sh - what experts and routers cost: forward and backward at the same total rank (64) with 1, 4, 16 and 64 experts, and with the
# router of topk per layer; as times relative to one expert, rounds interleaved, the least of each. usage: MOE_BIN=build tests/bench/experts.sh [ROUNDS]
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/lib.sh
base=${BASE:-$tmp/base}
[ -e "$base" ] || "$MOE_BIN/moe-base" -q --new tiny --seed 1 -o "$base"
compile engine_bench
modes="experts:1 experts:4 experts:16 experts:64 topk:2 topk:16"
for _ in $(seq "${1:-3}"); do
	for m in $modes; do
		"$tmp/engine_bench" "$base" "$m" 1 16 8 40 20 1024 1 | sed "s/^{/{\"mode\": \"$m\", /"
	done
done | jq -rs 'group_by(.mode) | map({mode: .[0].mode, rate: (map(.tokens_per_sec) | max)}) as $r | ($r[] | select(.mode == "experts:1").rate) as $one |
	$r[] | "\(.mode)\t\(.rate | round) tokens/s\t\(100 * $one / .rate | round / 100) times the time of one expert"'
