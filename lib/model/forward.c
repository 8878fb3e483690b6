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

/* ---- one layer. Its steps are of rows [from, to), which other rows' never wait for, so that a
 * pool's threads share them out (moe_pool_rows); attention is of segments. ---- */

struct layer_run {
	const struct moe_config *c;
	const struct moe_experts *x;
	const struct moe_gates *g;
	const struct moe_batch *b;
	struct moe_acts *a;
	struct pass *p;
	const struct moe_prep_layer *y;
	struct layer_acts *la;
	int layer;
	moe_real *out;     /* [T, D] */
	moe_real *scratch; /* [threads, n_scratch] of the attention */
	size_t n_scratch;
	const unsigned char *idle; /* [T] rows that need keys and values alone, or NULL */
};

static size_t at(int row, int cols)
{
	return (size_t)row * (size_t)cols;
}

/* Rows of one group of Linears: in [T, in] to out[j] [T, ld[j]]. Its sites' gates are there. */
static void group_rows(const struct layer_run *r, enum moe_group k, const moe_real *in,
	moe_real *const out[], const int ld[], int from, int to)
{
	const struct moe_prep_group *q = &r->y->group[k];
	const moe_real *gate[MOE_GROUP_MAX];
	moe_real *y[MOE_GROUP_MAX], *z = r->la->z[k];

	for (int j = 0; j < q->n; j++) {
		gate[j] = moe_gate_of(r->x, r->g, &r->a->gates,
			(size_t)r->layer * MOE_LINEARS + (size_t)q->lin[j].linear);
		gate[j] = gate[j] ? gate[j] + at(from, r->x->E) : NULL;
		y[j] = out[j] + at(from, ld[j]);
	}
	moe_group_fwd(q, r->x, to - from, in + at(from, q->in), gate, r->p->exact, y, ld,
		z ? z + at(from, q->slots) : NULL, r->p->zs + at(from, q->slots));
}

/* Before a group's products: a look at its input [T, in], and the gates of the sites that read it.
 * The first group that reads a site's input decides its gates; later groups find them made. */
static void open_group(const struct layer_run *r, enum moe_group k, const moe_real *in)
{
	int site[MOE_GROUP_MAX], d = r->y->group[k].in,
				 n = r->p->rerun ? 0 : moe_sites_at(r->x, r->layer, k, site);

	if (r->a->tap && !r->p->rerun)
		r->a->tap(r->a->tap_ctx, r->layer, k, in, d);
	for (int i = 0; i < n; i++)
		moe_site_fwd(r->x, r->g, site[i], in, d, &r->a->gates);
}

bool moe_busy_rows(const unsigned char *idle, int *from, int to, int *end)
{
	while (idle && *from < to && idle[*from])
		++*from;
	*end = idle ? *from : to;
	while (*end < to && !idle[*end])
		++*end;
	return *from < to;
}

void moe_zero_idle(const unsigned char *idle, int from, int to, moe_real *x, int cols)
{
	for (int t = from; idle && t < to; t++)
		if (idle[t])
			memset(x + (size_t)t * (size_t)cols, 0, (size_t)cols * sizeof(*x));
}

static void norm1_rows(void *ctx, int from, int to, int worker)
{
	const struct layer_run *r = ctx;
	int D = r->c->D;

	(void)worker;
	moe_rmsnorm(to - from, D, r->la->in + at(from, D), D, r->y->norm1, r->c->eps,
		r->p->norm + at(from, D), D, r->la->rstd1 + from);
}

/* Per-head norms (Qwen3) and positions, in place on la->qkv; the state before the norm is kept in
 * la->qk0. */
