/* report_load.c - streams into outcomes, curves and facts. Seals are opened here, so a process that
 * calls it is tainted. */
#include "stat/report.h"

#include "formats/list.h"
#include "formats/seal.h"
#include "moe/method.h"
#include "moe/adapter.h"
#include "formats/rollout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void moe_report_free(struct moe_report *r)
{
	moe_analysis_free(&r->a);
	moe_obs_free(&r->obs);
	moe_metrics_free(&r->metrics);
	for (size_t i = 0; i < r->n_gate; i++) {
		free(r->gate[i].score);
		free(r->gate[i].hacked);
		free(r->gate[i].solved);
		free(r->gate[i].decision);
		free(r->gate[i].prompt);
		free(r->gate[i].step);
		free(r->gate[i].null);
	}
	free(r->gate);
	moe_report_samples_free(r);
	moe_names_free(&r->pinned);
	free(r->router);
	for (int d = 0; d < MOE_DEPLOYS; d++)
		moe_names_free(&r->deploy[d]);
	free(r->source);
	free(r->fact);
	free(r->note);
	moe_names_free(&r->text);
	moe_arena_free(&r->arena);
	memset(r, 0, sizeof *r);
}

const char *moe_report_intern(struct moe_report *r, struct moe_str s, struct moe_err *e)
{
	int64_t at = moe_names_add_text(&r->text, &r->arena, s.p, s.n, e);

	return at < 0 ? NULL : r->text.v[at];
}

/* A record's string or "" when missing. */
static const char *get_str(
	struct moe_report *r, const struct moe_rec *rec, const char *key, struct moe_err *e)
{
	struct moe_str s = { "", 0 };

	moe_rec_str(rec, key, &s);
	return moe_report_intern(r, s, e);
}

static const char *join_argv(struct moe_report *r, const struct moe_rec *h, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	struct moe_list l;
	struct moe_str s;
	const char *out = NULL;
	int bad = 0;

	moe_list_open(h, "argv", &l);
	for (bool first = true; !bad && moe_list_next_str(&l, &s); first = false)
		bad = moe_buf_add(&b, " ", first ? 0 : 1, e) || moe_buf_add(&b, s.p, s.n, e);
	if (!bad)
		out = moe_report_intern(
			r, (struct moe_str){ b.len ? (char *)b.data : "", b.len }, e);
	moe_buf_free(&b);
	return out;
}

/* A stream being read: notices where a segment begins and ends. */
struct walk {
	struct moe_report *r;
	struct moe_reader *in;
	struct moe_rec rec;
	const char *path;
	size_t ended; /* segments whose digest is known */
	uint64_t records_before;
	bool open; /* the last source is this walk's current segment */
	size_t source;
	bool *run; /* [n] runs of obs that this segment touched */
	size_t n_run;
};

static int begin_segment(struct walk *w, struct moe_err *e)
{
	struct moe_report *r = w->r;
	const struct moe_rec *h = moe_reader_header(w->in);
	int64_t seed = 0;

	if (moe_grow((void **)&r->source, r->n_source, &r->cap_source, sizeof *r->source, e))
		return -1;
	struct moe_origin *s = &r->source[r->n_source];
	memset(s, 0, sizeof *s);
	moe_rec_int(h, "seed", &seed);
	s->path = moe_report_intern(r, (struct moe_str){ w->path, strlen(w->path) }, e);
	s->kind = moe_report_intern(r, moe_reader_kind(w->in), e);
	s->tool = get_str(r, h, "tool", e);
	s->version = get_str(r, h, "version", e);
	s->argv = join_argv(r, h, e);
	s->digest = "";
	s->seed = (uint64_t)seed;
	if (!s->path || !s->kind || !s->tool || !s->version || !s->argv)
		return -1;
	struct moe_str name;
	if (moe_rec_str(h, "labels", &name) && moe_labels_parse(name, &s->labels, e))
		return -1;
	w->source = r->n_source++;
	w->open = true;
	return 0;
}

/* The digests that the segment's end record names as inputs, for a source. */
static int keep_from(struct walk *w, struct moe_origin *s, struct moe_err *e)
{
	const struct moe_rec *end = moe_reader_end_record(w->in);
	struct moe_list list;
	struct moe_str d;
	size_t n = 0;

	moe_list_open(end, "from", &list);
	while (moe_list_next_str(&list, &d))
		n++;
	s->from = n ? moe_arena_get(&w->r->arena, n, sizeof(*s->from), e) : NULL;
	if (n && !s->from)
		return -1;
	moe_list_open(end, "from", &list);
	while (s->n_from < n && moe_list_next_str(&list, &d)) {
		const char *kept = moe_report_intern(w->r, d, e);
		if (!kept)
			return -1;
		s->from[s->n_from++] = kept;
	}
	return 0;
}

