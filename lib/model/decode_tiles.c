/* decode_tiles.c - products of large models: the weights as they are stored, in tiles of columns,
 * one task each. */
#include "model/decode_priv.h"

#include "nn/act.h"
#include "tensor/gemm.h"
#include "tensor/vec.h"

#define TILE MOE_DECODE_TILE

/* Columns from..to of in W^T into out (row stride d->ld_out). */
static void stored_columns(
	struct moe_decoder *d, const struct moe_weight *w, int from, int to, moe_real *out)
{
	const char *row = (const char *)w->data +
		(size_t)from * (size_t)w->cols * moe_dtype_size(w->dtype);

	moe_gemm_stored(d->M, to - from, w->cols, d->in, d->ld_in, row, w->dtype, w->cols, 0,
		out + from, d->ld_out);
}

/* The first Linear of the group at hand. */
static int first_linear(const struct moe_decoder *d)
{
	return (int)moe_groups[d->group].lin[0];
}

/* Columns from..to of a Linear of the current layer: base, bias and experts. */
static void linear_columns(struct moe_decoder *d, int lin, int from, int to)
{
	const struct moe_experts *x = d->p->x;
	const moe_real *bias = d->p->layer[d->layer].bias[lin];
	size_t at = (size_t)d->layer * MOE_LINEARS + (size_t)lin;
	int j = lin - first_linear(d);
	moe_real *out = d->out[j] + from;

	stored_columns(d, &d->p->m->layer[d->layer].w[lin], from, to, d->out[j]);
	if (bias)
		moe_vec_add_bias(d->M, to - from, bias + from, out, d->ld_out);
	if (x && moe_view_of(x, at, MOE_ROLE_B))
		moe_gemm_stored(d->M, to - from, x->R,
			d->zs + (size_t)j * (size_t)d->max_rows * (size_t)x->R, x->R,
			x->param + moe_view_of(x, at, MOE_ROLE_B)->off +
				(size_t)from * (size_t)x->R,
			MOE_REAL_DTYPE, x->R, 1, out, d->ld_out);
}

/* Task t: TILE columns of one of the group's Linears. */
static int linear_tile(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct moe_decoder *d = ctx;
	const struct moe_weight *w = d->p->m->layer[d->layer].w;
	int lin = first_linear(d), from;
	size_t tiles;

	(void)worker;
	(void)e;
	for (; task >= (tiles = ((size_t)w[lin].rows + TILE - 1) / TILE); lin++)
		task -= tiles;
	from = (int)task * TILE;
	linear_columns(d, lin, from, from + TILE < w[lin].rows ? from + TILE : w[lin].rows);
	return 0;
}

/* Task t: TILE columns of gate and up, and of the activation. */
static int gate_up_tile(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct moe_decoder *d = ctx;
	int F = d->p->m->config.F, from = (int)task * TILE, to = from + TILE < F ? from + TILE : F;

	(void)worker;
	(void)e;
	linear_columns(d, MOE_LIN_GATE, from, to);
	linear_columns(d, MOE_UP, from, to);
	for (int r = 0; r < d->M; r++) {
		size_t at = (size_t)r * (size_t)F + (size_t)from;

		moe_swiglu((size_t)(to - from), d->g + at, d->u + at, d->act + at);
	}
	return 0;
}

/* Task t: the low-rank states of Linear t of the group, times scale, gate and alive. */
static int low_rank(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct moe_decoder *d = ctx;
	const struct moe_experts *x = d->p->x;
	int lin = first_linear(d) + (int)task, cols = d->p->m->layer[d->layer].w[lin].cols;
	size_t at = (size_t)d->layer * MOE_LINEARS + (size_t)lin, R = (size_t)x->R,
	       off = task * (size_t)d->max_rows * R;

	(void)worker;
	(void)e;
	if (!moe_view_of(x, at, MOE_ROLE_A))
		return 0;
	moe_gemm_stored(d->M, x->R, cols, d->in, d->ld_in,
		x->param + moe_view_of(x, at, MOE_ROLE_A)->off, MOE_REAL_DTYPE, cols, 0, d->z + off,
		x->R);
	moe_expert_scale(x, x->alive + at * R, d->M, moe_decode_gate(d, (enum moe_linear)lin), NULL,
		d->z + off, x->R, d->zs + off);
	return 0;
}

int moe_decode_tiles(struct moe_decoder *d, struct moe_err *e)
{
	const struct moe_weight *w = d->p->m->layer[d->layer].w;
	int first = first_linear(d), n = moe_groups[d->group].n;
	size_t tiles = 0;

	for (int i = 0; i < n; i++)
		tiles += ((size_t)w[first + i].rows + TILE - 1) / TILE;
	if (d->p->x && moe_decode_run(d, (size_t)n, low_rank, d, e))
		return -1;
	if (d->group == MOE_GROUP_GU)
		return moe_decode_run(d, tiles / 2, gate_up_tile, d, e);
	return moe_decode_run(d, tiles, linear_tile, d, e);
}

static int head_tile(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct moe_decoder *d = ctx;
	int V = d->p->m->config.V, from = (int)task * TILE, to = from + TILE < V ? from + TILE : V;

	(void)worker;
	(void)e;
	stored_columns(d, &d->p->m->head, from, to, d->out[0]);
	return 0;
}

int moe_decode_head_tiles(struct moe_decoder *d, struct moe_err *e)
{
	return moe_decode_run(d, ((size_t)d->p->m->config.V + TILE - 1) / TILE, head_tile, d, e);
}
