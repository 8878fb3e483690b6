/* packed.c - blocks for the caches and copies for the tiles. The arithmetic is in tile_body.h. */
#include "tensor/packed.h"
#include "tensor/tile.h"
#include "tensor/vec.h"

#include <string.h>

#ifndef MOE_REAL_F64 /* that build has BLIS alone (gemm.h) */

/* A panel of B [KC, NC] (192 KiB) stays in the second cache while the rows of C pass by, MC at a
 * time with their panel of A (72 KiB); after ROWS of them the next panel comes. So a number of B is
 * copied once in ROWS multiply-adds, one of A once in NC, and a block of C [ROWS, NC] (2 MiB) is
 * read and written in the third cache once for each panel. NC is a multiple of every tile's nr, MC
 * of every mr, ROWS of MC. */
enum { MC = 192, NC = 512, ROWS = 1152, KC = MOE_GEMM_PANEL, MR_MAX = 12, NR_MAX = 32 };

struct operand {
	const float *p;
	size_t row, col; /* strides of op(X), in elements */
};

/* to[ceil(n / nr)][k][nr]: columns j .. j+n of B's rows l .. l+k, columns past n are 0. */
static void pack_b(const struct operand *b, int l, int k, int j, int n, int nr, float *to)
{
	for (int at = 0; at < n; at += nr, to += (size_t)k * (size_t)nr) {
		const float *from = b->p + (size_t)l * b->row + (size_t)(j + at) * b->col;
		int cols = n - at < nr ? n - at : nr;

		if (b->col != 1 && cols == nr) { /* stored [n,k]: nr rows become columns */
			moe_transpose(nr, k, from, (int)b->col, to, nr);
			continue;
		}
		for (int i = 0; i < k; i++) {
			const float *row = from + (size_t)i * b->row;
			float *out = to + (size_t)i * (size_t)nr;

			if (b->col == 1 && cols == nr)
				memcpy(out, row, (size_t)nr * sizeof(*out));
			else
				for (int x = 0; x < nr; x++)
					out[x] = x < cols ? row[(size_t)x * b->col] : 0;
		}
	}
}

/* to[ceil(m / mr)][k][mr]: rows i .. i+m of A; rows past m are left as they are and never read. */
static void pack_a(const struct operand *a, int i, int m, int l, int k, int mr, float *to)
{
	for (int at = 0; at < m; at += mr, to += (size_t)k * (size_t)mr) {
		const float *from = a->p + (size_t)(i + at) * a->row + (size_t)l * a->col;
		int rows = m - at < mr ? m - at : mr;

		if (a->row == 1 && rows == mr)
			for (int x = 0; x < k; x++)
				memcpy(to + (size_t)x * (size_t)mr, from + (size_t)x * a->col,
					(size_t)mr * sizeof(*to));
		else if (a->col == 1)
			moe_transpose(rows, k, from, (int)a->row, to, mr);
		else
			for (int x = 0; x < k; x++)
				for (int r = 0; r < rows; r++)
					to[(size_t)x * (size_t)mr + (size_t)r] =
						from[(size_t)r * a->row + (size_t)x * a->col];
	}
}

/* One tile whose last columns are not there: made beside C and added to it, with the roundings of a
 * whole one. */
static void run_edge(const struct moe_tile *t, int rows, int cols, const struct moe_tile_args *g,
	const float *a, const float *b, float *c)
{
	float tmp[MR_MAX * NR_MAX];
	struct moe_tile_args h = *g;

	h.add = false;
	h.ldc = (size_t)t->nr;
	if (cols == t->nr / 2) {
		t->run(rows, true, g, a, b, c);
		return;
	}
	t->run(rows, cols < t->nr / 2, &h, a, b, tmp);
	for (int r = 0; r < rows; r++)
		for (int j = 0; j < cols; j++) {
			float *out = c + (size_t)r * g->ldc + j, v = tmp[r * t->nr + j];

			*out = g->add ? *out + v : v;
		}
}

/* A block of C [m, n]: m <= MC rows and n <= NC columns, one panel of k. bp is packed; ap is
 * packed, or NULL and A is read where it lies. */
static void run_block(const struct moe_tile *t, int m, int n, struct moe_tile_args *g,
	const struct operand *a, const float *ap, const float *bp, float *c)
{
	if (ap) {
		g->rs = 1;
		g->cs = (size_t)t->mr;
	} else {
		g->rs = a->row;
		g->cs = a->col;
	}
	g->ldb = (size_t)t->nr;
	for (int i = 0; i < m; i += t->mr) {
		int rows = m - i < t->mr ? m - i : t->mr;
		const float *arow = ap ? ap + (size_t)i * (size_t)g->k : a->p + (size_t)i * a->row;

		for (int j = 0; j < n; j += t->nr) {
			const float *bcol = bp + (size_t)j * (size_t)g->k;
			float *out = c + (size_t)i * g->ldc + j;

			if (n - j >= t->nr)
				t->run(rows, false, g, arow, bcol, out);
			else
				run_edge(t, rows, n - j, g, arow, bcol, out);
		}
	}
}

