/* tile_body.h - the body of a tile (tile.h), included once by each tile_*.c, which defines
 *
 *     V            a vector of LANES floats             NV     vectors side by side: nr = NV *
 * LANES LOAD(p) STORE(p, v) ADD(u, v) MUL(u, v)           unaligned, element by element FMA(s, v,
 * u)  s * v + u rounded once, s a scalar in memory (a pointer to it) ZERO() SPREAD(x) all lanes 0,
 * all lanes x TARGET       attribute of functions that may use the instructions MR           rows
 * of the largest tile, at most 12
 *
 * and gets the function tile_run. It is not a header of its own.
 */
#define TILE_FN static inline __attribute__((always_inline)) TARGET

/* `rows` and `nv` (vectors of a row: NV, or half of it) are constants where this is called, so
 * every loop over them is unrolled and acc stays in registers. */
TILE_FN void tile_rows(const int rows, const int nv, const struct moe_tile_args *g, const float *a,
	const float *b, float *c)
{
	V acc[MR][NV];

#pragma GCC unroll 12
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (int v = 0; v < nv; v++)
			acc[r][v] = ZERO();
	/* one step of k: one row of B against `rows` numbers of A */
	for (int l = 0; l < g->k; l++) {
		V row[NV];

#pragma GCC unroll 4
		for (int v = 0; v < nv; v++)
			row[v] = LOAD(b + v * LANES);
#pragma GCC unroll 12
		for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
			for (int v = 0; v < nv; v++)
				acc[r][v] = FMA(a + (size_t)r * g->rs, row[v], acc[r][v]);
		a += g->cs;
		b += g->ldb;
	}
	/* C = [C +] alpha acc; a product with 1 is exact, so it may be made or left out */
#pragma GCC unroll 12
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (int v = 0; v < nv; v++) {
			float *to = c + (size_t)r * g->ldc + v * LANES;
			V out = g->alpha == 1 ? acc[r][v] : MUL(SPREAD(g->alpha), acc[r][v]);

			STORE(to, g->add ? ADD(LOAD(to), out) : out);
		}
}

#define TILE_CASE(n)                                                                               \
	case n:                                                                                    \
		if (n <= MR && half)                                                               \
			tile_rows(n <= MR ? n : 1, (NV + 1) / 2, g, a, b, c);                      \
		else if (n <= MR)                                                                  \
			tile_rows(n <= MR ? n : 1, NV, g, a, b, c);                                \
		break

static TARGET void tile_run(int rows, bool half, const struct moe_tile_args *g, const float *a,
	const float *b, float *c)
{
	switch (rows) {
		TILE_CASE(1);
		TILE_CASE(2);
		TILE_CASE(3);
		TILE_CASE(4);
		TILE_CASE(5);
		TILE_CASE(6);
		TILE_CASE(7);
		TILE_CASE(8);
		TILE_CASE(9);
		TILE_CASE(10);
		TILE_CASE(11);
		TILE_CASE(12);
	default:
		break;
	}
}
