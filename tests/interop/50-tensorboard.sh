#!/bin/sh
# moe-cat --metrics as the readers of others take it: event files in TensorBoard's, CSV and JSON Lines in Python's. MOE_PYTHON names a Python that has
# the package tensorboard.
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need_python tensorboard
exec "$PYTHON" "$TOP/tests/interop/metrics_compare.py" "$BIN/moe-cat"
