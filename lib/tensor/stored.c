/* stored.c - products with weights as they are stored, on AVX2: what decoding a large model does. A
 * panel of 16 columns at a time (of many rows on AVX-512 32, a whole tile's) is turned into a
 * tile's order; tile.h has the arithmetic. No threads.
 */
#include "tensor/stored.h"
#include "tensor/gemm.h"
#include "tensor/tile.h"
#include "tensor/vec.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#ifdef MOE_STORED_KERNELS
#include <cpuid.h>
#include <immintrin.h>

#define TARGET target("avx2,fma,f16c")
#define KERNEL static inline __attribute__((always_inline, TARGET))

/* Columns of a panel: of few rows and of MANY; the most that a panel may have. */
enum { TILE = 16, MANY = 48, TILE_MAX = 32, LINE = 64 };

KERNEL void store(float *c, __m256 v, bool add)
{
	_mm256_storeu_ps(c, add ? _mm256_add_ps(_mm256_loadu_ps(c), v) : v);
}

/* What to bring nearer meanwhile: `rows` rows of `lines` cache lines, `stride` bytes apart. */
struct ahead {
	const char *at;
	size_t stride;
	int rows, lines;
	const char *
		piece; /* of one row of A: the same bytes of the panels after these, in one piece */
};

/* Share i of n of it. */
static void fetch_share(const struct ahead *next, int i, int n)
{
	int all = next->rows * next->lines, end = all * (i + 1) / n;

	for (int l = all * i / n; l < end; l++)
		__builtin_prefetch(next->at + (size_t)(l % next->rows) * next->stride +
			(size_t)(l / next->rows) * LINE);
}

/* The first six rows of a panel of TILE columns, which also bring the next panel nearer: the other
 * rows come after, from tile.h. The chains of both are the same. */
static __attribute__((TARGET)) void first_rows(const struct moe_tile_args *g, const float *a,
	const float *b, float *c, const struct ahead *next)
{
	__m256 lo[6], hi[6];

#pragma GCC unroll 6
	for (int r = 0; r < 6; r++)
		lo[r] = hi[r] = _mm256_setzero_ps();
	for (int l = 0; l < g->k; l++, a += g->cs, b += TILE) {
		__m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);

		if (l < TILE * next->lines)
			__builtin_prefetch(next->at + (size_t)(l % TILE) * next->stride +
				(size_t)(l / TILE) * LINE);
#pragma GCC unroll 6
		for (int r = 0; r < 6; r++) {
			__m256 x = _mm256_broadcast_ss(a + (size_t)r * g->rs);

			lo[r] = _mm256_fmadd_ps(x, b0, lo[r]);
			hi[r] = _mm256_fmadd_ps(x, b1, hi[r]);
		}
	}
#pragma GCC unroll 6
	for (int r = 0; r < 6; r++) {
		store(c + (size_t)r * TILE, lo[r], g->add);
		store(c + (size_t)r * TILE + 8, hi[r], g->add);
	}
}

/* ---- B stored [n,k] ---- */

struct stored {
	const char *at;
	enum moe_dtype t;
	size_t stride; /* bytes from one column to the next */
};

/* Four numbers at p in the low half and four at q in the high one, widened to float: bf16 by a
 * shift, f16 by the processor. */
KERNEL __m256 pair(const enum moe_dtype t, const char *p, const char *q)
{
	__m128i halves;

	if (t == MOE_F32)
		return _mm256_insertf128_ps(
			_mm256_castps128_ps256(_mm_loadu_ps((const float *)(const void *)p)),
			_mm_loadu_ps((const float *)(const void *)q), 1);
	halves = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(const void *)p),
		_mm_loadl_epi64((const __m128i *)(const void *)q));
	return t == MOE_BF16
		? _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))
		: _mm256_cvtph_ps(halves);
}

/* out[8]: eight columns of eight numbers -> their transpose, out[l] = number l of columns 0 to 7.
 * Columns 0 to 3 are at p, 4 to 7 at q. */
