/* rewards.c - counts and decomposes the rewards of a step; it trains nothing. */
#include "rl/rewards.h"

#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Mean and unbiased standard deviation of part k, over the rollouts that have it. */
static void part_stats(const struct moe_rollout_step *s, int k, struct moe_reward_stats *st)
{
	double sum = 0, sq = 0, n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!isnan(s->r[i].part[k])) {
			sum += s->r[i].part[k];
			n++;
		}
	st->mean[k] = n > 0 ? sum / n : NAN;
	for (size_t i = 0; i < s->n; i++)
		if (!isnan(s->r[i].part[k])) {
			double d = s->r[i].part[k] - st->mean[k];

			sq += d * d;
		}
	st->std[k] = n > 1 ? sqrt(sq / (n - 1)) : NAN;
}

/* Sums over one group's deviations: cov[k] of part k and the reward, *var of the reward. A rollout
 * that lacks a part got 0 for it, as in the sum that the reward is. */
static void add_group(
	const struct moe_rollout_step *s, const size_t *idx, size_t n, double *cov, double *var)
{
	double mean = 0, part[MOE_REWARDS_MAX] = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct moe_rollout *r = &s->r[idx[i]];

		mean += r->reward / (double)n;
		for (int k = 0; k < s->n_rewards; k++)
			part[k] += isnan(r->part[k]) ? 0 : r->part[k] / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		const struct moe_rollout *r = &s->r[idx[i]];
		double d = r->reward - mean;

		*var += d * d;
		for (int k = 0; k < s->n_rewards; k++)
			cov[k] += d * ((isnan(r->part[k]) ? 0 : r->part[k]) - part[k]);
	}
}

int moe_reward_stats_of(
	const struct moe_rollout_step *s, struct moe_reward_stats *st, struct moe_err *e)
{
	size_t *idx = moe_alloc(s->n, sizeof(*idx), e);
	bool *done = moe_alloc(s->n, sizeof(*done), e);
	double cov[MOE_REWARDS_MAX] = { 0 }, var = 0;

	*st = (struct moe_reward_stats){ 0 };
	for (size_t i = 0; idx && done && i < s->n; i++) {
		size_t n = 0, equal = 0;

		if (done[i])
			continue;
		for (size_t k = i; k < s->n; k++)
			if (s->r[k].group == s->r[i].group) {
				equal += s->r[k].reward == s->r[i].reward;
				done[k] = true;
				idx[n++] = k;
			}
		st->groups++;
		st->all_zero += equal == n && s->r[i].reward == 0;
		st->all_equal += equal == n && s->r[i].reward != 0;
		if (equal < n) /* else rounding alone would be decomposed */
			add_group(s, idx, n, cov, &var);
	}
	for (int k = 0; k < s->n_rewards; k++) {
		part_stats(s, k, st);
		st->share[k] = var > 0 ? cov[k] / var : NAN;
	}
	free(done);
	free(idx);
	return st->groups || !s->n ? 0 : -1;
}
