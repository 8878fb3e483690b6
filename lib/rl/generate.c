/* generate.c - from prompts to rollout records. It opens no stream and draws no token itself. */
#define _DEFAULT_SOURCE
#include "rl/generate.h"

#include "formats/tokenizer/special.h"
#include "tensor/gemm.h"
#include "util/ranks.h"
#include "util/rng.h"
#include "util/text.h"
#include "formats/list.h"
#include "formats/rollout.h"
#include "rl/recorded.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How a group is made up, and where its samples are. */
struct group {
	size_t n_teacher, n_on, n_off;
	size_t first;                           /* of its completions */
	const struct moe_teacher_item *teacher; /* of its prompt */
	size_t n_pool;
	uint64_t key;
};

struct run {
	struct moe_gen *g;
	const struct moe_adapter *a;
	const struct moe_gen_prompt *p, *bare; /* [n]; bare: without the method's prefix, for what
						  is sampled without the quarantine */
	size_t n, first_group;
	int64_t step;
	struct group *group;         /* [n] */
	struct moe_sample_req *req;  /* [2n] */
	struct moe_completion *done; /* [n_done] */
	size_t n_req, n_done;
	moe_real on[MOE_EXPERTS_MAX], off[MOE_EXPERTS_MAX]; /* outer gates while sampling */
	const struct moe_method *method; /* of an arm with a router in the pass, else NULL */
	bool prompt_on;                  /* "pon": the router is kept out of prompts */
	struct moe_judged *judged;       /* [n_done] by its mean gates */
};

static double now_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- prompts ---- */

/* Where the last message of a user begins in the text that was made of messages; 0 of other text.
 */
static size_t user_begins(const struct moe_rec *rec, struct moe_str text)
{
	struct moe_rec m = { 0 };
	struct moe_str role, say = { "", 0 };
	struct moe_list l;
	struct moe_err e;
	size_t at = 0;

	if (!moe_list_open(rec, "messages", &l))
		return 0;
	while (moe_list_next_map(&l, &m, &e) == 1) {
		if (!moe_rec_str(&m, "role", &role) || !moe_str_eq(role, "user") ||
			!moe_rec_str(&m, "content", &say) || !say.n)
			continue;
		for (size_t i = at; i + say.n <= text.n; i++)
			if (!memcmp(text.p + i, say.p, say.n))
				at = i; /* its last occurrence */
	}
	moe_rec_free(&m);
	return at;
}

static int prompt_make(struct moe_gen_prompt *p, const struct moe_gen *g, const struct moe_rec *rec,
	bool chat, struct moe_err *e)
{
	struct moe_str id, text;

	if (moe_rec_str_req(rec, "id", &id, e) || moe_rec_str_req(rec, "text", &text, e) ||
		!(p->id = moe_str_dup(id, e)))
		return -1;
	if (moe_prompt_tokens(g->tok, g->m->config.bos, text, chat, &p->ids, &p->n, e))
		return moe_err_prefix(e, "prompt '%s'", p->id);
	if (p->n == 0)
		return moe_fail(e, MOE_DATA,
			"prompt '%s' is empty and the model has no token to begin with", p->id);
	if (g->m->config.max_pos > 0 ? p->n >= (size_t)g->m->config.max_pos : p->n > INT32_MAX / 2)
		return moe_fail(e, MOE_DATA, "prompt '%s' has %zu tokens, the model %d positions",
			p->id, p->n, g->m->config.max_pos);
	for (size_t i = 0; i < p->n; i++)
		if (p->ids[i] < 0 || p->ids[i] >= g->m->config.V)
			return moe_fail(e, MOE_DATA,
				"prompt '%s': its token %d is not in the model's vocabulary of %d: "
				"is the tokenizer another model's?",
				p->id, (int)p->ids[i], g->m->config.V);
	p->user = user_begins(rec, text);
	if (moe_rec_copy(&p->rec, rec, e))
		return -1;
	p->chat = chat;
	moe_rec_unset(&p->rec, "messages");
	if (moe_rec_set_str(&p->rec, "t", "rollout", e) ||
		moe_rec_set_strn(&p->rec, MOE_ROLLOUT_PROMPT_ID, id.p, id.n, e) ||
		moe_rec_set_strn(&p->rec, "prompt", text.p, text.n, e) ||
		moe_rec_set_i32s(&p->rec, MOE_ROLLOUT_PROMPT_IDS, p->ids, p->n, e))
		return -1;
	moe_rec_unset(&p->rec, "text");
	return 0;
}

