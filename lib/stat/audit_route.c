/* audit_route.c - decides anew about recorded rollouts, by the method and the score that the
 * trained adapter carries. What decided by sealed findings decides differently here: no seal is
 * opened. */
#include "moe/route.h"
#include "stat/audit.h"
#include "formats/rollout.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char GROUP[] = "made anew";

struct anew {
	const struct moe_engine *g;
	const struct moe_method *method;
	struct moe_adapter *x;
	uint64_t seed;
	int64_t every;
	bool remembers, begun,
		late; /* decides by earlier scores; and the recording lacks the first */
	bool moves;   /* scores are of the weights of each step, which are not at hand */
	struct moe_past past;
	size_t n, differ; /* rollouts compared; whose decision differs */
	double gap;       /* greatest difference of a score */
	char first[96];   /* id of the first that differs */
};

/* A score may differ in its last bits between machines. */
#define SCORE_GAP 1e-3

/* The scores on record, in place of those that would need the weights of their step. */
static int by_record(
	struct anew *w, struct moe_route_step *s, const struct moe_turn *turn, struct moe_err *e)
{
	for (size_t i = 0; i < s->n; i++) {
		struct moe_rec route = { 0 };

		s->judged[i] = (struct moe_judged){ .score = NAN, .decision = MOE_ABSORB };
		moe_rec_map(&s->rec[i], MOE_ROLLOUT_ROUTE, &route);
		moe_rec_f64(&route, "score", &s->judged[i].score);
		moe_rec_free(&route);
		if (moe_past_add(&w->past, s->judged[i].score, e))
			return -1;
	}
	return w->method->decide(w->x, s->seen, s->n, turn, s->judged, e);
}

static int compare_one(struct anew *w, const struct moe_route_step *s, size_t i)
{
	struct moe_rec route = { 0 };
	struct moe_str said = { "", 0 }, id = { "", 0 };
	double score;
	bool same;

	moe_rec_map(&s->rec[i], MOE_ROLLOUT_ROUTE, &route);
	moe_rec_str(&route, "decision", &said);
	same = moe_str_eq(said, moe_decision_names[s->judged[i].decision]);
	if (moe_rec_f64(&route, "score", &score) && !isnan(s->judged[i].score)) {
		double gap = fabs(score - s->judged[i].score);
		w->gap = gap > w->gap ? gap : w->gap;
		same = same && gap <= SCORE_GAP;
	}
	moe_rec_free(&route);
	w->n++;
	if (!same && !w->differ++) {
		moe_rec_str(&s->rec[i], "id", &id);
		snprintf(w->first, sizeof w->first, "%.*s", (int)(id.n < 80 ? id.n : 80), id.p);
	}
	return 0;
}

/* The scores on record of a step that is passed by. */
static int remember_step(struct anew *w, const struct moe_route_step *s, struct moe_err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && w->remembers && i < s->n; i++) {
		struct moe_rec route = { 0 };
		double score = NAN;

		moe_rec_map(&s->rec[i], MOE_ROLLOUT_ROUTE, &route);
		moe_rec_f64(&route, "score", &score);
		moe_rec_free(&route);
		rc = moe_past_add(&w->past, score, e);
	}
	return rc;
}

static int compare_step(struct anew *w, struct moe_route_step *s, struct moe_err *e)
{
	const struct moe_turn turn = { w->seed, s->step, &w->past };
	int rc = 0;

	w->late |= s->n && !w->begun && s->step > 0 && w->remembers;
	w->begun |= s->n > 0;
	if (s->n && (w->late || s->step % w->every != 0))
		rc = remember_step(w, s, e);
	else if (s->n) {
		rc = w->moves ? by_record(w, s, &turn, e)
			      : moe_method_route(w->method, w->g, w->x, s->seen, s->n, &turn,
					s->judged, &s->null, e);
		for (size_t i = 0; !rc && i < s->n; i++)
			compare_one(w, s, i);
	}
	moe_route_step_clear(s);
	return rc;
}

/* Every `every'-th step of the recording, as moe-route goes through it. */
static int walk(struct anew *w, const char *path, size_t max_mem, struct moe_err *e)
{
	const struct moe_reader_opts o = { .max_mem = max_mem };
	struct moe_reader *in = moe_reader_open_path(path, &o, e);
	struct moe_route_step s = { 0 };
	struct moe_rec r = { 0 };
	int got = in ? 1 : -1;

	while (got > 0 && (got = moe_reader_next(in, &r, e)) > 0)
		if (moe_rec_is(&r, "rollout") ? moe_route_add(&s, &r, w->g->m->config.V, false, e)
					      : compare_step(w, &s, e))
			got = -1;
	if (!got && compare_step(w, &s, e))
		got = -1;
	moe_route_step_free(&s);
	moe_rec_free(&r);
	if (in)
		moe_reader_close(in);
	return got;
}

