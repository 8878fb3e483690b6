#!/bin/sh
# examples/sweep: a grid of two runs, made here, as a Slurm array (a stand-in for sbatch starts its tasks), and by GNU parallel.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
unset MAKEFLAGS MAKELEVEL MFLAGS RUN

cat >grid.mk <<EOF_GRID
ENVS := q=$TOP/examples/quarantine
SETTINGS := default= small=GROUP=2+LR=0.001
METHODS := vanilla logistic
SEEDS := 11
COMMON := TEXTS=64 STEPS=2 PER_STEP=2 GROUP=4 EVAL_PROMPTS=4 PAIRS=8 CORPUS=
EOF_GRID

sweep() { make -s -f "$TOP/examples/sweep/Makefile" GRID="$T/grid.mk" OUT="$T/swept" MOE_BIN="$MOE_BIN" "$@"; }
ok "what is missing" sweep todo
equal "is the whole grid" "$(tr '\n' ' ' <out)" 'q/default/vanilla.11/eval.moes q/default/logistic.11/eval.moes q/small/vanilla.11/eval.moes q/small/logistic.11/eval.moes '
ok "one run" sweep "$T/swept/q/small/vanilla.11/eval.moes"
equal "which the run was made with" "$(moe-cat --json swept/q/small/vanilla.11/metrics.moes | jq -r 'select(.t == "metrics") | .learning_rate' | sort -u)" 0.001

mkdir bin
cat >bin/sbatch <<'EOF_SBATCH'
#!/bin/sh
# as sbatch: the array's tasks one after another; the second is lost
for a in "$@"; do
	case $a in --array=*) n=${a#--array=1-} n=${n%%%*} ;; -*) ;; esac
done
while [ $# -gt 0 ] && [ "${1##*/}" != job.sh ]; do shift; done
i=1
while [ $i -le "$n" ]; do
	[ $i -eq 2 ] && [ -e lose ] || SLURM_ARRAY_TASK_ID=$i "$@" || echo "task $i failed"
	i=$((i + 1))
done
echo 77
EOF_SBATCH
chmod +x bin/sbatch
: >lose
PATH=$T/bin:$PATH ok "as an array" sweep slurm
equal "tells the job" "$(tail -1 out)" 77
ok "what is missing then" sweep todo
equal "is the run that was lost" "$(cat out)" 'q/default/logistic.11/eval.moes'
if command -v parallel >/dev/null && parallel --version 2>/dev/null | grep -q '^GNU parallel'; then
	ok "over hosts" sweep ssh HOSTS=:
else
	skip "over hosts" "no GNU parallel"
	sweep all
fi
ok "then nothing" sweep slurm
equal "is missing" "$(cat out)" 'nothing is missing'
ok "reports" sweep reports
equal "a verdict a cell" "$(grep -c '^q/[a-z]*: VERDICT' out)" 2
ok "a table" sweep table.csv
equal "of all runs' metrics" "$(cut -d, -f1-3 swept/table.csv | sort | uniq -c | tr -s ' \n' '  ')" ' 1 cell,method,train_seed 2 q/default,logistic,11 2 q/default,vanilla,11 2 q/small,logistic,11 2 q/small,vanilla,11 '
done_testing
