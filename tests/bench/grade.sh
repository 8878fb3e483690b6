#!/bin/bash
# grade.sh - grading rate of the embedded environment, in processes and as a stream, and the cost of the sandbox beside plain Lua.
set -eu
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
n=${1:-40000}
env=$top/examples/quarantine/env.lua
compile grade_bench
echo "grading: the embedded environment, $n rollouts, $threads cores"
"$tmp/grade_bench" "$env" "$n" "$threads"
"$bin/moe-prompts" -e "$env" -n "$n" | "$bin/moe-cat" --json |
	jq -c 'select(.t == "prompt") | del(.text) + {t: "rollout", prompt: .text, completion: ("return " + .task)}' |
	"$bin/moe-cat" --from-json --kind rollouts >"$tmp/r.moes"
s=$(date +%s.%N)
"$bin/moe-grade" -q -e "$env" "$tmp/r.moes" >/dev/null
e=$(date +%s.%N)
awk -v s="$s" -v e="$e" -v n="$n" 'BEGIN { printf "%-44s %8.0f rollouts/s\n", "moe-grade, from stream to stream", n / (e - s) }'