static void place_rows(const struct layer_run *r, int from, int to)
{
	const struct moe_config *c = r->c;
	struct layer_acts *la = r->la;
	int W = width(c), n = to - from;
	size_t T = (size_t)r->p->T;
	moe_real *qkv = la->qkv + at(from, W), *qk0 = la->qk0 ? la->qk0 + at(from, W) : NULL;

	if (c->qk_norm) {
		memcpy(qk0, qkv, at(n, W) * sizeof(moe_real));
		for (int h = 0; h < c->H + c->K; h++) {
			moe_real *rstd = h < c->H ? la->rstdq + (size_t)h * T
						  : la->rstdk + (size_t)(h - c->H) * T;

			moe_rmsnorm(n, c->hd, qk0 + h * c->hd, W,
				h < c->H ? r->y->qnorm : r->y->knorm, c->eps, qkv + h * c->hd, W,
				rstd + from);
		}
	}
	moe_rope(n, c->H + c->K, c->hd, qkv, W, r->p->cos_ + at(from, c->hd / 2),
		r->p->sin_ + at(from, c->hd / 2), false);
}

static void qkv_rows(void *ctx, int from, int to, int worker)
{
	const struct layer_run *r = ctx;
	const struct moe_config *c = r->c;
	moe_real *qkv = r->la->qkv;
	int W = width(c);

	(void)worker;
	group_rows(r, MOE_GROUP_QKV, r->p->norm,
		(moe_real *[]){ qkv, qkv + c->H * c->hd, qkv + (c->H + c->K) * c->hd },
		(int[]){ W, W, W }, from, to);
	place_rows(r, from, to);
}

/* "Rows" here are kv-heads of segments, [n_seg, K]. */
static void attend_heads(void *ctx, int from, int to, int worker)
{
	const struct layer_run *r = ctx;
	const struct moe_config *c = r->c;
	int group = c->H / c->K, wide = c->H * c->hd;

	for (int i = from; i < to; i++) {
		int s = i / c->K, k = i % c->K, row = r->b->seg[s].start;
		struct moe_attn q = moe_attn_of(c, r->b, s, k, r->la->qkv);

		if (r->idle && r->idle[row])
			continue;

		/* lse is for a backward pass */
		moe_attn_fwd(&q, r->la->o + at(row, wide) + k * group * c->hd, wide,
			r->a->keep ? r->la->lse + at(row, c->H) + k * group : NULL, c->H,
			r->scratch + (size_t)worker * r->n_scratch);
	}
}

/* mid [T, D] = in + W_o o;  norm = rmsnorm(mid) */
static void o_run(const struct layer_run *r, int from, int to)
{
	struct layer_acts *la = r->la;
	int D = r->c->D;
	size_t first = at(from, D), n = at(to - from, D);

	group_rows(r, MOE_GROUP_O, la->o, (moe_real *[]){ r->p->proj }, &D, from, to);
	memcpy(la->mid + first, la->in + first, n * sizeof(moe_real));
	moe_vec_add(n, r->p->proj + first, la->mid + first);
	moe_rmsnorm(to - from, D, la->mid + first, D, r->y->norm2, r->c->eps, r->p->norm + first, D,
		la->rstd2 + from);
}

/* g, u [T, F] = W_gate norm, W_up norm;  ff [T, F] = silu(g) * u */
static void gate_up_run(const struct layer_run *r, int from, int to)
{
	struct layer_acts *la = r->la;
	int F = r->c->F;

	group_rows(r, MOE_GROUP_GU, r->p->norm, (moe_real *[]){ la->g, la->u }, (int[]){ F, F },
		from, to);
	moe_swiglu(
		at(to - from, F), la->g + at(from, F), la->u + at(from, F), r->p->ff + at(from, F));
}

/* out [T, D] = mid + W_down ff */
static void down_run(const struct layer_run *r, int from, int to)
{
	int D = r->c->D;
	size_t first = at(from, D), n = at(to - from, D);

	group_rows(r, MOE_GROUP_DOWN, r->p->ff, (moe_real *[]){ r->p->proj }, &D, from, to);
	memcpy(r->out + first, r->la->mid + first, n * sizeof(moe_real));
	moe_vec_add(n, r->p->proj + first, r->out + first);
}

/* The rows of each but the idle ones, of which a backward pass reads zeros. */
static void o_rows(void *ctx, int from, int to, int worker)
{
	const struct layer_run *r = ctx;

	(void)worker;
	for (int a = from, end; moe_busy_rows(r->idle, &a, to, &end); a = end)
		o_run(r, a, end);
	moe_zero_idle(r->idle, from, to, r->la->o, r->c->H * r->c->hd);
	moe_zero_idle(r->idle, from, to, r->la->mid, r->c->D);
	moe_zero_idle(r->idle, from, to, r->la->rstd2, 1);
}

