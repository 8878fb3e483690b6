# lib.sh - what the benches share. Sourced, not run.
#
#   MOE_BIN=build        where the programs were built
#   MOE_PYTHON=python3   a Python with what requirements.txt names; without it our own numbers are shown alone
#   THREADS, ROUNDS      threads (default: all cores), and rounds (default: 3): in each every side runs once, one after another, so that a busy
#                        machine hits all alike, and ratios are of one round
#   SHAPES="tiny ..."    the models of train.sh and decode.sh (default: all; tiny alone tries the whole chain in minutes)
#   SAMPLES=FILE         where the samples go (tests/bench/run sets it); without it a bench prints its own table at its end
#
# A bench sets `part`, measures, and says `sample`; page.awk makes tables, ratios and pictures of that.
# shellcheck shell=bash disable=SC2034 # the variables are for the benches
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$(cd "${MOE_BIN:-$top/build}" && pwd)
threads=${THREADS:-$(nproc)}
rounds=${ROUNDS:-3}
python=${MOE_PYTHON:-python3}
tmp=$(mktemp -d)
samples=${SAMPLES:-$tmp/samples}
part=${part:-bench}
round=0
trap 'rm -rf "$tmp"' EXIT
export HF_HUB_OFFLINE=1
export PATH="$bin:$PATH"

# sample ROW UNIT SIDE VALUE [MB]: one measurement of this round. The first side of a row is the one that is compared with the others; of seconds less
# is better, of all other units more.
sample() {
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$part" "$1" "$2" "$3" "$round" "$4" "${5-}" >>"$samples"
}

# sample_json ROW UNIT SIDE KEY FILE: the same from the last line of JSON in FILE
sample_json() {
	sample "$1" "$2" "$3" "$(tail -n 1 "$5" | jq -r ".$4")" "$(tail -n 1 "$5" | jq -r '.peak_mb // ""')"
}

finish() {
	[ -n "${SAMPLES-}" ] || awk -f "$top/tests/bench/page.awk" "$samples"
}

# compile NAME [FLAG...]: tests/bench/NAME.c becomes $tmp/NAME
compile() {
	local name=$1
	shift
	# shellcheck disable=SC2046 # flags are words
	${CC:-cc} -O3 -std=c11 -D_XOPEN_SOURCE=700 -I"$top/lib" -I"$top" $(pkg-config --cflags lua5.4) "$top/tests/bench/$name.c" "$bin/libmoe.a" -o "$tmp/$name" \
		"$@" $(make -s --no-print-directory -C "$top" libs)
}

