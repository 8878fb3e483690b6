/* decode_tiles.c - products of large models: the stored weights in tiles of columns, one task each, widened tile by tile where they are
 * stored as halves. The tiles depend on the model alone, so the bits do not depend on the threads. */
#include "model/decode_priv.h"

#include "tensor/gemm.h"
#include "tensor/vec.h"

#define TILE MOE_DECODE_TILE

/* Columns from..to of in W^T into out (row stride d->ld_out). */
static void stored_columns(struct moe_decoder *d, const struct moe_weight *w, int from, int to, int worker, moe_real *out)
{
	const moe_real *src;

	if (w->dtype == (sizeof(moe_real) == sizeof(float) ? MOE_F32 : MOE_F64)) {
		src = (const moe_real *)w->data + (size_t)from * (size_t)w->cols;
	} else {
		moe_real *tile = d->tile + (size_t)worker * TILE * (size_t)d->p->longest;

		moe_weight_widen(w, from, to - from, tile);
		src = tile;
	}
	for (int r = 0; r < d->M; r += MOE_DECODE_PANEL) {
		int m = d->M - r < MOE_DECODE_PANEL ? d->M - r : MOE_DECODE_PANEL;

		moe_gemm(false, true, m, to - from, w->cols, 1, d->in + (size_t)r * (size_t)d->ld_in, d->ld_in, src, w->cols, 0,
			out + (size_t)r * (size_t)d->ld_out + from, d->ld_out, 1);
	}
}

static const int group_first[MOE_GROUPS + 1] = {MOE_Q, MOE_O, MOE_GATE, MOE_DOWN, MOE_LINEARS};

/* Task t: TILE columns of one of the group's Linears, base, bias and experts. */
static int linear_tile(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct moe_decoder *d = ctx;
	const struct moe_weight *w = d->p->m->layer[d->layer].w;
	const struct moe_experts *x = d->p->x;
	int first = group_first[d->group], lin = first, from, to;
	size_t at, tiles;

	(void)e;
	for (; task >= (tiles = ((size_t)w[lin].rows + TILE - 1) / TILE); lin++)
		task -= tiles;
	from = (int)task * TILE;
	to = from + TILE < w[lin].rows ? from + TILE : w[lin].rows;
	stored_columns(d, &w[lin], from, to, worker, d->out[lin - first]);
	if (d->p->layer[d->layer].bias[lin])
		moe_vec_add_bias(d->M, to - from, d->p->layer[d->layer].bias[lin] + from, d->out[lin - first] + from, d->ld_out);
	at = (size_t)d->layer * MOE_LINEARS + (size_t)lin;
	if (!x || x->b_off[at] == SIZE_MAX)
		return 0;
	for (int r = 0; r < d->M; r += MOE_DECODE_PANEL) {
		int m = d->M - r < MOE_DECODE_PANEL ? d->M - r : MOE_DECODE_PANEL;
		const moe_real *zs = d->zs + ((size_t)(lin - first) * (size_t)d->max_rows + (size_t)r) * (size_t)x->R;

		moe_gemm(false, true, m, to - from, x->R, 1, zs, x->R, x->param + x->b_off[at] + (size_t)from * (size_t)x->R, x->R, 1,
			d->out[lin - first] + (size_t)r * (size_t)d->ld_out + from, d->ld_out, 1);
	}
	return 0;
}

/* Task t: the low-rank states of Linear t of the group, times scale, gate and alive. */
static int low_rank(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct moe_decoder *d = ctx;
	const struct moe_experts *x = d->p->x;
	int lin = group_first[d->group] + (int)task, cols = d->p->m->layer[d->layer].w[lin].cols;
	size_t at = (size_t)d->layer * MOE_LINEARS + (size_t)lin, R = (size_t)x->R, off = task * (size_t)d->max_rows * R;

	(void)worker;
	(void)e;
	if (x->a_off[at] == SIZE_MAX)
		return 0;
	for (int r = 0; r < d->M; r += MOE_DECODE_PANEL) {
		int m = d->M - r < MOE_DECODE_PANEL ? d->M - r : MOE_DECODE_PANEL;

		moe_gemm(false, true, m, x->R, cols, 1, d->in + (size_t)r * (size_t)d->ld_in, d->ld_in, x->param + x->a_off[at], cols, 0,
			d->z + off + (size_t)r * R, x->R, 1);
	}
	moe_expert_scale(x, x->alive + at * R, d->M, d->gated ? d->gate : NULL, NULL, d->z + off, x->R, d->zs + off);
	return 0;
}

int moe_decode_tiles(struct moe_decoder *d, struct moe_err *e)
{
	const struct moe_weight *w = d->p->m->layer[d->layer].w;
	int first = group_first[d->group], n = group_first[d->group + 1] - first;
	size_t tiles = 0;

	for (int i = 0; i < n; i++)
		tiles += ((size_t)w[first + i].rows + TILE - 1) / TILE;
	if (d->p->x && moe_decode_run(d, (size_t)n, low_rank, d, e))
		return -1;
	return moe_decode_run(d, tiles, linear_tile, d, e);
}

static int head_tile(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct moe_decoder *d = ctx;
	int V = d->p->m->config.V, from = (int)task * TILE, to = from + TILE < V ? from + TILE : V;

	(void)e;
	stored_columns(d, &d->p->m->head, from, to, worker, d->out[0]);
	return 0;
}

int moe_decode_head_tiles(struct moe_decoder *d, struct moe_err *e)
{
	return moe_decode_run(d, ((size_t)d->p->m->config.V + TILE - 1) / TILE, head_tile, d, e);
}
