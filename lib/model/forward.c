/* forward.c - the forward pass over a packed batch. Not the head (head.c), not decoding
 * (decode*.c). */
#include "model/acts.h"
#include "nn/act.h"
#include "nn/attn.h"
#include "nn/norm.h"
#include "nn/rope.h"
#include "tensor/gemm.h"
#include "tensor/vec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POS_MAX (1 << 24)

static double now_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int width(const struct moe_config *c)
{
	return (c->H + 2 * c->K) * c->hd;
}

/* Segments lie side by side, a child behind its parent and in its positions; one level of parents.
 */
static int check_segment(const struct moe_batch *b, int i, int end, struct moe_err *e)
{
	const struct moe_seg *s = &b->seg[i], *up;

	if (s->start != end || s->len < 1 || s->len > b->T - s->start)
		return moe_fail(e, MOE_DATA,
			"segment %d covers tokens %d to %d of %d: segments must follow one another "
			"without gaps",
			i, s->start, s->start + s->len, b->T);
	if (s->parent >= i || s->parent < -1)
		return moe_fail(e, MOE_DATA, "segment %d has parent %d: a parent must come before",
			i, s->parent);
	up = s->parent < 0 ? NULL : &b->seg[s->parent];
	if (up && up->parent >= 0)
		return moe_fail(
			e, MOE_DATA, "segment %d: its parent %d has a parent itself", i, s->parent);
	if (s->pos0 < 0 || s->pos0 > POS_MAX - s->len || (up && s->pos0 != up->pos0 + up->len))
		return moe_fail(e, MOE_DATA,
			"segment %d starts at position %d, which does not fit its parent", i,
			s->pos0);
	return 0;
}

static int check(const struct moe_model *m, const struct moe_experts *x, const struct moe_batch *b,
	struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	int end = 0;

	if (b->T < 1 || b->n_seg < 1)
		return moe_fail(e, MOE_DATA, "the batch is empty");
	for (int i = 0; i < b->n_seg; i++) {
		if (check_segment(b, i, end, e))
			return -1;
		end = b->seg[i].start + b->seg[i].len;
	}
	if (end != b->T)
		return moe_fail(e, MOE_DATA, "the segments cover %d of %d tokens", end, b->T);
	for (int t = 0; t < b->T; t++)
		if (b->ids[t] < 0 || b->ids[t] >= c->V)
			return moe_fail(e, MOE_DATA,
				"token %d has id %d, outside of the vocabulary of %d", t,
				(int)b->ids[t], c->V);
	if (x) {
		const struct moe_config *f = &x->config;

		if (f->L != c->L || f->D != c->D || f->H != c->H || f->K != c->K ||
			f->hd != c->hd || f->F != c->F)
			return moe_fail(e, MOE_DATA,
				"the adapter was made for a base of another shape (%d layers of "
				"width %d, not %d of %d)",
				f->L, f->D, c->L, c->D);
	}
	return 0;
}

/* The longest row of attention scores: a segment's own tokens and its parent's. */
int moe_batch_max_keys(const struct moe_batch *b)
{
	int most = 0;

	for (int i = 0; i < b->n_seg; i++) {
		int n = b->seg[i].len + (b->seg[i].parent < 0 ? 0 : b->seg[b->seg[i].parent].len);

		most = n > most ? n : most;
	}
	return most;
}

static moe_real *get(struct moe_arena *a, size_t rows, size_t cols, struct moe_err *e)
{
	size_t n;

	if (!moe_mul(rows, cols, &n)) {
		moe_fail(e, MOE_SYSTEM, "out of memory: %zu x %zu numbers were asked for", rows,
			cols);
		return NULL;
	}
	return moe_arena_get(a, n, sizeof(moe_real), e);
}

/* Slots of all adapted Linears that read a group's input: the width of z. */
static int group_slots(const struct moe_experts *x, int k)
{
	int slots = 0;

	for (int j = 0; x && j < moe_groups[k].n; j++)
		slots += x->target[moe_groups[k].lin[j]] ? x->R : 0;
	return slots;
}

