/* decode.c - the layers of the decoder and the cache's bookkeeping. Attention is in attend.c,
 * products of large models in decode_tiles.c; which rows to decode, and what to draw, is decided in
 * sample.c. */
#include "model/decode_priv.h"

#include "nn/act.h"
#include "nn/norm.h"
#include "nn/rope.h"
#include "tensor/gemm.h"
#include "tensor/vec.h"

#include <stdlib.h>
#include <string.h>

#define LANES MOE_DECODE_LANES

/* ---- the weights, prepared once and shared by all decoders ---- */

/* cos and sin [max_ctx, hd / 2]. */
static int prepare_rope(struct moe_decoder_weights *p, struct moe_err *e)
{
	const struct moe_config *c = &p->m->config;
	size_t half = (size_t)c->hd / 2, n = (size_t)p->max_ctx;
	int32_t *pos = moe_arena_get(&p->arena, n, sizeof(*pos), e);
	moe_real *freq = pos ? moe_arena_get(&p->arena, half, sizeof(*freq), e) : NULL;
	double scale;

	p->cos_ = freq ? moe_arena_get(&p->arena, n * half, sizeof(*p->cos_), e) : NULL;
	p->sin_ = p->cos_ ? moe_arena_get(&p->arena, n * half, sizeof(*p->sin_), e) : NULL;
	if (!p->sin_ || moe_rope_freqs(c, p->max_ctx, freq, &scale, e))
		return -1;
	for (int i = 0; i < p->max_ctx; i++)
		pos[i] = i;
	moe_rope_table(p->max_ctx, pos, c->hd, freq, scale, p->cos_, p->sin_);
	return 0;
}

/* Norms and biases as moe_real. A narrow model's products are laid out here, a wide one's are read
 * as they are stored (decode_tiles.c). */
static int prepare_layer(struct moe_decoder_weights *p, int l, struct moe_err *e)
{
	const struct moe_layer *y = &p->m->layer[l];
	struct moe_decode_layer *d = &p->layer[l];

	if (moe_weight_get(&y->norm1, &p->arena, &d->norm1, e) ||
		moe_weight_get(&y->norm2, &p->arena, &d->norm2, e) ||
		moe_weight_get(&y->qnorm, &p->arena, &d->qnorm, e) ||
		moe_weight_get(&y->knorm, &p->arena, &d->knorm, e))
		return -1;
	for (int i = 0; i < MOE_LINEARS; i++)
		if (moe_weight_get(&y->bias[i], &p->arena, &d->bias[i], e))
			return -1;
	return p->wide ? 0 : moe_prep_layer(p->m, p->x, l, &p->arena, &d->prep, e);
}

static int prepare_weights(struct moe_decoder_weights *p, struct moe_err *e)
{
	const struct moe_config *c = &p->m->config;

	if (c->hd > MOE_DECODE_HD_MAX)
		return moe_fail(e, MOE_DATA, "head_dim %d: sampling supports up to %d", c->hd,
			MOE_DECODE_HD_MAX);
	p->wide = moe_model_wide(c);
	p->hdp = (c->hd + LANES - 1) / LANES * LANES;
	p->layer = moe_arena_get(&p->arena, (size_t)c->L, sizeof(*p->layer), e);
	if (!p->layer || prepare_rope(p, e) || moe_weight_get(&p->m->norm, &p->arena, &p->norm, e))
		return -1;
	for (int l = 0; l < c->L; l++)
		if (prepare_layer(p, l, e))
			return -1;
	p->head = p->m->head_forth;
	return p->wide || p->head ? 0 : moe_weight_ready(&p->m->head, true, &p->arena, &p->head, e);
}

struct moe_decoder_weights *moe_decoder_weights_new(
	const struct moe_model *m, const struct moe_experts *x, int max_ctx, struct moe_err *e)
{
	struct moe_decoder_weights *p = calloc(1, sizeof(*p));

	if (!p) {
		moe_fail(e, MOE_SYSTEM, "out of memory for decoding");
		return NULL;
	}
	p->m = m;
	p->x = x && x->E > 0 && x->R > 0 ? x : NULL;
	p->max_ctx = max_ctx;
	if ((moe_experts_first_pass(p->x) &&
		    !(p->first = moe_decoder_weights_new(m, NULL, max_ctx, e))) ||
		prepare_weights(p, e)) {
		moe_decoder_weights_free(p);
		return NULL;
	}
	return p;
}

