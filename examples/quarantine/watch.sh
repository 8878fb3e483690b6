#!/bin/bash
# watch.sh RUN STEPS PRETRAINING-STEPS TESTED NAME.SEED... - says how far the main job is, and how long it will still take, from its logs: one line,
# renewed on a terminal, else a line every 15 seconds (or EVERY).
run=$1 steps=$2 base_steps=$3 tested=$4
shift 4
tty=; [ -t 2 ] && tty=1
every=${EVERY:-$((tty ? 1 : 15))}

# What the parts cost, in seconds of one core where this was measured. Only their ratios matter: the time left is the time so far times what is left
# over what was done.
pretraining=60 training=4 evaluation=1 evaluation_tested=7

last_step() { # LOG: of its last line that tells one
	grep -o 'step [0-9]*:' "$1" 2>/dev/null | tail -n 1 | tr -dc 0-9
}

# Adds a run's share of the work to `done_cost` (in thousandths), and says in `line` what it does, unless it waits or has ended.
look_at() {
	local d=$run/$1 n train=$((training * 1000)) evaluate=$((evaluation * 1000))
	[ "${1%.*}" = "$tested" ] && evaluate=$((evaluation_tested * 1000))
	all_cost=$((all_cost + train + evaluate))
	if [ -e "$d/eval.moes" ]; then
		done_cost=$((done_cost + train + evaluate)) ended=$((ended + 1))
	elif [ -e "$d/arms.moes" ]; then
		done_cost=$((done_cost + train)) line="$line $1: evaluating."
	elif n=$(last_step "$d/train.log") && [ -n "$n" ]; then
		n=$((n < steps ? n + 1 : steps))
		done_cost=$((done_cost + train * n / steps)) line="$line $1: step $n/$steps."
	fi
}

time_left() {
	local now=$((done_cost - first_cost)) left
	[ "$now" -lt $((all_cost / 50)) ] || [ "$SECONDS" -lt 3 ] && return
	left=$((SECONDS * (all_cost - done_cost) / now))
	printf ' about %d:%02d left.' $((left / 60)) $((left % 60))
}

first_cost=
while :; do
	all_cost=$((pretraining * 1000)) done_cost=0 ended=0 line=
	if [ -e "$run/base/model.safetensors" ]; then
		done_cost=$all_cost
		for r in "$@"; do look_at "$r"; done
		line=" $ended of $# runs done.$line"
	else
		n=$(last_step "$run/base.log")
		n=$((${n:-0} < base_steps ? ${n:-0} : base_steps))
		done_cost=$((pretraining * 1000 * n / base_steps))
		line=" pretraining the base: step $n/$base_steps."
		for r in "$@"; do look_at "$r"; done
	fi
	first_cost=${first_cost:-$done_cost} # a run that goes on where it was is timed from there
	printf "${tty:+\r\033[K}[%d:%02d]%s%s%s" $((SECONDS / 60)) $((SECONDS % 60)) "$(time_left)" "$line" "$([ "$tty" ] || echo; echo x)" | sed 's/x$//' >&2
	sleep "$every"
done
