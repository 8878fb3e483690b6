/* teacher.c - a pool of recorded rollouts, sorted by prompt. How many are used, and where, is
 * generate.c's business. */
#include "rl/teacher.h"

#include "util/rng.h"
#include "formats/rollout.h"

#include <stdlib.h>
#include <string.h>

static int by_prompt(const void *a, const void *b)
{
	const struct moe_teacher_item *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

static int add(struct moe_teacher *t, const struct moe_rec *rec, struct moe_err *e)
{
	struct moe_str id, text;
	struct moe_teacher_item *it;

	if (moe_rec_str_req(rec, MOE_ROLLOUT_PROMPT_ID, &id, e) ||
		moe_rec_str_req(rec, MOE_ROLLOUT_COMPLETION, &text, e))
		return -1;
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 256;

		it = realloc(t->item, cap * sizeof(*it));
		if (!it)
			return moe_fail(
				e, MOE_SYSTEM, "out of memory for %zu recorded rollouts", cap);
		t->item = it;
		t->cap = cap;
	}
	it = &t->item[t->n];
	memset(it, 0, sizeof(*it));
	it->hash = moe_hash64(id.p, id.n);
	it->order = t->n;
	if (moe_rec_copy(&it->rec, rec, e))
		return -1;
	t->n++;
	return 0;
}

int moe_teacher_load(struct moe_teacher *t, struct moe_reader *r, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int got;

	while ((got = moe_reader_next(r, &rec, e)) == 1)
		if (moe_rec_is(&rec, "rollout") && add(t, &rec, e)) {
			got = -1;
			break;
		}
	moe_rec_free(&rec);
	if (got < 0)
		return -1;
	if (!t->n)
		return moe_fail(e, MOE_DATA, "the pool of recorded rollouts is empty");
	qsort(t->item, t->n, sizeof(*t->item), by_prompt);
	return 0;
}

void moe_teacher_free(struct moe_teacher *t)
{
	for (size_t i = 0; i < t->n; i++)
		moe_rec_free(&t->item[i].rec);
	free(t->item);
	memset(t, 0, sizeof(*t));
}

size_t moe_teacher_find(
	const struct moe_teacher *t, const char *prompt_id, const struct moe_teacher_item **first)
{
	uint64_t hash = moe_hash64(prompt_id, strlen(prompt_id));
	size_t lo = 0, hi = t->n, n = 0;
	struct moe_str id;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->item[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	*first = t->item ? t->item + lo : NULL;
	/* two ids of one hash would be a wonder of 2^-64; then the later ones are not found */
	while (lo + n < t->n && t->item[lo + n].hash == hash &&
		moe_rec_str(&t->item[lo + n].rec, MOE_ROLLOUT_PROMPT_ID, &id) &&
		moe_str_eq(id, prompt_id))
		n++;
	return n;
}

int moe_teacher_logp(
	const struct moe_rec *rec, double temperature, size_t n, float **logp, struct moe_err *e)
{
	double at = 1;
	bool has_full = moe_rec_has(rec, "full_logp") > MOE_V_NIL,
	     has_model = moe_rec_has(rec, "model_logp") > MOE_V_NIL;
	const char *key = has_full                ? "full_logp"
		: has_model && temperature == 1.0 ? "model_logp"
						  : MOE_ROLLOUT_LOGP;
	size_t k;

	*logp = NULL;
	moe_rec_f64(rec, "temperature", &at);
	/* model_logp is at temperature 1 whatever the sampler's was; the others are at the
	 * sampler's */
	if (moe_rec_has(rec, key) <= MOE_V_NIL ||
		(strcmp(key, "model_logp") != 0 && at != temperature))
		return 0;
	if (moe_rec_f32s(rec, key, logp, &k, e))
		return -1;
	if (k != n) {
		free(*logp);
		*logp = NULL;
	}
	return 0;
}
