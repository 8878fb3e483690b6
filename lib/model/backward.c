/* backward.c - gradients of a packed batch, layer by layer from the last. The head's share is in
 * head.c, that of the routers in sites.c.
 *
 * Letters. T rows, D model, W = (H + 2K) hd, F ffn, R all ranks, E experts (model.h). A name that
 * begins with d is the gradient of the sum of losses with respect to the rest of the name.
 *
 *     dh      [T, D]  of the residual stream; lives through all layers
 *     dn      [T, D]  of a norm's output
 *     dqkv    [T, W]  of queries, keys, values after RoPE; dqk0 the same before the per-head norms
 *     d_o     [T, H*hd] of the attention's output
 *     dg, du  [T, F]  of the two MLP inputs W_gate n, W_up n;  da of silu(g) u
 *     dy      [T, out] of a Linear's output
 *     z, dz   [T, R]  low-rank state A in, and its gradient: first dy B, then times coefficients
 *     c       [T, R]  coefficients s present alive gate: what z is multiplied by
 *     dgate   [S, T, E] of the gates of each site, complete once its first group is done
 *     dx      [n_param] of the experts' block; dm [n_param] of the model's; both +=
 *
 * For a Linear with experts   y = W x + B (c .* z),  z = A x:
 *
 *     dB += dy^T (c mask .* z)      dz  = dy B                 dgate_e = s present sum_e alive z dz
 *     dA += (c mask .* dz)^T x      dx  = dy W + (c .* dz) A
 *
 * With g->detach the mask also multiplies dgate and the (c .* dz) of dx: the output of a masked
 * expert is a constant.
 *
 * A site reads the input of the first group that uses it, so in this order, from the last Linear to
 * the first, its dgate is complete when that group is done; the router's gradient of its input
 * joins there, before the norm's backward pass.
 */
#include "model/acts.h"
#include "nn/act.h"
#include "nn/attn.h"
#include "nn/norm.h"
#include "nn/rope.h"
#include "tensor/gemm.h"
#include "tensor/vec.h"

#include <string.h>
#include <time.h>

static double now_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What a backward pass carries from layer to layer. */
struct back {
	const struct moe_model *m;
	const struct moe_experts *x;
	const struct moe_gates *g;
	const struct moe_batch *b;
	struct moe_acts *a;
	struct pass *p;
	moe_real *dx, *dm;
	moe_real *dh;            /* [T, D] gradient of the residual stream */
	moe_real *dn;            /* [T, D] gradient of a norm's output */
	moe_real *dqkv, *d_o;    /* [T, W], [T, H*hd] */
	moe_real *dqk0;          /* [T, W] with qk_norm */
	moe_real *dg, *du, *da;  /* [T, F] */
	moe_real *dz, *dzm, *zs; /* [T, slots_max] each, a group's Linears side by side */
	moe_real *dgate;         /* [S, T, E], or NULL without sites */
	moe_real *site_work;     /* [2, T, n_routed] */
	/* the layer at hand */
	const struct moe_prep_layer *y;
	const struct layer_acts *la;
	const struct job *j;       /* and the group */
	const unsigned char *idle; /* [T] its rows that have keys and values alone, or NULL */
	moe_real *scratch;         /* [threads, n_scratch] of the attention */
	size_t n_scratch;
};

/* One group of Linears with a common input. */
struct job {
	const struct moe_prep_group *g;
	enum moe_group k;
	int layer;
	moe_real *const *dy; /* gradients of the outputs, [T, out] with row stride ldy */
	const int *ldy;
	const moe_real *in; /* [T, in] */
	const moe_real *z;  /* [T, slots] */
	moe_real *d_in;     /* [T, in] gradient of in, overwritten; NULL = not wanted */
	moe_real *a_rows;   /* [slots, in] A of all its Linears, with d_in */
	/* of a narrow model both, and B [out, R] of each Linear, are made ready once for all parts
	 * of its rows */
	const moe_real *a_ready, *b_ready[MOE_GROUP_MAX];
	const moe_real
		*w[MOE_GROUP_MAX]; /* [out, in] where no product is ready (y->back), with d_in */
};

static size_t at(int row, int cols)
{
	return (size_t)row * (size_t)cols;
}

static bool adapted(const struct back *k, const struct moe_prep_linear *p)
{
	return p->slot >= 0 && k->x;
}

