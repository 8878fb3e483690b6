/* rollout.c - takes from rollout records what training needs; it knows no method and opens no seal.
 */
#include "rl/rollout.h"

#include "util/rng.h"
#include "formats/rollout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void moe_rollout_step_free(struct moe_rollout_step *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->r[i].prompt);
		free(s->r[i].completion);
		free(s->r[i].logp);
	}
	free(s->r);
	moe_rec_free(&s->score);
	*s = (struct moe_rollout_step){ 0 };
}

static int tokens(
	const struct moe_rec *rec, const char *key, int V, int32_t **out, int *n, struct moe_err *e)
{
	size_t k;

	if (moe_rec_i32s(rec, key, out, &k, e))
		return -1;
	if (k > 1 << 24)
		return moe_fail(e, MOE_DATA, "record %llu: '%s' is far too long",
			(unsigned long long)rec->number, key);
	for (size_t i = 0; i < k; i++)
		if ((*out)[i] < 0 || (*out)[i] >= V)
			return moe_fail(e, MOE_DATA,
				"record %llu: '%s' holds token %d; the base's vocabulary has %d",
				(unsigned long long)rec->number, key, (*out)[i], V);
	*n = (int)k;
	return 0;
}

static int behaviour(struct moe_rollout *q, const struct moe_rec *rec, struct moe_err *e)
{
	/* As training computes it: at the sampling temperature, over the whole vocabulary. Top-k
	 * and top-p renormalise `logp`. */
	const char *key = moe_rec_has(rec, "full_logp")                 ? "full_logp"
		: moe_rec_has(rec, "model_logp") && q->temperature == 1 ? "model_logp"
									: MOE_ROLLOUT_LOGP;
	size_t k;

	if (q->n_completion == 0) /* counts in its group, and has no token to train */
		return 0;
	if (moe_rec_has(rec, key) == MOE_V_MISSING)
		return moe_fail(e, MOE_DATA,
			"record %llu: no 'logp' of the policy that sampled it; moe-rollout "
			"--teacher takes rollouts that others recorded, and computes it",
			(unsigned long long)rec->number);
	if (moe_rec_f32s(rec, key, &q->logp, &k, e))
		return -1;
	if (k != (size_t)q->n_completion)
		return moe_fail(e, MOE_DATA,
			"record %llu: '%s' has %zu values for %d completion tokens",
			(unsigned long long)rec->number, key, k, q->n_completion);
	for (size_t i = 0; i < k; i++)
		if (!isfinite(q->logp[i]))
			return moe_fail(e, MOE_DATA, "record %llu: '%s' is not finite at token %zu",
				(unsigned long long)rec->number, key, i);
	return 0;
}

/* A name of a record, cut to fit: for comparison and messages. */
static void keep_text(char *to, size_t size, const struct moe_rec *rec, const char *key)
{
	struct moe_str s = { "", 0 };

	moe_rec_str(rec, key, &s);
	if (s.n >= size)
		s.n = size - 1;
	memcpy(to, s.p, s.n);
	to[s.n] = 0;
}

/* Where a rollout comes from: what identity.c compares. */
static void origin(struct moe_rollout *q, const struct moe_rec *rec, int64_t step)
{
	struct moe_rollout_from *f = &q->from;
	struct moe_str s;

	keep_text(f->arm, sizeof(f->arm), rec, "arm");
	keep_text(f->base, sizeof(f->base), rec, "base");
	if (moe_rec_str(rec, MOE_ROLLOUT_PROMPT_ID, &s))
		f->prompt = moe_hash64(s.p, s.n);
	if (moe_rec_str(rec, "id", &s))
		f->id = moe_hash64(s.p, s.n) ^ moe_hash64(f->arm, strlen(f->arm));
	moe_rec_bool(rec, "teacher", &f->teacher);
	f->has_policy = moe_rec_str(rec, MOE_ROLLOUT_POLICY, &s);
	f->step = step;
}

/* The decision of moe-route; without one a rollout counts as absorbed. */
static int route_of(struct moe_rollout *q, const struct moe_rec *rec, struct moe_err *e)
{
	struct moe_rec route = { 0 };
	struct moe_str s;
	int rc = 0;

	q->decision = MOE_ABSORB;
	q->score = NAN;
	if (!moe_rec_map(rec, MOE_ROLLOUT_ROUTE, &route))
		return 0;
	if (moe_rec_str(&route, "decision", &s)) {
		rc = moe_decision_parse(s, &q->decision, e);
		q->routed = true;
	}
	moe_rec_f64(&route, "score", &q->score);
	keep_text(q->from.router, sizeof(q->from.router), &route, "method");
	moe_rec_free(&route);
	return rc;
}

/* The bank that was off while sampling; -1 = none. Training repeats it. */
static int bank_off(struct moe_rollout *q, const struct moe_rec *rec, struct moe_err *e)
{
	struct moe_str s;

	q->off = -1;
	if (!moe_rec_str(rec, MOE_ROLLOUT_SAMPLED_OFF, &s) || s.n == 0)
		return 0;
	for (int b = 0; b < MOE_BANKS; b++)
		if (moe_str_eq(s, moe_bank_names[b])) {
			q->off = b;
			return 0;
		}
	return moe_fail(e, MOE_DATA, "record %llu: 'sampled_off' names no bank",
		(unsigned long long)rec->number);
}

