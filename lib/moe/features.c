/* features.c - runs the frozen base over packed sequences and hands out hidden states; it fits nothing. */
#include "moe/features.h"

#include "util/mem.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_TOK 1024 /* tokens of one packed pass; fixed, so that results do not depend on threads */

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
			*out++ = (float)r->block[l][(size_t)(r->first + t) * (size_t)r->D + (size_t)i];
}

/* ---- cutting the sequences into chunks ---- */

struct run {
	const struct moe_engine *g;
	const struct moe_seen *s;
	size_t n;
	size_t *cut;           /* [n_chunk + 1] first sequence of each chunk */
	size_t n_chunk;
	struct moe_acts *acts; /* [threads] */
	moe_feature_fn *fn;
	void *ctx;
};

static bool same_prompt(const struct moe_seen *a, const struct moe_seen *b)
{
	return a->n_prompt == b->n_prompt && (a->prompt == b->prompt || !memcmp(a->prompt, b->prompt, sizeof(*a->prompt) * (size_t)a->n_prompt));
}

static void cut_chunks(struct run *r)
{
	const struct moe_config *c = &r->g->m->config;
	int tok = 0;

	r->cut[0] = 0;
	r->n_chunk = 0;
	for (size_t i = 0; i < r->n; i++) {
		int own = moe_features_tokens(c, &r->s[i]);
		bool shared = i > r->cut[r->n_chunk] && same_prompt(&r->s[i], &r->s[i - 1]);
		int need = own + (shared ? 0 : r->s[i].n_prompt);

		if (i > r->cut[r->n_chunk] && tok + need > CHUNK_TOK) {
			r->cut[++r->n_chunk] = i;
			tok = 0;
			need = own + r->s[i].n_prompt;
		}
		tok += need;
	}
	if (r->n)
		r->cut[++r->n_chunk] = r->n;
}

/* ---- one chunk ---- */

struct packed {
	int32_t *ids;
	struct moe_seg *seg;
	int *own; /* [n] segment of each sequence's completion, -1 = without tokens */
	int T, n_seg;
};

static int pack(const struct run *r, size_t a, size_t b, struct packed *p, struct moe_err *e)
{
	const struct moe_config *c = &r->g->m->config;
	size_t tok = 0;
	int parent = -1;

	for (size_t i = a; i < b; i++)
		tok += (size_t)r->s[i].n_prompt + (size_t)r->s[i].n_completion;
	p->ids = moe_alloc(tok, sizeof(*p->ids), e);
	p->seg = moe_alloc(2 * (b - a), sizeof(*p->seg), e);
	p->own = moe_alloc(b - a, sizeof(*p->own), e);
	if (!p->ids || !p->seg || !p->own)
		return -1;
	for (size_t i = a; i < b; i++) {
		const struct moe_seen *s = &r->s[i];
		int n = moe_features_tokens(c, s);

		if (i == a || !same_prompt(s, s - 1)) {
			parent = p->n_seg;
			p->seg[p->n_seg++] = (struct moe_seg){ p->T, s->n_prompt, -1, 0 };
			memcpy(p->ids + p->T, s->prompt, sizeof(*p->ids) * (size_t)s->n_prompt);
			p->T += s->n_prompt;
		}
		p->own[i - a] = n ? p->n_seg : -1;
		if (n == 0)
			continue;
		p->seg[p->n_seg++] = (struct moe_seg){ p->T, n, parent, s->n_prompt };
		memcpy(p->ids + p->T, s->completion, sizeof(*p->ids) * (size_t)n);
		p->T += n;
	}
	return 0;
}

static int chunk(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct run *r = ctx;
	struct moe_acts *acts = &r->acts[worker];
	const struct moe_config *c = &r->g->m->config;
	size_t a = r->cut[task], b = r->cut[task + 1];
	struct packed p = { 0 };
	int rc = pack(r, a, b, &p, e);
	struct moe_batch batch = { p.T, p.ids, p.n_seg, p.seg };

	acts->keep_hidden = true;
	if (rc == 0)
		rc = moe_forward(r->g->m, NULL, NULL, &batch, acts, e);
	for (size_t i = a; rc == 0 && i < b; i++) {
		int own = p.own[i - a];

		if (own >= 0)
			rc = r->fn(r->ctx, i, &(struct moe_feature_rows){ (const moe_real *const *)acts->block_out, c->L > 1 ? c->L - 1 : 1, c->D,
				p.seg[own].start, p.seg[own].len }, e);
	}
	free(p.ids);
	free(p.seg);
	free(p.own);
	return rc;
}

int moe_features_run(const struct moe_engine *g, const struct moe_seen *s, size_t n, moe_feature_fn *fn, void *ctx, struct moe_err *e)
{
	int threads = moe_pool_threads(g->pool);
	struct run r = { .g = g, .s = s, .n = n, .fn = fn, .ctx = ctx };
	int rc = -1;

	for (size_t i = 0; i < n; i++)
		if (s[i].n_prompt < 1)
			return moe_fail(e, MOE_DATA, "sequence %zu has an empty prompt", i);
	r.cut = moe_alloc(n + 1, sizeof(*r.cut), e);
	r.acts = moe_alloc((size_t)threads, sizeof(*r.acts), e);
	if (r.cut && r.acts) {
		cut_chunks(&r);
		rc = moe_pool_run(g->pool, r.n_chunk, chunk, &r, e);
		for (int i = 0; i < threads; i++)
			moe_acts_free(&r.acts[i]);
	}
	free(r.cut);
	free(r.acts);
	return rc;
}
