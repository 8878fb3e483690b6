/* decode_state.c - what the parts of the decoder stand on: its arrays, the blocks of its caches,
 * the sharing out of tasks, the gates of the rows at hand. It computes nothing; decode.c, attend.c
 * and decode_tiles.c call it, and it calls none of them. */
#include "model/decode_priv.h"
#include "tensor/gemm.h"
#include "util/mem.h"

#include <stdlib.h>
#include <string.h>

#define LANES MOE_DECODE_LANES

/* ---- cache blocks ---- */

/* Keys and values lie in blocks of c->pos positions, taken from the spare ones of that size: room
 * for position `at`. The first call fixes the size after the length that is expected, in whole
 * LANES. */
int moe_chain_reserve(struct moe_decoder *d, struct moe_chain *c, int at, struct moe_err *e)
{
	const struct moe_config *y = &d->p->m->config;

	if (!c->pos) {
		c->pos = (c->expect + LANES - 1) / LANES * LANES;
		c->pos = c->pos < 1 || c->pos > MOE_GEMM_PANEL ? MOE_GEMM_PANEL : c->pos;
	}
	while (c->n * c->pos <= at) {
		struct moe_spare *s = &d->spare[c->pos / LANES - 1];
		size_t size = (size_t)y->L * (size_t)y->K * (size_t)(y->hd + d->p->hdp) *
			(size_t)c->pos;

		if (c->n == c->cap) {
			int cap = c->cap ? 2 * c->cap : 4;
			moe_real **b = realloc(c->block, (size_t)cap * sizeof(*b));

			if (!b)
				return moe_fail(e, MOE_SYSTEM,
					"out of memory for the keys and values of %d tokens",
					at + 1);
			c->block = b;
			c->cap = cap;
		}
		c->block[c->n] = s->n ? s->block[--s->n] : moe_alloc(size, sizeof(moe_real), e);
		if (!c->block[c->n])
			return moe_err_prefix(e, "keys and values of %d tokens", at + 1);
		c->n++;
	}
	return 0;
}

/* Blocks go back to the spare ones, for the next completion. */
void moe_chain_release(struct moe_decoder *d, struct moe_chain *c)
{
	if (c->first)
		moe_chain_release(d->first, c->first);
	free(c->first);
	for (int i = 0; i < c->n; i++) {
		struct moe_spare *s = &d->spare[c->pos / LANES - 1];

		if (s->n == s->cap) {
			size_t cap = s->cap ? 2 * s->cap : 64;
			moe_real **b = realloc(s->block, cap * sizeof(*b));

			if (!b) {
				free(c->block[i]);
				continue;
			}
			s->block = b;
			s->cap = cap;
		}
		s->block[s->n++] = c->block[i];
	}
	free(c->block);
	memset(c, 0, sizeof(*c));
}

/* ---- a decoder ---- */

static int decoder_arrays(struct moe_decoder *d, struct moe_err *e)
{
	const struct moe_decoder_weights *p = d->p;
	const struct moe_config *c = &p->m->config;
	size_t M = (size_t)d->max_rows, threads = d->pool ? (size_t)moe_pool_threads(d->pool) : 1;
	size_t D = (size_t)c->D, F = (size_t)c->F, R = p->x ? (size_t)p->x->R : 0,
	       E = p->x ? (size_t)p->x->E : 0;
	/* M rows at a time: residual stream and norm [M, D], add [M, D], q k v of a row side by
	 * side, attention [M, H * hd], the FFN's halves [M, F], slots of the experts before and
	 * after their gates (three Linears read one input at most), outer gates [M, E], scores of a
	 * thread's row */
	const struct {
		moe_real **to;
		size_t n;
	} want[] = { { &d->res, M * D }, { &d->x, M * D }, { &d->add, M * D },
		{ &d->qkv, M * (size_t)((c->H + 2 * c->K) * c->hd) },
		{ &d->att, M * (size_t)(c->H * c->hd) }, { &d->g, M * F }, { &d->u, M * F },
		{ &d->act, M * F }, { &d->z, M * 3 * R }, { &d->zs, M * 3 * R },
		{ &d->outer, M * E }, { &d->score, threads * (size_t)(p->max_ctx + 2 * LANES) } };

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		if (!(*want[i].to = moe_arena_get(&d->arena, want[i].n + 1, sizeof(moe_real), e)))
			return -1;
	d->routed = moe_arena_get(&d->arena, M, 1, e);
	if (!d->routed || moe_site_gates_make(&d->sites, p->x, d->max_rows, &d->arena, e))
		return -1;
	if (!p->first)
		return 0;
	d->first_row = moe_arena_get(&d->arena, M, sizeof(*d->first_row), e);
	d->first_state = moe_arena_get(&d->arena, M * D, sizeof(moe_real), e);
	d->first = moe_decoder_new(p->first, d->max_rows, d->pool, e);
	return d->first_row && d->first_state && d->first ? 0 : -1;
}

struct moe_decoder *moe_decoder_new(
	const struct moe_decoder_weights *p, int max_rows, struct moe_pool *pool, struct moe_err *e)
{
	struct moe_decoder *d = calloc(1, sizeof(*d));

	if (!d) {
		moe_fail(e, MOE_SYSTEM, "out of memory for a decoder");
		return NULL;
	}
	d->p = p;
	d->pool = pool;
	d->max_rows = max_rows;
	if (decoder_arrays(d, e)) {
		moe_decoder_free(d);
		return NULL;
	}
	return d;
}

void moe_decoder_free(struct moe_decoder *d)
{
	if (!d)
		return;
	for (int s = 0; s < MOE_DECODE_SIZES; s++) {
		for (size_t i = 0; i < d->spare[s].n; i++)
			free(d->spare[s].block[i]);
		free(d->spare[s].block);
	}
	moe_decoder_free(d->first);
	moe_arena_free(&d->arena);
	free(d);
}

/* n tasks on the pool, or here when there is only one. */
int moe_decode_run(struct moe_decoder *d, size_t n, moe_pool_fn *fn, void *ctx, struct moe_err *e)
{
	if (d->pool && n > 1)
		return moe_pool_run(d->pool, n, fn, ctx, e);
	for (size_t t = 0; t < n; t++)
		if (fn(ctx, t, 0, e))
			return -1;
	return 0;
}

const moe_real *moe_decode_gate(const struct moe_decoder *d, enum moe_linear l)
{
	return moe_gate_of(
		d->p->x, &d->gates, &d->sites, (size_t)d->layer * MOE_LINEARS + (size_t)l);
}
