#!/usr/bin/env python3
"""Golden values of the scores per rollout: weighted quantiles as vGROUT's band gate takes them (sorting and searchsorted of PyTorch);
and of what projection keeps of an update, by least squares.

Writes score_golden.h beside itself: N scores, oldest first, and for each half-life and q the two thresholds. Versions: requirements.txt.
"""
import os

import torch

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
N, HALF, Q = 300, [96.0, 10.0, 0.0], [0.1, 0.25, 0.5]
gen = torch.Generator().manual_seed(5)
score = torch.randn(N, generator=gen) + torch.linspace(-2, 2, N)  # they drift, so that weights matter
score[::7] = 0.5  # ties
cuts = []
for half in HALF:
    age = N - torch.arange(N, dtype=torch.float64)
    w = 0.5 ** (age / half) if half else torch.ones(N)
    order = torch.argsort(score)
    cw = torch.cumsum(w[order], 0)
    cw = cw / cw[-1]
    for q in Q:
        cuts += [score[order][torch.searchsorted(cw, q)].item(), score[order][torch.searchsorted(cw, 1 - q)].item()]


# Penalty (2604.01476): z-scored within groups of four, one-sided.
P = torch.rand(16, generator=gen)
P[4:8] = 0.25  # a group without variance
g = P.reshape(4, 4)
sd = g.std(1, keepdim=True)
z = torch.where(sd > 0, (g - g.mean(1, keepdim=True)) / sd, torch.zeros_like(g))
factor = 1 - 2 * torch.sigmoid(z) * (z > 0)

# projection, sides=clean: five directions of twelve numbers, of which the fourth lies in the span of the others and the fifth is 0.
V = torch.randn(5, 12, generator=gen)
V[3] = 2 * V[0] - 0.5 * V[2]
V[4] = 0
u = torch.randn(12, generator=gen)
in_span = torch.linalg.lstsq(V[:3].T, u[:, None]).solution[:, 0] @ V[:3]


def text(name, v):
    return "static const double gold_%s[] = { %s };\n" % (name, ", ".join("%.17g" % x for x in v))


with open(os.path.join(HERE, "score_golden.h"), "w") as f:
    f.write("/* score_golden.h - made by make_score_golden.py from PyTorch; do not edit. */\n")
    f.write("enum { GOLD_SCORES = %d, GOLD_HALVES = %d, GOLD_QS = %d };\n" % (N, len(HALF), len(Q)))
    f.write(text("score", score.tolist()) + text("half", HALF) + text("q", Q) + text("cuts", cuts))
    f.write(text("span", V.reshape(-1).tolist()) + text("update", u.tolist()) + text("in_span", in_span.tolist()))
    f.write(text("pair_score", P.tolist()) + text("factor", factor.reshape(-1).tolist()))
