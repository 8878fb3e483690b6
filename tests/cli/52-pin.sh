#!/bin/sh
# moe-pin: settings, the table of methods, placebos made of exchanged pairs.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

moe-base -q --new tiny -o base 2>err || cat err
moe-pairs -q -e "$TOP/examples/quarantine/env.lua" -n 12 --modes run_tests,stdout_marker -o pins.moes 2>err || cat err
layout() { # FILE JQ
	moe-cat --json "$1" | jq -c "select(.t == \"layout\") | $2" | head -1
}

# ---- settings ----
ok 'moe-pin --set stores settings' moe-pin -q -m base --set lo=0.25 --set hi=0.75 -o set.moes pins.moes
equal 'moe-pin stores the other defaults beside them' "$(layout set.moes '.settings == {lo: 0.25, hi: 0.75, l2: 0.001, folds: 5, thresholds: "pairs", q: 0.1, half_life: 96, warm_up: 0, features: "tokens"}')" true
ok 'moe-pin fits with the defaults' moe-pin -q -m base -o plain.moes pins.moes
equal 'other thresholds are another adapter' "$([ "$(digest set.moes)" = "$(digest plain.moes)" ]; echo $?)" 1
ok 'moe-pin --set l2=10 fits a weaker score' moe-pin -q -m base --set l2=10 -o l2.moes pins.moes
equal 'l2 changes the fitted bias' "$([ "$(layout l2.moes .score.bias)" = "$(layout plain.moes .score.bias)" ]; echo $?)" 1
ok 'moe-pin --set folds=3' moe-pin -q -m base --set folds=3 -o folds.moes pins.moes
equal 'three folds were held out' "$(layout folds.moes .score.folds)" 3
fails 2 'a setting that the method does not have' moe-pin -m base --set k=2 pins.moes
contains 'its settings are named' err 'one of lo, hi, l2, folds'
fails 2 'a method without settings' moe-pin -m base --method vanilla --set k=2 pins.moes
contains 'it says that there are none' err 'it has none'
fails 2 'a value out of range' moe-pin -m base --set lo=1.5 pins.moes
contains 'the range is named' err 'from 0 to 1'
fails 2 'a value that is not a number' moe-pin -m base --set lo=much pins.moes
fails 2 'lo above hi' moe-pin -m base --set lo=0.9 pins.moes
contains 'it says so' err 'lo=0.9 is above hi=0.6'
fails 2 'the old options are gone' moe-pin -m base --lo 0.3 pins.moes

# ---- the table ----
ok 'moe-pin --list-methods prints the table' moe-pin --list-methods
for word in cites supports presence causal cheats pairs placebo; do
	equal "moe-pin --list-methods tells $word of each method" "$(grep -c "^  $word	." out)" "$(grep -c '^[a-z]' out)"
done
contains 'moe-pin --list-methods prints each setting with its default and range' out '^  --set lo=0.4	0 to 1: .*kept'
grep '^[a-z]' out | cut -f1 >names

# ---- directions ----
for m in vector tstat; do
	ok "moe-pin --method $m fits a direction" moe-pin -m base --method $m -o $m.moes pins.moes
	contains "it says how well on held-out pairs" err 'held out.*hack above clean in (0\.[6-9]|1\.0)'
done

# ---- what a score is held against ----
for m in logistic vector tstat seeded; do
	ok "moe-pin --method $m" moe-pin -m base --method $m -o q.moes pins.moes
	contains 'AUROC and margin on held-out pairs' err 'held out, fold by fold: .*AUROC [01]\.[0-9]+, margin -?[0-9.]+$'
	contains 'of the length alone' err 'length alone: .*AUROC [01]\.[0-9]+, margin'
	contains 'of 99 random directions, with a rank test' err '99 random directions, .*p = [01]\.[0-9]+'
	equal 'all of it is stored' "$(layout q.moes '.score | [.auroc, .margin, .length_auroc, .length_margin, .haar_auroc, .haar_auroc_95, .haar_p] | map(type) | unique | join("")')" '"number"'
done
i=1
while [ $i -lt 25 ]; do # hack and clean are drawn from the same words
	echo "{\"id\":\"$i\",\"prompt\":\"p\",\"hack\":\"w$((i * 7919 % 1000)) z$((i * 104729 % 97))\",\"clean\":\"w$((i * 1299709 % 1000)) z$((i * 15485863 % 97))\"}"
	i=$((i + 1))
