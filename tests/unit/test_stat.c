/* test_stat.c - intervals, quantiles and tests against scipy's values
 * (tests/golden/make_stat_golden.py). */
#include "stat/dist.h"
#include "stat/infer.h"
#include "stat/sequence.h"
#include "util/auroc.h"

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

static const struct {
	size_t n[8], k;
} plans[] = { { { 5 }, 1 }, { { 5, 8, 10 }, 3 }, { { 3, 4, 5 }, 3 },
	{ { 3, 4, 5, 6, 7, 8, 9, 10 }, 8 }, { { 5, 8, 12, 16, 20 }, 5 } };

static void looks(void **state)
{
	double level[8];

	(void)state;
	for (size_t i = 0; i < LEN(g_look); i++) {
		size_t p = (size_t)g_look[i].plan, at = (size_t)g_look[i].at;
		moe_look_levels(
			plans[p].n, plans[p].k, plans[p].n[plans[p].k - 1], g_look[i].alpha, level);
		near(level[at], g_look[i].level, 1e-5);
	}
	assert_true(moe_spent(0) <= 0 && moe_spent(1) >= 1 && moe_spent(2) <= 1);
	near(moe_spent(0.5), 0.6201145069582775, 1e-14);             /* ln(1 + (e-1)/2) */
	moe_look_levels((const size_t[]){ 5 }, 1, 10, 0.025, level); /* half of the most seeds */
	near(level[0], 0.025 * 0.6201145069582775, 1e-9);
}

static void evidence(void **state)
{
	(void)state;
	/* exchangeable: the mean factor of K placebos is 1 */
	for (size_t k = 1; k < 4; k++)
		near((moe_e_factor(0.9, k, true) + (double)k * moe_e_factor(0.9, k, false)) /
				(double)(k + 1),
			1, 1e-14);
	near(pow(moe_e_factor(0.9, 1, true), 5), 24.76099, 1e-9); /* five wins against one */
	near(pow(moe_e_factor(0.9, 2, true), 3), 21.952, 1e-9);   /* three against two */
	for (size_t i = 0; i < LEN(g_bet); i++) {
		struct moe_ci c = moe_bet_interval(g_bet_v, (size_t)g_bet[i].n, -1, 1, 0.05);
		assert_true(fabs(c.lo - g_bet[i].lo) < 1e-8 && fabs(c.hi - g_bet[i].hi) < 1e-8);
	}
	struct moe_ci all = moe_bet_interval(g_bet_v, 0, -1, 1, 0.05);
	assert_true(all.lo <= -1 && all.hi >= 1);
	/* fair: mean wealth over the two outcomes of a coin is 1 at its mean */
	const double up[] = { 1 }, down[] = { -1 };
	near((moe_bet_wealth(up, 1, -1, 1, 0) + moe_bet_wealth(down, 1, -1, 1, 0)) / 2, 1, 1e-14);
}

int main(void)
{
	const struct CMUnitTest t[] = { cmocka_unit_test(distributions), cmocka_unit_test(rates),
		cmocka_unit_test(means), cmocka_unit_test(ranks), cmocka_unit_test(looks),
		cmocka_unit_test(evidence) };

	return cmocka_run_group_tests_name("stat", t, NULL, NULL);
}
