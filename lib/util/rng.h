/* rng.h - counter-based random numbers (Philox4x32-10, Salmon et al. 2011, "Parallel random
 * numbers: as easy as 1, 2, 3").
 *
 * A draw is a pure function of (seed, purpose, a, b, c): no state, so sharding, threads and order
 * never change it. `purpose` is a short constant name of what is drawn ("sample", "init",
 * "bootstrap"); two purposes never share draws. Thread-safe.
 */
#ifndef MOE_UTIL_RNG_H
#define MOE_UTIL_RNG_H

#include <stddef.h>
#include <stdint.h>

/* A key made once from seed and purpose. */
struct moe_rng {
	uint32_t key[2];
};
struct moe_rng moe_rng_key(uint64_t seed, const char *purpose);

/* 128 random bits for counter (a, b). */
void moe_rng_block(struct moe_rng k, uint64_t a, uint64_t b, uint32_t out[4]);
/* 64 bits; uniform in [0, 1) with 53 bits; standard normal (Box-Muller). */
uint64_t moe_rng_u64(struct moe_rng k, uint64_t a, uint64_t b);
double moe_rng_uniform(struct moe_rng k, uint64_t a, uint64_t b);
double moe_rng_normal(struct moe_rng k, uint64_t a, uint64_t b);
/* out[i] = moe_rng_normal(k, a, b + i), bit for bit, faster. */
void moe_rng_normals(struct moe_rng k, uint64_t a, uint64_t b, size_t n, double *out);
/* An integer in [0, n), n > 0, without modulo bias worth mentioning (64-bit multiply-shift). */
uint64_t moe_rng_below(struct moe_rng k, uint64_t a, uint64_t b, uint64_t n);
/* out[i] = moe_rng_below(k, a, b + i, below), bit for bit, faster; below at most 2^32. */
void moe_rng_belows(
	struct moe_rng k, uint64_t a, uint64_t b, uint64_t below, size_t n, uint32_t *out);
/* perm[n] = a random permutation of 0..n-1, keyed by a. */
void moe_rng_permute(struct moe_rng k, uint64_t a, size_t n, uint32_t *perm);
/* A 64-bit hash of bytes, stable across versions (FNV-1a with a final mix): turns ids into
 * counters. Not cryptographic. */
uint64_t moe_hash64(const void *p, size_t n);

#endif