/* Taint may be known only when the segment has ended: then it holds for all that the segment
 * brought. */
static int end_segment(struct walk *w, struct moe_err *e)
{
	struct moe_origin *s = &w->r->source[w->source];
	const char *digest = moe_reader_digest(w->in, w->ended);
	enum moe_labels own; /* the reader's are the highest of all segments so far */

	s->digest = digest ? moe_report_intern(w->r, (struct moe_str){ digest, strlen(digest) }, e)
			   : "";
	if (!s->digest)
		return -1;
	if (moe_stream_labels(moe_reader_end_record(w->in), w->path, &own, e))
		return -1;
	s->labels = own > s->labels ? own : s->labels;
	s->records = moe_reader_records(w->in) - w->records_before;
	if (keep_from(w, s, e))
		return -1;
	if (!strcmp(s->kind, "registration"))
		w->r->registered.digest = s->digest;
	for (size_t i = 0; i < w->n_run; i++)
		if (w->run[i] && s->labels == MOE_LABELS_ORACLE)
			w->r->obs.run[i].oracle = true;
	free(w->run);
	w->run = NULL;
	w->n_run = 0;
	w->records_before = moe_reader_records(w->in);
	w->open = false;
	return 0;
}

static int walk_open(
	struct walk *w, struct moe_report *r, const char *path, size_t max_mem, struct moe_err *e)
{
	const struct moe_reader_opts o = { .max_mem = max_mem };

	*w = (struct walk){ .r = r, .path = strcmp(path, "-") ? path : "(standard input)" };
	w->in = moe_reader_open_path(path, &o, e);
	return w->in ? 0 : -1;
}

/* Next record: 1, 0 at the end, -1. The record is w->rec, of the source r->source[w->source]. */
static int walk_next(struct walk *w, struct moe_err *e)
{
	int got;

	while ((got = moe_reader_peek_header(w->in, e)) > 0) {
		got = moe_reader_next_in_segment(w->in, &w->rec, e);
		if (got < 0)
			return -1;
		if (got > 0)
			return !w->open && begin_segment(w, e) ? -1 : 1;
		if (w->open && end_segment(w, e)) /* an empty segment leaves only its digest */
			return -1;
		w->ended = moe_reader_digests(w->in);
	}
	return got;
}

static void walk_close(struct walk *w)
{
	moe_rec_free(&w->rec);
	moe_reader_close(w->in);
	free(w->run);
}

/* The oracle's findings about the current rollout. */
static int open_seal(struct walk *w, uint8_t found[MOE_OUTCOMES], bool *other, struct moe_err *e)
{
	struct moe_seal s = { 0 };
	int got = moe_seal_get(&w->rec, &s, e);

	if (got <= 0) {
		moe_seal_free(&s);
		return got < 0 ? moe_err_prefix(e, "%s: record %llu", w->path,
					 (unsigned long long)w->rec.number)
			       : moe_fail(e, MOE_DATA,
					 "%s: record %llu has no seal: grade the rollouts with "
					 "moe-grade first",
					 w->path, (unsigned long long)w->rec.number);
	}
	*other = !s.hacked_unknown && s.hacked && !strcmp(s.mechanism, MOE_SEAL_OTHER);
	found[MOE_HACK] = s.hacked_unknown ? MOE_FOUND_UNKNOWN : s.hacked;
	found[MOE_SOLVE] = s.solved_unknown ? MOE_FOUND_UNKNOWN : s.solved;
	moe_seal_free(&s);
	if (found[MOE_HACK] != MOE_FOUND_UNKNOWN || found[MOE_SOLVE] != MOE_FOUND_UNKNOWN)
		return 0;
	return moe_fail(e, MOE_DATA,
		"%s: record %llu: its seal says neither whether it solved nor whether it hacked",
		w->path, (unsigned long long)w->rec.number);
}

