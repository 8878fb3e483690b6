/* prep.c - widening, transposing and applying a layer's Linears; rope frequencies. Not the layer
 * itself (forward.c). */
#include "model/prep.h"
#include "nn/rope.h"
#include "tensor/gemm.h"
#include "tensor/vec.h"
#include "util/elementary.h"

#include <math.h>
#include <string.h>

/* Below this inner dimension our own products are as fast as BLIS's or faster, and the weight is
 * made ready for them (measured on AVX-512: 120 to 143 GFLOP/s against 64 to 119 at 96 and 256). */
#define NARROW 384

bool moe_model_wide(const struct moe_config *c)
{
	return c->D > 256;
}

void moe_weight_widen(const struct moe_weight *w, int row, int n, moe_real *out)
{
	size_t cols = (size_t)w->cols;

	moe_widen(w->dtype, (size_t)n * cols,
		(const char *)w->data + (size_t)row * cols * moe_dtype_size(w->dtype), out);
}

int moe_weight_get(
	const struct moe_weight *w, struct moe_arena *a, const moe_real **out, struct moe_err *e)
{
	moe_real *p;

	*out = w->data;
	if (!w->data || w->dtype == MOE_REAL_DTYPE)
		return 0;
	p = moe_arena_get(a, (size_t)w->rows * (size_t)w->cols, sizeof(*p), e);
	if (!p)
		return -1;
	moe_weight_widen(w, 0, w->rows, p);
	*out = p;
	return 0;
}

int moe_weight_ready(const struct moe_weight *w, bool forth, struct moe_arena *a,
	const moe_real **out, struct moe_err *e)
{
	/* W [rows = out, cols = in]. forth: y = x W^T, so n = out, k = in; back: dx = dy W, so n =
	 * in, k = out */
	int n = forth ? w->rows : w->cols, k = forth ? w->cols : w->rows;
	const moe_real *wide;
	moe_real *p;

	*out = NULL;
	if (!w->data)
		return 0;
	p = moe_arena_get(a, moe_gemm_ready_size(n, k), sizeof(*p), e);
	if (!p || moe_weight_get(w, a, &wide, e))
		return -1;
	moe_gemm_ready(forth, n, k, wide, w->cols, p);
	*out = p;
	return 0;
}

/* Parameters up to which a frozen model is kept ready, beside the weights themselves: 32 MiB. */
#define READY_MOST ((size_t)1 << 22)

int moe_model_make_ready(struct moe_model *m, struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	size_t n = (size_t)c->V * (size_t)c->D;

	/* n = parameters of embedding and Linears; norms and biases are next to nothing */
	for (int l = 0; l < MOE_LINEARS; l++)
		n += (size_t)c->L * (size_t)m->layer[0].w[l].rows * (size_t)m->layer[0].w[l].cols;
	if (moe_model_wide(c) || n > READY_MOST)
		return 0;
	for (int i = 0; i < c->L; i++)
		for (int l = 0; l < MOE_LINEARS; l++) {
			struct moe_layer *y = &m->layer[i];

			if (y->w[l].cols < NARROW &&
				(moe_weight_ready(&y->w[l], true, &m->ready, &y->forth[l], e) ||
					moe_weight_ready(
						&y->w[l], false, &m->ready, &y->back[l], e)))
				return -1;
		}
	return moe_weight_ready(&m->head, true, &m->ready, &m->head_forth, e);
}

void moe_model_drop_ready(struct moe_model *m)
{
	for (int i = 0; m->layer && i < m->config.L; i++)
		for (int l = 0; l < MOE_LINEARS; l++)
			m->layer[i].forth[l] = m->layer[i].back[l] = NULL;
	m->head_forth = NULL;
	moe_arena_free(&m->ready);
}

/* Columns of z [T, slots]: R for each adapted Linear of the group, one Linear after the other.
 * alive [L * 7, R] has a row for each Linear of each layer. */
static void prep_slots(const struct moe_experts *x, int layer, struct moe_prep_group *g)
{
	for (int j = 0; j < g->n; j++) {
		struct moe_prep_linear *p = &g->lin[j];

		p->slot = -1;
		if (!x || !x->target[p->linear])
			continue;
		p->slot = g->slots;
		p->alive = x->alive +
			((size_t)layer * MOE_LINEARS + (size_t)p->linear) * (size_t)x->R;
		g->slots += x->R;
	}
}

/* at and bt of each adapted Linear, from A [R, in] and B [out, R]. */
static int prep_experts(const struct moe_experts *x, int layer, struct moe_prep_group *g,
	struct moe_arena *a, struct moe_err *e)
{
	size_t in = (size_t)g->in, R;
	moe_real *rows, *at, *bt;

