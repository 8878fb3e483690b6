# lib.sh - sourced by the comparisons with Python: $TOP, $BIN (where the programs are) and need_python. Not a test.
# shellcheck shell=sh disable=SC2034
TOP=$(cd "$(dirname "$0")/../.." && pwd)
BIN=$(cd "${MOE_BIN:-$TOP/build}" && pwd)

# need_python MODULE...: sets PYTHON to the Python that has them, $MOE_PYTHON or python3; without one the whole test is skipped.
need_python()
{
	PYTHON=${MOE_PYTHON:-python3}
	"$PYTHON" -c "import $(echo "$*" | sed 's/ /, /g')" 2>/dev/null && return
	echo "1..1"
	echo "ok 1 - $(basename "$0" .sh) # SKIP no Python with $* (set MOE_PYTHON)"
	exit 0
}
