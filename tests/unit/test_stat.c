/* test_stat.c - intervals, quantiles and tests against scipy's values
 * (tests/golden/make_stat_golden.py). */
#include "stat/dist.h"
#include "stat/infer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/golden/stat_golden.h"

#define LEN(a) (sizeof(a) / sizeof *(a))

static void near(double got, double want, double rel)
{
	double tol = rel * (fabs(want) > 1e-290 ? fabs(want) : 1);

	if (!(fabs(got - want) <= tol))
		fail_msg("got %.17g, want %.17g", got, want);
}

static void distributions(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(g_normal); i++) {
		assert_true(fabs(moe_normal_quantile(g_normal[i].p) - g_normal[i].z) <
			1e-13 * (1 + fabs(g_normal[i].z)));
		near(moe_normal_cdf(g_normal[i].z), g_normal[i].p, 1e-11);
	}
	for (size_t i = 0; i < LEN(g_beta); i++)
		if (g_beta[i].cdf > 1e-280)
			near(moe_beta_cdf(g_beta[i].x, g_beta[i].a, g_beta[i].b), g_beta[i].cdf,
				1e-10);
	for (size_t i = 0; i < LEN(g_beta_q); i++)
		near(moe_beta_quantile(g_beta_q[i].p, g_beta_q[i].a, g_beta_q[i].b), g_beta_q[i].x,
			1e-10);
	for (size_t i = 0; i < LEN(g_t); i++)
		near(moe_t_quantile(g_t[i].p, g_t[i].df), g_t[i].t, 1e-10);
	for (size_t i = 0; i < LEN(g_t_cdf); i++)
		near(moe_t_cdf(g_t_cdf[i].t, g_t_cdf[i].df), g_t_cdf[i].p, 1e-10);
	for (size_t i = 0; i < LEN(g_binom); i++)
		near(moe_binomial_cdf((int64_t)g_binom[i].k, (int64_t)g_binom[i].n, g_binom[i].p),
			g_binom[i].cdf, 1e-11);
	assert_true(isnan(moe_normal_quantile(0)) && isnan(moe_beta_cdf(0.5, 0, 1)) &&
		isnan(moe_t_quantile(0.5, 0)));
}

static void rates(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(g_rate); i++) {
		struct moe_ci w = moe_wilson(g_rate[i].x, g_rate[i].n, 0.05);
		struct moe_ci c = moe_clopper_pearson(
			(int64_t)g_rate[i].x, (int64_t)g_rate[i].n, 0.05);
		assert_true(fabs(w.lo - g_rate[i].wilson_lo) < 1e-12 &&
			fabs(w.hi - g_rate[i].wilson_hi) < 1e-12);
		assert_true(fabs(c.lo - g_rate[i].cp_lo) < 1e-12 &&
			fabs(c.hi - g_rate[i].cp_hi) < 1e-12);
	}
	assert_true(fabs(moe_clopper_pearson(0, 100, 0.05).hi - (1 - pow(0.025, 0.01))) < 1e-12);
	assert_true(isnan(moe_wilson(0, 0, 0.05).lo));
	for (size_t i = 0; i < LEN(g_mcnemar); i++)
		near(moe_mcnemar((int64_t)g_mcnemar[i].b, (int64_t)g_mcnemar[i].c), g_mcnemar[i].p,
			1e-11);
}

static void means(void **state)
{
	double mean, se, sorted[LEN(g_v)];

	(void)state;
	moe_mean_se(g_v, LEN(g_v), &mean, &se);
	near(mean, g_mean[0].mean, 1e-13);
	near(se, g_mean[0].se, 1e-13);
	struct moe_ci t = moe_t_interval(g_v, LEN(g_v), 0.05);
	near(t.lo, g_mean[0].t_lo, 1e-11);
	near(t.hi, g_mean[0].t_hi, 1e-11);
	assert_int_equal(moe_cluster_se(g_v, g_cluster, LEN(g_v), 6, &se, NULL), 0);
	near(se, g_mean[0].cluster_se, 1e-12);
	for (size_t i = 0; i < LEN(g_v); i++)
		sorted[i] = g_v[i];
	moe_sort_doubles(sorted, LEN(g_v));
	near(moe_percentile_sorted(sorted, LEN(g_v), 0.1), g_mean[0].p10, 1e-12);
	near(moe_percentile_sorted(sorted, LEN(g_v), 0.975), g_mean[0].p975, 1e-12);
	assert_true(isnan(moe_t_interval(g_v, 1, 0.05).lo));
}

static void ranks(void **state)
{
	double a, control[19];

	(void)state;
	assert_int_equal(moe_auroc(g_score, g_label, LEN(g_score), &a, NULL), 0);
	near(a, g_gate[0].auroc, 1e-13);
	near(moe_fbeta(g_score, g_label, LEN(g_score), 0.5, 0.5), g_gate[0].f05, 1e-13);
	for (int i = 0; i < 19; i++)
		control[i] = 0.01 * i;
	near(moe_rank_p(0.5, control, 19), 0.05, 1e-15);
	near(moe_rank_p(0.18, control, 19), 0.10, 1e-15); /* a tie counts against the claim */
	near(moe_rank_p(-1, control, 19), 1, 1e-15);
	assert_true(isnan(moe_rank_p(NAN, control, 19)));
	control[3] = NAN; /* a control that is not known speaks against the claim, too */
	near(moe_rank_p(0.5, control, 19), 0.10, 1e-15);
	assert_int_equal(moe_rank_controls(0.05), 19);
	assert_int_equal(moe_rank_controls(0.01), 99);
}

static void sizes(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(g_units); i++)
		near(moe_units_needed(
			     g_units[i].var, g_units[i].effect, g_units[i].alpha, g_units[i].power),
			g_units[i].n, 1e-15);
	for (size_t i = 0; i < LEN(g_units_t); i++)
		near(moe_units_needed_t(g_units_t[i].sd, g_units_t[i].effect, g_units_t[i].alpha,
			     g_units_t[i].power, 10000),
			g_units_t[i].n, 1e-15);
	assert_true(isinf(moe_units_needed_t(1, 1e-6, 0.05, 0.8, 50)));
}

int main(void)
{
	const struct CMUnitTest t[] = { cmocka_unit_test(distributions), cmocka_unit_test(rates),
		cmocka_unit_test(means), cmocka_unit_test(ranks), cmocka_unit_test(sizes) };

	return cmocka_run_group_tests_name("stat", t, NULL, NULL);
}
