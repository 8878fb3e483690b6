#!/bin/bash
# stream.sh - throughput of a 2 GiB tensor stream through a pipe, beside cat(1) through the same pipe and python-msgpack, which has no checksum.
# Ratios, because a busy or virtual machine's absolute numbers say little. lib.sh says what can be set; beside that MIB=2048.
set -eu -o pipefail
part=streams
MIB=${MIB:-2048}
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
compile stream_bench
need_python msgpack
bench=$tmp/stream_bench

measure() { # ROW SIDE COMMAND
	sample "$MIB MiB through a pipe, $1" GB/s "$2" "$(awk -v m="$MIB" -v s="$(seconds bash -eo pipefail -c "$3")" 'BEGIN { print m * 1048576 / s / 1e9 }')"
}
py_write="import msgpack, sys
p = msgpack.Packer(); w = sys.stdout.buffer.write; d = bytes(16 << 20)
for i in range($MIB // 16): w(p.pack({'t': 'tensor', 'name': 't', 'dtype': 'U32', 'shape': [4 << 20], 'offset': 0, 'data': d}))"
py_read="import msgpack, sys
n = 0
for m in msgpack.Unpacker(sys.stdin.buffer, max_buffer_size=1 << 30): n += len(m['data'])
assert n == $MIB << 20"


for round in $(seq "$rounds"); do
	for row in "SHA-256 on both sides" "SHA-256 off"; do
		digest=digest
		[ "$row" = "SHA-256 on both sides" ] || digest=nodigest
		measure "$row" ours "'$bench' write $MIB $digest | '$bench' read $MIB $digest"
		measure "$row" "cat" "'$bench' raw $MIB x | cat >/dev/null"
		[ -z "$python" ] || measure "$row" python-msgpack "'$python' -c \"$py_write\" | '$python' -c \"$py_read\""
	done
done
finish