/* Few rows: B is read once, so copying it would cost as much as the product. */
static void run_direct(const struct moe_tile *t, int m, int n, struct moe_tile_args *g,
	const struct operand *a, const struct operand *b, float *c)
{
	float edge[KC * NR_MAX];
	int whole = n - n % t->nr;

	g->rs = a->row;
	g->cs = a->col;
	for (int i = 0; i < m; i += t->mr) {
		int rows = m - i < t->mr ? m - i : t->mr;

		g->ldb = b->row;
		for (int j = 0; j < whole; j += t->nr)
			t->run(rows, false, g, a->p + (size_t)i * a->row, b->p + j,
				c + (size_t)i * g->ldc + j);
		if (whole == n)
			continue;
		if (i == 0)
			pack_b(b, 0, g->k, whole, n - whole, t->nr, edge);
		g->ldb = (size_t)t->nr;
		run_edge(t, rows, n - whole, g, a->p + (size_t)i * a->row, edge,
			c + (size_t)i * g->ldc + whole);
	}
}

/* beta C, before the first panel is added: 0 overwrites, so that a NaN in C does not matter. */
static void scale_c(int m, int n, float beta, float *c, int ldc)
{
	for (int i = 0; i < m; i++) {
		float *row = c + (size_t)i * (size_t)ldc;

		if (beta == 0)
			memset(row, 0, (size_t)n * sizeof(*row));
		else
			moe_vec_scale((size_t)n, beta, row);
	}
}

/* Rows below which B is not copied (where it lies in the right order), and columns below which A is
 * not: measured, on Zen 5. */
enum { FEW_ROWS = 24, FEW_COLS = 96 };

/* Rows i .. i+m of C [.., n] (n <= NC columns from `out` on), one panel of k: B packed in bp. */
static void run_rows(const struct moe_tile *t, int m, int n, struct moe_tile_args *g,
	const struct operand *a, const float *bp, float *out)
{
	_Alignas(64) float ap[MC * KC];
	bool copy_a = n > FEW_COLS && m > 1;

	for (int i = 0; i < m; i += MC) {
		int rows = m - i < MC ? m - i : MC;
		struct operand x = *a;

		x.p += (size_t)i * x.row;
		if (copy_a)
			pack_a(&x, 0, rows, 0, g->k, t->mr, ap);
		run_block(t, rows, n, g, &x, copy_a ? ap : NULL, bp, out + (size_t)i * g->ldc);
	}
}

void moe_gemm_packed(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda,
	const float *b, int ldb, float beta, float *c, int ldc)
{
	_Alignas(64) float bp[NC * KC];
	const struct moe_tile *t = moe_tile();
	bool add = beta != 0;

	if (k <= 0 || (beta != 0 && beta != 1))
		scale_c(m, n, beta, c, ldc);
	for (int j = 0; j < n; j += NC)
		for (int i = 0; i < m; i += ROWS)
			for (int l = 0; l < k; l += KC) {
				int rows = m - i < ROWS ? m - i : ROWS,
				    cols = n - j < NC ? n - j : NC;
				struct moe_tile_args g = { .k = k - l < KC ? k - l : KC,
					.ldc = (size_t)ldc,
					.alpha = alpha,
					.add = add || l > 0 };
				struct operand x = { a, ta ? 1 : (size_t)lda,
					ta ? (size_t)lda : 1 },
					       y = { b, tb ? 1 : (size_t)ldb,
						       tb ? (size_t)ldb : 1 };
				float *out = c + (size_t)i * (size_t)ldc + j;

				x.p += (size_t)i * x.row + (size_t)l * x.col;
				if (!tb && m < FEW_ROWS) {
					y.p += (size_t)l * y.row + (size_t)j;
					run_direct(t, rows, cols, &g, &x, &y, out);
					continue;
				}
				pack_b(&y, l, g.k, j, cols, t->nr, bp);
				run_rows(t, rows, cols, &g, &x, bp, out);
			}
}

/* ---- B made ready once: its panels as pack_b makes them, one after another, all columns in each
 * ---- */

static size_t padded(int n)
{
	int nr = moe_tile()->nr;

	return (size_t)((n + nr - 1) / nr) * (size_t)nr;
}

size_t moe_gemm_packed_size(int n, int k)
{
	return padded(n) * (size_t)k;
}

void moe_gemm_packed_make(bool tb, int n, int k, const float *b, int ldb, float *to)
{
	struct operand y = { b, tb ? 1 : (size_t)ldb, tb ? (size_t)ldb : 1 };

	for (int l = 0; l < k; l += KC)
		pack_b(&y, l, k - l < KC ? k - l : KC, 0, n, moe_tile()->nr,
			to + (size_t)l * padded(n));
}

void moe_gemm_packed_use(int m, int n, int k, const float *a, int lda, const float *bp, float beta,
	float *c, int ldc)
{
	const struct moe_tile *t = moe_tile();

	if (k <= 0)
		scale_c(m, n, beta, c, ldc);
	for (int j = 0; j < n; j += NC)
		for (int i = 0; i < m; i += ROWS)
			for (int l = 0; l < k; l += KC) {
				struct moe_tile_args g = { .k = k - l < KC ? k - l : KC,
					.ldc = (size_t)ldc,
					.alpha = 1,
					.add = beta != 0 || l > 0 };
				struct operand x = { a + (size_t)i * (size_t)lda + l, (size_t)lda,
					1 };

				run_rows(t, m - i < ROWS ? m - i : ROWS, n - j < NC ? n - j : NC,
					&g, &x,
					bp + (size_t)l * padded(n) + (size_t)j * (size_t)g.k,
					c + (size_t)i * (size_t)ldc + j);
			}
}
#endif
