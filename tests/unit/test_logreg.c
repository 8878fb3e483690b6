/* test_logreg.c - the solver of the score: a minimum is a minimum, weights of rows, constant
 * features, the same bits again. */
#include "moe/logreg.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define N 300
#define D 12

struct problem {
	float x[N * D];
	uint8_t y[N];
	double wt[N];
	struct moe_logreg_data d;
};

static void make(struct problem *p)
{
	struct moe_rng k = moe_rng_key(2, "test");

	for (size_t i = 0; i < N; i++) {
		double z = 0.3;

		for (size_t f = 0; f < D; f++) {
			double v = moe_rng_normal(k, i, f);

			p->x[i * D + f] = (float)(f == 7 ? 4
							 : (double)f * 3 +
						pow(3, (double)f - 5) *
							v); /* scales and offsets differ; one is
							       constant */
			z += f < 4 ? v : 0;
		}
		p->y[i] = moe_rng_uniform(k, i, 1000) < moe_sigmoid(z);
		p->wt[i] = i % 7 == 0 ? 0 : 1 + (double)(i % 3);
	}
	p->d = (struct moe_logreg_data){ p->x, p->y, p->wt, N, D };
}

/* The objective, written down again; weights for standardised features. */
static double objective(const struct problem *p, const double *w, double b, double l2)
{
	double sum = 0, total = 0, pen = 0;

	for (size_t f = 0; f < D; f++) {
		double m = 0, v = 0, t = 0;

		for (size_t i = 0; i < N; i++) {
			m += p->wt[i] * (double)p->x[i * D + f];
			t += p->wt[i];
		}
		m /= t;
		for (size_t i = 0; i < N; i++)
			v += p->wt[i] * ((double)p->x[i * D + f] - m) *
				((double)p->x[i * D + f] - m);
		pen += w[f] * w[f] * v / t;
	}
	for (size_t i = 0; i < N; i++) {
		double z = b;

		for (size_t f = 0; f < D; f++)
			z += w[f] * (double)p->x[i * D + f];
		sum += p->wt[i] * log1p(exp(p->y[i] ? -z : z));
		total += p->wt[i];
	}
	return sum / total + l2 / 2 * pen;
}

static void test_minimum(void **state)
{
	static const double l2s[3] = { 1e-3, 0.1, 0 };
	struct problem *p = calloc(1, sizeof(*p));
	struct moe_err e;
	struct moe_pool *pool = moe_pool_new(3, &e);

	(void)state;
	assert_non_null(p);
	make(p);
	for (int k = 0; k < 3; k++) {
		double w[D], b, again[D], b2, best;
		struct moe_logreg_fit fit;

		assert_int_equal(moe_logreg(&p->d, l2s[k], false, NULL, w, &b, &fit, &e), 0);
		assert_true(fit.grad <= 1e-6 && fit.iterations < 200);
		assert_true(w[7] == 0);
		best = objective(p, w, b, l2s[k]);
		assert_true(fabs(best - fit.loss) < 1e-9);
		for (int f = 0; f <= D; f++)
			for (int s = -1; s <= 1; s += 2) {
				double moved[D], h = s * 1e-2 / (f < D ? pow(3, (double)f - 5) : 1);

				memcpy(moved, w, sizeof(w));
				if (f < D && f != 7)
					moved[f] += h;
				if (f == 7)
					continue;
				if (objective(p, moved,
					    f == D          ? b + h
						    : f < D ? b - h * f * 3
							    : b,
					    l2s[k]) < best)
					fail_msg("l2 %g: moving parameter %d by %g finds a lower "
						 "objective",
						l2s[k], f, h);
			}
		assert_int_equal(moe_logreg(&p->d, l2s[k], false, pool, again, &b2, NULL, &e), 0);
		assert_memory_equal(again, w, sizeof(w));
		assert_memory_equal(&b2, &b, sizeof(b));
		again[2] += 1;
		assert_int_equal(moe_logreg(&p->d, l2s[k], true, NULL, again, &b2, &fit, &e),
			0); /* from elsewhere to the same place */
		assert_true(fabs(fit.loss - best) < 1e-9);
	}
	moe_pool_free(pool);
	free(p);
}

/* Separable classes stay finite because of the penalty; rows of weight 0 do not count. */
static void test_separable(void **state)
{
	float x[8] = { -2, -1, 1, 2, 50, -50, -3, 3 };
	uint8_t y[8] = { 0, 0, 1, 1, 0, 1, 0, 1 };
	double wt[8] = { 1, 1, 1, 1, 0, 0, 1, 1 }, w, b;
	struct moe_logreg_data d = { x, y, wt, 8, 1 };
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_logreg(&d, 1e-3, false, NULL, &w, &b, NULL, &e), 0);
	assert_true(w > 1 && w < 100 && fabs(b) < 1e-5);
	for (int i = 0; i < 8; i++)
		wt[i] = y[i];
	assert_int_equal(moe_logreg(&d, 1e-3, false, NULL, &w, &b, NULL, &e), -1);
	assert_int_equal(e.code, MOE_DATA);
	for (int i = 0; i < 8; i++)
		wt[i] = 1;
	x[3] = NAN;
	assert_int_equal(moe_logreg(&d, 1e-3, false, NULL, &w, &b, NULL, &e), -1);
	assert_int_equal(e.code, MOE_NUMERIC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_minimum),
		cmocka_unit_test(test_separable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
