/* norm.c - RMSNorm forward and backward, row by row. */
#include "nn/norm.h"
#include "tensor/vec.h"

#include <math.h>
#include <stddef.h>

static inline __attribute__((always_inline)) void norm_row(
	int n, const moe_real *x, const moe_real *w, moe_real r, moe_real *y)
{
	for (int j = 0; j < n; j++)
		y[j] = w[j] * (x[j] * r);
}

MOE_CLONES void moe_rmsnorm(int T, int n, const moe_real *x, int ldx, const moe_real *w, double eps,
	moe_real *y, int ldy, moe_real *rstd)
{
	for (int t = 0; t < T; t++) {
		const moe_real *row = x + (size_t)t * (size_t)ldx;
		moe_real r = (moe_real)(1.0 / sqrt(moe_vec_sumsq((size_t)n, row) / n + eps));

		norm_row(n, row, w, r, y + (size_t)t * (size_t)ldy);
		if (rstd)
			rstd[t] = r;
	}
}

/* dx = r (dy w) - x r^3 mean(dy w x) */
static inline __attribute__((always_inline)) void norm_row_bwd(
	int n, const moe_real *dy, const moe_real *x, const moe_real *w, moe_real r, moe_real *dx)
{
	double lane[8] = { 0 }, s;
	moe_real c;
	int whole = n - n % 8;

	for (int i = 0; i < whole; i += 8)
		for (int j = 0; j < 8; j++)
			lane[j] += (double)(dy[i + j] * w[i + j]) * (double)x[i + j];
	for (int j = 0; j < n - whole; j++)
		lane[j] += (double)(dy[whole + j] * w[whole + j]) * (double)x[whole + j];
	s = ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
		((lane[1] + lane[5]) + (lane[3] + lane[7]));
	c = (moe_real)(s / n * (double)r * (double)r * (double)r);
	for (int j = 0; j < n; j++)
		dx[j] += r * (dy[j] * w[j]) - c * x[j];
}

MOE_CLONES void moe_rmsnorm_bwd(int T, int n, const moe_real *dy, int lddy, const moe_real *x,
	int ldx, const moe_real *w, const moe_real *rstd, moe_real *dx, int lddx, moe_real *dw)
{
	for (int t = 0; t < T; t++) {
		const moe_real *g = dy + (size_t)t * (size_t)lddy,
			       *row = x + (size_t)t * (size_t)ldx;

		norm_row_bwd(n, g, row, w, rstd[t], dx + (size_t)t * (size_t)lddx);
		if (!dw)
			continue;
		for (int j = 0; j < n; j++)
			dw[j] += g[j] * (row[j] * rstd[t]);
	}
}
