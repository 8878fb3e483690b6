/* test_rule.c - the rule of the verdict by simulation: false verdicts where nothing is to be found,
 * also when one looks after each seed; power; coverage of the intervals that hold at every look.
 * Without operand a short form with fewer studies (make check); with the operand "long" the table
 * of the manual page (make stat-check). Not a test of single numbers: see test_boot.c, test_stat.c.
 *
 * Outcomes: latent w = sqrt(.3) z_prompt + sqrt(.4) c_(run, prompt) + sqrt(.3) e, and hacked iff
 * w < Phi^-1(rate of the arm in that seed), so that an arm's population rate is exact; prompts are
 * shared by all arms, methods and seeds, the arms of one run share c (common random numbers). Solve
 * has latents of its own. */
#include "stat/dist.h"
#include "stat/verdict.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A rate per seed: with probability p it is lo, else hi, plus noise of standard deviation sd. */
struct draw {
	double lo, hi, p, sd;
};

struct world {
	const char *name;
	struct draw on, off, placebo_on, placebo_off, random; /* hack; random.lo < 0: as off */
	struct draw loss;                                     /* solve_on - solve_off */
	double base_solve;                                    /* the trained model solves 0.55 */
	int placebos, prompts, seeds;
	const char *conf;
	double most;  /* false verdicts that are accepted, of SUPPORTED; < 0: this is no null */
	double truth; /* difference of drops to the placebo, for coverage */
};

static struct moe_rng key(uint64_t study, const char *what)
{
	return moe_rng_key(study * 0x9e3779b97f4a7c15u + 11, what);
}

static double rate(const struct draw *d, struct moe_rng k, uint64_t seed, uint64_t who)
{
	double v = moe_rng_uniform(k, seed, who * 2) < d->p ? d->lo : d->hi;

	v += d->sd * moe_rng_normal(k, seed, who * 2 + 1);
	return fmin(fmax(v, 0), 1);
}

struct study {
	struct moe_obs obs;
	const struct world *w;
	uint64_t number;
	double *z; /* [2, prompts] */
};

static double threshold(double r)
{
	return r <= 0 ? -99 : r >= 1 ? 99 : moe_normal_quantile(r);
}

/* One arm: outcomes of all prompts at these rates of hack and solve. */
static void put_arm(struct study *s, const char *method, int seed, int run, const char *arm,
	int arm_no, double hack, double solve)
{
	struct moe_rng c = key(s->number, "run"), e = key(s->number, "arm");
	double cut[2] = { threshold(hack), threshold(solve) };
	struct moe_err err;

	for (int p = 0; p < s->w->prompts; p++) {
		bool is[2];
		char id[16], policy[48];
		for (int o = 0; o < 2; o++) {
			uint64_t at = (uint64_t)(seed * 8 + run) * 2 + (uint64_t)o;
			double w = sqrt(.3) * s->z[o * s->w->prompts + p] +
				sqrt(.4) * moe_rng_normal(c, at, (uint64_t)p) +
				sqrt(.3) *
					moe_rng_normal(e, at * 64 + (uint64_t)arm_no, (uint64_t)p);
			is[o] = w < cut[o];
		}
		snprintf(id, sizeof(id), "p%04d", p);
		snprintf(policy, sizeof(policy), "%s-%s-%d", method, arm, seed);
		struct moe_obs_row r = { .prompt_id = id,
			.mode = "m",
			.task = "",
			.marker = "",
			.arm = arm,
			.method = method,
			.policy = policy,
			.seed = seed,
			.hacked = is[0],
			.solved = is[1] };
		if (moe_obs_add(&s->obs, &r, NULL, &err))
			fail_msg("%s", err.msg);
	}
}

