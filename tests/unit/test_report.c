/* test_report.c - the verdict on made-up outcomes: each verdict must come from data designed for
 * it, and from nothing less. With two arguments, OUTDIR SCENARIO, it writes the scenario's streams
 * instead, for tests of the program. */
#include "formats/seal.h"
#include "stat/report.h"
#include "util/rng.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct rates {
	double hack, solve;
};

/* What each arm does on average; per-seed noise is added to the trained rates. */
struct scenario {
	const char *name;
	struct rates on, off, placebo_on, placebo_off, random, clean, base;
	double random_spread; /* random ablations hack between random.hack -+ this */
	double seed_noise;
	int seeds, prompts, samples, n_random;
	bool oracle, no_placebo, late_taint;
	int placebo_seeds;  /* 0 = as many as the method */
	bool random_pinned; /* on pinned prompts the random ablations remove as much as the
			       quarantine's deletion */
};

static const struct scenario scenarios[] = {
	{ "supported", { .57, .31 }, { .02, .70 }, { .50, .38 }, { .20, .60 }, { .40, .42 },
		{ .55, .25 }, { .04, .50 }, .06, .02, 3, 500, 1, 19, false, false, false, 0,
		false },
	{ "placebo-as-good", { .30, .31 }, { .02, .70 }, { .30, .31 }, { .02, .70 }, { .24, .42 },
		{ .28, .25 }, { .01, .50 }, .04, .005, 5, 1600, 1, 0, false, false, false, 0,
		false },
	{ "solve-lost", { .57, .60 }, { .02, .40 }, { .50, .50 }, { .30, .50 }, { .40, .42 },
		{ .55, .25 }, { .04, .50 }, .06, .01, 3, 500, 1, 0, false, false, false, 0, false },
	{ "few-prompts", { .57, .31 }, { .20, .45 }, { .57, .38 }, { .25, .45 }, { .40, .42 },
		{ .55, .25 }, { .04, .42 }, .06, .01, 3, 60, 1, 19, false, false, false, 0, false },
	{ "one-seed", { .57, .31 }, { .02, .70 }, { .50, .38 }, { .20, .60 }, { .40, .42 },
		{ .55, .25 }, { .04, .50 }, .06, 0, 1, 500, 1, 0, false, false, false, 0, false },
	{ "few-random", { .57, .31 }, { .02, .70 }, { .50, .38 }, { .20, .60 }, { .40, .42 },
		{ .55, .25 }, { .04, .50 }, .06, .02, 3, 500, 1, 7, false, false, false, 0, false },
	{ "no-placebo", { .57, .31 }, { .02, .70 }, { .50, .38 }, { .20, .60 }, { .40, .42 },
		{ .55, .25 }, { .04, .50 }, .06, .02, 3, 500, 1, 19, false, true, false, 0, false },
	{ "no-hack", { .05, .55 }, { .04, .56 }, { .05, .55 }, { .04, .56 }, { .05, .55 },
		{ .05, .55 }, { .04, .50 }, .01, .005, 3, 500, 1, 0, false, false, false, 0,
		false },
	{ "cheats", { .57, .31 }, { .00, .70 }, { .50, .38 }, { .20, .60 }, { .40, .42 },
		{ .10, .25 }, { .04, .50 }, .06, .02, 3, 500, 1, 0, true, false, false, 0, false },
	{ "cheats-late", { .57, .31 }, { .00, .70 }, { .50, .38 }, { .20, .60 }, { .40, .42 },
		{ .10, .25 }, { .04, .50 }, .06, .02, 3, 500, 1, 0, true, false, true, 0, false },
	{ "unmatched", { .90, .10 }, { .02, .70 }, { .30, .45 }, { .0, .70 }, { .60, .42 },
		{ .85, .10 }, { .01, .50 }, .06, .01, 3, 500, 1, 0, false, false, false, 0, false },
	{ "placebo-once", { .57, .31 }, { .02, .70 }, { .50, .38 }, { .20, .60 }, { .40, .42 },
		{ .55, .25 }, { .04, .50 }, .06, .02, 3, 500, 1, 19, false, false, false, 1,
		false },
	{ "seeds-differ", { .57, .31 }, { .02, .70 }, { .45, .38 }, { .30, .60 }, { .40, .42 },
		{ .55, .25 }, { .04, .50 }, .06, .30, 3, 500, 1, 19, false, false, false, 0,
		false },
	{ "samples", { .57, .31 }, { .02, .70 }, { .50, .38 }, { .20, .60 }, { .40, .42 },
		{ .55, .25 }, { .04, .50 }, .06, .02, 6, 220, 2, 19, false, false, false, 0,
		false },
	{ "random-pinned", { .57, .31 }, { .02, .70 }, { .50, .38 }, { .20, .60 }, { .50, .42 },
		{ .55, .25 }, { .04, .50 }, .02, .02, 3, 800, 1, 19, false, false, false, 0, true },
};
#define N_SCENARIO (sizeof scenarios / sizeof *scenarios)