	if (!g->slots)
		return 0;
	R = (size_t)x->R;
	rows = moe_arena_get(a, (size_t)g->slots * in, sizeof(*rows), e);
	at = moe_arena_get(a, moe_gemm_ready_size(g->slots, g->in), sizeof(*at), e);
	if (!rows || !at)
		return -1;
	for (int j = 0; j < g->n; j++) {
		struct moe_prep_linear *p = &g->lin[j];
		size_t i = (size_t)layer * MOE_LINEARS + (size_t)p->linear;

		if (p->slot < 0)
			continue;
		bt = moe_arena_get(a, moe_gemm_ready_size(p->out, x->R), sizeof(*bt), e);
		if (!bt)
			return -1;
		/* 1. its A [R, in] becomes rows slot .. slot + R - 1 of the group's; 2. its B [out,
		 * R] is made ready by itself, since its output is its own */
		memcpy(rows + (size_t)p->slot * in, x->param + moe_view_of(x, i, MOE_ROLE_A)->off,
			R * in * sizeof(*rows));
		moe_gemm_ready(true, p->out, x->R, x->param + moe_view_of(x, i, MOE_ROLE_B)->off,
			x->R, bt);
		p->bt = bt;
	}
	/* 3. all of A in one matrix: z of the whole group is one product with their common input */
	moe_gemm_ready(true, g->slots, g->in, rows, g->in, at);
	g->at = at;
	return 0;
}

int moe_prep_layer_names(const struct moe_model *m, const struct moe_experts *x, int i,
	struct moe_arena *a, struct moe_prep_layer *out, struct moe_err *e)
{
	const struct moe_layer *y = &m->layer[i];

	memset(out, 0, sizeof(*out));
	for (int k = 0; k < MOE_GROUPS; k++) {
		struct moe_prep_group *g = &out->group[k];

		g->n = moe_groups[k].n;
		for (int j = 0; j < g->n; j++) {
			struct moe_prep_linear *p = &g->lin[j];

			p->linear = moe_groups[k].lin[j];
			moe_linear_shape(&m->config, p->linear, &p->in, &p->out);
			g->in = p->in;
			if (moe_weight_get(&y->bias[p->linear], a, &p->bias, e))
				return -1;
		}
		prep_slots(x, i, g);
	}
	if (moe_weight_get(&y->norm1, a, &out->norm1, e) ||
		moe_weight_get(&y->norm2, a, &out->norm2, e) ||
		moe_weight_get(&y->qnorm, a, &out->qnorm, e))
		return -1;
	return moe_weight_get(&y->knorm, a, &out->knorm, e);
}

int moe_prep_layer(const struct moe_model *m, const struct moe_experts *x, int i,
	struct moe_arena *a, struct moe_prep_layer *out, struct moe_err *e)
{
	if (moe_prep_layer_names(m, x, i, a, out, e))
		return -1;
	for (int k = 0; k < MOE_GROUPS; k++) {
		struct moe_prep_group *g = &out->group[k];

		for (int j = 0; j < g->n; j++) {
			struct moe_prep_linear *p = &g->lin[j];
			const struct moe_weight *w = &m->layer[i].w[p->linear];

			/* W: what the model keeps ready, else made ready here if it is narrow, else
			 * only widened to moe_real [out, in] */
			p->ready = p->in < NARROW;
			p->w = m->layer[i].forth[p->linear];
			if (!p->w &&
				(p->ready ? moe_weight_ready(w, true, a, &p->w, e)
					  : moe_weight_get(w, a, &p->w, e)))
				return -1;
		}
		if (prep_experts(x, i, g, a, e))
			return -1;
	}
	return 0;
}

/* Rows of zs = z .* (alive .* v), v one number of each expert's slots; zs may be z. p [E]; gate,
 * mask [T, E], NULL = 1. */
static MOE_CLONES void scale_rows(int T, int E, const int *first, const int *rank,
	const moe_real *p, const moe_real *gate, const moe_real *mask, const moe_real *alive,
	const moe_real *z, size_t ldz, moe_real *zs)
{
	for (int t = 0; t < T; t++, z += ldz, zs += ldz)
		for (int i = 0; i < E; i++) {
			size_t cell = (size_t)t * (size_t)E + (size_t)i;
			moe_real v = p[i] * (gate ? gate[cell] : 1) * (mask ? mask[cell] : 1);
			int end = first[i] + rank[i];

#pragma GCC ivdep
			for (int k = first[i]; k < end; k++)
				zs[k] = z[k] * (alive[k] * v);
		}
}

/* zs[t, k] = z[t, k] alive[k] s present_e gate[t, e] mask[t, e] for the slots k of each expert e:
 * the equation of experts.h up to B. */
void moe_expert_scale(const struct moe_experts *x, const moe_real *alive, int T,
	const moe_real *gate, const moe_real *mask, const moe_real *z, int ldz, moe_real *zs)
{
	moe_real s = (moe_real)x->scale, p[MOE_EXPERTS_MAX];

	for (int i = 0; i < x->E; i++)
		p[i] = s * (moe_real)x->present[i];
	scale_rows(T, x->E, x->first, x->rank, p, gate, mask, alive, z, (size_t)ldz, zs);
}

