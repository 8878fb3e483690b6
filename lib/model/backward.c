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
	moe_real *dz, *dzm, *zs; /* [T, slots_max], [T, R], [T, R] */
	moe_real *dgate;         /* [S, T, E], or NULL without sites */
	moe_real *site_work;     /* [2, T, n_routed] */
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
};

static bool adapted(const struct back *k, const struct moe_prep_linear *p)
{
	return p->slot >= 0 && k->x;
}

/* to [T, E] += s present * sum over the expert's slots of alive z dz: the gradient of the gates
 * that entered this Linear, where dz = dy B before any gate; times cut [T, E] unless it is NULL. */
static void add_gate_grad(const struct back *k, const struct moe_prep_linear *p,
	const struct job *j, const moe_real *cut, moe_real *to)
{
	const struct moe_experts *x = k->x;
	int slots = j->g->slots;

	for (int t = 0; t < k->p->T; t++)
		for (int i = 0; i < x->E; i++) {
			size_t at = (size_t)t * (size_t)slots + (size_t)(p->slot + x->first[i]);
			double sum = 0;

			for (int r = 0; r < x->rank[i]; r++)
				sum += (double)p->alive[x->first[i] + r] *
					(double)j->z[at + (size_t)r] *
					(double)k->dz[at + (size_t)r];
			if (cut)
				sum *= (double)cut[(size_t)t * (size_t)x->E + (size_t)i];
			to[(size_t)t * (size_t)x->E + (size_t)i] += (moe_real)(x->scale *
				x->present[i] * sum);
		}
}

/* dA, dB of one Linear, and the gradient of its gates. k->dz holds dy B; it is left as the
 * gradient of A in, unmasked unless g->detach. */