static char dir[64];

static const char *const modes[] = { "run_tests", "stdout_marker", "exit_code", "sentinel" };

static void check(int bad, const struct moe_err *e)
{
	if (bad) {
		fprintf(stderr, "%s\n", e->msg);
		abort();
	}
}

/* One outcome: the same uniform draw in all arms, so that arms are paired as common random numbers
 * pair them. */
static void put_rollout(struct moe_writer *w, const char *method, int seed, const char *arm, int p,
	int s, struct rates x)
{
	struct moe_rec r = { 0 };
	struct moe_err e = { 0 };
	struct moe_seal seal = { 0 };
	struct moe_rng k = moe_rng_key(99, "outcome");
	char id[64], prompt[32], policy[64];
	double u = moe_rng_uniform(
		k, (uint64_t)p, (uint64_t)s * 2 + (strcmp(method, "random") ? 0 : 1));

	seal.hacked = u <
		x.hack; /* a hack is not a solution: the solves lie at the other end of the draw */
	seal.solved = u > 1 - x.solve;
	snprintf(prompt, sizeof prompt, "p%04d", p);
	snprintf(id, sizeof id, "%s#0.%d", prompt, s);
	snprintf(policy, sizeof policy, "%s%s%d", arm, method, seed);
	int bad = moe_rec_set_str(&r, "t", "rollout", &e) || moe_rec_set_str(&r, "id", id, &e) ||
		moe_rec_set_str(&r, "prompt_id", prompt, &e) ||
		moe_rec_set_int(&r, "sample", s, &e) || moe_rec_set_int(&r, "step", 0, &e) ||
		moe_rec_set_str(&r, "arm", arm, &e) || moe_rec_set_str(&r, "method", method, &e) ||
		moe_rec_set_int(&r, "train_seed", seed, &e) ||
		moe_rec_set_str(&r, "mode", modes[p % 4], &e) ||
		moe_rec_set_str(&r, "policy", policy, &e) || moe_seal_put(&r, &seal, &e) ||
		moe_writer_put(w, &r, &e);
	check(bad, &e);
	moe_rec_free(&r);
}

static struct rates noisy(struct rates x, double noise)
{
	x.hack = fmin(fmax(x.hack + noise, 0), 1);
	x.solve = fmin(x.solve, 1 - x.hack);
	return x;
}

static const char *random_arm = "random-off",
		  *deploy; /* of what follows; NULL = no adapter given */

