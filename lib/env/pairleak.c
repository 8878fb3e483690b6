/* pairleak.c - sets of strings that prompts hold, and which of them pairs hold too. It leaves
 * nothing out: whoever asks decides what a leak means. */
#include "env/pairleak.h"
#include "util/rng.h"
#include "util/text.h"

#include <stdlib.h>
#include <string.h>

const char *const moe_leak_names[MOE_LEAKS] = { "id", "marker", "task", "prompt" };
/* their keys in a prompt record and in a pair record */
static const char *const of_prompt[MOE_LEAKS] = { "id", "marker", "task", "text" },
			 *const of_pair[MOE_LEAKS] = { "id", "marker", "task", "prompt" };

void moe_pairleak_free(struct moe_pairleak *l)
{
	for (int k = 0; k < MOE_LEAKS; k++)
		free(l->slot[k]);
	moe_buf_free(&l->first);
	memset(l, 0, sizeof(*l));
}

static size_t find(const uint64_t *slot, size_t cap, uint64_t h)
{
	size_t i = (size_t)h & (cap - 1);

	while (slot[i] && slot[i] != h)
		i = (i + 1) & (cap - 1);
	return i;
}

static uint64_t hash(struct moe_str s)
{
	uint64_t h = moe_hash64(s.p, s.n);

	return h ? h : 1; /* 0 marks a free slot */
}

static int add(struct moe_pairleak *l, int k, struct moe_str s, struct moe_err *e)
{
	uint64_t h = hash(s);

	if (2 * l->n[k] >= l->cap[k]) {
		size_t cap = l->cap[k] ? 2 * l->cap[k] : 256;
		uint64_t *to = calloc(cap, sizeof(*to));

		if (!to)
			return moe_fail(e, MOE_SYSTEM, "out of memory for %zu prompts", l->n[k]);
		for (size_t i = 0; i < l->cap[k]; i++)
			if (l->slot[k][i])
				to[find(to, cap, l->slot[k][i])] = l->slot[k][i];
		free(l->slot[k]);
		l->slot[k] = to;
		l->cap[k] = cap;
	}
	size_t at = find(l->slot[k], l->cap[k], h);
	l->n[k] += !l->slot[k][at];
	l->slot[k][at] = h;
	return 0;
}

int moe_pairleak_prompts(struct moe_pairleak *l, struct moe_reader *r, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	struct moe_str s;
	int rc;

	while ((rc = moe_reader_next(r, &rec, e)) > 0) {
		if (!moe_rec_is(&rec, "prompt"))
			continue;
		l->prompts++;
		for (int k = 0; k < MOE_LEAKS && rc > 0; k++)
			if (moe_rec_str(&rec, of_prompt[k], &s) && s.n && add(l, k, s, e))
				rc = -1;
		if (rc < 0)
			break;
	}
	moe_rec_free(&rec);
	return rc;
}

int moe_pairleak_check(struct moe_pairleak *l, const struct moe_rec *pair, struct moe_err *e)
{
	struct moe_str s, id = { "", 0 };
	bool any = false;
	char shown[2][80];

	moe_rec_str(pair, "id", &id);
	l->pairs++;
	for (int k = 0; k < MOE_LEAKS; k++) {
		if (!l->cap[k] || !moe_rec_str(pair, of_pair[k], &s) || !s.n ||
			!l->slot[k][find(l->slot[k], l->cap[k], hash(s))])
			continue;
		l->shared[k]++;
		if (!l->first.len) {
			moe_text_escape_to(shown[0], sizeof(shown[0]), id.p, id.n);
			moe_text_escape_to(shown[1], sizeof(shown[1]), s.p, s.n);
			if (moe_buf_addf(&l->first, e, "the pair `%s' shares its %s `%s'", shown[0],
				    moe_leak_names[k], shown[1]))
				return -1;
		}
		any = true;
	}
	l->leaking += any;
	return 0;
}
