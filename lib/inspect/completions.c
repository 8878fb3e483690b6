/* completions.c - collects rollouts with their advantages, and lays them out as text. Every byte
 * from data is escaped; no seal is opened. */
#include "inspect/completions.h"
#include "inspect/completions_priv.h"
#include "formats/rollout.h"
#include "util/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INDENT "                "

/* A step of a run. */
struct when {
	uint32_t method;
	int64_t seed, step;
};
struct moe_completion_step {
	struct when when; /* first, for by_when */
	float *adv;       /* [n] owned */
	size_t n;
};
struct moe_completion_count {
	struct when when;
	uint64_t n;
};

struct moe_completions *moe_completions_new(uint64_t each, struct moe_err *e)
{
	struct moe_completions *c = moe_alloc(1, sizeof(*c), e);

	if (c)
		c->each = each;
	return c;
}

void moe_completions_free(struct moe_completions *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_step; i++)
		free(c->step[i].adv);
	free(c->step);
	free(c->count);
	free(c->v);
	moe_names_free(&c->name);
	moe_arena_free(&c->arena);
	free(c);
}

/* ---- reading ---- */

/* The number of a text of the record, "" when it has none; false out of memory. */
static bool name_of(struct moe_completions *c, const struct moe_rec *rec, const char *key,
	uint32_t *out, struct moe_err *e)
{
	struct moe_str s = { "", 0 };
	int64_t at;

	if (rec)
		moe_rec_str(rec, key, &s);
	at = moe_names_add_text(&c->name, &c->arena, s.p, s.n, e);
	*out = (uint32_t)at;
	return at >= 0;
}

static const char *text_of(
	struct moe_completions *c, const struct moe_rec *rec, const char *key, struct moe_err *e)
{
	struct moe_str s = { "", 0 };
	char *copy;

	moe_rec_str(rec, key, &s);
	copy = moe_arena_str(&c->arena, s.p, s.n, e);
	for (size_t i = 0; copy && i < s.n; i++)
		if (!copy[i])
			copy[i] = '\x01'; /* a NUL would end the text: as harmless, and shown */
	return copy;
}

/* The step's count of rollouts, new or known; they come in order, so the last is looked at first.
 */
static struct moe_completion_count *count_of(
	struct moe_completions *c, struct when w, struct moe_err *e)
{
	for (size_t i = c->n_count; i-- > 0;) {
		const struct when *k = &c->count[i].when;

		if (k->step == w.step && k->seed == w.seed && k->method == w.method)
			return &c->count[i];
	}
	if (moe_grow((void **)&c->count, c->n_count, &c->cap_count, sizeof(*c->count), e))
		return NULL;
	c->count[c->n_count] = (struct moe_completion_count){ .when = w };
	return &c->count[c->n_count++];
}

static int add_parts(struct moe_completions *c, struct moe_completion *q, const struct moe_rec *rec,
	struct moe_err *e)
{
	struct moe_rec m = { 0 };
	struct moe_completion_part *part;
	int rc = 0;

	if (!moe_rec_map(rec, MOE_ROLLOUT_REWARDS, &m))
		return 0;
	q->part = part = moe_arena_get(&c->arena, m.n_field + 1, sizeof(*part), e);
	for (size_t i = 0; part && !rc && i < m.n_field; i++) {
		char *key = moe_str_dup(m.field[i].key, e);
		int64_t at = key ? moe_names_add_text(&c->name, &c->arena, key, strlen(key), e)
				 : -1;

		rc = at < 0 ? -1 : 0;
		if (!rc && moe_rec_f64(&m, key, &part[q->n_part].v))
			part[q->n_part++].name = (uint32_t)at;
		free(key);
	}
	moe_rec_free(&m);
	return part ? rc : -1;
}

/* Counts a rollout, and keeps it if it passes. */
static int add_rollout(
	struct moe_completions *c, const struct moe_rec *rec, bool pass, struct moe_err *e)
{
	struct moe_completion q = { .reward = NAN, .advantage = NAN, .score = NAN, .tokens = -1 };
	struct moe_rec route = { 0 };
	struct moe_completion_count *k;
	struct moe_tensor ids;
	bool ok, routed = moe_rec_map(rec, MOE_ROLLOUT_ROUTE, &route);