int moe_layer_acts_alloc(const struct moe_model *m, const struct moe_experts *x, struct moe_acts *a,
	struct layer_acts *la, bool in, struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	struct pass *p = a->priv;
	size_t T = (size_t)p->T, D = (size_t)c->D, W = (size_t)width(c), F = (size_t)c->F;
	struct moe_arena *r = &a->arena;

	memset(la, 0, sizeof(*la));
	if (in && !(la->in = get(r, T, D, e)))
		return -1;
	/* what backward needs of a layer: 1 / rms of both norms [T] each, q k v side by side [T,
	 * W], attention's output and log-sum-exp, the residual in the middle, the FFN's two halves
	 */
	la->rstd1 = get(r, T, 2, e);
	la->qkv = get(r, T, W, e);
	la->o = get(r, T, (size_t)c->H * (size_t)c->hd, e);
	la->lse = get(r, T, (size_t)c->H, e);
	la->mid = get(r, T, D, e);
	la->g = get(r, T, F, e);
	la->u = get(r, T, F, e);
	if (!la->rstd1 || !la->qkv || !la->o || !la->lse || !la->mid || !la->g || !la->u)
		return -1;
	la->rstd2 = la->rstd1 + T;
	if (c->qk_norm) {
		la->qk0 = get(r, T, W, e);
		la->rstdq = get(r, T, (size_t)c->H + (size_t)c->K, e);
		if (!la->qk0 || !la->rstdq)
			return -1;
		la->rstdk = la->rstdq + T * (size_t)c->H;
	}
	for (int k = 0; k < MOE_GROUPS; k++)
		if (group_slots(x, k) && !(la->z[k] = get(r, T, (size_t)group_slots(x, k), e)))
			return -1;
	return 0;
}

struct moe_attn moe_attn_of(
	const struct moe_config *c, const struct moe_batch *b, int s, int k, const moe_real *qkv)
{
	const struct moe_seg *seg = &b->seg[s], *up = seg->parent < 0 ? NULL : &b->seg[seg->parent];
	int W = width(c), group = c->H / c->K;
	const moe_real *row = qkv + (size_t)seg->start * (size_t)W,
		       *prow = up ? qkv + (size_t)up->start * (size_t)W : row;
	int key = (c->H + k) * c->hd, value = (c->H + c->K + k) * c->hd;

	return (struct moe_attn){ .hd = c->hd,
		.group = group,
		.n = seg->len,
		.n_par = up ? up->len : 0,
		.scale = (moe_real)(1 / sqrt((double)c->hd)),
		.q = row + k * group * c->hd,
		.k = row + key,
		.v = row + value,
		.kp = prow + key,
		.vp = prow + value,
		.ldq = W,
		.ldk = W };
}

/* Per-head norms (Qwen3) and positions, in place on la->qkv; the state before the norm is kept in
 * la->qk0. */
static void place(const struct moe_config *c, const struct moe_prep_layer *y, struct pass *p,
	struct layer_acts *la)
{
	int W = width(c), T = p->T;

	if (c->qk_norm) {
		memcpy(la->qk0, la->qkv, (size_t)T * (size_t)W * sizeof(moe_real));
		for (int h = 0; h < c->H + c->K; h++) {
			const moe_real *from = la->qk0 + h * c->hd;
			moe_real *rstd = h < c->H ? la->rstdq + (size_t)h * (size_t)T
						  : la->rstdk + (size_t)(h - c->H) * (size_t)T;

			moe_rmsnorm(T, c->hd, from, W, h < c->H ? y->qnorm : y->knorm, c->eps,
				la->qkv + h * c->hd, W, rstd);
		}
	}
	moe_rope(T, c->H + c->K, c->hd, la->qkv, W, p->cos_, p->sin_, false);
}

/* keep: whether a backward pass will ask for lse. */
static int attend(const struct moe_config *c, const struct moe_batch *b, struct pass *p, bool keep,
	struct layer_acts *la, struct moe_err *e)
{
	moe_real *scratch = get(&p->tmp, moe_attn_scratch(c->hd, moe_batch_max_keys(b)), 1, e);
	int group = c->H / c->K, wide = c->H * c->hd;

