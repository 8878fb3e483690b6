/* real.h - the number type of the engine: float, or double in the build that checks gradients (-DMOE_REAL_F64).
 *
 * The same sources are compiled twice; the float64 build exists only for tests/grad. Losses, norms and softmax sums are
 * accumulated in double in both.
 */
#ifndef MOE_TENSOR_REAL_H
#define MOE_TENSOR_REAL_H

#ifdef MOE_REAL_F64
typedef double moe_real;
#else
typedef float moe_real;
#endif

#endif
