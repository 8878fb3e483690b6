/* rng.c - Philox4x32-10 and the draws made from it. Not for secrets. */
#include "util/rng.h"
#include "util/elementary.h"

#include <math.h>
#include <string.h>

static uint64_t mix64(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 33);
}

uint64_t moe_hash64(const void *p, size_t n)
{
	const unsigned char *s = p;
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < n; i++)
		h = (h ^ s[i]) * 0x100000001b3ULL;
	return mix64(h);
}

struct moe_rng moe_rng_key(uint64_t seed, const char *purpose)
{
	uint64_t h = mix64(seed + 0x9e3779b97f4a7c15ULL) ^ moe_hash64(purpose, strlen(purpose));
	struct moe_rng k;

	k.key[0] = (uint32_t)h;
	k.key[1] = (uint32_t)(h >> 32);
	return k;
}

void moe_rng_block(struct moe_rng k, uint64_t a, uint64_t b, uint32_t out[4])
{
	uint32_t x0 = (uint32_t)a, x1 = (uint32_t)(a >> 32), x2 = (uint32_t)b,
		 x3 = (uint32_t)(b >> 32);

	for (int round = 0; round < 10; round++) {
		uint64_t p0 = (uint64_t)0xD2511F53U * x0, p1 = (uint64_t)0xCD9E8D57U * x2;

		x0 = (uint32_t)(p1 >> 32) ^ x1 ^ k.key[0];
		x1 = (uint32_t)p1;
		x2 = (uint32_t)(p0 >> 32) ^ x3 ^ k.key[1];
		x3 = (uint32_t)p0;
		k.key[0] += 0x9E3779B9U;
		k.key[1] += 0xBB67AE85U;
	}
	out[0] = x0;
	out[1] = x1;
	out[2] = x2;
	out[3] = x3;
}

uint64_t moe_rng_u64(struct moe_rng k, uint64_t a, uint64_t b)
{
	uint32_t w[4];

	moe_rng_block(k, a, b, w);
	return (uint64_t)w[1] << 32 | w[0];
}

static double unit(uint32_t hi, uint32_t lo)
{
	return (double)(((uint64_t)hi << 32 | lo) >> 11) * 0x1p-53;
}

double moe_rng_uniform(struct moe_rng k, uint64_t a, uint64_t b)
{
	uint32_t w[4];

	moe_rng_block(k, a, b, w);
	return unit(w[1], w[0]);
}

/* Box-Muller; 1 - u lies in (0, 1], so the logarithm is finite. */
static double normal(double u, double v)
{
	return sqrt(-2.0 * moe_log(1.0 - u)) * moe_cos(6.283185307179586477 * v);
}

double moe_rng_normal(struct moe_rng k, uint64_t a, uint64_t b)
{
	uint32_t w[4];

	moe_rng_block(k, a, b, w);
	return normal(unit(w[1], w[0]), unit(w[3], w[2]));
}

#define LANES 32

/* moe_rng_block of counters (a, b) to (a, b + LANES - 1), side by side so that the compiler can use
 * vectors. */
static void blocks(struct moe_rng k, uint64_t a, uint64_t b, uint32_t x[4][LANES])
{
	for (uint32_t i = 0; i < LANES; i++) {
		x[0][i] = (uint32_t)a;
		x[1][i] = (uint32_t)(a >> 32);
		x[2][i] = (uint32_t)(b + i);
		x[3][i] = (uint32_t)((b + i) >> 32);
	}
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < LANES; i++) {
			uint64_t p0 = (uint64_t)0xD2511F53U * x[0][i],
				 p1 = (uint64_t)0xCD9E8D57U * x[2][i];

			x[0][i] = (uint32_t)(p1 >> 32) ^ x[1][i] ^ k.key[0];
			x[1][i] = (uint32_t)p1;
			x[2][i] = (uint32_t)(p0 >> 32) ^ x[3][i] ^ k.key[1];
			x[3][i] = (uint32_t)p0;
		}
		k.key[0] += 0x9E3779B9U;
		k.key[1] += 0xBB67AE85U;
	}
}

void moe_rng_normals(struct moe_rng k, uint64_t a, uint64_t b, size_t n, double *out)
{
	uint32_t x[4][LANES];

	for (size_t done = 0; done < n; done += LANES) {
		size_t m = n - done < LANES ? n - done : LANES;

		blocks(k, a, b + done, x);
		for (size_t i = 0; i < m; i++)
			out[done + i] = normal(unit(x[1][i], x[0][i]), unit(x[3][i], x[2][i]));
	}
}

uint64_t moe_rng_below(struct moe_rng k, uint64_t a, uint64_t b, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)moe_rng_u64(k, a, b) * n) >> 64);
}

void moe_rng_belows(
	struct moe_rng k, uint64_t a, uint64_t b, uint64_t below, size_t n, uint32_t *out)
{
	uint32_t x[4][LANES];

	for (size_t done = 0; done < n; done += LANES) {
		size_t m = n - done < LANES ? n - done : LANES;

		blocks(k, a, b + done, x);
		for (size_t i = 0; i < m; i++)
			out[done + i] = (uint32_t)(((unsigned __int128)((uint64_t)x[1][i] << 32 |
							    x[0][i]) *
							   below) >>
				64);
	}
}

void moe_rng_permute(struct moe_rng k, uint64_t a, size_t n, uint32_t *perm)
{
	for (size_t i = 0; i < n; i++)
		perm[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		size_t j = (size_t)moe_rng_below(k, a, i, i);
		uint32_t t = perm[i - 1];

		perm[i - 1] = perm[j];
		perm[j] = t;
	}
}
