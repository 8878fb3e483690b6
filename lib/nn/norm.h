/* norm.h - RMSNorm and its gradient (Zhang & Sennrich 2019; as transformers computes it: y = w * (x
 * / sqrt(mean(x^2) + eps))).
 *
 * Rows may be strided, so that the per-head norms of Qwen3 use the same functions. Sums in double.
 * Thread-safe.
 */
#ifndef MOE_NN_NORM_H
#define MOE_NN_NORM_H

#include "tensor/real.h"

/* y[T, n] from x[T, n] (row strides ldx, ldy; y may be x when the strides agree), w [n]. rstd [T]
 * receives 1/sqrt(mean(x^2)+eps), or NULL. */
void moe_rmsnorm(int T, int n, const moe_real *x, int ldx, const moe_real *w, double eps,
	moe_real *y, int ldy, moe_real *rstd);
/* dx[T, n] += and dw[n] += (NULL = not wanted) from dy. x and rstd as in the forward pass. dx may
 * not be dy. */
void moe_rmsnorm_bwd(int T, int n, const moe_real *dy, int lddy, const moe_real *x, int ldx,
	const moe_real *w, const moe_real *rstd, moe_real *dx, int lddx, moe_real *dw);

#endif
