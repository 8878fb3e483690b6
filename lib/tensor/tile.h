/* tile.h - the innermost loop of our own matrix products, one implementation per instruction set.
 *
 * A tile is C[mr, nr] += A[mr, k] B[k, nr], kept in registers while k runs. Each element is one
 * chain of fused multiply-adds over k, in order, from 0:
 *
 *     acc = fma(a[r, k-1], b[k-1, j], ... fma(a[r, 1], b[1, j], fma(a[r, 0], b[0, j], 0)))
 *     C[r, j] = add ? C[r, j] + alpha acc : alpha acc
 *
 * A wider vector holds more columns; it never changes the chain of one. So AVX2, AVX-512, NEON and
 * plain C give the same bits, and a tile of one row gives the bits of a tile of twelve.
 * float only: the float64 build, which only checks gradients, leaves products to BLIS.
 */
#ifndef MOE_TENSOR_TILE_H
#define MOE_TENSOR_TILE_H

#include <stdbool.h>
#include <stddef.h>

/* Strides are in elements. a[r * rs + l * cs], b[l * ldb + j], c[r * ldc + j]. */
struct moe_tile_args {
	int k;
	size_t rs, cs, ldb, ldc;
	float alpha;
	bool add;
};

struct moe_tile {
	const char *name; /* "AVX-512" */
	int mr, nr;       /* the largest tile; nr is even */
	/* 1 <= rows <= mr; reads and writes nr columns, or with half the first nr / 2. c may not
	 * overlap a or b. */
	void (*run)(int rows, bool half, const struct moe_tile_args *g, const float *a,
		const float *b, float *c);
};

/* The widest of this processor, chosen once. The environment variable MOE_TILE (avx512, avx2, neon,
 * plain) picks a narrower one, so that a test can hold one against another; one that the processor
 * lacks is not taken. Static storage; thread-safe. */
const struct moe_tile *moe_tile(void);

extern const struct moe_tile moe_tile_plain;
#if defined(__x86_64__) && defined(__GNUC__)
#define MOE_TILE_X86 1
extern const struct moe_tile moe_tile_avx2, moe_tile_avx512;
#elif defined(__aarch64__)
#define MOE_TILE_NEON 1
extern const struct moe_tile moe_tile_neon;
#endif

#endif