/* Rows of to [T, E] += s present * sum over the expert's slots of alive z dz: the gradient of the
 * gates that entered this Linear, where dz = dy B before any gate; times cut [T, E] unless it is
 * NULL. */
static void add_gate_grad(const struct back *k, const struct moe_prep_linear *p,
	const moe_real *cut, moe_real *to, int from, int end)
{
	const struct moe_experts *x = k->x;
	int slots = k->j->g->slots;

	for (int t = from; t < end; t++)
		for (int i = 0; i < x->E; i++) {
			size_t cell = at(t, slots) + (size_t)(p->slot + x->first[i]);
			double sum = 0;

			for (int r = 0; r < x->rank[i]; r++)
				sum += (double)p->alive[x->first[i] + r] *
					(double)k->j->z[cell + (size_t)r] *
					(double)k->dz[cell + (size_t)r];
			if (cut)
				sum *= (double)cut[at(t, x->E) + (size_t)i];
			to[at(t, x->E) + (size_t)i] += (moe_real)(x->scale * x->present[i] * sum);
		}
}

static bool wants_dx(const struct back *k)
{
	return k->dx && !(k->g && k->g->fixed);
}

/* Rows of what dA and dB of one Linear are made of (zs, dzm), and of the gradient of its gates.
 * k->dz holds dy B; it is left as the gradient of A in, unmasked unless g->detach. */
static void expert_rows(const struct back *k, const struct moe_prep_linear *p, int from, int to)
{
	const struct moe_experts *x = k->x;
	const struct job *j = k->j;
	const moe_real *mask = k->g ? k->g->mask : NULL, *cut = k->g && k->g->detach ? mask : NULL;
	size_t cell = (size_t)j->layer * MOE_LINEARS + (size_t)p->linear;
	const moe_real *gate = moe_gate_of(x, k->g, &k->a->gates, cell);
	int n = to - from, slots = j->g->slots, site = moe_site_of(x, cell);
	size_t z = at(from, slots) + (size_t)p->slot, e = at(from, x->E);

	/* without a router the gate is `outer` itself */
	if (site >= 0)
		add_gate_grad(k, p, cut, k->dgate + at(site, k->p->T) * (size_t)x->E, from, to);
	else if (k->g && k->g->douter)
		add_gate_grad(k, p, cut, k->g->douter, from, to);
	gate = gate ? gate + e : NULL;
	mask = mask ? mask + e : NULL;
	cut = cut ? cut + e : NULL;
	if (wants_dx(k)) {
		/* zs = c mask .* z, of dB;  dzm = c mask .* dz, of dA */
		moe_expert_scale(x, p->alive, n, gate, mask, j->z + z, slots, k->zs + z);
		moe_expert_scale(x, p->alive, n, gate, mask, k->dz + z, slots, k->dzm + z);
	}
	/* dz = c .* (dy B), and the mask where it cuts what flows to the input too */
	moe_expert_scale(x, p->alive, n, gate, cut, k->dz + z, slots, k->dz + z);
}

/* The routers of the sites that read this group's input: their dgate is complete now. d_in += . */
static void sites_bwd(const struct back *k, const struct job *j, moe_real *d_in)
{
	int site[MOE_GROUP_MAX], n = moe_sites_at(k->x, j->layer, j->k, site);

	for (int i = 0; i < n; i++)
		moe_site_bwd(k->x, k->g, site[i], j->in, j->g->in, &k->a->gates,
			k->dgate + (size_t)site[i] * (size_t)k->p->T * (size_t)k->x->E, k->dx, d_in,
			j->g->in, k->site_work);
}

/* Rows of a group's way back: the gradient of its input, and what those of its parameters are made
 * of. */
