/* pairleak.c - sets of strings that prompts hold, and which of them pairs hold too. It leaves
 * nothing out: whoever asks decides what a leak means. */
#include "env/pairleak.h"
#include "env/pairlook.h"
#include "formats/list.h"
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

/* The content of a record's last message, or none; *hold owns what it points to. */
static struct moe_str last_message(const struct moe_rec *rec, struct moe_rec *hold)
{
	struct moe_str s = { "", 0 };
	struct moe_list l;

	moe_list_open(rec, "messages", &l);
	while (moe_list_next_map(&l, hold, NULL) > 0)
		if (!moe_rec_str(hold, "content", &s))
			s.n = 0;
	return s;
}

int moe_pairleak_prompts(struct moe_pairleak *l, struct moe_reader *r, struct moe_err *e)
{
	struct moe_rec rec = { 0 }, message = { 0 };
	struct moe_str s;
	int rc;

	while ((rc = moe_reader_next(r, &rec, e)) > 0) {
		if (!moe_rec_is(&rec, "prompt"))
			continue;
		l->prompts++;
		for (int k = 0; k < MOE_LEAKS && rc > 0; k++)
			if (moe_rec_str(&rec, of_prompt[k], &s) && s.n && add(l, k, s, e))
				rc = -1;
		s = last_message(&rec, &message);
		if (rc > 0 && s.n && add(l, MOE_LEAK_PROMPT, s, e))
			rc = -1;
		if (rc < 0)
			break;
	}
	moe_rec_free(&rec);
	moe_rec_free(&message);
	return rc;
}

static bool known(const struct moe_pairleak *l, int k, struct moe_str s)
{
	return l->cap[k] && s.n && l->slot[k][find(l->slot[k], l->cap[k], hash(s))];
}

/* What of kind k the pair shares; none: n = 0. */
static struct moe_str shared(
	const struct moe_pairleak *l, int k, const struct moe_rec *pair, struct moe_rec *hold)
{
	static const char *const text[] = { "prompt", "hack", "clean" };
	const struct moe_str none = { "", 0 };
	struct moe_str s, word;

	if (moe_rec_str(pair, of_pair[k], &s) && known(l, k, s))
		return s;
	if (k == MOE_LEAK_PROMPT) {
		s = last_message(pair, hold);
		return known(l, k, s) ? s : none;
	}
	for (size_t i = 0; k == MOE_LEAK_MARKER && i < sizeof(text) / sizeof(*text); i++)
		if (moe_rec_str(pair, text[i], &s))
			while (moe_pair_word(&s, &word))
				if (word.n >= 3 && known(l, k, word))
					return word;
	return none;
}

int moe_pairleak_check(struct moe_pairleak *l, const struct moe_rec *pair, struct moe_err *e)
{
	struct moe_str id = { "", 0 };
	struct moe_rec hold = { 0 };
	bool any = false;
	char shown[2][80];
	int rc = 0;

	moe_rec_str(pair, "id", &id);
	l->pairs++;
	for (int k = 0; k < MOE_LEAKS && rc == 0; k++) {
		struct moe_str s = shared(l, k, pair, &hold);

		if (!s.n)
			continue;
		l->shared[k]++;
		if (!l->first.len) {
			moe_text_escape_to(shown[0], sizeof(shown[0]), id.p, id.n);
			moe_text_escape_to(shown[1], sizeof(shown[1]), s.p, s.n);
			rc = moe_buf_addf(&l->first, e, "the pair `%s' shares its %s `%s'",
				shown[0], moe_leak_names[k], shown[1]);
		}
		any = true;
	}
	l->leaking += any;
	moe_rec_free(&hold);
	return rc ? -1 : 0;
}
