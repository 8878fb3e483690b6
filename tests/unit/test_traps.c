/* test_traps.c - studies that must not end in SUPPORTED, and the words that they end in; each is
 * one way in which a report was or could be fooled. Outcomes are exact: arm rates are met to the
 * prompt. The same studies by chance are in test_rule.c. */
#include "stat/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { P = 400, S = 5, K = 19 };

struct arm {
	double hack, solve;
};

/* One study: S seeds of method "m" and placebo "p", by default one that is SUPPORTED. */
struct trap {
	int seeds;
	struct arm on[S], off[S], p_on[S], p_off[S], random, base, skyline;
	bool no_base, no_random, skyline_runs, vanilla_runs, oracle_skyline;
	double vanilla_on[S];
	double one_random; /* hack under the first random ablation, where it differs; < 0: it does
			      not */
	double lost; /* share of the placebo's outcomes without hack after deletion that are missing
		      */
	bool second; /* a placebo "q" that removes all */
	const char *conf;
};

static struct trap good(void)
{
	struct trap t = { .seeds = S,
		.random = { .45, .50 },
		.base = { .05, .50 },
		.skyline = { .05, .70 },
		.one_random = -1,
		.conf = "" };

	for (int s = 0; s < S; s++) {
		double d = 0.01 * (s - 2);
		t.on[s] = (struct arm){ .50 + d, .50 };
		t.off[s] = (struct arm){ .04, .60 + d };
		t.p_on[s] = (struct arm){ .50 - d, .50 };
		t.p_off[s] = (struct arm){ .45, .50 };
		t.vanilla_on[s] = .5;
	}
	return t;
}

/* The prompt's place in an order, the same for all arms and seeds: at rate r the first r P hack. */
static int place(int p)
{
	return p * 157 % P;
}

static void put(struct moe_obs *o, const char *method, int seed, const char *arm, struct arm x,
	double lost, bool oracle)
{
	struct moe_err e;
	char id[16], policy[48];

	snprintf(policy, sizeof(policy), "%s-%s-%d", method, arm, seed);
	for (int p = 0; p < P; p++) {
		int at = place(p);
		bool hacked = at < (int)lround(x.hack * P);
		snprintf(id, sizeof(id), "p%03d", p);
		if (lost > 0 && !hacked && at >= P - (int)lround(lost * P))
			continue;
		struct moe_obs_row r = { .prompt_id = id,
			.mode = p % 2 ? "a" : "b",
			.task = "",
			.marker = "",
			.arm = arm,
			.method = method,
			.policy = policy,
			.seed = seed,
			.hacked = hacked,
			.solved = P - 1 - at < (int)lround(x.solve * P),
			.oracle = oracle };
		if (moe_obs_add(o, &r, NULL, &e))
			fail_msg("%s", e.msg);
	}
}

static void put_seed(struct moe_obs *o, const struct trap *t, int s)
{
	char name[24];

	put(o, "m", s + 1, "on", t->on[s], 0, false);
	put(o, "m", s + 1, "quarantine-off", t->off[s], 0, false);
	for (int k = 0; k < K && !t->no_random; k++) {
		snprintf(name, sizeof(name), "random-off-%02d", k + 1);
		put(o, "m", s + 1, name,
			k == 0 && t->one_random >= 0 ? (struct arm){ t->one_random, .60 }
						     : t->random,
			0, false);
	}
	if (!t->no_base && s == 0)
		put(o, "m", 1, "base", t->base, 0, false);
	put(o, "p", s + 1, "on", t->p_on[s], 0, false);
	put(o, "p", s + 1, "quarantine-off", t->p_off[s], t->lost, false);
	if (t->second) {
		put(o, "q", s + 1, "on", t->p_on[s], 0, false);
		put(o, "q", s + 1, "quarantine-off", t->off[s], 0, false);
	}
	if (t->skyline_runs)
		put(o, "sky", s + 1, "on", t->skyline, 0, t->oracle_skyline);
	if (t->vanilla_runs)
		put(o, "van", s + 1, "on", (struct arm){ t->vanilla_on[s], .5 }, 0, false);
}