int moe_gen_prompt_set(struct moe_gen_prompt *p, const struct moe_gen *g, const struct moe_rec *rec,
	struct moe_err *e)
{
	return prompt_make(p, g, rec, moe_rec_has(rec, "messages") > MOE_V_NIL, e);
}

void moe_gen_prompt_free(struct moe_gen_prompt *p)
{
	moe_rec_free(&p->rec);
	free(p->id);
	free(p->ids);
	memset(p, 0, sizeof(*p));
}

int moe_gen_stops(struct moe_gen *g, const char *const *more, size_t n, struct moe_err *e)
{
	const struct moe_config *c = &g->m->config;
	int32_t *stop = moe_alloc((size_t)c->n_eos + n + 1, sizeof(*stop), e);
	int k = 0;

	if (!stop)
		return -1;
	for (int i = 0; i < c->n_eos; i++)
		stop[k++] = c->eos[i];
	for (size_t i = 0; i < n; i++)
		if ((stop[k++] = moe_tokenizer_id(g->tok, more[i])) < 0) {
			free(stop);
			return moe_fail(e, MOE_USAGE,
				"the stop token '%s' is not a token of this model", more[i]);
		}
	g->sample.stop = stop;
	g->sample.n_stop = k;
	return 0;
}

int moe_gen_describe(const struct moe_gen *g, struct moe_rec *extra, struct moe_err *e)
{
	const struct moe_sample_opts *o = &g->sample;
	struct moe_rec s = { 0 };
	int rc;

	rc = moe_rec_set_int(&s, "group", g->group, e) ||
		moe_rec_set_int(&s, "max_new", o->max_new, e) ||
		moe_rec_set_f64(&s, "temperature", o->temperature, e) ||
		moe_rec_set_int(&s, "top_k", o->top_k, e) ||
		moe_rec_set_f64(&s, "top_p", o->top_p, e) ||
		moe_rec_set_map(extra, "sampling", &s, e) ||
		moe_rec_set_str(extra, "base", g->m->digest, e) ||
		moe_rec_set_str(extra, "kernels", moe_kernels(), e);
	moe_rec_free(&s);
	return rc ? -1 : 0;
}

/* ---- making up the groups ---- */

static uint64_t prompt_key(const char *id, int64_t step)
{
	uint64_t h = moe_hash64(id, strlen(id));
	uint64_t both[2] = { h, (uint64_t)step };

	return step ? moe_hash64(both, sizeof(both)) : h;
}

/* share * n, rounded up or down by chance so that its mean is right. */
static size_t share_of(
	double share, size_t n, const struct moe_gen *g, const char *purpose, uint64_t key)
{
	double want = share * (double)n, whole = floor(want);
	size_t k = (size_t)whole +
		(moe_rng_uniform(moe_rng_key(g->sample.seed, purpose), key, 0) < want - whole);

	return k < n ? k : n;
}

/* The gates of an arm while it samples; NULL when all are one. */
static const moe_real *gates(const moe_real *w, int E)
{
	for (int i = 0; i < E; i++)
		if (w[i] != 1)
			return w;
	return NULL;
}

/* The prompt of what is sampled with the bank off. */
static const struct moe_gen_prompt *off_prompt(const struct run *r, size_t i)
{
	return r->g->off_bank == MOE_BANK_QUARANTINE ? &r->bare[i] : &r->p[i];
}

