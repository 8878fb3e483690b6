#!/bin/bash
# limits.sh - what this processor can do at most, one thread and all: products out of registers, products of 1024^3 by portable kernels and by native ones, a
# narrower vector, and bytes read from memory; each thread by its own CPU time. moe-speed(7) holds the engine against these. lib.sh says what can be set.
set -eu
part="limits of this processor"
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
compile limits_bench
for round in $(seq "$rounds"); do
	for n in $(printf '%s\n' 1 "$threads" | sort -nu); do
		while IFS=$'\t' read -r what unit value; do
			sample "${what%%, *}, threads: $n" "$unit" "${what#*, }" "$value"
		done < <("$tmp/limits_bench" "$n" 1; MOE_KERNELS=native "$tmp/limits_bench" "$n" 1 | grep 1024; MOE_TILE=avx2 "$tmp/limits_bench" "$n" 1 | grep 1024)
	done
done
finish