static void put_seed(struct study *s, int seed)
{
	const struct world *w = s->w;
	struct moe_rng k = key(s->number, "rates");
	uint64_t at = (uint64_t)seed;
	double off = rate(&w->off, k, at, 1), solve_off = 0.55 - rate(&w->loss, k, at, 2);
	char name[32];

	put_arm(s, "tested", seed, 0, "on", 0, rate(&w->on, k, at, 0), 0.55);
	put_arm(s, "tested", seed, 0, "quarantine-off", 1, off, solve_off);
	for (int r = 0; r < 19; r++) {
		double x = w->random.lo < 0 ? off : rate(&w->random, k, at, 20 + (uint64_t)r);
		snprintf(name, sizeof(name), "random-off-%02d", r + 1);
		put_arm(s, "tested", seed, 0, name, 3 + r, x, solve_off);
	}
	if (seed == 1)
		put_arm(s, "tested", seed, 0, "base", 2, 0.05, w->base_solve);
	for (int p = 0; p < w->placebos; p++) {
		snprintf(name, sizeof(name), "placebo%d", p);
		put_arm(s, name, seed, 1 + p, "on", 0,
			rate(&w->placebo_on, k, at, 4 + 2 * (uint64_t)p), 0.55);
		put_arm(s, name, seed, 1 + p, "quarantine-off", 1,
			rate(&w->placebo_off, k, at, 5 + 2 * (uint64_t)p), solve_off);
	}
}

/* What a number of studies said. */
struct tally {
	int studies, supported, refuted, loses, held, crossed, bet, by[MOE_UAT_SEEDS];
};

static const char conf_head[] = "method = tested\ndraws = 400\nmin_prompts = 50\n";

static void judge(const struct study *s, struct moe_analysis *a, struct moe_pool *pool)
{
	struct moe_uat u;
	struct moe_err e;
	char conf[600];
	int n = snprintf(conf, sizeof(conf), "%splacebo =", conf_head);

	for (int p = 0; p < s->w->placebos; p++)
		n += snprintf(conf + n, sizeof(conf) - (size_t)n, " placebo%d", p);
	snprintf(conf + n, sizeof(conf) - (size_t)n, "\n%s\n", s->w->conf);
	moe_uat_default(&u);
	if (moe_uat_parse(&u, conf, strlen(conf), "sim", &e) ||
		moe_analyse(a, &s->obs, &u, s->number, pool, &e))
		fail_msg("%s: %s", s->w->name, e.msg);
}

static void count(const struct world *w, const struct moe_analysis *a, struct tally *t)
{
	enum moe_verdict_kind k = a->verdict.kind;
	bool held = true, crossed = false, bet = true;

	t->studies++;
	t->supported += k == MOE_SUPPORTED;
	t->refuted += k == MOE_REFUTED || k == MOE_NOT_SUPPORTED;
	t->loses += k == MOE_LOSES_SOLVE;
	if (k == MOE_SUPPORTED)
		t->by[a->look[a->n_look - 1].n]++;
	for (size_t i = 0; i < a->n_look; i++)
		held &= a->look[i].advantage.ci.lo <= w->truth &&
			w->truth <= a->look[i].advantage.ci.hi;
	for (size_t i = 0; i < a->n_evidence; i++) {
		crossed |= a->evidence[i].e >= 20;
		bet &= a->evidence[i].bet.lo <= w->truth && w->truth <= a->evidence[i].bet.hi;
	}
	t->held += held;
	t->crossed += crossed;
	t->bet += bet;
}

static struct tally simulate(const struct world *w, int studies, struct moe_pool *pool)
{
	struct tally t = { 0 };

	for (int i = 0; i < studies; i++) {
		struct study s = { .w = w, .number = (uint64_t)i + 1 };
		static struct moe_analysis a;
		struct moe_err e;

		s.z = malloc(2 * (size_t)w->prompts * sizeof(*s.z));
		for (int k = 0; k < 2 * w->prompts; k++)
			s.z[k] = moe_rng_normal(key(s.number, "prompt"), (uint64_t)k, 0);
		for (int seed = 1; seed <= w->seeds; seed++)
			put_seed(&s, seed);
		if (moe_obs_finish(&s.obs, &e))
			fail_msg("%s", e.msg);
		judge(&s, &a, pool);
		count(w, &a, &t);
		moe_analysis_free(&a);
		moe_obs_free(&s.obs);
		free(s.z);
	}
	return t;
}

#define ON                                                                                         \
	{                                                                                          \
		.5, .5, 1, .08                                                                     \
	}
#define NONE                                                                                       \
	{                                                                                          \
		.45, .45, 1, .05                                                                   \
	}
#define BI55                                                                                       \
	{                                                                                          \
		.05, .40, .5, .02                                                                  \
	}
#define BI37                                                                                       \
	{                                                                                          \
		.05, .40, .3, .02                                                                  \
	}
#define N10                                                                                        \
	{                                                                                          \
		.25, .25, 1, .10                                                                   \
	}
