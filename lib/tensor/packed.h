/* packed.h - whole matrix products out of tiles (tile.h): the product whose bits are the same on
 * every processor.
 *
 *     C[m,n] = alpha op(A)[m,k] op(B)[k,n] + beta C
 *
 * k is cut into panels of MOE_GEMM_PANEL; within one, an element is one chain of fused
 * multiply-adds, and the panels' results are added to C in order. An element's bits depend on its
 * row of A and its column of B alone - not on m, n, the neighbours, the transposition, the vector
 * width or the processor. float only. No threads; the caller's buffers may not overlap.
 */
#ifndef MOE_TENSOR_PACKED_H
#define MOE_TENSOR_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#define MOE_GEMM_PANEL 96

/* Arguments as for moe_gemm (gemm.h); m, n >= 1. */
void moe_gemm_packed(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda,
	const float *b, int ldb, float beta, float *c, int ldc);

/* The same for a B of many products, copied once into the order in which tiles read it: floats of
 * the copy, the copy of op(B) [k,n], and C = A copy + beta C with beta 0 or 1. The order belongs to
 * the tile of this processor: it is not for files. */
size_t moe_gemm_packed_size(int n, int k);
void moe_gemm_packed_make(bool tb, int n, int k, const float *b, int ldb, float *to);
void moe_gemm_packed_use(int m, int n, int k, const float *a, int lda, const float *bp, float beta,
	float *c, int ldc);

#endif
