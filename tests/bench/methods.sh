#!/bin/bash
# methods.sh - the table "EVERY METHOD, ONE SEED" of moe-method(7): each row of the method table on the setting of `make demo`, one training seed, to a
# report; and what a step of training costs. usage: tests/bench/methods.sh OUT [ROW...]; writes OUT/methods.tsv and OUT/methods.txt.
#
#   SEED=11 STEPS=240 EVAL_PROMPTS=512   the runs, of the example's Makefile; what is there is not made again
#   ROUNDS=3 LONG=24 SHORT=4             cost: CPU of moe-rollout, moe-route and moe-train for LONG steps less that for SHORT ones, all rows in
#                                        turn, the least of the rounds, over vanilla's; ROUNDS=0 leaves it out
#   JOBS                                 runs at once (default: all cores); costs are measured one at a time
set -eu -o pipefail
out=${1:?}
shift
mkdir -p "$out/runs"
out=$(cd "$out" && pwd)
ROUNDS=${ROUNDS:-3} SEED=${SEED:-11} STEPS=${STEPS:-240} EVAL_PROMPTS=${EVAL_PROMPTS:-512} LONG=${LONG:-24} SHORT=${SHORT:-4}
JOBS=${JOBS:-$(nproc)}
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
compile spent
export out top bin tmp SEED STEPS EVAL_PROMPTS

# A row: its name and, where it is not a method's with its own settings, METHOD:SETTING.
rows="vanilla logistic random vector tstat haar gradient gradient-haar hash
	logistic-5=logistic:refresh=5 vector-5=vector:refresh=5 gradient-5=gradient:refresh=5 haar-5=haar:refresh=5
	topk entmax seeded relu switch loramoe xlora deepseek deepseek-v3 expert-choice balanced arrow
	absorb-zero=absorb:init=zero absorb-gaussian=absorb:init=gaussian absorb-pissa=absorb:init=pissa absorb-corda=absorb:init=corda
	scorda scorda_rev bounded seed-absorb seed-absorb-reversed inoculation frozen-random
	penalty penalty-shuffled steering steering-random prompt prompt-neutral
	projection projection-clean=projection:sides=clean projection-haar
	no-loophole oracle sgtm cloud graft label-penalty label-screen"