done | moe-pairs -q -o noise.moes
ok 'pairs that tell nothing' moe-pin -m base -o q.moes noise.moes
contains 'are no better than random directions' err 'warning: random directions do about as well'

# ---- routers ----
for m in $(pinned_methods); do
	ok "moe-pin --method $m lays out a router" moe-pin -m base --method $m --seed 3 -o $m.moes pins.moes
	equal "a reader of $m's adapter must know routers" "$(layout $m.moes '.needs | index("router") != null')" true
	ok "moe-pin --method $m with two threads" moe-pin -q -m base --method $m --seed 3 -j 2 -o again.moes pins.moes
	equal "it gives the same digest" "$(digest again.moes)" "$(digest $m.moes)"
done
equal 'topk has weights and biases per layer' "$(moe-cat --json topk.moes | jq -r 'select(.t == "tensor") | .name' | grep -c '^router\.[0-2]\.\(weight\|bias\)$')" 6
ok 'moe-pin --set placement=group' moe-pin -q -m base --method topk --set placement=group -o group.moes pins.moes
equal 'topk has a router for each group of Linears' "$(moe-cat --json group.moes | jq -r 'select(.t == "tensor") | .name' | grep -c '^router\.[0-9]*\.weight$')" 12
fails 2 'k above the number of experts' moe-pin -m base --method topk --set k=3 pins.moes
contains 'it says how many there are' err 'up to 2'
fails 2 'a balance loss across clean and quarantine' moe-pin -m base --method topk --set balance=0.01 --set balance_over=all pins.moes
contains 'it says why not' err 'a fixed share of every rollout, hack or not'
fails 2 'a balance loss over a bank of one expert' moe-pin -m base --method entmax --set balance=0.01 pins.moes
contains 'it says so' err 'nothing to balance'
fails 2 'a capacity across clean and quarantine' moe-pin -m base --method switch --set balance_over=all pins.moes
contains 'it says why not' err 'a capacity would drop hacks'
for m in switch expert-choice balanced; do
	fails 2 "$m while sampling" moe-pin -m base --method $m --set sampling=compete pins.moes
	contains "it says that the later tokens do not exist yet" err 'the later tokens.* do not exist'
done
fails 2 'a choice between one quarantine expert' moe-pin -m base --method deepseek --expert clean:4 --expert quarantine:4 pins.moes
contains 'it says how to give several' err 'give several with --expert'
fails 2 'a prototype of what no expert reads' moe-pin -m base --method arrow --set placement=base pins.moes
ok 'the quarantine is cut into four' moe-pin -q -m base --method deepseek -o fine.moes pins.moes
equal 'with the ranks of the one' "$(layout fine.moes '[.experts[] | select(.bank == "quarantine") | .rank]')" '[2,2,2,2]'
ok 'a balance loss inside a quarantine of two' moe-pin -q -m base --method topk --set balance=0.01 --expert clean:4 --expert quarantine:2 --expert quarantine:2 -o two.moes pins.moes
fails 2 'a router without a quarantine' moe-pin -m base --method topk --quarantine-rank 0 pins.moes
fails 2 'a floor that cannot be' moe-pin -m base --method entmax --set floor=0.4 --expert clean:1 --expert clean:1 --expert quarantine:1 pins.moes
fails 2 'a word that a setting does not have' moe-pin -m base --method topk --set placement=head pins.moes
contains 'its words are named' err 'token|layer|block|group|linear'

# ---- the example of moe-method(7), built with its row ----
example=$MOE_BIN/tests/moe-pin-example
if [ -x "$example" ]; then
	ok 'the example method lays out an adapter' "$example" -m base --method dense -o dense.moes pins.moes
	equal 'its name is in it' "$(layout dense.moes .method)" '"dense"'
	fails 2 'programs without its row do not know it' moe-pin -m base --method dense pins.moes
else
	skip 'the example method' 'make tests-build has not built it'
fi

