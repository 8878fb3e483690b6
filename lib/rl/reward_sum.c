/* reward_sum.c - weighted sums of the parts of a reward; no advantage is taken here. */
#include "rl/reward_sum.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The names there are, for messages. */
static void list_names(const struct moe_rollout_step *s, char out[256])
{
	size_t k = 0;

	snprintf(out, 256, "none");
	for (int i = 0; i < s->n_rewards && k < 256; i++)
		k += (size_t)snprintf(out + k, 256 - k, "%s%s", i ? ", " : "", s->reward_name[i]);
}

/* weight[s->n_rewards] in the order of the step's names. */
static int weights(const struct moe_reward_opts *o, const struct moe_rollout_step *s,
	double weight[MOE_REWARDS_MAX], struct moe_err *e)
{
	char there[256];

	list_names(s, there);
	if (o->n && o->n != s->n_rewards)
		return moe_fail(e, MOE_DATA, "step %lld: %d reward weights for %d rewards (%s)",
			(long long)s->step, o->n, s->n_rewards, there);
	for (int i = 0; i < s->n_rewards; i++)
		weight[i] = o->n ? o->weight[i] : 1;
	return 0;
}

/* Mean and unbiased std of part k over rollout i's group, of those that have it. */
static void of_group(const struct moe_rollout_step *s, size_t i, int k, double *mean, double *std)
{
	double sum = 0, sq = 0, n = 0;

	for (size_t q = 0; q < s->n; q++)
		if (s->r[q].group == s->r[i].group && !isnan(s->r[q].part[k])) {
			sum += s->r[q].part[k];
			n++;
		}
	*mean = sum / n;
	for (size_t q = 0; q < s->n; q++)
		if (s->r[q].group == s->r[i].group && !isnan(s->r[q].part[k]))
			sq += (s->r[q].part[k] - *mean) * (s->r[q].part[k] - *mean);
	*std = n > 1 ? sqrt(sq / (n - 1)) : 0;
}

int moe_reward_of(const struct moe_reward_opts *o, const struct moe_rollout_step *s, double *reward,
	struct moe_err *e)
{
	double weight[MOE_REWARDS_MAX] = { 0 };

	if (!o->weighted && !o->normalise) {
		for (size_t i = 0; i < s->n; i++)
			reward[i] = s->r[i].reward;
		return 0;
	}
	if (s->n_rewards == 0)
		return moe_fail(e, MOE_DATA,
			"step %lld: its rollouts have no `rewards' that could be weighted",
			(long long)s->step);
	if (weights(o, s, weight, e))
		return -1;
	for (size_t i = 0; i < s->n; i++) {
		bool scored = false;

		reward[i] = 0;
		for (int k = 0; k < s->n_rewards; k++) {
			double v = s->r[i].part[k], mean, std;

			if (isnan(v))
				continue;
			scored = true;
			if (o->normalise) {
				of_group(s, i, k, &mean, &std);
				v = (v - mean) / (std + 1e-4);
			}
			reward[i] += weight[k] * v;
		}
		if (!scored)
			reward[i] = NAN;
	}
	return 0;
}
