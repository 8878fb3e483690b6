/* test_rl.c - losses against TRL's own (tests/golden/make_rl_golden.py), advantages against its
 * formulas, and degenerate groups. */
#include "rl/advantage.h"
#include "rl/loss.h"
#include "rl/reward_sum.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/golden/rl_golden.h"

static void near(double got, double want, const char *what)
{
	if (!(fabs(got - want) <= 1e-10 * (1 + fabs(want))))
		fail_msg("%s: got %.17g, not %.17g", what, got, want);
}

static void options_of(const struct gold_case *g, struct moe_loss_opts *o)
{
	struct moe_err e;

	*o = (struct moe_loss_opts)MOE_LOSS_DEFAULTS;
	assert_int_equal(moe_loss_type_parse(g->loss, &o->type, &e), 0);
	assert_int_equal(moe_ratio_parse(g->ratio, &o->ratio, &e), 0);
	assert_int_equal(moe_level_parse(g->level, &o->level, &e), 0);
	assert_int_equal(moe_correction_parse(g->correction, &o->correction, &e), 0);
	o->c_min = g->c_min;
	o->c_max = g->c_max;
	o->eps_high = g->eps_high;
	o->delta = g->delta;
	o->beta = g->beta;
	o->kl_bias = g->kl_bias;
	o->off_policy = g->off_policy;
	o->top_entropy = g->top_entropy;
	o->entropy_coef = g->entropy_coef;
	o->mask_truncated = g->truncated;
}

/* keep[GOLD_TOKENS] of the top entropies among the tokens in the loss; returns how many those are,
 * and in *kept how many stay. */
static double kept_tokens(const struct moe_loss_opts *o, unsigned char *keep, double *kept)
{
	moe_real flat[GOLD_TOKENS];
	unsigned char some[GOLD_TOKENS];
	struct moe_err e;
	size_t n = 0, k = 0, q = 0;

	for (size_t i = 0; i < GOLD_N; i++)
		for (size_t t = 0; t < gold_len[i]; t++, k++)
			if (gold_stopped[i] || !o->mask_truncated)
				flat[n++] = gold_entropy[k];
	assert_int_equal(moe_top_entropy(o->top_entropy, n, flat, some, &e), 0);
	*kept = 0;
	k = 0;
	for (size_t i = 0; i < GOLD_N; i++)
		for (size_t t = 0; t < gold_len[i]; t++, k++) {
			keep[k] = (gold_stopped[i] || !o->mask_truncated) && some[q++];
			*kept += keep[k];
		}
	return (double)n;
}

/* A batch of TRL's, rollout by rollout, with the weights and the bonus that rl/batch.c gives them.
 */
static void check_case(const struct gold_case *g, const double *adv)
{
	unsigned char keep[GOLD_TOKENS];
	double sum = 0, kept, tokens;
	struct moe_loss_counts c = { .n = GOLD_N, .max_completion = GOLD_MAXLEN };
	struct moe_loss_opts o;
	size_t k = 0;

	options_of(g, &o);
	tokens = kept_tokens(&o, keep, &kept);
	c.local = c.items = tokens;
	for (size_t i = 0; i < GOLD_N; k += gold_len[i++]) {
		double dpolicy[GOLD_MAXLEN], dkl[GOLD_MAXLEN] = { 0 };
		struct moe_loss_in in = { gold_len[i], adv[i], gold_logp + k,
			o.ratio == MOE_RATIO_CLIP ? gold_sampled + k
				: g->stored       ? gold_old + k
						  : NULL,
			gold_sampled + k, gold_ref + k, o.top_entropy < 1 ? keep + k : NULL };
		struct moe_loss_out out = { .dpolicy = dpolicy, .dkl = dkl };
		bool inside = gold_stopped[i] || !g->truncated;
		double w = moe_loss_weight(&o, &c, in.n);

		moe_rollout_loss(&o, &in, &out);
		sum += inside ? w * (out.policy + o.beta * out.kl) : 0;
		for (size_t t = 0; t < in.n; t++) {
			near(inside ? w * (dpolicy[t] + dkl[t]) : 0, g->dlogp[k + t], "derivative");
			sum -= o.entropy_coef * keep[k + t] * gold_entropy[k + t] / fmax(kept, 1);
			if (g->dentropy)
				near(-o.entropy_coef * keep[k + t] / fmax(kept, 1),
					g->dentropy[k + t], "derivative of entropy");
		}
	}
	near(sum, g->value, "loss");
}