# need_python MODULE...: clears $python and says so when one is missing
need_python() {
	local list=$*
	list=${list// /, }
	if ! "$python" -c "import $list" 2>/dev/null; then
		echo "$part: without $list (make bench-peers)" >&2
		python=
	fi
}

# need_llama: $llama is where llama.cpp is installed (CPU backend, native, Release; include/llama.h and lib*/libllama.so): MOE_LLAMA, else that of the
# Python's llama-cpp-python; $tmp/decode_llama is compiled against it. Without it $llama is empty, and it says so.
need_llama() {
	local lib wheel='from importlib.util import find_spec as f; from os.path import dirname as d; print(d(d(f("llama_cpp").origin)))'
	llama=${MOE_LLAMA-$("${MOE_PYTHON:-python3}" -c "$wheel" 2>/dev/null || true)}
	if [ -f "$llama/include/llama.h" ]; then
		lib=$(dirname "$(ls "$llama"/lib*/libllama.so)")
		compile decode_llama -I"$llama/include" -L"$lib" -Wl,--disable-new-dtags,-rpath,"$lib" -lllama -lggml -lggml-base
	else
		llama=
		echo "$part: without llama.cpp (make bench-peers, or MOE_LLAMA names where it is installed)" >&2
	fi
}

# wanted SHAPE
wanted() { [[ -z ${SHAPES-} || " $SHAPES " == *" $1 "* ]]; }

# seconds COMMAND...: wall seconds, on standard output
seconds() {
	local start end
	start=$(date +%s%N)
	"$@" >/dev/null || return 1
	end=$(date +%s%N)
	awk -v ns="$((end - start))" 'BEGIN { printf "%.4f", ns / 1e9 }'
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

# theirs FILE SCRIPT ARG...: one run of a Python side, its line of JSON into FILE; its complaints are shown when it fails
theirs() {
	local to=$1 script=$2
	shift 2
	"$python" "$top/tests/bench/$script" "$@" >"$to" 2>"$tmp/said" || { tail -n 5 "$tmp/said" >&2; return 1; }
}

# ---- a step of GRPO on the demo's shapes ----
env=$top/examples/quarantine/env.lua
modes=run_tests,exit_code,stdout_marker,sentinel,gt_only

# demo_base: $demo is a tiny base after a short pretraining, so that it is paid now and then, and $demo/pins.moes the demo's pairs
demo_base() {
	demo=$tmp/demo
	moe-base -q --new tiny --seed 3 -o "$demo.new"
	moe-prompts -q -e "$env" --texts --modes $modes -n 12800 --hack-share 0.06 --manual-share 0.35 --wrong-share 0.25 --seed 3 |
		moe-base -q --pretrain -m "$demo.new" --seed 3 -o "$demo"
	moe-pairs -q -e "$env" -n 48 --modes run_tests,stdout_marker -o "$demo/pins.moes"
}

# grpo METHOD STEPS JOBS: on policy, 8 prompts x 8 completions of at most $new tokens, as examples/quarantine does
new=28
grpo() {
	local d=$tmp/grpo method=$1 route=() pin=() pins=()
	[ ! -f "$demo/pins.moes" ] || pins=("$demo/pins.moes") # a base of the user's own has none
	case $method in
	topk | entmax | seeded) pin=(--pin "${pins[@]}") ;;
	logistic) route=(moe-route -q -m "$demo" -a "$d/a0" --seed 1 -j "$3") ;;
	esac
	rm -rf "$d" && mkdir "$d" && mkfifo "$d/weights"
	moe-pin -q -m "$demo" --method "$method" --seed 1 -j "$3" -o "$d/a0" "${pins[@]}"
	moe-prompts -q -e "$env" --split train --modes $modes -n "$((8 * $2))" --seed 1 |
		moe-rollout -q -m "$demo" -a "$d/a0" --follow "$d/weights" --wait 900 --group 8 --per-step 8 --max-new "$new" --seed 1 -j "$3" |
		if [ ${#route[@]} -gt 0 ]; then moe-grade -q -e "$env" -j "$3" | "${route[@]}"; else exec moe-grade -q -e "$env" -j "$3"; fi |
		moe-train -q -m "$demo" -a "$d/a0" --publish "$d/weights" --lr 0.0005 --seed 1 "${pin[@]}" -j "$3" -o "$d/a1"
}

# beside_trl ROW MANY FEW STEPS MICRO: a step of ours, of MANY less those of FEW, beside TRL's GRPOTrainer with PEFT on the same base, of STEPS less the
# first, in passes of MICRO sequences. Both draw at temperature 1 until the model stops, from the same prompts, so that lengths agree up to chance; rank 32 on
# all Linears, sampling and grading included, start and loading not. TRL's reward is a length, which costs nothing; ours runs completions in a sandbox, twice.
beside_trl() {
	sample "$1" s ours "$(grpo_step vanilla "$threads" "$2" "$3")"
	[ -n "$python" ] || return 0
	theirs "$tmp/json" grpo_trl.py "$demo" "$threads" 8 8 "$new" "$4" "$5" "$env" "$modes"
	sample_json "$1" s "TRL + PEFT" sec_per_step "$tmp/json"
}

# grpo_step METHOD JOBS [MANY FEW]: seconds of one step, without start and end: those of 43 steps less those of 3.
grpo_step() {
	local many=${3:-43} few=${4:-3}
	awk -v n="$((many - few))" -v many="$(seconds grpo "$1" "$many" "$2")" -v few="$(seconds grpo "$1" "$few" "$2")" 'BEGIN { printf "%.5f", (many - few) / n }'
}
