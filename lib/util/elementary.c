/* elementary.c - argument reduction and Taylor series in doubles; no tables. */
#include "util/elementary.h"

#include <math.h>

/* ln 2 and pi/2 in parts: a small integer times an upper part is exact. */
static const double ln2_hi = 0x1.62e42fefa38p-1, ln2_lo = 0x1.ef35793c7673p-45;
static const double log2_e = 0x1.71547652b82fep+0, two_over_pi = 0x1.45f306dc9c883p-1;
static const double pio2_1 = 0x1.921fb544p+0, pio2_2 = 0x1.0b4611a6p-34,
		    pio2_3 = 0x1.3198a2e037073p-69;

/* exp(x) = 2^n exp(r), n the integer next to x / ln 2, |r| <= ln 2 / 2: Horner on r^k / k!, whose
 * first term left out is below 5e-18. */
double moe_exp(double x)
{
	double n, r, p;

	if (!(x > -746))
		return x != x ? x : 0; /* below half of the least subnormal */
	if (x > 710)
		return INFINITY;
	n = floor(x * log2_e + 0.5);
	r = (x - n * ln2_hi) - n * ln2_lo;
	p = 1.0 / 6227020800.0;
	p = p * r + 1.0 / 479001600.0;
	p = p * r + 1.0 / 39916800.0;
	p = p * r + 1.0 / 3628800.0;
	p = p * r + 1.0 / 362880.0;
	p = p * r + 1.0 / 40320.0;
	p = p * r + 1.0 / 5040.0;
	p = p * r + 1.0 / 720.0;
	p = p * r + 1.0 / 120.0;
	p = p * r + 1.0 / 24.0;
	p = p * r + 1.0 / 6.0;
	p = p * r + 0.5;
	p = p * r * r + r + 1.0;
	return ldexp(p, (int)n);
}

/* log((1 + s) / (1 - s)) = 2 (s + s^3 / 3 + s^5 / 5 + ...), |s| <= 0.172: the first term left out
 * is below 1e-18 of the sum. */
static double log_of_ratio(double s)
{
	double z = s * s, p = 1.0 / 25;

	p = p * z + 1.0 / 23;
	p = p * z + 1.0 / 21;
	p = p * z + 1.0 / 19;
	p = p * z + 1.0 / 17;
	p = p * z + 1.0 / 15;
	p = p * z + 1.0 / 13;
	p = p * z + 1.0 / 11;
	p = p * z + 1.0 / 9;
	p = p * z + 1.0 / 7;
	p = p * z + 1.0 / 5;
	p = p * z + 1.0 / 3;
	return 2 * s + 2 * s * z * p;
}

/* log(x) = e ln 2 + log(m), x = 2^e m, m between sqrt(1/2) and sqrt(2). */
double moe_log(double x)
{
	double m;
	int e;

	if (x != x || x == INFINITY)
		return x;
	if (x <= 0)
		return x == 0 ? -INFINITY : NAN;
	m = frexp(x, &e);
	if (m < 0x1.6a09e667f3bcdp-1) {
		m *= 2;
		e--;
	}
	return (double)e * ln2_hi + ((double)e * ln2_lo + log_of_ratio((m - 1) / (m + 1)));
}

double moe_log1p(double x)
{
	return fabs(x) < 0.29 ? log_of_ratio(x / (2 + x)) : moe_log(1 + x);
}

double moe_pow(double x, double y)
{
	return moe_exp(y * moe_log(x));
}

/* sin(r) and cos(r), |r| <= pi / 4. */
static double sin_kernel(double r)
{
	double z = r * r, p = 1.0 / 355687428096000.0;

	p = p * z - 1.0 / 1307674368000.0;
	p = p * z + 1.0 / 6227020800.0;
	p = p * z - 1.0 / 39916800.0;
	p = p * z + 1.0 / 362880.0;
	p = p * z - 1.0 / 5040.0;
	p = p * z + 1.0 / 120.0;
	p = p * z - 1.0 / 6.0;
	return r + r * z * p;
}

static double cos_kernel(double r)
{
	double z = r * r, p = 1.0 / 20922789888000.0;

	p = p * z - 1.0 / 87178291200.0;
	p = p * z + 1.0 / 479001600.0;
	p = p * z - 1.0 / 3628800.0;
	p = p * z + 1.0 / 40320.0;
	p = p * z - 1.0 / 720.0;
	p = p * z + 1.0 / 24.0;
	return 1 - (0.5 * z - z * z * p);
}

/* x = n pi/2 + r; quarter + n says which of the four arcs it is. */
static double circular(double x, int quarter)
{
	double n, r;

	if (!(fabs(x) < INFINITY))
		return NAN;
	if (fabs(x) >= 1e6)
		x = remainder(x, 6.283185307179586); /* the same bits everywhere, less exact */
	n = floor(x * two_over_pi + 0.5);
	r = ((x - n * pio2_1) - n * pio2_2) - n * pio2_3;
	switch (((int)n + quarter) & 3) {
	case 0:
		return sin_kernel(r);
	case 1:
		return cos_kernel(r);
	case 2:
		return -sin_kernel(r);
	default:
		return -cos_kernel(r);
	}
}

double moe_sin(double x)
{
	return circular(x, 0);
}

double moe_cos(double x)
{
	return circular(x, 1);
}
