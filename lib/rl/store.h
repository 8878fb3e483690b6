/* store.h - what a step keeps per token beside its rollouts: log-probabilities of the policy before
 * its updates, entropies, which tokens the policy's loss keeps. */
#ifndef MOE_RL_STORE_H
#define MOE_RL_STORE_H

#include "rl/rollout.h"
#include "tensor/real.h"

/* Per token of a step's rollouts, one after the other: at[i] is where those of rollout i begin. */
struct moe_token_store {
	size_t *at;          /* [n + 1] */
	moe_real *old;       /* [tokens] log-probabilities before the first update */
	bool *has;           /* [n] old is known */
	moe_real *entropy;   /* [tokens] under the policy of this update, with top_entropy */
	unsigned char *keep; /* [tokens] those that the policy's part keeps, with top_entropy */
};
int moe_token_store_make(
	struct moe_token_store *k, const struct moe_rollout_step *s, struct moe_err *e);
void moe_token_store_free(struct moe_token_store *k); /* accepts a zeroed struct */

#endif