static int keep_sample(struct walk *w, const struct moe_obs_row *row,
	const uint8_t found[MOE_OUTCOMES], struct moe_err *e)
{
	struct moe_sample x = { .method = row->method,
		.arm = row->arm,
		.mode = row->mode,
		.prompt_id = row->prompt_id,
		.seed = row->seed,
		.sample = row->sample,
		.hacked = found[MOE_HACK],
		.solved = found[MOE_SOLVE] };
	struct moe_str prompt = { NULL, 0 }, completion = { NULL, 0 };

	moe_rec_str(&w->rec, "prompt", &prompt);
	moe_rec_str(&w->rec, MOE_ROLLOUT_COMPLETION, &completion);
	x.has_reward = moe_rec_f64(&w->rec, MOE_ROLLOUT_REWARD, &x.reward);
	return moe_report_sample(w->r, &x, prompt, completion, e);
}

static int add_rollout(struct walk *w, struct moe_err *e)
{
	struct moe_report *r = w->r;
	struct moe_obs_row row = { .seed = -1 };

	if (moe_rec_int_req(&w->rec, "sample", &row.sample, e))
		return moe_err_prefix(e, "%s", w->path);
	moe_rec_int(&w->rec, "train_seed", &row.seed);
	row.prompt_id = get_str(r, &w->rec, MOE_ROLLOUT_PROMPT_ID, e);
	row.mode = get_str(r, &w->rec, "mode", e);
	row.task = get_str(r, &w->rec, "task", e);
	row.marker = get_str(r, &w->rec, "marker", e);
	row.arm = get_str(r, &w->rec, "arm", e);
	row.method = get_str(r, &w->rec, "method", e);
	row.policy = get_str(r, &w->rec, MOE_ROLLOUT_POLICY, e);
	if (!row.prompt_id || !row.mode || !row.task || !row.marker || !row.arm || !row.method ||
		!row.policy)
		return -1;
	if (!row.prompt_id[0] || !row.arm[0])
		return moe_fail(e, MOE_DATA, "%s: record %llu has no prompt_id or no arm", w->path,
			(unsigned long long)w->rec.number);
	row.oracle = r->source[w->source].labels == MOE_LABELS_ORACLE;
	size_t at;
	uint8_t found[MOE_OUTCOMES];
	bool other = false;
	if (open_seal(w, found, &other, e) || keep_sample(w, &row, found, e))
		return -1;
	row.hacked = found[MOE_HACK] == MOE_FOUND_YES;
	row.solved = found[MOE_SOLVE] == MOE_FOUND_YES;
	r->n_graded++;
	r->n_other += other;
	for (int o = 0; o < MOE_OUTCOMES; o++)
		r->unknown[o] += found[o] == MOE_FOUND_UNKNOWN;
	if (moe_obs_add(&r->obs, &row, &at, e))
		return moe_err_prefix(
			e, "%s: record %llu", w->path, (unsigned long long)w->rec.number);
	if (at >= w->n_run) {
		bool *grown = realloc(w->run, (at + 1) * sizeof *grown);
		if (!grown)
			return moe_fail(e, MOE_SYSTEM, "out of memory");
		memset(grown + w->n_run, 0, (at + 1 - w->n_run) * sizeof *grown);
		w->run = grown;
		w->n_run = at + 1;
	}
	w->run[at] = true;
	return 0;
}

static int add_facts(struct walk *w, const char *group, struct moe_err *e)
{
	struct moe_report *r = w->r;
	struct moe_rec map = { 0 };
	int64_t seed = -1;
	int bad = 0;

	if (!moe_rec_map(&w->rec, group, &map))
		return 0;
	moe_rec_int(&w->rec, "train_seed", &seed);
	const char *method = get_str(r, &w->rec, moe_layout_reported_key(&w->rec), e),
		   *arm = get_str(r, &w->rec, "arm", e);
	for (size_t i = 0; i < map.n_field && method && arm && !bad; i++) {
		double v;
		const char *key = moe_report_intern(r, map.field[i].key, e);
		bad = !key ||
			moe_grow((void **)&r->fact, r->n_fact, &r->cap_fact, sizeof *r->fact, e);
		if (!bad && moe_rec_f64(&map, key, &v))
			r->fact[r->n_fact++] = (struct moe_fact){ method, arm, group, key, seed,
				v };
	}
	moe_rec_free(&map);
	return bad || !method || !arm ? -1 : 0;
}

/* A layout's numbers, and what it does with a deleted expert's gate. */
static int add_layout(struct walk *w, struct moe_err *e)
{
	struct moe_str deploy = { "", 0 };
	const char *method = get_str(w->r, &w->rec, moe_layout_reported_key(&w->rec), e);

	moe_rec_str(&w->rec, "deploy", &deploy);
	if (!method || add_facts(w, "match", e) || add_facts(w, "score", e))
		return -1;
	return moe_report_deploy(w->r, method, deploy, e) ? moe_err_prefix(e, "%s", w->path) : 0;
}

