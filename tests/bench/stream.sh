#!/bin/bash
# stream.sh - throughput of a 2 GiB tensor stream through a pipe, as ratios to cat(1) through the same pipe and to python-msgpack.
# Ratios, because a busy or virtual machine's absolute numbers say little; every figure is the best of ROUNDS interleaved rounds.
# usage: MOE_BIN=build [MIB=2048] [ROUNDS=6] [MOE_PYTHON=python3] bash tests/bench/stream.sh
set -eu -o pipefail
MIB=${MIB:-2048}
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-6}
bench=$tmp/stream_bench
compile stream_bench
need_python msgpack

declare -A best
measure() { # NAME COMMAND
	local start end sec
	start=$(date +%s%N)
	bash -eo pipefail -c "$2"
	end=$(date +%s%N)
	sec=$((end - start))
	[ -z "${best[$1]-}" ] || [ "$sec" -lt "${best[$1]}" ] || return 0
	best[$1]=$sec
}
py_write="import msgpack, sys
p = msgpack.Packer(); w = sys.stdout.buffer.write; d = bytes(16 << 20)
for i in range($MIB // 16): w(p.pack({'t': 'tensor', 'name': 't', 'dtype': 'U32', 'shape': [4 << 20], 'offset': 0, 'data': d}))"
py_read="import msgpack, sys
n = 0
for m in msgpack.Unpacker(sys.stdin.buffer, max_buffer_size=1 << 30): n += len(m['data'])
assert n == $MIB << 20"

for _ in $(seq "$rounds"); do
	measure cat "'$bench' raw $MIB x | cat >/dev/null"
	measure nodigest "'$bench' write $MIB nodigest | '$bench' read $MIB nodigest"
	measure digest "'$bench' write $MIB digest | '$bench' read $MIB digest"
	[ -z "$python" ] || measure python "'$python' -c \"$py_write\" | '$python' -c \"$py_read\""
done
rate() { awk -v m="$MIB" -v ns="${best[$1]}" 'BEGIN { printf "%.2f", m * 1048576 / ns }'; }
ratio() { awk -v a="${best[cat]}" -v b="${best[$1]}" 'BEGIN { printf "%.2f", a / b }'; }
printf '%-34s %6s %s\n' "$MIB MiB through a pipe" GB/s "relative to cat"
printf '%-34s %6s %s\n' "raw bytes | cat" "$(rate cat)" 1.00
printf '%-34s %6s %s\n' "write | read, SHA-256 off" "$(rate nodigest)" "$(ratio nodigest)"
printf '%-34s %6s %s\n' "write | read, SHA-256 on both sides" "$(rate digest)" "$(ratio digest)"
[ -z "$python" ] || printf '%-34s %6s %s\n' "python-msgpack, no checksum" "$(rate python)" "$(ratio python)"
