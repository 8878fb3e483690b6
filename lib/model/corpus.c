/* corpus.c - records to tokens, tokens to packed batches. No training, no shuffling. */
#include "model/corpus.h"
#include "util/rng.h"

#include "formats/tokenizer/special.h"

#include <stdlib.h>
#include <string.h>

#define WEIGHT_MAX 1e6 /* of a loss: more than this is a mistake */

/* Room for one more text of `more` tokens; both arrays double. */
static int reserve(struct moe_corpus *c, size_t more, struct moe_err *e)
{
	size_t want = c->n_ids + more, cap = c->cap_ids ? c->cap_ids : 4096;
	void *p;

	if (c->n == c->cap) {
		size_t docs = c->cap ? c->cap * 2 : 256;

		if (!(p = realloc(c->doc, docs * sizeof(*c->doc))))
			return moe_fail(e, MOE_SYSTEM, "out of memory for %zu texts", docs);
		c->doc = p;
		c->cap = docs;
	}
	while (cap < want)
		cap *= 2;
	if (cap == c->cap_ids)
		return 0;
	if (!(p = realloc(c->ids, cap * sizeof(*c->ids))))
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu tokens", cap);
	c->ids = p;
	c->cap_ids = cap;
	return 0;
}

int moe_corpus_add_ids(struct moe_corpus *c, const int32_t *prompt, size_t n_prompt,
	const int32_t *rest, size_t n_rest, uint64_t key, struct moe_err *e)
{
	struct moe_doc *d;

	if (n_prompt + n_rest < 2 || n_prompt + n_rest > 1 << 24)
		return moe_fail(e, MOE_DATA, "a text of %zu tokens: it needs at least two",
			n_prompt + n_rest);
	if (reserve(c, n_prompt + n_rest, e))
		return -1;
	if (n_prompt)
		memcpy(c->ids + c->n_ids, prompt, n_prompt * sizeof(*prompt));
	if (n_rest)
		memcpy(c->ids + c->n_ids + n_prompt, rest, n_rest * sizeof(*rest));
	d = &c->doc[c->n++];
	*d = (struct moe_doc){ c->n_ids, (int)(n_prompt + n_rest), (int)n_prompt, 1, 0, key };
	c->n_ids += n_prompt + n_rest;
	return 0;
}

/* Weights of a record's loss: 1 on the text, 0.1 on its prompt, unless it says otherwise. */
static int weights(const struct moe_rec *r, double *w, double *pw, struct moe_err *e)
{
	*w = 1;
	*pw = 0.1;
	if ((moe_rec_has(r, "weight") > MOE_V_NIL && !moe_rec_f64(r, "weight", w)) ||
		(moe_rec_has(r, "prompt_weight") > MOE_V_NIL &&
			!moe_rec_f64(r, "prompt_weight", pw)))
		return moe_fail(e, MOE_DATA,
			"record %llu: weight and prompt_weight must be numbers",
			(unsigned long long)r->number);
	if (!(*w >= 0 && *w <= WEIGHT_MAX && *pw >= 0 && *pw <= WEIGHT_MAX))
		return moe_fail(e, MOE_DATA,
			"record %llu: weight %g, prompt_weight %g: they must lie between 0 and %g",
			(unsigned long long)r->number, *w, *pw, WEIGHT_MAX);
	return 0;
}

int moe_corpus_add(struct moe_corpus *c, const struct moe_rec *r, const struct moe_tokenizer *t,
	const struct moe_config *m, int max_len, struct moe_err *e)
{
	struct moe_str id, text, prompt = { NULL, 0 };
	int32_t *ids = NULL;
	size_t n = 0, n_prompt;
	double w, pw;
	int rc;

	if (moe_rec_str_req(r, "id", &id, e) || moe_rec_str_req(r, "text", &text, e) ||
		weights(r, &w, &pw, e))
		return -1;
	if (moe_rec_has(r, "prompt") > MOE_V_NIL && moe_rec_str_req(r, "prompt", &prompt, e))
		return -1;
	/* ids = prompt, then text; begin and end marks as special.h decides for every program */
	rc = moe_prompt_tokens(t, -1, prompt, moe_rec_has(r, "messages") > MOE_V_NIL, &ids, &n, e);
	n_prompt = n;
	if (!rc)
		rc = moe_completion_tokens(t, m->eos, m->n_eos, text, &ids, &n, e);
	if (!rc && n < 2) { /* an empty text, or one token: there is nothing to predict */
		free(ids);
		c->empty++;
		return 0;
	}
	if (!rc && n > (size_t)max_len) {
		n = (size_t)max_len;
		n_prompt = n_prompt < n ? n_prompt : n;
		c->cut++;
	}
	if (!rc)
		rc = moe_corpus_add_ids(c, ids, n_prompt, ids ? ids + n_prompt : NULL, n - n_prompt,
			moe_hash64(id.p, id.n), e);
	free(ids);
	if (rc)
		return moe_err_prefix(e, "record %llu", (unsigned long long)r->number);
	c->doc[c->n - 1].weight = (float)w;
	c->doc[c->n - 1].prompt_weight = (float)pw;
	return 1;
}