static void group_rows(const struct back *k, int from, int to)
{
	const struct job *j = k->j;
	int n = to - from, in = j->g->in, slots = j->g->slots;
	moe_real *d_in = j->d_in ? j->d_in + at(from, in) : NULL;

	for (int l = 0; l < j->g->n; l++) {
		const struct moe_prep_linear *p = &j->g->lin[l];
		const moe_real *ready = k->m->layer[j->layer].back[p->linear];
		int ldy = j->ldy[l];
		const moe_real *dy = j->dy[l] + at(from, ldy);

		/* d_in [T, in] = dy [T, out] W [out, in], summed over the group's Linears */
		if (d_in && ready)
			moe_gemm_rows_ready(n, in, p->out, dy, ldy, ready, l ? 1 : 0, d_in, in);
		else if (d_in)
			moe_gemm(false, false, n, in, p->out, 1, dy, ldy, j->w[l], in, l ? 1 : 0,
				d_in, in);
		if (adapted(k, p)) {
			size_t cell = (size_t)j->layer * MOE_LINEARS + (size_t)p->linear;
			int R = k->x->R;

			moe_real *dz = k->dz + at(from, slots) + p->slot;

			/* dz [T, R] = dy [T, out] B [out, R] */
			if (j->b_ready[l])
				moe_gemm_rows_ready(
					n, R, p->out, dy, ldy, j->b_ready[l], 0, dz, slots);
			else
				moe_gemm(false, false, n, R, p->out, 1, dy, ldy,
					k->x->param + moe_view_of(k->x, cell, MOE_ROLE_B)->off, R,
					0, dz, slots);
			expert_rows(k, p, from, to);
		}
	}
	/* d_in += (c .* dz) [T, slots] [A of all its Linears] [slots, in] */
	if (j->a_ready && d_in)
		moe_gemm_rows_ready(
			n, in, slots, k->dz + at(from, slots), slots, j->a_ready, 1, d_in, in);
	else if (j->a_rows)
		moe_gemm(false, false, n, in, slots, 1, k->dz + at(from, slots), slots, j->a_rows,
			in, 1, d_in, in);
}

/* Parameter gradients are sums over all rows; what is shared out here are their own rows or
 * columns, BLOCK at a time. */
enum { BLOCK = 128 };

static int blocks(int n)
{
	return (n + BLOCK - 1) / BLOCK;
}

/* Columns of dA [R, in] += dzm [T, R]^T in [T, in] */
static void grad_a(const struct back *k, const struct moe_prep_linear *p, size_t cell, int from)
{
	const struct job *j = k->j;
	int in = p->in, n = in - from < BLOCK ? in - from : BLOCK;

	moe_gemm(true, false, k->x->R, n, k->p->T, 1, k->dzm + p->slot, j->g->slots, j->in + from,
		in, 1, k->dx + moe_view_of(k->x, cell, MOE_ROLE_A)->off + from, in);
}

/* Rows of dB [out, R] += dy [T, out]^T zs [T, R] */
static void grad_b(const struct back *k, const struct moe_prep_linear *p, size_t cell,
	const moe_real *dy, int ldy, int from)
{
	int n = p->out - from < BLOCK ? p->out - from : BLOCK, R = k->x->R;

	moe_gemm(true, false, n, R, k->p->T, 1, dy + from, ldy, k->zs + p->slot, k->j->g->slots, 1,
		k->dx + moe_view_of(k->x, cell, MOE_ROLE_B)->off + at(from, R), R);
}

/* Rows of dW [out, in] += dy^T in: full training. */
static void grad_w(const struct back *k, const struct moe_prep_linear *p, const moe_real *dy,
	int ldy, int from)
{
	const struct job *j = k->j;
	int n = p->out - from < BLOCK ? p->out - from : BLOCK, in = p->in;

	moe_gemm(true, false, n, in, k->p->T, 1, dy + from, ldy, j->in, in, 1,
		k->dm + k->m->layer[j->layer].w[p->linear].off + at(from, in), in);
}

/* Blocks [from, to) of all the group's parameter gradients, one after another. */
static void group_params(void *ctx, int from, int to, int worker)
{
	const struct back *k = ctx;
	const struct job *j = k->j;
	int i = 0;

	(void)worker;
	for (int l = 0; l < j->g->n; l++) {
		const struct moe_prep_linear *p = &j->g->lin[l];
		size_t cell = (size_t)j->layer * MOE_LINEARS + (size_t)p->linear;

		for (int b = 0; k->dm && b < blocks(p->out); b++, i++)
			if (i >= from && i < to)
				grad_w(k, p, j->dy[l], j->ldy[l], b * BLOCK);
		if (!adapted(k, p) || !wants_dx(k))
			continue;
		for (int b = 0; b < blocks(p->out); b++, i++)
			if (i >= from && i < to)
				grad_b(k, p, cell, j->dy[l], j->ldy[l], b * BLOCK);
		for (int b = 0; b < blocks(p->in); b++, i++)
			if (i >= from && i < to)
				grad_a(k, p, cell, b * BLOCK);
	}
}