	if (!scratch)
		return -1;
	for (int s = 0; s < b->n_seg; s++)
		for (int k = 0; k < c->K; k++) {
			struct moe_attn at = moe_attn_of(c, b, s, k, la->qkv);
			size_t row = (size_t)b->seg[s].start;

			moe_attn_fwd(&at, la->o + row * (size_t)wide + k * group * c->hd, wide,
				keep ? la->lse + row * (size_t)c->H + k * group : NULL, c->H,
				scratch);
		}
	return 0;
}

/* One group of Linears: the gates of the sites that read its input, then its products. in [T, in].
 */
static void group_forward(const struct moe_prep_layer *y, const struct moe_experts *x,
	const struct moe_gates *g, struct moe_acts *a, int layer, enum moe_group k,
	const struct layer_acts *la, const moe_real *in, moe_real *const out[], const int ld[])
{
	struct pass *p = a->priv;
	const struct moe_prep_group *q = &y->group[k];
	const moe_real *gate[MOE_GROUP_MAX];
	int site[MOE_GROUP_MAX], n = p->rerun ? 0 : moe_sites_at(x, layer, k, site);

	if (a->tap && !p->rerun)
		a->tap(a->tap_ctx, layer, k, in, q->in);

	/* the first group that reads a site's input decides its gates; later groups find them made
	 */
	for (int i = 0; i < n; i++)
		moe_site_fwd(x, g, site[i], in, q->in, &a->gates);
	for (int j = 0; j < q->n; j++)
		gate[j] = moe_gate_of(
			x, g, &a->gates, (size_t)layer * MOE_LINEARS + (size_t)q->lin[j].linear);
	moe_group_fwd(q, x, p->T, in, gate, p->exact, out, ld, la->z[k], p->zs);
}

int moe_layer_forward(const struct moe_model *m, const struct moe_experts *x,
	const struct moe_gates *g, const struct moe_batch *b, struct moe_acts *a, int i,
	struct layer_acts *la, moe_real *out, struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	struct pass *p = a->priv;
	struct moe_prep_layer y;
	int T = p->T, W = width(c);
	size_t td = (size_t)T * (size_t)c->D;

	moe_arena_reset(&p->tmp);
	if (moe_prep_layer(m, x, i, &p->tmp, &y, e))
		return -1;
	/* norm [T, D] = rmsnorm(in) */
	moe_rmsnorm(T, c->D, la->in, c->D, y.norm1, c->eps, p->norm, c->D, la->rstd1);
	/* qkv [T, W]: queries, keys and values of a token side by side; then norms and RoPE */
	group_forward(&y, x, g, a, i, MOE_GROUP_QKV, la, p->norm,
		(moe_real *[]){ la->qkv, la->qkv + c->H * c->hd, la->qkv + (c->H + c->K) * c->hd },
		(int[]){ W, W, W });
	place(c, &y, p, la);
	/* o [T, H*hd] = softmax(q k^T / sqrt(hd)) v, per segment and head */
	if (attend(c, b, p, a->keep, la, e))
		return -1;
	/* mid [T, D] = in + W_o o */
	group_forward(&y, x, g, a, i, MOE_GROUP_O, la, la->o, (moe_real *[]){ p->proj }, &c->D);
	memcpy(la->mid, la->in, td * sizeof(moe_real));
	moe_vec_add(td, p->proj, la->mid);
	/* norm [T, D] = rmsnorm(mid) */
	moe_rmsnorm(T, c->D, la->mid, c->D, y.norm2, c->eps, p->norm, c->D, la->rstd2);
	/* g, u [T, F] = W_gate norm, W_up norm;  ff [T, F] = silu(g) * u */
	group_forward(&y, x, g, a, i, MOE_GROUP_GU, la, p->norm, (moe_real *[]){ la->g, la->u },
		(int[]){ c->F, c->F });
	moe_swiglu((size_t)T * (size_t)c->F, la->g, la->u, p->ff);
	/* out [T, D] = mid + W_down ff */
	group_forward(&y, x, g, a, i, MOE_GROUP_DOWN, la, p->ff, (moe_real *[]){ p->proj }, &c->D);
	memcpy(out, la->mid, td * sizeof(moe_real));
	moe_vec_add(td, p->proj, out);
	moe_experts_add_shift(x, i, T, g ? g->outer : NULL, out);
	if (p->tmp.peak_bytes > p->peak_bytes)
		p->peak_bytes = p->tmp.peak_bytes;
	return 0;
}