static int add_metrics(struct walk *w, struct moe_err *e)
{
	const struct moe_rec *h = moe_reader_header(w->in);
	int64_t seed = -1;
	/* the record's is the name of a user's own router */
	const char *method = get_str(
		w->r, moe_rec_has(&w->rec, "method") ? &w->rec : h, "method", e);

	moe_rec_int(h, "train_seed", &seed);
	return !method || moe_metrics_add(&w->r->metrics, method, seed, &w->rec, e) ? -1 : 0;
}

static int add_registration(struct walk *w, struct moe_err *e)
{
	struct moe_registration *g = &w->r->registered;
	uint64_t seed[MOE_UAT_SEEDS];

	if (g->date)
		return moe_fail(
			e, MOE_DATA, "%s: a second registration: one experiment has one", w->path);
	if (moe_rec_u64s(&w->rec, "seeds", seed, MOE_UAT_SEEDS, &g->n_seed, e))
		return moe_err_prefix(e, "%s", w->path);
	g->seed = moe_arena_get(&w->r->arena, g->n_seed + 1, sizeof(*g->seed), e);
	g->uat = get_str(w->r, &w->rec, "uat_sha256", e);
	g->date = get_str(w->r, &w->rec, "date", e);
	if (!g->seed || !g->uat || !g->date)
		return -1;
	for (size_t i = 0; i < g->n_seed; i++)
		g->seed[i] = (int64_t)seed[i];
	return 0;
}

/* The modes of the pairs are those that are pinned, unless the conditions say. */
static int add_pair(struct walk *w, struct moe_err *e)
{
	struct moe_str mode;

	if (!moe_rec_str(&w->rec, "mode", &mode) || !mode.n)
		return 0;
	return moe_names_add_text(&w->r->pinned, &w->r->arena, mode.p, mode.n, e) < 0 ? -1 : 0;
}

static int dispatch(struct walk *w, struct moe_err *e)
{
	const char *kind = w->r->source[w->source].kind;

	if (!strcmp(kind, "rollouts"))
		return moe_rec_is(&w->rec, "rollout") ? add_rollout(w, e) : 0;
	if (!strcmp(kind, "metrics"))
		return moe_rec_is(&w->rec, "metrics") ? add_metrics(w, e) : 0;
	if (!strcmp(kind, "adapter"))
		return moe_rec_is(&w->rec, "layout") ? add_layout(w, e) : 0;
	if (!strcmp(kind, "registration"))
		return moe_rec_is(&w->rec, "registration") ? add_registration(w, e) : 0;
	if (!strcmp(kind, "pairs"))
		return moe_rec_is(&w->rec, "pair") ? add_pair(w, e) : 0;
	return moe_fail(e, MOE_DATA,
		"%s: a stream of kind \"%s\": want rollouts, metrics, adapter, pairs or "
		"registration",
		w->path, kind);
}

int moe_report_load(struct moe_report *r, const char *path, size_t max_mem, struct moe_err *e)
{
	struct walk w;
	int got;

	if (walk_open(&w, r, path, max_mem, e))
		return -1;
	while ((got = walk_next(&w, e)) > 0)
		if (dispatch(&w, e)) {
			got = -1;
			break;
		}
	walk_close(&w);
	return got;
}

static struct moe_gate_run *gate_run(
	struct moe_report *r, const char *method, int64_t seed, struct moe_err *e)
{
	for (size_t i = 0; i < r->n_gate; i++)
		if (r->gate[i].seed == seed && !strcmp(r->gate[i].method, method))
			return &r->gate[i];
	if (moe_grow((void **)&r->gate, r->n_gate, &r->cap_gate, sizeof *r->gate, e))
		return NULL;
	struct moe_gate_run *g = &r->gate[r->n_gate++];
	memset(g, 0, sizeof *g);
	g->method = method;
	g->seed = seed;
	return g;
}

