/* half.h - one 16-bit float to a float and back. Every format that stores such numbers uses these.
 *
 * bf16 is the upper half of a float; f16 is IEEE 754 binary16. Pure functions; thread-safe.
 * Widening is exact (infinities, subnormals and the payload of a NaN are kept).
 */
#ifndef MOE_UTIL_HALF_H
#define MOE_UTIL_HALF_H

#include <stdint.h>

float moe_f32_from_f16(uint16_t h);
float moe_f32_from_bf16(uint16_t h);
/* Rounds to the nearest, ties to even; a NaN stays a NaN and is quiet. */
uint16_t moe_bf16_from_f32(float f);

#endif
