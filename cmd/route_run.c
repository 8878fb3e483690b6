/* route_run.c - walks over the steps of the rollouts. What is decided is moe/route.c's, under which
 * weights is rl/refresh.c's. */
#include "cmd/route_run.h"

#include "cmd/opt.h"
#include "formats/seal.h"
#include "formats/tokenizer/tokenizer.h"
#include "rl/checkpoint.h"
#include "rl/explain.h"
#include "util/claim.h"

#include <stdlib.h>

static void die_if(bool failed, const struct moe_err *e)
{
	if (failed)
		moe_die(e);
}

/* ---- what a score with a refresh needs ---- */

static void still_waiting(void *ctx, int64_t step)
{
	const struct route_run *r = ctx;

	moe_info("step %lld: still nobody has opened %s for writing; moe-train takes --publish "
		 "once for each FIFO",
		(long long)step, r->o->follow);
}

/* The fixed pairs are those that the adapter was pinned with, or the score would be another's. */
static void read_pairs(struct route_run *r, const char *base)
{
	const struct moe_adapter *a = r->f.a;
	struct moe_tokenizer *tok;
	struct moe_str was;
	struct moe_err e;

	r->pins = moe_in_open(r->o->pin, "pairs");
	tok = moe_tokenizer_open(base, &e);
	die_if(!tok || moe_pairs_read(&r->pairs, r->pins, tok, r->g.m->config.bos, &e) ||
			moe_method_pairs(a->method, a->train_seed, &r->pairs, &e),
		&e);
	moe_tokenizer_free(tok);
	if (!moe_rec_str(&a->lineage, "pins", &was) || !moe_reader_digests(r->pins) ||
		!moe_str_eq(was, moe_reader_digest(r->pins, 0))) {
		moe_fail(&e, MOE_DATA,
			"%s: these are not the pairs that the adapter was pinned with", r->o->pin);
		moe_die(&e);
	}
}

void route_open(struct route_run *r, const char *base)
{
	const struct route_args *o = r->o;
	struct moe_err e;

	r->f.wait_sec = (double)o->wait_sec;
	r->f.say = still_waiting;
	r->f.ctx = r;
	die_if(moe_refresh_begin(&r->f, &e) != 0, &e);
	if (!r->f.every && (o->pin || o->follow))
		moe_usage_error("--pin and --follow are for a score that is made anew, and that of "
				"%s reads the frozen base alone (moe-pin --set refresh=N)",
			r->f.a->method);
	if (r->f.every && !o->pin)
		moe_usage_error("the score of %s is made anew from the pairs every %lld steps: "
				"--pin PAIRS names them",
			r->f.a->method, (long long)r->f.every);
	if (!r->f.every)
		return;
	read_pairs(r, base);
	r->f.pairs = &r->pairs;
	if (!o->follow)
		return;
	if (moe_claim(o->follow, "FIFO to follow", &e))
		moe_usage_error("%s", e.msg);
	r->f.follow = moe_ahead_open(o->follow, moe_common.max_mem, 1, &e);
	die_if(!r->f.follow, &e);
}

void route_close(struct route_run *r)
{
	moe_ahead_close(r->f.follow);
	moe_refresh_free(&r->f);
	moe_pairs_free(&r->pairs);
	if (r->pins)
		moe_reader_close(r->pins);
}

/* ---- steps ---- */

/* Judges what was gathered of a step. True when the score was made anew before it. */
static bool flush_step(struct route_run *r, struct moe_route_step *s)
{
	struct moe_explain x = { .method = r->f.method, .a = r->f.a, .seed = moe_common.seed };
	double at = moe_clock_sec();
	struct moe_err e;
	bool made;

	die_if(moe_refresh_step(&r->f, &r->g, s, &made, &e) != 0, &e);
	if (r->f.follow)
		moe_writer_raise(r->w, moe_ahead_labels(r->f.follow));
	x.g = r->g;
	die_if(r->o->explain ? moe_explain_step(&x, s, r->w, &e)
			     : s->n &&
				moe_route_judge(s, r->f.method, &r->g, r->f.a, moe_common.seed, &e),
		&e);
	r->sum.sec += moe_clock_sec() - at;
	r->sum.made += made;
	for (size_t i = 0; i < s->n; i++) {
		r->sum.n++;
		r->sum.decided[s->judged[i].decision]++;
		die_if(!r->o->explain && moe_writer_put(r->w, &s->rec[i], &e), &e);
	}
	moe_route_step_clear(s);
	return made;
}