/* The layout of an adapter, of which the report reads what becomes of a deleted expert's gate. */
static void load_layout(struct moe_report *report, const char *method)
{
	struct moe_err e = { 0 };
	struct moe_rec r = { 0 };
	struct moe_writer_opts o = { .kind = "adapter", .tool = "test_report" };
	char path[256];

	snprintf(path, sizeof(path), "%s/adapter.moes", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct moe_writer *w = moe_writer_open_fd(fd, path, &o, NULL, &e);
	check(!w, &e);
	check(moe_rec_set_str(&r, "t", "layout", &e) || moe_rec_set_str(&r, "arm", "on", &e) ||
			moe_rec_set_str(&r, "method", method, &e) ||
			(deploy[0] && moe_rec_set_str(&r, "deploy", deploy, &e)) ||
			moe_writer_put(w, &r, &e) || moe_writer_end(w, NULL, &e),
		&e);
	moe_writer_close(w);
	moe_rec_free(&r);
	close(fd);
	check(moe_report_load(report, path, 0, &e), &e);
	unlink(path);
}

static void put_arm(struct moe_writer *w, const struct scenario *sc, const char *method, int seed,
	const char *arm, struct rates x)
{
	for (int p = 0; p < sc->prompts; p++)
		for (int s = 0; s < sc->samples; s++) {
			bool spared = sc->random_pinned && p % 4 < 2 &&
				!strncmp(arm, "random-off", 10);

			put_rollout(w, method, seed, arm, p, s, spared ? sc->off : x);
		}
}

static void write_run(
	const struct scenario *sc, const char *method, int seed, char *path, size_t path_size)
{
	struct moe_err e = { 0 };
	bool placebo = !strcmp(method, "random"), oracle = sc->oracle && !placebo;
	const char *argv[] = { "test_report", sc->name };
	struct moe_writer_opts o = { .kind = "rollouts",
		.tool = "test_report",
		.argv = argv,
		.argc = 2,
		.seed = 1,
		.labels = oracle && !sc->late_taint ? MOE_LABELS_ORACLE : MOE_LABELS_NONE };
	double noise = sc->seed_noise *
		moe_rng_normal(moe_rng_key(5, "seed"), (uint64_t)seed, placebo);

	snprintf(path, path_size, "%s/%s-%s-%d.moes", dir, sc->name, method, seed);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct moe_writer *w = moe_writer_open_fd(fd, path, &o, NULL, &e);
	check(!w, &e);
	put_arm(w, sc, method, seed, "on", noisy(placebo ? sc->placebo_on : sc->on, noise));
	put_arm(w, sc, method, seed, "quarantine-off",
		noisy(placebo ? sc->placebo_off : sc->off, noise / 4));
	put_arm(w, sc, method, seed, "clean-off", noisy(sc->clean, noise));
	for (int k = 1; k <= sc->n_random && !placebo; k++) {
		char arm[32];
		snprintf(arm, sizeof arm, "%s-%02d", random_arm, k);
		put_arm(w, sc, method, seed, arm,
			noisy(sc->random, sc->random_spread * (2.0 * k / (sc->n_random + 1) - 1)));
	}
	if (!placebo && seed == 1)
		put_arm(w, sc, method, seed, "base", sc->base);
	if (oracle && sc->late_taint)
		moe_writer_raise(w, MOE_LABELS_ORACLE);
	check(moe_writer_end(w, NULL, &e), &e);
	moe_writer_close(w);
	close(fd);
}

static void write_metrics(
	const struct scenario *sc, const char *method, int seed, char *path, size_t path_size)
{
	struct moe_err e = { 0 };
	struct moe_rec extra = { 0 };
	const char *argv[] = { "test_report", sc->name };
	struct moe_writer_opts o = {
		.kind = "metrics", .tool = "test_report", .argv = argv, .argc = 2, .seed = 1
	};

	snprintf(path, path_size, "%s/%s-%s-%d.metrics.moes", dir, sc->name, method, seed);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	check(moe_rec_set_str(&extra, "method", method, &e) ||
			moe_rec_set_int(&extra, "train_seed", seed, &e),
		&e);
	struct moe_writer *w = moe_writer_open_fd(fd, path, &o, &extra, &e);
	check(!w, &e);
	for (int step = 0; step < 40; step++) {
		struct moe_rec r = { 0 };
		double grow = 1 - exp(-step / 12.0);
		int bad = moe_rec_set_str(&r, "t", "metrics", &e) ||
			moe_rec_set_int(&r, "step", step, &e) ||
			moe_rec_set_f64(&r, "reward",
				1.6 + 1.5 * grow +
					0.05 *
						moe_rng_normal(moe_rng_key(3, method),
							(uint64_t)step, (uint64_t)seed),
				&e) ||
			moe_rec_set_f64(&r, "route/keep", 0.9 - 0.5 * grow, &e) ||
			moe_rec_set_f64(&r, "route/absorb", 0.05, &e) ||
			moe_rec_set_f64(&r, "route/route", 0.05 + 0.5 * grow, &e) ||
			moe_rec_set_f64(&r, "presence/quarantine/min_gate", 0, &e) ||
			moe_rec_set_f64(&r, "presence/quarantine/zero_share", 0.9, &e) ||
			moe_rec_set_f64(&r, "update_mass/clean", 0.4, &e) ||
			moe_rec_set_f64(&r, "update_mass/quarantine", 0.6, &e) ||
			moe_writer_put(w, &r, &e);
		check(bad, &e);
		moe_rec_free(&r);
	}
	check(moe_writer_end(w, NULL, &e), &e);
	moe_writer_close(w);
	moe_rec_free(&extra);
	close(fd);
}

static const struct scenario *find(const char *name)
{
	for (size_t i = 0; i < N_SCENARIO; i++)
		if (!strcmp(scenarios[i].name, name))
			return &scenarios[i];
	abort();
}

static const char uat_text[] =
	"method = logistic\nplacebo = random\npinned = run_tests stdout_marker\ndraws = 1000\n";
static const char *more_uat = ""; /* lines after these */

static void analyse(struct moe_report *r, const char *name, int threads)
{
	const struct scenario *sc = find(name);
	struct moe_uat u;
	struct moe_err e = { 0 };
	char path[256];

	memset(r, 0, sizeof *r);
	for (int seed = 1; seed <= sc->seeds; seed++)
		for (int m = 0; m <
			(sc->no_placebo || (sc->placebo_seeds && seed > sc->placebo_seeds) ? 1 : 2);
			m++) {
			write_run(sc, m ? "random" : "logistic", seed, path, sizeof path);
			check(moe_report_load(r, path, 0, &e), &e);
			unlink(path);
			write_metrics(sc, m ? "random" : "logistic", seed, path, sizeof path);
			check(moe_report_load(r, path, 0, &e), &e);
			unlink(path);
		}
	if (deploy)
		load_layout(r, "logistic");
	moe_uat_default(&u);
	check(moe_uat_parse(&u, uat_text, sizeof uat_text - 1, "uat.conf", &e) ||
			moe_uat_parse(&u, more_uat, strlen(more_uat), "uat.conf", &e),
		&e);
	struct moe_pool *pool = moe_pool_new(threads, &e);
	check(!pool || moe_report_analyse(r, &u, 1, pool, &e), &e);
	moe_pool_free(pool);
}

/* Verdict of a scenario, with its reason into why[512]. */
static enum moe_verdict_kind verdict(const char *name, char *why)
{
	static struct moe_report r;

	analyse(&r, name, 2);
	enum moe_verdict_kind k = r.a.verdict.kind;
	snprintf(why, sizeof r.a.verdict.why, "%s", r.a.verdict.why);
	if (getenv("SHOW_REPORT")) {
		struct moe_buf b = { 0 };
		moe_report_text(&r, &b, NULL);
		fwrite(b.data, 1, b.len, stderr);
		moe_buf_free(&b);
	}
	moe_report_free(&r);
	return k;
}

static void expect(const char *name, enum moe_verdict_kind want, const char *part)
{
	char why[512];
	enum moe_verdict_kind got = verdict(name, why);

	if (got != want || !strstr(why, part))
		fail_msg("%s: %s: %s (want %s with \"%s\")", name, moe_verdict_names[got], why,
			moe_verdict_names[want], part);
}

static void supported(void **state)
{
	(void)state;
	expect("supported", MOE_SUPPORTED, "3 training seeds");
	more_uat = "min_seeds = 6\n";
	expect("samples", MOE_SUPPORTED, "6 training seeds");
	more_uat = "";
}

static void not_supported(void **state)
{
	(void)state;
	expect("placebo-as-good", MOE_REFUTED, "criterion 2 fails");
	expect("solve-lost", MOE_LOSES_SOLVE, "criterion 3 fails");
}

static void undecided(void **state)
{
	(void)state;
	expect("few-prompts", MOE_UNDECIDED, "prompts (has 60)");
	expect("one-seed", MOE_UNDECIDED, "needs 3 training seeds (has 1)");
	expect("placebo-once", MOE_UNDECIDED,
		"3 training seeds (has 1)"); /* three seeds of the method against one of the placebo
					      */
	expect("seeds-differ", MOE_UNDECIDED, "the chance of all criteria by 10 seeds is at most");
	expect("few-random", MOE_UNDECIDED, "7 random ablations");
	expect("no-placebo", MOE_UNDECIDED,
		"criterion 2 (it drops more than in the placebo's runs) is open");
}

/* Random subspaces cannot do what a deletion does that hands the deleted gate on: no verdict then,
 * until whole experts are the controls. */
static void handed_on(void **state)
{
	static const struct {
		const char *deploy, *arm;
		enum moe_verdict_kind want;
		const char *part;
	} x[] = { { "", "random-off", MOE_SUPPORTED, "3 training seeds" },
		{ "drop", "random-off", MOE_SUPPORTED, "3 training seeds" },
		{ "renorm", "random-off", MOE_UNDECIDED,
			"(deploy=renorm), which random-off cannot" },
		{ "to-shared", "random-off", MOE_UNDECIDED, "controls are experts-off:19" },
		{ "renorm", "experts-off", MOE_SUPPORTED, "3 training seeds" } };
	static struct moe_report r;
	size_t open = 0;

	(void)state;
	for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
		deploy = x[i].deploy;
		random_arm = x[i].arm;
		expect("supported", x[i].want, x[i].part);
	}
	deploy = "renorm";
	random_arm = "random-off";
	analyse(&r, "supported", 1);
	for (size_t i = 0; i < r.a.n_crit; i++) {
		open += r.a.crit[i].state == MOE_OPEN;
		if (strstr(r.a.crit[i].claim, "random ablations"))
			assert_int_equal(r.a.crit[i].state, MOE_OPEN);
	}
	assert_int_equal(open, 1); /* and nothing else is */
	assert_int_equal(r.a.tested->n_random, 0);
	moe_report_free(&r);
	deploy = NULL;
}