static void make_groups(struct run *r)
{
	const struct moe_gen *g = r->g;
	int E = r->a ? r->a->x.E : 0;

	for (size_t i = 0; i < r->n; i++) {
		struct group *q = &r->group[i];
		struct moe_sample_req req = { .prompt = r->p[i].ids, .n_prompt = (int)r->p[i].n };
		size_t G = (size_t)g->group;

		q->key = req.key = prompt_key(r->p[i].id, r->step);
		q->n_pool = g->teacher ? moe_teacher_find(g->teacher, r->p[i].id, &q->teacher) : 0;
		q->n_teacher = g->teacher
			? share_of(g->teacher_ratio, G, g, "teacher-share", q->key)
			: 0;
		q->n_teacher = q->n_teacher < q->n_pool ? q->n_teacher : q->n_pool;
		q->n_off = g->off_bank >= 0 && r->a
			? share_of(g->off_share, G, g, "off-share", q->key)
			: 0;
		q->n_off = q->n_off < G - q->n_teacher ? q->n_off : G - q->n_teacher;
		q->n_on = G - q->n_teacher - q->n_off;
		q->first = r->n_done;
		r->n_done += q->n_on + q->n_off;
		req.first_sample = (int)q->n_teacher;
		req.n_samples = (int)q->n_on;
		req.outer = gates(r->on, E);
		req.prompt_unrouted = r->prompt_on;
		if (q->n_on)
			r->req[r->n_req++] = req;
		req.first_sample += (int)q->n_on;
		req.prompt = off_prompt(r, i)->ids;
		req.n_prompt = (int)off_prompt(r, i)->n;
		req.n_samples = (int)q->n_off;
		req.outer = r->off;
		if (q->n_off)
			r->req[r->n_req++] = req;
	}
}

/* ---- records ---- */

/* Text of tokens for a str: bytes that are not UTF-8 become U+FFFD; completion_ids stay exact. */
static int set_text(
	struct moe_rec *rec, const char *key, const char *p, size_t n, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = 0;

	if (moe_utf8_valid(p, n))
		return moe_rec_set_strn(rec, key, p, n, e);
	for (size_t i = 0, k; i < n && !rc; i += k ? k : 1) {
		k = moe_utf8_len(p + i, n - i);
		rc = k ? moe_buf_add(&b, p + i, k, e) : moe_buf_add(&b, "\xEF\xBF\xBD", 3, e);
	}
	rc = rc ? rc : moe_rec_set_strn(rec, key, b.data, b.len, e);
	moe_buf_free(&b);
	return rc;
}

/* The keys that every rollout has. */
static int set_common(
	const struct run *r, struct moe_rec *rec, size_t i, size_t sample, struct moe_err *e)
{
	const struct moe_adapter *a = r->a;
	struct moe_buf id = { 0 };
	int rc = moe_buf_addf(&id, e, "%s#%lld.%zu", r->p[i].id, (long long)r->step, sample);

	rc = rc || moe_rec_set_strn(rec, "id", id.data, id.len, e) ||
		moe_rec_set_int(rec, "group", (int64_t)(r->first_group + i), e) ||
		moe_rec_set_int(rec, "sample", (int64_t)sample, e) ||
		moe_rec_set_int(rec, "step", r->step, e) ||
		moe_rec_set_str(rec, "arm", a ? a->arm : "base", e) ||
		moe_rec_set_str(rec, MOE_ROLLOUT_POLICY, a ? a->digest : "", e);
	rc = rc || moe_rec_set_str(rec, "base", r->g->m->digest, e);
	if (a && a->method[0])
		rc = rc || moe_rec_set_str(rec, "method", moe_adapter_reported(a), e) ||
			moe_rec_set_int(rec, "train_seed", (int64_t)a->train_seed, e);
	if (r->g->sample.temperature != 1.0)
		rc = rc || moe_rec_set_f64(rec, "temperature", r->g->sample.temperature, e);
	moe_buf_free(&id);
	return rc ? -1 : 0;
}

static int put(struct moe_gen *g, const struct moe_rec *rec, size_t n_tokens, bool stopped,
	struct moe_err *e)
{
	g->n_rollouts++;
	g->n_tokens += n_tokens;
	g->n_stopped += stopped;
	return moe_writer_put(g->out, rec, e);
}

