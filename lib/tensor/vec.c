/* vec.c - vectorised loops over plain arrays. Written so that the compiler vectorises them without
 * being allowed to reorder. */
#include "tensor/vec.h"
#include "util/elementary.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__) && defined(__GNUC__) && !defined(MOE_REAL_F64)
#include <immintrin.h>
#define HAVE_TURN 1 /* transposes in registers */
#endif

#define LANES 8

#ifdef MOE_REAL_F64
static inline double exp_one(double x)
{
	return moe_exp(x);
}
#else
/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2: ln 2 in two parts, the minimax
 * polynomial of the Cephes library (coefficients near 1/k!), n put into the exponent; the range is
 * cut where 2^n would no longer be a normal float. */
static inline float exp_one(float x)
{
	const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
	float c = x < -87.33f ? -87.33f : x > 88.37f ? 88.37f : x;
	float t = c * 1.44269504f + magic, n = t - magic, r, p, s;
	uint32_t bits; /* unsigned: a NaN may wrap round */

	memcpy(&bits, &t, sizeof(bits));
	bits = (bits - 0x4B400000u + 127u) << 23; /* 2^n, -126 <= n <= 127 */
	memcpy(&s, &bits, sizeof(s));
	r = c - n * 0.693359375f;
	r = r + n * 2.12194440e-4f;
	p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1.0f;
	p = p * s;
	p = x < -87.33f ? 0.0f : p;
	return x != x ? x : p;
}
#endif

static inline double fold(const double lane[LANES])
{
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
		((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

MOE_CLONES void moe_vec_exp(size_t n, const moe_real *x, moe_real *y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = exp_one(x[i]);
}

MOE_CLONES double moe_vec_exp_sum(size_t n, moe_real *x, moe_real shift, moe_real scale)
{
	double lane[LANES] = { 0 };
	size_t whole = n - n % LANES;

	for (size_t i = 0; i < n; i++)
		x[i] = exp_one((x[i] - shift) * scale);
	for (size_t i = 0; i < whole; i += LANES)
		for (size_t j = 0; j < LANES; j++)
			lane[j] += (double)x[i + j];
	for (size_t j = 0; j < n - whole; j++)
		lane[j] += (double)x[whole + j];
	return fold(lane);
}

MOE_CLONES moe_real moe_vec_max(size_t n, const moe_real *x)
{
	moe_real lane[LANES], best;
	size_t whole = n - n % LANES;

	for (size_t j = 0; j < LANES; j++)
		lane[j] = x[0];
	for (size_t i = 0; i < whole; i += LANES)
		for (size_t j = 0; j < LANES; j++)
			lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
	best = lane[0];
	for (size_t j = 1; j < LANES; j++)
		best = lane[j] > best ? lane[j] : best;
	for (size_t i = whole; i < n; i++)
		best = x[i] > best ? x[i] : best;
	return best;
}

MOE_CLONES double moe_vec_sum(size_t n, const moe_real *x)
{
	double lane[LANES] = { 0 };
	size_t whole = n - n % LANES;

	for (size_t i = 0; i < whole; i += LANES)
		for (size_t j = 0; j < LANES; j++)
			lane[j] += (double)x[i + j];
	for (size_t j = 0; j < n - whole; j++)
		lane[j] += (double)x[whole + j];
	return fold(lane);
}

MOE_CLONES double moe_vec_dot(size_t n, const moe_real *x, const moe_real *y)
{
	double lane[LANES] = { 0 };
	size_t whole = n - n % LANES;

	for (size_t i = 0; i < whole; i += LANES)
		for (size_t j = 0; j < LANES; j++)
			lane[j] += (double)x[i + j] * (double)y[i + j];
	for (size_t j = 0; j < n - whole; j++)
		lane[j] += (double)x[whole + j] * (double)y[whole + j];
	return fold(lane);
}

double moe_vec_sumsq(size_t n, const moe_real *x)
{
	return moe_vec_dot(n, x, x);
}

MOE_CLONES void moe_vec_add(size_t n, const moe_real *restrict x, moe_real *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] += x[i];
}

MOE_CLONES void moe_vec_axpy(size_t n, moe_real a, const moe_real *restrict x, moe_real *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] += a * x[i];
}

MOE_CLONES void moe_vec_scale(size_t n, moe_real a, moe_real *x)
{
	for (size_t i = 0; i < n; i++)
		x[i] *= a;
}

MOE_CLONES void moe_vec_add_bias(
	int rows, int cols, const moe_real *restrict b, moe_real *restrict y, int ldy)
{
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < cols; j++)
			y[(size_t)i * (size_t)ldy + (size_t)j] += b[j];
}

MOE_CLONES void moe_vec_sum_rows(
	int rows, int cols, const moe_real *restrict x, int ldx, moe_real *restrict y)
{
	enum { BLOCK = 64 };

	for (int at = 0; at < cols; at += BLOCK) {
		int w = cols - at < BLOCK ? cols - at : BLOCK;
		double acc[BLOCK] = { 0 };

		for (int i = 0; i < rows; i++) {
			const moe_real *row = x + (size_t)i * (size_t)ldx + at;

			for (int j = 0; j < w; j++)
				acc[j] += (double)row[j];
		}
		for (int j = 0; j < w; j++)
			y[at + j] += (moe_real)acc[j];
	}
}

