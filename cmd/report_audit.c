/* report_audit.c - the audit as a program: loads the files, makes anew what can be made anew,
 * prints the checks. The checks themselves are lib/stat/audit*.c. */
#include "cmd/report_audit.h"

#include "env/grade.h"
#include "formats/seal.h"
#include "stat/audit.h"
#include "util/rng.h"
#include "formats/rollout.h"

#include <stdlib.h>
#include <string.h>

/* What a seal says is never seen, so the copy is not tainted and moe-train takes it as it takes the
 * original. Decisions are taken out: whoever made them makes them anew, so that what looked at
 * seals decides otherwise. */
int report_flip(int n, char **path)
{
	struct moe_rec rec = { 0 };
	struct moe_err e;
	struct moe_out out;
	int got;

	if (n > 1)
		moe_usage_error("--flip-seals copies one stream");
	struct moe_reader *in = moe_in_open(n ? path[0] : NULL, "rollouts");
	moe_out_stream(&out, "rollouts", MOE_LABELS_NONE, NULL);
	while ((got = moe_reader_next(in, &rec, &e)) > 0) {
		moe_rec_unset(&rec, MOE_ROLLOUT_ROUTE);
		if (moe_seal_flip(&rec, &e) || moe_writer_put(out.w, &rec, &e))
			moe_die(&e);
	}
	if (got < 0 || moe_writer_from_reader(out.w, in, &e))
		moe_die(&e);
	moe_out_finish(&out);
	moe_reader_close(in);
	moe_rec_free(&rec);
	return MOE_OK;
}

int report_prompts(int n, char **path)
{
	struct moe_digests d = { 0 };
	struct moe_rec rec = { 0 };
	struct moe_buf b = { 0 };
	char hex[MOE_SHA256_HEX];
	struct moe_out out;
	struct moe_err e;
	int got;

	for (int i = 0; i < n || i == 0; i++) {
		struct moe_reader *in = moe_in_open(n ? path[i] : NULL, NULL);

		while ((got = moe_reader_next(in, &rec, &e)) > 0)
			if ((moe_rec_is(&rec, "prompt") || moe_rec_is(&rec, "rollout")) &&
				moe_audit_prompt(&d, &rec, &e))
				moe_die(&e);
		if (got < 0)
			moe_die(&e);
		moe_reader_close(in);
	}
	if (!d.n)
		moe_die(&(struct moe_err){ .code = MOE_DATA, .msg = "the input holds no prompts" });
	if (moe_audit_prompts_digest(&d, hex, &e) ||
		moe_buf_addf(&b, &e, "prompts = %s  # %zu prompts\n", hex, d.n))
		moe_die(&e);
	moe_out_text(&out, NULL);
	moe_out_write(&out, b.data, b.len);
	moe_out_finish(&out);
	moe_buf_free(&b);
	moe_rec_free(&rec);
	moe_digests_free(&d);
	return MOE_OK;
}

/* ---- grading anew: seals are compared as bytes, none is opened ---- */

#define BATCH 512

struct regrade {
	struct moe_grader *g;
	struct moe_rec rec[BATCH], env[BATCH];
	struct moe_grade_item item[BATCH];
	struct moe_grade grade[BATCH];
	size_t n;
	/* of all files */
	size_t done, seal, reward, bare, limits;
	char first[192]; /* where the first difference is */
};

static bool same_value(const struct moe_rec *a, const struct moe_rec *b, const char *key)
{
	struct moe_str x = { "", 0 }, y = { "", 0 };

	moe_rec_raw(a, key, &x);
	moe_rec_raw(b, key, &y);
	return x.n == y.n && memcmp(x.p, y.p, x.n) == 0;
}

static void compare(struct regrade *w, size_t i, const char *path)
{
	struct moe_rec anew = { 0 };
	struct moe_str id = { "", 0 };
	struct moe_err e;
	bool seal, reward;

	/* the limits of time and memory decide by chance near them: told apart */
	w->limits += w->grade[i].fault == MOE_GRADE_TIME || w->grade[i].fault == MOE_GRADE_DIED;
	if (moe_rec_copy(&anew, &w->rec[i], &e) || moe_grade_apply(&w->grade[i], &anew, &e))
		moe_die(&e);
	seal = !same_value(&anew, &w->rec[i], MOE_ROLLOUT_SEAL);
	reward = !same_value(&anew, &w->rec[i], MOE_ROLLOUT_REWARD) ||
		!same_value(&anew, &w->rec[i], MOE_ROLLOUT_REWARDS);
	moe_rec_str(&w->rec[i], "id", &id);
	if ((seal || reward) && !w->first[0])
		snprintf(w->first, sizeof(w->first), "%.90s, rollout %.*s", path,
			(int)(id.n < 80 ? id.n : 80), id.p);
	w->seal += seal;
	w->reward += reward;
	w->done++;
	moe_rec_free(&anew);
}

static void grade_batch(struct regrade *w, const char *path)
{
	struct moe_err e;

	if (w->n && moe_grader_run(w->g, w->item, w->n, w->grade, &e))
		moe_die(&e);
	for (size_t i = 0; i < w->n; i++)
		compare(w, i, path);
	w->n = 0;
}

