/* rope.c - tables of angles and the rotation. Frequencies (scaling types) are the model's business.
 */
#include "nn/rope.h"
#include "tensor/vec.h"
#include "util/elementary.h"

#include <math.h>
#include <stddef.h>

void moe_rope_table(int n, const int32_t *pos, int hd, const moe_real *inv_freq, double scale,
	moe_real *cos_, moe_real *sin_)
{
	int half = hd / 2;

	for (int i = 0; i < n; i++)
		for (int j = 0; j < half; j++) {
			/* the angle is rounded to moe_real before the cosine, as transformers does
			 */
			moe_real angle = (moe_real)pos[i] * inv_freq[j];
			size_t at = (size_t)i * (size_t)half + (size_t)j;

			cos_[at] = (moe_real)(moe_cos((double)angle) * scale);
			sin_[at] = (moe_real)(moe_sin((double)angle) * scale);
		}
}

MOE_CLONES void moe_rope(int T, int heads, int hd, moe_real *x, int ldx, const moe_real *cos_,
	const moe_real *sin_, bool inverse)
{
	int half = hd / 2;
	moe_real sign = inverse ? -1 : 1;

	for (int t = 0; t < T; t++) {
		const moe_real *c = cos_ + (size_t)t * (size_t)half,
			       *s = sin_ + (size_t)t * (size_t)half;

		for (int h = 0; h < heads; h++) {
			moe_real *restrict a = x + (size_t)t * (size_t)ldx + (size_t)h * (size_t)hd,
					   *restrict b = a + half;

			for (int j = 0; j < half; j++) {
				moe_real u = a[j], v = b[j], w = sign * s[j];

				a[j] = u * c[j] - v * w;
				b[j] = v * c[j] + u * w;
			}
		}
	}
}