#define N15                                                                                        \
	{                                                                                          \
		.25, .25, 1, .15                                                                   \
	}
#define LOW                                                                                        \
	{                                                                                          \
		.05, .05, 1, .011                                                                  \
	}
#define SAME                                                                                       \
	{                                                                                          \
		-1, -1, 1, 0                                                                       \
	}
#define RND                                                                                        \
	{                                                                                          \
		.45, .45, 1, .03                                                                   \
	}
#define FREE "removed_min = 0" /* so that the criterion in question stands alone */
#define FIX5 "min_seeds = 5\nmax_seeds = 5\n" FREE
#define EACH "min_seeds = 3\nmax_seeds = 10\n" FREE
#define PLAN "min_seeds = 5\nlooks = 5 8 10\n" FREE

static const struct world worlds[] = {
	{ "method = placebo, bimodal 50:50, fixed 5", ON, BI55, ON, BI55, RND, { 0, 0, 1, 0 }, .5,
		1, 200, 5, FIX5, .05, 0 },
	{ "method = placebo, bimodal 50:50, each of 3..10", ON, BI55, ON, BI55, RND, { 0, 0, 1, 0 },
		.5, 1, 200, 10, EACH, .05, 0 },
	{ "method = placebo, bimodal 30:70, each of 3..10", ON, BI37, ON, BI37, RND, { 0, 0, 1, 0 },
		.5, 1, 200, 10, EACH, .05, 0 },
	{ "method = placebo, normal .10, each of 3..10", ON, N10, ON, N10, RND, { 0, 0, 1, 0 }, .5,
		1, 200, 10, EACH, .05, 0 },
	{ "method = placebo, normal .15, looks 5 8 10", ON, N15, ON, N15, RND, { 0, 0, 1, 0 }, .5,
		1, 200, 10, PLAN, .05, 0 },
	{ "method = both of 2 placebos, bimodal, 3..10", ON, BI55, ON, BI55, RND, { 0, 0, 1, 0 },
		.5, 2, 200, 10, EACH, .05, 0 },
	{ "random ablations as good, looks 5 8 10", ON, N10, ON, NONE, SAME, { 0, 0, 1, 0 }, .5, 1,
		200, 10, PLAN, .05, .20 },
	{ "solve at the margin, seed sd .05, 5 8 10", ON, LOW, ON, NONE, RND, { .05, .05, 1, .05 },
		.3, 1, 200, 10, PLAN, .05, .40 },
	{ "solve at the margin, seed sd .10, fixed 5", ON, LOW, ON, NONE, RND, { .05, .05, 1, .10 },
		.3, 1, 200, 5, FIX5, .05, .40 },
	{ "placebo removes as large a share, found less", { .6, .6, 1, .05 },
		{ .024, .024, 1, .01 }, { .5, .5, 1, .05 }, { .02, .02, 1, .01 }, RND,
		{ 0, 0, 1, 0 }, .5, 1, 200, 10, PLAN, .05, .096 },
	{ "placebo found no hack", ON, LOW, { .03, .03, 1, .01 }, { .03, .03, 1, .01 }, RND,
		{ 0, 0, 1, 0 }, .5, 1, 200, 5, FIX5, .0, .45 },
	{ "effect .15 (sd .16), looks 5 8 10", ON, { .10, .10, 1, .08 }, ON, { .25, .25, 1, .08 },
		RND, { 0, 0, 1, 0 }, .45, 1, 200, 10, PLAN, -1, .15 },
	{ "effect .30 (sd .16), looks 5 8 10", ON, { .10, .10, 1, .08 }, ON, { .40, .40, 1, .08 },
		RND, { 0, 0, 1, 0 }, .45, 1, 200, 10, PLAN, -1, .30 },
	{ "effect .30 (sd .16), fixed 5", ON, { .10, .10, 1, .08 }, ON, { .40, .40, 1, .08 }, RND,
		{ 0, 0, 1, 0 }, .45, 1, 200, 5, FIX5, -1, .30 },
	{ "effect .30 (sd .16), each of 3..10", ON, { .10, .10, 1, .08 }, ON, { .40, .40, 1, .08 },
		RND, { 0, 0, 1, 0 }, .45, 1, 200, 10, EACH, -1, .30 },
	{ "effect .40 (placebo sd .13), looks 5 8 10", ON, LOW, ON, { .45, .45, 1, .13 }, RND,
		{ 0, 0, 1, 0 }, .45, 1, 200, 10, PLAN, -1, .40 },
};
#define N_WORLD (sizeof(worlds) / sizeof(*worlds))

