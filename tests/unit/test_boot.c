/* test_boot.c - the bootstrap and the layout of outcomes: coverage, clustering of samples, pairing,
 * cells that an arm lacks. */
#include "stat/boot.h"
#include "stat/contrast.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* Mean of n prompts of one sample each, all weights 1: percentile interval of 1000 draws at 95 %.
 */
static struct moe_ci interval(const double *v, size_t n, uint64_t seed, struct moe_pool *pool)
{
	uint32_t first[257];
	double one[256];
	struct moe_err e;

	for (size_t i = 0; i < n; i++) {
		first[i] = (uint32_t)i;
		one[i] = 1;
	}
	first[n] = (uint32_t)n;
	struct moe_series s = { v, one };
	struct moe_boot b = { .n_prompt = n,
		.n_cell = n,
		.n_series = 1,
		.draws = 1000,
		.first_cell = first,
		.series = &s,
		.seed = seed };
	assert_int_equal(moe_boot_run(&b, pool, &e), 0);
	struct moe_ci ci = moe_percentile_interval(b.mean, b.draws, 0.05);
	free(b.mean);
	return ci;
}

/* Paired differences -1, 0, 1 with known mean: about 95 % of the intervals hold it. */
static void coverage(void **state)
{
	struct moe_err e;
	struct moe_pool *pool = moe_pool_new(2, &e);
	struct moe_rng k = moe_rng_key(7, "coverage");
	const double up = 0.30, down = 0.05;
	size_t hold = 0, sets = 400;
	double v[200];

	(void)state;
	for (size_t t = 0; t < sets; t++) {
		for (size_t i = 0; i < 200; i++) {
			double u = moe_rng_uniform(k, t, i);
			v[i] = u < up ? 1 : u < up + down ? -1 : 0;
		}
		struct moe_ci ci = interval(v, 200, t, pool);
		hold += ci.lo <= up - down && up - down <= ci.hi;
	}
	moe_pool_free(pool);
	/* Binomial(400, 0.95) has standard deviation 4.4: 367 .. 393 is 3 of them */
	if (hold < 366 || hold > 394)
		fail_msg("%zu of %zu intervals hold the true mean", hold, sets);
}

enum { PROMPTS = 700, CELLS = 1050, DRAWS = 67, SERIES = 6 };

/* The mean of a series in one draw, as boot.h says it, a cell at a time. */
static double mean_by_hand(const struct moe_boot *b, size_t d, const struct moe_series *s)
{
	struct moe_rng prompt = moe_rng_key(b->seed, "bootstrap-prompt"),
		       sample = moe_rng_key(b->seed, "bootstrap-sample");
	double num = 0, den = 0;

	for (size_t i = 0; i < b->n_prompt; i++) {
		size_t p = (size_t)moe_rng_below(prompt, d, i, b->n_prompt),
		       first = b->first_cell[p], n = b->first_cell[p + 1] - first;
		for (size_t k = 0; k < n; k++) {
			size_t at = first +
				(n > 1 ? moe_rng_below(sample, d, (uint64_t)i << 32 | k, n) : 0);
			num += s->num[at];
			den += s->den[at];
		}
	}
	return num / den;
}

/* More cells than a block, draws than a task, and series that share weights or do not: all means
 * are those by hand, and the same with more threads. */