/* Scratch, positions and tables that all layers use. */
static int begin(const struct moe_model *m, const struct moe_experts *x, const struct moe_batch *b,
	struct moe_acts *a, struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	struct pass *p = a->priv;
	size_t T = (size_t)b->T, half = (size_t)c->hd / 2;
	int longest = 0;
	double scale;

	p->T = b->T;
	p->slots_max = 0;
	for (int k = 0; k < MOE_GROUPS; k++)
		p->slots_max = group_slots(x, k) > p->slots_max ? group_slots(x, k) : p->slots_max;
	/* exact products: the caller's wish, narrow models anyway, and hard routers, whose choice
	 * must not flip by the rounding of x between sampler and trainer */
	p->exact = a->exact || !moe_model_wide(c) || (x && x->S && x->router->hard);
	p->rerun = false;
	p->pos = moe_arena_get(&a->arena, T, sizeof(*p->pos), e);
	p->inv_freq = get(&a->arena, half, 1, e);
	p->cos_ = get(&a->arena, T, half, e);
	p->sin_ = get(&a->arena, T, half, e);
	p->norm = get(&a->arena, T, (size_t)c->D, e);
	p->proj = get(&a->arena, T, (size_t)c->D, e);
	p->ff = get(&a->arena, T, (size_t)c->F, e);
	p->zs = get(&a->arena, T, (size_t)p->slots_max, e);
	p->last = get(&a->arena, T, (size_t)c->D, e);
	p->rstd = get(&a->arena, T, 1, e);
	a->out = get(&a->arena, T, (size_t)c->D, e);
	p->la = moe_arena_get(&a->arena, (size_t)c->L, sizeof(*p->la), e);
	if (moe_site_gates_make(&a->gates, x, b->T, &a->arena, e) || !p->pos || !p->inv_freq ||
		!p->cos_ || !p->sin_ || !p->norm || !p->proj || !p->ff || !p->zs || !p->last ||
		!p->rstd || !a->out || !p->la)
		return -1;
	/* positions go on from a segment's parent; the tables of RoPE reach to the longest */
	for (int s = 0; s < b->n_seg; s++)
		for (int t = 0; t < b->seg[s].len; t++) {
			p->pos[b->seg[s].start + t] = b->seg[s].pos0 + t;
			longest = b->seg[s].pos0 + t + 1 > longest ? b->seg[s].pos0 + t + 1
								   : longest;
		}
	if (moe_rope_freqs(c, longest, p->inv_freq, &scale, e))
		return -1;
	moe_rope_table(b->T, p->pos, c->hd, p->inv_freq, scale, p->cos_, p->sin_);
	return 0;
}

/* Keeps the output of layer i [T, D] beside the pass. */
static int keep_block(
	struct moe_acts *a, const struct moe_model *m, int i, const moe_real *h, struct moe_err *e)
{
	size_t n = (size_t)((struct pass *)a->priv)->T * (size_t)m->config.D;

	if (i == 0 &&
		!(a->block_out = moe_arena_get(
			  &a->arena, (size_t)m->config.L, sizeof(*a->block_out), e)))
		return -1;
	a->block_out[i] = get(&a->arena, n, 1, e);
	if (!a->block_out[i])
		return -1;
	memcpy(a->block_out[i], h, n * sizeof(*h));
	return 0;
}