/* How many blocks those are. */
static int count_params(const struct back *k)
{
	int n = 0;

	for (int l = 0; l < k->j->g->n; l++) {
		const struct moe_prep_linear *p = &k->j->g->lin[l];

		n += k->dm ? blocks(p->out) : 0;
		n += adapted(k, p) && wants_dx(k) ? blocks(p->out) + blocks(p->in) : 0;
	}
	return n;
}

/* b [k, n] ready for products, in p->tmp; NULL and *e on failure. */
static const moe_real *make_ready(
	const struct back *k, int n, int rows, const moe_real *b, struct moe_err *e)
{
	moe_real *to = moe_arena_get(&k->p->tmp, moe_gemm_ready_size(n, rows), sizeof(*to), e);

	if (to)
		moe_gemm_ready(false, n, rows, b, n, to);
	return to;
}

/* A of all the group's Linears, one below the other, where d_in is wanted. */
static int stack_a(const struct back *k, struct job *j, struct moe_err *e)
{
	size_t in = (size_t)j->g->in;

	if (!j->g->slots || !j->d_in)
		return 0;
	j->a_rows = moe_arena_get(&k->p->tmp, (size_t)j->g->slots * in, sizeof(*j->a_rows), e);
	for (int l = 0; j->a_rows && l < j->g->n; l++) {
		const struct moe_prep_linear *p = &j->g->lin[l];
		size_t cell = (size_t)j->layer * MOE_LINEARS + (size_t)p->linear;

		if (adapted(k, p))
			memcpy(j->a_rows + (size_t)p->slot * in,
				k->x->param + moe_view_of(k->x, cell, MOE_ROLE_A)->off,
				(size_t)k->x->R * in * sizeof(*j->a_rows));
	}
	return j->a_rows ? 0 : -1;
}

/* Before group_rows: k->j = j, and the weights that it reads, in p->tmp. */
static int open_group(struct back *k, struct job *j, struct moe_err *e)
{
	const struct moe_layer *y = &k->m->layer[j->layer];
	bool ready = !moe_model_wide(&k->m->config);

	k->j = j;
	if (stack_a(k, j, e) ||
		(j->a_rows && ready &&
			!(j->a_ready = make_ready(k, j->g->in, j->g->slots, j->a_rows, e))))
		return -1;
	for (int l = 0; l < j->g->n; l++) {
		const struct moe_prep_linear *p = &j->g->lin[l];
		size_t cell = (size_t)j->layer * MOE_LINEARS + (size_t)p->linear;

		if (j->d_in && !y->back[p->linear] &&
			moe_weight_get(&y->w[p->linear], &k->p->tmp, &j->w[l], e))
			return -1;
		if (adapted(k, p) && ready &&
			!(j->b_ready[l] = make_ready(k, k->x->R, p->out,
				  k->x->param + moe_view_of(k->x, cell, MOE_ROLE_B)->off, e)))
			return -1;
	}
	return 0;
}

/* After group_rows, of all rows: the gradients of the group's parameters and of its sites. */
static void close_group(struct back *k)
{
	const struct job *j = k->j;

	moe_pool_rows(k->a->pool, count_params(k), 1, group_params, k);
	/* dbias += sum of dy over rows: full training */
	for (int l = 0; k->dm && l < j->g->n; l++)
		if (j->g->lin[l].bias)
			moe_vec_sum_rows(k->p->T, j->g->lin[l].out, j->dy[l], j->ldy[l],
				k->dm + k->m->layer[j->layer].bias[j->g->lin[l].linear].off);
	sites_bwd(k, j, j->d_in);
}

/* k->dn is the gradient of norm(x): adds that of x to k->dh, and that of the norm's weight, which
 * is a sum over rows. */
struct norm {
	const struct back *k;
	const moe_real *x, *w, *rstd;
	moe_real *dw;
};

static void norm_rows(void *ctx, int from, int to, int worker)
{
	const struct norm *q = ctx;
	int D = q->k->m->config.D;
	size_t d = at(from, D);

	(void)worker;
	moe_rmsnorm_bwd(to - from, D, q->k->dn + d, D, q->x + d, D, q->w, q->rstd + from,
		q->k->dh + d, D, q->dw);
}

