#!/usr/bin/env python3
"""Writes stat_golden.h: reference values of lib/stat from scipy.

Run by hand after a change of what is tested (make check does not need Python):
    python3 tests/golden/make_stat_golden.py > tests/golden/stat_golden.h
Pinned: scipy 1.17.1 was used for the committed file; any scipy >= 1.11 gives the same digits to 1e-12.
"""
import numpy as np
import scipy
from scipy import stats, special

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

z = lambda power, a: stats.norm.ppf(1 - a / 2) + stats.norm.ppf(power)
table("g_units", ["var", "effect", "alpha", "power", "n"],
      [(s, d, a, p, np.ceil(z(p, a)**2 * s / d**2)) for s, d, a, p in
       ((0.10, 0.03, 0.10, 0.8), (0.10, 0.05, 0.10, 0.8), (0.25, 0.05, 0.05, 0.8), (0.4, 0.1, 0.05, 0.9))])


def seeds(sd, effect, a, power):
    n = 2
    while (stats.t.ppf(1 - a / 2, n - 1) + stats.t.ppf(power, n - 1)) * sd / np.sqrt(n) > effect:
        n += 1
    return n


table("g_units_t", ["sd", "effect", "alpha", "power", "n"],
      [(s, d, a, p, seeds(s, d, a, p)) for s, d, a, p in ((0.05, 0.1, 0.05, 0.8), (0.1, 0.1, 0.05, 0.8), (0.12, 0.05, 0.05, 0.8), (0.01, 0.3, 0.05, 0.8))])