/* The base alone, whose last state decides the gates of all sites. */
static int first_pass(const struct moe_model *m, const struct moe_experts *x,
	const struct moe_gates *g, const struct moe_batch *b, struct moe_acts *a, struct moe_err *e)
{
	struct pass *p = a->priv;

	if (!p->first && !(p->first = calloc(1, sizeof(*p->first))))
		return moe_fail(e, MOE_SYSTEM, "out of memory");
	p->first->exact = p->exact;
	if (moe_forward(m, NULL, NULL, b, p->first, e))
		return -1;
	moe_site_fwd(x, g, 0, p->first->out, m->config.D, &a->gates);
	return 0;
}

static int run(const struct moe_model *m, const struct moe_experts *x, const struct moe_gates *g,
	const struct moe_batch *b, struct moe_acts *a, struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	struct pass *p = a->priv;
	/* fewer layers, for a look at early states: nothing is kept, and no head can follow */
	int layers = a->layers > 0 && a->layers < c->L && !a->keep ? a->layers : c->L;
	bool every = a->keep && !a->recompute;
	struct layer_acts *la = p->la;
	const moe_real *w;

	/* every layer keeps its activations, or (recompute, or nothing to keep) all share those of
	 * the first and keep their input [T, D] at most */
	for (int i = 0; i < c->L; i++) {
		if (i == 0 || every) {
			if (moe_layer_acts_alloc(m, x, a, &la[i], true, e))
				return -1;
		} else {
			la[i] = la[0];
			if (a->keep && !(la[i].in = get(&a->arena, (size_t)b->T, (size_t)c->D, e)))
				return -1;
		}
	}
	if (moe_experts_first_pass(x) && first_pass(m, x, g, b, a, e))
		return -1;
	/* residual stream [T, D] = embedding of each token */
	for (int t = 0; t < b->T; t++)
		moe_weight_widen(&m->embed, (int)b->ids[t], 1, la[0].in + (size_t)t * (size_t)c->D);
	/* layer i reads la[i].in and writes the next one's input */
	for (int i = 0; i < layers; i++) {
		moe_real *out = i + 1 < c->L ? la[i + 1].in : p->last;

		if (moe_layer_forward(m, x, g, b, a, i, &la[i], out, e) ||
			(a->keep_hidden && keep_block(a, m, i, out, e)))
			return -1;
	}
	if (layers < c->L)
		return 0;
	moe_arena_reset(&p->tmp);
	if (moe_weight_get(&m->norm, &p->tmp, &w, e))
		return -1;
	/* out [T, D] = rmsnorm of the last layer's output: what the head reads */
	moe_rmsnorm(b->T, c->D, p->last, c->D, w, c->eps, a->out, c->D, p->rstd);
	return 0;
}

int moe_forward(const struct moe_model *m, const struct moe_experts *x, const struct moe_gates *g,
	const struct moe_batch *b, struct moe_acts *a, struct moe_err *e)
{
	double t0 = now_sec(), g0 = moe_gemm_sec();
	struct pass *p = a->priv;
	int r;

	if (!p && !(p = a->priv = calloc(1, sizeof(*p))))
		return moe_fail(e, MOE_SYSTEM, "out of memory");
	p->valid = false;
	if (check(m, x, b, e))
		return -1;
	moe_arena_reset(&a->arena);
	a->block_out = NULL;
	r = begin(m, x, b, a, e);
	if (!r)
		r = run(m, x, g, b, a, e);
	p->valid = r == 0 && (a->keep || a->layers <= 0 || a->layers >= m->config.L);
	p->kept = a->keep;
	p->recompute = a->recompute;
	a->gemm_sec += moe_gemm_sec() - g0;
	a->total_sec += now_sec() - t0;
	return r;
}

void moe_acts_free(struct moe_acts *a)
{
	struct pass *p = a->priv;

	if (p) {
		moe_arena_free(&p->tmp);
		if (p->first)
			moe_acts_free(p->first);
		free(p->first);
	}
	free(p);
	moe_arena_free(&a->arena);
	memset(a, 0, sizeof(*a));
}

size_t moe_acts_peak_bytes(const struct moe_acts *a)
{
	const struct pass *p = a->priv;

	return a->arena.peak_bytes + (p ? p->tmp.peak_bytes : 0) +
		(p && p->first ? moe_acts_peak_bytes(p->first) : 0);
}