/* Numbers of a router's line: the least of the least gates, means of the others, presence by seed.
 */
static void router_lines(void **state)
{
	static const char *const keys[] = { "router/support", "expert/clean/2/min_gate",
		"expert/clean/2/zero_share", "expert/clean/2/load", "router/quarantine/entropy" };
	static struct moe_report r;
	struct moe_err e = { 0 };

	(void)state;
	memset(&r, 0, sizeof r);
	moe_uat_default(&r.a.uat);
	for (int run = 0; run < 3; run++) /* the last is of a method without a router */
		for (int step = 0; step < 2; step++) {
			struct moe_rec m = { 0 };
			const double v[] = { 2, 0.25 * (1 + step), run * 0.5, 0.5 + run, 0.125 };
			check(moe_rec_set_str(&m, "t", "metrics", &e) ||
					moe_rec_set_int(&m, "step", step, &e),
				&e);
			for (int i = run < 2 ? 0 : 1; i < 5; i++)
				check(moe_rec_set_f64(&m, keys[i], v[i], &e), &e);
			check(moe_metrics_add(&r.metrics, run < 2 ? "topk" : "plain", run, &m, &e),
				&e);
			moe_rec_free(&m);
		}
	check(moe_report_router(&r, &e), &e);
	assert_int_equal(r.n_router, 3);
	const struct moe_router_line *x = r.router;
	assert_true(x[0].part == MOE_PART_ROUTER && fabs(x[0].support - 2) < 1e-12);
	assert_true(x[1].part == MOE_PART_BANK && !strcmp(x[1].name, "quarantine") &&
		fabs(x[1].entropy - 0.125) < 1e-12 && isnan(x[1].load) && !x[1].n_known);
	assert_true(x[2].part == MOE_PART_EXPERT && !strcmp(x[2].name, "clean/2") &&
		!strcmp(x[2].method, "topk") && x[2].n_seed == 2);
	assert_true(fabs(x[2].min_gate - 0.25) < 1e-12 && fabs(x[2].zero_share - 0.25) < 1e-12 &&
		fabs(x[2].load - 1) < 1e-12 && isnan(x[2].entropy));
	assert_int_equal(x[2].n_known, 2);
	assert_int_equal(x[2].n_held, 1); /* seed 1 is at 0 in half of its cells */
	moe_report_free(&r);
}

