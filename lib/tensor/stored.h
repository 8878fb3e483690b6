/* stored.h - own kernels for B as weights are stored: read once, front to back, and widened on the
 * way. The sum is that of packed.h, to the bit.
 *
 * For AVX2 with FMA and F16C; where a processor lacks them, gemm.c widens first and multiplies
 * then. Thread-safe.
 */
#ifndef MOE_TENSOR_STORED_H
#define MOE_TENSOR_STORED_H

#include "tensor/real.h"

#include <stdbool.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(MOE_REAL_F64)
#define MOE_STORED_KERNELS 1

/* Whether this processor has what they need. */
bool moe_stored_ready(void);

/* moe_gemm_stored (gemm.h) for t other than MOE_F64 and k > 0, where moe_stored_ready. */
void moe_stored_product(int m, int n, int k, const moe_real *a, int lda, const void *b,
	enum moe_dtype t, int ldb, moe_real beta, moe_real *c, int ldc);
#endif

#endif
