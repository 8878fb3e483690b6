/* batch.h - the forward and backward passes of a step; part of train.c's work, split off for size.
 */
#ifndef MOE_RL_BATCH_H
#define MOE_RL_BATCH_H

#include "rl/train.h"

/* Gate and mask of a bank on a rollout: its decision's, but 0 for a bank that was off while
 * sampling. */
double moe_batch_gate(const struct moe_decision_table *p, const struct moe_rollout *r, int bank);
double moe_batch_mask(const struct moe_decision_table *p, const struct moe_rollout *r, int bank);

/* Adds the gradient of the step's loss to t->grad and fills the token statistics of st. Rollouts of
 * dead groups are left out unless beta asks for their KL. */
int moe_batch_gradient(struct moe_trainer *t, const struct moe_rollout_step *s, const double *adv,
	const bool *dead, struct moe_train_stats *st, struct moe_err *e);

#endif