static void expert_grad(const struct back *k, const struct moe_prep_linear *p, const struct job *j,
	const moe_real *dy, int ldy)
{
	const struct moe_experts *x = k->x;
	const moe_real *mask = k->g ? k->g->mask : NULL, *cut = k->g && k->g->detach ? mask : NULL;
	size_t cell = (size_t)j->layer * MOE_LINEARS + (size_t)p->linear;
	const moe_real *gate = moe_gate_of(x, k->g, &k->a->gates, cell);
	int T = k->p->T, R = x->R, slots = j->g->slots, site = moe_site_of(x, cell);
	moe_real *dz = k->dz + p->slot;

	/* without a router the gate is `outer` itself */
	if (site >= 0)
		add_gate_grad(k, p, j, cut, k->dgate + (size_t)site * (size_t)T * (size_t)x->E);
	else if (k->g && k->g->douter)
		add_gate_grad(k, p, j, cut, k->g->douter);
	if (k->dx && !(k->g && k->g->fixed)) {
		/* dB [out, R] += dy [T, out]^T (c mask .* z) [T, R] */
		moe_expert_scale(x, p->alive, T, gate, mask, j->z + p->slot, slots, k->zs);
		moe_gemm(true, false, p->out, R, T, 1, dy, ldy, k->zs, slots, 1,
			k->dx + moe_view_of(x, cell, MOE_ROLE_B)->off, R);
		/* dA [R, in] += (c mask .* dz) [T, R]^T in [T, in] */
		moe_expert_scale(x, p->alive, T, gate, mask, dz, slots, k->dzm);
		moe_gemm(true, false, R, p->in, T, 1, k->dzm, slots, j->in, p->in, 1,
			k->dx + moe_view_of(x, cell, MOE_ROLE_A)->off, p->in);
	}
	/* dz = c .* (dy B), and the mask where it cuts what flows to the input too */
	moe_expert_scale(x, p->alive, T, gate, cut, dz, slots, dz);
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

/* Parameter gradients of a group, and (d_in not NULL) the gradient of its input, overwritten. Works
 * in p->tmp. */
static int group_bwd(const struct back *k, const struct job *j, moe_real *d_in, struct moe_err *e)
{
	int T = k->p->T, in = j->g->in, first = 1;
	moe_real *a_rows = NULL;

	if (j->g->slots && d_in &&
		!(a_rows = moe_arena_get(
			  &k->p->tmp, (size_t)j->g->slots * (size_t)in, sizeof(*a_rows), e)))
		return -1;
	for (int l = 0; l < j->g->n; l++) {
		const struct moe_prep_linear *p = &j->g->lin[l];
		const struct moe_layer *y = &k->m->layer[j->layer];
		const moe_real *dy = j->dy[l],
			       *w; /* NOLINT(clang-analyzer-core.uninitialized.Assign): a job has a
				      gradient for each Linear of its group */
		int ldy = j->ldy[l];

		/* d_in [T, in] = dy [T, out] W [out, in], summed over the group's Linears */
		if (d_in && y->back[p->linear])
			moe_gemm_rows_ready(T, in, p->out, dy, ldy, y->back[p->linear],
				first ? 0 : 1, d_in, in);
		else if (d_in) {
			if (moe_weight_get(&y->w[p->linear], &k->p->tmp, &w, e))
				return -1;
			moe_gemm(false, false, T, in, p->out, 1, dy, ldy, w, in, first ? 0 : 1,
				d_in, in);
		}
		first = first && !d_in;
		/* dW [out, in] += dy^T in, dbias += sum of dy over rows: full training */
		if (k->dm) {
			moe_gemm(true, false, p->out, in, T, 1, dy, ldy, j->in, in, 1,
				k->dm + y->w[p->linear].off, in);
			if (p->bias)
				moe_vec_sum_rows(
					T, p->out, dy, ldy, k->dm + y->bias[p->linear].off);
		}
		if (adapted(k, p)) {
			size_t cell = (size_t)j->layer * MOE_LINEARS + (size_t)p->linear,
			       R = (size_t)k->x->R;
			const moe_real *A = k->x->param + moe_view_of(k->x, cell, MOE_ROLE_A)->off,
				       *B = k->x->param + moe_view_of(k->x, cell, MOE_ROLE_B)->off;

			/* dz [T, R] = dy [T, out] B [out, R] */
			moe_gemm(false, false, T, (int)R, p->out, 1, dy, ldy, B, (int)R, 0,
				k->dz + p->slot, j->g->slots);
			expert_grad(k, p, j, dy, ldy);
			if (a_rows)
				memcpy(a_rows + (size_t)p->slot * (size_t)in, A,
					R * (size_t)in * sizeof(*a_rows));
		}
	}
	/* d_in += (c .* dz) [T, slots] [A of all its Linears] [slots, in] */
	if (a_rows)
		moe_gemm(false, false, T, in, j->g->slots, 1, k->dz, j->g->slots, a_rows, in, 1,
			d_in, in);
	sites_bwd(k, j, d_in);
	return 0;
}

/* k->dn is the gradient of norm(x): adds that of x to k->dh, and that of the norm's weight. */
static void norm_bwd(const struct back *k, const moe_real *x, const moe_real *w,
	const moe_real *rstd, const struct moe_weight *norm)
{
	int D = k->m->config.D;

	moe_rmsnorm_bwd(
		k->p->T, D, k->dn, D, x, D, w, rstd, k->dh, D, k->dm ? k->dm + norm->off : NULL);
}

static int mlp_bwd(struct back *k, const struct moe_prep_layer *y, int i,
	const struct layer_acts *la, struct moe_err *e)
{
	const struct moe_config *c = &k->m->config;
	int F = c->F;
	struct job down = { &y->group[MOE_GROUP_DOWN], MOE_GROUP_DOWN, i, (moe_real *[]){ k->dh },
		&c->D, k->p->ff, la->z[MOE_GROUP_DOWN] };
	struct job gu = { &y->group[MOE_GROUP_GU], MOE_GROUP_GU, i, (moe_real *[]){ k->dg, k->du },
		(int[]){ F, F }, k->p->norm, la->z[MOE_GROUP_GU] };
	size_t n = (size_t)k->p->T * (size_t)F;

	/* ff = silu(g) u again, and da [T, F] = dh W_down */
	moe_swiglu_keep(n, la->g, la->u, k->p->ff,
		k->dg); /* dg holds the sigmoid until it is overwritten */
	if (group_bwd(k, &down, k->da, e))
		return -1;
	/* dg, du from da; then dn [T, D] = dg W_gate + du W_up, and through norm2 into dh */
	moe_swiglu_bwd(n, la->g, la->u, k->dg, k->da, k->dg, k->du);
	moe_rmsnorm(k->p->T, c->D, la->mid, c->D, y->norm2, c->eps, k->p->norm, c->D, NULL);
	if (group_bwd(k, &gu, k->dn, e))
		return -1;
	norm_bwd(k, la->mid, y->norm2, la->rstd2, &k->m->layer[i].norm2);
	return 0;
}

static int attend_bwd(struct back *k, const struct layer_acts *la, struct moe_err *e)
{
	const struct moe_config *c = &k->m->config;
	int W = (c->H + 2 * c->K) * c->hd, group = c->H / c->K, wide = c->H * c->hd,
	    key = c->H * c->hd, value = key + c->K * c->hd;
	moe_real *scratch = moe_arena_get(
		&k->p->tmp, moe_attn_scratch(c->hd, moe_batch_max_keys(k->b)), sizeof(*scratch), e);

	if (!scratch)
		return -1;
	memset(k->dqkv, 0, (size_t)k->p->T * (size_t)W * sizeof(moe_real));
	for (int s = k->b->n_seg - 1; s >= 0; s--)
		for (int h = 0; h < c->K; h++) {
			struct moe_attn at = moe_attn_of(c, k->b, s, h, la->qkv);
			int row = k->b->seg[s].start, up = k->b->seg[s].parent;
			moe_real *d = k->dqkv + (size_t)row * (size_t)W,
				 *dp = up < 0 ? d
					      : k->dqkv + (size_t)k->b->seg[up].start * (size_t)W;
			size_t o = (size_t)row * (size_t)wide + (size_t)(h * group * c->hd);
			struct moe_attn_grad g = { .o = la->o + o,
				.d_o = k->d_o + o,
				.ldo = wide,
				.lse = la->lse + (size_t)row * (size_t)c->H + h * group,
				.ldl = c->H,
				.dq = d + h * group * c->hd,
				.dk = d + key + h * c->hd,
				.dv = d + value + h * c->hd,
				.dkp = dp + key + h * c->hd,
				.dvp = dp + value + h * c->hd };

			moe_attn_bwd(&at, &g, scratch);
		}
	return 0;
}

/* Gradients through RoPE and the per-head norms: returns where those of the Linears' outputs lie.
 */
static moe_real *unplace(
	const struct back *k, const struct moe_prep_layer *y, int i, const struct layer_acts *la)
{
	const struct moe_config *c = &k->m->config;
	int T = k->p->T, W = (c->H + 2 * c->K) * c->hd, key = c->H * c->hd,
	    n = (c->H + c->K) * c->hd;

	moe_rope(T, c->H + c->K, c->hd, k->dqkv, W, k->p->cos_, k->p->sin_, true);
	if (!c->qk_norm || !k->dqk0)
		return k->dqkv;
	for (int t = 0; t < T; t++) {
		size_t at = (size_t)t * (size_t)W;

		memset(k->dqk0 + at, 0, (size_t)n * sizeof(moe_real));
		memcpy(k->dqk0 + at + n, k->dqkv + at + n, (size_t)(W - n) * sizeof(moe_real));
	}
	for (int h = 0; h < c->H + c->K; h++) {
		bool q = h < c->H;
		const struct moe_layer *l = &k->m->layer[i];
		const moe_real *rstd = q ? la->rstdq + (size_t)h * (size_t)T
					 : la->rstdk + (size_t)(h - c->H) * (size_t)T;
		int at = q ? h * c->hd : key + (h - c->H) * c->hd;

		moe_rmsnorm_bwd(T, c->hd, k->dqkv + at, W, la->qk0 + at, W, q ? y->qnorm : y->knorm,
			rstd, k->dqk0 + at, W,
			k->dm ? k->dm + (q ? l->qnorm.off : l->knorm.off) : NULL);
	}
	return k->dqk0;
}

static int layer_bwd(struct back *k, int i, const struct layer_acts *la, struct moe_err *e)
{
	const struct moe_config *c = &k->m->config;
	struct moe_prep_layer y;
	int W = (c->H + 2 * c->K) * c->hd, key = c->H * c->hd, value = key + c->K * c->hd;
	struct job o, qkv;
	moe_real *d;

	moe_arena_reset(&k->p->tmp);
	if (moe_prep_layer_names(k->m, k->x, i, &k->p->tmp, &y, e) || mlp_bwd(k, &y, i, la, e))
		return -1;
	o = (struct job){ &y.group[MOE_GROUP_O], MOE_GROUP_O, i, (moe_real *[]){ k->dh }, &c->D,
		la->o, la->z[MOE_GROUP_O] };
	/* d_o = dh W_o; dqkv through softmax(q k^T) v; then through RoPE and the per-head norms */
	if (group_bwd(k, &o, k->d_o, e) || attend_bwd(k, la, e))
		return -1;
	d = unplace(k, &y, i, la);
	moe_rmsnorm(k->p->T, c->D, la->in, c->D, y.norm1, c->eps, k->p->norm, c->D, NULL);
	qkv = (struct job){ &y.group[MOE_GROUP_QKV], MOE_GROUP_QKV, i,
		(moe_real *[]){ d, d + key, d + value }, (int[]){ W, W, W }, k->p->norm,
		la->z[MOE_GROUP_QKV] };
	/* dn [T, D] = dq W_q + dk W_k + dv W_v, and through norm1 into dh;
	 * below the first layer there is only the embedding, which does not learn with a frozen
	 * base */
	if (group_bwd(k, &qkv, i || k->dm ? k->dn : NULL, e))
		return -1;
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
