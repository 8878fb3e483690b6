/* sequence.c - levels of repeated looks, the rank e-value and the betting interval (sequence.h).
 * Which of these decides is decide.c's matter. */
#include "stat/sequence.h"

#include "stat/dist.h"

#include <math.h>

/* Points of the grid on which the density of what has not crossed yet is kept; Simpson's rule wants
 * an odd number. A step is about 0.055 standard deviations of the look's statistic. */
#define GRID 241
#define FAR  8.5 /* in standard deviations: P(Z < -8.5) = 1e-17 */

double moe_spent(double t)
{
	const double e1 = 1.71828182845904523536; /* e - 1 */

	return t <= 0 ? 0 : t >= 1 ? 1 : log1p(e1 * t);
}

/* The score process S_n = sum of n standard normal values; its density at the last look, where no
 * bound was crossed so far, on an even grid from `lo` in steps of `h`. */
struct walk {
	double at[GRID], mass[GRID]; /* points; density times Simpson's weight */
	size_t n;                    /* seeds at that look; 0 = no look yet */
};

static double normal_density(double z)
{
	return 0.39894228040143267794 * exp(-z * z / 2);
}

/* P(no bound crossed before, S_n > bound). */
static double crossing(const struct walk *w, size_t n, double bound)
{
	double sd = sqrt((double)(n - w->n)), p = 0;

	if (!w->n)
		return moe_normal_cdf(-bound / sd);
	for (int i = 0; i < GRID; i++)
		p += w->mass[i] * moe_normal_cdf((w->at[i] - bound) / sd);
	return p;
}

/* Moves the density to n seeds, cut at the bound. */
static void advance(struct walk *w, size_t n, double bound)
{
	struct walk to = { .n = n };
	double lo = -FAR * sqrt((double)n), h = (bound - lo) / (GRID - 1),
	       sd = sqrt((double)(n - w->n));

	for (int i = 0; i < GRID; i++) {
		double s = lo + h * i, f = 0;
		if (!w->n)
			f = normal_density(s / sd) / sd;
		for (int k = 0; k < GRID && w->n; k++) {
			double z = (s - w->at[k]) / sd;
			if (fabs(z) < FAR)
				f += w->mass[k] * normal_density(z) / sd;
		}
		to.at[i] = s;
		to.mass[i] = f * h / 3 * (i == 0 || i == GRID - 1 ? 1 : i % 2 ? 4 : 2);
	}
	*w = to;
}

void moe_look_levels(const size_t *n, size_t k, size_t n_max, double alpha, double *level)
{
	struct walk w = { .n = 0 };
	double before = 0;

	for (size_t i = 0; i < k; i++) {
		double now = alpha * moe_spent((double)n[i] / (double)n_max), spend = now - before;
		double lo = 0, hi = FAR; /* of the bound, in standard deviations */
		double root = sqrt((double)n[i]);
		for (int step = 0; step < 60 && spend > 0; step++) {
			double mid = (lo + hi) / 2;
			if (crossing(&w, n[i], mid * root) > spend)
				lo = mid;
			else
				hi = mid;
		}
		level[i] = spend > 0 ? moe_normal_cdf(-hi) : 0;
		before = now;
		if (i + 1 < k)
			advance(&w, n[i], hi * root);
	}
}

double moe_e_factor(double stake, size_t placebos, bool best)
{
	return 1 - stake + (best ? stake * (double)(placebos + 1) : 0);
}

double moe_bet_wealth(const double *v, size_t n, double lo, double hi, double m)
{
	double sum = 0;

	(void)hi; /* a bet of at most 1/(m - lo) cannot lose more than all, whatever the upper end
		   */
	if (!(m > lo))
		return n ? INFINITY : 1;
	for (int g = 1; g < 20; g++) {
		double w = 1;
		for (size_t i = 0; i < n; i++)
			w *= 1 + g / 20.0 * (v[i] - m) / (m - lo);
		sum += w / 19;
	}
	return sum;
}

/* Largest m in [lo, hi] whose wealth reaches `ask`; lo when there is none. The wealth falls with m.
 */
static double least_mean(const double *v, size_t n, double lo, double hi, double ask)
{
	double a = lo, b = hi;

	if (moe_bet_wealth(v, n, lo, hi, hi) >= ask)
		return hi;
	for (int i = 0; i < 60; i++) {
		double mid = (a + b) / 2;
		if (moe_bet_wealth(v, n, lo, hi, mid) >= ask)
			a = mid;
		else
			b = mid;
	}
	return a;
}

struct moe_ci moe_bet_interval(const double *v, size_t n, double lo, double hi, double alpha)
{
	double mirrored[256];
	struct moe_ci c = { lo, hi };

	if (!n || n > sizeof mirrored / sizeof *mirrored)
		return c;
	for (size_t i = 0; i < n; i++) {
		if (!(v[i] >= lo && v[i] <= hi))
			return c;
		mirrored[i] = -v[i];
	}
	c.lo = least_mean(v, n, lo, hi, 2 / alpha);
	c.hi = -least_mean(mirrored, n, -hi, -lo, 2 / alpha);
	return c;
}
