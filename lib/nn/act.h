/* act.h - SwiGLU (Shazeer 2020): a = silu(g) * u, silu(x) = x / (1 + exp(-x)). Element-wise over n
 * numbers. Thread-safe. */
#ifndef MOE_NN_ACT_H
#define MOE_NN_ACT_H

#include "tensor/real.h"

#include <stddef.h>

void moe_swiglu(size_t n, const moe_real *g, const moe_real *u, moe_real *a);
/* The same; s receives the logistic function of g, for the backward pass. */
void moe_swiglu_keep(size_t n, const moe_real *g, const moe_real *u, moe_real *a, moe_real *s);
/* From da and s: dg and du (overwritten; dg may be s). */
void moe_swiglu_bwd(size_t n, const moe_real *g, const moe_real *u, const moe_real *s,
	const moe_real *da, moe_real *dg, moe_real *du);

#endif