	moe_rec_int(rec, "train_seed", &q.seed);
	moe_rec_int(rec, "step", &q.step);
	moe_rec_f64(rec, MOE_ROLLOUT_REWARD, &q.reward);
	if (routed)
		moe_rec_f64(&route, "score", &q.score);
	if (moe_rec_tensor(rec, MOE_ROLLOUT_COMPLETION_IDS, &ids) && ids.rank == 1)
		q.tokens = (int64_t)ids.shape[0];
	ok = name_of(c, rec, "method", &q.method, e) && name_of(c, rec, "arm", &q.arm, e) &&
		name_of(c, rec, "mode", &q.mode, e) &&
		name_of(c, rec, MOE_ROLLOUT_FINISH, &q.finish, e) &&
		name_of(c, routed ? &route : NULL, "decision", &q.decision, e) &&
		(k = count_of(c, (struct when){ q.method, q.seed, q.step }, e)) != NULL;
	moe_rec_free(&route);
	if (!ok)
		return -1;
	q.at = k->n++;
	c->left_out += pass && c->each && q.at >= c->each;
	if (!pass || (c->each && q.at >= c->each))
		return 0;
	q.id = text_of(c, rec, "id", e);
	q.prompt = text_of(c, rec, "prompt", e);
	q.completion = text_of(c, rec, MOE_ROLLOUT_COMPLETION, e);
	if (!q.id || !q.prompt || !q.completion || add_parts(c, &q, rec, e) ||
		moe_grow((void **)&c->v, c->n, &c->cap, sizeof(*c->v), e))
		return -1;
	c->v[c->n++] = q;
	return 0;
}

static int add_step(struct moe_completions *c, const struct moe_rec *header,
	const struct moe_rec *rec, struct moe_err *e)
{
	struct moe_completion_step s = { 0 };

	moe_rec_int(header, "train_seed", &s.when.seed);
	/* who decided, where that was another than the method, is in the record */
	if (moe_rec_has(rec, "advantages") == MOE_V_MISSING)
		return 0;
	if (moe_rec_int_req(rec, "step", &s.when.step, e) ||
		!name_of(c, moe_rec_has(rec, "method") == MOE_V_STR ? rec : header, "method",
			&s.when.method, e) ||
		moe_grow((void **)&c->step, c->n_step, &c->cap_step, sizeof(*c->step), e) ||
		moe_rec_f32s(rec, "advantages", &s.adv, &s.n, e))
		return -1;
	c->step[c->n_step++] = s;
	return 0;
}

int moe_completions_read(
	struct moe_completions *c, struct moe_show *o, struct moe_reader *r, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int rc;

	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		bool wanted = moe_show_wanted(o, r);

		if (o->where)
			moe_where_segment(o->where);
		while ((rc = moe_reader_next_in_segment(r, &rec, e)) == 1) {
			rc = 0;
			if (moe_rec_is(&rec, "metrics"))
				rc = add_step(c, moe_reader_header(r), &rec, e);
			else if (wanted && moe_rec_is(&rec, "rollout"))
				rc = add_rollout(
					c, &rec, !o->where || moe_where_pass(o->where, &rec), e);
			if (rc)
				break;
		}
		if (rc < 0)
			break;
	}
	moe_rec_free(&rec);
	return rc < 0 ? -1 : 0;
}

/* ---- the advantages ---- */

static int by_when(const void *a, const void *b)
{
	const struct when *x = a, *y = b;

	if (x->method != y->method)
		return x->method < y->method ? -1 : 1;
	if (x->seed != y->seed)
		return x->seed < y->seed ? -1 : 1;
	return (x->step > y->step) - (x->step < y->step);
}

void moe_completions_join(struct moe_completions *c)
{
	if (c->n_step)
		qsort(c->step, c->n_step, sizeof(*c->step), by_when);
	if (c->n_count)
		qsort(c->count, c->n_count, sizeof(*c->count), by_when);
	for (size_t i = 0; c->n_step && i < c->n; i++) {
		struct moe_completion *q = &c->v[i];
		const struct when w = { q->method, q->seed, q->step };
		const struct moe_completion_step *s = bsearch(
			&w, c->step, c->n_step, sizeof(*c->step), by_when);
		const struct moe_completion_count *k = bsearch(
			&w, c->count, c->n_count, sizeof(*c->count), by_when);

		if (s && k && k->n == s->n)
			q->advantage = (double)s->adv[q->at];
	}
}

size_t moe_completions_bare(const struct moe_completions *c, size_t *of)
{
	size_t n = 0;

	*of = c->n;
	for (size_t i = 0; c->n_step && i < c->n; i++)
		n += isnan(c->v[i].advantage) ? 1 : 0;
	return n;
}

/* ---- text ---- */

struct ink {
	const char *bold, *dim, *red, *green, *off;
};