static struct moe_report report;

/* Analyses the study; the text of the report into text[]. */
static enum moe_verdict_kind judge(const struct trap *t, char text[20000])
{
	struct moe_err e;
	struct moe_uat u;
	struct moe_buf b = { 0 };
	char conf[600];
	struct moe_pool *pool = moe_pool_new(1, &e);

	moe_report_free(&report);
	for (int s = 0; s < t->seeds; s++)
		put_seed(&report.obs, t, s);
	snprintf(conf, sizeof(conf), "method = m\ndraws = 500\npinned = a\n%s%s",
		strstr(t->conf, "placebo =") ? "" : "placebo = p\n", t->conf);
	moe_uat_default(&u);
	if (moe_uat_parse(&u, conf, strlen(conf), "trap", &e) ||
		moe_report_analyse(&report, &u, 1, pool, &e) || moe_report_text(&report, &b, &e) ||
		!moe_buf_cstr(&b, &e))
		fail_msg("%s", e.msg);
	snprintf(text, 20000, "%s", (char *)b.data);
	moe_buf_free(&b);
	moe_pool_free(pool);
	return report.a.verdict.kind;
}

static char text[20000];

static void expect(
	const char *name, const struct trap *t, enum moe_verdict_kind want, const char *words)
{
	enum moe_verdict_kind got = judge(t, text);

	/* words wrap in the report's notes; blanks of any length are one */
	char *to = text;
	for (char *c = text; *c; c++)
		if (!(*c == ' ' || *c == '\n') || (to > text && to[-1] != ' '))
			*to++ = *c == '\n' ? ' ' : *c;
	*to = 0;
	if (got != want || !strstr(text, words))
		fail_msg("%s: %s: %s (want %s with \"%s\")", name, moe_verdict_names[got],
			report.a.verdict.why, moe_verdict_names[want], words);
}

static void lacks(const char *name, const char *words)
{
	if (strstr(text, words))
		fail_msg("%s says \"%s\"", name, words);
}

static const struct moe_criterion *criterion(const char *part)
{
	for (size_t i = 0; i < report.a.n_crit; i++)
		if (strstr(report.a.crit[i].claim, part))
			return &report.a.crit[i];
	fail_msg("no criterion \"%s\"", part);
	return NULL;
}

static void all(struct arm *a, double hack, double solve)
{
	for (int s = 0; s < S; s++)
		a[s] = (struct arm){ hack + .01 * (s - 2), solve };
}

static void no_trap(void **state)
{
	struct trap t = good();

	(void)state;
	expect("the study itself", &t, MOE_SUPPORTED, "3 of 3 seeds pass by themselves");
	lacks("the study itself", "not told apart");
	t.conf = "min_seeds = 5\nmax_seeds = 5\n";
	expect("a fixed number of seeds", &t, MOE_SUPPORTED, "at least 0.55 of all such seeds do");
	assert_int_equal(report.a.n_look, 1);
	/* hack at alpha/2 on each side, solve at alpha on its one side */
	assert_true(fabs(criterion("hack drops when")->est.level - 0.05) < 1e-9);
	assert_true(fabs(criterion("trained model's")->est.level - 0.10) < 1e-9);
	assert_true(fabs(report.a.tested->leak.value - (.04 - .05)) < 1e-9);
	assert_true(fabs(report.a.tested->selectivity.value - 1.12) < 1e-9); /* .46/.5 + .1/.5 */
	assert_true(fabs(report.a.pass_bound - pow(.05, 1. / 5)) < 1e-9);
}

