#!/bin/sh
# moe-train's objectives: every loss type, several updates on a step, GRPOConfig files, and what they refuse. Values are test_rl.c's and tests/interop's.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
env=$TOP/examples/new/env.lua
metric() { moe-cat --json "$1" | jq -c "select(.t == \"metrics\") | .[\"$2\"]" | tr '\n' ' '; }
differ() { # NAME A B
	equal "$1" "$([ "$(digest "$2")" = "$(digest "$3")" ]; echo $?)" 1
}
train() { moe-train -q -m base -a a0.moes "$@" run.moes; }

moe-base -q --new tiny --seed 1 -o base 2>err || cat err
moe-pairs -q -e "$env" -n 8 --modes phrase -o pins.moes
moe-pin -q -m base --method logistic --seed 1 -o a0.moes pins.moes
# paid by two rewards of the text, so that groups differ; a few lack the second; the third step has one group of equal rewards
moe-prompts -q -e "$env" --split train -n 12 --seed 2 | moe-rollout -q -m base -a a0.moes --group 4 --per-step 4 --max-new 8 | moe-cat --json |
	jq -c 'if .t == "rollout" then ((.completion | explode | add // 0) % 5) as $a | ((.completion | length) * 7 % 3) as $b |
		.rewards = (if $b == 2 then {a: $a} else {a: $a, b: $b} end) | .reward = (if .group == 9 then 1 else $a + (if $b == 2 then 0 else $b end) end) else . end' |
	moe-cat --from-json | moe-route -q -m base -a a0.moes -o run.moes

# ---- every loss type at both levels ----
for l in dr_grpo grpo bnpo dapo luspo cispo sapo vespo; do
	for level in token sequence; do
		ok "$l, $level" train --loss $l --level $level --epsilon-high 1.5 --iterations 3 --ratio none --lr 0.01 -o $l.$level.moes
	done
	# vespo is of sequences anyway
	[ $l = vespo ] || differ "$l: the level makes a difference" $l.token.moes $l.sequence.moes
done
equal 'all others differ, but bnpo and dapo on one batch' "$(for f in *.token.moes *.sequence.moes; do digest "$f"; done | sort -u | wc -l | tr -d ' ')" 13
fails 2 'an unknown loss' train --loss ppo -o x.moes
contains 'is told the others' err 'dr_grpo, grpo, bnpo, dapo, luspo, cispo, sapo and vespo are'
fails 2 'an unknown level' train --level word -o x.moes

# ---- several updates on a step ----
ok 'one pass' train --lr 0.01 --metrics one.m -o one.moes
ok 'three iterations' train --lr 0.01 --iterations 3 --metrics it.m -o it.moes
differ 'learn more' one.moes it.moes
ok 'again with two threads' train --lr 0.01 --iterations 3 -j 2 -o it2.moes
equal 'the same bits' "$(digest it2.moes)" "$(digest it.moes)"
printf '%s\n' 'steps_per_generation: 4' 'gradient_accumulation_steps: 2' 'num_iterations: 2' 'learning_rate: 0.01' 'lr_scheduler_type: cosine' 'max_steps: 12' \
	'warmup_steps: 3' >two.yaml
ok 'two updates a step' train --trl-config two.yaml --ratio clip --metrics up.m -o up.moes
differ 'are not one' one.moes up.moes
equal 'ratios are clipped after an update' "$(moe-cat --json it.m | jq -c 'select(.t == "metrics") | ."clip_ratio/region_mean" >= 0' | sort -u)" true
equal 'and were not measured without' "$(metric one.m clip_ratio/region_mean | tr ' ' '\n' | sort -u | tr -d '\n')" null
moe-cat --json run.moes | jq -c 'if .t == "rollout" then .seal = {"$bin": "3q2+7w=="} else . end' | moe-cat --from-json -o flipped.moes
ok 'with every seal replaced' moe-train -q -m base -a a0.moes --lr 0.01 --iterations 3 -o flip.moes flipped.moes
equal 'the same adapter' "$(digest flip.moes)" "$(digest it.moes)"
ok 'steps accumulate' train --lr 0.01 --accumulate 2 --metrics acc.m -o acc.moes
equal 'to an update for two, and one for what is left' "$(moe-cat --json acc.m | jq -c 'select(.t == "metrics") | .learning_rate == 0.01' | tr '\n' ' ')" 'false true false '
differ 'the last step learns too' acc.moes one.moes
fails 2 'but not while a step has several updates' train --accumulate 2 --iterations 2 -o x.moes
echo 'steps_per_generation: 99' >many.yaml
fails 3 'more updates than rollouts' train --trl-config many.yaml -o x.moes

