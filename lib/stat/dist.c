/* dist.c - normal, beta, Student t and binomial distribution functions. Not a general library of
 * distributions: only what the verdict's intervals and tests need. */
#include "stat/dist.h"

#include <math.h>

static const double sqrt_half = 0.70710678118654752440;
static const double sqrt_2pi = 2.50662827463100050242;

double moe_normal_cdf(double z)
{
	return 0.5 * erfc(-z * sqrt_half);
}

double moe_normal_quantile(double p)
{
	if (!(p > 0 && p < 1))
		return NAN;
	double q = p < 0.5 ? p : 1 - p, t = sqrt(-2 * log(q));
	double z = -(t -
		(2.515517 + t * (0.802853 + t * 0.010328)) /
			(1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));

	for (int i = 0; i < 4;
		i++) { /* in the lower tail, where erfc keeps its relative precision */
		double err = moe_normal_cdf(z) - q;
		double step = err * sqrt_2pi * exp(z * z / 2);
		z -= step / (1 + z * step / 2); /* Halley: the density's slope is -z times it */
	}
	return p < 0.5 ? z : -z;
}

/* The continued fraction of DLMF 8.17.22; converges quickly for x < (a+1)/(a+b+2). */
static double beta_fraction(double x, double a, double b)
{
	const double tiny = 1e-300;
	double c = 1, d = 1 - (a + b) * x / (a + 1);

	d = 1 / (fabs(d) < tiny ? tiny : d);
	double h = d;
	for (int m = 1; m <= 20000; m++) {
		double m2 = 2.0 * m;
		double even = m * (b - m) * x / ((a + m2 - 1) * (a + m2));
		double odd = -(a + m) * (a + b + m) * x / ((a + m2) * (a + m2 + 1));

		d = 1 + even * d;
		c = 1 + even / c;
		d = 1 / (fabs(d) < tiny ? tiny : d);
		c = fabs(c) < tiny ? tiny : c;
		h *= d * c;
		d = 1 + odd * d;
		c = 1 + odd / c;
		d = 1 / (fabs(d) < tiny ? tiny : d);
		c = fabs(c) < tiny ? tiny : c;
		double f = d * c;
		h *= f;
		if (fabs(f - 1) < 1e-16)
			break;
	}
	return h;
}

double moe_beta_cdf(double x, double a, double b)
{
	if (!(a > 0 && b > 0 && x >= 0 && x <= 1))
		return NAN;
	if (x <= 0 || x >= 1)
		return x <= 0 ? 0 : 1;
	double log_front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x);

	if (x < (a + 1) / (a + b + 2))
		return exp(log_front) * beta_fraction(x, a, b) / a;
	return 1 - exp(log_front) * beta_fraction(1 - x, b, a) / b;
}

double moe_beta_quantile(double p, double a, double b)
{
	if (!(a > 0 && b > 0 && p >= 0 && p <= 1))
		return NAN;
	double lo = 0, hi = 1;

	for (int i = 0; i < 1100 && lo < hi; i++) {
		double mid = lo + (hi - lo) / 2;
		if (mid <= lo || mid >= hi)
			break;
		if (moe_beta_cdf(mid, a, b) < p)
			lo = mid;
		else
			hi = mid;
	}
	return p <= 0 ? 0 : hi;
}

double moe_t_cdf(double t, double df)
{
	if (!(df > 0) || isnan(t))
		return NAN;
	double tail = 0.5 * moe_beta_cdf(df / (df + t * t), df / 2, 0.5);

	return t < 0 ? tail : 1 - tail;
}

double moe_t_quantile(double p, double df)
{
	if (!(p > 0 && p < 1 && df > 0))
		return NAN;
	double tail = p < 0.5 ? p : 1 - p;
	/* 1-x is what t depends on when x is near 1, so the complement is solved for. */
	double y = moe_beta_quantile(1 - 2 * tail, 0.5, df / 2), t = sqrt(df * y / (1 - y));

	if (y > 0.999 || tail < 1e-4) { /* heavy or far tails: x itself is the small number, and 1 -
					   2 tail has lost the tail's digits */
		double x = moe_beta_quantile(2 * tail, df / 2, 0.5);
		t = sqrt(df * (1 - x) / x);
	}
	return p < 0.5 ? -t : t;
}

double moe_binomial_cdf(int64_t k, int64_t n, double p)
{
	if (n < 0 || !(p >= 0 && p <= 1))
		return NAN;
	if (k < 0)
		return 0;
	if (k >= n)
		return 1;
	return moe_beta_cdf(1 - p, (double)(n - k), (double)k + 1);
}
