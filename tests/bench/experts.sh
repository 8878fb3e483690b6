#!/bin/bash
# experts.sh - what experts and routers cost: forward and backward of the demo's shapes at the same total rank (64) with 4, 16 and 64 experts, and under the
# router of topk, beside one expert of rank 64 without a router; and a whole step of GRPO of topk beside logistic and vanilla. lib.sh says what can be set.
set -eu
part="experts and routers"
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
base tiny f32
compile engine_bench
name() { case $1 in experts:*) echo "${1#*:} experts, total rank 64" ;; *) echo "${1#*:} experts under ${1%:*}, total rank 64" ;; esac; }
modes_of="experts:4 experts:16 experts:64 topk:2 topk:16"
for round in $(seq "$rounds"); do
	"$tmp/engine_bench" "$base" experts:1 1 16 8 40 20 1024 1 >"$tmp/one"
	for m in $modes_of; do
		"$tmp/engine_bench" "$base" "$m" 1 16 8 40 20 1024 1 >"$tmp/json"
		sample_json "$(name "$m")" tokens/s ours tokens_per_sec "$tmp/json"
		sample_json "$(name "$m")" tokens/s "one expert" tokens_per_sec "$tmp/one"
	done
done
demo_base
for round in $(seq "$rounds"); do
	for m in topk logistic vanilla; do
		sample "step of GRPO under topk, 8 x 8 x 28, one thread each" s "$m" "$(grpo_step "$m" 1)"
	done
done
finish