void moe_decoder_weights_free(struct moe_decoder_weights *p)
{
	if (!p)
		return;
	moe_decoder_weights_free(p->first);
	moe_arena_free(&p->arena);
	free(p);
}

bool moe_decode_wide(const struct moe_decoder_weights *p)
{
	return p->wide;
}

/* ---- layers ---- */

/* out = W in + experts, for each Linear of a group, after the gates of the sites that read its
 * input (dense rows, as in training). Rows of out are ld_out apart. */
static int decode_group(struct moe_decoder *d, enum moe_group g, const moe_real *in, int ld_in,
	int ld_out, struct moe_err *e)
{
	const struct moe_prep_group *q = &d->p->layer[d->layer].prep.group[g];
	int ldy[MOE_GROUP_MAX] = { ld_out, ld_out, ld_out }, site[MOE_GROUP_MAX],
	    n = moe_sites_at(d->p->x, d->layer, g, site);
	const moe_real *gate[MOE_GROUP_MAX];

	for (int i = 0; i < n; i++)
		moe_site_fwd(d->p->x, &d->gates, site[i], in, ld_in, &d->sites);
	d->group = g;
	d->in = in;
	d->ld_in = ld_in;
	d->ld_out = ld_out;
	if (d->p->wide)
		return moe_decode_tiles(d, e);
	for (int j = 0; j < moe_groups[g].n; j++)
		gate[j] = moe_decode_gate(d, moe_groups[g].lin[j]);
	moe_group_fwd(q, d->p->x, d->M, in, gate, true, d->out, ldy, d->z, d->zs);
	return 0;
}

static void norm_rows(struct moe_decoder *d, const moe_real *w, moe_real *out)
{
	const struct moe_config *c = &d->p->m->config;

	moe_rmsnorm(d->M, c->D, d->res, c->D, w, c->eps, out, c->D, NULL);
}

/* A layer, for M rows that are each the last token of their chain: the same equations as
 * moe_layer_forward (forward.c), with keys and values of earlier tokens from the cache. */
static int layer(struct moe_decoder *d, bool keys_only, struct moe_err *e)
{
	const struct moe_config *c = &d->p->m->config;
	const struct moe_decode_layer *y = &d->p->layer[d->layer];
	size_t n = (size_t)d->M * (size_t)c->D;
	int q = c->H * c->hd, k = c->K * c->hd;

	/* x [M, D] = rmsnorm(res);  qkv [M, W];  att [M, H * hd] over the cache */
	norm_rows(d, y->norm1, d->x);
	d->out[0] = d->qkv;
	d->out[1] = d->qkv + q;
	d->out[2] = d->qkv + q + k;
	if (decode_group(d, MOE_GROUP_QKV, d->x, c->D, q + 2 * k, e) ||
		moe_decode_attention(d, keys_only, e))
		return -1;
	if (keys_only)
		return 0;
	/* res += W_o att */
	d->out[0] = d->add;
	if (decode_group(d, MOE_GROUP_O, d->att, q, c->D, e))
		return -1;
	moe_vec_add(n, d->add, d->res);
	/* x = rmsnorm(res);  act [M, F] = silu(W_gate x) * W_up x (a wide model's tiles multiply
	 * them as they are made);  res += W_down act */
	norm_rows(d, y->norm2, d->x);
	d->out[0] = d->g;
	d->out[1] = d->u;
	if (decode_group(d, MOE_GROUP_GU, d->x, c->D, c->F, e))
		return -1;
	if (!d->p->wide)
		moe_swiglu((size_t)d->M * (size_t)c->F, d->g, d->u, d->act);
	d->out[0] = d->add;
	if (decode_group(d, MOE_GROUP_DOWN, d->act, c->F, c->D, e))
		return -1;
	moe_vec_add(n, d->add, d->res);
	moe_experts_add_shift(d->p->x, d->layer, d->M, d->gates.outer, d->res);
	return 0;
}