static void norm_bwd(const struct back *k, const moe_real *x, const moe_real *w,
	const moe_real *rstd, const struct moe_weight *norm)
{
	struct norm q = { k, x, w, rstd, k->dm ? k->dm + norm->off : NULL };

	moe_pool_rows(q.dw ? NULL : k->a->pool, k->p->T, MOE_ROW_GRAIN, norm_rows, &q);
}

/* ff = silu(g) u again (dg holds the sigmoid until it is overwritten);  da [T, F] = dh W_down */
static void down_run(const struct back *k, int from, int to)
{
	int F = k->m->config.F;
	size_t first = at(from, F);

	moe_swiglu_keep(at(to - from, F), k->la->g + first, k->la->u + first, k->p->ff + first,
		k->dg + first);
	group_rows(k, from, to);
}

/* dg, du from da;  dn [T, D] = dg W_gate + du W_up */
static void gate_up_run(const struct back *k, int from, int to)
{
	const struct moe_config *c = &k->m->config;
	size_t f = at(from, c->F), d = at(from, c->D);

	moe_swiglu_bwd(at(to - from, c->F), k->la->g + f, k->la->u + f, k->dg + f, k->da + f,
		k->dg + f, k->du + f);
	moe_rmsnorm(to - from, c->D, k->la->mid + d, c->D, k->y->norm2, c->eps, k->p->norm + d,
		c->D, NULL);
	group_rows(k, from, to);
}

/* Nothing flows back into idle rows here: their gradients are 0, and so is what those of the
 * parameters are made of, for these are sums over all rows. */
static void zero_group(const struct back *k, int from, int to)
{
	const struct job *j = k->j;

	for (int l = 0; k->idle && l < j->g->n; l++)
		moe_zero_idle(k->idle, from, to, j->dy[l], j->ldy[l]);
	if (k->idle && j->g->slots) {
		moe_zero_idle(k->idle, from, to, k->zs, j->g->slots);
		moe_zero_idle(k->idle, from, to, k->dzm, j->g->slots);
	}
}

static void down_rows(void *ctx, int from, int to, int worker)
{
	const struct back *k = ctx;

	(void)worker;
	for (int a = from, end; moe_busy_rows(k->idle, &a, to, &end); a = end)
		down_run(k, a, end);
	zero_group(k, from, to);
	moe_zero_idle(k->idle, from, to, k->p->ff, k->m->config.F);
}

static void gate_up_rows(void *ctx, int from, int to, int worker)
{
	const struct back *k = ctx;

	(void)worker;
	for (int a = from, end; moe_busy_rows(k->idle, &a, to, &end); a = end)
		gate_up_run(k, a, end);
	zero_group(k, from, to);
	moe_zero_idle(k->idle, from, to, k->p->norm, k->m->config.D);
	moe_zero_idle(k->idle, from, to, k->dn, k->m->config.D);
}

static int mlp_bwd(struct back *k, int i, struct moe_err *e)
{
	const struct moe_config *c = &k->m->config;
	const struct layer_acts *la = k->la;
	int F = c->F;
	struct job down = { .g = &k->y->group[MOE_GROUP_DOWN],
		.k = MOE_GROUP_DOWN,
		.layer = i,
		.dy = (moe_real *[]){ k->dh },
		.ldy = &c->D,
		.in = k->p->ff,
		.z = la->z[MOE_GROUP_DOWN],
		.d_in = k->da };
	struct job gu = { .g = &k->y->group[MOE_GROUP_GU],
		.k = MOE_GROUP_GU,
		.layer = i,
		.dy = (moe_real *[]){ k->dg, k->du },
		.ldy = (int[]){ F, F },
		.in = k->p->norm,
		.z = la->z[MOE_GROUP_GU],
		.d_in = k->dn };

	if (open_group(k, &down, e))
		return -1;
	moe_pool_rows(k->a->pool, k->p->T, MOE_ROW_GRAIN, down_rows, k);
	close_group(k);
	if (open_group(k, &gu, e))
		return -1;
	moe_pool_rows(k->a->pool, k->p->T, MOE_ROW_GRAIN, gate_up_rows, k);
	close_group(k);
	/* through norm2 into dh */
	norm_bwd(k, la->mid, k->y->norm2, la->rstd2, &k->m->layer[i].norm2);
	return 0;
}

