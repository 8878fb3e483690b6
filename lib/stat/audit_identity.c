/* audit_identity.c - the audit's checks of who is who: files that were edited, rollouts that others
 * sampled or routed, pairs taken from live rollouts, one seed counted twice, and the plan. It reads
 * no file. */
#include "stat/audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SAY(group, state, excludes, ...) moe_audit_say(a, e, group, state, excludes, __VA_ARGS__)
#define HELD                             MOE_CHECK_HELD
#define FAILED                           MOE_CHECK_FAILED
#define SKIPPED                          MOE_CHECK_SKIPPED

/* ---- files ---- */

/* Is every file as the program that wrote it left it? A recording may have passed a filter of the
 * user's own last: that is told, and no failure by itself. */
static int check_files(struct moe_audit *a, struct moe_err *e)
{
	size_t edited = 0, runs = 0, unbound = 0;
	const char *example = "", *run = "", *none = "";

	for (size_t i = 0; i < a->n_file; i++) {
		const struct moe_audit_file *f = &a->file[i];
		if (f->edited && f->run) {
			runs++;
			run = f->path;
		} else if (f->edited) {
			edited++;
			example = f->path;
		} else if (f->unbound) {
			unbound++;
			none = f->path;
		}
	}
	if (edited)
		return SAY("identity", FAILED, "",
			"%zu of %zu files were edited as text, filtered, or given other inputs or "
			"labels after they were written, for example %s",
			edited, a->n_file, example);
	if (runs &&
		SAY("identity", SKIPPED, "",
			"%zu recorded runs were edited or filtered after the program named in "
			"their header wrote them, for example %s",
			runs, run))
		return -1;
	if (unbound)
		return SAY("identity", SKIPPED, "",
			"%zu of %zu files have no `bound' in their end (an older version, or "
			"another program, wrote them), for example %s",
			unbound, a->n_file, none);
	return runs
		? 0
		: SAY("identity", HELD,
			  "records, inputs or labels changed with moe-cat --from-json, jq or sed",
			  "none of the %zu files was edited after it was written (`bound' of their "
			  "ends)",
			  a->n_file);
}

/* ---- who sampled and routed what trained ---- */

const struct moe_audit_arm *moe_audit_trained_by(
	const struct moe_audit *a, const struct moe_audit_run *r)
{
	for (size_t i = 0; i < a->n_arm; i++)
		if (r->digest[0] && a->arm[i].step && !strcmp(a->arm[i].arm, "on") &&
			moe_digests_find(&a->arm[i].from, r->digest) != SIZE_MAX)
			return &a->arm[i];
	return NULL;
}

static int check_trained(struct moe_audit *a, struct moe_err *e)
{
	size_t n = 0, unknown = 0;
	int64_t rollouts = 0, earlier = 0;

	for (size_t i = 0; i < a->n_arm; i++) {
		const struct moe_audit_arm *x = &a->arm[i];
		const struct moe_audit_trained *t = &x->trained;
		if (!x->step || strcmp(x->arm, "on") != 0)
			continue;
		n++;
		unknown += !t->known;
		rollouts += t->rollouts;
		earlier += t->by_earlier;
		if (t->by_other + t->by_base + t->by_unknown + t->repeated)
			return SAY("identity", FAILED, "",
				"%s: of %" PRId64 " rollouts that trained it, %" PRId64
				" were sampled by another adapter, %" PRId64
				" by the plain base, %" PRId64 " by nobody knows whom, and %" PRId64
				" stood there twice",
				x->path, t->rollouts, t->by_other, t->by_base, t->by_unknown,
				t->repeated);
	}
	if (!n)
		return 0;
	if (unknown)
		return SAY("identity", SKIPPED, "",
			"%zu of %zu trained adapters do not say who sampled and routed the "
			"rollouts that trained them (an older moe-train)",
			unknown, n);
	if (earlier)
		return SAY("identity", SKIPPED, "",
			"%" PRId64 " of %" PRId64
			" rollouts were sampled by the adapter as it was several steps before they "
			"trained it: off policy, by plan or since --follow was forgotten",
			earlier, rollouts);
	return SAY("identity", HELD,
		"rollouts of another seed, method or base in the training of an adapter",
		"%zu trained adapter%s: all %" PRId64
		" rollouts were sampled by the adapter that they trained, or by it one step before",
		n, n == 1 ? "" : "s", rollouts);
}

