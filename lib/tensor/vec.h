/* vec.h - the hot loops that are not matrix products: exponentials, sums, copies, half floats.
 *
 * Each is compiled for several instruction sets and chosen at start-up (target_clones); no clone
 * contracts or reorders, so all give the same bits. Sums run in eight double lanes (lane = index
 * mod 8), folded in a fixed order: bits depend on the data and its length alone. Arrays may not
 * overlap unless said. Thread-safe.
 */
#ifndef MOE_TENSOR_VEC_H
#define MOE_TENSOR_VEC_H

#include "tensor/real.h"

#include <stddef.h>
#include <stdint.h>

/* Sanitizers intercept before the resolvers of clones can run; clang 14 has no architecture levels.
 */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
	!defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MOE_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define MOE_CLONES
#endif

/* y[i] = exp(x[i]); y may be x. float: relative error below 2e-7, 0 below -87.3, largest finite
 * above 88.3; NaN stays NaN. */
void moe_vec_exp(size_t n, const moe_real *x, moe_real *y);
/* x[i] = exp((x[i] - shift) * scale), and the sum of the results. The softmax of a row. */
double moe_vec_exp_sum(size_t n, moe_real *x, moe_real shift, moe_real scale);
moe_real moe_vec_max(size_t n, const moe_real *x); /* n > 0 */
double moe_vec_sum(size_t n, const moe_real *x);
double moe_vec_dot(size_t n, const moe_real *x, const moe_real *y);
double moe_vec_sumsq(size_t n, const moe_real *x);
void moe_vec_add(size_t n, const moe_real *x, moe_real *y);              /* y += x */
void moe_vec_axpy(size_t n, moe_real a, const moe_real *x, moe_real *y); /* y += a x */
void moe_vec_scale(size_t n, moe_real a, moe_real *x);                   /* x *= a */
/* y[rows, cols] += b[cols] */
void moe_vec_add_bias(int rows, int cols, const moe_real *b, moe_real *y, int ldy);
/* y[cols] += sum over rows of x; in double */
void moe_vec_sum_rows(int rows, int cols, const moe_real *x, int ldx, moe_real *y);
/* y[cols, rows] = transposed x[rows, cols] */
void moe_transpose(int rows, int cols, const moe_real *x, int ldx, moe_real *y, int ldy);

/* Widening of stored weights. */
size_t moe_dtype_size(enum moe_dtype t);
void moe_widen(enum moe_dtype t, size_t n, const void *x, moe_real *y);

#endif
