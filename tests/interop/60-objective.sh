#!/bin/sh
# The objectives of moe-train against TRL's own functions, on random batches. MOE_PYTHON names a Python that has trl (tests/golden/requirements.txt).
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need_python torch trl
exec nice "$PYTHON" "$TOP/tests/interop/objective_compare.py" "$BIN/tests/interop_objective" 200
