/* route.c - rollout records to decisions; what is decided is the method's. */
#include "moe/route.h"

#include "formats/seal.h"
#include "util/mem.h"
#include "formats/rollout.h"

#include <math.h>
#include <stdlib.h>

void moe_route_step_clear(struct moe_route_step *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free((void *)(uintptr_t)s->seen[i].prompt);
		free((void *)(uintptr_t)s->seen[i].completion);
	}
	s->n = 0;
}

void moe_route_step_free(struct moe_route_step *s)
{
	moe_route_step_clear(s);
	for (size_t i = 0; i < s->cap; i++)
		moe_rec_free(&s->rec[i]);
	free(s->rec);
	free(s->seen);
	free(s->judged);
	free(s->null.score);
	moe_past_free(&s->past);
	*s = (struct moe_route_step){ 0 };
}

static int grow(struct moe_route_step *s, struct moe_err *e)
{
	size_t cap = s->cap ? 2 * s->cap : 128;
	struct moe_rec *rec = realloc(s->rec, cap * sizeof(*rec));
	struct moe_seen *seen = rec ? realloc(s->seen, cap * sizeof(*seen)) : NULL;
	struct moe_judged *judged = seen ? realloc(s->judged, cap * sizeof(*judged)) : NULL;

	s->rec = rec ? rec : s->rec;
	s->seen = seen ? seen : s->seen;
	s->judged = judged ? judged : s->judged;
	if (!judged)
		/* cppcheck-suppress memleak ; what was moved is s's again */
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu rollouts of a step", cap);
	for (size_t i = s->cap; i < cap; i++)
		s->rec[i] = (struct moe_rec){ 0 };
	s->cap = cap;
	return 0;
}

static int ids(const struct moe_rec *rec, const char *key, int V, const int32_t **out, int *n,
	struct moe_err *e)
{
	int32_t *v = NULL;
	size_t k;

	if (moe_rec_i32s(rec, key, &v, &k, e))
		return -1;
	*out = v;
	*n = (int)k;
	for (size_t i = 0; i < k; i++)
		if (v[i] < 0 || v[i] >= V)
			return moe_fail(e, MOE_DATA,
				"record %llu: '%s' holds token %d; the base's vocabulary has %d",
				(unsigned long long)rec->number, key, v[i], V);
	return 0;
}

int moe_route_add(struct moe_route_step *s, const struct moe_rec *rec, int V, bool show_label,
	struct moe_err *e)
{
	struct moe_seal seal = { 0 };
	struct moe_seen *seen;
	int got = 0;

	if (s->n == s->cap && grow(s, e))
		return -1;
	seen = &s->seen[s->n];
	*seen = (struct moe_seen){ .label = -1 };
	if (moe_rec_copy(&s->rec[s->n], rec, e))
		return -1;
	s->n++;
	moe_rec_int(rec, "group", &seen->group);
	moe_rec_int(rec, "step", &s->step);
	if (show_label) {
		got = moe_seal_get(rec, &seal, e);
		if (got == 1 && !seal.hacked_unknown)
			seen->label = seal.hacked;
		moe_seal_free(&seal);
	}
	return got < 0 || ids(rec, MOE_ROLLOUT_PROMPT_IDS, V, &seen->prompt, &seen->n_prompt, e) ||
			ids(rec, MOE_ROLLOUT_COMPLETION_IDS, V, &seen->completion,
				&seen->n_completion, e)
		? -1
		: 0;
}

int moe_route_judge(struct moe_route_step *s, const struct moe_method *m,
	const struct moe_engine *g, const struct moe_adapter *a, uint64_t seed, struct moe_err *e)
{
	size_t k = (size_t)s->null.n;
	const struct moe_turn turn = { seed, s->step, &s->past };
	struct moe_rec route = { 0 };
	int rc;

	free(s->null.score);
	s->null.score = moe_alloc(s->n * k, sizeof(*s->null.score), e);
	rc = s->null.score ? moe_method_route(m, g, a, s->seen, s->n, &turn, s->judged, &s->null, e)
			   : -1;

	for (size_t i = 0; rc == 0 && i < s->n; i++) {
		moe_rec_clear(&route);
		rc = moe_rec_set_str(&route, "method", m->name, e) ||
				moe_rec_set_str(&route, "decision",
					moe_decision_names[s->judged[i].decision], e) ||
				(!isnan(s->judged[i].score) &&
					moe_rec_set_f64(&route, "score", s->judged[i].score, e)) ||
				(k && !isnan(s->null.score[i * k]) &&
					moe_rec_set_f32s(
						&route, "null", s->null.score + i * k, k, e)) ||
				moe_rec_set_map(&s->rec[i], MOE_ROLLOUT_ROUTE, &route, e)
			? -1
			: 0;
	}
	moe_rec_free(&route);
	return rc;
}