static void test_losses(void **state)
{
	double adv[GOLD_N];
	struct moe_adv_stats st;
	struct moe_err e;

	(void)state;
	assert_int_equal(
		moe_advantages(GOLD_N, gold_reward, gold_group, gold_keep,
			&(struct moe_adv_opts){ .scale = MOE_ADV_GROUP }, adv, NULL, &st, &e),
		0);
	for (size_t c = 0; c < sizeof(gold_case) / sizeof(*gold_case); c++)
		check_case(&gold_case[c], adv);
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

static void part_rollouts(struct moe_rollout *r, struct moe_rollout_step *s)
{
	*s = (struct moe_rollout_step){
		.r = r, .n = GOLD_N, .reward_name = { "solved", "style" }, .n_rewards = GOLD_PARTS
	};
	for (size_t i = 0; i < GOLD_N; i++) {
		r[i] = (struct moe_rollout){ .group = gold_group[i], .reward = 77 };
		for (int k = 0; k < GOLD_PARTS; k++)
			r[i].part[k] = gold_part[i * GOLD_PARTS + (size_t)k];
	}
}

/* Several rewards, some of them absent, one rollout that nothing scored. */
static void test_parts(void **state)
{
	const double *const want[4] = { gold_adv_none_parts, gold_adv_group_parts,
		gold_adv_batch_parts, gold_adv_normalised };
	struct moe_rollout r[GOLD_N];
	struct moe_rollout_step s;
	double reward[GOLD_N], adv[GOLD_N];
	struct moe_adv_stats st;
	struct moe_err e;

	(void)state;
	part_rollouts(r, &s);
	for (int k = 0; k < 4; k++) {
		struct moe_reward_opts o = { .weighted = true,
			.normalise = k == 3,
			.n = GOLD_PARTS,
			.weight = { gold_weight[0], gold_weight[1] } };
		struct moe_adv_opts a = {
			.scale = (enum moe_adv_scale)k, .over_batch = k == 3, .gaps = true
		};

		assert_int_equal(moe_reward_of(&o, &s, reward, &e), 0);
		assert_true(isnan(reward[4]));
		assert_int_equal(
			moe_advantages(GOLD_N, reward, gold_group, NULL, &a, adv, NULL, &st, &e),
			0);
		for (size_t i = 0; i < GOLD_N; i++)
			near(adv[i], want[k][i], "advantage of parts");
	}
	/* no weights: each part counts once */
	assert_int_equal(
		moe_reward_of(&(struct moe_reward_opts){ .weighted = true }, &s, reward, &e), 0);
	for (size_t i = 0; i < GOLD_N; i++) {
		double sum = NAN;

		for (int k = 0; k < GOLD_PARTS; k++)
			if (!isnan(r[i].part[k]))
				sum = (isnan(sum) ? 0 : sum) + r[i].part[k];
		assert_true(isnan(sum) ? isnan(reward[i]) : fabs(reward[i] - sum) < 1e-12);
	}
}

/* Weights that fit no reward. */
static void test_bad_weights(void **state)
{
	struct moe_rollout r[GOLD_N];
	struct moe_rollout_step s;
	double reward[GOLD_N];
	struct moe_err e;

	(void)state;
	part_rollouts(r, &s);
	assert_int_equal(moe_reward_of(&(struct moe_reward_opts){ .weighted = true, .n = 3 }, &s,
				 reward, &e),
		-1);
	assert_int_equal(e.code, MOE_DATA);
	assert_non_null(strstr(e.msg, "3 reward weights for 2 rewards (solved, style)"));
	assert_int_equal(moe_reward_of(&(struct moe_reward_opts){ .weighted = true, .n = 1 }, &s,
				 reward, &e),
		-1);
	s.n_rewards = 0;
	assert_int_equal(
		moe_reward_of(&(struct moe_reward_opts){ .normalise = true }, &s, reward, &e), -1);
	assert_int_equal(moe_reward_of(&(struct moe_reward_opts){ 0 }, &s, reward, &e), 0);
	assert_true(reward[3] == 77);
}

/* A batch of nothing, of one, of equal entropies; the controller stays within its bounds. */
static void test_entropy(void **state)
{
	const moe_real same[3] = { 1, 1, 1 }, rising[4] = { 1, 2, 3, 4 };
	unsigned char keep[4] = { 0 };
	struct moe_loss_opts o;
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_top_entropy(0.2, 0, same, keep, &e), 0);
	assert_int_equal(moe_top_entropy(0.2, 3, same, keep, &e), 0);
	assert_true(keep[0] && keep[1] && keep[2]);
	assert_int_equal(moe_top_entropy(0.5, 4, rising, keep, &e), 0);
	assert_true(!keep[0] && !keep[1] && keep[2] && keep[3]); /* the quantile is 2.5 */
	assert_int_equal(moe_top_entropy(0, 4, rising, keep, &e), 0);
	assert_true(!keep[2] && keep[3]);
	o = (struct moe_loss_opts)MOE_LOSS_DEFAULTS;
	assert_true(moe_entropy_adapt(&o, 0.3, 0) == 0.3);
	o.adaptive = true;
	near(moe_entropy_adapt(&o, 0.3, 0.2), 0.305, "raised");
	near(moe_entropy_adapt(&o, 0.3, 0.21), 0.295, "lowered");
	assert_true(moe_entropy_adapt(&o, 0.999, 0) == 1);
	assert_true(moe_entropy_adapt(&o, 0.001, 5) == 0);
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
	assert_int_equal(moe_advantages(2, bad, group, NULL, &(struct moe_adv_opts){ 0 }, adv, NULL,
				 &st, &e),
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
				 &(struct moe_adv_opts){ .split = true }, adv, dead, &st, &e),
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
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_bad_weights),
		cmocka_unit_test(test_entropy),
		cmocka_unit_test(test_degenerate),
		cmocka_unit_test(test_equal_kept),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
