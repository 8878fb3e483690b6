/* act.c - SwiGLU forward and backward. Works in blocks so that the exponentials stay in the first cache. */
#include "nn/act.h"
#include "tensor/vec.h"

enum { BLOCK = 256 };

/* s[i] = sigmoid(g[i]); exp is clamped, so no overflow. */
static inline __attribute__((always_inline)) void sigmoid_block(size_t n, const moe_real *g, moe_real *s)
{
	for (size_t i = 0; i < n; i++)
		s[i] = -g[i];
	moe_vec_exp(n, s, s);
	for (size_t i = 0; i < n; i++)
		s[i] = 1 / (1 + s[i]);
}

MOE_CLONES void moe_swiglu(size_t n, const moe_real *g, const moe_real *u, moe_real *a)
{
	moe_real s[BLOCK];

	for (size_t at = 0; at < n; at += BLOCK) {
		size_t w = n - at < BLOCK ? n - at : BLOCK;

		sigmoid_block(w, g + at, s);
		for (size_t i = 0; i < w; i++)
			a[at + i] = g[at + i] * s[i] * u[at + i];
	}
}

MOE_CLONES void moe_swiglu_bwd(size_t n, const moe_real *g, const moe_real *u, const moe_real *da, moe_real *dg, moe_real *du, moe_real *a)
{
	moe_real s[BLOCK];

	for (size_t at = 0; at < n; at += BLOCK) {
		size_t w = n - at < BLOCK ? n - at : BLOCK;

		sigmoid_block(w, g + at, s);
		if (a)
			for (size_t i = 0; i < w; i++)
				a[at + i] = g[at + i] * s[i] * u[at + i];
		for (size_t i = 0; i < w; i++) {
			moe_real d = da[at + i], gi = g[at + i], ui = u[at + i];

			du[at + i] = d * gi * s[i];
			dg[at + i] = d * ui * s[i] * (1 + gi * (1 - s[i]));
		}
	}
}