static void by_hand(void **state)
{
	static double num[SERIES][CELLS], den[2][CELLS];
	static uint32_t first[PROMPTS + 1];
	struct moe_series s[SERIES];
	struct moe_rng k = moe_rng_key(5, "by-hand");
	struct moe_err e;
	double *one = NULL;

	(void)state;
	for (size_t p = 0; p < PROMPTS; p++)
		first[p + 1] = first[p] + (p % 4 == 1 ? 3 : 1);
	for (size_t i = 0; i < CELLS; i++) {
		den[0][i] = 1.0 / 3;
		den[1][i] = i % 5 ? 1 : 0;
		for (size_t n = 0; n < SERIES; n++)
			num[n][i] = den[n % 2][i] * moe_rng_uniform(k, n, i);
	}
	for (size_t n = 0; n < SERIES; n++)
		s[n] = (struct moe_series){ n == 3 ? NULL : num[n], den[n % 2] };
	for (int threads = 1; threads <= 3; threads += 2) {
		struct moe_pool *pool = moe_pool_new(threads, &e);
		struct moe_boot b = { PROMPTS, CELLS, SERIES, DRAWS, first, s, 11, NULL };
		assert_int_equal(moe_boot_run(&b, pool, &e), 0);
		for (size_t d = 0; d < DRAWS; d++)
			for (size_t n = 0; n < SERIES; n++) {
				double got = b.mean[d * SERIES + n];
				if (n == 3)
					assert_true(isnan(got));
				else if (!one)
					assert_true(fabs(got - mean_by_hand(&b, d, &s[n])) < 1e-12);
				else
					assert_true(got == one[d * SERIES + n]);
			}
		free(one);
		one = b.mean;
		moe_pool_free(pool);
	}
	free(one);
}

static void add(struct moe_obs *o, const char *method, int seed, const char *arm, int prompt,
	int sample, bool hacked)
{
	char id[32];
	struct moe_err e;

	snprintf(id, sizeof id, "p%03d", prompt);
	struct moe_obs_row r = { .prompt_id = id,
		.mode = "m",
		.task = "",
		.marker = "",
		.arm = arm,
		.method = method,
		.policy = "",
		.seed = seed,
		.sample = sample,
		.hacked = hacked };
	if (moe_obs_add(o, &r, NULL, &e))
		fail_msg("%s", e.msg);
}

static const struct moe_contrast drop = { .a = { { 1, MOE_SELF, MOE_ARM_ON, MOE_HACK },
						  { -1, MOE_SELF, MOE_ARM_QOFF, MOE_HACK } } };

/* Drop of hack of method "a" in outcomes that `fill` makes. */
static struct moe_estimate estimate(void (*fill)(struct moe_obs *), size_t *dropped)
{
	struct moe_obs o = { 0 };
	struct moe_cx x;
	struct moe_uat u;
	struct moe_err e = { 0 };
	struct moe_estimate out;
	struct moe_pool *pool = moe_pool_new(1, &e);

	fill(&o);
	moe_uat_default(&u);
	u.draws = 4000;
	u.method[0] = 'a';
	if (moe_obs_finish(&o, &e) || moe_cx_init(&x, &o, &u, 1, pool, &e) ||
		moe_contrast_eval(&x, "a", &drop, MOE_SUB_ALL, 0.05, &out, &e))
		fail_msg("%s", e.msg);
	*dropped = x.dropped;
	out.per_seed = NULL;
	out.seed = NULL;
	moe_cx_free(&x);
	moe_obs_free(&o);
	moe_pool_free(pool);
	return out;
}

static void fill_single(struct moe_obs *o)
{
	for (int p = 0; p < 150; p++) {
		add(o, "a", 1, "on", p, 0, p % 2);
		add(o, "a", 1, "quarantine-off", p, 0, p % 10 == 1);
	}
}

/* The same four times over: four samples of a prompt that always agree tell no more than one. */
static void fill_copies(struct moe_obs *o)
{
	for (int s = 0; s < 4; s++)
		for (int p = 0; p < 150; p++) {
			add(o, "a", 1, "on", p, s, p % 2);
			add(o, "a", 1, "quarantine-off", p, s, p % 10 == 1);
		}
}

/* As single, but the deleted arm lacks thirty prompts, in which the trained arm always hacks. */
static void fill_gaps(struct moe_obs *o)
{
	for (int p = 0; p < 180; p++) {
		add(o, "a", 1, "on", p, 0, p >= 150 || p % 2);
		if (p < 150)
			add(o, "a", 1, "quarantine-off", p, 0, p % 10 == 1);
	}
}

/* One prompt with many samples must not outweigh the others: the mean is over prompts. */
static void fill_heavy(struct moe_obs *o)
{
	for (int p = 0; p < 10; p++)
		for (int s = 0; s < (p ? 1 : 90); s++) {
			add(o, "a", 1, "on", p, s, p == 0);
			add(o, "a", 1, "quarantine-off", p, s, false);
		}
}