KERNEL void turn8(const enum moe_dtype t, const char *p, const char *q, size_t stride, __m256 *out)
{
	size_t four = t == MOE_F32 ? 16 : 8;
	__m256 r[8], u[8];

	/* r[i + 4 j]: numbers 4j to 4j + 3 of column i, and of column i + 4 in the high half */
	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < 2; j++)
			r[i + 4 * j] = pair(
				t, p + i * stride + j * four, q + i * stride + j * four);
	/* in each half a 4 x 4 transpose: neighbours are zipped, then pairs of them */
	for (int i = 0; i < 8; i += 2) {
		u[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
		u[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
	}
	for (int i = 0; i < 8; i += 4)
		for (int j = 0; j < 2; j++) {
			out[i + 2 * j] = _mm256_shuffle_ps(u[i + j], u[i + 2 + j], 0x44);
			out[i + 2 * j + 1] = _mm256_shuffle_ps(u[i + j], u[i + 2 + j], 0xee);
		}
}

/* What copy8 needs four cache lines later, of each of the eight columns. */
KERNEL void fetch8(const char *p, const char *q, size_t stride)
{
	for (size_t i = 0; i < 4; i++) {
		__builtin_prefetch(p + i * stride + 4 * LINE);
		__builtin_prefetch(q + i * stride + 4 * LINE);
	}
}

/* Else the compiler keeps a pointer for each of eight columns, has too few registers for them, and
 * spends more time on them than on the numbers. */
#define FORGET(p) __asm__("" : "+r"(p))

/* Eight columns, k deep, to eight columns of `to` [k, w]. Returns how deep it went: whole eights.
 */
KERNEL int copy8(const enum moe_dtype t, const bool fetch, const int w, int k, const char *p,
	size_t stride, float *to)
{
	const char *q = p + 4 * stride;
	size_t eight = t == MOE_F32 ? 32 : 16;
	int l = 0;

	for (; l + 8 <= k; l += 8, p += eight, q += eight, to += 8 * w) {
		__m256 r[8];

		FORGET(p);
		FORGET(q);
		if (fetch)
			fetch8(p, q, stride);
		turn8(t, p, q, stride, r);
		for (int i = 0; i < 8; i++)
			_mm256_store_ps(to + w * i, r[i]);
	}
	return l;
}

/* Copies n <= w columns, k deep, to `to` [k, w]; columns past n are 0. */
KERNEL void copy_tile(const enum moe_dtype t, const bool fetch, const int w, int n, int k,
	const struct stored *b, float *to)
{
	float wide[MOE_GEMM_PANEL];
	int l = 0;

	for (int j = 0; n == w && j < w; j += 8)
		l = copy8(t, fetch, w, k, b->at + (size_t)j * b->stride, b->stride, to + j);
	/* the rest, column by column: the last k % 8 numbers, or all of a panel that is not full */
	for (int j = 0; l < k && j < w; j++) {
		if (j < n)
			moe_widen(t, (size_t)k, b->at + (size_t)j * b->stride, wide);
		for (int i = l; i < k; i++)
			to[w * i + j] = j < n ? wide[i] : 0;
	}
}

/* The dtype becomes a constant of the loops below it. */
KERNEL void copy_dtype(
	const bool fetch, const int w, int n, int k, const struct stored *b, float *to)
{
	if (b->t == MOE_F32)
		copy_tile(MOE_F32, fetch, w, n, k, b, to);
	else if (b->t == MOE_BF16)
		copy_tile(MOE_BF16, fetch, w, n, k, b, to);
	else
		copy_tile(MOE_F16, false, w, n, k, b, to);
}

static __attribute__((noinline, TARGET)) void copy_any(
	bool fetch, int w, int n, int k, const struct stored *b, float *to)
{
	if (w != TILE)
		copy_dtype(false, TILE_MAX, n, k, b, to);
	else if (fetch)
		copy_dtype(true, TILE, n, k, b, to);
	else
		copy_dtype(false, TILE, n, k, b, to);
}

/* One row and TILE columns, without a copy; k a multiple of 8. next: bytes that are needed later,
 * as many as these, in one piece. */
KERNEL void one_row(const enum moe_dtype t, int k, const float *a, const struct stored *b, bool add,
	float *c, const char *next)
{
	size_t s = b->stride, eight = t == MOE_F32 ? 32 : 16;
	const char *b0 = b->at, *b1 = b0 + 4 * s, *b2 = b1 + 4 * s, *b3 = b2 + 4 * s;
	__m256 lo = _mm256_setzero_ps(), hi = _mm256_setzero_ps(), r[8];

	for (int l = 0; l < k; l += 8, a += 8, b0 += eight, b1 += eight, b2 += eight, b3 += eight) {
		FORGET(b0);
		FORGET(b1);
		FORGET(b2);
		FORGET(b3);
		for (size_t i = 0; i < TILE * eight; i += LINE, next += LINE)
			__builtin_prefetch(next);
		/* columns 0 to 7, then 8 to 15: each sum is one chain of fused multiply-adds in the
		 * order of k, as in the tile */
		turn8(t, b0, b1, s, r);
		for (int i = 0; i < 8; i++)
			lo = _mm256_fmadd_ps(_mm256_broadcast_ss(a + i), r[i], lo);
		turn8(t, b2, b3, s, r);
		for (int i = 0; i < 8; i++)
			hi = _mm256_fmadd_ps(_mm256_broadcast_ss(a + i), r[i], hi);
	}
	store(c, lo, add);
	store(c + 8, hi, add);
}

static __attribute__((TARGET)) void one_row_any(
	int k, const float *a, const struct stored *b, bool add, float *c, const char *next)
{
	if (b->t == MOE_F32)
		one_row(MOE_F32, k, a, b, add, c, next);
	else if (b->t == MOE_BF16)
		one_row(MOE_BF16, k, a, b, add, c, next);
	else
		one_row(MOE_F16, k, a, b, add, c, next);
}

/* c[m, w] = or += one panel of k: m rows of n <= w columns, w = TILE or the tile's own. next: what
 * comes after it, or at NULL. */
static __attribute__((TARGET)) void stored_panel(int m, int n, int w, const struct moe_tile *t,
	const struct moe_tile_args *g, const float *a, const struct stored *b, float *c,
	const struct ahead *next)
{
	float copy[TILE_MAX * MOE_GEMM_PANEL] __attribute__((aligned(64)));
	int i = 0, blocks = (m + t->mr - 1) / t->mr;

	if (m == 1 && n == TILE && g->k % 8 == 0) {
		one_row_any(g->k, a, b, g->add, c, next->piece);
		return;
	}
	/* B's panel [k, w] as floats, read once for all m rows. Below six rows the copy itself
	 * fetches ahead, else first_rows or fetch_share do */
	copy_any(m < 6, w, n, g->k, b, copy);
	if (m >= 6 && m < MANY && next->at) {
		first_rows(g, a, copy, c, next);
		i = 6;
	}
	for (; i < m; i += t->mr) {
		if (m >= MANY && next->at)
			fetch_share(next, i / t->mr, blocks);
		t->run(m - i < t->mr ? m - i : t->mr, t->nr != w, g, a + (size_t)i * g->rs, copy,
			c + (size_t)i * (size_t)w);
	}
}

/* m <= ROWS rows of n <= w columns, all of k. Sums are kept beside one another: rows of C may lie a
 * power of two apart. */
enum { ROWS = 128 };
static void stored_tile(int m, int n, int w, const struct moe_tile *t, int k, const float *a,
	int lda, const struct stored *b, bool last, bool add, float *c, int ldc)
{
	float sum[ROWS * TILE_MAX] __attribute__((aligned(64)));

	/* 1. what C has already, if the product is added to it */
	for (int r = 0; add && r < m; r++)
		for (int j = 0; j < w; j++)
			sum[r * w + j] = j < n ? c[(size_t)r * (size_t)ldc + (size_t)j] : 0;
	/* 2. sum [m, w] += A's columns p .. p + len - 1 times B's, panel after panel. next: the
	 * same columns' next panel, else the first one of the next w columns, if there are any */
	for (int p = 0; p < k; p += MOE_GEMM_PANEL) {
		int len = k - p < MOE_GEMM_PANEL ? k - p : MOE_GEMM_PANEL;
		size_t size = moe_dtype_size(b->t);
		struct stored from = { b->at + (size_t)p * size, b->t, b->stride };
		struct moe_tile_args g = { len, (size_t)lda, 1, (size_t)w, (size_t)w, 1,
			add || p > 0 };
		struct ahead next = { p + len < k ? from.at + (size_t)len * size
				: last            ? NULL
						  : b->at + (size_t)w * b->stride,
			b->stride, w, len * (int)size / LINE,
			b->at + (size_t)w * b->stride + (size_t)(p * w) * size };

		stored_panel(m, n, w, t, &g, a + p, &from, sum, &next);
	}
	/* 3. the n columns that there are to C */
	for (int r = 0; r < m; r++) {
		float *to = c + (size_t)r * (size_t)ldc;

		if (n == TILE_MAX) /* known to the compiler: some vectors, no call */
			memcpy(to, sum + r * w, TILE_MAX * sizeof(*c));
		else if (n == TILE)
			memcpy(to, sum + r * w, TILE * sizeof(*c));
		else
			memcpy(to, sum + r * w, (size_t)n * sizeof(*c));
	}
}

bool moe_stored_ready(void)
{
	static atomic_int
		known; /* 1 no, 2 yes: in a virtual machine cpuid costs more than many a product */
	unsigned a, b, c, d; /* clang 14 does not know "f16c" */
	int yes = atomic_load_explicit(&known, memory_order_relaxed);

	if (!yes) {
		yes = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
				__get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C)
			? 2
			: 1;
		atomic_store_explicit(&known, yes, memory_order_relaxed);
	}
	return yes == 2;
}

void moe_stored_product(int m, int n, int k, const moe_real *a, int lda, const void *b,
	enum moe_dtype t, int ldb, moe_real beta, moe_real *c, int ldc)
{
	size_t stride = (size_t)ldb * moe_dtype_size(t);
	const struct moe_tile *tile = moe_tile();

	if (tile->nr != TILE && tile->nr != TILE_MAX)
		tile = &moe_tile_avx2;
	/* C [m, n] in blocks of ROWS rows and w columns: b is read once for each block of rows */
	for (int i = 0; i < m; i += ROWS) {
		int rows = m - i < ROWS ? m - i : ROWS, w = rows < MANY ? TILE : tile->nr;

		for (int j = 0; j < n; j += w) {
			struct stored from = { (const char *)b + (size_t)j * stride, t, stride };

			stored_tile(rows, n - j < w ? n - j : w, w, tile, k,
				a + (size_t)i * (size_t)lda, lda, &from, n - j < 2 * w, beta != 0,
				c + (size_t)i * (size_t)ldc + j, ldc);
		}
	}
}
#endif
