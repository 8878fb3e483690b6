#!/bin/sh
# Model directories in both directions between moe-base and transformers. MOE_PYTHON names a Python that has torch, transformers and peft.
. "$(dirname "$0")/lib.sh"
need_python torch transformers peft
exec nice "$python" "$TOP/tests/interop/transformers_compare.py" "$bin"