static int median(const struct tally *t)
{
	int n = 0;

	for (int s = 0; s < MOE_UAT_SEEDS; s++)
		if ((n += t->by[s]) * 2 >= t->studies)
			return s;
	return 0;
}

/* Largest count of n that chance alone explains (3 standard deviations) where the rate is p. */
static double by_chance(double p, int n)
{
	return p * n + 3 * sqrt(p * (1 - p) * n);
}

static void print_row(const struct world *w, const struct tally *t)
{
	char med[16] = "-";

	if (median(t))
		snprintf(med, sizeof(med), "%d", median(t));
	printf("%-48s %9.3f %7.3f %7.3f %6s %8.3f %8.3f %8.3f\n", w->name,
		(double)t->supported / t->studies, (double)t->refuted / t->studies,
		(double)t->loses / t->studies, med, (double)t->held / t->studies,
		(double)t->crossed / t->studies, (double)t->bet / t->studies);
	fflush(stdout);
}

/* 1 where a tally breaks what is promised. */
static int broken(const struct world *w, const struct tally *t)
{
	bool null = w->most >= 0;

	return (null && t->supported > by_chance(w->most, t->studies)) ||
		/* Student's interval over three seeds of two-valued outcomes holds .93 */
		t->studies - t->held > by_chance(.07, t->studies) ||
		t->studies - t->bet > by_chance(.05, t->studies) ||
		(w->truth <= 0 && t->crossed > by_chance(.05, t->studies));
}

static int long_form(int studies)
{
	struct moe_err e;
	struct moe_pool *pool = moe_pool_new(1, &e);
	int bad = 0;

	printf("%d studies each%33s %9s %7s %7s %6s %8s %8s %8s\n", studies, "", "SUPPORTED",
		"REFUTED", "LOSES", "median", "interval", "e >= 20", "betting");
	for (size_t i = 0; i < N_WORLD; i++) {
		struct tally t = simulate(&worlds[i], studies, pool);
		print_row(&worlds[i], &t);
		if (broken(&worlds[i], &t)) {
			printf("  BROKEN\n");
			bad = 1;
		}
	}
	moe_pool_free(pool);
	printf("%s\n", bad ? "FAILED" : "all promises hold");
	return bad;
}

static const struct world *world(const char *name)
{
	for (size_t i = 0; i < N_WORLD; i++)
		if (!strcmp(worlds[i].name, name))
			return &worlds[i];
	fail_msg("no world \"%s\"", name);
	return NULL;
}

/* A study of the world `name` with these changes, in short. */
static struct tally some(const char *name, int prompts, int studies)
{
	struct moe_err e;
	struct moe_pool *pool = moe_pool_new(1, &e);
	struct world w = *world(name);

	w.prompts = prompts;
	struct tally t = simulate(&w, studies, pool);
	moe_pool_free(pool);
	if (broken(&w, &t)) {
		print_row(&w, &t);
		fail_msg("%s: broken promise", name);
	}
	return t;
}

static void nulls(void **state)
{
	(void)state;
	some("method = placebo, bimodal 50:50, each of 3..10", 60, 40);
	some("method = placebo, bimodal 50:50, fixed 5", 60, 50);
	some("solve at the margin, seed sd .05, 5 8 10", 60, 20);
	some("placebo removes as large a share, found less", 60, 20);
	some("random ablations as good, looks 5 8 10", 60, 20);
}

/* An effect is found, a larger one more often; with so few prompts solve's margin is the
 * bottleneck. */
static void power(void **state)
{
	(void)state;
	struct tally big = some("effect .30 (sd .16), looks 5 8 10", 100, 20);
	struct tally small = some("effect .15 (sd .16), looks 5 8 10", 100, 20);
	assert_true(big.supported >= 10);
	assert_true(small.supported < big.supported);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest t[] = { cmocka_unit_test(nulls), cmocka_unit_test(power) };

	if (argc > 1 && !strcmp(argv[1], "long"))
		return long_form(argc > 2 ? atoi(argv[2]) : 400);
	return cmocka_run_group_tests_name("rule", t, NULL, NULL);
}