/* Components of the reward, for the metrics: nothing is trained on them. */
static void rewards(struct moe_rollout_step *s, struct moe_rollout *q, const struct moe_rec *rec)
{
	struct moe_rec m = { 0 };

	for (int i = 0; i < MOE_REWARDS_MAX; i++)
		q->part[i] = NAN;

	if (!moe_rec_map(rec, MOE_ROLLOUT_REWARDS, &m))
		return;
	for (size_t f = 0; f < m.n_field; f++) {
		struct moe_str key = m.field[f].key;
		char name[48] = "";
		double v;
		int i = 0;

		if (key.n >= sizeof(name))
			continue;
		memcpy(name, key.p, key.n);
		name[key.n] = 0;
		while (i < s->n_rewards && strcmp(s->reward_name[i], name) != 0)
			i++;
		if (i == MOE_REWARDS_MAX || !moe_rec_f64(&m, name, &v))
			continue;
		if (i == s->n_rewards)
			memcpy(s->reward_name[s->n_rewards++], name, sizeof(name));
		q->part[i] = v;
	}
	moe_rec_free(&m);
}

static int take(struct moe_rollout_step *s, const struct moe_rec *rec, int V, struct moe_err *e)
{
	struct moe_rollout *q;
	struct moe_str str;

	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;

		q = cap < (size_t)1 << 32 ? realloc(s->r, cap * sizeof(*q))
					  : NULL; /* NOLINT(clang-analyzer-unix.Malloc):
						     moe_rollout_step_free leaves NULL */
		if (!q)
			return moe_fail(e, MOE_SYSTEM, "out of memory for %zu rollouts", cap);
		s->r = q;
		s->cap = cap;
	}
	q = &s->r[s->n];
	*q = (struct moe_rollout){
		.temperature = 1
	}; /* NOLINT(clang-analyzer-unix.Malloc): the same */
	s->n++;
	if (moe_rec_f64_req(rec, MOE_ROLLOUT_REWARD, &q->reward, e))
		return moe_err_prefix(e, "rollouts must be graded before they train");
	if (moe_rec_int_req(rec, "group", &q->group, e) ||
		tokens(rec, MOE_ROLLOUT_PROMPT_IDS, V, &q->prompt, &q->n_prompt, e) ||
		tokens(rec, MOE_ROLLOUT_COMPLETION_IDS, V, &q->completion, &q->n_completion, e))
		return -1;
	if (q->n_prompt == 0)
		return moe_fail(e, MOE_DATA, "record %llu: the prompt has no tokens",
			(unsigned long long)rec->number);
	moe_rec_f64(rec, "temperature", &q->temperature);
	if (!(q->temperature >= MOE_GREEDY))
		return moe_fail(e, MOE_DATA,
			"record %llu: greedy rollouts (temperature %g) have no probabilities to "
			"train on",
			(unsigned long long)rec->number, q->temperature);
	q->stopped = moe_rec_str(rec, MOE_ROLLOUT_FINISH, &str) && moe_str_eq(str, "stop");
	if (moe_rec_str(rec, MOE_ROLLOUT_POLICY, &str) && str.n < sizeof(q->policy))
		memcpy(q->policy, str.p, str.n);
	rewards(s, q, rec);
	origin(q, rec, s->step);
	return behaviour(q, rec, e) || route_of(q, rec, e) || bank_off(q, rec, e) ? -1 : 0;
}

int moe_rollout_step_read(
	struct moe_rollout_step *s, struct moe_reader *r, int V, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int64_t step = 0;
	int got;

	moe_rollout_step_free(s);
	while ((got = moe_reader_next(r, &rec, e)) == 1) {
		if (moe_rec_is(&rec, "rollout")) {
			moe_rec_int(&rec, "step", &step);
			s->step = step;
			if (take(s, &rec, V, e)) {
				got = -1;
				break;
			}
		} else if (moe_rec_is(&rec, "step") && s->n) {
			moe_rec_map(&rec, "score", &s->score);
			break;
		}
	}
	moe_rec_free(&rec);
	return got < 0 ? -1 : s->n > 0;
}

int moe_rollout_step_need_routes(
	const struct moe_rollout_step *s, const char *method, struct moe_err *e)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->r[i].routed)
			return moe_fail(e, MOE_DATA,
				"step %lld: rollouts carry no routing decision, and the method "
				"'%s' needs one: moe-route makes it",
				(long long)s->step, method);
	return 0;
}

double moe_rollout_step_tokens(const struct moe_rollout_step *s, int max_pos, size_t *beyond)
{
	double sum = 0;

	for (size_t i = 0; i < s->n; i++) {
		int n = s->r[i].n_prompt + s->r[i].n_completion;

		sum += n;
		*beyond += max_pos > 0 && n > max_pos;
	}
	return sum;
}
