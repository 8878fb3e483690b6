#!/bin/sh
# moe-cat --numpy as Python's msgpack-numpy reads it. MOE_PYTHON names a Python that has msgpack, msgpack_numpy and numpy.
TOP=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "${MOE_BIN:-$TOP/build}" && pwd)
python=${MOE_PYTHON:-python3}
if ! "$python" -c 'import msgpack, msgpack_numpy, numpy' 2>/dev/null; then
	echo "1..1"
	echo "ok 1 - msgpack-numpy # SKIP no Python with msgpack, msgpack_numpy and numpy (set MOE_PYTHON)"
	exit 0
fi
exec "$python" "$TOP/tests/interop/msgpack_numpy_compare.py" "$bin/moe-cat"
