# lib.sh - sourced by the shell tests: TAP, a temporary folder of its own, the programs of this build first in PATH.
# shellcheck shell=sh
#
#   . "$(dirname "$0")/lib.sh"         (tests outside tests/cli: . "$(dirname "$0")/../cli/lib.sh")
#   ok NAME CMD...                     CMD succeeds
#   fails STATUS NAME CMD...           CMD exits with exactly STATUS; its stderr is in $T/err
#   same NAME FILE FILE                both hold the same bytes
#   contains NAME FILE REGEX           an extended regular expression matches a line (lacks: none)
#   equal NAME GOT WANTED              strings
#   skip NAME REASON                   counts as passed, and says why nothing was tested
#   pinned_methods                     names of the methods with a router that learns from pins
#   digest FILE                        the digest of an adapter (of its first arm)
#   pays_by_length FILE [LUA...]       writes examples/quarantine's environment to FILE, paying by the completion's length: what a
#                                      random base does earns nothing there; lines of Lua at its end may change more of it
#   tiny_world PAIRS [LUA...]          such an environment, named by $env; a random base; pins.moes of two of its modes
#   done_testing                       the last line of every test
#
# $TOP is the source tree, $T the temporary folder (also the working directory), $MOE_BIN the folder of the programs.
TOP=$(cd "$(dirname "$0")/../.." && pwd)
MOE_BIN=$(cd "${MOE_BIN:-$TOP/build}" && pwd)
export MOE_BIN
PATH=$MOE_BIN:$PATH
export PATH
LC_ALL=C.UTF-8
export LC_ALL
T=$(mktemp -d "${TMPDIR:-/tmp}/moe-test.XXXXXX")
trap 'rm -rf "$T"' EXIT
trap 'exit 129' HUP INT TERM
cd "$T" || exit 1
_n=0
_bad=0

_result() { # STATUS NAME
	_n=$((_n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $_n - $2"
	else
		_bad=$((_bad + 1))
		echo "not ok $_n - $2"
	fi
}

_show() { # FILE...: as TAP comments, not all of it
	for _f in "$@"; do
		[ -s "$_f" ] && head -c 2000 "$_f" | head -20 | tr -d '\000\033' | sed 's/^/#   /'
	done
	return 0
}

ok() {
	_name=$1
	shift
	"$@" >"$T/out" 2>"$T/err"
	_s=$?
	_result $_s "$_name"
	[ $_s -eq 0 ] || {
		echo "#   exit status $_s: $*"
		_show "$T/err" "$T/out"
	}
	return 0
}

fails() {
	_want=$1
	_name=$2
	shift 2
	"$@" >"$T/out" 2>"$T/err"
	_s=$?
	[ $_s -eq "$_want" ]
	_result $? "$_name"
	[ $_s -eq "$_want" ] || {
		echo "#   exit status $_s, not $_want: $*"
		_show "$T/err" "$T/out"
	}
	return 0
}

same() {
	cmp "$2" "$3" >"$T/cmp" 2>&1
	_s=$?
	_result $_s "$1"
	[ $_s -eq 0 ] || _show "$T/cmp"
	return 0
}

contains() {
	grep -qE -e "$3" "$2"
	_s=$?
	_result $_s "$1"
	[ $_s -eq 0 ] || {
		echo "#   nothing matches $3 in $2:"
		_show "$2"
	}
	return 0
}

lacks() {
	! grep -qE -e "$3" "$2"
	_s=$?
	_result $_s "$1"
	[ $_s -eq 0 ] || {
		echo "#   $3 matches in $2:"
		grep -E -e "$3" "$2" | head -5 | sed 's/^/#   /'
	}
	return 0
}

equal() {
	[ "$2" = "$3" ]
	_s=$?
	_result $_s "$1"
	[ $_s -eq 0 ] || printf '#   got "%s"\n#   not "%s"\n' "$2" "$3"
	return 0
}

# Rows of the method table with a router that learns from pins in each step.
pinned_methods() {
	moe-pin --list-methods | awk '/^[a-z]/ { m = $1; pins = 0 } /in each training step/ { pins = 1 } pins && /--set lr_ratio=/ { print m }'
}

digest() {
	_digest=$(moe-cat --json "$1" | sed -n 's/.*"t":"arm-end".*"digest":"\([0-9a-f]*\)".*/\1/p' | head -1)
	echo "${_digest:-$1 has none}" # two files without one are not equal
}

pays_by_length() {
	_env=$1
	shift
	sed '$d' "$TOP/examples/quarantine/env.lua" >"$_env" # without its last line, `return env`
	printf '%s\n' 'function env.grade(task, completion) return { length = #completion * 7 % 4 } end' "$@" 'return env' >>"$_env"
}

tiny_world() {
	_pairs=$1
	shift
	env=$T/env.lua
	pays_by_length "$env" "$@"
	moe-base -q --new tiny -o base 2>err || cat err
	moe-pairs -q -e "$env" -n "$_pairs" --modes run_tests,stdout_marker -o pins.moes 2>err || cat err
}

skip() {
	_n=$((_n + 1))
	echo "ok $_n - $1 # SKIP $2"
}

done_testing() {
	echo "1..$_n"
	[ $_bad -eq 0 ]
	exit $?
}