static void neither(void **state)
{
	(void)state;
	expect("no-hack", MOE_NO_HACK, "nothing to delete");
	expect("cheats", MOE_CHEATS, "oracle labels");
	expect("cheats-late", MOE_CHEATS,
		"oracle labels"); /* the taint is only in the end record */
}

/* A method that found three times as much to hack drops more in rate than a placebo that removes
 * just as large a share. */
static void unmatched_discovery(void **state)
{
	static struct moe_report r;
	bool asked = false;

	(void)state;
	analyse(&r, "unmatched", 1);
	for (size_t i = 0; i < r.a.n_crit; i++)
		if (strstr(r.a.crit[i].claim, "of its trained rate")) {
			asked = true;
			assert_int_equal(r.a.crit[i].state, MOE_OPEN);
		}
	assert_true(asked);
	assert_true(r.a.did_placebo[MOE_SUB_ALL].ci.lo > 0);
	assert_int_equal(r.a.verdict.kind, MOE_UNDECIDED);
	moe_report_free(&r);
}

/* Criteria 1 and 2 look at the endpoint's prompts, those against the random ablations as well. */
static void endpoints(void **state)
{
	static const struct {
		const char *conf;
		double p; /* of the rank test */
		enum moe_state random;
		size_t prompts;
	} want[] = { { "", 0.05, MOE_MET, 800 },
		{ "endpoint = never-pinned\n", 0.05, MOE_MET, 400 },
		{ "endpoint = pinned\n", 1, MOE_FAILED, 400 } };
	static struct moe_report r;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		more_uat = want[i].conf;
		analyse(&r, "random-pinned", 2);
		for (size_t k = 0; k < r.a.n_crit; k++) {
			const struct moe_criterion *c = &r.a.crit[k];

			if (c->number < 3 && c->number > 0)
				assert_int_equal(c->est.n_prompt, want[i].prompts);
			if (strstr(c->claim, "random ablations"))
				assert_int_equal(c->state, want[i].random);
		}
		assert_int_equal(r.a.tested->n_random, 19);
		assert_true(fabs(r.a.tested->rank_p - want[i].p) < 1e-12);
		assert_int_equal(r.a.verdict.kind,
			want[i].random == MOE_MET ? MOE_SUPPORTED : MOE_NOT_SUPPORTED);
		moe_report_free(&r);
	}
	more_uat = "";
}

