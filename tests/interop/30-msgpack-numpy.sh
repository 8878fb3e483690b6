#!/bin/sh
# moe-cat --numpy as Python's msgpack-numpy reads it. MOE_PYTHON names a Python that has msgpack, msgpack_numpy and numpy.
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need_python msgpack msgpack_numpy numpy
exec "$PYTHON" "$TOP/tests/interop/msgpack_numpy_compare.py" "$BIN/moe-cat"
