/* test_rewards.c - statistics of a step's rewards against numbers worked out by hand. */
#include "rl/rewards.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define N 8

/* Group 0: rewards 0 4 2 2, parts passed 0 3 2 1 and format 0 1 0 1. Group 1: all 0. Group 2: 3 3.
 */
static void fill(struct moe_rollout_step *s, struct moe_rollout r[N])
{
	static const double reward[N] = { 0, 4, 2, 2, 0, 0, 3, 3 },
			    passed[N] = { 0, 3, 2, 1, 0, 0, 3, 3 };
	static const int64_t group[N] = { 0, 0, 0, 0, 1, 1, 2, 2 };

	memset(s, 0, sizeof(*s));
	memset(r, 0, N * sizeof(*r));
	for (int i = 0; i < N; i++) {
		r[i].reward = reward[i];
		r[i].group = group[i];
		r[i].part[0] = passed[i];
		r[i].part[1] = reward[i] - passed[i];
	}
	s->r = r;
	s->n = N;
	s->n_rewards = 2;
}

static void near(double got, double want)
{
	if (!(fabs(got - want) <= 1e-12))
		fail_msg("%.17g, not %.17g", got, want);
}

static void test_groups_and_shares(void **state)
{
	struct moe_rollout_step s;
	struct moe_rollout r[N];
	struct moe_reward_stats st;
	struct moe_err e;

	(void)state;
	fill(&s, r);
	assert_int_equal(moe_reward_stats_of(&s, &st, &e), 0);
	assert_int_equal(st.groups, 3);
	assert_int_equal(st.all_zero, 1);
	assert_int_equal(st.all_equal, 1);
	/* group 0: mean 2, deviations -2 2 0 0, variance sum 8; passed - 1.5 = -1.5 1.5 .5 -.5:
	 * covariance sum 6; format - .5 = -.5 .5 -.5 .5: 2 */
	near(st.share[0], 6.0 / 8);
	near(st.share[1], 2.0 / 8);
	near(st.mean[0], 12.0 / 8);
	/* squares 0 9 4 1 0 0 9 9 = 32; 32 - 8 * 1.5^2 = 14, over 7 */
	near(st.std[0], sqrt(14.0 / 7));
}

/* A part that some rollouts lack: its mean and std are over those that have it. */
static void test_missing_part(void **state)
{
	struct moe_rollout_step s;
	struct moe_rollout r[N];
	struct moe_reward_stats st;
	struct moe_err e;

	(void)state;
	fill(&s, r);
	for (int i = 1; i < N; i++)
		r[i].part[1] = NAN;
	assert_int_equal(moe_reward_stats_of(&s, &st, &e), 0);
	near(st.mean[1], 0);
	assert_true(isnan(st.std[1]));
	near(st.share[1], 0);
}

static void test_nothing_varies(void **state)
{
	struct moe_rollout_step s;
	struct moe_rollout r[N];
	struct moe_reward_stats st;
	struct moe_err e;

	(void)state;
	fill(&s, r);
	for (int i = 0; i < N; i++)
		r[i].reward = 0.1; /* whose mean of three is not 0.1 to the bit */
	assert_int_equal(moe_reward_stats_of(&s, &st, &e), 0);
	assert_int_equal(st.all_equal, 3);
	assert_int_equal(st.all_zero, 0);
	assert_true(isnan(st.share[0]) && isnan(st.share[1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups_and_shares),
		cmocka_unit_test(test_missing_part),
		cmocka_unit_test(test_nothing_varies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
