#!/usr/bin/env python3
"""Losses, gradients, advantages and metrics against TRL's own functions (tests/golden/trl_loss.py) on random batches, degenerate ones among them.

usage: objective_compare.py BIN BATCHES: every batch with every loss type, level and scaling.
"""
import random
import subprocess
import sys

import torch

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/golden")
from trl_loss import advantages, loss_and_grads, zero_std  # noqa: E402

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
BIN, BATCHES = sys.argv[1], int(sys.argv[2])
LOSSES = ("dr_grpo", "grpo", "bnpo", "dapo", "luspo", "cispo", "sapo", "vespo")
rnd = random.Random(7)


def f32(x):
    return x.float().double()


def batch(k):
    """Groups of equal size; every seventh batch has equal rewards, every fifth only cut completions of one token, every third missing rewards."""
    group, groups, parts = rnd.choice((2, 3, 4)), rnd.choice((1, 2, 3)), rnd.choice((1, 2))
    n = group * groups
    lens = [1 if k % 5 == 0 else rnd.randint(1, 7) for _ in range(n)]
    t = max(lens + [2])  # of one column TRL takes a mean over tokens for one over sequences
    g = torch.Generator().manual_seed(k)
    spread = rnd.choice((0.0, 0.1, 1.0, 4.0))
    logp = f32(-3 * torch.rand(n, t, generator=g))
    rewards = [[1.0 if k % 7 == 0 else rnd.choice((0.0, 0.5, 3.5, -1.0)) for _ in range(parts)] for _ in range(n)]
    if k % 3 == 0:
        for r in rewards:
            for i in range(parts):
                if rnd.random() < 0.2:
                    r[i] = float("nan")
    return dict(n=n, group=group, lens=lens, t=t, logp=logp, old=f32(logp + spread * torch.randn(n, t, generator=g)),
                sampled=f32(logp + 0.5 * spread * torch.randn(n, t, generator=g)), ref=f32(logp + 0.5 * torch.randn(n, t, generator=g)),
                entropy=f32(2 * torch.rand(n, t, generator=g)), stopped=[k % 5 != 0 and rnd.random() < 0.8 for _ in range(n)], rewards=rewards,
                weights=[rnd.choice((1.0, 0.25, -1.0)) for _ in range(parts)])


def options(loss, level, k):
    return dict(loss=loss, level=level, ratio=rnd.choice(("min", "clip", "none")), correction=rnd.choice(("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")),
                c_min=rnd.choice((0.0, 0.5)), c_max=rnd.choice((1.0, 3.0)), eps_low=0.2, eps_high=max(rnd.choice((0.2, 0.28, 5.0)), 1.0 if loss == "cispo" else 0.0), delta=rnd.choice((None, 1.5)),
                beta=rnd.choice((0.0, 0.04)), kl_bias=rnd.random() < 0.5, off_policy=rnd.choice((None, 0.3)), top_entropy=rnd.choice((1.0, 0.35, 0.0)),
                entropy_coef=rnd.choice((0.0, 0.02)), max_completion=8, scale=("none", "group", "batch", "normalise")[k % 4], truncated=rnd.random() < 0.5,
                stored=rnd.random() < 0.7)


def line(b, o):
    out = [o["loss"], o["ratio"], o["level"], o["correction"], "none" if o["scale"] == "normalise" else o["scale"], o["c_min"], o["c_max"], o["eps_low"], o["eps_high"],
           o["delta"] or 0, o["beta"], int(o["kl_bias"]), o["off_policy"] or 0, o["top_entropy"], o["entropy_coef"], int(o["truncated"]), int(o["stored"]),
           o["max_completion"], int(o["scale"] == "normalise"), b["n"], len(b["weights"]), *b["weights"]]
    for i in range(b["n"]):
        out += [b["lens"][i], int(b["stopped"][i]), i // b["group"], *b["rewards"][i]]
        for t in range(b["lens"][i]):
            out += [repr(float(b[x][i, t])) for x in ("logp", "old", "sampled", "ref", "entropy")]
    return " ".join(map(str, out))


def theirs(b, o):
    mask = torch.tensor([[1.0 if t < n and (s or not o["truncated"]) else 0.0 for t in range(b["t"])] for n, s in zip(b["lens"], b["stopped"])])
    norm = o["scale"] == "normalise"
    adv = advantages(torch.tensor(b["rewards"]), b["group"], "none" if norm else o["scale"], b["weights"], "normalize_then_sum" if norm else "sum_then_normalize")
    value, d, dent, metric = loss_and_grads({x: o[x] for x in o if x not in ("scale", "truncated", "stored")}, b["logp"], b["old"] if o["stored"] else None, b["sampled"], b["ref"],
                                       b["entropy"], mask, adv)
    logged = ("kl", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/low_min", "clip_ratio/high_max", "vespo/phi_seq_mean")
    flat = [metric.get(x, metric.get("cispo_clip_ratio", [0.0]) if x == "clip_ratio/high_mean" else [0.0])[0] for x in logged]
    flat = flat + [zero_std(torch.tensor(b["rewards"]), b["group"], o["scale"], b["weights"])] if mask.sum() > 0 else [0.0] * 7
    flat += adv.tolist()
    for i in range(b["n"]):
        for t in range(b["lens"][i]):
            flat += [float(d[i, t]), float(dent[i, t])]
    return [value, *flat]


cases = [(batch(k), options(loss, level, k)) for k in range(BATCHES) for loss in LOSSES for level in ("token", "sequence")]
text = "%d\n%s\n" % (len(cases), "\n".join(line(b, o) for b, o in cases))
answers = subprocess.run([BIN], input=text, capture_output=True, text=True, check=True).stdout.splitlines()
worst, bad = 0.0, 0
for (b, o), a in zip(cases, answers):
    ours = [float(v) for v in a.split()]
    want = theirs(b, o)
    size = max(1e-6, max(abs(v) for v in want))
    diff = max(abs(x - y) / max(abs(y), 1e-3 * size) for x, y in zip(ours, want))
    worst = max(worst, diff)
    if len(ours) != len(want) or not diff <= 1e-5:
        bad += 1
        if bad <= 5:
            print("# batch off by", diff, o, b["lens"], b["rewards"], [(i, x, y) for i, (x, y) in enumerate(zip(ours, want)) if abs(x - y) > 1e-5 * max(abs(y), 1e-3 * size)][:4])
print("1..1")
print("%sok 1 - %d batches of %d objectives: the largest relative difference is %.2g" % ("not " if bad or len(answers) != len(cases) else "", BATCHES, len(cases) // BATCHES, worst))
sys.exit(bool(bad))