/* The recording that is shown has as many rollouts, routed by the same, as trained the adapter. */
static int check_recorded(struct moe_audit *a, struct moe_err *e)
{
	size_t n = 0;
	const char *routes = "";

	for (size_t i = 0; i < a->n_run; i++) {
		const struct moe_audit_run *r = &a->run[i];
		const struct moe_audit_arm *x = moe_audit_trained_by(a, r);
		struct moe_buf b = { 0 };
		bool same;
		int rc = 0;

		if (!x || !x->trained.known)
			continue;
		n++;
		/* routes are compared as text: one name is all that an honest run has */
		for (size_t k = 0; !rc && k < r->router.n && k < 8; k++)
			rc = moe_buf_addf(&b, e, "%s%s %" PRId64, k ? ", " : "",
				r->router.v[k][0] ? r->router.v[k] : "unnamed", r->routed[k]);
		same = !rc && x->trained.rollouts == r->rollouts &&
			(r->router.n != 1 ||
				!strcmp(x->trained.routes,
					rc                            ? ""
						: moe_buf_cstr(&b, e) ? (char *)b.data
								      : ""));
		if (!rc && !same)
			rc = SAY("identity", FAILED, "",
				"%s was trained on %" PRId64 " rollouts (routed by %s); %s holds "
				"%" PRId64 " (%.100s)",
				x->path, x->trained.rollouts, x->trained.routes, r->path,
				r->rollouts, b.len ? (const char *)b.data : "");
		moe_buf_free(&b);
		if (rc || !same)
			return rc;
		routes = x->trained.routes;
	}
	return n ? SAY("identity", HELD,
			   "a recording that is shown in place of the one that trained",
			   "%zu recorded run%s as many rollouts, by the same routers (%s), as the "
			   "adapter trained on",
			   n, n == 1 ? " holds" : "s hold", routes)
		 : 0;
}

/* ---- pairs from live rollouts ---- */

static int by_value(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return (a > b) - (a < b);
}

/* A model that solves a short task often writes what the pair's author wrote: in the embedded
 * environment a few of 96 completions met so in one run. Pairs from rollouts meet all, or half of
 * all where only the hacks are from there. */
#define PAIRS_BY_CHANCE 0.25

static int check_pairs(struct moe_audit *a, struct moe_err *e)
{
	size_t most = 0;
	const char *path = "";

	if (!a->pair_text.n || !a->n_run)
		return 0;
	for (size_t k = 0; k < a->n_run; k++) {
		const struct moe_audit_run *r = &a->run[k];
		size_t n = 0;

		qsort(r->said, r->n_said, sizeof *r->said, by_value);
		for (size_t i = 0; i < a->pair_text.n; i++)
			n += r->n_said &&
				bsearch(&a->pair_text.v[i], r->said, r->n_said, sizeof *r->said,
					by_value) != NULL;
		path = n >= most ? r->path : path;
		most = n > most ? n : most;
	}
	if ((double)most > PAIRS_BY_CHANCE * (double)a->pair_text.n)
		return SAY("identity", FAILED, "",
			"%zu of %zu completions of the pairs stand in %s below the same prompt: "
			"pairs were taken from live rollouts",
			most, a->pair_text.n, path);
	return SAY("identity", HELD, "pairs that were picked out of a recorded run",
		"at most %zu of %zu completions of the pairs stand below their prompt in a "
		"recorded run (up to %g %% may by chance, where tasks are short)",
		most, a->pair_text.n, 100 * PAIRS_BY_CHANCE);
}

/* ---- one seed counted twice ---- */

static int by_key(const void *x, const void *y)
{
	const struct moe_audit_cell *a = x, *b = y;

	return a->key != b->key ? (a->key > b->key) - (a->key < b->key)
				: (a->text > b->text) - (a->text < b->text);
}

/* Share of common cells in which both wrote the same; -1 without common cells. Both are sorted. */
static double share_equal(
	const struct moe_audit_policy *x, const struct moe_audit_policy *y, size_t *common)
{
	size_t same = 0;

	*common = 0;
	for (size_t i = 0, k = 0; i < x->n && k < y->n;) {
		if (x->cell[i].key < y->cell[k].key) {
			i++;
		} else if (x->cell[i].key > y->cell[k].key) {
			k++;
		} else {
			(*common)++;
			same += x->cell[i++].text == y->cell[k++].text;
		}
	}
	return *common ? (double)same / (double)*common : -1;
}