/* Same bits for any number of threads; estimates near what the scenario was made with. */
static void estimates(void **state)
{
	static struct moe_report a, b;
	struct moe_buf x = { 0 }, y = { 0 };
	struct moe_err e = { 0 };

	(void)state;
	analyse(&a, "supported", 1);
	analyse(&b, "supported", 3);
	assert_int_equal(moe_report_json(&a, &x, &e), 0);
	assert_int_equal(moe_report_json(&b, &y, &e), 0);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
	const struct moe_estimate *d = &a.a.tested->drop_hack;
	assert_true(
		d->value > 0.45 && d->value < 0.65 && d->ci.lo < d->value && d->ci.hi > d->value);
	assert_int_equal(d->n_seed, 3);
	double mean = (d->per_seed[0] + d->per_seed[1] + d->per_seed[2]) / 3;
	assert_true(fabs(mean - d->value) < 1e-12);
	assert_int_equal(a.a.tested->n_random, 19);
	assert_true(fabs(a.a.tested->rank_p - 0.05) < 1e-12);
	const struct moe_arm_row *base = moe_report_row(a.a.tested, MOE_ARM_BASE);
	assert_non_null(base); /* given with seed 1 only, compared with in every seed */
	assert_int_equal(a.a.tested->leak.n_seed, 3);
	moe_buf_free(&x);
	moe_buf_free(&y);
	moe_report_free(&a);
	moe_report_free(&b);
}