[ $# -eq 0 ] || rows=$*

name_of() { echo "${1%%=*}"; }
method_of() { # the part of METHOD:SETTING before the colon
	local m=${1#*=}
	echo "${m%%:*}"
}
set_of() { case $1 in *:*) echo "--set ${1#*:}" ;; esac; }

# example RUN ROW VARIABLE=VALUE... TARGET: of the main job's Makefile, for one method
example() {
	local run=$1 row=$2 m
	shift 2
	m=$(method_of "$row")
	make -s --no-print-directory -f "$top/examples/quarantine/Makefile" MOE_BIN="${programs:-$bin}" RUN="$run" BASE="$out/base" SEEDS="$SEED" METHODS="$m" TESTED= \
		"SET.$m=$(set_of "$row")" EVAL_PROMPTS="$EVAL_PROMPTS" "${@:1:$#-1}" "$run/$m.$SEED/${*: -1}"
}

# one ROW: trained, evaluated and reported; its line of methods.tsv into its folder
one() {
	local name m run d
	name=$(name_of "$1") m=$(method_of "$1") run=$out/runs/$(name_of "$1")
	d=$run/$m.$SEED
	example "$run" "$1" STEPS="$STEPS" eval.moes || return 1
	moe-report --run "$d/run.moes" --html "$d/report.html" "$d/eval.moes" "$d/metrics.moes" -f -o "$d/report.txt" 2>"$d/report.log" || [ $? -eq 1 ]
	moe-report --json --run "$d/run.moes" "$d/eval.moes" "$d/metrics.moes" 2>/dev/null | jq -r --arg name "$name" '
		def rate(a; k): [.methods[0].arms[] | select(.arm == a)][0][k].rate;
		[$name, (.training[0].zero_share // "-"), rate("on"; "hack"), rate("quarantine-off"; "hack"), rate("on"; "solve"), rate("quarantine-off"; "solve"),
		 .verdict] | @tsv' >"$d/line.tsv" || [ -s "$d/line.tsv" ]
	printf '%s: %s\n' "$name" "$(cut -f2- "$d/line.tsv" | tr '\t' ' ')" >&2
}
export -f one example name_of method_of set_of

[ -e "$out/base/model.safetensors" ] || make -s --no-print-directory -f "$top/examples/quarantine/Makefile" MOE_BIN="$bin" RUN="$out" "$out/base/model.safetensors"
# shellcheck disable=SC2086 # rows are words
printf '%s\n' $rows | xargs -P "$JOBS" -I{} bash -eo pipefail -c 'one "$1"' one {} || echo "some rows failed" >&2

# The same programs, of which three tell at their end what they took.
mkdir "$tmp/bin"
for p in "$bin"/moe-*; do
	case ${p##*/} in
	moe-rollout | moe-route | moe-train) printf '#!/bin/sh\nexec "%s/spent" "%s" "$@"\n' "$tmp" "$p" >"$tmp/bin/${p##*/}" && chmod +x "$tmp/bin/${p##*/}" ;;
	*) ln -s "$p" "$tmp/bin/" ;;
	esac
done
cost() { # ROW STEPS: CPU seconds of the three
	local run=$tmp/cost m d
	m=$(method_of "$1")
	d=$run/$m.$SEED
	rm -rf "$run"
	programs=$tmp/bin example "$run" "$1" STEPS="$2" a1.moes >&2
	for p in rollout route train; do
		[ ! -e "$d/$p.log" ] || tail -n 1 "$d/$p.log"
	done | awk '{ s += $1 } END { print s }'
}
: >"$out/cost.tsv"
for _ in $(seq "$ROUNDS"); do
	for row in $rows; do
		for steps in "$SHORT" "$LONG"; do
			printf '%s\t%s\t%s\n' "$(name_of "$row")" "$steps" "$(cost "$row" "$steps")" >>"$out/cost.tsv"
		done
	done
done

for row in $rows; do
	cat "$out/runs/$(name_of "$row")/$(method_of "$row").$SEED/line.tsv"
done | awk -F'\t' -v OFS='\t' -v long="$LONG" -v short="$SHORT" '
	FILENAME != "-" { k = $1 FS $2; if (!(k in least) || $3 < least[k]) least[k] = $3; next }
	{ a = $1 FS long; b = $1 FS short; step[NR] = a in least ? (least[a] - least[b]) / (long - short) : 0; line[NR] = $0; name[NR] = $1; if ($1 == "vanilla") van = step[NR]; order[++n] = NR }
	END { for (i = 1; i <= n; i++) { split(line[order[i]], f, FS); s = step[order[i]]
		print f[1], (s > 0 ? sprintf("%.4f", s) : "-"), (s > 0 && van > 0 ? sprintf("%.2f", s / van) : "-"), f[2], f[3], f[4], f[5], f[6], f[7] } }' "$out/cost.tsv" - >"$out/methods.tsv"
{
	echo "seed $SEED, $STEPS steps, $EVAL_PROMPTS prompts; cost: CPU of a step over vanilla's, $LONG steps less $SHORT, least of $ROUNDS; $(moe-train --version | head -n 1); $(date -u +%F)"
	awk -F'\t' 'BEGIN { fmt = "%-22s %8s %6s %6s   %6s %7s  %6s %7s   %s\n"; printf fmt, "", "s/step", "cost", "at 0", "hack", "deleted", "solve", "deleted", "" }
		function p(v) { return v == "-" ? "-" : sprintf("%.3f", v) }
		{ printf fmt, $1, $2, $3, ($4 == "-" ? "-" : sprintf("%.2f", $4)), p($5), p($6), p($7), p($8), $9 }' "$out/methods.tsv"
} | tee "$out/methods.txt"
