/* half.c - 16-bit floats, one value at a time and in integers alone. The vectorised loops are in
 * tensor/vec.c. */
#include "util/half.h"

#include <string.h>

float moe_f32_from_bf16(uint16_t h)
{
	uint32_t u = (uint32_t)h << 16;
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

uint16_t moe_bf16_from_f32(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	if ((u & 0x7fffffffu) > 0x7f800000u)
		return (uint16_t)(u >> 16 | 0x40u);
	u += 0x7fffu + (u >> 16 & 1u);
	return (uint16_t)(u >> 16);
}

/* IEEE 754 binary16, in integers: subnormals are normalised, infinities and NaN payloads kept. */
float moe_f32_from_f16(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = h >> 10 & 31u, man = h & 0x3ffu, u;
	float f;

	if (exp == 31) {
		u = sign | 0x7f800000u | man << 13;
	} else if (exp) {
		u = sign | (exp + 112) << 23 | man << 13;
	} else if (man) {
		int up = 0;
		while (!(man & 0x400u)) {
			man <<= 1;
			up++;
		}
		u = sign | (uint32_t)(113 - up) << 23 | (man & 0x3ffu) << 13;
	} else {
		u = sign;
	}
	memcpy(&f, &u, sizeof(f));
	return f;
}