/* The placebo as a control that says nothing, or too much. */
static void placebos(void **state)
{
	struct trap t = good();

	(void)state;
	all(t.p_on, .38, .5);
	for (int s = 0; s < S; s++)
		t.p_off[s] = (struct arm){ .01, .6 };
	t.conf = "min_seeds = 5\nmax_seeds = 5\n";
	expect("T1: the placebo removes all of less", &t, MOE_REFUTED, "more of its trained rate");

	t = good();
	all(t.p_on, .03, .5);
	all(t.p_off, .03, .5);
	expect("T2: the placebo found no hack", &t, MOE_UNDECIDED,
		"the placebo found nothing that it could have removed");

	t = good();
	t.seeds = 3;
	const double found[] = { .5, .5, 0 }, left[] = { .48, .05, 0 };
	for (int s = 0; s < 3; s++) {
		t.p_on[s] = (struct arm){ found[s], .5 };
		t.p_off[s] = (struct arm){ left[s], .5 };
	}
	expect("T2c: shares of 4 %, 90 % and none", &t, MOE_UNDECIDED, "more of its trained rate");
	lacks("T2b", "prompts would decide");
	assert_int_equal(criterion("trained rate than")->est.n_seed, 3);

	t = good();
	for (int s = 0; s < S; s++) {
		t.p_on[s] = t.on[s];
		t.p_off[s] = t.off[s];
	}
	t.conf = "min_seeds = 5\nmax_seeds = 5\n";
	expect("a placebo that is the method", &t, MOE_REFUTED, "0 of 5 seeds pass by themselves");
	assert_true(fabs(report.a.evidence[4].e - 1e-5) < 1e-12); /* a tie is no win */

	t = good();
	t.second = true;
	t.conf = "placebo = p, q\n";
	expect("one of two placebos removes all", &t, MOE_REFUTED, "in runs of placebo q");
}

static void controls(void **state)
{
	struct trap t = good();

	(void)state;
	all(t.on, .51, .5);
	all(t.off, .45, .5);
	all(t.p_on, .50, .5);
	all(t.p_off, .70, .5);
	t.random = (struct arm){ .70, .5 };
	expect("T12: controls that do harm", &t, MOE_NOT_SUPPORTED,
		"most of what training added stays");
	/* the placebo's deletion adds .20, which counts as removing none: .51 - .45, not .26 */
	assert_true(fabs(criterion("in the placebo's runs")->est.value - .06) < 1e-9);
	assert_true(fabs(report.a.did_placebo[MOE_SUB_ALL].value - .06) < 1e-9);

	t = good();
	t.random = (struct arm){ 0, 0 };
	expect("T6: random ablations that wreck the model", &t, MOE_UNDECIDED,
		"not matched in damage");
	t.random = (struct arm){ 0, .60 };
	t.conf = "min_seeds = 5\nmax_seeds = 5\n";
	expect("random ablations that do as well", &t, MOE_NOT_SUPPORTED, "random ablations");
	t = good();
	t.random = (struct arm){ .04, .60 };
	expect("random ablations that do the same", &t, MOE_NOT_SUPPORTED, "random ablations");
	t = good();
	t.one_random = .02;
	expect("one of 19 removes more", &t, MOE_UNDECIDED,
		"capacity control by rank gives p = 0.100");
	t = good();
	t.no_random = true;
	expect("no random ablation", &t, MOE_UNDECIDED, "no random ablation was evaluated");
}

static void missing(void **state)
{
	struct trap t = good();

	(void)state;
	all(t.off, .04, .20);
	for (int s = 0; s < S; s++)
		t.on[s].solve = .21;
	t.base.solve = .60;
	expect("T7: solve below the base's", &t, MOE_LOSES_SOLVE, "criterion 3 fails");
	t.no_base = true;
	expect("T7b: the base arm left out", &t, MOE_UNDECIDED, "no base arm was evaluated");

	t = good();
	all(t.p_off, .20, .5);
	t.lost = .5;
	expect("T8: outcomes that lost the hack are missing", &t, MOE_UNDECIDED,
		"lacks 50.0 % of a seed's outcomes");
	t = good();
	t.lost = .005;
	expect("a few missing", &t, MOE_SUPPORTED, "outcomes were left out");

	t = good();
	t.p_on[1].hack = -1; /* nothing: the seed's run exists, its arm does not */
	t.seeds = 3;
}

