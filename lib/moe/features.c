/* features.c - runs the base, or the policy, over packed sequences and hands out hidden states; it
 * fits nothing.
 *
 * The features of a token are one number for each layer but the last and each dimension: number l D
 * + i is dimension i of the residual stream after layer l. The last layer, unless it
 * is the only one, is not computed at all. */
#include "moe/features.h"

#include "moe/pack.h"
#include "tensor/vec.h"
#include "util/mem.h"

#include <math.h>

#include <stdlib.h>
#include <string.h>

#define CHUNK_TOK                                                                                  \
	1024 /* tokens of one packed pass; fixed, so that results do not depend on threads */

/* d = (L - 1) D; a base of one layer has no other output than its last one's. */
int moe_features_dim(const struct moe_config *c)
{
	return (c->L > 1 ? c->L - 1 : 1) * c->D;
}

/* A final stop token ends the text and is no part of it: it is not scored. */
int moe_features_tokens(const struct moe_config *c, const struct moe_seen *s)
{
	int n = s->n_completion;

	for (int i = 0; n > 0 && i < c->n_eos; i++)
		if (s->completion[n - 1] == c->eos[i])
			return n - 1;
	return n;
}

/* out[l D + i] = block[l][first + t, i], blocks [T, D] in C order. */
void moe_features_row(const struct moe_feature_rows *r, int t, float *out)
{
	for (int l = 0; l < r->layers; l++)
		for (int i = 0; i < r->D; i++)
			*out++ = (float)r->block[l]
						[(size_t)(r->first + t) * (size_t)r->D + (size_t)i];
}

/* One call of moe_features_run: n sequences, cut into chunks; a task is a chunk. */
struct run {
	const struct moe_engine *g;
	struct moe_seq *s;     /* [n] */
	size_t *cut;           /* [n + 1] chunk k has the sequences cut[k] .. cut[k + 1] - 1 */
	struct moe_acts *acts; /* [threads], the engine's or our own */
	moe_feature_fn *fn;
	void *ctx;
};

/* Sequences a .. b - 1 in one packed pass of T tokens, and fn for each that has tokens. */
static int chunk(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct run *r = ctx;
	struct moe_acts *acts = &r->acts[worker];
	const struct moe_config *c = &r->g->m->config;
	size_t a = r->cut[task], b = r->cut[task + 1];
	struct moe_packed p;
	struct moe_batch batch;
	int rc;

	if (moe_pack(r->s + a, b - a, &p, e))
		return -1;
	batch = (struct moe_batch){ p.T, p.ids, p.n_seg, p.seg };
	/* the pass ends after the layers that are features: block_out [layers] -> [T, D] */
	acts->keep_hidden = true;
	acts->layers = c->L > 1 ? c->L - 1 : 1; /* the last layer's output is no feature */
	rc = moe_forward(r->g->m, r->g->x, NULL, &batch, acts, e);
	for (size_t i = a; rc == 0 && i < b; i++) {
		int own = p.own[i - a];

		/* the first row of a sequence's own segment is the last prompt token, which it does
		 * not share; row start + 1 + t is completion token t */
		if (p.seg[own].len > 1)
			rc = r->fn(r->ctx, i,
				&(struct moe_feature_rows){
					(const moe_real *const *)acts->block_out,
					c->L > 1 ? c->L - 1 : 1, c->D, p.seg[own].start + 1,
					p.seg[own].len - 1 },
				e);
	}
	moe_packed_free(&p);
	return rc;
}

/* Chunks are tasks of the pool, or, where a pass is better shared, made one after another with the
 * pool's threads inside each. */
static int run_chunks(struct run *r, size_t n, struct moe_err *e)
{
	struct moe_pool *pool = r->g->pool;
	int rc = 0;

	if (!moe_pass_shared(r->g->m, moe_pool_threads(pool), n))
		return moe_pool_run(pool, n, chunk, r, e);
	r->acts[0].pool = pool;
	for (size_t k = 0; rc == 0 && k < n; k++)
		rc = chunk(r, k, 0, e);
	r->acts[0].pool = NULL;
	return rc;
}

int moe_features_run(const struct moe_engine *g, const struct moe_seen *s, size_t n,
	moe_feature_fn *fn, void *ctx, struct moe_err *e)
{
	int threads = moe_pool_threads(g->pool), rc = -1;
	struct run r = { .g = g, .fn = fn, .ctx = ctx };

	r.s = moe_alloc(n, sizeof(*r.s), e);
	r.cut = moe_alloc(n + 1, sizeof(*r.cut), e);
	r.acts = g->acts ? g->acts : moe_alloc((size_t)threads, sizeof(*r.acts), e);
	if (r.s && r.cut && r.acts) {
		/* final stop tokens are cut off before anything runs: they cost no row */
		for (size_t i = 0; i < n; i++)
			r.s[i] = (struct moe_seq){ s[i].prompt, s[i].completion, s[i].n_prompt,
				moe_features_tokens(&g->m->config, &s[i]), 0 };
		rc = run_chunks(&r, moe_pack_cut(r.s, n, CHUNK_TOK, r.cut), e);
	}
	for (int i = 0; r.acts && !g->acts && i < threads; i++)
		moe_acts_free(&r.acts[i]);
	if (!g->acts)
		free(r.acts);
	free(r.s);
	free(r.cut);
	return rc;
}

