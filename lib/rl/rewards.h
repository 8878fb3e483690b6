/* rewards.h - what the rewards of a step look like: how many groups teach nothing, and which part
 * of the reward the signal comes from. It only counts; advantages are advantage.c's.
 *
 * All-zero and all-equal groups are told apart: the first are usually too hard, or broken, the
 * others solved (or hacked) by everyone.
 *
 * Within groups, reward R of a rollout has parts R_k. With r = R - its group's mean and r_k = R_k -
 * its group's mean, the share of part k in the reward's variance is
 *     sum r_k r / sum r^2      over the rollouts of all groups
 * The shares sum to 1 where R is the sum of its parts. A part that moves against the others has a
 * negative one. (The covariance decomposition of a variance; Shorrocks 1982.)
 */
#ifndef MOE_RL_REWARDS_H
#define MOE_RL_REWARDS_H

#include "rl/rollout.h"

struct moe_reward_stats {
	size_t groups;
	size_t all_zero;  /* groups whose rewards are all 0 */
	size_t all_equal; /* groups whose rewards are all equal, and not 0 */
	/* by part, in the step's order; NaN where nothing was measured */
	double mean[MOE_REWARDS_MAX];  /* over the rollouts that have it */
	double std[MOE_REWARDS_MAX];   /* unbiased; NaN of one */
	double share[MOE_REWARDS_MAX]; /* of the variance within groups; NaN where that is 0 */
};
/* MOE_SYSTEM without memory. */
int moe_reward_stats_of(
	const struct moe_rollout_step *s, struct moe_reward_stats *st, struct moe_err *e);

#endif