static void clusters(void **state)
{
	size_t dropped;

	(void)state;
	struct moe_estimate one = estimate(fill_single, &dropped);
	assert_true(fabs(one.value - 0.4) < 1e-12 && dropped == 0);
	double sd = sqrt(0.4 * 0.6 / 149 * 150 / 150); /* differences are 0 or 1: variance p(1-p) */
	assert_true(fabs(one.se_prompt / sd - 1) < 0.05);
	struct moe_estimate four = estimate(fill_copies, &dropped);
	assert_true(fabs(four.value - 0.4) < 1e-12);
	assert_true(fabs(four.se_prompt / one.se_prompt - 1) < 0.02);
	struct moe_estimate gaps = estimate(fill_gaps, &dropped);
	assert_int_equal(dropped, 30);
	assert_true(fabs(gaps.value - 0.4) < 1e-12);
	struct moe_estimate heavy = estimate(fill_heavy, &dropped);
	assert_true(fabs(heavy.value - 0.1) < 1e-12);
}

static void fill_agree(struct moe_obs *o)
{
	for (int p = 0; p < 100; p++) {
		add(o, "a", 1, "on", p, 0, false);
		add(o, "a", 1, "quarantine-off", p, 0, false);
	}
}

/* A hundred prompts without a difference do not show that there is none. */
static void no_spread(void **state)
{
	size_t dropped;
	struct moe_estimate x = estimate(fill_agree, &dropped);

	(void)state;
	double half = 1 - pow(0.025, 0.01);
	assert_true(fabs(x.ci.hi - half) < 1e-9 && fabs(x.ci.lo + half) < 1e-9);
}

/* Seeds that differ: the interval is Student's over them, at every number of seeds, and never that
 * of resampled seeds, which would be a third too short. */
static void fill_seeds(struct moe_obs *o, int seeds)
{
	for (int s = 0; s < seeds; s++)
		for (int p = 0; p < 150; p++) {
			add(o, "a", s, "on", p, 0, p < 60 + 15 * (s % 3));
			add(o, "a", s, "quarantine-off", p, 0, false);
		}
}
static void fill_six(struct moe_obs *o)
{
	fill_seeds(o, 6);
}
static void fill_three(struct moe_obs *o)
{
	fill_seeds(o, 3);
}

static void seeds(void **state)
{
	size_t dropped;

	(void)state;
	struct moe_estimate six = estimate(fill_six, &dropped),
			    three = estimate(fill_three, &dropped);
	assert_true(fabs(six.value - 0.5) < 1e-12 && fabs(three.value - 0.5) < 1e-12);
	assert_int_equal(six.n_seed, 6);
	assert_true(fabs(six.sd_seed - 0.0894427191) < 1e-9);
	assert_true(fabs((three.t.hi - three.t.lo) / 2 - 4.302652729911275 * 0.1 / sqrt(3)) < 1e-9);
	assert_true(fabs((six.t.hi - six.t.lo) / 2 - 2.570581835636197 * 0.0894427191 / sqrt(6)) <
		1e-9);
	/* the prompts are the same in all seeds, and hack in nested sets: nearly all of a seed's
	 * variance over prompts, mean p(1-p)/150 = .0016, is shared */
	const struct moe_estimate *both[] = { &six, &three };
	for (int i = 0; i < 2; i++) {
		const struct moe_estimate *x = both[i];
		double half = (x->ci.hi - x->ci.lo) / 2, t = (x->t.hi - x->t.lo) / 2,
		       prompts = 1.976013 * sqrt(x->var_shared);
		assert_true(x->var_shared > 0.0010 && x->var_shared < 0.0017);
		assert_true(fabs(half / sqrt(t * t + prompts * prompts) - 1) < 1e-4);
		assert_true(x->ci.lo <= x->boot.lo && x->ci.hi >= x->boot.hi);
		assert_true(fabs(x->se * x->se - x->sd_seed * x->sd_seed / (double)x->n_seed -
				    x->var_shared) < 1e-12);
	}
	/* the level at which the interval would end at the threshold is the p for it */
	assert_true(fabs(moe_estimate_p(&six, six.ci.lo) - 0.025) < 1e-6);
	assert_true(fabs(moe_estimate_p(&six, six.ci.hi) - 0.975) < 1e-6);
	assert_true(fabs(moe_estimate_p(&six, 0.5) - 0.5) < 1e-6);
}

