/* tile.c - which tile this processor runs, and the tile in plain C, which fmaf makes exact and
 * slow.
 */
#include "tensor/tile.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TARGET
#define V            float
#define LANES        1
#define NV           4
#define MR           4
#define LOAD(p)      (*(p))
#define STORE(p, v)  (*(p) = (v))
#define ADD(u, v)    ((u) + (v))
#define MUL(u, v)    ((u) * (v))
#define FMA(s, v, u) fmaf(*(s), v, u)
#define ZERO()       0
#define SPREAD(x)    (x)
#include "tensor/tile_body.h"

const struct moe_tile moe_tile_plain = { "plain C", MR, NV *LANES, tile_run };

static const struct moe_tile *chosen;

static void choose_tile(void)
{
	const char *asked = getenv("MOE_TILE");

	chosen = &moe_tile_plain;
	if (asked && !strcmp(asked, "plain"))
		return;
#if defined(MOE_TILE_X86)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		chosen = &moe_tile_avx2;
	if (asked && !strcmp(asked, "avx2"))
		return;
	if (chosen == &moe_tile_avx2 && __builtin_cpu_supports("avx512f"))
		chosen = &moe_tile_avx512;
#elif defined(MOE_TILE_NEON)
	chosen = &moe_tile_neon; /* every aarch64 has it */
#endif
}

const struct moe_tile *moe_tile(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, choose_tile);
	return chosen;
}
