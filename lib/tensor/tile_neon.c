/* tile_neon.c - tiles of 8 x 8 for aarch64: 16 accumulators of four, 2 vectors of B. */
#include "tensor/tile.h"

#if defined(MOE_TILE_NEON)
#include <arm_neon.h>

#define TARGET
#define V            float32x4_t
#define LANES        4
#define NV           2
#define MR           8
#define LOAD(p)      vld1q_f32(p)
#define STORE(p, v)  vst1q_f32(p, v)
#define ADD(u, v)    vaddq_f32(u, v)
#define MUL(u, v)    vmulq_f32(u, v)
#define FMA(s, v, u) vfmaq_n_f32(u, v, *(s))
#define ZERO()       vdupq_n_f32(0)
#define SPREAD(x)    vdupq_n_f32(x)
#include "tensor/tile_body.h"

const struct moe_tile moe_tile_neon = { "NEON", MR, NV *LANES, tile_run };
#endif
