/* real.h - the number type of the engine: float, or double in the build that checks gradients
 * (-DMOE_REAL_F64).
 *
 * The same sources are compiled twice; the float64 build exists only for tests/grad. Losses, norms
 * and softmax sums are accumulated in double in both.
 */
#ifndef MOE_TENSOR_REAL_H
#define MOE_TENSOR_REAL_H

/* How numbers are stored. bf16: the upper half of a float; f16: IEEE binary16. */
enum moe_dtype { MOE_F32, MOE_F16, MOE_BF16, MOE_F64 };

#ifdef MOE_REAL_F64
typedef double moe_real;
#define MOE_REAL_DTYPE MOE_F64
#else
typedef float moe_real;
#define MOE_REAL_DTYPE MOE_F32
#endif

#endif
