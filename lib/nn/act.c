/* act.c - SwiGLU forward and backward. Works in blocks so that the exponentials stay in the first
 * cache. */
#include "nn/act.h"
#include "tensor/vec.h"

enum { BLOCK = 256 };

/* s[i] = sigmoid(g[i]); exp is clamped, so no overflow. */
static inline __attribute__((always_inline)) void sigmoid_block(
	size_t n, const moe_real *g, moe_real *s)
{
	for (size_t i = 0; i < n; i++)
		s[i] = -g[i];
	moe_vec_exp(n, s, s);
	for (size_t i = 0; i < n; i++)
		s[i] = 1 / (1 + s[i]);
}

static inline __attribute__((always_inline)) void apply_block(
	size_t n, const moe_real *g, const moe_real *u, const moe_real *s, moe_real *a)
{
	for (size_t i = 0; i < n; i++)
		a[i] = g[i] * s[i] * u[i];
}

MOE_CLONES void moe_swiglu(size_t n, const moe_real *g, const moe_real *u, moe_real *a)
{
	moe_real s[BLOCK];

	for (size_t at = 0; at < n; at += BLOCK) {
		size_t w = n - at < BLOCK ? n - at : BLOCK;

		sigmoid_block(w, g + at, s);
		apply_block(w, g + at, u + at, s, a + at);
	}
}

MOE_CLONES void moe_swiglu_keep(
	size_t n, const moe_real *g, const moe_real *u, moe_real *a, moe_real *s)
{
	for (size_t at = 0; at < n; at += BLOCK) {
		size_t w = n - at < BLOCK ? n - at : BLOCK;

		sigmoid_block(w, g + at, s + at);
		apply_block(w, g + at, u + at, s + at, a + at);
	}
}

MOE_CLONES void moe_swiglu_bwd(size_t n, const moe_real *g, const moe_real *u, const moe_real *s,
	const moe_real *da, moe_real *dg, moe_real *du)
{
	for (size_t i = 0; i < n; i++) {
		moe_real d = da[i], gi = g[i], ui = u[i], si = s[i];

		du[i] = d * gi * si;
		dg[i] = d * ui * si * (1 + gi * (1 - si));
	}
}
