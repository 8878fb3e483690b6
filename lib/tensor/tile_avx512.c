/* tile_avx512.c - tiles of 12 x 32 for AVX-512: 24 accumulators, 2 vectors of B, A from memory. */
#include "tensor/tile.h"

#if defined(MOE_TILE_X86)
#include <immintrin.h>

#define TARGET       __attribute__((target("avx512f")))
#define V            __m512
#define LANES        16
#define NV           2
#define MR           12
#define LOAD(p)      _mm512_loadu_ps(p)
#define STORE(p, v)  _mm512_storeu_ps(p, v)
#define ADD(u, v)    _mm512_add_ps(u, v)
#define MUL(u, v)    _mm512_mul_ps(u, v)
#define FMA(s, v, u) _mm512_fmadd_ps(_mm512_set1_ps(*(s)), v, u)
#define ZERO()       _mm512_setzero_ps()
#define SPREAD(x)    _mm512_set1_ps(x)
#include "tensor/tile_body.h"

const struct moe_tile moe_tile_avx512 = { "AVX-512", MR, NV *LANES, tile_run };
#endif