/* Segment s and kv-head h. */
static void attend_bwd(const struct back *k, int s, int h, moe_real *scratch)
{
	const struct moe_config *c = &k->m->config;
	const struct layer_acts *la = k->la;
	int W = (c->H + 2 * c->K) * c->hd, group = c->H / c->K, wide = c->H * c->hd,
	    key = c->H * c->hd, value = key + c->K * c->hd;
	struct moe_attn q = moe_attn_of(c, k->b, s, h, la->qkv);
	int row = k->b->seg[s].start, up = k->b->seg[s].parent;
	moe_real *d = k->dqkv + at(row, W), *dp = up < 0 ? d : k->dqkv + at(k->b->seg[up].start, W);
	size_t o = at(row, wide) + (size_t)(h * group * c->hd);
	struct moe_attn_grad g = { .o = la->o + o,
		.d_o = k->d_o + o,
		.ldo = wide,
		.lse = la->lse + at(row, c->H) + h * group,
		.ldl = c->H,
		.dq = d + h * group * c->hd,
		.dk = d + key + h * c->hd,
		.dv = d + value + h * c->hd,
		.dkp = dp + key + h * c->hd,
		.dvp = dp + value + h * c->hd };

	moe_attn_bwd(&q, &g, scratch);
}

/* "Rows" here are families, [n_seg, K]: a segment without a parent and a kv-head, with the segments
 * whose parent it is, from the last: they add to its keys' and values' gradients. */
static void attend_families(void *ctx, int from, int to, int worker)
{
	const struct back *k = ctx;
	const struct moe_batch *b = k->b;

	for (int i = from; i < to; i++) {
		int root = i / k->m->config.K, h = i % k->m->config.K;

		for (int s = b->n_seg - 1; b->seg[root].parent < 0 && s >= root; s--)
			if (b->seg[s].parent == root ||
				(s == root && !(k->idle && k->idle[b->seg[root].start])))
				attend_bwd(k, s, h, k->scratch + (size_t)worker * k->n_scratch);
	}
}

/* Through RoPE and the per-head norms, in place or (with the norms, whose weights dm has too) to
 * dqk0. */
static void unplace_rows(const struct back *k, int i, int from, int to)
{
	const struct moe_config *c = &k->m->config;
	const struct layer_acts *la = k->la;
	int rows = to - from, W = (c->H + 2 * c->K) * c->hd, key = c->H * c->hd,
	    n = (c->H + c->K) * c->hd;
	size_t T = (size_t)k->p->T, first = at(from, W);

	moe_rope(rows, c->H + c->K, c->hd, k->dqkv + first, W, k->p->cos_ + at(from, c->hd / 2),
		k->p->sin_ + at(from, c->hd / 2), true);
	if (!k->dqk0)
		return;
	for (int t = from; t < to; t++) {
		memset(k->dqk0 + at(t, W), 0, (size_t)n * sizeof(moe_real));
		memcpy(k->dqk0 + at(t, W) + n, k->dqkv + at(t, W) + n,
			(size_t)(W - n) * sizeof(moe_real));
	}
	for (int h = 0; h < c->H + c->K; h++) {
		bool q = h < c->H;
		const struct moe_layer *l = &k->m->layer[i];
		const moe_real *rstd = q ? la->rstdq + (size_t)h * T
					 : la->rstdk + (size_t)(h - c->H) * T;
		size_t cell = first + (size_t)(q ? h * c->hd : key + (h - c->H) * c->hd);

		moe_rmsnorm_bwd(rows, c->hd, k->dqkv + cell, W, la->qk0 + cell, W,
			q ? k->y->qnorm : k->y->knorm, rstd + from, k->dqk0 + cell, W,
			k->dm ? k->dm + (q ? l->qnorm.off : l->knorm.off) : NULL);
	}
}

/* d_o = dh W_o, and dqkv = 0 */
static void o_rows(void *ctx, int from, int to, int worker)
{
	const struct back *k = ctx;
	const struct moe_config *c = &k->m->config;
	int W = (c->H + 2 * c->K) * c->hd;

	(void)worker;
	for (int a = from, end; moe_busy_rows(k->idle, &a, to, &end); a = end)
		group_rows(k, a, end);
	zero_group(k, from, to);
	memset(k->dqkv + at(from, W), 0, at(to - from, W) * sizeof(moe_real));
}