# ---- cut off and gone on with ----
size=$(wc -c <run.moes)
head -c $((size * 3 / 5)) run.moes >part.moes
for o in '--trl-config two.yaml' '--accumulate 2' '--trl-config adapt.yaml'; do
	printf '%s\n' 'use_adaptive_entropy: true' 'entropy_coef: 0.01' 'entropy_target: 9' 'learning_rate: 1e-2' 'max_steps: 6' >adapt.yaml
	rm -f state
	# shellcheck disable=SC2086
	ok "whole: $o" moe-train -q -m base -a a0.moes $o -o whole.moes run.moes
	# shellcheck disable=SC2086
	fails 3 'cut off' moe-train -q -m base -a a0.moes $o --checkpoint state --save-every 1 -o x.moes part.moes
	# shellcheck disable=SC2086
	ok 'gone on with' moe-train -q -m base -a a0.moes $o --checkpoint state --resume -o resumed.moes run.moes
	equal 'the same adapter' "$(digest resumed.moes)" "$(digest whole.moes)"
done
fails 3 'a checkpoint of another objective' train --loss dapo --checkpoint state --resume -o x.moes

# ---- a checkpoint is of one set of options: all that there are, but these, which change nothing that it holds (--pin is of other methods) ----
free='pin base adapter heal heal-steps publish metrics checkpoint save-every resume trl-config recompute allow-oracle any-base output force threads max-mem quiet verbose help version print-options'
cat >changes <<'END'
--loss grpo
--level sequence
--ratio clip
--epsilon 0.1
--epsilon-high 0.3
--beta 0.1
--scale-rewards group
--baseline group
--max-completion-length 9
--iterations 2
--accumulate 2
--plan absorb.clean=0.5/0
--masking outputs
--exact
--lr 0.1
--schedule linear:9
--warmup 3
--adam-beta1 0.8
--adam-beta2 0.9
--weight-decay 0.1
--max-grad-norm 2
--split-moments
--seed 9
--kernels native
END
equal 'every option is in one of two lists' "$(moe-train --print-options=tsv | cut -f2 | grep . | sort)" "$({ echo "$free" | tr ' ' '\n'; sed 's/^--//; s/ .*//' changes; } | sort)"
rm -f state
moe-train -q -m base -a a0.moes --checkpoint state --save-every 1 -o x.moes part.moes 2>/dev/null
ok 'the same options go on' train --checkpoint state --resume -o x.moes
while read -r o; do
	# shellcheck disable=SC2086
	fails 3 "$o is another run" train $o --checkpoint state --resume -o x.moes
done <changes
contains 'which is said' err "it has 'kernels portable' where this run has 'kernels BLIS"
cat >changes <<'END'
"use_bias_correction_kl":false
"delta":1.5
"sapo_temperature_pos":2
"sapo_temperature_neg":2
"vespo_k_pos":1
"vespo_lambda_pos":1
"vespo_k_neg":1
"vespo_lambda_neg":1
"off_policy_mask_threshold":0.1
"mask_truncated_completions":true
"top_entropy_quantile":0.5
"entropy_coef":0.1
"use_adaptive_entropy":true
"entropy_coef_min":-0.1
"entropy_coef_max":0.5
"entropy_coef_delta":0.1
"entropy_target":0.5
"adam_epsilon":1e-6
"multi_objective_aggregation":"normalize_then_sum"
"reward_weights":[1,2]
"steps_per_generation":2
"steps_per_generation":2,"gradient_accumulation_steps":2
"use_vllm":true
"use_vllm":true,"vllm_importance_sampling_mode":"token_mask"
"use_vllm":true,"vllm_importance_sampling_clip_max":2
"use_vllm":true,"vllm_importance_sampling_clip_min":0.1
END
rm -f state
echo '{"max_steps":9}' >t.json
moe-train -q -m base -a a0.moes --trl-config t.json --checkpoint state --save-every 1 -o x.moes part.moes 2>/dev/null
while read -r o; do
	echo "{\"max_steps\":9,$o}" >t.json
	fails 3 "$o too" train --trl-config t.json --checkpoint state --resume -o x.moes
done <changes
equal 'a schedule' "$(moe-train -q -m base -a a0.moes --lr 1 --max-grad-norm 0.001 --schedule linear:4 --warmup 1 --metrics s.m -o x.moes run.moes; metric s.m learning_rate)" \
	'1 1 0.6666666666666667 '
fails 2 'needs its end' train --schedule linear -o x.moes
fails 2 'which is a number' train --schedule cosine:x -o x.moes

