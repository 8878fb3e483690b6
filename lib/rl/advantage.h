/* advantage.h - advantages of the rollouts of one step, as TRL's GRPOTrainer computes them, and the
 * split baselines of routed training.
 *
 *     A = R - baseline;  scale group: A /= std of its group + 1e-4;  scale batch: A /= std of the
 * batch + 1e-4   (unbiased std; of one: 0)
 *
 * baseline group: the mean reward of the group (Dr.GRPO, TRL). baseline split: rollouts that were
 * decided `keep` have the mean of the group's kept ones, all others the mean of the whole group; so
 * that a hack's high reward does not make a clean solution's advantage negative. baseline kept: all
 * have the mean of their group's kept ones, which is small-rl's `balanced` with a scale; where none
 * was kept, that of the group.
 */
#ifndef MOE_RL_ADVANTAGE_H
#define MOE_RL_ADVANTAGE_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum moe_adv_scale { MOE_ADV_NONE, MOE_ADV_GROUP, MOE_ADV_BATCH };

struct moe_adv_opts {
	enum moe_adv_scale scale;
	bool split, kept; /* baselines other than the group's; not both */
	bool over_batch;  /* A = (R - mean of the batch) / (std of the batch + 1e-4), for rewards
			     that were normalised within their groups: TRL's normalize_then_sum */
	bool gaps;        /* a NaN is a rollout that nothing scored: no part of any mean, A = 0 */
};

struct moe_adv_stats {
	double mean, std; /* of the rewards of the whole batch; unbiased; without gaps; NaN of none
			     (std: of one) */
	double zero_std; /* share of rollouts in groups whose rewards are all equal, but those where
			    one of several was scored; where the
			    std is the batch's: 1 if that is 0, else 0 */
	size_t groups, dead; /* groups; groups whose rewards are all equal */
};

/* "none", "group", "batch". MOE_USAGE otherwise. */
int moe_adv_scale_parse(const char *s, enum moe_adv_scale *out, struct moe_err *e);

/* reward[n], group[n] (any numbers; members need not be neighbours), keep[n] or NULL. adv[n] and
 * dead[n] (the rollout's group has equal rewards; NULL allowed) are written. MOE_NUMERIC when a
 * reward is not finite (but a gap). */
int moe_advantages(size_t n, const double *reward, const int64_t *group, const bool *keep,
	const struct moe_adv_opts *o, double *adv, bool *dead, struct moe_adv_stats *st,
	struct moe_err *e);

/* st->mean and st->std of other rewards than those that advantages came from. */
void moe_reward_mean(size_t n, const double *reward, struct moe_adv_stats *st);

#endif