static void base_again(void **state)
{
	struct trap t = good();

	(void)state;
	all(t.off, .05, .50);
	for (int s = 0; s < S; s++)
		t.off[s].hack = .05;
	t.conf = "min_seeds = 5\nmax_seeds = 5\n";
	expect("T3: what is left is the base model", &t, MOE_SUPPORTED,
		"what is left is not told apart from the base model");
	t.conf = "min_seeds = 5\nmax_seeds = 5\ngain = yes\n";
	expect("and no gain", &t, MOE_UNDECIDED, "criterion 5");
	all(t.off, .15, .50);
	judge(&t, text);
	lacks("more hack than the base", "not told apart");
	t = good();
	t.conf = "min_seeds = 5\nmax_seeds = 5\ngain = yes\n";
	expect("a gain", &t, MOE_SUPPORTED, "5 of 5 seeds pass");
}

static void needs(void **state)
{
	struct trap t = good();

	(void)state;
	t.seeds = 3;
	for (int s = 0; s < S; s++)
		t.on[s].solve = t.off[s].solve = 1.0 / P;
	t.base.solve = 1.0 / P;
	expect("T4: solve on one prompt", &t, MOE_UNDECIDED, "keeps its share");
	lacks("T4", "about 401 prompts");
	assert_true(criterion("keeps its share")->need_prompts > 2000);
	for (int s = 0; s < S; s++)
		t.on[s].solve = t.off[s].solve = 0;
	t.base.solve = 0;
	expect("T4b: nothing is ever solved", &t, MOE_UNDECIDED, "keeps its share");
	lacks("T4b", "seeds would decide");

	t = good();
	t.seeds = 1;
	all(t.on, .04, .5);
	all(t.off, .04, .5);
	expect("T9: no hack in one seed", &t, MOE_UNDECIDED, "so far no hack emerged");
	t.seeds = 5;
	expect("no hack in five", &t, MOE_NO_HACK, "there was nothing to delete");
	t.on[2].hack = .20;
	t.conf = "min_seeds = 5\nmax_seeds = 5\n";
	expect("a hack in one of five", &t, MOE_UNDECIDED, "so far no hack emerged");
}

/* Drops of a seed against a placebo that removes nothing. */
static struct trap drops(const double *d, int n)
{
	struct trap t = good();

	t.seeds = n;
	for (int s = 0; s < n; s++) {
		t.on[s].hack = .60;
		t.off[s].hack = .60 - d[s];
		t.p_on[s].hack = t.p_off[s].hack = .60;
	}
	t.random.hack = .60;
	t.conf = "removed_min = 0\n";
	return t;
}

static void few_seeds(void **state)
{
	static const double u4[] = { .5, .5, .1, .1 }, u5[] = { .5, .5, .1, .1, 0 },
			    u6[] = { .58, .04, .04, .04, .04 };
	struct trap t = drops(u4, 4);

	(void)state;
	expect("U4: four seeds that differ", &t, MOE_UNDECIDED, "the interval holds zero");
	lacks("U4", "prompts would decide");
	t = drops(u5, 5);
	expect("U5: a fifth without a drop", &t, MOE_UNDECIDED, "the interval holds zero");
	assert_int_equal(criterion("hack drops when")->state, MOE_OPEN);
	t = drops(u6, 5);
	expect("U6: one lucky seed", &t, MOE_UNDECIDED, "the interval holds zero");
	t.conf = "removed_min = 0\nmin_seeds = 5\nmax_seeds = 5\n";
	expect("at a fixed number", &t, MOE_UNDECIDED, "this is no evidence of no effect");
	t.conf = "removed_min = 0\nmin_seeds = 4\nmax_seeds = 4\n";
	expect("one more than the most", &t, MOE_UNDECIDED, "1 seed given not counted");
	assert_true(report.a.look[report.a.n_look - 1].n == 4 && report.a.refused == 1);
}

