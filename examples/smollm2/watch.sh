#!/bin/bash
# watch.sh RUN STEPS NAME.SEED... - says how far the job is and how long it will still take, from its logs: one line, renewed on a terminal, else a
# line a minute.
run=$1 steps=$2
shift 2
tty=; [ -t 2 ] && tty=1
evaluation=4 # costs about as much as this many steps

last_step() { # LOG: of its last line that tells one
	grep -o 'step [0-9]*:' "$1" 2>/dev/null | tail -n 1 | tr -dc 0-9
}

first=
while :; do
	done_cost=0 ended=0 line=
	for r in "$@"; do
		d=$run/$r
		if [ -e "$d/eval.moes" ]; then
			done_cost=$((done_cost + steps + evaluation)) ended=$((ended + 1))
		elif [ -e "$d/arms.moes" ]; then
			done_cost=$((done_cost + steps)) line=" $r: evaluating."
		elif n=$(last_step "$d/train.log") && [ -n "$n" ]; then
			done_cost=$((done_cost + n + 1)) line=" $r: step $((n + 1))/$steps, $(grep -o 'reward [0-9.-]*' "$d/train.log" | tail -n 1)."
		fi
	done
	all=$(($# * (steps + evaluation))) first=${first:-$done_cost} # a job that goes on where it was is timed from there
	left=
	if [ $((done_cost - first)) -gt 0 ]; then
		s=$((SECONDS * (all - done_cost) / (done_cost - first)))
		left=$(printf ' about %d:%02d h left.' $((s / 3600)) $((s % 3600 / 60)))
	fi
	printf "${tty:+\r\033[K}[%d:%02d]%s %d of %d runs done.%s%s" $((SECONDS / 60)) $((SECONDS % 60)) "$left" $ended $# "$line" "$([ "$tty" ] || echo; echo x)" |
		sed 's/x$//' >&2
	sleep $((tty ? 1 : 60))
done
