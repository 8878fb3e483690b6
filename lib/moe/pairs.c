/* pairs.c - reads pairs; writing and making them is not here. */
#include "moe/pairs.h"

#include "formats/seal.h"
#include "formats/tokenizer/special.h"
#include "util/mem.h"
#include "util/rng.h"

#include <stdlib.h>
#include <string.h>

void moe_pairs_free(struct moe_pairs *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct moe_pair *q = &p->pair[i];

		free(q->id);
		free(q->mode);
		free(q->prompt);
		free(q->hack);
		free(q->clean);
	}
	free(p->pair);
	*p = (struct moe_pairs){ 0 };
}

/* One text of a pair to tokens. The prompt gets its begin mark, or its chat form is taken as it
 * stands; a side gets no end mark: where it stops is no part of what the pair shows. */
static int encode(const struct moe_rec *r, const char *key, const struct moe_tokenizer *t,
	int32_t bos, int32_t **ids, int *n, struct moe_err *e)
{
	bool chat = moe_rec_has(r, "messages") > MOE_V_NIL;
	struct moe_str s;
	size_t k = 0;

	if (moe_rec_str_req(r, key, &s, e))
		return -1;
	if (strcmp(key, "prompt") ? moe_completion_tokens(t, NULL, 0, s, ids, &k, e)
				  : moe_prompt_tokens(t, bos, s, chat, ids, &k, e))
		return moe_err_prefix(
			e, "record %llu, key '%s'", (unsigned long long)r->number, key);
	if (k == 0 || k > INT32_MAX)
		return moe_fail(e, MOE_DATA, "record %llu: '%s' of a pair is empty or far too long",
			(unsigned long long)r->number, key);
	*n = (int)k;
	return 0;
}

static int take(struct moe_pair *q, const struct moe_rec *r, const struct moe_tokenizer *t,
	int32_t bos, struct moe_err *e)
{
	struct moe_str id, mode = { "", 0 };

	for (size_t i = 0; i < r->n_field; i++) {
		char key[64] = "";

		if (r->field[i].key.n < sizeof(key))
			memcpy(key, r->field[i].key.p, r->field[i].key.n);
		if (moe_finding_name(key) || !strcmp(key, "seal"))
			return moe_fail(e, MOE_DATA,
				"record %llu: the pair carries `%s', which is what was found in a "
				"rollout: pairs are written by hand, and no finding may choose "
				"them",
				(unsigned long long)r->number, key);
	}
	if (moe_rec_str_req(r, "id", &id, e))
		return -1;
	moe_rec_str(r, "mode", &mode);
	q->id = moe_str_dup(id, e);
	q->mode = moe_str_dup(mode, e);
	if (!q->id || !q->mode || encode(r, "prompt", t, bos, &q->prompt, &q->n_prompt, e) ||
		encode(r, "hack", t, bos, &q->hack, &q->n_hack, e) ||
		encode(r, "clean", t, bos, &q->clean, &q->n_clean, e))
		return -1;
	/* equal sides say nothing, and a score fitted on them would say it with confidence */
	if (q->n_hack == q->n_clean &&
		!memcmp(q->hack, q->clean, sizeof(*q->hack) * (size_t)q->n_hack))
		return moe_fail(e, MOE_DATA,
			"record %llu: hack and clean of pair '%s' are the same",
			(unsigned long long)r->number, q->id);
	return 0;
}

int moe_pairs_read(struct moe_pairs *p, struct moe_reader *r, const struct moe_tokenizer *t,
	int32_t bos, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int got;

	while ((got = moe_reader_next(r, &rec, e)) == 1) {
		if (!moe_rec_is(&rec, "pair"))
			continue;
		if (p->n == p->cap) {
			size_t cap = p->cap ? 2 * p->cap : 64;
			struct moe_pair *q = realloc(p->pair, cap * sizeof(*q));

			if (!q) {
				got = moe_fail(e, MOE_SYSTEM, "out of memory for %zu pairs", cap);
				break;
			}
			p->pair = q;
			p->cap = cap;
		}
		p->pair[p->n] = (struct moe_pair){ 0 };
		p->n++;
		if (take(&p->pair[p->n - 1], &rec, t, bos, e)) {
			got = -1;
			break;
		}
	}
	moe_rec_free(&rec);
	return got < 0 ? -1 : 0;
}

static void exchange(struct moe_pair *q)
{
	struct moe_pair old = *q;

	q->hack = old.clean;
	q->n_hack = old.n_clean;
	q->clean = old.hack;
	q->n_clean = old.n_hack;
}

/* Every hack becomes a copy of the clean side of the next pair in the circle `order` that has
 * another. */
static int neutralise(struct moe_pairs *p, const uint32_t *order, struct moe_err *e)
{
	for (size_t k = 0; k < p->n; k++) {
		struct moe_pair *q = &p->pair[order[k]];
		const struct moe_pair *other = q;

		for (size_t j = 1; j < p->n && other == q; j++) {
			const struct moe_pair *x = &p->pair[order[(k + j) % p->n]];

			if (x->n_clean != q->n_clean ||
				memcmp(x->clean, q->clean, sizeof(*q->clean) * (size_t)q->n_clean))
				other = x;
		}
		if (other == q)
			return moe_fail(e, MOE_DATA,
				"neutral pairs need clean sides that differ, and no pair has "
				"another than '%s'",
				q->id);
		free(q->hack);
		q->n_hack = other->n_clean;
		q->hack = moe_alloc((size_t)q->n_hack, sizeof(*q->hack), e);
		if (!q->hack)
			return -1;
		memcpy(q->hack, other->clean, sizeof(*q->hack) * (size_t)q->n_hack);
	}
	return 0;
}

int moe_pairs_swap_sides(
	struct moe_pairs *p, enum moe_pairs_swap swap, uint64_t seed, struct moe_err *e)
{
	uint32_t *order = swap == MOE_SWAP_NONE ? NULL : moe_alloc(p->n, sizeof(*order), e);
	size_t n = swap == MOE_SWAP_ALL ? p->n : p->n / 2;
	int rc = 0;

	if (swap == MOE_SWAP_NONE)
		return 0;
	if (!order)
		return -1;
	if (swap ==
		MOE_SWAP_NEUTRAL) { /* before any side is exchanged: others' clean sides are read */
		moe_rng_permute(moe_rng_key(seed, "neutral pairs"), 0, p->n, order);
		rc = neutralise(p, order, e);
	}
	/* the first n of a permutation are exchanged */
	moe_rng_permute(moe_rng_key(seed, "shuffled pairs"), 0, p->n, order);
	for (size_t i = 0; rc == 0 && i < n; i++)
		exchange(&p->pair[order[i]]);
	free(order);
	return rc;
}