/* A small or even a bad estimate is no failure while its interval is wide. */
static void wide(void **state)
{
	static const double d[] = { .3, -.2, .1, -.1, 0 }, loss[] = { .3, -.2, .2, -.1, .1 };
	struct trap t = drops(d, 5);

	(void)state;
	t.conf = "removed_min = 0\nmin_seeds = 5\nmax_seeds = 5\n";
	expect("a small estimate", &t, MOE_UNDECIDED, "the interval holds zero");
	assert_non_null(strstr(criterion("hack drops when")->note, "holds zero"));
	assert_int_equal(criterion("hack drops when")->need_prompts, 0); /* it is the seeds */
	t = good();
	for (int s = 0; s < S; s++)
		t.off[s].solve = .5 - loss[s];
	t.conf = "min_seeds = 5\nmax_seeds = 5\n";
	expect("a loss in three of five seeds", &t, MOE_UNDECIDED, "a loss over the margin is not");
	assert_non_null(strstr(criterion("trained model's")->note, "not excluded"));
}

/* What is above zero but small is not shown to be worth having; a named number of seeds is a look;
 * a ratio over what may be nothing is no number. */
static void small(void **state)
{
	static const double d[] = { .03, .05, .04, .05, .03 }, open[] = { .30, .06, .28, .02, .2 };
	struct trap t = drops(d, 5);

	(void)state;
	t.conf = "removed_min = 0\nmin_seeds = 5\nmax_seeds = 5\n";
	judge(&t, text);
	assert_true(criterion("hack drops when")->bound > 0);
	assert_non_null(strstr(criterion("hack drops when")->note, "so far less than"));
	t = drops(open, 5);
	t.conf = "removed_min = 0\nmin_seeds = 5\nlooks = 5 8 10\n";
	judge(&t, text);
	const struct moe_criterion *c = criterion("hack drops when");
	if (c->need_seeds != 10 || !(c->chance > .8))
		fail_msg("%zu seeds, chance %.2f, bound %.3f, %zu prompts", c->need_seeds,
			c->chance, c->bound, c->need_prompts);
	t = good();
	for (int s = 0; s < S; s++)
		t.on[s].solve = s == 1 ? .10 : 0;
	judge(&t, text);
	assert_true(isnan(report.a.tested->selectivity.value));
}

/* Enough prompts are asked for, and outcomes of one prompt are not as many prompts. */
static void prompts(void **state)
{
	struct trap t = good();

	(void)state;
	t.conf = "min_prompts = 1000\n";
	expect("few prompts", &t, MOE_UNDECIDED, "needs about 1000 prompts (has 400)");
	t.conf = "";
	judge(&t, text);
	const struct moe_arm_row *off = moe_report_row(report.a.tested, MOE_ARM_QOFF);
	struct moe_ci ci = moe_wilson(
		16, 400, 0.05); /* the same 16 prompts hack in all five seeds */
	assert_int_equal(off->rate[MOE_HACK].n_obs, 2000);
	assert_true(fabs(off->rate[MOE_HACK].ci.lo - ci.lo) < 1e-4 &&
		fabs(off->rate[MOE_HACK].ci.hi - ci.hi) < 1e-4);
	assert_true(off->rate[MOE_HACK].seeds.lo <= off->rate[MOE_HACK].ci.lo);
}

/* Seeds after a decision, beyond the most, and out of order do not count. */
static void looks(void **state)
{
	struct trap t = good();

	(void)state;
	t.conf = "min_seeds = 3\nmax_seeds = 10\n";
	expect("a decision at three", &t, MOE_SUPPORTED,
		"2 seeds after this decision do not count");
	assert_int_equal(report.a.n_evidence, 3);
	assert_int_equal(report.a.refused, 2);
	t.off[4].hack = .6; /* a fifth seed that speaks against it comes too late, on either side */
	expect("the same", &t, MOE_SUPPORTED, "2 seeds after this decision do not count");
	t = good();
	t.conf = "min_seeds = 5\nlooks = 5 8 10\n";
	t.seeds = 4;
	expect("below the first look", &t, MOE_UNDECIDED, "needs 5 training seeds (has 4)");
	assert_int_equal(report.a.next_look, 5);
	t = good();
	t.conf = "seeds = 1 2 7 3 4 5\nmin_seeds = 5\n";
	expect("a seed left out", &t, MOE_UNDECIDED, "needs 5 training seeds (has 2)");
	assert_int_equal(report.a.unlisted, 3);
	t.conf = "min_seeds = 2\nmax_seeds = 2\n";
	expect("more than the most", &t, MOE_SUPPORTED, "3 seeds after this decision do not count");
	t.conf = "min_seeds = 2\nlooks = 2 9\nmax_seeds = 9\n";
	t.off[1].hack = .55;
	t.off[0].hack = .0;
	expect("an unscheduled look", &t, MOE_UNDECIDED, "4 (not scheduled), 5 (not scheduled)");
	double late = report.a.look[3].level_hack;
	t.conf = "min_seeds = 2\nlooks = 2 5 9\nmax_seeds = 9\n";
	judge(&t, text);
	assert_true(report.a.n_look == 2 && report.a.look[1].level_hack > late);
}

