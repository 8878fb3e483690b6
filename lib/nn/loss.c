/* loss.c - softmax and log-sum-exp of a row. All three forms add in the same order, so they agree
 * bit for bit. */
#include "nn/loss.h"
#include "tensor/vec.h"
#include "util/elementary.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 256 };

/* z becomes exp((z - top) * inv_temp); returns the sum. *dot (NULL = not wanted) = sum of exp(..) *
 * z. */
static double exp_row(size_t n, moe_real *z, moe_real top, double inv_temp, double *dot)
{
	double sum = 0;

	if (dot)
		*dot = 0;
	for (size_t at = 0; at < n; at += BLOCK) {
		size_t w = n - at < BLOCK ? n - at : BLOCK;
		moe_real keep[BLOCK];

		if (dot)
			memcpy(keep, z + at, w * sizeof(*keep));
		sum += moe_vec_exp_sum(w, z + at, top, (moe_real)inv_temp);
		if (dot)
			*dot += moe_vec_dot(w, z + at, keep);
	}
	return sum;
}

double moe_softmax_row(size_t n, moe_real *z, double inv_temp, double *entropy)
{
	moe_real top = moe_vec_max(n, z);
	double dot, sum = exp_row(n, z, top, inv_temp, entropy ? &dot : NULL),
		    lse = (double)top * inv_temp + moe_log(sum);

	if (entropy)
		*entropy = lse - dot / sum * inv_temp;
	moe_vec_scale(n, (moe_real)(1 / sum), z);
	return lse;
}

double moe_logsumexp(size_t n, const moe_real *z, double inv_temp, moe_real *scratch)
{
	moe_real top = moe_vec_max(n, z);

	memcpy(scratch, z, n * sizeof(*z));
	return (double)top * inv_temp + moe_log(exp_row(n, scratch, top, inv_temp, NULL));
}
