#!/bin/bash
# grade.sh - grading rate of the embedded environment, in processes and as a stream, and the cost of the sandbox beside plain Lua. lib.sh says what can be
# set; beside that the number of rollouts, 40000.
set -eu
part=grading
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
n=${1:-40000}
compile grade_bench
"$bin/moe-prompts" -e "$env" -n "$n" | "$bin/moe-cat" --json |
	jq -c 'select(.t == "prompt") | del(.text) + {t: "rollout", prompt: .text, completion: ("return " + .task)}' |
	"$bin/moe-cat" --from-json --kind rollouts >"$tmp/r.moes" 2>/dev/null # a warning: nobody says what made them
for round in $(seq "$rounds"); do
	"$tmp/grade_bench" "$env" "$n" "$threads" >"$tmp/said"
	while IFS=$'\t' read -r side rate; do
		sample "graders alone" rollouts/s "$side" "$rate"
	done < <(sed -nE 's/^(.*[^ ]) +([0-9]+) rollouts.*/\1\t\2/p' "$tmp/said")
	sample "moe-grade, from stream to stream" rollouts/s "$threads cores" "$(awk -v n="$n" -v s="$(seconds "$bin/moe-grade" -q -j "$threads" -e "$env" "$tmp/r.moes")" 'BEGIN { print n / s }')"
done
finish
