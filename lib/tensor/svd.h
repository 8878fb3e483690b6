/* svd.h - singular value decomposition of small dense matrices, by rotations of columns (one-sided
 * Jacobi: Hestenes 1958; Golub and Van Loan, Matrix Computations, 4th ed., 8.6.3).
 *
 * LAPACK is faster and needs no code here, but its bits depend on the processor and on the BLAS
 * below it; an adapter's first weights are part of digests that are held to be equal everywhere. In
 * double, with one order of sums. Meant for weights of a model up to a few thousand wide, once.
 */
#ifndef MOE_TENSOR_SVD_H
#define MOE_TENSOR_SVD_H

#include "util/err.h"

/* a [m, n] = sum over i of s[i] u[i] v[i]^T, i < k = min(m, n); s falls. u [k, m] and v [k, n] hold
 * the singular vectors as rows; u or v may be NULL. The sign is chosen so that the entry of v[i]
 * that is largest in size (the first of equals) is positive. Where s[i] is 0 (below 1e-14 of the
 * largest) the vector of the longer side is 0. MOE_SYSTEM without memory, MOE_NUMERIC when a is not
 * finite. */
int moe_svd(int m, int n, const double *a, double *s, double *u, double *v, struct moe_err *e);

#endif
