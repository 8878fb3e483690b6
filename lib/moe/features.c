/* features.c - runs the frozen base over packed sequences and hands out hidden states; it fits
 * nothing. */
#include "moe/features.h"

#include "moe/pack.h"
#include "util/mem.h"

#include <stdlib.h>

#define CHUNK_TOK                                                                                  \
	1024 /* tokens of one packed pass; fixed, so that results do not depend on threads */

int moe_features_dim(const struct moe_config *c)
{
	return (c->L > 1 ? c->L - 1 : 1) * c->D;
}

int moe_features_tokens(const struct moe_config *c, const struct moe_seen *s)
{
	int n = s->n_completion;

	for (int i = 0; n > 0 && i < c->n_eos; i++)
		if (s->completion[n - 1] == c->eos[i])
			return n - 1;
	return n;
}

void moe_features_row(const struct moe_feature_rows *r, int t, float *out)
{
	for (int l = 0; l < r->layers; l++)
		for (int i = 0; i < r->D; i++)
			*out++ = (float)r->block[l]
						[(size_t)(r->first + t) * (size_t)r->D + (size_t)i];
}

struct run {
	const struct moe_engine *g;
	struct moe_seq *s;     /* [n] */
	size_t *cut;           /* [n + 1] */
	struct moe_acts *acts; /* [threads] */
	moe_feature_fn *fn;
	void *ctx;
};

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
	acts->keep_hidden = true;
	rc = moe_forward(r->g->m, NULL, NULL, &batch, acts, e);
	for (size_t i = a; rc == 0 && i < b; i++) {
		int own = p.own[i - a];

		if (own >= 0)
			rc = r->fn(r->ctx, i,
				&(struct moe_feature_rows){
					(const moe_real *const *)acts->block_out,
					c->L > 1 ? c->L - 1 : 1, c->D, p.seg[own].start,
					p.seg[own].len },
				e);
	}
	moe_packed_free(&p);
	return rc;
}

int moe_features_run(const struct moe_engine *g, const struct moe_seen *s, size_t n,
	moe_feature_fn *fn, void *ctx, struct moe_err *e)
{
	int threads = moe_pool_threads(g->pool), rc = -1;
	struct run r = { .g = g, .fn = fn, .ctx = ctx };

	r.s = moe_alloc(n, sizeof(*r.s), e);
	r.cut = moe_alloc(n + 1, sizeof(*r.cut), e);
	r.acts = moe_alloc((size_t)threads, sizeof(*r.acts), e);
	if (r.s && r.cut && r.acts) {
		for (size_t i = 0; i < n; i++)
			r.s[i] = (struct moe_seq){ s[i].prompt, s[i].completion, s[i].n_prompt,
				moe_features_tokens(&g->m->config, &s[i]), 0 };
		rc = moe_pool_run(g->pool, moe_pack_cut(r.s, n, CHUNK_TOK, r.cut), chunk, &r, e);
		for (int i = 0; i < threads; i++)
			moe_acts_free(&r.acts[i]);
	}
	free(r.s);
	free(r.cut);
	free(r.acts);
	return rc;
}
