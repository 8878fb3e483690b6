/* adamw.h - AdamW (Loshchilov & Hutter 2019, arithmetic as torch.optim.AdamW) over flat arrays,
 * with owners that can stand still.
 *
 *     p -= lr wd (p - ref);  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
 *     p -= lr / (1-b1^t) * m / (sqrt(v / (1-b2^t)) + eps)
 *
 * The parameters are covered by regions (a matrix, or some columns of one); each belongs to an
 * owner (a base model has one, an adapter one an expert). t counts per owner. A frozen owner's
 * weights, moments and t keep their bits: no decay, no drift on old momentum (methods.md section 2
 * calls the contrary trap c). Not thread-safe on one optimiser.
 */
#ifndef MOE_NN_ADAMW_H
#define MOE_NN_ADAMW_H

#include "tensor/real.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moe_region {
	size_t off;            /* first element in the flat array */
	size_t rows, cols, ld; /* rows of cols elements, ld apart */
	int owner;
	double decay; /* multiplies wd: 0 for norms and biases */
	double lr;    /* multiplies lr */
};

struct moe_adamw {
	double beta1, beta2, eps, wd; /* set by the caller at any time */
	size_t n;                     /* elements of param, grad, m, v */
	size_t n_region;
	int n_owner;
	struct moe_region *region; /* owned copy */
	moe_real *m, *v;           /* [n] moments, owned; saved for a resume */
	uint64_t *step;            /* [n_owner] updates so far; saved for a resume */
	bool *frozen;              /* [n_owner] set by the caller before each step */
	const moe_real *second;    /* [n] what the second moment takes in place of grad (split
				      moments); NULL = grad. Borrowed, set by the caller */
};

/* Copies the region table; moments 0. betas (0.9, 0.999), eps 1e-8, wd 0. Regions must lie within n
 * and not overlap (MOE_USAGE for the former). */
int moe_adamw_init(struct moe_adamw *o, size_t n, const struct moe_region *region, size_t n_region,
	int n_owner, struct moe_err *e);
void moe_adamw_free(struct moe_adamw *o); /* accepts a zeroed struct */
/* One update of param [n] by grad [n]. ref [n]: what the decay pulls to; NULL = 0. */
void moe_adamw_step(
	struct moe_adamw *o, moe_real *param, const moe_real *grad, const moe_real *ref, double lr);
/* L2 norm over the regions whose owner is not frozen. */
double moe_adamw_norm(const struct moe_adamw *o, const moe_real *grad);

/* L2 norm of g[n], in double; and its scaling to at most max (as torch.nn.utils.clip_grad_norm_: g
 * *= min(1, max / (norm + 1e-6))). max 0 = no clipping. Returns the factor applied. */
double moe_grad_norm(size_t n, const moe_real *g);
double moe_grad_clip(size_t n, moe_real *g, double norm, double max);

/* Factor on the learning rate for update t = 0 .. total-1: (t+1)/warmup while t < warmup, then
 * constant 1, linear to 0, or a half cosine to 0 at t = total. */
enum moe_schedule { MOE_CONSTANT, MOE_LINEAR, MOE_COSINE };
int moe_schedule_parse(const char *name, enum moe_schedule *out,
	struct moe_err *e); /* "constant", "linear", "cosine" */
double moe_schedule_factor(enum moe_schedule s, uint64_t t, uint64_t total, uint64_t warmup);

#endif
