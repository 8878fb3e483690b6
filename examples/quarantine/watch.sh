#!/bin/bash
# watch.sh RUN STEPS - says how far the main job is, from its logs: one line, renewed on a terminal, else a line every 15 seconds.
run=$1 steps=$2
tty=; [ -t 2 ] && tty=1

# what a training run is doing: "logistic.1 34/60", "logistic.1 evaluation", or nothing before it starts and after it ends
state() {
	local d=$1 n
	[ -e "$d/eval.moes" ] && return
	if [ -e "$d/arms.moes" ]; then
		printf ' %s: evaluating.' "${d##*/}"
	elif [ -s "$d/train.log" ]; then
		n=$(grep -o 'step [0-9]*: reward [0-9.-]*' "$d/train.log" | tail -n 1)
		[ -n "$n" ] && printf ' %s: step %s/%s, reward %s.' "${d##*/}" "$(echo "$n" | tr -dc '0-9 ' | awk '{print $1 + 1}')" "$steps" "${n##* }"
	fi
}

while sleep $((tty ? 1 : 15)); do
	line=
	if [ ! -e "$run/base/model.safetensors" ]; then
		line=" pretraining the base: $(grep -o 'step [0-9]*: loss [0-9.]*' "$run/base.log" 2>/dev/null | tail -n 1)"
	else
		all=0 done=0
		for d in "$run"/*.*/; do
			d=${d%/}
			[ -e "$d/a0.moes" ] || continue
			all=$((all + 1))
			[ -e "$d/eval.moes" ] && done=$((done + 1))
			line="$line$(state "$d")"
		done
		line=" $done runs done.$line"
	fi
	printf "${tty:+\r\033[K}[%d:%02d]%s%s" $((SECONDS / 60)) $((SECONDS % 60)) "$line" "$([ "$tty" ] || echo; echo x)" | sed 's/x$//' >&2
done
