#!/bin/sh
# Model directories in both directions between moe-base and transformers. MOE_PYTHON names a Python that has torch, transformers and peft.
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need_python torch transformers peft
exec nice "$PYTHON" "$TOP/tests/interop/transformers_compare.py" "$BIN"
