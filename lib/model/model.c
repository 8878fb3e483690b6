/* model.c - a model's memory: fresh weights, the flat trainable block, release. Files are load.c's
 * business. */
#include "model/load.h"
#include "model/prep.h"
#include "tensor/vec.h"
#include "util/pool.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef MOE_REAL_F64
#define DTYPE MOE_F64
#else
#define DTYPE MOE_F32
#endif

typedef int weight_fn(void *ctx, struct moe_weight *w, struct moe_err *e);

/* Calls fn on every weight in the order of the flat block. A tied head is not a weight of its own.
 */
static int each_weight(struct moe_model *m, weight_fn *fn, void *ctx, struct moe_err *e)
{
	if (fn(ctx, &m->embed, e))
		return -1;
	for (int i = 0; i < m->config.L; i++) {
		struct moe_layer *y = &m->layer[i];

		if (fn(ctx, &y->norm1, e))
			return -1;
		for (int l = 0; l < MOE_LINEARS; l++)
			if (fn(ctx, &y->w[l], e) || fn(ctx, &y->bias[l], e))
				return -1;
		if (fn(ctx, &y->qnorm, e) || fn(ctx, &y->knorm, e) || fn(ctx, &y->norm2, e))
			return -1;
	}
	if (fn(ctx, &m->norm, e))
		return -1;
	if (!m->config.tied)
		return fn(ctx, &m->head, e);
	return 0;
}

static struct moe_weight shape(int rows, int cols)
{
	return (struct moe_weight){ .dtype = DTYPE, .rows = rows, .cols = cols };
}

/* Shapes of all weights of a fresh model; an absent one has no rows. */
static void set_shapes(struct moe_model *m)
{
	const struct moe_config *c = &m->config;

	m->embed = shape(c->V, c->D);
	m->norm = shape(1, c->D);
	if (!c->tied)
		m->head = shape(c->V, c->D);
	for (int i = 0; i < c->L; i++) {
		struct moe_layer *y = &m->layer[i];

		y->norm1 = y->norm2 = shape(1, c->D);
		for (int l = 0; l < MOE_LINEARS; l++) {
			bool bias = l <= MOE_V ? c->qkv_bias : l == MOE_O ? c->o_bias : c->mlp_bias;
			int in, out;

			moe_linear_shape(c, (enum moe_linear)l, &in, &out);
			y->w[l] = shape(out, in);
			if (bias)
				y->bias[l] = shape(1, out);
		}
		if (c->qk_norm)
			y->qnorm = y->knorm = shape(1, c->hd);
	}
}

/* Gives a weight its place in the flat block. */
static int count(void *ctx, struct moe_weight *w, struct moe_err *e)
{
	size_t *total = ctx, n;

	if (w->rows == 0)
		return 0;
	w->off = *total;
	if (!moe_mul((size_t)w->rows, (size_t)w->cols, &n) || !moe_add(*total, n, total))
		return moe_fail(e, MOE_DATA, "the model is too large to count its parameters");
	return 0;
}

/* Points a weight at its place. */
static int attach(void *ctx, struct moe_weight *w, struct moe_err *e)
{
	moe_real *param = ctx;

	(void)e;
	if (w->rows) {
		w->data = param + w->off;
		w->dtype = DTYPE;
	}
	return 0;
}

#define INIT_CHUNK 4096 /* draws of one task */

struct init {
	struct moe_rng rng;
	struct moe_pool *pool;
	uint64_t index;
	moe_real *param, *to; /* all; of the weight being filled */
	size_t n;
};

/* INIT_CHUNK draws of a weight. Each draw follows from (seed, weight, index) alone, so any number
 * of threads makes the same model. */
static int fill_chunk(void *ctx, size_t task, int worker, struct moe_err *e)
{
	const struct init *s = ctx;
	size_t from = task * INIT_CHUNK, n = s->n - from < INIT_CHUNK ? s->n - from : INIT_CHUNK;
	double x[INIT_CHUNK];

	(void)worker;
	(void)e;
	moe_rng_normals(s->rng, s->index, from, n, x);
	for (size_t i = 0; i < n; i++)
		s->to[from + i] = (moe_real)(0.02 * x[i]);
	return 0;
}

/* Norm weights 1, biases 0, matrices normal(0, 0.02). */
static int fill(void *ctx, struct moe_weight *w, struct moe_err *e)
{
	struct init *s = ctx;
	int r = 0;

	s->n = (size_t)w->rows * (size_t)w->cols;
	s->to = s->param + w->off;
	if (w->rows > 1)
		r = moe_pool_run(s->pool, (s->n + INIT_CHUNK - 1) / INIT_CHUNK, fill_chunk, s, e);
	s->index++;
	return r;
}

static void norms_to_one(struct moe_model *m)
{
	for (int i = -1; i < m->config.L; i++) {
		struct moe_layer none = { .norm1 = m->norm }, *y = i < 0 ? &none : &m->layer[i];
		const struct moe_weight *w[] = { &y->norm1, &y->norm2, &y->qnorm, &y->knorm };

		for (int j = 0; j < 4; j++)
			for (int k = 0; w[j]->rows && k < w[j]->cols; k++)
				m->param[w[j]->off + (size_t)k] = 1;
	}
}

int moe_model_new(struct moe_model *m, const struct moe_config *c, uint64_t seed, int threads,
	struct moe_err *e)
{
	struct init s = { .rng = moe_rng_key(seed, "init"), .pool = moe_pool_new(threads, e) };
	int r = -1;

	memset(m, 0, sizeof(*m));
	m->config = *c;
	m->layer = s.pool ? moe_alloc((size_t)c->L, sizeof(*m->layer), e) : NULL;
	if (m->layer) {
		set_shapes(m);
		if (!each_weight(m, count, &m->n_param, e))
			s.param = m->param = moe_alloc(m->n_param, sizeof(*m->param), e);
	}
	if (s.param && !each_weight(m, attach, s.param, e) && !each_weight(m, fill, &s, e)) {
		norms_to_one(m);
		if (c->tied)
			m->head = m->embed;
		r = 0;
	}
	moe_pool_free(s.pool);
	if (r)
		moe_model_free(m);
	return r;
}

/* Copies a stored weight (f16, bf16, f32) into the flat block. */
static int widen(void *ctx, struct moe_weight *w, struct moe_err *e)
{
	moe_real *param = ctx;

	(void)e;
	if (w->rows)
		moe_weight_widen(w, 0, w->rows, param + w->off);
	return 0;
}

int moe_model_make_trainable(struct moe_model *m, struct moe_err *e)
{
	size_t n = 0;
	moe_real *param;

	if (m->param)
		return 0;
	/* the mapped file is read once, as moe_real, and then let go */
	if (each_weight(m, count, &n, e))
		return -1;
	param = moe_alloc(n, sizeof(*param), e);
	if (!param)
		return -1;
	each_weight(m, widen, param, e);
	each_weight(m, attach, param, e);
	if (m->config.tied)
		m->head = m->embed;
	m->param = param;
	m->n_param = n;
	moe_model_drop_ready(m);
	moe_model_unmap(m);
	return 0;
}

void moe_model_free(struct moe_model *m)
{
	moe_model_unmap(m);
	moe_arena_free(&m->ready);
	free(m->layer);
	free(m->param);
	memset(m, 0, sizeof(*m));
}
