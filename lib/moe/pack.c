/* pack.c - lays sequences out for the engine; it runs nothing. */
#include "moe/pack.h"

#include "util/mem.h"

#include <stdlib.h>
#include <string.h>

static bool shares(const struct moe_seq *a, const struct moe_seq *b)
{
	return a->state == b->state && a->n_prompt == b->n_prompt &&
		(a->prompt == b->prompt ||
			!memcmp(a->prompt, b->prompt, sizeof(*a->prompt) * (size_t)a->n_prompt));
}

size_t moe_pack_cut(const struct moe_seq *s, size_t n, int max_tok, size_t *cut)
{
	size_t chunks = 0;
	int64_t tok = 0;

	cut[0] = 0;
	for (size_t i = 0; i < n; i++) {
		bool fresh = i == cut[chunks] || !shares(&s[i], &s[i - 1]);
		int64_t need = (int64_t)s[i].n_completion + 1 + (fresh ? s[i].n_prompt - 1 : 0);

		if (i > cut[chunks] && tok + need > max_tok) {
			cut[++chunks] = i;
			tok = 0;
			need = (int64_t)s[i].n_completion + s[i].n_prompt;
		}
		tok += need;
	}
	if (n)
		cut[++chunks] = n;
	return chunks;
}

void moe_packed_free(struct moe_packed *p)
{
	free(p->ids);
	free(p->seg);
	free(p->seg_state);
	free(p->own);
	free(p->parent);
	*p = (struct moe_packed){ 0 };
}

static int add_seg(struct moe_packed *p, const int32_t *ids, int n, int parent, int pos0, int state)
{
	p->seg[p->n_seg] = (struct moe_seg){ p->T, n, parent, pos0 };
	p->seg_state[p->n_seg] = state;
	memcpy(p->ids + p->T, ids, sizeof(*ids) * (size_t)n);
	p->T += n;
	return p->n_seg++;
}

/* Appends tokens to the last segment. */
static void more_tokens(struct moe_packed *p, const int32_t *ids, int n)
{
	if (n)
		memcpy(p->ids + p->T, ids, sizeof(*ids) * (size_t)n);
	p->seg[p->n_seg - 1].len += n;
	p->T += n;
}

int moe_pack(const struct moe_seq *s, size_t n, struct moe_packed *p, struct moe_err *e)
{
	size_t tok = 0;

	*p = (struct moe_packed){ 0 };
	for (size_t i = 0; i < n; i++) {
		if (s[i].n_prompt < 1 || s[i].n_completion < 0)
			return moe_fail(e, MOE_DATA, "a sequence has an empty prompt");
		tok += (size_t)s[i].n_prompt + (size_t)s[i].n_completion;
	}
	if (tok > INT32_MAX / 2)
		return moe_fail(e, MOE_DATA, "a batch of %zu tokens is too long", tok);
	p->ids = moe_alloc(tok, sizeof(*p->ids), e);
	p->seg = moe_alloc(2 * n, sizeof(*p->seg), e);
	p->seg_state = moe_alloc(2 * n, sizeof(*p->seg_state), e);
	p->own = moe_alloc(n, sizeof(*p->own), e);
	p->parent = moe_alloc(n, sizeof(*p->parent), e);
	if (!p->ids || !p->seg || !p->seg_state || !p->own || !p->parent) {
		moe_packed_free(p);
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		bool fresh = i == 0 || !shares(&s[i], &s[i - 1]);
		int rest = s[i].n_prompt - 1;

		p->parent[i] = !fresh ? p->parent[i - 1]
			: rest        ? add_seg(p, s[i].prompt, rest, -1, 0, s[i].state)
				      : -1;
		p->own[i] = add_seg(
			p, s[i].prompt + rest, 1, p->parent[i], s[i].n_prompt - 1, s[i].state);
		more_tokens(p, s[i].completion, s[i].n_completion);
	}
	return 0;
}
