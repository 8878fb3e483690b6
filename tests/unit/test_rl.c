/* test_rl.c - losses against TRL's own (tests/golden/make_rl_golden.py), advantages against its
 * formulas, and degenerate groups. */
#include "rl/advantage.h"
#include "rl/loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/golden/rl_golden.h"

static void near(double got, double want, const char *what)
{
	if (!(fabs(got - want) <= 1e-12 * (1 + fabs(want))))
		fail_msg("%s: got %.17g, not %.17g", what, got, want);
}

static void test_losses(void **state)
{
	double adv[GOLD_N];
	struct moe_adv_stats st;
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_advantages(GOLD_N, gold_reward, gold_group, gold_keep,
				 &(struct moe_adv_opts){ .scale = MOE_ADV_GROUP, .split = false },
				 adv, NULL, &st, &e),
		0);
	for (size_t c = 0; c < sizeof(gold_case) / sizeof(*gold_case); c++) {
		struct moe_loss_opts o = {
			.eps_low = 0.2, .eps_high = 0.3, .beta = gold_case[c].beta
		};
		double sum = 0;
		size_t k = 0;

		assert_int_equal(moe_loss_type_parse(gold_case[c].loss, &o.type, &e), 0);
		assert_int_equal(moe_ratio_parse(gold_case[c].ratio, &o.ratio, &e), 0);
		for (size_t i = 0; i < GOLD_N; i++) {
			double w = moe_loss_weight(
				&o, gold_len[i], GOLD_N, GOLD_TOKENS, GOLD_MAXLEN);

			for (size_t t = 0; t < gold_len[i]; t++, k++) {
				struct moe_token_loss l = moe_token_loss(
					&o, gold_logp[k], gold_old[k], gold_ref[k], adv[i]);

				sum += w * l.loss;
				near(w * l.dlogp, gold_case[c].dlogp[k], "derivative");
			}
		}
		near(sum, gold_case[c].value, "loss");
	}
}

static void test_advantages(void **state)
{
	const double *const want[6] = { gold_adv_none_0, gold_adv_none_1, gold_adv_group_0,
		gold_adv_group_1, gold_adv_batch_0, gold_adv_batch_1 };
	double adv[GOLD_N];
	bool dead[GOLD_N];
	struct moe_adv_stats st;
	struct moe_err e;

	(void)state;
	for (int k = 0; k < 6; k++) {
		struct moe_adv_opts o = { .scale = (enum moe_adv_scale)(k / 2), .split = k % 2 };

		assert_int_equal(moe_advantages(GOLD_N, gold_reward, gold_group, gold_keep, &o, adv,
					 dead, &st, &e),
			0);
		for (size_t i = 0; i < GOLD_N; i++) {
			near(adv[i], want[k][i], "advantage");
			assert_false(dead[i]);
		}
		assert_int_equal(st.groups, 2);
	}
}

/* Groups of one, of equal rewards, members apart from each other, a lone kept rollout, a NaN. */
static void test_degenerate(void **state)
{
	const double reward[7] = { 1, 0, 1, 5, 1, 4, 2 };
	const int64_t group[7] = { 3, 9, 3, 7, 3, 9, 9 };
	const bool keep[7] = { false, true, true, true, false, false, false };
	double adv[7], bad[2] = { 1, NAN };
	bool dead[7];
	struct moe_adv_stats st;
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_advantages(7, reward, group, keep,
				 &(struct moe_adv_opts){ .scale = MOE_ADV_GROUP, .split = true },
				 adv, dead, &st, &e),
		0);
	assert_int_equal(st.groups, 3);
	assert_int_equal(st.dead, 2);
	near(st.zero_std, 4.0 / 7, "share of rollouts in equal groups");
	assert_true(dead[0] && dead[2] && dead[4] && dead[3] && !dead[1] && !dead[5] && !dead[6]);
	assert_true(adv[0] == 0 && adv[2] == 0 && adv[3] == 0);
	assert_true(adv[1] == 0); /* the only kept one of its group is its own baseline */
	near(adv[5], (4 - 2.0) / (2 + 1e-4), "against all of the group");
	assert_int_equal(moe_advantages(2, bad, group, NULL,
				 &(struct moe_adv_opts){ .scale = MOE_ADV_NONE, .split = false },
				 adv, NULL, &st, &e),
		-1);
	assert_int_equal(e.code, MOE_NUMERIC);
}

/* Kept rollouts of equal rewards have nothing to learn from each other, whatever 3 * 0.1 / 3 is. */
static void test_equal_kept(void **state)
{
	const double reward[4] = { 0.1, 0.1, 0.1, 3 };
	const int64_t group[4] = { 0, 0, 0, 0 };
	const bool keep[4] = { true, true, true, false };
	double adv[4];
	bool dead[4];
	struct moe_adv_stats st;
	struct moe_err e;

	(void)state;
	assert_true((0.1 + 0.1 + 0.1) / 3 != 0.1);
	assert_int_equal(moe_advantages(4, reward, group, keep,
				 &(struct moe_adv_opts){ .scale = MOE_ADV_NONE, .split = true },
				 adv, dead, &st, &e),
		0);
	assert_true(adv[0] == 0 && adv[1] == 0 && adv[2] == 0 && !dead[0]);
	near(adv[3], 3 - 3.3 / 4, "against all of the group");
}

static void test_names(void **state)
{
	enum moe_loss_type t;
	enum moe_ratio r;
	enum moe_adv_scale s;
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_loss_type_parse("ppo", &t, &e), -1);
	assert_int_equal(e.code, MOE_USAGE);
	assert_int_equal(moe_ratio_parse("", &r, &e), -1);
	assert_int_equal(moe_adv_scale_parse("groups", &s, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_advantages),
		cmocka_unit_test(test_degenerate),
		cmocka_unit_test(test_equal_kept),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