#ifdef HAVE_TURN
/* An 8x8 block in registers: pairs, then fours of each half, then halves. */
static __attribute__((target("avx"))) void turn8(const float *x, size_t ldx, float *y, size_t ldy)
{
	__m256 a[8], b[8];

	for (int i = 0; i < 8; i++)
		a[i] = _mm256_loadu_ps(x + (size_t)i * ldx);
	for (int i = 0; i < 8; i += 2) {
		b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
		b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
	}
	for (int i = 0; i < 8; i += 4)
		for (int j = 0; j < 2; j++) {
			a[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0x44);
			a[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0xEE);
		}
	for (int i = 0; i < 4; i++) {
		_mm256_storeu_ps(y + (size_t)i * ldy, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
		_mm256_storeu_ps(
			y + (size_t)(i + 4) * ldy, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
	}
}

/* A 4x8 block: as above without the last step. */
static __attribute__((target("avx"))) void turn4(const float *x, size_t ldx, float *y, size_t ldy)
{
	__m256 a[4], b[4];

	for (int i = 0; i < 4; i++)
		a[i] = _mm256_loadu_ps(x + (size_t)i * ldx);
	for (int i = 0; i < 4; i += 2) {
		b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
		b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
	}
	for (int j = 0; j < 2; j++) {
		a[2 * j] = _mm256_shuffle_ps(b[j], b[j + 2], 0x44);
		a[2 * j + 1] = _mm256_shuffle_ps(b[j], b[j + 2], 0xEE);
	}
	for (int i = 0; i < 4; i++) {
		_mm_storeu_ps(y + (size_t)i * ldy, _mm256_castps256_ps128(a[i]));
		_mm_storeu_ps(y + (size_t)(i + 4) * ldy, _mm256_extractf128_ps(a[i], 1));
	}
}
#endif

static void turn(int rows, int cols, const moe_real *x, size_t ldx, moe_real *y, size_t ldy)
{
	for (int j = 0; j < cols; j++)
		for (int i = 0; i < rows; i++)
			y[(size_t)j * ldy + (size_t)i] = x[(size_t)i * ldx + (size_t)j];
}

void moe_transpose(int rows, int cols, const moe_real *x, int ldx, moe_real *y, int ldy)
{
	enum { TILE = 8 };
	size_t lx = (size_t)ldx, ly = (size_t)ldy;
#ifdef HAVE_TURN
	bool fast = __builtin_cpu_supports("avx");
#endif

	for (int i = 0; i < rows; i += TILE)
		for (int j = 0; j < cols; j += TILE) {
			const moe_real *from = x + (size_t)i * lx + (size_t)j;
			moe_real *to = y + (size_t)j * ly + (size_t)i;
			int r = rows - i < TILE ? rows - i : TILE,
			    c = cols - j < TILE ? cols - j : TILE;

#ifdef HAVE_TURN
			if (fast && r == TILE && c == TILE) {
				turn8(from, lx, to, ly);
				continue;
			}
			if (fast && r >= TILE / 2 && c == TILE) { /* of 12 or 6 rows the last */
				turn4(from, lx, to, ly);
				turn(r - TILE / 2, c, from + TILE / 2 * lx, lx, to + TILE / 2, ly);
				continue;
			}
#endif
			turn(r, c, from, lx, to, ly);
		}
}

MOE_CLONES static void from_f32(size_t n, const float *restrict x, moe_real *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = (moe_real)x[i];
}

MOE_CLONES static void from_f64(size_t n, const double *restrict x, moe_real *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = (moe_real)x[i];
}

MOE_CLONES static void from_bf16(size_t n, const uint16_t *restrict x, moe_real *restrict y)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t bits = (uint32_t)x[i] << 16;
		float f;

		memcpy(&f, &bits, sizeof(f));
		y[i] = (moe_real)f;
	}
}

/* The exponent is rebiased by a multiplication, which also turns subnormals into ordinary floats;
 * infinities and NaN are set after. */
MOE_CLONES static void from_f16(size_t n, const uint16_t *restrict x, moe_real *restrict y)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t h = x[i], sign = (h & 0x8000u) << 16, body = (h & 0x7FFFu) << 13,
			 special = 0x7F800000u | body, bits;
		float f;

		memcpy(&f, &body, sizeof(f));
		f *= 5.192296858534828e33f; /* 2^112 */
		memcpy(&bits, &f, sizeof(bits));
		bits = (h & 0x7C00u) == 0x7C00u ? special : bits;
		bits |= sign;
		memcpy(&f, &bits, sizeof(f));
		y[i] = (moe_real)f;
	}
}

size_t moe_dtype_size(enum moe_dtype t)
{
	return t == MOE_F64 ? 8 : t == MOE_F32 ? 4 : 2;
}

void moe_widen(enum moe_dtype t, size_t n, const void *x, moe_real *y)
{
	switch (t) {
	case MOE_F32:
		from_f32(n, x, y);
		break;
	case MOE_F64:
		from_f64(n, x, y);
		break;
	case MOE_F16:
		from_f16(n, x, y);
		break;
	case MOE_BF16:
		from_bf16(n, x, y);
		break;
	}
}