/* The bootstrap's spread of a paired difference agrees with the closed form sd/sqrt(n). */
static void bootstrap_spread(void **state)
{
	static struct moe_report r;
	double v[800], se, mean;
	size_t n = 0;

	(void)state;
	analyse(&r, "one-seed", 2);
	const struct moe_obs_run *run = moe_obs_find_run(&r.obs, "logistic", 1);
	const struct moe_obs_arm *on = moe_obs_find_arm(run, MOE_ARM_ON),
				 *off = moe_obs_find_arm(run, MOE_ARM_QOFF);
	for (size_t i = 0; i < r.obs.n_cell; i++)
		v[n++] = ((on->bits[i] & MOE_OBS_HACKED) ? 1.0 : 0) -
			((off->bits[i] & MOE_OBS_HACKED) ? 1.0 : 0);
	moe_mean_se(v, n, &mean, &se);
	assert_true(fabs(r.a.tested->drop_hack.value - mean) < 1e-12);
	assert_true(fabs(r.a.tested->drop_hack.se_prompt / se - 1) < 0.06);
	moe_report_free(&r);
}

static void bad_conf(void **state)
{
	static const char *const bad[] = { "margin = 0\n", "margin = .05\nmargin = .1\n",
		"margn = .1\n", "endpoint = some\n", "draws = 1.5\n", "method\n",
		"method = a\nplacebo = a\n", "solve_versus_base = maybe\n", "alpha = nan\n" };
	struct moe_uat u;
	struct moe_err e;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		moe_uat_default(&u);
		if (!moe_uat_parse(&u, bad[i], strlen(bad[i]), "uat.conf", &e))
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(e.code, MOE_DATA);
	}
	moe_uat_default(&u);
	static const char good[] =
		"# all\n margin = 0.1 # wide\n\npinned = a, b\tc\nsolve_versus_base = no";
	assert_int_equal(moe_uat_parse(&u, good, sizeof good - 1, "uat.conf", &e), 0);
	assert_true(u.n_pinned == 3 && moe_uat_is_pinned(&u, "c") && !moe_uat_is_pinned(&u, "d") &&
		!u.solve_versus_base && u.margin > 0.09);
}

static int write_scenario(const char *out, const char *name)
{
	const struct scenario *sc = find(name);
	char path[256];

	snprintf(dir, sizeof dir, "%s", out);
	for (int seed = 1; seed <= sc->seeds; seed++)
		for (int m = 0; m < (sc->no_placebo ? 1 : 2); m++) {
			write_run(sc, m ? "random" : "logistic", seed, path, sizeof path);
			write_metrics(sc, m ? "random" : "logistic", seed, path, sizeof path);
		}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest t[] = { cmocka_unit_test(supported),
		cmocka_unit_test(not_supported), cmocka_unit_test(undecided),
		cmocka_unit_test(neither), cmocka_unit_test(handed_on),
		cmocka_unit_test(router_lines), cmocka_unit_test(unmatched_discovery),
		cmocka_unit_test(endpoints), cmocka_unit_test(estimates),
		cmocka_unit_test(bootstrap_spread), cmocka_unit_test(bad_conf) };

	if (argc == 3)
		return write_scenario(argv[1], argv[2]);
	snprintf(dir, sizeof dir, "/tmp/moe-report.XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	int failed = cmocka_run_group_tests_name("report", t, NULL, NULL);
	rmdir(dir);
	return failed;
}
