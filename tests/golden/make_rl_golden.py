#!/usr/bin/env python3
"""Golden values of the GRPO family: TRL's own loss and advantages (trl_loss.py), called on small tensors without a model.

Writes rl_golden.h beside itself: for each case the options, the loss and its derivatives with respect to each token's log-probability and (where there is a
bonus) entropy. Inputs are float32 numbers, arithmetic is float64. Advantages against the kept rollouts of a group alone are not TRL's; they are written down here.
Versions: requirements.txt.
"""
import os

import torch
from trl_loss import DEFAULT, advantages, loss_and_grads

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
LENS = [3, 1, 5, 2, 4, 4]
STOPPED = [1, 1, 0, 1, 1, 1]
GROUP = [0, 0, 0, 1, 1, 1]
REWARDS = [0.5, 3.5, 0.0, 3.5, 3.0, 0.5]
PARTS = [[0.5, 1.0], [3.5, float("nan")], [0.0, -2.0], [3.5, 0.25], [float("nan")] * 2, [0.5, 0.75]]
WEIGHTS = [1.0, 0.5]
KEEP = [1, 0, 1, 1, 0, 1]
N, T = len(LENS), max(LENS)

gen = torch.Generator().manual_seed(5)
f32 = lambda x: x.float().double()
logp = f32(-3 * torch.rand(N, T, generator=gen))
old = f32(logp + 0.6 * torch.randn(N, T, generator=gen))
ref = f32(logp + 0.5 * torch.randn(N, T, generator=gen))
sampled = f32(old + 0.4 * torch.randn(N, T, generator=gen))
entropy = f32(2.5 * torch.rand(N, T, generator=gen))
full = torch.tensor([[1.0 if t < n else 0.0 for t in range(T)] for n in LENS])


def split_advantages(scale):
    r = torch.tensor(REWARDS)
    out = torch.zeros(N)
    for g in (0, 1):
        idx = [i for i in range(N) if GROUP[i] == g]
        kept = [i for i in idx if KEEP[i]]
        for i in idx:
            base = r[kept].mean() if KEEP[i] else r[idx].mean()
            out[i] = (r[i] - base) / (1 if scale == "none" else (r[idx].std() if scale == "group" else r.std()) + 1e-4)
    return out


def row(name, values):
    return "static const double %s[] = { %s };\n" % (name, ", ".join("NAN" if v != v else "%.12g" % v for v in values))


def tokens(m):
    return [float(m[i, t]) for i in range(N) for t in range(LENS[i])]


def exact(name, m):
    return "static const moe_real %s[] = { %s };\n" % (name, ", ".join("%.9gF" % v if "." in "%.9g" % v or "e" in "%.9g" % v else "%.9g" % v for v in tokens(m)))


cases = []
for loss in ("dr_grpo", "grpo", "bnpo", "dapo", "luspo", "cispo", "sapo", "vespo"):
    for level in ("token", "sequence"):
        one = dict(loss=loss, level=level, eps_high=1.5 if loss == "cispo" else 0.3)
        cases.append({**one, "ratio": "min"})
        cases.append({**one, "ratio": "min", "stored": True, "beta": 0.07, "kl_bias": True, "correction": "token_mask", "c_min": 0.5, "c_max": 2.0})
        cases.append({**one, "ratio": "clip", "beta": 0.07})
        cases.append({**one, "ratio": "none", "stored": True, "truncated": True, "entropy_coef": 0.03})
for more in (dict(delta=1.4), dict(off_policy=0.05), dict(top_entropy=0.4), dict(top_entropy=0.0, entropy_coef=0.1, beta=0.05, kl_bias=True),
             dict(ratio="min", correction="sequence_truncate", c_max=1.5), dict(ratio="min", correction="sequence_mask", c_min=0.9, c_max=3.0),
             dict(loss="vespo", ratio="min", correction="sequence_mask", c_max=1.0), dict(loss="dapo", level="sequence", off_policy=0.01, delta=1.1)):
    cases.append({"stored": True, "ratio": "none", "eps_high": 0.3, **more})

with open(os.path.join(HERE, "rl_golden.h"), "w") as f:
    f.write("/* rl_golden.h - made by make_rl_golden.py from TRL's own loss; do not edit. Tokens of all rollouts one after the other. */\n")
    f.write("enum { GOLD_N = %d, GOLD_TOKENS = %d, GOLD_MAXLEN = %d, GOLD_PARTS = 2 };\n" % (N, sum(LENS), DEFAULT["max_completion"]))
    f.write("static const size_t gold_len[] = { %s };\n" % ", ".join(map(str, LENS)))
    f.write("static const int64_t gold_group[] = { %s };\n" % ", ".join(map(str, GROUP)))
    f.write("static const bool gold_keep[] = { %s };\n" % ", ".join(map(str, KEEP)))
    f.write("static const bool gold_stopped[] = { %s };\n" % ", ".join(map(str, STOPPED)))
    f.write(row("gold_reward", REWARDS) + row("gold_part", sum(PARTS, [])) + row("gold_weight", WEIGHTS))
    for name, m in (("logp", logp), ("old", old), ("sampled", sampled), ("ref", ref), ("entropy", entropy)):
        f.write(exact("gold_" + name, m))
    r, parts = torch.tensor(REWARDS).unsqueeze(1), torch.tensor(PARTS)
    for scale in ("none", "group", "batch"):
        f.write(row("gold_adv_%s_0" % scale, advantages(r, 3, scale).tolist()) + row("gold_adv_%s_1" % scale, split_advantages(scale).tolist()))
        f.write(row("gold_adv_%s_parts" % scale, advantages(parts, 3, scale, WEIGHTS).tolist()))
    f.write(row("gold_adv_normalised", advantages(parts, 3, weights=WEIGHTS, aggregation="normalize_then_sum").tolist()))
    adv = advantages(r, 3, "group")
    table = []
    for k, c in enumerate(cases):
        o = {**DEFAULT, **{x: c[x] for x in c if x not in ("stored", "truncated")}}
        mask = full * torch.tensor(STOPPED).unsqueeze(1) if c.get("truncated") else full
        value, grad, dent, _ = loss_and_grads(o, logp, old if c.get("stored") else None, sampled, ref, entropy, mask, adv)
        f.write(row("gold_d_%d" % k, tokens(grad)))
        if o["entropy_coef"]:
            f.write(row("gold_e_%d" % k, tokens(dent)))
        table.append('\t{ "%s", "%s", "%s", "%s", %g, %g, %g, %g, %g, %d, %g, %g, %g, %d, %d, %.12g, gold_d_%d, %s },\n' % (
            o["loss"], o["ratio"], o["level"], o["correction"], o["c_min"], o["c_max"], o["eps_high"], o["delta"] or 0, o["beta"], o["kl_bias"],
            o["off_policy"] or 0, o["top_entropy"], o["entropy_coef"], c.get("truncated", False), c.get("stored", False), value, k,
            "gold_e_%d" % k if o["entropy_coef"] else "NULL"))
    f.write("static const struct gold_case {\n\tconst char *loss, *ratio, *level, *correction;\n\tdouble c_min, c_max, eps_high, delta, beta;\n\tint kl_bias;\n"
            "\tdouble off_policy, top_entropy, entropy_coef;\n\tint truncated, stored;\n\tdouble value;\n\tconst double *dlogp, *dentropy;\n} gold_case[] = {\n" + "".join(table) + "};\n")