/* `route` of a rollout whose router was in the pass: the gates that really were, and what the
 * method makes of them. mean [E]. */
static int set_route(const struct run *r, struct moe_rec *rec, const float *mean,
	const struct moe_judged *j, struct moe_err *e)
{
	struct moe_rec route = { 0 };
	int rc = moe_rec_set_str(&route, "by", "router", e) ||
		moe_rec_set_str(&route, "method", r->a->method, e) ||
		moe_rec_set_str(&route, "decision", moe_decision_names[j->decision], e) ||
		moe_rec_set_f32s(&route, "weights", mean, (size_t)r->a->x.E, e) ||
		(!isnan(j->score) && moe_rec_set_f64(&route, "score", j->score, e)) ||
		moe_rec_set_map(rec, MOE_ROLLOUT_ROUTE, &route, e);

	moe_rec_free(&route);
	return rc ? -1 : 0;
}

/* What the method decides by mean gates, seen[].mean. */
static int judge(const struct run *r, const struct moe_seen *seen, size_t n, struct moe_judged *j,
	struct moe_err *e)
{
	struct moe_engine g = { .m = r->g->m, .pool = r->g->pool };
	struct moe_nulls none = { 0 };

	const struct moe_turn turn = { r->g->sample.seed, r->step, NULL };

	return moe_method_route(r->method, &g, r->a, seen, n, &turn, j, &none, e);
}

/* All completions at hand. */
static int judge_completions(struct run *r, struct moe_err *e)
{
	struct moe_seen *seen;
	int rc = -1;

	if (!r->method)
		return 0;
	seen = moe_alloc(r->n_done, sizeof(*seen), e);
	r->judged = moe_alloc(r->n_done, sizeof(*r->judged), e);
	if (seen && r->judged) {
		for (size_t i = 0; i < r->n_done; i++)
			seen[i] = (struct moe_seen){ .completion = r->done[i].ids,
				.n_completion = r->done[i].n,
				.label = -1,
				.mean = r->done[i].gate };
		rc = judge(r, seen, r->n_done, r->judged, e);
	}
	free(seen);
	return rc;
}

static int put_sampled(
	const struct run *r, size_t i, size_t k, struct moe_rec *rec, struct moe_err *e)
{
	const struct group *q = &r->group[i];
	const struct moe_completion *c = &r->done[q->first + k];
	bool off = k >= q->n_on;
	struct moe_buf text = { 0 };
	size_t n = (size_t)c->n;
	int rc;

	rc = moe_rec_copy(rec, &(off ? off_prompt(r, i) : &r->p[i])->rec, e) ||
		set_common(r, rec, i, q->n_teacher + k, e) ||
		moe_tokenizer_decode(r->g->tok, c->ids, n, true, &text, e) ||
		set_text(rec, MOE_ROLLOUT_COMPLETION, (const char *)text.data, text.len, e) ||
		moe_rec_set_i32s(rec, MOE_ROLLOUT_COMPLETION_IDS, c->ids, n, e) ||
		moe_rec_set_f32s(rec, MOE_ROLLOUT_LOGP, c->logp, n, e) ||
		(c->model_logp && moe_rec_set_f32s(rec, "model_logp", c->model_logp, n, e)) ||
		(c->full_logp && moe_rec_set_f32s(rec, "full_logp", c->full_logp, n, e)) ||
		moe_rec_set_str(rec, MOE_ROLLOUT_FINISH, c->stopped ? "stop" : "length", e) ||
		(r->method && set_route(r, rec, c->gate, &r->judged[q->first + k], e)) ||
		(off &&
			moe_rec_set_str(
				rec, MOE_ROLLOUT_SAMPLED_OFF, moe_bank_names[r->g->off_bank], e));
	moe_buf_free(&text);
	return rc ? -1 : put(r->g, rec, n, c->stopped, e);
}