/* dn [T, D] = dq W_q + dk W_k + dv W_v, after RoPE and the per-head norms */
static void qkv_rows(void *ctx, int from, int to, int worker)
{
	const struct back *k = ctx;
	const struct moe_config *c = &k->m->config;
	size_t d = at(from, c->D);

	(void)worker;
	unplace_rows(k, k->j->layer, from, to);
	moe_rmsnorm(to - from, c->D, k->la->in + d, c->D, k->y->norm1, c->eps, k->p->norm + d, c->D,
		NULL);
	group_rows(k, from, to);
}

static int layer_bwd(struct back *k, int i, const struct layer_acts *la, struct moe_err *e)
{
	const struct moe_config *c = &k->m->config;
	struct moe_prep_layer y;
	int W = (c->H + 2 * c->K) * c->hd, key = c->H * c->hd, value = key + c->K * c->hd,
	    threads = k->a->pool ? moe_pool_threads(k->a->pool) : 1;
	struct job o, qkv;
	moe_real *d = k->dqk0 ? k->dqk0 : k->dqkv;

	moe_arena_reset(&k->p->tmp);
	k->y = &y;
	k->la = la;
	k->idle = i == c->L - 1 ? k->p->idle : NULL;
	k->n_scratch = moe_attn_scratch(c->hd, moe_batch_max_keys(k->b));
	k->scratch = moe_arena_get(
		&k->p->tmp, k->n_scratch * (size_t)threads, sizeof(*k->scratch), e);
	if (!k->scratch || moe_prep_layer_names(k->m, k->x, i, &k->p->tmp, &y, e) ||
		mlp_bwd(k, i, e))
		return -1;
	o = (struct job){ .g = &y.group[MOE_GROUP_O],
		.k = MOE_GROUP_O,
		.layer = i,
		.dy = (moe_real *[]){ k->dh },
		.ldy = &c->D,
		.in = la->o,
		.z = la->z[MOE_GROUP_O],
		.d_in = k->d_o };
	if (open_group(k, &o, e))
		return -1;
	moe_pool_rows(k->a->pool, k->p->T, MOE_ROW_GRAIN, o_rows, k);
	close_group(k);
	/* dqkv through softmax(q k^T) v */
	moe_pool_rows(k->a->pool, k->b->n_seg * c->K, 1, attend_families, k);
	/* below the first layer there is only the embedding, which does not learn with a frozen
	 * base */
	qkv = (struct job){ .g = &y.group[MOE_GROUP_QKV],
		.k = MOE_GROUP_QKV,
		.layer = i,
		.dy = (moe_real *[]){ d, d + key, d + value },
		.ldy = (int[]){ W, W, W },
		.in = k->p->norm,
		.z = la->z[MOE_GROUP_QKV],
		.d_in = i || k->dm ? k->dn : NULL };
	if (open_group(k, &qkv, e))
		return -1;
	/* the gradients of the per-head norms' weights are sums over rows */
	moe_pool_rows(k->dm && k->dqk0 ? NULL : k->a->pool, k->p->T, MOE_ROW_GRAIN, qkv_rows, k);
	close_group(k);
	/* through norm1 into dh */
	if (i || k->dm)
		norm_bwd(k, la->in, y.norm1, la->rstd1, &k->m->layer[i].norm1);
	return 0;
}

