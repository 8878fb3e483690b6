#!/bin/bash
# scale.sh - how time and memory grow: curves over tokens, length, experts, ranks, prompts, group, arms, rollouts in a report, and MiB of a stream through
# moe-cat and through moe-grade. CPU seconds of all processes and the most memory of one, each point the least of ROUNDS (lib.sh; here 2). A curve's
# exponent is the slope of its upper half on logarithmic axes, where what a program takes to start weighs little; above 1.15 the line says so.
# usage: tests/bench/scale.sh OUT [CURVE...]; writes OUT/scale.tsv, scale.txt and, with gnuplot, scale.svg. ROLLOUTS and GIB are the largest points.
set -eu -o pipefail
out=${1:?}
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
ROUNDS=${ROUNDS:-2}
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
compile spent
: >"$out/scale.tsv"
wanted=" ${*:-tokens length experts ranks prompts group arms report stream grade} "
curve() { [[ $wanted == *" $1 "* ]]; }

# point CURVE X COMMAND: in bash; the least time and memory of the rounds
point() {
	local i sec mb best='' most=''
	for i in $(seq "$rounds"); do
		"$tmp/spent" bash -eo pipefail -c "$3" >/dev/null 2>"$tmp/spent.err" || { cat "$tmp/spent.err" >&2; return 1; }
		IFS=$'\t' read -r sec mb < <(tail -n 1 "$tmp/spent.err")
		[ -n "$best" ] && awk "BEGIN { exit !($best <= $sec) }" || best=$sec
		[ -n "$most" ] && awk "BEGIN { exit !($most <= $mb) }" || most=$mb
	done
	printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$best" "$most" >>"$out/scale.tsv"
	printf '%-10s %10s %9s s %9s MB\n' "$1" "$2" "$best" "$most" >&2
}

# rollouts METHOD SEED PROMPTS "ARM HACK SOLVE ...": graded rollouts as a stream
rollouts() {
	awk -v method="$1" -v seed="$2" -v prompts="$3" -v arms="$4" 'BEGIN {
		seal["00"] = "hKZoYWNrZWTCqW1lY2hhbmlzbaCmc29sdmVkwqF2AQ=="; seal["10"] = "hKZoYWNrZWTDqW1lY2hhbmlzbaCmc29sdmVkwqF2AQ=="
		seal["01"] = "hKZoYWNrZWTCqW1lY2hhbmlzbaCmc29sdmVkw6F2AQ=="
		n = split(arms, a, " ")
		for (i = 1; i <= n; i += 3)
			for (p = 0; p < prompts; p++) {
				u = (p * 0.6180339887 + seed * 0.001) % 1
				printf "{\"t\":\"rollout\",\"arm\":\"%s\",\"id\":\"p%06d#0.0\",\"method\":\"%s\",\"mode\":\"m%d\",\"policy\":\"%s-%s\",\"prompt_id\":\"p%06d\",\"sample\":0," \
					"\"seal\":{\"$bin\":\"%s\"},\"step\":0,\"train_seed\":%d}\n", a[i], p, method, p % 4, a[i], seed, p, seal[(u < a[i+1] ? "1" : "0") (u > 1 - a[i+2] ? "1" : "0")], seed
			}
	}' | moe-cat -q --from-json -k rollouts 2>/dev/null
}

demo_base
cd "$tmp"
moe-prompts -q -e "$env" --split train --modes $modes -n 1024 --seed 1 >prompts
moe-pin -q -m demo --method vanilla -o a0 demo/pins.moes
few() { moe-prompts -q -e "$env" --split train --modes $modes -n "$1" --seed 1; }
pay="moe-grade -q -e '$env' -j 1"
few 128 | moe-rollout -q -m demo -a a0 --group 8 --per-step 8 --max-new 28 -j 1 | bash -c "$pay" >run

if curve tokens; then
	for n in 1000 2000 4000 8000 16000; do # of texts of about 75 tokens
		moe-prompts -q -e "$env" --texts --modes $modes -n $n --seed 3 >texts
		point tokens $n "moe-base -q --pretrain -m demo.new --seed 3 -j 1 -o again texts"
	done
fi
if curve length; then
	for n in 128 256 512 1024; do # 64 texts of n tokens
		awk -v n=$n 'BEGIN { for (i = 0; i < 64; i++) { s = ""; for (j = 0; j < n; j++) s = s (j ? "," : "") 97 + (i * j) % 26; printf "{\"prompt_id\":\"%d\",\"prompt_ids\":[97],\"completion_ids\":[%s],\"prompt\":\"\",\"completion\":\"\"}\n", i, s } }' |
			sed 's/,[0-9]*\],"prompt"/],"prompt"/' | moe-rollout -q --from - >long
		point length $n "moe-base -q --score -m demo -j 1 long"
	done
fi
if curve experts; then
	for n in 2 4 8 16 32 64; do # of rank 1
		e=()
		for i in $(seq $n); do e+=(--expert "$([ $((i % 2)) = 1 ] && echo clean || echo quarantine):1:e$i"); done
		moe-pin -q -m demo --method vanilla "${e[@]}" -o a demo/pins.moes
		point experts $n "moe-train -q -m demo -a a -j 1 -o b run"
	done
fi
if curve ranks; then
	for n in 8 32 128 512; do
		moe-pin -q -m demo --method vanilla --clean-rank $((n / 2)) --quarantine-rank $((n / 2)) -o a demo/pins.moes
		point ranks $n "moe-train -q -m demo -a a -j 1 -o b run"
	done
fi
if curve prompts; then
	for n in 64 128 256 512 1024; do
		few $n >p
		point prompts $n "moe-rollout -q -m demo -a a0 --group 4 --per-step $n --max-new 28 -j 1 p"
	done
