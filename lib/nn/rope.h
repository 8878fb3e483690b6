/* rope.h - rotary positions (Su et al. 2021) in the Hugging Face layout: halves are rotated, not
 * interleaved pairs.
 *
 * Thread-safe.
 */
#ifndef MOE_NN_ROPE_H
#define MOE_NN_ROPE_H

#include "tensor/real.h"

#include <stdbool.h>
#include <stdint.h>

/* cos, sin [n, hd/2] of the angles pos[i] * inv_freq[j], times `scale` (1 but for yarn). */
void moe_rope_table(int n, const int32_t *pos, int hd, const moe_real *inv_freq, double scale,
	moe_real *cos_, moe_real *sin_);
/* Rotates x[T, heads*hd] (row stride ldx) in place by row t of cos, sin [T, hd/2]. inverse = the
 * transpose, for the backward pass. */
void moe_rope(int T, int heads, int hd, moe_real *x, int ldx, const moe_real *cos_,
	const moe_real *sin_, bool inverse);

#endif
