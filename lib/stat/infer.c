/* infer.c - intervals and tests for rates, paired changes and scores. Not the verdict: which of
 * these decides what is verdict.c's business. */
#include "stat/infer.h"

#include "stat/dist.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>

static const struct moe_ci ci_nan = { NAN, NAN };

struct moe_ci moe_wilson(double x, double n, double alpha)
{
	if (!(n > 0 && x >= 0 && x <= n))
		return ci_nan;
	double z = moe_normal_quantile(1 - alpha / 2), p = x / n, z2 = z * z;
	double mid = p + z2 / (2 * n), half = z * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
	struct moe_ci c = { (mid - half) / (1 + z2 / n), (mid + half) / (1 + z2 / n) };

	if (c.lo < 0 || x <= 0)
		c.lo = 0;
	if (c.hi > 1 || x >= n)
		c.hi = 1;
	return c;
}

struct moe_ci moe_clopper_pearson(int64_t x, int64_t n, double alpha)
{
	if (n <= 0 || x < 0 || x > n)
		return ci_nan;
	struct moe_ci c = { 0, 1 };

	if (x > 0)
		c.lo = moe_beta_quantile(alpha / 2, (double)x, (double)(n - x) + 1);
	if (x < n)
		c.hi = moe_beta_quantile(1 - alpha / 2, (double)x + 1, (double)(n - x));
	return c;
}

double moe_mcnemar(int64_t b, int64_t c)
{
	if (b < 0 || c < 0)
		return NAN;
	double p = 2 * moe_binomial_cdf(b < c ? b : c, b + c, 0.5);

	return p > 1 ? 1 : p;
}

void moe_mean_se(const double *v, size_t n, double *mean, double *se)
{
	double sum = 0, sq = 0, m;

	for (size_t i = 0; i < n; i++)
		sum += v[i];
	m = n ? sum / (double)n : NAN;
	for (size_t i = 0; i < n; i++)
		sq += (v[i] - m) * (v[i] - m);
	if (mean)
		*mean = m;
	if (se)
		*se = n < 2 ? NAN : sqrt(sq / (double)(n - 1) / (double)n);
}

int moe_cluster_se(const double *v, const uint32_t *id, size_t n, size_t clusters, double *se,
	struct moe_err *e)
{
	double *sum = moe_alloc(clusters, sizeof *sum, e), mean, total = 0;
	uint8_t *seen = moe_alloc(clusters, 1, e);
	size_t used = 0;

	if (!sum || !seen) {
		free(sum);
		free(seen);
		return -1;
	}
	moe_mean_se(v, n, &mean, NULL);
	for (size_t i = 0; i < n; i++)
		if (id[i] < clusters) {
			sum[id[i]] += v[i] - mean;
			seen[id[i]] = 1;
		}
	for (size_t c = 0; c < clusters; c++) {
		total += sum[c] * sum[c];
		used += seen[c];
	}
	*se = used < 2 ? NAN : sqrt((double)used / (double)(used - 1) * total) / (double)n;
	free(sum);
	free(seen);
	return 0;
}

struct moe_ci moe_t_interval(const double *v, size_t n, double alpha)
{
	double mean, se;

	if (n < 2)
		return ci_nan;
	moe_mean_se(v, n, &mean, &se);
	double half = moe_t_quantile(1 - alpha / 2, (double)(n - 1)) * se;
	return (struct moe_ci){ mean - half, mean + half };
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	if (isnan(x) || isnan(y))
		return isnan(x) - isnan(y);
	return (x > y) - (x < y);
}

void moe_sort_doubles(double *v, size_t n)
{
	if (n)
		qsort(v, n, sizeof *v, by_value);
}

double moe_percentile_sorted(const double *sorted, size_t n, double p)
{
	if (!n)
		return NAN;
	double at = p * (double)(n - 1);
	size_t i = (size_t)at;

	if (i + 1 >= n)
		return sorted[n - 1];
	return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

struct moe_ci moe_percentile_interval(double *draws, size_t n, double alpha)
{
	moe_sort_doubles(draws, n);
	while (n && isnan(draws[n - 1])) /* draws in which the statistic is undefined (0/0) say
					    nothing */
		n--;
	return (struct moe_ci){ moe_percentile_sorted(draws, n, alpha / 2),
		moe_percentile_sorted(draws, n, 1 - alpha / 2) };
}

double moe_rank_p(double x, const double *control, size_t k)
{
	size_t at_least = 0;

	if (isnan(x))
		return NAN;
	for (size_t i = 0; i < k; i++)
		at_least += control[i] < x ? 0 : 1;
	return (1 + (double)at_least) / ((double)k + 1);
}

size_t moe_rank_controls(double alpha)
{
	return (size_t)ceil(1 / alpha - 1e-9) - 1;
}

double moe_fbeta(
	const double *score, const uint8_t *positive, size_t n, double threshold, double beta)
{
	double tp = 0, found = 0, pos = 0;

	for (size_t i = 0; i < n; i++) {
		pos += positive[i] != 0;
		found += score[i] >= threshold;
		tp += positive[i] && score[i] >= threshold;
	}
	if (pos <= 0)
		return NAN;
	if (tp <= 0)
		return 0;
	double p = tp / found, r = tp / pos, b2 = beta * beta;
	return (1 + b2) * p * r / (b2 * p + r);
}
