#!/bin/bash
# grade.sh - grading rate of the embedded environment, in processes and as a stream, and the cost of the sandbox beside plain Lua.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "${MOE_BIN:-$top/build}" && pwd)
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
n=${1:-40000}
env=$top/examples/quarantine/env.lua
cd "$top"
# shellcheck disable=SC2046
${CC:-cc} -std=c11 -O2 -D_POSIX_C_SOURCE=200809L -Ilib -I. $(pkg-config --cflags lua5.4) tests/bench/grade_bench.c -o "$t/bench" "$bin/libmoe.a" \
	$(pkg-config --libs msgpack libarchive json-c nettle lua5.4 libpcre2-8 libutf8proc libseccomp) -lm -pthread
echo "grading: the embedded environment, $n rollouts, $(nproc) cores"
"$t/bench" "$env" "$n" "$(nproc)"
"$bin/moe-prompts" -e "$env" -n "$n" | "$bin/moe-cat" --json |
	jq -c 'select(.t == "prompt") | del(.text) + {t: "rollout", prompt: .text, completion: ("return " + .task)}' |
	"$bin/moe-cat" --from-json --kind rollouts >"$t/r.moes"
s=$(date +%s.%N)
"$bin/moe-grade" -q -e "$env" "$t/r.moes" >/dev/null
e=$(date +%s.%N)
awk -v s="$s" -v e="$e" -v n="$n" 'BEGIN { printf "%-44s %8.0f rollouts/s\n", "moe-grade, from stream to stream", n / (e - s) }'