/* The first adapter of the file, which carries the score that routed. */
static int read_adapter(struct moe_adapter *x, const char *path, size_t max_mem, struct moe_err *e)
{
	const struct moe_reader_opts o = { .max_mem = max_mem };
	struct moe_reader *in = moe_reader_open_path(path, &o, e);
	int got = in ? moe_adapter_read(in, false, x, e) : -1;

	if (in)
		moe_reader_close(in);
	return got == 1 ? 0 : got < 0 ? -1 : moe_fail(e, MOE_DATA, "%s holds no adapter", path);
}

/* Who routed, as a row of the table: NULL and a check that was not done otherwise. */
static const struct moe_method *router_of(
	struct moe_audit *a, const struct moe_audit_run *r, int *rc, struct moe_err *e)
{
	const struct moe_method *m = NULL;
	struct moe_err none;

	*rc = 0;
	if (r->router.n == 1)
		m = moe_method_find(r->router.v[0], &none);
	if (!r->router.n)
		*rc = moe_audit_say(
			a, e, GROUP, MOE_CHECK_SKIPPED, "", "%s carries no routes", r->path);
	else if (!m)
		*rc = moe_audit_say(a, e, GROUP, MOE_CHECK_SKIPPED, "",
			"%s was routed by \"%s\"%s: no row of the method table, so its decisions "
			"are not made anew; its program must be run again",
			r->path, r->router.v[0], r->router.n > 1 ? " and others" : "");
	else if (m->cheats)
		*rc = moe_audit_say(a, e, GROUP, MOE_CHECK_FAILED, "",
			"%s was routed by \"%s\", which opens seals", r->path, m->name);
	return m && !m->cheats ? m : NULL;
}

static int check_run(struct moe_audit *a, const struct moe_audit_run *r, const struct moe_engine *g,
	int64_t every, size_t max_mem, struct moe_err *e)
{
	const struct moe_audit_arm *x = moe_audit_trained_by(a, r);
	struct moe_adapter adapter = { 0 };
	struct anew w = { .g = g, .x = &adapter, .seed = (uint64_t)r->seed, .every = every };
	struct moe_err why;
	int rc;

	if (!x)
		return moe_audit_say(a, e, GROUP, MOE_CHECK_SKIPPED, "",
			"%s: no adapter names it as its input, so what routed it is not known",
			r->path);
	if (!(w.method = router_of(a, r, &rc, e)))
		return rc;
	rc = read_adapter(&adapter, x->path, max_mem, &why) ||
			moe_adapter_check(&adapter, &g->m->config, g->m->digest, false, &why)
		? -1
		: 0;
	if (rc && why.code == MOE_DATA) /* an edited adapter, or one of another base */
		return moe_audit_say(a, e, GROUP, MOE_CHECK_FAILED, "", "%s: %s", x->path, why.msg);
	if (rc)
		*e = why;
	else
		w.remembers = moe_method_remembers(&adapter);
	w.moves = !rc && moe_method_refresh(w.method, &adapter) > 0;
	if (!rc)
		rc = walk(&w, r->path, max_mem, e);
	moe_adapter_free(&adapter);
	moe_past_free(&w.past);
	if (rc)
		return -1;
	if (w.late)
		return moe_audit_say(a, e, GROUP, MOE_CHECK_SKIPPED, "",
			"%s does not begin with step 0, and its decisions depend on the scores of "
			"all steps: they were not made anew",
			r->path);
	if (w.differ)
		return moe_audit_say(a, e, GROUP, MOE_CHECK_FAILED, "",
			"%s: %zu of %zu decisions differ from what %s decides %s, first %s: other "
			"than its score decided them%s",
			r->path, w.differ, w.n, w.method->name,
			w.moves ? "by the scores on record" : "on the same tokens", w.first,
			strcmp(r->tool, "moe-route")
				? " (moe-route did not write this file, so its seed is a guess)"
				: "");
	if (w.moves)
		return moe_audit_say(a, e, GROUP, MOE_CHECK_SKIPPED, "",
			"%s: all %zu decisions follow from the scores on record, but those are of "
			"the weights of each step, which are not here: moe-route --follow with "
			"moe-train --publish, on this file, makes both anew",
			r->path, w.n);
	return moe_audit_say(a, e, GROUP, MOE_CHECK_HELD,
		"routes that were written from opened seals, or by anything else than the score of "
		"the pairs",
		"%s: all %zu decisions came out the same when %s made them anew (scores within "
		"%.1g)",
		r->path, w.n, w.method->name, w.gap);
}

int moe_audit_routes(struct moe_audit *a, const struct moe_engine *g, int64_t every, size_t max_mem,
	struct moe_err *e)
{
	int rc = 0;

	if (!a->n_run)
		return 0;
	if (!g)
		return moe_audit_say(a, e, GROUP, MOE_CHECK_SKIPPED, "",
			"routes were not made anew: name the base with -m");
	for (size_t i = 0; !rc && i < a->n_run; i++)
		rc = check_run(a, &a->run[i], g, every > 0 ? every : 1, max_mem, e);
	return rc;
}
