/* regions.h - a model's or an adapter's flat parameter block as regions for the optimiser
 * (nn/adamw.h). Thread-safe. */
#ifndef MOE_MODEL_REGIONS_H
#define MOE_MODEL_REGIONS_H

#include "model/model.h"
#include "nn/adamw.h"

/* Owners 0 .. E-1 are the experts: one region for each expert's rows of A and columns of B of every
 * adapted Linear, decay 1, lr 1. With a router, owner E is the router: a region for each of its
 * trained tensors, decay 1, lr router_lr, which is that of a form's tensors as well. *n_owner
 * counts them. Tensors without gradient (state) belong to nobody. *out is owned by the caller
 * (free). */
int moe_experts_regions(const struct moe_experts *x, double router_lr, struct moe_region **out,
	size_t *n, int *n_owner, struct moe_err *e);
/* One region a weight, all of owner 0; decay 0 for norms and biases. m must be trainable. */
int moe_model_regions(
	const struct moe_model *m, struct moe_region **out, size_t *n, struct moe_err *e);

#endif
