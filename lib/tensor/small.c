/* small.c - register-blocked products of narrow shapes on AVX2; elsewhere a call of BLIS. No packing, no threads. */
#include "tensor/small.h"
#include "tensor/gemm.h"

#include <stddef.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(MOE_REAL_F64)
#define HAVE_KERNEL 1
#include <immintrin.h>

#define KERNEL static inline __attribute__((always_inline, target("avx2,fma")))

/* Strides of A: element (i, l) is a[i * rs + l * cs]. */
struct args {
	int k, ldb, ldc;
	size_t rs, cs;
	bool add;
};

KERNEL void store(float *c, __m256 v, bool add)
{
	_mm256_storeu_ps(c, add ? _mm256_add_ps(_mm256_loadu_ps(c), v) : v);
}

/* mr rows (a constant, at most 6) of 16 columns. */
KERNEL void tile16(const int mr, const struct args *g, const float *a, const float *b, float *c)
{
	__m256 lo[6], hi[6];

	for (int r = 0; r < mr; r++)
		lo[r] = hi[r] = _mm256_setzero_ps();
	for (int l = 0; l < g->k; l++) {
		__m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);

#pragma GCC unroll 6
		for (int r = 0; r < mr; r++) {
			__m256 x = _mm256_broadcast_ss(a + (size_t)r * g->rs);

			lo[r] = _mm256_fmadd_ps(x, b0, lo[r]);
			hi[r] = _mm256_fmadd_ps(x, b1, hi[r]);
		}
		a += g->cs;
		b += g->ldb;
	}
	for (int r = 0; r < mr; r++) {
		store(c + (size_t)r * (size_t)g->ldc, lo[r], g->add);
		store(c + (size_t)r * (size_t)g->ldc + 8, hi[r], g->add);
	}
}

KERNEL void tile8(const int mr, const struct args *g, const float *a, const float *b, float *c)
{
	__m256 acc[6];

	for (int r = 0; r < mr; r++)
		acc[r] = _mm256_setzero_ps();
	for (int l = 0; l < g->k; l++) {
		__m256 b0 = _mm256_loadu_ps(b);

#pragma GCC unroll 6
		for (int r = 0; r < mr; r++)
			acc[r] = _mm256_fmadd_ps(_mm256_broadcast_ss(a + (size_t)r * g->rs), b0, acc[r]);
		a += g->cs;
		b += g->ldb;
	}
	for (int r = 0; r < mr; r++)
		store(c + (size_t)r * (size_t)g->ldc, acc[r], g->add);
}

/* The last n < 8 columns. */
KERNEL void tile_tail(const int mr, int n, const struct args *g, const float *a, const float *b, float *c)
{
	__m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
	__m256 acc[6];

	for (int r = 0; r < mr; r++)
		acc[r] = _mm256_setzero_ps();
	for (int l = 0; l < g->k; l++) {
		__m256 b0 = _mm256_maskload_ps(b, mask);

#pragma GCC unroll 6
		for (int r = 0; r < mr; r++)
			acc[r] = _mm256_fmadd_ps(_mm256_broadcast_ss(a + (size_t)r * g->rs), b0, acc[r]);
		a += g->cs;
		b += g->ldb;
	}
	for (int r = 0; r < mr; r++) {
		float *out = c + (size_t)r * (size_t)g->ldc;

		_mm256_maskstore_ps(out, mask, g->add ? _mm256_add_ps(_mm256_maskload_ps(out, mask), acc[r]) : acc[r]);
	}
}

KERNEL void strip(const int mr, int n, const struct args *g, const float *a, const float *b, float *c)
{
	int j = 0;

	for (; j + 16 <= n; j += 16)
		tile16(mr, g, a, b + j, c + j);
	for (; j + 8 <= n; j += 8)
		tile8(mr, g, a, b + j, c + j);
	if (j < n)
		tile_tail(mr, n - j, g, a, b + j, c + j);
}

static __attribute__((target("avx2,fma"))) void columns(int m, int n, const struct args *g, const float *a, const float *b, float *c)
{
	int i = 0;

	for (; i + 6 <= m; i += 6)
		strip(6, n, g, a + (size_t)i * g->rs, b, c + (size_t)i * (size_t)g->ldc);
	a += (size_t)i * g->rs;
	c += (size_t)i * (size_t)g->ldc;
	switch (m - i) {
	case 5:
		strip(5, n, g, a, b, c);
		break;
	case 4:
		strip(4, n, g, a, b, c);
		break;
	case 3:
		strip(3, n, g, a, b, c);
		break;
	case 2:
		strip(2, n, g, a, b, c);
		break;
	case 1:
		strip(1, n, g, a, b, c);
		break;
	default:
		break;
	}
}

/* Blocks of columns: with many rows they are copied first, 16 columns at a time, since rows of B that lie a power of two apart
 * would throw each other out of the first cache. */
enum { BLOCK = 64, DEPTH = 96, MANY = 32 };

static __attribute__((target("avx2,fma"))) void packed_block(int m, int tiles, const struct args *g, const float *a, const float *b, float *c)
{
	float copy[BLOCK * DEPTH] __attribute__((aligned(32)));
	struct args h = *g;

	for (int t = 0; t < tiles; t++)
		for (int l = 0; l < g->k; l++) {
			const float *from = b + (size_t)l * (size_t)g->ldb + 16 * t;
			float *to = copy + (t * g->k + l) * 16;

			_mm256_store_ps(to, _mm256_loadu_ps(from));
			_mm256_store_ps(to + 8, _mm256_loadu_ps(from + 8));
		}
	h.ldb = 16;
	for (int i = 0; i < m; i += 6) {
		int rows = m - i < 6 ? m - i : 6;
		const float *strip_a = a + (size_t)i * g->rs;

		for (int t = 0; t < tiles; t++) {
			float *out = c + (size_t)i * (size_t)g->ldc + 16 * t;

			if (rows == 6)
				tile16(6, &h, strip_a, copy + t * g->k * 16, out);
			else
				columns(rows, 16, &h, strip_a, copy + t * g->k * 16, out);
		}
	}
}

static void product(int m, int n, const struct args *g, const float *a, const float *b, float *c)
{
	int j = 0;

	for (; m >= MANY && g->k <= DEPTH && j + 16 <= n; j += BLOCK) {
		int tiles = n - j < BLOCK ? (n - j) / 16 : BLOCK / 16;

		packed_block(m, tiles, g, a, b + j, c + j);
		if (tiles < BLOCK / 16) {
			j += 16 * tiles;
			break;
		}
	}
	if (j < n)
		columns(m, n - j, g, a, b + j, c + j);
}
#endif

bool moe_gemm_small_ready(void)
{
#ifdef HAVE_KERNEL
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
	return false;
#endif
}

void moe_gemm_small(bool ta, int m, int n, int k, const moe_real *a, int lda, const moe_real *b, int ldb, moe_real beta, moe_real *c, int ldc)
{
#ifdef HAVE_KERNEL
	if (moe_gemm_small_ready()) {
		struct args g = { k, ldb, ldc, ta ? 1 : (size_t)lda, ta ? (size_t)lda : 1, beta != 0 };
		double t0 = moe_gemm_clock();

		product(m, n, &g, a, b, c);
		moe_gemm_spent(t0);
		return;
	}
#endif
	moe_gemm(ta, false, m, n, k, 1, a, lda, b, ldb, beta, c, ldc, 1);
}