/* Log-probabilities of a recorded completion under the arm, with its gates of sampling and at that
 * temperature, for rollouts that came without any; and its mean gates [E] under a router. */
static int score_recorded(const struct run *r, const struct moe_gen_prompt *p, const moe_real *gate,
	const int32_t *ids, size_t n, float *logp, float *mean, struct moe_err *e)
{
	double t = r->g->sample.temperature >= MOE_GREEDY ? r->g->sample.temperature : 1.0;
	struct moe_recorded q = { p->ids, ids, (int)p->n, (int)n, gate, r->prompt_on, t };
	struct moe_acts acts = { 0 };
	int rc = moe_recorded_run(r->g->m, r->a, &q, &acts, logp, e);

	if (!rc && r->method)
		moe_recorded_mean(&q, &acts.gates, mean);
	moe_acts_free(&acts);
	return rc;
}

/* logp (those recorded, or NULL: as the arm has them now) and, under a router, route. */
static int set_scored(const struct run *r, const struct moe_gen_prompt *p, struct moe_rec *rec,
	const moe_real *gate, const int32_t *ids, size_t n, const float *recorded,
	struct moe_err *e)
{
	float *logp = moe_alloc(n + 1, sizeof(*logp), e), mean[MOE_EXPERTS_MAX];
	struct moe_seen seen = {
		.completion = ids, .n_completion = (int)n, .label = -1, .mean = mean
	};
	struct moe_judged j;
	int rc = !logp ? -1 : n ? score_recorded(r, p, gate, ids, n, logp, mean, e) : 0;

	for (int i = 0; n == 0 && i < MOE_EXPERTS_MAX; i++)
		mean[i] = 1; /* of no token */
	rc = rc || moe_rec_set_f32s(rec, MOE_ROLLOUT_LOGP, recorded ? recorded : logp, n, e) ||
		(r->method && (judge(r, &seen, 1, &j, e) || set_route(r, rec, mean, &j, e)));
	free(logp);
	return rc ? -1 : 0;
}

/* Tokens of a recorded completion; encoded when it came as text alone, with a stop token when it
 * says that it stopped. */
static int teacher_tokens(const struct run *r, const struct moe_rec *from, bool stopped,
	int32_t **ids, size_t *n, struct moe_err *e)
{
	struct moe_str text = { "", 0 };

	*ids = NULL;
	*n = 0;
	if (moe_rec_has(from, MOE_ROLLOUT_COMPLETION_IDS) != MOE_V_MISSING)
		return moe_rec_i32s(from, MOE_ROLLOUT_COMPLETION_IDS, ids, n, e);
	moe_rec_str(from, MOE_ROLLOUT_COMPLETION, &text);
	return moe_completion_tokens(
		r->g->tok, r->g->sample.stop, stopped ? r->g->sample.n_stop : 0, text, ids, n, e);
}

static int teacher_logp(const struct run *r, const struct moe_gen_prompt *p,
	const struct moe_rec *from, struct moe_rec *rec, const int32_t *ids, size_t n,
	struct moe_err *e)
{
	moe_real on[MOE_EXPERTS_MAX];
	float *logp = NULL;
	struct moe_str off;
	int rc;

	memcpy(on, r->on, sizeof(on));
	for (int i = 0; moe_rec_str(from, MOE_ROLLOUT_SAMPLED_OFF, &off) && r->a && i < r->a->x.E;
		i++)
		on[i] = moe_str_eq(off, moe_bank_names[r->a->x.bank[i]]) ? 0 : on[i];
	for (size_t i = 0; i < n; i++)
		if (ids[i] < 0 || ids[i] >= r->g->m->config.V)
			return moe_fail(e, MOE_DATA,
				"token id %d is not in the vocabulary of %d: was it recorded with "
				"another tokenizer?",
				(int)ids[i], r->g->m->config.V);
	if (r->g->teacher_logp && moe_teacher_logp(from, r->g->sample.temperature, n, &logp, e))
		return -1;
	rc = logp && !r->method
		? moe_rec_set_f32s(rec, MOE_ROLLOUT_LOGP, logp, n, e)
		: set_scored(r, p, rec, gates(on, r->a ? r->a->x.E : 0), ids, n, logp, e);
	free(logp);
	return rc;
}

