/* gemm.h - matrix products on BLIS. The only door to BLIS; no other file includes blis.h.
 *
 * All matrices are row-major. Shapes are the caller's duty: a wrong one is a bug, not an input
 * error (BLIS aborts or worse). Thread-safe. A product runs in the thread that calls, whatever the
 * environment says: the engine is parallel over batches, not inside of products, for where BLIS
 * cuts a product among threads, edges are summed in another order and the bits would depend on -j.
 *
 * Kernel family: Debian's BLIS 0.9.0 takes its `haswell` kernels when the CPU's name is unknown, as
 * in most virtual machines. Before the first call the AVX-512 family is asked for where the CPU has
 * avx512f/dq/bw/vl/cd, unless the user set BLIS_ARCH_TYPE. Families differ in bits:
 * moe_gemm_describe names the one in use.
 */
#ifndef MOE_TENSOR_GEMM_H
#define MOE_TENSOR_GEMM_H

#include "tensor/real.h"

#include <stdbool.h>

/* C[m,n] = alpha * op(A)[m,k] op(B)[k,n] + beta * C. op transposes where ta/tb: A is then stored
 * [k,m], B [n,k]. ld* = elements from one stored row to the next. beta 0 overwrites C (NaN in it
 * does not matter). m, n, k may be 0. The fast form is the one without tb: at small k it is up to
 * twice as fast, so weights are transposed once per use. */
void moe_gemm(bool ta, bool tb, int m, int n, int k, moe_real alpha, const moe_real *a, int lda,
	const moe_real *b, int ldb, moe_real beta, moe_real *c, int ldc);

/* C[m,n] = A[m,k] B[k,n] + beta * C such that the bits of an element depend on its row of A and
 * column of B alone, never on m, n or the neighbours: the inner dimension is cut into panels of
 * MOE_GEMM_PANEL, within which each element is one chain of fused multiply-adds (small.h; without
 * AVX2 it is BLIS, whose generic kernels keep the property too). tests/unit/test_vec.c asserts it.
 * beta is 0 or 1. In the calling thread. */
#define MOE_GEMM_PANEL 96
void moe_gemm_rows(int m, int n, int k, const moe_real *a, int lda, const moe_real *b, int ldb,
	moe_real beta, moe_real *c, int ldc);
/* The same sum, to the bit, for B as weights are stored: [n,k] of dtype t (rows ldb numbers apart).
 * Reads B once, from front to back. */
void moe_gemm_stored(int m, int n, int k, const moe_real *a, int lda, const void *b,
	enum moe_dtype t, int ldb, moe_real beta, moe_real *c, int ldc);

/* Wall seconds spent inside products by the calling thread, since it started. */
double moe_gemm_sec(void);
/* For products made elsewhere (small.c): the clock, and its time since t0 added to the thread's
 * seconds. */
double moe_gemm_clock(void);
void moe_gemm_spent(double t0);

/* "BLIS 0.9.0, zen3 kernels; own AVX2 kernels for narrow products". Static storage. Starts BLIS
 * when that has not happened. */
const char *moe_gemm_describe(void);

#endif