/* Seeds whose prompts fail independently share nothing: the spread over seeds holds it all. */
static void fill_apart(struct moe_obs *o)
{
	struct moe_rng k = moe_rng_key(3, "apart");

	for (int s = 0; s < 8; s++)
		for (int p = 0; p < 150; p++) {
			add(o, "a", s, "on", p, 0,
				moe_rng_uniform(k, (uint64_t)s, (uint64_t)p) < 0.5);
			add(o, "a", s, "quarantine-off", p, 0, false);
		}
}

/* Two samples of a prompt that are drawn apart: each prompt is 0, 1/2 or 1, and its samples are
 * resampled within it. */
static void fill_samples(struct moe_obs *o)
{
	for (int p = 0; p < 150; p++)
		for (int s = 0; s < 2; s++) {
			add(o, "a", 1, "on", p, s, s == 0);
			add(o, "a", 1, "quarantine-off", p, s, false);
		}
}

static void parts(void **state)
{
	size_t dropped;

	(void)state;
	struct moe_estimate apart = estimate(fill_apart, &dropped);
	assert_true(apart.var_shared < 0.25 / 150 * 0.2);
	/* every prompt has the same mean: only the samples vary, 1/4 over two of each of 150 */
	struct moe_estimate samples = estimate(fill_samples, &dropped);
	assert_true(fabs(samples.value - 0.5) < 1e-12);
	assert_true(fabs(samples.se_prompt / sqrt(0.25 / 2 / 150) - 1) < 0.05);
}

/* A method beside the tested one, some prompts of which one arm lacks: each arm's rate is over the
 * prompts that it has. */
static void beside(void **state)
{
	struct moe_obs o = { 0 };
	struct moe_cx x;
	struct moe_uat u;
	struct moe_err e = { 0 };
	struct moe_estimate drop_of_v;
	struct moe_pool *pool = moe_pool_new(1, &e);

	(void)state;
	fill_single(&o);
	for (int p = 0; p < 150; p++) {
		if (p >= 30)
			add(&o, "v", 1, "on", p, 0, p < 90);
		add(&o, "v", 1, "quarantine-off", p, 0, p < 30);
	}
	moe_uat_default(&u);
	u.draws = 100;
	u.method[0] = 'a';
	if (moe_obs_finish(&o, &e) || moe_cx_init(&x, &o, &u, 1, pool, &e) ||
		moe_contrast_eval(&x, "v", &drop, MOE_SUB_ALL, 0.05, &drop_of_v, &e))
		fail_msg("%s", e.msg);
	assert_true(fabs(drop_of_v.value - (60.0 / 120 - 30.0 / 150)) < 1e-12);
	moe_cx_free(&x);
	moe_obs_free(&o);
	moe_pool_free(pool);
}

/* A difference of rates stays within [-1, 1], whatever is added to its interval. */
static void fill_full(struct moe_obs *o)
{
	for (int s = 0; s < 2; s++)
		for (int p = 0; p < 20; p++) {
			add(o, "a", s, "on", p, 0, true);
			add(o, "a", s, "quarantine-off", p, 0, false);
		}
}

static void possible(void **state)
{
	size_t dropped;
	struct moe_estimate x = estimate(fill_full, &dropped);

	(void)state;
	assert_true(x.value >= 1 && x.ci.hi <= 1 && x.ci.lo < 1 && x.ci.lo > 0.8);
}

int main(void)
{
	const struct CMUnitTest t[] = { cmocka_unit_test(coverage), cmocka_unit_test(clusters),
		cmocka_unit_test(by_hand), cmocka_unit_test(beside), cmocka_unit_test(no_spread),
		cmocka_unit_test(seeds), cmocka_unit_test(parts), cmocka_unit_test(possible) };

	return cmocka_run_group_tests_name("boot", t, NULL, NULL);
}