/* No group, no label (-1), no router's gates. */
struct moe_seen moe_pair_seen(const struct moe_pair *p, bool hack)
{
	return (struct moe_seen){ p->prompt, hack ? p->hack : p->clean, p->n_prompt,
		hack ? p->n_hack : p->n_clean, 0, -1, NULL };
}

struct pooled {
	float *out; /* [n, d] a row a sequence */
	size_t d;
};

/* out[seq, l D + i] = mean over the completion's tokens t of block[l][first + t, i]. Summed in
 * double, token by token in order; rows of different sequences are written by different calls, so
 * no lock is needed. */
static int pool_one(void *ctx, size_t seq, const struct moe_feature_rows *rows, struct moe_err *e)
{
	struct pooled *p = ctx;
	size_t D = (size_t)rows->D;

	(void)e;
	for (size_t k = 0; k < p->d; k++) {
		/* feature k is dimension k % D of layer k / D; tokens are D apart */
		const moe_real *x = rows->block[k / D] + (size_t)rows->first * D + k % D;
		double sum = 0;

		for (int t = 0; t < rows->n; t++)
			sum += (double)x[(size_t)t * D];
		p->out[seq * p->d + k] = (float)(sum / rows->n);
	}
	return 0;
}

int moe_features_pooled(const struct moe_engine *g, const struct moe_seen *s, size_t n, float *out,
	struct moe_err *e)
{
	struct pooled p = { out, (size_t)moe_features_dim(&g->m->config) };

	/* sequences without tokens are not called for: their rows stay 0 */
	memset(out, 0, n * p.d * sizeof(*out));
	return moe_features_run(g, s, n, pool_one, &p, e);
}

/* With h_i = x[2i] and c_i = x[2i + 1], hack and clean side of pair i, over the pairs that count:
 *     direction = v / |v|,  v = mean of h_i - c_i     (0 when v is)
 *     middle    = mean of (h_i + c_i) / 2             halfway between the sides' means
 * so that (f - middle) . direction is |v| / 2 for the mean hack side and -|v| / 2 for the clean. */
void moe_contrast(const float *x, size_t n, size_t d, const uint8_t *in, moe_real *direction,
	moe_real *middle)
{
	double norm, count = 0;

	for (size_t i = 0; i < n; i++)
		count += !in || in[i];
	for (size_t k = 0; k < d; k++) {
		double v = 0, m = 0;

		for (size_t i = 0; i < n; i++) {
			if (in && !in[i])
				continue;
			v += (double)x[2 * i * d + k] - (double)x[(2 * i + 1) * d + k];
			m += (double)x[2 * i * d + k] + (double)x[(2 * i + 1) * d + k];
		}
		direction[k] = (moe_real)(v / count);
		middle[k] = (moe_real)(m / (2 * count));
	}
	norm = sqrt(moe_vec_sumsq(d, direction));
	for (size_t k = 0; norm > 0 && k < d; k++)
		direction[k] = (moe_real)((double)direction[k] / norm);
}

float *moe_features_of_pairs(
	const struct moe_engine *g, const struct moe_pairs *p, float *length, struct moe_err *e)
{
	size_t d = (size_t)moe_features_dim(&g->m->config), n = 2 * p->n;
	struct moe_seen *s = moe_alloc(n, sizeof(*s), e);
	float *x = s ? moe_alloc(n * d, sizeof(*x), e) : NULL;

	/* row 2i is pair i's hack side, row 2i + 1 its clean side */
	for (size_t i = 0; x && i < n; i++) {
		s[i] = moe_pair_seen(&p->pair[i / 2], i % 2 == 0);
		if (length)
			length[i] = (float)moe_features_tokens(&g->m->config, &s[i]);
	}
	if (x && moe_features_pooled(g, s, n, x, e)) {
		free(x);
		x = NULL;
	}
	free(s);
	return x;
}

int moe_features_contrast(const struct moe_engine *g, const struct moe_pairs *p,
	moe_real *direction, moe_real *middle, struct moe_err *e)
{
	float *x = moe_features_of_pairs(g, p, NULL, e);

	if (x)
		moe_contrast(
			x, p->n, (size_t)moe_features_dim(&g->m->config), NULL, direction, middle);
	free(x);
	return x ? 0 : -1;
}
