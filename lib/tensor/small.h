/* small.h - own kernels for products that are narrow or tiny: those whose inner dimension is at
 * most a panel, with few rows or few columns.
 *
 * Each element is one chain of fused multiply-adds over k in order, whatever m and n are; BLIS's
 * haswell and zen kernels give the same bits but at odd edges. Where the processor has no AVX2 and
 * FMA (and in the float64 build) it is BLIS after all. Measured on zen3, one thread, GFLOP/s here
 * against BLIS: 1x96x96 28/10, 16x96x96 76/53, 45x48x24 70/34, 990x96x96 97/87, 990x256x32 78/55;
 * with the inner dimension long (96x96x990 transposed) 70/91, so weight gradients stay with BLIS.
 * Time counts into moe_gemm_sec. Thread-safe.
 */
#ifndef MOE_TENSOR_SMALL_H
#define MOE_TENSOR_SMALL_H

#include "tensor/real.h"

#include <stdbool.h>

/* Whether this processor and build have the kernels. */
bool moe_gemm_small_ready(void);

/* C[m,n] = op(A)[m,k] B[k,n] + beta C, beta 0 or 1. ta: A is stored [k,m]. Layouts as for moe_gemm.
 */
void moe_gemm_small(bool ta, int m, int n, int k, const moe_real *a, int lda, const moe_real *b,
	int ldb, moe_real beta, moe_real *c, int ldc);

/* The same sum for B stored [n,k] as t (not MOE_F64), and any k, in panels of MOE_GEMM_PANEL:
 * moe_gemm_stored. Only where moe_gemm_small_ready. */
void moe_gemm_small_stored(int m, int n, int k, const moe_real *a, int lda, const void *b,
	enum moe_dtype t, int ldb, moe_real beta, moe_real *c, int ldc);

#endif
