/* gemm.h - matrix products. The only door to them, and to BLIS: no other file includes blis.h.
 *
 * All matrices are row-major. Shapes are the caller's duty: a wrong one is a bug, not an input
 * error (BLIS aborts or worse). Thread-safe. A product runs in the thread that calls, whatever the
 * environment says: the engine is parallel over batches, not inside of products, for where a
 * library cuts a product among threads, edges are summed in another order and the bits would depend
 * on -j.
 *
 * Kernels. `portable` (the default): our own (packed.h), whose bits are the same on every
 * processor, for any shape and any vector width. `native`: large products by BLIS, in the kernel
 * family of this processor. Families differ in bits, so a run on another processor is another run.
 * Debian's BLIS 0.9.0 takes its `haswell` kernels when the CPU's name is unknown, as in most
 * virtual machines; the AVX-512 family is asked for where the CPU has avx512f/dq/bw/vl/cd, unless
 * the user set BLIS_ARCH_TYPE. moe_gemm_describe names what is in use. The float64 build, which
 * only checks gradients, has BLIS alone.
 */
#ifndef MOE_TENSOR_GEMM_H
#define MOE_TENSOR_GEMM_H

#include "tensor/packed.h"
#include "tensor/real.h"

#include <stdbool.h>

/* "portable" or "native"; false for another word. Call before the first product. Else the
 * environment variable MOE_KERNELS decides, else portable. */
bool moe_kernels_choose(const char *name);
/* What a stream says of the kernels that made its numbers: "portable", which is the same
 * everywhere, or "BLIS 0.9.0, zen3 kernels". Static storage. */
const char *moe_kernels(void);

/* C[m,n] = alpha * op(A)[m,k] op(B)[k,n] + beta * C. op transposes where ta/tb: A is then stored
 * [k,m], B [n,k]. ld* = elements from one stored row to the next. beta 0 overwrites C (NaN in it
 * does not matter). m, n, k may be 0. */
void moe_gemm(bool ta, bool tb, int m, int n, int k, moe_real alpha, const moe_real *a, int lda,
	const moe_real *b, int ldb, moe_real beta, moe_real *c, int ldc);

/* C[m,n] = A[m,k] B[k,n] + beta * C such that the bits of an element depend on its row of A and
 * column of B alone, never on m, n or the neighbours, whatever the kernels: packed.h. With portable
 * kernels moe_gemm has this property too. tests/unit/test_vec.c asserts it. beta is 0 or 1. */
void moe_gemm_rows(int m, int n, int k, const moe_real *a, int lda, const moe_real *b, int ldb,
	moe_real beta, moe_real *c, int ldc);
/* The same sum, to the bit, for a B that many products use: moe_gemm_ready copies op(B) [k,n] into
 * `to` (moe_gemm_ready_size numbers) in the order in which products read it, and
 * moe_gemm_rows_ready takes that copy. The order belongs to this processor. */
size_t moe_gemm_ready_size(int n, int k);
void moe_gemm_ready(bool tb, int n, int k, const moe_real *b, int ldb, moe_real *to);
void moe_gemm_rows_ready(int m, int n, int k, const moe_real *a, int lda, const moe_real *ready,
	moe_real beta, moe_real *c, int ldc);
/* The same sum, to the bit, for B as weights are stored: [n,k] of dtype t (rows ldb numbers apart).
 * Reads B once, from front to back. */
void moe_gemm_stored(int m, int n, int k, const moe_real *a, int lda, const void *b,
	enum moe_dtype t, int ldb, moe_real beta, moe_real *c, int ldc);

/* Wall seconds spent inside products of more than 64^3 multiply-adds by the calling thread, since
 * it started. */
double moe_gemm_sec(void);

/* "portable kernels (AVX-512)" or "BLIS 0.9.0, zen3 kernels". Static storage. */
const char *moe_gemm_describe(void);

#endif