#define SEEDS_LEAST 20    /* cells in common from which equality says something */
#define SEEDS_SAME  0.999 /* equal in so many of them: the same run under two names */

static int check_seeds(struct moe_audit *a, struct moe_err *e)
{
	double most = 0, share;
	size_t n = 0, common;

	for (size_t i = 0; i < a->n_policy; i++)
		qsort(a->policy[i].cell, a->policy[i].n, sizeof *a->policy[i].cell, by_key);
	for (size_t i = 0; i < a->n_policy; i++)
		for (size_t k = 0; k < i; k++) {
			const struct moe_audit_policy *x = &a->policy[k], *y = &a->policy[i];
			if (strcmp(x->method, y->method) != 0 || strcmp(x->arm, y->arm) != 0 ||
				x->seed == y->seed || strcmp(x->arm, "on") != 0)
				continue;
			share = share_equal(x, y, &common);
			if (x->digest[0] && !strcmp(x->digest, y->digest))
				return SAY("identity", FAILED, "",
					"%s, seeds %" PRId64 " and %" PRId64
					" were sampled by one and the same adapter (%.16s): one "
					"seed is counted twice",
					x->method, x->seed, y->seed, x->digest);
			if (common >= SEEDS_LEAST && share >= SEEDS_SAME)
				return SAY("identity", FAILED, "",
					"%s, seeds %" PRId64 " and %" PRId64
					": %.1f %% of %zu completions are identical: one seed is "
					"counted twice",
					x->method, x->seed, y->seed, 100 * share, common);
			most = share > most ? share : most;
			n++;
		}
	return n ? SAY("identity", HELD, "one training seed under two numbers",
			   "of %zu pairs of seeds no two wrote the same: at most %.1f %% of their "
			   "completions are identical",
			   n, 100 * most)
		 : 0;
}

/* The same recorded rollouts twice: flipped copies of one run are meant to be so. */
static int check_runs(struct moe_audit *a, struct moe_err *e)
{
	for (size_t i = 0; i < a->n_run; i++)
		for (size_t k = 0; k < i; k++) {
			const struct moe_audit_arm *x = moe_audit_trained_by(a, &a->run[k]),
						   *y = moe_audit_trained_by(a, &a->run[i]);
			if (x && y && a->run[i].text == a->run[k].text && a->run[i].rollouts &&
				x->seed != y->seed)
				return SAY("identity", FAILED, "",
					"%s and %s hold the same completions, and trained adapters "
					"of two seeds (%" PRId64 ", %" PRId64 ")",
					a->run[k].path, a->run[i].path, x->seed, y->seed);
		}
	return 0;
}

/* An outcome twice, or one that some arm lacks. */
static int check_cells(struct moe_audit *a, struct moe_err *e)
{
	size_t most = 0;

	for (size_t i = 0; i < a->n_policy; i++) {
		const struct moe_audit_policy *p = &a->policy[i];
		for (size_t k = 1; k < p->n; k++)
			if (p->cell[k].key == p->cell[k - 1].key)
				return SAY("identity", FAILED, "",
					"%s: arm %s of %s, seed %" PRId64
					" has an outcome of the same prompt and sample twice",
					p->path, p->arm, p->method, p->seed);
		most = p->n > most ? p->n : most;
	}
	for (size_t i = 0; i < a->n_policy; i++)
		if (a->policy[i].n < most)
			return SAY("identity", FAILED, "",
				"%s: arm %s of %s, seed %" PRId64 " has %zu outcomes where others "
				"have %zu: some were left out",
				a->policy[i].path, a->policy[i].arm, a->policy[i].method,
				a->policy[i].seed, a->policy[i].n, most);
	return a->n_policy
		? SAY("identity", HELD, "outcomes counted twice, or left out of one arm",
			  "each of the %zu arms has all %zu outcomes once", a->n_policy, most)
		: 0;
}

int moe_audit_identity(struct moe_audit *a, struct moe_err *e)
{
	return check_files(a, e) || check_trained(a, e) || check_recorded(a, e) ||
			check_pairs(a, e) || check_seeds(a, e) || check_runs(a, e) ||
			check_cells(a, e)
		? -1
		: 0;
}