/* Outer gates and routed flags of the rows at hand. */
static void spread_gates(struct moe_decoder *d)
{
	size_t E = d->p->x ? (size_t)d->p->x->E : 0;

	d->gated = false;
	for (int i = 0; E && i < d->M; i++) {
		d->gated = d->gated || d->row[i].outer;
		d->routed[i] = !d->row[i].unrouted;
	}
	for (int i = 0; d->gated && i < d->M; i++)
		for (size_t ex = 0; ex < E; ex++)
			d->outer[(size_t)i * E + ex] = d->row[i].outer ? d->row[i].outer[ex] : 1;
	d->gates = (struct moe_gates){ .outer = d->gated ? d->outer : NULL, .routed = d->routed };
	d->sites.T = d->M;
}

/* Adds each row's gates of this call, their mean over the sites, to what the row asks for. */
static void add_mean_gates(struct moe_decoder *d)
{
	const struct moe_site_gates *q = &d->sites;

	for (int i = 0; q->S && i < d->M; i++)
		for (int e = 0; d->row[i].gate_sum && e < q->E; e++) {
			double sum = 0;

			for (int s = 0; s < q->S; s++)
				sum += (double)q->gate[((size_t)s * (size_t)q->T + (size_t)i) *
						(size_t)q->E +
					(size_t)e];
			d->row[i].gate_sum[e] += sum / q->S;
		}
}

/* The same rows through the base alone, on chains of their own, and the gates from its last states.
 */
static int first_pass(
	struct moe_decoder *d, int M, const struct moe_decode_row *row, struct moe_err *e)
{
	for (int i = 0; i < M; i++) {
		struct moe_chain *mine = row[i].mine;

		if (!mine->first && !(mine->first = moe_alloc(1, sizeof(*mine->first), e)))
			return -1;
		mine->first->expect = mine->expect;
		d->first_row[i] = (struct moe_decode_row){ .id = row[i].id,
			.pos = row[i].pos,
			.shared = row[i].shared ? row[i].shared->first : NULL,
			.n_shared = row[i].n_shared,
			.mine = mine->first,
			.at = row[i].at };
	}
	if (moe_decode_rows(d->first, M, d->first_row, d->first_state, e))
		return -1;
	moe_site_fwd(d->p->x, &d->gates, 0, d->first_state, d->p->m->config.D, &d->sites);
	return 0;
}

int moe_decode_rows(struct moe_decoder *d, int M, const struct moe_decode_row *row,
	moe_real *hidden, struct moe_err *e)
{
	const struct moe_config *c = &d->p->m->config;

	d->M = M;
	d->row = row;
	d->apart = true;
	for (int i = 1; i < M; i++)
		d->apart = d->apart && row[i].mine != row[i - 1].mine;
	spread_gates(d);
	if (d->first && first_pass(d, M, row, e))
		return -1;
	/* residual stream [M, D] = embeddings; room for each row's key and value */
	for (int i = 0; i < M; i++) {
		moe_weight_widen(&d->p->m->embed, row[i].id, 1, d->res + (size_t)i * (size_t)c->D);
		if (moe_chain_reserve(d, row[i].mine, row[i].at, e))
			return -1;
	}
	/* what nobody asks for is not made: of the last layer keys and values are left */
	for (d->layer = 0; d->layer < c->L; d->layer++)
		if (layer(d, !hidden && d->layer == c->L - 1, e))
			return -1;
	/* hidden [M, D] = rmsnorm of the last layer's output */
	if (hidden)
		norm_rows(d, d->p->norm, hidden);
	add_mean_gates(d);
	return 0;
}

int moe_decode_logits(
	struct moe_decoder *d, int M, const moe_real *hidden, moe_real *logits, struct moe_err *e)
{
	const struct moe_config *c = &d->p->m->config;

	d->M = M;
	d->in = hidden;
	d->out[0] = logits;
	d->ld_in = c->D;
	d->ld_out = c->V;
	if (d->p->wide)
		return moe_decode_head_tiles(d, e);
	moe_gemm_rows_ready(M, c->V, c->D, hidden, c->D, d->p->head, 0, logits, c->V);
	return 0;
}