void moe_group_fwd(const struct moe_prep_group *g, const struct moe_experts *x, int T,
	const moe_real *in, const moe_real *const gate[], bool exact, moe_real *const y[],
	const int ldy[], moe_real *z, moe_real *zs)
{
	/* z [T, slots] = in [T, in] [A of all its Linears]^T */
	if (g->slots)
		moe_gemm_rows_ready(T, g->slots, g->in, in, g->in, g->at, 0, z, g->slots);
	for (int j = 0; j < g->n; j++) {
		const struct moe_prep_linear *p = &g->lin[j];

		/* y = in W^T + bias */
		if (p->ready)
			moe_gemm_rows_ready(T, p->out, p->in, in, p->in, p->w, 0, y[j], ldy[j]);
		else if (exact)
			moe_gemm_stored(T, p->out, p->in, in, p->in, p->w, MOE_REAL_DTYPE, p->in, 0,
				y[j], ldy[j]);
		else
			moe_gemm(false, true, T, p->out, p->in, 1, in, p->in, p->w, p->in, 0, y[j],
				ldy[j]);
		if (p->bias)
			moe_vec_add_bias(T, p->out, p->bias, y[j], ldy[j]);
		if (p->slot < 0)
			continue;
		/* y += (coefficients .* z) B^T */
		moe_expert_scale(
			x, p->alive, T, gate[j], NULL, z + p->slot, g->slots, zs + p->slot);
		moe_gemm_rows_ready(
			T, p->out, x->R, zs + p->slot, g->slots, p->bt, 1, y[j], ldy[j]);
	}
}

/* ---- rope ---- */

/* Llama 3.1's scaling of one frequency. wave = 2 pi / inv is the number of positions of a full
 * turn, orig / wave the turns over the length of the first training. Below `low` turns the
 * frequency is divided by the factor, above `high` it stays; between, smooth goes from 0 to 1. */
static double llama3(const struct moe_config *c, double inv)
{
	const double pi2 = 6.283185307179586;
	double wave = pi2 / inv, smooth;

	if (wave > c->rope_orig / c->rope_low)
		return inv / c->rope_factor;
	if (wave < c->rope_orig / c->rope_high)
		return inv;
	smooth = (c->rope_orig / wave - c->rope_low) / (c->rope_high - c->rope_low);
	return (1 - smooth) * inv / c->rope_factor + smooth * inv;
}

/* The dimension at which a rotation makes `turns` turns over the original length. */
static double yarn_dim(const struct moe_config *c, double turns)
{
	const double pi2 = 6.283185307179586;

	return c->hd * moe_log(c->rope_orig / (turns * pi2)) / (2 * moe_log(c->theta));
}

/* YaRN (Peng et al. 2309.00071) for pair j. lo and hi are the pairs that make rope_high and
 * rope_low turns; the ramp is 0 up to lo (fast pairs: left as they are), 1 from hi on (slow ones:
 * divided by the factor), linear between. Rounding and the 0.001 are transformers'. */
static double yarn(const struct moe_config *c, double inv, int j)
{
	double lo = floor(yarn_dim(c, c->rope_high)), hi = ceil(yarn_dim(c, c->rope_low)), ramp;

	lo = lo < 0 ? 0 : lo;
	hi = hi > c->hd - 1 ? c->hd - 1 : hi;
	hi = hi > lo ? hi : lo + 0.001;
	ramp = (j - lo) / (hi - lo);
	ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
	return inv / c->rope_factor * ramp + inv * (1 - ramp);
}

int moe_rope_freqs(const struct moe_config *c, int max_len, moe_real *inv_freq, double *scale,
	struct moe_err *e)
{
	*scale = 1;
	if (c->rope == MOE_ROPE_DYNAMIC && max_len > c->max_pos)
		return moe_fail(e, MOE_DATA,
			"a sequence of %d tokens: rope scaling 'dynamic' is supported up to "
			"max_position_embeddings = %d",
			max_len, c->max_pos);
	/* cos and sin are multiplied by it, so q k by its square: sqrt(1/t) of the paper */
	if (c->rope == MOE_ROPE_YARN)
		*scale = c->rope_factor > 1 ? 0.1 * moe_log(c->rope_factor) + 1 : 1;
	for (int j = 0; j < c->hd / 2; j++) {
		/* rounded first, as transformers keeps it in float */
		double inv = (double)(moe_real)(1 / moe_pow(c->theta, 2.0 * j / c->hd));

		if (c->rope == MOE_ROPE_LINEAR)
			inv /= c->rope_factor;
		else if (c->rope == MOE_ROPE_LLAMA3)
			inv = llama3(c, inv);
		else if (c->rope == MOE_ROPE_YARN)
			inv = yarn(c, inv, j);
		inv_freq[j] = (moe_real)inv;
	}
	return 0;
}
