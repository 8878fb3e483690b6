#!/usr/bin/env python3
"""Writes stat_golden.h: reference values of lib/stat from scipy.

Run by hand after a change of what is tested (make check does not need Python):
    python3 tests/golden/make_stat_golden.py > tests/golden/stat_golden.h
Pinned: scipy 1.17.1 was used for the committed file; any scipy >= 1.11 gives the same digits to 1e-12.
"""
import numpy as np
import scipy
from scipy import optimize, stats, special

rng = np.random.default_rng(20410)


def table(name, columns, rows):
    print(f"static const struct {{ double {', '.join(columns)}; }} {name}[] = {{")
    for row in rows:
        print("\t{" + ", ".join(repr(float(x)) for x in row) + "},")
    print("};")


def array(name, values, kind="double"):
    values = list(values)
    print(f"static const {kind} {name}[] = {{" + ", ".join(repr(v) for v in values) + "};")


print("/* stat_golden.h - reference values from scipy %s; made by make_stat_golden.py, not by hand. */" % scipy.__version__)
table("g_normal", ["p", "z"], [(p, stats.norm.ppf(p)) for p in (1e-12, 1e-5, 0.001, 0.025, 0.2, 0.5, 0.8, 0.95, 0.975, 0.9999)])
table("g_beta", ["x", "a", "b", "cdf"],
      [(x, a, b, special.betainc(a, b, x)) for x in (1e-6, 0.01, 0.3, 0.5, 0.9, 0.999)
       for a, b in ((0.5, 0.5), (1, 3), (5, 2), (0.5, 40), (200, 300), (2000, 1500))])
table("g_beta_q", ["p", "a", "b", "x"],
      [(p, a, b, special.betaincinv(a, b, p)) for p in (0.025, 0.5, 0.975) for a, b in ((1, 30), (7, 4), (0.5, 2), (87, 512), (1000, 3))])
table("g_t", ["p", "df", "t"], [(p, df, stats.t.ppf(p, df)) for p in (1e-9, 0.001, 0.025, 0.2, 0.8, 0.95, 0.975, 0.9995)
                                for df in (1, 2, 3, 4, 9, 30, 511)])
table("g_t_cdf", ["t", "df", "p"], [(t, df, stats.t.cdf(t, df)) for t in (-8.5, -2.0, -0.1, 0.3, 4.0) for df in (1, 2.5, 7, 100)])
table("g_binom", ["k", "n", "p", "cdf"], [(k, n, p, stats.binom.cdf(k, n, p)) for k, n, p in
                                          ((0, 10, 0.5), (3, 10, 0.5), (9, 10, 0.5), (12, 87, 0.2), (50, 100, 0.5), (2, 512, 0.01))])
rows = []
for x, n in ((0, 20), (1, 20), (14, 87), (66, 87), (19, 87), (13, 87), (87, 87), (300, 512), (2, 1024)):
    w = stats.binomtest(x, n).proportion_ci(0.95, method="wilson")
    c = stats.binomtest(x, n).proportion_ci(0.95, method="exact")
    rows.append((x, n, w.low, w.high, c.low, c.high))
table("g_rate", ["x", "n", "wilson_lo", "wilson_hi", "cp_lo", "cp_hi"], rows)
table("g_mcnemar", ["b", "c", "p"], [(b, c, min(1.0, stats.binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0)
                                     for b, c in ((0, 0), (1, 0), (0, 6), (5, 15), (12, 3), (40, 41), (100, 60))])

v = np.round(rng.normal(0.2, 1.0, 24), 3)
cluster = rng.integers(0, 6, 24)
array("g_v", [float(x) for x in v])
array("g_cluster", [int(x) for x in cluster], "uint32_t")
groups = np.unique(cluster)
dev = v - v.mean()
sums = np.array([dev[cluster == g].sum() for g in groups])
lo, hi = stats.t.interval(0.95, len(v) - 1, v.mean(), stats.sem(v))
table("g_mean", ["mean", "se", "t_lo", "t_hi", "cluster_se", "p10", "p975"],
      [(v.mean(), stats.sem(v), lo, hi, np.sqrt(len(groups) / (len(groups) - 1) * (sums**2).sum()) / len(v),
        np.quantile(v, 0.1), np.quantile(v, 0.975))])

score = np.round(rng.normal(0, 1, 60), 1)  # one decimal: many ties
label = (score + rng.normal(0, 1.2, 60) > 0.4).astype(int)
u = stats.mannwhitneyu(score[label == 1], score[label == 0]).statistic
pred = score >= 0.5
tp = (pred & (label == 1)).sum()
p, r = tp / pred.sum(), tp / label.sum()
array("g_score", [float(x) for x in score])
array("g_label", [int(x) for x in label], "uint8_t")
table("g_gate", ["auroc", "f05"], [(u / (label.sum() * (1 - label).sum()), 1.25 * p * r / (0.25 * p + r))])


def levels(n, alpha):
    """Nominal one-sided levels of looks: Gauss-Legendre on 600 points, not the program's Simpson grid."""
    spent, out, last, dens = 0, [], 0, None
    x, w = np.polynomial.legendre.leggauss(600)
    for k in n:
        spend = alpha * np.log(1 + (np.e - 1) * k / n[-1]) - spent
        sd = np.sqrt(k - last)
        if dens is None:
            cross = lambda b: stats.norm.sf(b / sd)
        else:
            cross = lambda b, at=at, m=dens * wt: float((m * stats.norm.sf((b - at) / sd)).sum())
        b = optimize.brentq(lambda b: cross(b) - spend, -2 * np.sqrt(k), 9 * np.sqrt(k), xtol=1e-13)
        out.append(stats.norm.sf(b / np.sqrt(k)))
        lo = -9 * np.sqrt(k)
        new = lo + (b - lo) * (x + 1) / 2
        if dens is None:
            f = stats.norm.pdf(new / sd) / sd
        else:
            f = ((dens * wt)[None, :] * stats.norm.pdf((new[:, None] - at[None, :]) / sd) / sd).sum(1)
        at, wt, dens, last, spent = new, w * (b - lo) / 2, f, k, spent + spend
    return out


plans = (5,), (5, 8, 10), (3, 4, 5), tuple(range(3, 11)), (5, 8, 12, 16, 20)  # as in test_stat.c
table("g_look", ["plan", "at", "alpha", "level"],
      [(k, i, a, lv) for k, n in enumerate(plans) for a in (0.025, 0.05) for i, lv in enumerate(levels(n, a))])


def bet_end(v, lo, hi, ask):
    """Largest mean that the mixture of bets excludes, by brentq on its logarithm."""
    def wealth(m):
        return np.mean([np.prod(1 + g / 20 * (v - m) / (m - lo)) for g in range(1, 20)]) - ask
    return lo if wealth(lo + 1e-9) < 0 else optimize.brentq(wealth, lo + 1e-9, hi, xtol=1e-13)


d = np.array([0.42, 0.31, 0.55, 0.40, 0.12, 0.38, 0.29, 0.47])
table("g_bet", ["n", "lo", "hi"], [(k, bet_end(d[:k], -1, 1, 40), -bet_end(-d[:k], -1, 1, 40)) for k in (1, 3, 5, 8)])
array("g_bet_v", [float(x) for x in d])
