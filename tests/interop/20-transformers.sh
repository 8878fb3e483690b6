#!/bin/sh
# Model directories in both directions between moe-base and transformers. MOE_PYTHON names a Python that has torch, transformers and peft.
TOP=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "${MOE_BIN:-$TOP/build}" && pwd)
python=${MOE_PYTHON:-python3}
if ! "$python" -c 'import torch, transformers, peft' 2>/dev/null; then
	echo "1..1"
	echo "ok 1 - transformers # SKIP no Python with torch, transformers and peft (set MOE_PYTHON)"
	exit 0
fi
exec nice "$python" "$TOP/tests/interop/transformers_compare.py" "$bin"