static int put_teacher(const struct run *r, size_t i, size_t sample, size_t pick,
	struct moe_rec *rec, struct moe_err *e)
{
	const struct moe_rec *from = &r->group[i].teacher[pick].rec;
	struct moe_str text = { "", 0 }, finish = { "stop", 4 }, policy = { "", 0 }, off;
	bool bare = moe_rec_str(from, MOE_ROLLOUT_SAMPLED_OFF, &off) &&
		moe_str_eq(off, moe_bank_names[MOE_BANK_QUARANTINE]);
	const struct moe_gen_prompt *p = bare ? &r->bare[i] : &r->p[i];
	int32_t *ids;
	size_t n;
	bool stopped;
	int rc;

	moe_rec_str(from, MOE_ROLLOUT_COMPLETION, &text);
	moe_rec_str(from, MOE_ROLLOUT_FINISH, &finish);
	moe_rec_str(from, MOE_ROLLOUT_POLICY, &policy);
	stopped = moe_str_eq(finish, "stop");
	rc = teacher_tokens(r, from, stopped, &ids, &n, e) || moe_rec_copy(rec, &p->rec, e) ||
		set_common(r, rec, i, sample, e) || teacher_logp(r, p, from, rec, ids, n, e) ||
		moe_rec_set_strn(rec, MOE_ROLLOUT_POLICY, policy.p, policy.n, e) ||
		moe_rec_set_strn(rec, MOE_ROLLOUT_COMPLETION, text.p, text.n, e) ||
		moe_rec_set_i32s(rec, MOE_ROLLOUT_COMPLETION_IDS, ids, n, e) ||
		moe_rec_set_strn(rec, MOE_ROLLOUT_FINISH, finish.p, finish.n, e) ||
		moe_rec_set_bool(rec, "teacher", true, e) ||
		(moe_rec_str(from, MOE_ROLLOUT_SAMPLED_OFF, &off) &&
			moe_rec_set_strn(rec, MOE_ROLLOUT_SAMPLED_OFF, off.p, off.n, e));
	free(ids);
	if (rc)
		return moe_err_prefix(e, "recorded rollout of prompt '%s'", p->id);
	r->g->n_teacher++;
	return put(r->g, rec, n, stopped, e);
}

static int put_group(const struct run *r, size_t i, struct moe_rec *rec, struct moe_err *e)
{
	const struct group *q = &r->group[i];
	uint32_t *order;

	if (q->n_teacher) {
		if (!(order = moe_alloc(q->n_pool, sizeof(*order), e)))
			return -1;
		moe_rng_permute(
			moe_rng_key(r->g->sample.seed, "teacher"), q->key, q->n_pool, order);
		for (size_t k = 0; k < q->n_teacher; k++)
			if (put_teacher(r, i, k, order[k], rec, e)) {
				free(order);
				return -1;
			}
		free(order);
	}
	for (size_t k = 0; k < q->n_on + q->n_off; k++)
		if (put_sampled(r, i, k, rec, e))
			return -1;
	return 0;
}

/* ---- a run ---- */

/* An array [n] of T that only rank `from` has, to all; NULL where it is NULL there. */
static int share_array(void **p, size_t n, size_t size, int from, struct moe_err *e)
{
	bool there = *p != NULL;

	moe_ranks_share(&there, sizeof(there), from);
	if (!there)
		return 0;
	if (moe_rank() != from && !(*p = moe_alloc(n + 1, size, e)))
		return -1;
	moe_ranks_share(*p, n * size, from);
	return 0;
}

