/* tile_avx2.c - tiles of 6 x 16 for AVX2 with FMA: 12 accumulators, 2 vectors of B, 1 of A. */
#include "tensor/tile.h"

#if defined(MOE_TILE_X86)
#include <immintrin.h>

#define TARGET       __attribute__((target("avx2,fma")))
#define V            __m256
#define LANES        8
#define NV           2
#define MR           6
#define LOAD(p)      _mm256_loadu_ps(p)
#define STORE(p, v)  _mm256_storeu_ps(p, v)
#define ADD(u, v)    _mm256_add_ps(u, v)
#define MUL(u, v)    _mm256_mul_ps(u, v)
#define FMA(s, v, u) _mm256_fmadd_ps(_mm256_broadcast_ss(s), v, u)
#define ZERO()       _mm256_setzero_ps()
#define SPREAD(x)    _mm256_set1_ps(x)
#include "tensor/tile_body.h"

const struct moe_tile moe_tile_avx2 = { "AVX2", MR, NV *LANES, tile_run };
#endif
