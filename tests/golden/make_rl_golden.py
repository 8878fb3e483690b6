#!/usr/bin/env python3
"""Golden values of the GRPO losses: TRL's own GRPOTrainer._compute_loss, called on small tensors without a model.

Writes rl_golden.h beside itself: for each case the loss and its derivative with respect to each token's log-probability. Advantages
follow TRL's formulas (unbiased std, + 1e-4). The truncated importance weight min(1, ratio) is TRL's loss of one detached use
(old = new) times that weight, as TRL multiplies vLLM's. Versions: requirements.txt.
"""
import os
import types
from collections import defaultdict

import torch
from trl import GRPOTrainer

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
MAXLEN = 9
LENS = [3, 1, 5, 2, 4, 4]
GROUP = [0, 0, 0, 1, 1, 1]
REWARDS = [0.5, 3.5, 0.0, 3.5, 3.0, 0.5]
KEEP = [1, 0, 1, 1, 0, 1]
N, T = len(LENS), max(LENS)

gen = torch.Generator().manual_seed(5)
logp = -3 * torch.rand(N, T, generator=gen)
old = logp + 0.6 * torch.randn(N, T, generator=gen)
ref = logp + 0.5 * torch.randn(N, T, generator=gen)
mask = torch.tensor([[1.0 if t < n else 0.0 for t in range(T)] for n in LENS])


class Accelerator:
    num_processes = 1

    def gather(self, x):
        return x

    def reduce(self, x, reduction="sum"):
        return x


def advantages(scale, split):
    r = torch.tensor(REWARDS)
    out = torch.zeros(N)
    for g in (0, 1):
        idx = [i for i in range(N) if GROUP[i] == g]
        kept = [i for i in idx if KEEP[i]]
        for i in idx:
            base = r[kept].mean() if split and KEEP[i] else r[idx].mean()
            std = r[idx].std() if scale == "group" else r.std()
            out[i] = (r[i] - base) / (1 if scale == "none" else std + 1e-4)
    return out


def loss_and_grad(loss_type, ratio, beta, adv):
    leaf = logp.clone().requires_grad_(True)
    me = types.SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (leaf, torch.zeros(N, T), None),
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level="token", beta=beta,
        args=types.SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1), aux_loss_enabled=False,
        loss_type=loss_type, epsilon_low=0.2, epsilon_high=0.3, use_vllm=ratio == "min", vllm_importance_sampling_correction=True,
        current_gradient_accumulation_steps=1, max_completion_length=MAXLEN, accelerator=Accelerator(),
        model=types.SimpleNamespace(training=True), _metrics=defaultdict(lambda: defaultdict(list)), entropy_coef=0.0, router_aux_loss_coef=0.0,
        _entropy_bonus_enabled=False)
    inputs = dict(prompt_ids=torch.zeros(N, 1, dtype=torch.long), prompt_mask=torch.ones(N, 1), completion_ids=torch.zeros(N, T, dtype=torch.long),
                  completion_mask=mask, advantages=adv, ref_per_token_logps=ref, num_items_in_batch=mask.sum())
    if ratio == "clip":
        inputs["old_per_token_logps"] = old
    if ratio == "min":
        inputs["importance_sampling_ratio"] = torch.exp(logp - old).clamp(max=1.0)
    loss = GRPOTrainer._compute_loss(me, types.SimpleNamespace(training=True), inputs)
    loss.backward()
    return loss.item(), leaf.grad


def row(name, values):
    return "static const double %s[] = { %s };\n" % (name, ", ".join("%.17g" % v for v in values))


def tokens(m):
    return [float(m[i, t]) for i in range(N) for t in range(LENS[i])]


with open(os.path.join(HERE, "rl_golden.h"), "w") as f:
    f.write("/* rl_golden.h - made by make_rl_golden.py from TRL's own loss; do not edit. Tokens of all rollouts one after the other. */\n")
    f.write("enum { GOLD_N = %d, GOLD_TOKENS = %d, GOLD_MAXLEN = %d };\n" % (N, sum(LENS), MAXLEN))
    f.write("static const size_t gold_len[] = { %s };\n" % ", ".join(map(str, LENS)))
    f.write("static const int64_t gold_group[] = { %s };\n" % ", ".join(map(str, GROUP)))
    f.write("static const bool gold_keep[] = { %s };\n" % ", ".join(map(str, KEEP)))
    f.write(row("gold_reward", REWARDS) + row("gold_logp", tokens(logp)) + row("gold_old", tokens(old)) + row("gold_ref", tokens(ref)))
    cases = []
    for scale in ("none", "group", "batch"):
        for split in (0, 1):
            f.write(row("gold_adv_%s_%d" % (scale, split), advantages(scale, split).tolist()))
    for loss_type in ("dr_grpo", "grpo", "bnpo", "dapo"):
        for ratio in ("min", "clip", "none"):
            for beta in (0.0, 0.07):
                value, grad = loss_and_grad(loss_type, ratio, beta, advantages("group", 0))
                name = "gold_d_%s_%s_%d" % (loss_type, ratio, beta > 0)
                f.write(row(name, tokens(grad)))
                cases.append('\t{ "%s", "%s", %g, %.17g, %s },\n' % (loss_type, ratio, beta, value, name))
    f.write("static const struct gold_case {\n\tconst char *loss, *ratio;\n\tdouble beta, value;\n\tconst double *dlogp;\n} gold_case[] = {\n" + "".join(cases) + "};\n")
