/* batch.h - the forward and backward passes of an update; part of train.c's work, split off for
 * size.
 */
#ifndef MOE_RL_BATCH_H
#define MOE_RL_BATCH_H

#include "rl/order.h"

/* Adds the gradient of the share's loss to t->grad and fills the token statistics of st. */
int moe_batch_gradient(struct moe_trainer *t, const struct moe_update *u,
	struct moe_train_stats *st, struct moe_err *e);
/* Forward passes alone: log-probabilities of the share's rollouts that teach, to store->old; or
 * entropies of all of its tokens in the loss, to store->entropy. */
enum moe_look { MOE_LOOK_OLD, MOE_LOOK_ENTROPY };
int moe_batch_look(struct moe_trainer *t, const struct moe_update *u, enum moe_look what,
	struct moe_train_stats *st, struct moe_err *e);

#endif
