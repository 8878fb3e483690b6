# lib.sh - what the benches of the engine share. Sourced, not run.
#
#   MOE_BIN=build        where the programs were built
#   MOE_PYTHON=python3   a Python with torch, transformers and peft; without them our own numbers are shown alone
#   THREADS, ROUNDS, SHAPES  threads (default: all cores), runs of each that alternate, so that a busy machine hits both alike, and of which the best
#                        counts (default: 2; rows that say so have one), and which shapes
# shellcheck shell=bash disable=SC2034 # the variables are for the benches
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$(cd "${MOE_BIN:-$top/build}" && pwd)
threads=${THREADS:-$(nproc)}
rounds=${ROUNDS:-2}
python=${MOE_PYTHON:-python3}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export HF_HUB_OFFLINE=1

# compile NAME [FLAG...]: tests/bench/NAME.c becomes $tmp/NAME
compile() {
	local name=$1
	shift
	# shellcheck disable=SC2046 # flags are words
	${CC:-cc} -O2 -std=c11 -D_XOPEN_SOURCE=700 -I"$top/lib" -I"$top" $(pkg-config --cflags lua5.4) "$top/tests/bench/$name.c" "$bin/libmoe.a" -o "$tmp/$name" \
		"$@" $(make -s --no-print-directory -C "$top" libs)
}

# need_python MODULE...: clears $python and says so when one is missing
need_python() {
	local list=$*
	list=${list// /, }
	if ! "$python" -c "import $list" 2>/dev/null; then
		echo "without $list (MOE_PYTHON names a Python that has them)"
		python=
	fi
}

wanted() { # SHAPE DEFAULT...
	local shape=$1
	shift
	case " ${SHAPES:-$*} " in *" $shape "*) ;; *) return 1 ;; esac
}

# base SHAPE f32|bf16: a model directory with random weights at $base; only the last one is kept
base() {
	base=$tmp/base.$1.$2
	[ ! -d "$base" ] || return 0
	[ -d "$tmp/base.$1.f32" ] || { rm -rf "$tmp"/base.*; "$bin/moe-base" -q --new "$1" -o "$tmp/base.$1.f32"; }
	if [ "$2" = bf16 ]; then
		[ -x "$tmp/store_bf16" ] || compile store_bf16
		mkdir "$base"
		"$tmp/store_bf16" "$tmp/base.$1.f32/model.safetensors" "$base/model.safetensors"
		sed 's/"float32"/"bfloat16"/' "$tmp/base.$1.f32/config.json" >"$base/config.json"
		rm -rf "$tmp/base.$1.f32"
	fi
}

# theirs FILE SCRIPT ARG...: one run of a Python side, its line of JSON appended; its complaints are shown when it fails
theirs() {
	local to=$1 script=$2
	shift 2
	"$python" "$top/tests/bench/$script" "$@" >>"$to" 2>"$tmp/said" || { tail -n 5 "$tmp/said" >&2; return 1; }
}
