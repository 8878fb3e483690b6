/* experts.h - LoRA experts stacked into one low-rank pair per Linear (design.md section 2).
 *
 *     y = W x + s * B ((alive * gate) .* (A x))      A [R, d_in], B [d_out, R], R = sum of ranks
 *     dA, dB of expert e *= mask_e                   dx is not masked
 *
 * gate and mask are per token and expert; alive is per Linear and rank slot, so that a random
 * subspace can be ablated too. All parameters lie in one flat block (order: layer, Linear in enum
 * order, A then B), which the optimiser walks.
 */
#ifndef MOE_MODEL_EXPERTS_H
#define MOE_MODEL_EXPERTS_H

#include "model/config.h"
#include "tensor/real.h"

#include <stddef.h>

#define MOE_EXPERTS_MAX 64

enum moe_bank { MOE_BANK_SHARED, MOE_BANK_CLEAN, MOE_BANK_QUARANTINE, MOE_BANKS };
extern const char *const moe_bank_names[MOE_BANKS];

struct moe_experts {
	int E, R;
	int rank[MOE_EXPERTS_MAX]; /* ranks; expert e owns slots first[e] .. first[e]+rank[e]-1 */
	int first[MOE_EXPERTS_MAX];
	enum moe_bank bank[MOE_EXPERTS_MAX];
	char name[MOE_EXPERTS_MAX][32];
	bool target[MOE_LINEARS]; /* which Linears are adapted */
	double scale;             /* s */
	struct moe_config config; /* of the base that it fits */
	moe_real *param;          /* [n_param], owned */
	size_t n_param;
	size_t *a_off, *b_off; /* [L*7] offsets into param; SIZE_MAX where not adapted. Owned */
	moe_real *alive;       /* [L*7, R], owned */
};

/* Lays out and allocates (zeroed param, alive = 1) from rank/bank/name/target/scale/E set by the
 * caller. */
int moe_experts_init(struct moe_experts *x, const struct moe_config *c, struct moe_err *e);
/* The same with alive = 0, for what a stream declares: param and alive take memory where they are
 * written (moe_alloc_declared). */
int moe_experts_alloc(struct moe_experts *x, const struct moe_config *c, struct moe_err *e);
void moe_experts_free(struct moe_experts *x); /* accepts a zeroed struct */
int moe_experts_copy(struct moe_experts *to, const struct moe_experts *from, struct moe_err *e);
/* The expert that owns parameter block (layer, linear): which rows of A / columns of B belong to
 * expert e is first[e], rank[e]. */

/* Gates and masks of a packed batch. NULL arrays mean all ones. Borrowed. */
struct moe_gates {
	const moe_real *gate; /* [T, E] */
	const moe_real *mask; /* [T, E] */
	moe_real *dgate; /* [T, E] receives (+=) the gradient of the gates in the backward pass, or
			    NULL */
};

#endif