static void add(struct regrade *w, const struct moe_rec *rec, int64_t every, const char *path)
{
	struct moe_rec *to = &w->rec[w->n], *env = &w->env[w->n];
	struct moe_grade_item *item = &w->item[w->n];
	struct moe_str id = { "", 0 };
	struct moe_err e;

	moe_rec_str(rec, "id", &id);
	if (moe_hash64(id.p, id.n) % (uint64_t)every)
		return;
	if (!moe_rec_has(rec, MOE_ROLLOUT_SEAL)) {
		w->bare++;
		return;
	}
	moe_rec_free(env);
	if (moe_rec_copy(to, rec, &e))
		moe_die(&e);
	if (!moe_rec_map(to, "env", env) ||
		(!moe_rec_bin(to, MOE_ROLLOUT_COMPLETION, &item->completion) &&
			!moe_rec_str(to, MOE_ROLLOUT_COMPLETION, &item->completion))) {
		w->bare++;
		return;
	}
	moe_rec_str(to, "id", &id);
	item->env = env;
	item->key = moe_hash64(id.p, id.n);
	if (++w->n == BATCH)
		grade_batch(w, path);
}

static void regrade_file(struct regrade *w, const struct audit_args *o, const char *path)
{
	struct moe_grader_opts g = { .workers = moe_common.threads, .seed = moe_common.seed };
	struct moe_reader *in = moe_in_open(path, NULL);
	struct moe_str tool = { "", 0 };
	struct moe_rec rec = { 0 };
	struct moe_err e;
	int64_t seed;
	int got;

	if (moe_reader_peek_header(in, &e) < 0)
		moe_die(&e);
	if (moe_str_eq(moe_reader_kind(in), "rollouts")) {
		/* a grader that draws numbers draws those of moe-grade's --seed */
		moe_rec_str(moe_reader_header(in), "tool", &tool);
		if (moe_str_eq(tool, "moe-grade") &&
			moe_rec_int(moe_reader_header(in), "seed", &seed))
			g.seed = (uint64_t)seed;
		if (!(w->g = moe_grader_open(o->env, &g, &e)))
			moe_die(&e);
		while ((got = moe_reader_next(in, &rec, &e)) > 0)
			if (moe_rec_is(&rec, "rollout"))
				add(w, &rec, o->every, path);
		if (got < 0)
			moe_die(&e);
		grade_batch(w, path);
		moe_grader_close(w->g);
	}
	moe_rec_free(&rec);
	moe_reader_close(in);
}

static void regrade(struct moe_audit *a, const struct audit_args *o, int n, char **path)
{
	struct regrade *w = calloc(1, sizeof(*w));
	struct moe_err e;
	int rc;

	if (!w)
		moe_die(&(struct moe_err){ .code = MOE_SYSTEM, .msg = "out of memory" });
	for (int i = 0; o->env && i < n; i++)
		regrade_file(w, o, path[i]);
	if (!o->env)
		rc = moe_audit_say(a, &e, "made anew", MOE_CHECK_SKIPPED, "",
			"rollouts were not graded anew: name their environment with -e (of a "
			"grader of your own, run it again)");
	else if (w->seal + w->reward)
		rc = moe_audit_say(a, &e, "made anew", MOE_CHECK_FAILED, "",
			"of %zu rollouts graded anew %zu have another seal and %zu another reward, "
			"first %s: seals or rewards were edited, or another environment graded "
			"(%zu ran into a limit of time or memory, near which grades can differ)",
			w->done, w->seal, w->reward, w->first, w->limits);
	else if (!w->done)
		rc = moe_audit_say(a, &e, "made anew", MOE_CHECK_SKIPPED, "",
			"no graded rollouts of an environment were given");
	else
		rc = moe_audit_say(a, &e, "made anew", MOE_CHECK_HELD,
			"findings or rewards that were edited after grading",
			"%zu rollouts of the evaluation got the same seals and rewards when they "
			"were graded anew%s",
			w->done, o->every > 1 ? " (a sample, --every)" : "");
	if (rc)
		moe_die(&e);
	for (size_t i = 0; i < BATCH; i++) {
		moe_rec_free(&w->rec[i]);
		moe_rec_free(&w->env[i]);
	}
	free(w);
}

static void reroute(struct moe_audit *a, const struct audit_args *o)
{
	struct moe_model m = { 0 };
	struct moe_engine g = { .m = &m };
	struct moe_err e;

	if (o->base &&
		(moe_model_load(&m, o->base, &e) ||
			!(g.pool = moe_pool_new(moe_common.threads, &e))))
		moe_die(&e);
	if (moe_audit_routes(a, o->base ? &g : NULL, o->every, moe_common.max_mem, &e))
		moe_die(&e);
	moe_pool_free(g.pool);
	moe_model_free(&m);
}

int report_audit(const struct audit_args *o, int n, char **path)
{
	struct moe_audit a = { .uat = o->uat.digest[0] ? &o->uat : NULL };
	struct moe_buf b = { 0 };
	struct moe_err e;
	struct moe_out out;
	bool passed;

	for (int i = 0; i < n; i++)
		if (moe_audit_load(&a, path[i], moe_common.max_mem, &e))
			moe_die(&e);
	for (size_t i = 0; i < o->runs->n; i++)
		if (moe_audit_run(&a, o->runs->v[i], moe_common.max_mem, &e))
			moe_die(&e);
	for (size_t i = 0; i < o->flipped.n; i++)
		if (moe_audit_flipped(&a, o->flipped.v[i], moe_common.max_mem, &e))
			moe_die(&e);
	if (moe_audit_arms(&a, moe_common.max_mem, &e))
		moe_die(&e);
	reroute(&a, o);
	regrade(&a, o, n, path);
	if (moe_audit_check(&a, &passed, &e) || moe_audit_text(&a, &b, &e))
		moe_die(&e);
	moe_out_text(&out, NULL);
	moe_out_write(&out, b.data, b.len);
	moe_out_finish(&out);
	moe_buf_free(&b);
	moe_audit_free(&a);
	return passed ? MOE_OK : MOE_NEGATIVE;
}
