/* routing.h - the router's share of a training step: what its method sees between the forward and
 * the backward pass of a rollout, the pass over the pins, and what comes after the update. Packing
 * and token losses are batch.c's, gates themselves the engine's.
 */
#ifndef MOE_RL_ROUTING_H
#define MOE_RL_ROUTING_H

#include "rl/train.h"

/* Arrays that losses seed, for a pass of S sites and T rows. Zeroed by moe_seeds_make. */
struct moe_seeds {
	moe_real *dgate, *dlogit; /* [S, T, n_routed] */
};
int moe_seeds_make(
	struct moe_seeds *d, const struct moe_experts *x, int S, int T, struct moe_err *e);
void moe_seeds_free(struct moe_seeds *d);

/* What the loop takes from the method's settings. */
struct moe_routing {
	bool on;        /* there is a router, in the pass or per rollout */
	bool pass;      /* in the pass: x->S > 0 */
	bool prompt_on; /* "pon": the router is kept out of prompt rows and of the decision row */
	bool detach;    /* rewards do not teach the router */
	bool label_detaches; /* nor those of rollouts that were kept or routed */
	bool mask_differs;   /* masks are each rollout's own: prompts cannot be shared */
	bool has_losses;
};
void moe_routing_of(const struct moe_trainer *t, struct moe_routing *r);

/* The rows of one rollout (or side of a pair), for the method's functions. row [n] are those at
 * which the router decides. */
struct moe_gate_rows moe_routing_rows(
	const struct moe_site_gates *q, const struct moe_seeds *d, const int32_t *row, int n);

/* One step's pins: seeds on the router's gates alone; adds to t->grad and fills st. Nothing without
 * t->pins or a method that pins. */
int moe_routing_pins(struct moe_trainer *t, struct moe_train_stats *st, struct moe_err *e);
/* The method's after_step, with the mean gates of the update; these go into the lineage too. */
int moe_routing_after_step(struct moe_trainer *t, struct moe_err *e);

#endif