static int add_label(const struct ink *k, const char *label, struct moe_buf *b, struct moe_err *e)
{
	return moe_buf_addf(b, e, "    %s%-10s%s  ", k->dim, label, k->off);
}

static int add_text(
	const struct ink *k, const char *label, const char *s, struct moe_buf *b, struct moe_err *e)
{
	size_t n = strlen(s);

	n -= n && s[n - 1] == '\n'; /* the line end behind the last line says nothing */
	return add_label(k, label, b, e) || moe_text_lines(b, s, n, INDENT, e) ||
			moe_buf_add(b, "\n", 1, e)
		? -1
		: 0;
}

static int add_numbers(const struct moe_completions *c, const struct ink *k,
	const struct moe_completion *q, struct moe_buf *b, struct moe_err *e)
{
	const char *decision = c->name.v[q->decision];
	bool hot = !strcmp(decision, "route");

	if (!isnan(q->reward) &&
		(add_label(k, "reward", b, e) || moe_buf_addf(b, e, "%.6g", q->reward)))
		return -1;
	for (size_t i = 0; !isnan(q->reward) && i < q->n_part; i++)
		if (moe_buf_addf(b, e, "%s%s %.6g", i ? " + " : " = ", c->name.v[q->part[i].name],
			    q->part[i].v))
			return -1;
	if (!isnan(q->advantage) &&
		moe_buf_addf(b, e, "%sadvantage %s%+.4f%s", isnan(q->reward) ? INDENT : "   ",
			q->advantage > 0           ? k->green
				: q->advantage < 0 ? k->red
						   : "",
			q->advantage, k->off))
		return -1;
	if ((!isnan(q->reward) || !isnan(q->advantage)) && moe_buf_add(b, "\n", 1, e))
		return -1;
	if (!*decision)
		return 0;
	return add_label(k, "route", b, e) ||
			moe_buf_addf(
				b, e, "%s%s%s", hot ? k->red : "", decision, hot ? k->off : "") ||
			(!isnan(q->score) && moe_buf_addf(b, e, " (score %.3f)", q->score)) ||
			moe_buf_add(b, "\n", 1, e)
		? -1
		: 0;
}

static int add_one(const struct moe_completions *c, const struct ink *k,
	const struct moe_completion *q, struct moe_buf *b, struct moe_err *e)
{
	const char *mode = c->name.v[q->mode], *finish = c->name.v[q->finish];

	if (moe_buf_addf(b, e, "  ") || moe_text_escape(b, q->id, strlen(q->id), false, e) ||
		(*mode && moe_buf_addf(b, e, "  %s", mode)) ||
		(q->tokens >= 0 &&
			moe_buf_addf(b, e, "  %" PRId64 " token%s", q->tokens,
				q->tokens == 1 ? "" : "s")) ||
		(*finish && strcmp(finish, "stop") != 0 && moe_buf_addf(b, e, ", %s", finish)) ||
		moe_buf_add(b, "\n", 1, e))
		return -1;
	return add_text(k, "prompt", q->prompt, b, e) ||
			add_text(k, "completion", q->completion, b, e) || add_numbers(c, k, q, b, e)
		? -1
		: 0;
}

int moe_completions_text(
	struct moe_completions *c, bool colour, struct moe_buf *out, struct moe_err *e)
{
	const struct ink k = { colour ? "\033[1m" : "", colour ? "\033[2m" : "",
		colour ? "\033[31m" : "", colour ? "\033[32m" : "", colour ? "\033[0m" : "" };
	const struct moe_completion *last = NULL;

	moe_completions_join(c);
	if (!c->n)
		return moe_buf_addf(out, e, "no rollout\n");
	for (size_t i = 0; i < c->n; i++) {
		const struct moe_completion *q = &c->v[i];
		const char *method = c->name.v[q->method];

		if ((!last || last->step != q->step || last->seed != q->seed ||
			    last->method != q->method) &&
			(moe_buf_addf(out, e, "%s%sstep %" PRId64 "%s", last ? "\n" : "", k.bold,
				 q->step, k.off) ||
				(*method &&
					moe_buf_addf(
						out, e, "  %s, seed %" PRId64, method, q->seed)) ||
				moe_buf_add(out, "\n", 1, e)))
			return -1;
		if (add_one(c, &k, q, out, e))
			return -1;
		last = q;
	}
	return c->left_out
		? moe_buf_addf(out, e, "\n%" PRIu64 " more, left out by -n\n", c->left_out)
		: 0;
}