static int share_completion(
	const struct run *r, struct moe_completion *c, int from, struct moe_err *e)
{
	size_t E = r->a ? (size_t)r->a->x.E : 0;

	moe_ranks_share(&c->n, sizeof(c->n), from);
	moe_ranks_share(&c->stopped, sizeof(c->stopped), from);
	return share_array((void **)&c->ids, (size_t)c->n, sizeof(*c->ids), from, e) ||
			share_array((void **)&c->logp, (size_t)c->n, sizeof(*c->logp), from, e) ||
			share_array((void **)&c->model_logp, (size_t)c->n, sizeof(*c->model_logp),
				from, e) ||
			share_array((void **)&c->full_logp, (size_t)c->n, sizeof(*c->full_logp),
				from, e) ||
			share_array((void **)&c->gate, E, sizeof(*c->gate), from, e)
		? -1
		: 0;
}

/* Rank q samples requests [n q / ranks, n (q + 1) / ranks), which depend on nothing else; then all
 * have all. */
static int sample_shared(const struct run *r, const struct moe_sample_opts *o, struct moe_err *e)
{
	const struct moe_experts *x = r->a && !moe_experts_off(&r->a->x) ? &r->a->x : NULL;
	size_t ranks = (size_t)moe_ranks(), me = (size_t)moe_rank(), out = 0, first = 0;
	size_t a = r->n_req * me / ranks, b = r->n_req * (me + 1) / ranks;
	int rc;

	for (size_t i = 0; i < a; i++)
		first += (size_t)r->req[i].n_samples;
	rc = a == b && ranks > 1
		? 0
		: moe_sample(r->g->m, x, o, b - a, r->req + a, r->g->pool, r->done + first, e);
	if (ranks == 1)
		return rc;
	rc = moe_ranks_agree(rc, e);
	for (size_t q = 0, i = 0; rc == 0 && q < ranks; q++)
		for (; rc == 0 && i < r->n_req * (q + 1) / ranks; i++)
			for (int k = 0; rc == 0 && k < r->req[i].n_samples; k++)
				rc = share_completion(r, &r->done[out++], (int)q, e);
	return rc;
}

static int run_all(struct run *r, struct moe_err *e)
{
	struct moe_gen *g = r->g;
	struct moe_sample_opts o = g->sample;
	struct moe_rec rec = { 0 };
	double t0 = now_sec();
	int rc = 0;

	o.want_model_logp = o.temperature >= MOE_GREEDY &&
		(o.temperature != 1.0 || o.top_p < 1.0 || o.top_k > 0);
	o.want_full_logp = o.temperature >= MOE_GREEDY && o.temperature != 1.0 &&
		(o.top_p < 1.0 || o.top_k > 0);
	if (sample_shared(r, &o, e))
		return -1;
	g->sample_sec += now_sec() - t0;
	for (size_t i = 0; i < r->n_req; i++)
		g->n_prompt_tokens += (uint64_t)r->req[i].n_prompt;
	rc = judge_completions(r, e);
	/* group by group, so that who reads them works meanwhile */
	for (size_t i = 0; i < r->n && !rc; i++)
		rc = put_group(r, i, &rec, e) || moe_writer_flush(g->out, e) ? -1 : 0;
	moe_rec_free(&rec);
	for (size_t i = 0; i < r->n_done; i++)
		moe_completion_free(&r->done[i]);
	return rc;
}

/* to = p with the prefix before what its user says. */
static int put_before(struct moe_gen_prompt *to, const struct moe_gen *g,
	const struct moe_gen_prompt *p, struct moe_str prefix, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	struct moe_rec rec = { 0 };
	struct moe_str text = { "", 0 };
	int rc;

	moe_rec_str(&p->rec, "prompt", &text);
	rc = moe_buf_add(&b, text.p, p->user, e) || moe_buf_add(&b, prefix.p, prefix.n, e) ||
		moe_buf_add(&b, text.p + p->user, text.n - p->user, e) ||
		moe_rec_copy(&rec, &p->rec, e) || moe_rec_set_str(&rec, "id", p->id, e) ||
		moe_rec_set_strn(&rec, "text", b.data, b.len, e) ||
		prompt_make(to, g, &rec, p->chat, e);
	moe_buf_free(&b);
	moe_rec_free(&rec);
	return rc ? -1 : 0;
}

