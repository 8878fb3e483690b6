/* infer.h - intervals and tests for rates, paired changes and scores.
 *
 * Plain functions of counts or arrays; nothing here knows what an arm or a prompt is. Pure and
 * thread-safe; arrays are borrowed. A result that is not defined (no data, no variance to estimate)
 * is NaN, which callers print as such.
 */
#ifndef MOE_STAT_INFER_H
#define MOE_STAT_INFER_H

#include "util/err.h"

#include <stddef.h>
#include <stdint.h>

struct moe_ci {
	double lo, hi;
};

/* Wilson score interval of x successes in n trials (Wilson 1927), two-sided level 1-alpha:
 * (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). x and n may be fractions (an effective
 * sample size). */
struct moe_ci moe_wilson(double x, double n, double alpha);
/* Clopper-Pearson: [Beta^-1(alpha/2; x, n-x+1), Beta^-1(1-alpha/2; x+1, n-x)]. */
struct moe_ci moe_clopper_pearson(int64_t x, int64_t n, double alpha);
/* Exact McNemar test on the discordant counts b and c, two-sided: min(1, 2 P(X <= min(b,c)), X ~
 * Bin(b+c, 1/2)). */
double moe_mcnemar(int64_t b, int64_t c);

/* Mean and its standard error sd/sqrt(n), with n-1 below sd (Bessel). se NaN for n < 2. */
void moe_mean_se(const double *v, size_t n, double *mean, double *se);
/* Standard error of the mean of v[n] whose rows belong to clusters id[n] (0..clusters-1; Miller
 * 2024, arXiv 2411.00640, with the C/(C-1) of Inspect): sqrt(C/(C-1) sum_c (sum_{i in c} (v_i -
 * mean))^2) / n. C counts the clusters that have rows; NaN when C < 2. */
int moe_cluster_se(const double *v, const uint32_t *id, size_t n, size_t clusters, double *se,
	struct moe_err *e);
/* mean +- t_{1-alpha/2, n-1} se over n independent values; NaN, NaN for n < 2. */
struct moe_ci moe_t_interval(const double *v, size_t n, double alpha);
/* Percentiles alpha/2 and 1-alpha/2 of draws[n] (sorted in place), linear between order statistics
 * (Hyndman & Fan type 7). */
struct moe_ci moe_percentile_interval(double *draws, size_t n, double alpha);
double moe_percentile_sorted(const double *sorted, size_t n, double p);

/* Rank test against K exchangeable controls (Phipson & Smyth 2010): (1 + #{k: control_k >= x}) / (K
 * + 1). A control that is NaN counts against the claim; NaN when x is. */
double moe_rank_p(double x, const double *control, size_t k);
/* Fewest controls with which that p can reach alpha: ceil(1/alpha) - 1. */
size_t moe_rank_controls(double alpha);

/* F_beta = (1+b^2) P R / (b^2 P + R) of "score >= threshold"; 0 when nothing is found. NaN when
 * there are no positives. */
double moe_fbeta(
	const double *score, const uint8_t *positive, size_t n, double threshold, double beta);

/* Orders doubles ascending; NaN last. */
void moe_sort_doubles(double *v, size_t n);

#endif
