/* per_rollout.h - a router that decides once per rollout, outside of the pass: on the frozen base's
 * states, pooled over the completion, before the forward pass; its gates become `outer`.
 */
#ifndef MOE_RL_PER_ROLLOUT_H
#define MOE_RL_PER_ROLLOUT_H

#include "rl/routing.h"

/* N rollouts of a step: one row each. */
struct moe_per_rollout {
	int n;                   /* rows; 0 = there is no such router */
	moe_real *x;             /* [n, d] pooled states */
	moe_real *outer;         /* [n, E] what the decision fixes */
	moe_real *mask;          /* [n, E] the plan's, after the method's mask */
	moe_real *dgate;         /* [n, E] gradient of q.gate, summed over a rollout's rows */
	struct moe_site_gates q; /* S = 1, T = n */
	struct moe_arena arena;  /* owns them */
};

/* From the sequences seen [n]; outer and mask are the caller's to fill before
 * moe_per_rollout_gates.
 */
int moe_per_rollout_make(struct moe_per_rollout *p, const struct moe_trainer *t,
	const struct moe_seen *seen, size_t n, struct moe_err *e);
/* The router on all rows, then the method's mask on each. */
void moe_per_rollout_gates(struct moe_per_rollout *p, const struct moe_trainer *t);
/* The gradient of the router's tensors into t->grad, from p->dgate. */
int moe_per_rollout_bwd(struct moe_per_rollout *p, struct moe_trainer *t, struct moe_err *e);
void moe_per_rollout_free(struct moe_per_rollout *p); /* accepts a zeroed struct */
/* The pin pass of such a router; loss [2 n_pair]. */
int moe_per_rollout_pins(struct moe_trainer *t, const struct moe_pair *const *pair, size_t n_pair,
	double weight, double *loss, struct moe_err *e);

#endif