static void gate_up_rows(void *ctx, int from, int to, int worker)
{
	const struct layer_run *r = ctx;

	(void)worker;
	for (int a = from, end; moe_busy_rows(r->idle, &a, to, &end); a = end)
		gate_up_run(r, a, end);
}

static void down_rows(void *ctx, int from, int to, int worker)
{
	const struct layer_run *r = ctx;

	(void)worker;
	for (int a = from, end; moe_busy_rows(r->idle, &a, to, &end); a = end)
		down_run(r, a, end);
	moe_zero_idle(r->idle, from, to, r->out, r->c->D);
}

int moe_layer_forward(const struct moe_model *m, const struct moe_experts *x,
	const struct moe_gates *g, const struct moe_batch *b, struct moe_acts *a, int i,
	struct layer_acts *la, moe_real *out, struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	struct pass *p = a->priv;
	struct moe_prep_layer y;
	struct layer_run r = { .c = c,
		.x = x,
		.g = g,
		.b = b,
		.a = a,
		.p = p,
		.y = &y,
		.la = la,
		.layer = i,
		.out = out,
		.idle = i == c->L - 1 ? p->idle : NULL,
		.n_scratch = moe_attn_scratch(c->hd, moe_batch_max_keys(b)) };
	int T = p->T, threads = a->pool ? moe_pool_threads(a->pool) : 1;

	moe_arena_reset(&p->tmp);
	if (moe_prep_layer(m, x, i, &p->tmp, &y, e) ||
		!(r.scratch = get(&p->tmp, r.n_scratch, (size_t)threads, e)))
		return -1;
	/* norm [T, D] = rmsnorm(in) */
	moe_pool_rows(a->pool, T, MOE_ROW_GRAIN, norm1_rows, &r);
	/* qkv [T, W]: queries, keys and values of a token side by side; then norms and RoPE */
	open_group(&r, MOE_GROUP_QKV, p->norm);
	moe_pool_rows(a->pool, T, MOE_ROW_GRAIN, qkv_rows, &r);
	/* o [T, H*hd] = softmax(q k^T / sqrt(hd)) v, per segment and head */
	moe_pool_rows(a->pool, b->n_seg * c->K, 1, attend_heads, &r);
	/* mid = in + W_o o;  norm = rmsnorm(mid) */
	open_group(&r, MOE_GROUP_O, la->o);
	moe_pool_rows(a->pool, T, MOE_ROW_GRAIN, o_rows, &r);
	/* g, u = W_gate norm, W_up norm;  ff = silu(g) * u */
	open_group(&r, MOE_GROUP_GU, p->norm);
	moe_pool_rows(a->pool, T, MOE_ROW_GRAIN, gate_up_rows, &r);
	/* out = mid + W_down ff */
	open_group(&r, MOE_GROUP_DOWN, p->ff);
	moe_pool_rows(a->pool, T, MOE_ROW_GRAIN, down_rows, &r);
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
	p->idle = NULL;
	if (a->idle_parents && !(x && x->S) && !a->tap && !a->keep_hidden) {
		if (!(p->idle = moe_arena_get(&a->arena, T, 1, e)))
			return -1;
		memset(p->idle, 0, T);
		for (int s = 0; s < b->n_seg; s++)
			if (b->seg[s].parent >= 0)
				memset(p->idle + b->seg[b->seg[s].parent].start, 1,
					(size_t)b->seg[b->seg[s].parent].len);
	}
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
	p->first->pool = a->pool;
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

/* Threads that have a pass each wait for the slowest, and each needs activations of its own; those
 * that share a pass do not, but meet a dozen times in every layer, which pays where layers are wide
 * or passes are few. BLIS's bits depend on how many rows a product has, ours do not. */
bool moe_pass_shared(const struct moe_model *m, int threads, size_t n)
{
	return threads > 1 && (moe_model_wide(&m->config) || n < 4 * (size_t)threads) &&
		!strcmp(moe_kernels(), "portable");
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
