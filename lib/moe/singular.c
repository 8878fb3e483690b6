/* singular.c - power iteration on A^T B^T B A, which is never formed. */
#include "moe/singular.h"

#include <math.h>
#include <string.h>

#define ITERATIONS 15 /* as in PEFT */

/* out [d] += A^T (B^T B + tiny) A v of expert e at one Linear. Where B is 0, as at first, there is
 * no delta: what the expert reads, A, stands in. work [2, rank] */
static void add_power(
	const struct moe_experts *x, size_t cell, int e, const double *v, double *work, double *out)
{
	struct moe_part A = moe_view_part(x, moe_view_of(x, cell, MOE_ROLE_A), e),
			B = moe_view_part(x, moe_view_of(x, cell, MOE_ROLE_B), e);
	double *av = work, *w = work + A.rows;

	for (size_t q = 0; q < A.rows; q++) { /* av = A v, w = tiny av */
		av[q] = 0;
		for (size_t j = 0; j < A.cols; j++)
			av[q] += (double)x->param[A.off + q * A.ld + j] * v[j];
		w[q] = 1e-20 * av[q];
	}
	for (size_t i = 0; i < B.rows; i++) { /* w += B^T (B av) */
		const moe_real *b = x->param + B.off + i * B.ld;
		double y = 0;

		for (size_t q = 0; q < A.rows; q++)
			y += (double)b[q] * av[q];
		for (size_t q = 0; q < A.rows; q++)
			w[q] += (double)b[q] * y;
	}
	for (size_t q = 0; q < A.rows; q++) /* out += A^T w */
		for (size_t j = 0; j < A.cols; j++)
			out[j] += (double)x->param[A.off + q * A.ld + j] * w[q];
}

void moe_singular_input(const struct moe_experts *x, int s, int e, double *work, moe_real *v)
{
	const struct moe_site *site = &x->site[s];
	size_t d = (size_t)site->d;
	double *now = work, *next = work + d;

	for (size_t j = 0; j < d; j++) /* not at right angles to anything that is trained */
		now[j] = 1 + 0.5 * (double)(j * 7 % 11) - (double)(j % 3) * 2;
	for (int n = 0; n < ITERATIONS; n++) {
		double norm = 0;

		memset(next, 0, d * sizeof(*next));
		for (int l = 0; site->layer >= 0 && l < moe_groups[site->group].n; l++) {
			size_t cell = (size_t)site->layer * MOE_LINEARS +
				(size_t)moe_groups[site->group].lin[l];

			if (x->site_at[cell] == s && moe_view_of(x, cell, MOE_ROLE_A))
				add_power(x, cell, e, now, work + 2 * d, next);
		}
		for (size_t j = 0; j < d; j++)
			norm += next[j] * next[j];
		for (size_t j = 0; j < d && norm > 0; j++)
			now[j] = next[j] / sqrt(norm);
	}
	for (size_t j = 0; j < d; j++)
		v[j] = (moe_real)now[j];
}
