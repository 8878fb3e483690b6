/* router.c - the product of a router with its rows, forward and backward. No gates are made here,
 * and no router is known. */
#include "model/router.h"
#include "tensor/gemm.h"
#include "tensor/vec.h"

const char *const moe_placement_names[MOE_PLACEMENTS] = { "rollout", "token", "layer", "block",
	"group", "linear" };

void moe_router_product(int T, int d, int E, const moe_real *x, int ldx, const moe_real *weight,
	const moe_real *bias, moe_real *logit)
{
	/* logit [T, E] = x [T, d] weight [E, d]^T: the sum of one row does not know the others */
	moe_gemm_stored(T, E, d, x, ldx, weight, MOE_REAL_DTYPE, d, 0, logit, E);
	if (bias)
		moe_vec_add_bias(T, E, bias, logit, E);
}

void moe_router_product_bwd(int T, int d, int E, const moe_real *x, int ldx, const moe_real *weight,
	const moe_real *dlogit, moe_real *dweight, moe_real *dbias, moe_real *dx, int lddx)
{
	/* dweight [E, d] += dlogit [T, E]^T x [T, d] */
	if (dweight)
		moe_gemm(true, false, E, d, T, 1, dlogit, E, x, ldx, 1, dweight, d);
	/* dbias [E] += the sum of dlogit over the rows */
	for (int e = 0; dbias && e < E; e++) {
		double sum = 0;

		for (int t = 0; t < T; t++)
			sum += (double)dlogit[(size_t)t * (size_t)E + (size_t)e];
		dbias[e] += (moe_real)sum;
	}
	/* dx [T, d] += dlogit [T, E] weight [E, d] */
	if (dx)
		moe_gemm(false, false, T, d, E, 1, dlogit, E, weight, d, 1, dx, lddx);
}