void moe_corpus_clear(struct moe_corpus *c)
{
	c->n = c->n_ids = c->cut = c->empty = 0;
}

void moe_corpus_free(struct moe_corpus *c)
{
	free(c->ids);
	free(c->doc);
	memset(c, 0, sizeof(*c));
}

static int room(struct moe_docs_batch *p, size_t tokens, size_t segs, struct moe_err *e)
{
	if (tokens > 1 << 26)
		return moe_fail(e, MOE_DATA, "a batch of %zu tokens is too large", tokens);
	if ((size_t)p->cap_t >= tokens && (size_t)p->cap_seg >= segs)
		return 0;
	moe_docs_batch_free(p);
	p->ids = moe_alloc(tokens, sizeof(*p->ids), e);
	p->row = moe_alloc(tokens, sizeof(*p->row), e);
	p->target = moe_alloc(tokens, sizeof(*p->target), e);
	p->weight = moe_alloc(tokens, sizeof(*p->weight), e);
	p->seg = moe_alloc(segs, sizeof(*p->seg), e);
	if (!p->ids || !p->row || !p->target || !p->weight || !p->seg) {
		moe_docs_batch_free(p);
		return -1;
	}
	p->cap_t = (int)tokens;
	p->cap_seg = (int)segs;
	return 0;
}

int moe_docs_pack(struct moe_docs_batch *p, const struct moe_corpus *c, const uint32_t *doc,
	size_t n, struct moe_err *e)
{
	size_t tokens = 0;
	int at = 0;

	/* T = all tokens; each text is a segment of its own, so that none attends to another */
	for (size_t i = 0; i < n; i++)
		tokens += (size_t)c->doc[doc[i]].n;
	if (room(p, tokens, n, e))
		return -1;
	p->n = 0;
	p->weight_sum = 0;
	for (size_t i = 0; i < n; i++) {
		const struct moe_doc *d = &c->doc[doc[i]];

		p->seg[i] = (struct moe_seg){ at, d->n, -1, 0 };
		memcpy(p->ids + at, c->ids + d->off, (size_t)d->n * sizeof(*p->ids));
		/* row t - 1 predicts token t; rows of weight 0 never reach the head */
		for (int t = 1; t < d->n; t++) {
			float w = t < d->n_prompt ? d->prompt_weight : d->weight;

			if (w == 0)
				continue;
			p->row[p->n] = at + t - 1;
			p->target[p->n] = p->ids[at + t];
			p->weight[p->n++] = (moe_real)w;
			p->weight_sum += (double)w;
		}
		at += d->n;
	}
	p->b = (struct moe_batch){ at, p->ids, (int)n, p->seg };
	return 0;
}

void moe_docs_batch_free(struct moe_docs_batch *p)
{
	free(p->ids);
	free(p->row);
	free(p->target);
	free(p->weight);
	free(p->seg);
	memset(p, 0, sizeof(*p));
}

void moe_docs_cut(const struct moe_corpus *c, const uint32_t *doc, size_t n, size_t tokens,
	size_t *cut, size_t *n_run)
{
	size_t sum = 0;

	/* runs of at most `tokens` tokens, or of one text that is longer; cut [n_run + 1] */
	*n_run = 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = (size_t)c->doc[doc[i]].n;

		if (i == 0 || sum + len > tokens) {
			cut[(*n_run)++] = i;
			sum = 0;
		}
		sum += len;
	}
	cut[*n_run] = n;
}