static int run_prompts(struct moe_gen *g, const struct moe_adapter *a,
	const struct moe_gen_prompt *p, const struct moe_gen_prompt *bare, size_t n,
	size_t first_group, int64_t step, struct moe_err *e)
{
	struct run r = { .g = g,
		.a = a,
		.p = p,
		.bare = bare,
		.n = n,
		.first_group = first_group,
		.step = step };
	int rc = -1;

	if (a) {
		double v[MOE_BANKS];

		memcpy(v, a->plan.sample, sizeof(v));
		moe_decision_table_spread(&a->x, v, r.on);
		if (g->off_bank >= 0)
			v[g->off_bank] = 0;
		moe_decision_table_spread(&a->x, v, r.off);
		if (a->x.S > 0 && !moe_experts_off(&a->x)) {
			if (!(r.method = moe_method_find(a->method, e)))
				return -1;
			r.prompt_on = moe_method_setting(a, "pon", 0) > 0;
		}
	}
	r.group = moe_alloc(n, sizeof(*r.group), e);
	r.req = r.group ? moe_alloc(2 * n, sizeof(*r.req), e) : NULL;
	if (r.req) {
		make_groups(&r);
		r.done = moe_alloc(r.n_done, sizeof(*r.done), e);
		rc = r.done ? run_all(&r, e) : -1;
	}
	free(r.judged);
	free(r.done);
	free(r.req);
	free(r.group);
	return rc;
}

int moe_gen_run(struct moe_gen *g, const struct moe_adapter *a, const struct moe_gen_prompt *p,
	size_t n, size_t first_group, int64_t step, struct moe_err *e)
{
	struct moe_gen_prompt *with;
	struct moe_str prefix;
	int rc = 0;

	if (!a || !moe_method_prefix(a, &prefix))
		return run_prompts(g, a, p, p, n, first_group, step, e);
	if (!(with = moe_alloc(n, sizeof(*with), e)))
		return -1;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = put_before(&with[i], g, &p[i], prefix, e);
	rc = rc || run_prompts(g, a, with, p, n, first_group, step, e) ? -1 : 0;
	for (size_t i = 0; i < n; i++)
		moe_gen_prompt_free(&with[i]);
	free(with);
	return rc;
}

int moe_gen_check_off(const struct moe_gen *g, const struct moe_adapter *a, struct moe_err *e)
{
	const char *bank = g->off_bank < 0 ? "" : moe_bank_names[g->off_bank];
	bool any = false, present = false;
	struct moe_str prefix;

	if (g->off_bank < 0)
		return 0;
	for (int i = 0; i < a->x.E; i++)
		if (a->x.bank[i] == (enum moe_bank)g->off_bank) {
			any = true;
			present |= a->x.present[i] != 0;
		}
	if (!any)
		return moe_fail(e, MOE_USAGE,
			"--off-share %s: the arm '%s' has no expert in that bank", bank, a->arm);
	if (!present)
		return moe_fail(e, MOE_USAGE,
			"--off-share %s: that bank is deleted in the arm '%s' already", bank,
			a->arm);
	if (a->plan.sample[g->off_bank] == 0 &&
		!(g->off_bank == MOE_BANK_QUARANTINE && moe_method_prefix(a, &prefix)))
		return moe_fail(e, MOE_USAGE,
			"--off-share %s: under the method '%s' that bank takes no part in sampling "
			"(sample.%s=0), so its deployed state is the one that is sampled and there "
			"is nothing to switch off",
			bank, a->method, bank);
	return 0;
}

int moe_gen_step_end(struct moe_gen *g, int64_t step, uint64_t n, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int rc;

	rc = moe_rec_set_str(&rec, "t", "step", e) || moe_rec_set_int(&rec, "step", step, e) ||
		moe_rec_set_int(&rec, "n", (int64_t)n, e) || moe_writer_put(g->out, &rec, e) ||
		moe_writer_flush(g->out, e);
	moe_rec_free(&rec);
	return rc ? -1 : 0;
}
