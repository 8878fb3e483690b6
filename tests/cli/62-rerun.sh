#!/bin/sh
# 62-rerun.sh - moe-report --rerun: a packed experiment comes out the same in an empty folder; what was changed is named; a stranger's recipe runs nothing else.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir exp fresh
pays_by_length exp/env.lua
cat >exp/recipe <<'EOS'
# Three steps on policy, arms, an evaluation and a report.
# inputs: env.lua
moe-base -q --new tiny -o base
moe-pairs -q -e env.lua -n 12 --modes run_tests,stdout_marker -o pins.moes
mkdir -p l.1
moe-pin -q -m base --seed 3 -o l.1/a0.moes < pins.moes 2>l.1/pin.log
rm -f l.1/weights && mkfifo l.1/weights
moe-prompts -q -e env.lua --split train --modes run_tests,exit_code -n 12 --seed 5 | \
  moe-rollout -q -m base -a l.1/a0.moes --follow l.1/weights --group 4 --per-step 4 --max-new 8 --seed 5 -j 1 | \
  moe-grade -q -e env.lua -j 1 | moe-route -q -m base -a l.1/a0.moes -j 1 | tee l.1/run.moes | \
  moe-train -q -m base -a l.1/a0.moes --publish l.1/weights --metrics l.1/metrics.moes -j 1 -o l.1/a1.moes
moe-ablate -q --arms on,quarantine-off,random-off:2,base -o l.1/arms.moes l.1/a1.moes
moe-prompts -q -e env.lua --split test --modes run_tests,exit_code -n 12 --seed 7 | moe-rollout -q -m base -a l.1/arms.moes --group 1 --max-new 8 -j 1 | \
  moe-grade -q -e env.lua -j 1 -o l.1/eval.moes
moe-report -o report.txt l.1/eval.moes l.1/metrics.moes l.1/arms.moes --run l.1/run.moes
EOS
(cd exp && grep -v '^#' recipe | sh) 2>/dev/null
pack() { (cd exp && rm -f l.1/weights && moe-cat --pack -o ../exp.tar.zst recipe env.lua base pins.moes l.1 report.txt); }
ok 'an experiment is packed with its recipe' pack
cd fresh || exit 1
ok 'and comes out the same in an empty folder' moe-report --rerun ../exp.tar.zst
cp "$T/out" held
contains 'the adapter too, by its digest' held '^same +l.1/a1.moes  digest [0-9a-f]{64}$'
contains 'and the evaluation' held '^same +l.1/eval.moes'
contains 'and the report' held '^same +report.txt$'
contains 'metrics but for their times' held '^same +l.1/metrics.moes \(but for command lines and times\)'
contains 'it says so' held '^RERUN: all [0-9]+ files came out the same'
same 'report by bytes' exp.rerun/anew/report.txt ../exp/report.txt
fails 4 'a folder that is there is left alone' moe-report --rerun ../exp.tar.zst exp.rerun
ok 'another folder will do' moe-report --rerun ../exp.tar.zst again
cd .. || exit 1

# ---- what was changed is named, the first of it in the order of the recipe ----
moe-cat --json exp/l.1/eval.moes | sed '0,/"completion":"[^"]*"/s//"completion":"return 1"/' | moe-cat --from-json -o t.moes
cp exp/l.1/eval.moes keep.moes
cp t.moes exp/l.1/eval.moes
pack
fails 1 'an evaluation that was edited' moe-report --rerun exp.tar.zst r1
contains 'differs, and where' out "^RERUN: 1 of [0-9]+ files differ; the first, in the order of the recipe, is l.1/eval.moes: record 1 \(rollout\) differs in 'completion'"
cp keep.moes exp/l.1/eval.moes
cp exp/l.1/a1.moes keep.moes
moe-train -q -m exp/base -a exp/l.1/a0.moes --lr 0.02 -o exp/l.1/a1.moes exp/l.1/run.moes 2>/dev/null
pack
fails 1 'an adapter that was trained otherwise' moe-report --rerun exp.tar.zst r2
contains 'differs first' out "^RERUN: .*is l.1/a1.moes: record [0-9]+ \(tensor\) differs in 'data'"
cp keep.moes exp/l.1/a1.moes
echo x >exp/l.1/more
pack
fails 1 'a file that the recipe does not make' moe-report --rerun exp.tar.zst r3
contains 'is named' out 'l.1/more  the rerun did not make it'
rm exp/l.1/more

# ---- a stranger's recipe ----
cp exp/recipe keep
n=0
while read -r line; do
	n=$((n + 1))
	{ printf '# inputs: env.lua\nmkdir made\n'; printf '%s\n' "$line"; } >exp/recipe
	pack
	fails 3 "not run: $line" moe-report --rerun exp.tar.zst "h$n"
	contains 'for a reason' err 'line 3 is not run, nor is any other: '
	equal 'and nothing was' "$(ls "h$n/anew")" env.lua
done <<'EOS'
sh -c evil
/bin/sh evil
moe-cat pins.moes; touch x
moe-cat $(touch x)
moe-cat `touch x`
moe-cat pins.moes & touch x
moe-cat pins.moes > /tmp/x
moe-cat pins.moes > ../../x
moe-cat -o/tmp/x pins.moes
moe-cat --output=/tmp/x pins.moes
cp env.lua ../x
tee /etc/x
moe-grade -x evil l.1/run.moes
moe-grade -qx evil l.1/run.moes
moe-grade --exe evil l.1/run.moes
moe-report --rerun exp.tar.zst
X=1 moe-cat pins.moes
moe-cat "$HOME"
moe-cat 'unended
moe-cat pins.moes | | moe-cat
moe-cat pins.moes >
moe-cat *
EOS
rm exp/recipe
(cd exp && moe-cat --pack -o ../exp.tar.zst env.lua)
fails 3 'a bundle without a recipe' moe-report --rerun exp.tar.zst none
contains 'is told what it lacks' err 'the bundle has no file "recipe"'
fails 3 'what is no bundle' moe-report --rerun keep.moes nobundle
fails 2 'one thing at a time' moe-report --rerun exp.tar.zst --audit x
done_testing