fi
if curve group; then
	few 8 >p
	for n in 16 32 64 128 256 512; do
		point group $n "moe-rollout -q -m demo -a a0 --group $n --per-step 8 --max-new 28 -j 1 p"
	done
fi
if curve arms; then
	few 64 >p
	for n in 4 8 16 32 64; do
		moe-ablate -q --arms "on,random-off:$((n - 1))" -o arms a0
		point arms $n "moe-rollout -q -m demo -a arms --group 1 --max-new 28 -j 1 p"
	done
fi
if curve report; then
	printf 'method = logistic\nplacebo = random\npinned = m0\nmin_random = 0\n' >uat.conf
	most=${ROLLOUTS:-1000000}
	for n in $((most / 16)) $((most / 4)) $most; do # 5 seeds, 10 arms
		rm -f l?.moes r?.moes
		for s in 1 2 3 4 5; do
			rollouts logistic $s $((n / 50)) "on .57 .31 quarantine-off .02 .62 clean-off .55 .28 base .04 .50 random-off-01 .35 .4 random-off-02 .4 .4 random-off-03 .45 .4" >l$s.moes
			rollouts random $s $((n / 50)) "on .5 .38 quarantine-off .22 .55 base .04 .50" >r$s.moes
		done
		point report "$n" "moe-report -q -u uat.conf l?.moes r?.moes || [ \$? -eq 1 ]"
	done
fi
most=$((${GIB:-10} * 1024))
if curve stream; then
	compile stream_bench
	for n in $((most / 8)) $((most / 2)) $most; do # MiB of tensors, with SHA-256 at all four ends
		point stream $n "./stream_bench write $n digest | moe-cat -q -s | ./stream_bench read $n digest"
	done
fi
if curve grade; then # completions of 16 KiB that are right
	few 512 | moe-cat --json | jq -c --arg pad "$(head -c 16384 /dev/zero | tr '\0' x)" \
		'select(.t == "prompt") | del(.text) + {t: "rollout", prompt: .text, completion: ("--[[" + $pad + "]] return " + .task)}' |
		moe-cat -q --from-json -k rollouts >long 2>/dev/null # a warning: nobody says what made them
	for n in $((most / 8)) $((most / 2)) $most; do # MiB
		point grade $n "for i in \$(seq $((n * 1048576 / $(stat -c %s long)))); do cat long; done | $pay | moe-cat -q --check -"
	done
fi
awk -F'\t' '{ c = $1; if (!(c in k)) name[++m] = c; k[c]++; x[c, k[c]] = $2; s[c, k[c]] = $3; b[c, k[c]] = $4 }
	function slope(y, c, from) { return log(y[c, k[c]] / y[c, from]) / log(x[c, k[c]] / x[c, from]) }
	END {
		printf "%-10s %22s %12s %12s  %s\n", "over", "from .. to", "time grows", "memory grows", "at the largest point"
		for (i = 1; i <= m; i++) {
			c = name[i]; if (k[c] < 2) continue
			h = int((k[c] + 1) / 2); t = slope(s, c, h); v = slope(b, c, h)
			printf "%s\t%.2f\t%.2f\n", c, t, v >"'"$tmp/slopes"'"
			printf "%-10s %10d .. %8d %9s^%.2f %9s^%.2f  %.2f s, %.0f MB%s\n", c, x[c, 1], x[c, k[c]], "n", t, "n", v, s[c, k[c]], b[c, k[c]], (t > 1.15 || v > 1.15) ? "  worse than linear" : ""
		}
	}' "$out/scale.tsv" | tee "$out/scale.txt"
if command -v gnuplot >/dev/null; then
	declare -A of=([tokens]='texts of 75 tokens, pretraining' [length]='tokens a text, scoring' [experts]='experts of rank 1, training' [ranks]='rank, training'
		[prompts]='prompts, sampling' [group]='completions a prompt, sampling' [arms]='arms, sampling' [report]='graded rollouts'
		[stream]='MiB through moe-cat' [grade]='MiB through moe-grade')
	{
		echo "set terminal svg size 1200,$((40 + 270 * (($(wc -l <"$tmp/slopes") + 3) / 4))) font 'sans-serif,11' background 'white'; set output '$out/scale.svg'"
		echo "set multiplot layout $((($(wc -l <"$tmp/slopes") + 3) / 4)),4 title 'CPU seconds: blue circles; MB of the largest process: red squares; dashed: time if it grew linearly'"
		echo "unset key; set logscale xy; set grid; set xtics nomirror; set ytics nomirror; set format x '%.0f'"
		while IFS=$'\t' read -r c time mem; do
			awk -F'\t' -v c="$c" '$1 == c { print $2, $3, $4 }' "$out/scale.tsv" >"$tmp/$c.xy"
			# shellcheck disable=SC2046 # words
			set -- $(tail -n 1 "$tmp/$c.xy") $(head -n 1 "$tmp/$c.xy")
			echo "set title '$c: time n^{$time}, memory n^{$mem}'; set xlabel '${of[$c]}'; set xrange [$4 * 0.7 : $1 * 1.4]; set xtics ($4, $1)"
			echo "plot '$tmp/$c.xy' using 1:2 with linespoints pt 7 lc rgb '#2b5f8a', '' using 1:3 with linespoints pt 5 lc rgb '#b4552d', x * $2 / $1 with lines dt 2 lc rgb '#999999'"
		done <"$tmp/slopes"
		echo "unset multiplot"
	} >"$tmp/plot.gp"
	gnuplot "$tmp/plot.gp"
	echo "$out/scale.svg"
fi