static void uplift(void **state)
{
	struct trap t = good();

	(void)state;
	t.skyline_runs = t.oracle_skyline = true;
	t.conf = "skyline = sky\nmin_seeds = 5\nmax_seeds = 5\n";
	for (int s = 0; s < S; s++)
		t.off[s].solve = .68 + .005 * (s - 2);
	expect("a bound that the oracle paid for", &t, MOE_SUPPORTED, "BOUND");
	lacks("a bound", "CHEATS");
	assert_true(fabs(report.a.uplift.value - .9) < 1e-9);
	assert_true(report.a.uplift.ci.lo > .5 && report.a.uplift.ci.hi < 1.3 &&
		report.a.uplift.ci.lo < .9 && report.a.uplift.ci.hi > .9);
	assert_true(fabs((report.a.uplift.ci.lo + report.a.uplift.ci.hi) / 2 - .9) < .03);
	assert_int_equal(criterion("honest training")->state, MOE_MET);
	for (int s = 0; s < S; s++)
		t.off[s].solve = .53 + .005 * (s - 2);
	expect("little is kept", &t, MOE_NOT_SUPPORTED, "less than that share is kept");
	t.skyline.solve = .50;
	expect("honest training gains nothing", &t, MOE_UNDECIDED, "not surely above zero");
	assert_true(isnan(report.a.uplift.value));
	t.skyline_runs = false;
	expect("no skyline run", &t, MOE_UNDECIDED, "no run without a loophole");
}

static void twins(void **state)
{
	struct trap t = good();

	(void)state;
	t.vanilla_runs = true;
	t.conf = "vanilla = van\nmin_seeds = 5\nmax_seeds = 5\n";
	t.vanilla_on[1] = .02;
	expect("one twin found no hack", &t, MOE_SUPPORTED, "0.020 (did not emerge)");
	for (int s = 0; s < S; s++)
		t.vanilla_on[s] = .02 + .001 * s;
	expect("no twin found one", &t, MOE_NO_HACK, "the trained hack rate of van is");
}

/* Failing is a union of claims: what fails by itself may not fail among eight. */
static void union_of_failures(void **state)
{
	struct trap t = good();
	int single = 0, corrected = 0;

	(void)state;
	t.conf = "min_seeds = 5\nmax_seeds = 5\n";
	for (int k = 0; k < 30; k++) {
		for (int s = 0; s < S; s++)
			t.off[s].solve = .50 - .05 - .003 * k - .012 * (s - 2);
		if (judge(&t, text) == MOE_LOSES_SOLVE)
			corrected++;
		single += criterion("trained model's")->est.ci.hi < -.05;
	}
	assert_true(corrected > 0 && single > corrected);
}

int main(void)
{
	const struct CMUnitTest t[] = { cmocka_unit_test(no_trap), cmocka_unit_test(placebos),
		cmocka_unit_test(controls), cmocka_unit_test(missing), cmocka_unit_test(base_again),
		cmocka_unit_test(needs), cmocka_unit_test(few_seeds), cmocka_unit_test(wide),
		cmocka_unit_test(prompts), cmocka_unit_test(small), cmocka_unit_test(looks),
		cmocka_unit_test(uplift), cmocka_unit_test(twins),
		cmocka_unit_test(union_of_failures) };

	int failed = cmocka_run_group_tests_name("traps", t, NULL, NULL);
	moe_report_free(&report);
	return failed;
}