static int begin(struct back *k, struct moe_err *e)
{
	const struct moe_config *c = &k->m->config;
	size_t T = (size_t)k->p->T, W = (size_t)(c->H + 2 * c->K) * (size_t)c->hd,
	       sz = sizeof(moe_real), slots = (size_t)k->p->slots_max;
	struct moe_arena *r = &k->a->arena;

	k->dh = moe_arena_get(r, T * (size_t)c->D, sz, e);
	k->dn = moe_arena_get(r, T * (size_t)c->D, sz, e);
	k->dqkv = moe_arena_get(r, T * W, sz, e);
	k->d_o = moe_arena_get(r, T * (size_t)(c->H * c->hd), sz, e);
	k->dg = moe_arena_get(r, T * (size_t)c->F, sz, e);
	k->du = moe_arena_get(r, T * (size_t)c->F, sz, e);
	k->da = moe_arena_get(r, T * (size_t)c->F, sz, e);
	k->dz = moe_arena_get(r, T * slots, sz, e);
	k->dzm = moe_arena_get(r, T * slots, sz, e);
	k->zs = moe_arena_get(r, T * slots, sz, e);
	if (c->qk_norm && !(k->dqk0 = moe_arena_get(r, T * W, sz, e)))
		return -1;
	if (k->x && k->x->S) {
		size_t cells = (size_t)k->x->S * T;

		k->dgate = moe_arena_get(r, cells * (size_t)k->x->E, sz, e);
		k->site_work = moe_arena_get(r, 2 * T * (size_t)k->x->n_routed, sz, e);
		if (!k->dgate || !k->site_work)
			return -1;
		memset(k->dgate, 0, cells * (size_t)k->x->E * sz);
	}
	return k->dh && k->dn && k->dqkv && k->d_o && k->dg && k->du && k->da && k->dz && k->dzm &&
			k->zs
		? 0
		: -1;
}

static int run(struct back *k, int n, const int32_t *row, const int32_t *target, double temperature,
	const moe_real *dlogp, struct moe_err *e)
{
	const struct moe_config *c = &k->m->config;
	size_t D = (size_t)c->D, td = (size_t)k->p->T * D;
	const moe_real *w;

	/* dn [T, D] = the head's gradient at the rows that predict something */
	memset(k->dn, 0, td * sizeof(moe_real));
	if (moe_head_backward(k->m, k->a, n, row, target, temperature, dlogp, k->dn, k->dm, e))
		return -1;
	moe_arena_reset(&k->p->tmp);
	if (moe_weight_get(&k->m->norm, &k->p->tmp, &w, e))
		return -1;
	/* dh [T, D]: through the final norm */
	memset(k->dh, 0, td * sizeof(moe_real));
	norm_bwd(k, k->p->last, w, k->p->rstd, &k->m->norm);
	if (k->p->recompute && moe_layer_acts_alloc(k->m, k->x, k->a, &k->p->one, false, e))
		return -1;
	for (int i = c->L - 1; i >= 0; i--) {
		struct layer_acts *la = &k->p->la[i];

		if (k->p->recompute) {
			k->p->one.in = la->in;
			la = &k->p->one;
			/* the layer's output goes to dn, which is free here; its gates stay */
			k->p->rerun = true;
			if (moe_layer_forward(k->m, k->x, k->g, k->b, k->a, i, la, k->dn, e))
				return -1;
		}
		if (layer_bwd(k, i, la, e))
			return -1;
	}
	/* a router that read the first pass: its dgate is complete; the base there is a constant */
	if (moe_experts_first_pass(k->x))
		moe_site_bwd(k->x, k->g, 0, k->p->first->out, c->D, &k->a->gates, k->dgate, k->dx,
			NULL, 0, k->site_work);
	/* the embedding's rows */
	for (int t = 0; k->dm && t < k->p->T; t++)
		moe_vec_add(D, k->dh + (size_t)t * D,
			k->dm + k->m->embed.off + (size_t)k->b->ids[t] * D);
	return 0;
}

int moe_backward(const struct moe_model *m, const struct moe_experts *x, const struct moe_gates *g,
	const struct moe_batch *b, struct moe_acts *a, int n, const int32_t *row,
	const int32_t *target, double temperature, const moe_real *dlogp, moe_real *dx,
	moe_real *dm, struct moe_err *e)
{
	double t0 = now_sec(), g0 = moe_gemm_sec();
	struct back k = {
		.m = m, .x = x, .g = g, .b = b, .a = a, .p = a->priv, .dx = dx, .dm = dm
	};
	int r;

	if (!k.p || !k.p->valid || !k.p->kept || k.p->T != b->T)
		return moe_fail(e, MOE_DATA,
			"the backward pass needs the forward pass of the same batch with its "
			"activations kept");
	if ((dm && !m->param) || (dx && !x))
		return moe_fail(e, MOE_DATA, "gradients were asked for what is not trainable");
	r = begin(&k, e) || run(&k, n, row, target, temperature, dlogp, e) ? -1 : 0;
	a->gemm_sec += moe_gemm_sec() - g0;
	a->total_sec += now_sec() - t0;
	return r;
}
