/* penalty.c - no expert is deleted: what a user would do instead. A rollout whose score stands out
 * in its group loses a share of its reward. The method is shown scores, never rewards. */
#include "moe/methods/rows.h"

#include "moe/heldout.h"
#include "moe/logreg.h"

#include <math.h>

static const struct moe_setting settings[] = {
	{ "l2", 1e-3, 0, 1e6, NULL, "L2 penalty of the fit, l2/2 |w|^2" },
	{ "folds", 5, 2, 1000, NULL, "held-out folds of whole pairs" },
	{ "features", 0, 0, 0, "tokens|pooled", "each completion token's states, or their mean" },
	{ "a", 2, 0, 100, NULL, "reward times 1 - a sigmoid(z) where z > 0" },
	{ "of", 0, 0, 0, "reward|advantage", "what is multiplied" },
	{ 0 },
};

/* Mean and unbiased standard deviation of the scores of one group. */
static void group_stats(const double *score, const int64_t *group, size_t n, int64_t which,
	double *mean, double *sd)
{
	double sum = 0, sum2 = 0, k = 0;

	for (size_t i = 0; i < n; i++)
		if (group[i] == which) {
			sum += score[i];
			k++;
		}
	*mean = sum / k;
	for (size_t i = 0; i < n; i++)
		if (group[i] == which)
			sum2 += (score[i] - *mean) * (score[i] - *mean);
	*sd = k > 1 ? sqrt(sum2 / (k - 1)) : 0;
}

/* z = (score - mean of its group) / sd of its group;  factor = 1 - a sigmoid(z) [z > 0] */
static int factors(const struct moe_adapter *a, const double *score, const int64_t *group, size_t n,
	double *out, struct moe_err *e)
{
	double size = moe_method_setting(a, "a", 0);

	(void)e;
	for (size_t i = 0; i < n; i++) {
		double mean, sd, z;

		group_stats(score, group, n, group[i], &mean, &sd);
		z = sd > 0 ? (score[i] - mean) / sd : 0;
		out[i] = z > 0 ? 1 - size * moe_sigmoid(z) : 1;
	}
	return 0;
}

const struct moe_method moe_method_penalty = {
	.name = "penalty",
	.purpose = "no expert: reward times 1 - a sigmoid(z) where the pairs' score stands out",
	.cites = "Wu & Tang 2604.01476 (advantage modification by a concept score, z-scored in the "
		 "group, one-sided)",
	.supports = "99.9 to 24.9 and 78.9 to 15.1 % hack at a = 2 there; a policy is paid for "
		    "evading the score, which routing does not do",
	.presence = "no quarantine takes part: the deployed state is the trained one",
	.placebo = "penalty-shuffled",
	.needs_pairs = true,
	.settings = settings,
	.plan = moe_decision_table_alone,
	.init = moe_logistic_init,
	.report = moe_held_report,
	.score = moe_logistic_score,
	.token_score = moe_logistic_token_score,
	.factors = factors,
};
