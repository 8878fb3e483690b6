/* reward_sum.h - one reward of each rollout from its several: TRL's reward_weights and
 * multi_objective_aggregation. Advantages are advantage.h's. */
#ifndef MOE_RL_REWARD_SUM_H
#define MOE_RL_REWARD_SUM_H

#include "rl/rollout.h"

struct moe_reward_opts {
	bool weighted;  /* the record's `reward` is not taken, but its `rewards` times these: */
	bool normalise; /* each first to (r - mean) / (std + 1e-4) of its group (GDPO, 2601.05242);
			   implies weighted */
	int n;          /* weights, in the order of the step's names; 0 = all 1 */
	double weight[MOE_REWARDS_MAX];
};

/* reward[s->n] of a step. A part that a rollout lacks counts nothing; one that lacks all is NaN:
 * it was not scored. MOE_DATA for more or fewer weights than there are rewards. */
int moe_reward_of(const struct moe_reward_opts *o, const struct moe_rollout_step *s, double *reward,
	struct moe_err *e);

#endif
