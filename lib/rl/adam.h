/* adam.h - AdamW over experts (Loshchilov & Hutter 1711.05101), each with a state of its own that stands still while it is frozen.
 *
 *     m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  p -= lr (m / (1-b1^t) / (sqrt(v / (1-b2^t)) + eps) + decay p)
 *
 * t counts an expert's own updates. A frozen expert's parameters, moments and count keep every bit: a zeroed gradient would still
 * move it by its momentum. Not thread-safe.
 */
#ifndef MOE_RL_ADAM_H
#define MOE_RL_ADAM_H

#include "model/experts.h"

#include <stdbool.h>
#include <stdint.h>

struct moe_adam {
	double beta1, beta2, eps, decay;
	moe_real *m, *v;                  /* [n_param] owned */
	int64_t t[MOE_EXPERTS_MAX];       /* updates of each expert */
	size_t n;
};

int moe_adam_init(struct moe_adam *o, const struct moe_experts *x, struct moe_err *e);
void moe_adam_free(struct moe_adam *o);
/* One update with gradient grad[n_param] * grad_scale. frozen[E] or NULL. */
void moe_adam_step(struct moe_adam *o, struct moe_experts *x, const moe_real *grad, double grad_scale, double lr, const bool *frozen);

#endif