/* A score is of one base's hidden states. */
static void check_base(const struct moe_rec *rec, const struct moe_model *m)
{
	struct moe_str base;
	struct moe_err e;

	if (!moe_rec_str(rec, "base", &base) || !base.n || moe_str_eq(base, m->digest))
		return;
	moe_fail(&e, MOE_DATA,
		"record %llu was sampled with another base (%.*s, not %.12s): route with the base "
		"that sampled",
		(unsigned long long)rec->number, (int)(base.n < 12 ? base.n : 12), base.p,
		m->digest);
	moe_die(&e);
}

/* Before the first step: the scores of those before it, where decisions depend on them, and the
 * score that was made anew in one of them. */
static void begin_with(struct route_run *r, struct moe_route_step *s)
{
	bool remembers = moe_method_remembers(r->f.a);
	const char *path = r->o->resume;
	struct moe_train_at at = { 0 };
	struct moe_rec score = { 0 };
	struct moe_err e;

	if (s->step == 0 || (!remembers && !r->f.every))
		return;
	if (!path) {
		if (remembers)
			moe_warn("the input begins with step %lld, and the thresholds depend on "
				 "the scores of all steps before: --resume CHECKPOINT goes on with "
				 "those of a training run",
				(long long)s->step);
		return;
	}
	die_if(moe_train_peek_past(path, r->f.a, &s->past, &score, &at, &e) < 0, &e);
	if (at.next != s->step) {
		moe_fail(&e, MOE_DATA,
			"the input begins with step %lld, and %s holds the scores of the steps "
			"before %lld",
			(long long)s->step, path, (long long)at.next);
		moe_die(&e);
	}
	die_if(r->f.every && moe_refresh_resume(&r->f, path, &score, &e), &e);
	moe_rec_free(&score);
}

/* A `step` record has the score that was made anew before its step; what it says of an earlier
 * routing is not so any more. */
static void mark_step(const struct route_run *r, struct moe_rec *rec, bool made)
{
	struct moe_rec score = { 0 };
	struct moe_err e;

	moe_rec_unset(rec, "score");
	die_if(made &&
			(moe_refresh_state(&r->f, &score, &e) ||
				moe_rec_set_map(rec, "score", &score, &e)),
		&e);
	moe_rec_free(&score);
}

void route_all(struct route_run *r, struct moe_reader *in)
{
	struct moe_route_step s = { .null = { .n = r->o->explain ? 0 : (int)r->o->nulls,
					    .seed = moe_common.seed } };
	struct moe_rec rec = { 0 };
	struct moe_err e;
	int got, begun = 0;

	while ((got = moe_reader_next(in, &rec, &e)) == 1) {
		bool made;

		if (moe_rec_is(&rec, "rollout")) {
			check_base(&rec, r->g.m);
			die_if(moe_route_add(&s, &rec, r->g.m->config.V, r->f.method->cheats, &e),
				&e);
			continue;
		}
		if (s.n && !begun++)
			begin_with(r, &s);
		made = flush_step(r, &s);
		moe_writer_raise(r->w, moe_seal_taint());
		if (moe_rec_is(&rec, "step"))
			mark_step(r, &rec, made && !r->o->explain);
		/* among routes, steps are all that is passed on */
		die_if(((!r->o->explain || moe_rec_is(&rec, "step")) &&
			       moe_writer_put(r->w, &rec, &e)) ||
				(moe_rec_is(&rec, "step") && moe_writer_flush(r->w, &e)),
			&e);
	}
	die_if(got < 0, &e);
	if (s.n && !begun)
		begin_with(r, &s);
	flush_step(r, &s);
	moe_route_step_free(&s);
	moe_rec_free(&rec);
}