# ---- GRPOConfig ----
cat >c.json <<'END'
{"loss_type": "grpo", "scale_rewards": true, "beta": 0.05, "use_bias_correction_kl": true, "epsilon": 0.1, "epsilon_high": 0.28, "delta": 1.5,
"learning_rate": 0.01, "lr_scheduler_type": "constant", "num_iterations": 2, "steps_per_generation": 2, "gradient_accumulation_steps": 1,
"max_completion_length": 8, "reward_weights": [1.0, 0.5], "mask_truncated_completions": true, "top_entropy_quantile": 0.8, "temperature": 0.9,
"output_dir": "out", "bf16": true, "sync_ref_model": true, "logging_steps": 10}
END
cat >c.yaml <<'END'
# the same
---
loss_type: "grpo"     # per rollout
scale_rewards: group
beta: 5e-2
use_bias_correction_kl: true
epsilon: .1
epsilon_high: 0.28
delta: 1.5
learning_rate: 0.01
lr_scheduler_type: constant
num_iterations: 2
steps_per_generation: 2
gradient_accumulation_steps: 1
max_completion_length: 8
reward_weights:
  - 1.0
  - 0.5
mask_truncated_completions: true
top_entropy_quantile: 0.8
lr_scheduler_kwargs:
report_to: []
END
ok 'a GRPOConfig in JSON' moe-train -m base -a a0.moes --trl-config c.json -o json.moes run.moes
contains 'says what is the sampler'"'"'s' err "moe-rollout's, not of this program: temperature"
contains 'and what is not honoured' err 'not honoured: bf16 .arithmetic is float32., sync_ref_model .the reference is the base.$'
ok 'in YAML' moe-train -m base -a a0.moes --trl-config c.yaml --metrics y.m -o yaml.moes run.moes
equal 'the same' "$(digest yaml.moes)" "$(digest json.moes)"
equal 'with nothing to say' "$(grep -c honoured err)" 0
ok 'an option goes first' train --trl-config c.yaml --beta 0 -o nokl.moes
differ 'over the file' nokl.moes json.moes
printf '%s\n' 'multi_objective_aggregation: normalize_then_sum' 'lr_scheduler_type: constant' 'learning_rate: 0.01' 'use_vllm: true' 'vllm_importance_sampling_clip_min: 0.5' >n.yaml
ok 'normalised, then summed' train --trl-config n.yaml -o norm.moes
fails 2 'without split baselines' train --trl-config n.yaml --baseline split -o x.moes
printf 'gradient_accumulation_steps: 4\nsteps_per_generation: 2\nlr_scheduler_type: constant\nlearning_rate: 0.01\n' >a.yaml
ok 'accumulation over generations' train --trl-config a.yaml --metrics a.m -o acc2.moes
equal 'is --accumulate' "$(moe-cat --json a.m | jq -c 'select(.t == "metrics") | .learning_rate == 0.01' | tr '\n' ' ')" 'false true false '
echo 'beta: 0' >b.yaml
ok 'no end of the schedule' train --trl-config b.yaml -o x.moes
contains 'is said' err 'ends at max_steps'
bad() { # NAME TEXT MESSAGE
	printf '%b' "$2" >bad.yaml
	fails 3 "$1" train --trl-config bad.yaml -o x.moes
	contains "$1: why" err "$3"
}
bad 'no such field' 'losstype: grpo\n' "'losstype' is no field of GRPOConfig"
bad 'no such loss' 'loss_type: ppo\n' 'loss_type: .*vespo are was expected'
bad 'no number' 'beta: much\n' 'beta: a number from 0 to 1e.06 was expected'
bad 'out of range' '{"epsilon": 2}' 'epsilon: a number from 0 to 1 was expected'
bad 'no truth' 'use_adaptive_entropy: 3\n' 'true or false was expected'
bad 'a nested block' 'beta: |\n  0.1\n' 'line 1: this form of YAML'
bad 'no name' 'beta: 0\n: 3\n' 'line 2: a line .name: value. was expected'
bad 'an open list' 'reward_weights: [1, 2\n' 'line 1: a list that ends with'
bad 'a list of nothing' '- 1\n' 'line 1: neither a list nor a mapping is open'
bad 'a key twice' 'beta: 0\nbeta: 1\n' 'beta'
bad 'broken JSON' '{"beta": ' 'bad.yaml'
printf 'reward_weights: [1, 2, 3]\n' >bad.yaml
fails 3 'too many weights' train --trl-config bad.yaml -o x.moes
contains 'too many weights: why' err '3 reward weights for 2 rewards'
fails 4 'no file' train --trl-config none.yaml -o x.moes
done_testing