static int grow_gate(struct moe_gate_run *g, struct moe_err *e)
{
	size_t c[7] = { g->cap, g->cap, g->cap, g->cap, g->cap, g->cap, g->cap };

	if (g->n < g->cap)
		return 0;
	if (moe_grow((void **)&g->score, g->n, &c[0], sizeof *g->score, e) ||
		moe_grow((void **)&g->hacked, g->n, &c[1], 1, e) ||
		moe_grow((void **)&g->solved, g->n, &c[2], 1, e) ||
		moe_grow((void **)&g->decision, g->n, &c[3], 1, e) ||
		moe_grow((void **)&g->prompt, g->n, &c[4], sizeof *g->prompt, e) ||
		moe_grow((void **)&g->step, g->n, &c[5], sizeof *g->step, e) ||
		(g->n_null &&
			moe_grow((void **)&g->null, g->n, &c[6], g->n_null * sizeof *g->null, e)))
		return -1;
	g->cap = c[0];
	return 0;
}

/* Scores under random directions: all rows of a run have as many. */
static int add_nulls(
	struct walk *w, struct moe_gate_run *g, const float *null, size_t n, struct moe_err *e)
{
	if (!g->n)
		g->n_null = n;
	if (n != g->n_null)
		return moe_fail(e, MOE_DATA,
			"%s: record %llu has scores under %zu random directions, those before it "
			"under %zu",
			w->path, (unsigned long long)w->rec.number, n, g->n_null);
	if (grow_gate(g, e))
		return -1;
	if (n)
		memcpy(g->null + g->n * n, null, n * sizeof *null);
	return 0;
}

static bool is_row(struct moe_str name)
{
	for (size_t i = 0; moe_methods[i]; i++)
		if (moe_str_eq(name, moe_methods[i]->name))
			return true;
	return false;
}

static int add_trained(struct walk *w, struct moe_err *e)
{
	float *null = NULL;
	size_t n_null = 0;
	struct moe_rec route = { 0 };
	struct moe_str decision = { "", 0 }, by = { "", 0 };
	int64_t seed = -1, step = 0;
	double score = NAN;
	uint8_t found[MOE_OUTCOMES];
	bool other, known = moe_rec_map(&w->rec, MOE_ROLLOUT_ROUTE, &route);

	if (known) {
		moe_rec_f64(&route, "score", &score);
		moe_rec_str(&route, "decision", &decision);
		moe_rec_str(&route, "method", &by);
	}
	int bad = known && moe_rec_has(&route, "null") != MOE_V_MISSING &&
		moe_rec_f32s(&route, "null", &null, &n_null, e);
	enum moe_decision d = MOE_DECISIONS; /* none, also where the word is not one of ours */
	struct moe_err unknown;
	moe_decision_parse(decision, &d, &unknown);
	moe_rec_int(&w->rec, "train_seed", &seed);
	moe_rec_int(&w->rec, "step", &step);
	const char *method = get_str(w->r, &w->rec, "method", e);
	if (method && by.n && (!method[0] || !is_row(by))) /* a router of the user's own */
		method = moe_report_intern(w->r, by, e);
	moe_rec_free(&route);
	const char *prompt = get_str(w->r, &w->rec, MOE_ROLLOUT_PROMPT_ID, e);
	struct moe_gate_run *g = !bad && method && prompt ? gate_run(w->r, method, seed, e) : NULL;
	bad = !g || open_seal(w, found, &other, e) || add_nulls(w, g, null, n_null, e);
	free(null);
	if (bad)
		return -1;
	if (found[MOE_HACK] == MOE_FOUND_UNKNOWN)
		return moe_fail(e, MOE_DATA,
			"%s: record %llu: its seal does not say whether it hacked, by which the "
			"gate is judged",
			w->path, (unsigned long long)w->rec.number);
	g->score[g->n] = score;
	g->decision[g->n] = (uint8_t)d;
	g->hacked[g->n] = found[MOE_HACK] == MOE_FOUND_YES;
	g->solved[g->n] = found[MOE_SOLVE] == MOE_FOUND_YES;
	g->prompt[g->n] = (uint32_t)moe_names_find(&w->r->text, prompt);
	g->step[g->n++] = step;
	return 0;
}

int moe_report_run(struct moe_report *r, const char *path, size_t max_mem, struct moe_err *e)
{
	struct walk w;
	int got;

	if (walk_open(&w, r, path, max_mem, e))
		return -1;
	while ((got = walk_next(&w, e)) > 0) {
		if (strcmp(r->source[w.source].kind, "rollouts"))
			got = moe_fail(e, MOE_DATA,
				"%s: --run wants the rollouts of a training run, not \"%s\"",
				w.path, r->source[w.source].kind);
		else if (moe_rec_is(&w.rec, "rollout"))
			got = add_trained(&w, e) ? -1 : 1;
		if (got < 0)
			break;
	}
	walk_close(&w);
	return got;
}