# ---- pairs that findings chose ----
moe-cat --json pins.moes | sed '$s/"labels":"[a-z]*"/"labels":"oracle"/' | moe-cat --from-json -o oracle.moes
fails 3 'pairs with the labels oracle' moe-pin -q -m base -o x.moes oracle.moes
contains 'are refused' err "the pairs carry the labels 'oracle'"
ok 'unless that is allowed' moe-pin -q -m base --allow-oracle -o x.moes oracle.moes
equal 'and then it is marked' "$(moe-cat --json x.moes | jq -r 'select(.t == "end") | .labels')" oracle
moe-cat --json pins.moes | sed 's/"t":"pair"/"t":"pair","hacked":true/' | moe-cat --from-json -o found.moes
fails 3 'a pair with a finding' moe-pin -q -m base -o x.moes found.moes
contains 'is refused by number and name' err 'record 1: the pair carries .hacked'
moe-cat --json pins.moes | grep '"t":"pair"' | moe-cat --from-json --kind pairs -o headless.moes
moe-pin -q -m base -o x.moes headless.moes 2>err
contains 'pairs of unknown origin are warned of' err "labels 'unknown'"

# ---- placebos ----
ok 'moe-pin --placebo-of makes a method its placebo' moe-pin -q -m base --placebo-of logistic -o placebo.moes pins.moes
equal 'the placebo of logistic is random' "$(layout placebo.moes .method)" '"random"'
fails 2 'moe-pin --placebo-of of a method without one' moe-pin -m base --placebo-of vanilla pins.moes
fails 2 '--method beside --placebo-of' moe-pin -m base --method logistic --placebo-of logistic pins.moes
fails 2 '--placebo-of an unknown method' moe-pin -m base --placebo-of telepathy pins.moes
ok 'moe-pin --method NAME-reversed exchanges the sides of all pairs' moe-pin -m base --method logistic-reversed -o reversed.moes pins.moes
equal 'the adapter carries that name' "$(layout reversed.moes .method)" '"logistic-reversed"'
# an exchanged contrast is the negative of the score: at any state, b and w change their signs (to the optimiser's tolerance)
equal 'its score is the opposite' "$(echo "$(layout reversed.moes .score.bias) $(layout plain.moes .score.bias)" | awk '{ d = $1 + $2; print (d < 0 ? -d : d) < 1e-3 * (1 + ($1 < 0 ? -$1 : $1)) }')" 1
ok 'moe-pin --method NAME-shuffled exchanges half of the pairs' moe-pin -m base --method logistic-shuffled -o shuffled.moes pins.moes
equal 'its score is neither' "$(printf '%s\n' "$(layout shuffled.moes .score.bias)" "$(layout reversed.moes .score.bias)" "$(layout plain.moes .score.bias)" | sort -u | wc -l | tr -d ' ')" 3
ok 'moe-pin --method NAME-neutral takes the hacks away' moe-pin -q -m base --method logistic-neutral -o neutral.moes pins.moes
equal 'the adapter carries that name' "$(layout neutral.moes .method)" '"logistic-neutral"'
equal 'its score is another one' "$([ "$(layout neutral.moes .score.bias)" = "$(layout plain.moes .score.bias)" ]; echo $?)" 1
moe-pairs -q --neutral -o npins.moes pins.moes
ok 'pairs that are a placebo already' moe-pin -q -m base -o x.moes npins.moes
contains 'are warned of' err 'these pairs are a placebo \(neutral\)'
moe-pairs -q -e "$TOP/examples/quarantine/env.lua" -n 1 -o one.moes
fails 3 'one pair has no neutral form' moe-pin -q -m base --method logistic-neutral -o x.moes one.moes
contains 'and says why' err 'clean sides that differ'
ok 'another seed exchanges others' moe-pin -q -m base --seed 5 --method logistic-shuffled -o other.moes pins.moes
equal 'so the score differs' "$([ "$(layout shuffled.moes .score.bias)" = "$(layout other.moes .score.bias)" ]; echo $?)" 1
fails 2 'a method without pairs has no shuffled form' moe-pin -m base --method vanilla-shuffled pins.moes
while read -r m; do
	p=$(moe-pin --list-methods | awk -F'\t' -v m="$m" '/^[a-z]/ { in_row = $1 == m } in_row && $1 == "  placebo" { print $2 }')
	[ "$p" = none ] || ok "moe-pin makes the placebo of $m" moe-pin -q -m base --placebo-of "$m" -o p.moes pins.moes
done <names
done_testing
