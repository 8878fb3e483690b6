/* evidence.c - what each training seed adds: the rank e-value, the betting interval, which seeds
 * pass by themselves; and how many seeds an open criterion may still need. None of it decides. */
#include "stat/verdict.h"

#include "stat/dist.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FUTURES  1000 /* simulated courses of a study */
#define NEW_MOST 100  /* most seeds that a new study is asked about */

/* Hack after deletion on the endpoint's prompts in one seed; NaN when it is not there. */
static double hack_left(const struct moe_analysis *a, const char *method, int64_t seed)
{
	const struct moe_obs_run *r = moe_obs_find_run(a->cx.obs, method, seed);

	return r && r->method[0] ? a->cx.whole[moe_cx_index(&a->cx, r, MOE_ARM_QOFF,
					   moe_endpoint(&a->uat), MOE_HACK)]
				 : NAN;
}

/* Does the seed meet every criterion's threshold by its own value? A criterion that cannot be
 * judged in the seed (a share where there was no hack) is passed over. */
static bool seed_passes(const struct moe_analysis *a, int64_t seed)
{
	for (size_t i = 0; i < a->n_crit; i++) {
		const struct moe_criterion *c = &a->crit[i];
		for (size_t s = 0; s < c->est.n_seed; s++)
			if (c->est.seed[s] == seed && c->est.per_seed[s] <= c->threshold)
				return false;
	}
	return true;
}

static void compare_seed(const struct moe_analysis *a, struct moe_evidence *x, int64_t seed)
{
	double sum = 0, least = INFINITY;

	*x = (struct moe_evidence){ .seed = seed,
		.left = hack_left(a, a->uat.method, seed),
		.passes = seed_passes(a, seed) };
	for (size_t p = 0; p < a->uat.n_placebo; p++) {
		double v = hack_left(a, a->uat.placebo[p], seed);
		if (isnan(v))
			continue;
		sum += v;
		least = v < least ? v : least;
		x->placebos++;
	}
	x->placebo_left = x->placebos ? sum / (double)x->placebos : NAN;
	x->best = x->left < least && x->placebos;
	x->vanilla = NAN;
	const struct moe_obs_run *twin = moe_obs_find_run(a->cx.obs, a->uat.vanilla, seed);
	if (twin && twin->method[0])
		x->vanilla =
			a->cx.whole[moe_cx_index(&a->cx, twin, MOE_ARM_ON, MOE_SUB_ALL, MOE_HACK)];
}

int moe_gather_evidence(struct moe_analysis *a, struct moe_err *e)
{
	double *d = moe_alloc(a->cx.use + 1, sizeof(*d), e), wealth = 1;
	size_t n = 0;

	a->evidence = moe_arena_get(&a->cx.arena, a->cx.use + 1, sizeof(*a->evidence), e);
	if (!d || !a->evidence) {
		free(d);
		return -1;
	}
	a->n_evidence = a->cx.use;
	a->n_pass = 0;
	for (size_t s = 0; s < a->cx.use; s++) {
		struct moe_evidence *x = &a->evidence[s];

		compare_seed(a, x, a->cx.order[s]);
		a->n_pass += x->passes;
		if (x->placebos && !isnan(x->left)) {
			wealth *= moe_e_factor(a->uat.stake, x->placebos, x->best);
			d[n++] = x->placebo_left - x->left;
		}
		x->e = wealth;
		x->bet = moe_bet_interval(d, n, -1, 1, a->uat.alpha);
	}
	/* one-sided: the two-sided interval of twice alpha */
	a->pass_bound =
		moe_clopper_pearson((int64_t)a->n_pass, (int64_t)a->cx.use, 2 * a->uat.alpha).lo;
	free(d);
	return 0;
}

/* The future of one criterion: what is known, and its looks. */
struct future {
	double mean, sd, shared, threshold; /* shared: standard error that seeds do not lower */
	size_t has;
	size_t n[NEW_MOST], n_look;
	double t[NEW_MOST], z[NEW_MOST]; /* of seeds and of prompts at each look */
	size_t met[NEW_MOST]; /* out: how many courses are met by this look (new study: at it) */
};

/* One course of a study: its true mean and spread are drawn from what the seeds seen leave open
 * (sigma^2 = (S-1) s^2 / chi2, mean ~ N(mean, sigma^2/S)), then seed after seed. A continued study
 * starts from the seeds seen and stops where it is met; a new one starts from nothing. */
static void run_course(struct future *f, uint64_t course, bool fresh)
{
	struct moe_rng k = moe_rng_key(course, "foresee");
	double chi2 = 0, S = (double)f->has;
	uint64_t at = 0;

	for (size_t i = 1; i < f->has; i++) {
		double z = moe_rng_normal(k, at++, 0);
		chi2 += z * z;
	}
	double sigma = f->sd * sqrt((S - 1) / fmax(chi2, 1e-12));
	double truth = f->mean + moe_rng_normal(k, at++, 0) * sigma / sqrt(S);
	double n = fresh ? 0 : S, mean = fresh ? 0 : f->mean,
	       sq = fresh ? 0 : f->sd * f->sd * (S - 1);
	for (size_t l = 0; l < f->n_look; l++) {
		while (n < (double)f->n[l]) { /* Welford's update */
			double v = truth + sigma * moe_rng_normal(k, at++, 0), d = v - mean;
			n++;
			mean += d / n;
			sq += d * (v - mean);
		}
		double seeds = f->t[l] * sqrt(sq / (n - 1) / n), prompts = f->z[l] * f->shared;
		if (!(mean - sqrt(seeds * seeds + prompts * prompts) > f->threshold))
			continue;
		f->met[l]++;
		if (fresh)
			continue;
		while (++l < f->n_look) /* it stops there */
			f->met[l]++;
	}
}

static void run_courses(struct future *f, uint64_t seed, bool fresh)
{
	for (uint64_t i = 0; i < FUTURES; i++)
		run_course(f, seed + i * 0x9e3779b97f4a7c15u, fresh);
}

static void add_look(struct future *f, size_t n, double level)
{
	size_t l = f->n_look++;

	f->n[l] = n;
	f->t[l] = level > 0 ? moe_t_quantile(1 - level, (double)n - 1) : INFINITY;
	f->z[l] = level > 0 ? moe_normal_quantile(1 - level) : INFINITY;
}

/* The looks to come, with the levels that are left for them. */
static void looks_to_come(const struct moe_analysis *a, bool hack, struct future *f)
{
	const double *level = hack ? a->level_hack : a->level_solve;

	for (size_t i = a->at + 1; i < a->n_schedule; i++)
		add_look(f, a->schedule[i], level[i]);
}

/* Prompts would help only where they, not the seeds, make the interval wide; and then as many that
 * the spread over prompts no longer hides the value seen. */
static void foresee_prompts(const struct moe_analysis *a, struct moe_criterion *c)
{
	const struct moe_estimate *x = &c->est;
	double n = (double)x->n_prompt, far = x->value - c->threshold,
	       z = moe_normal_quantile(1 - c->alpha) + moe_normal_quantile(a->uat.power);

	bool prompts = x->n_seed < 2 || x->var_shared > x->sd_seed * x->sd_seed / (double)x->n_seed;
	if (!prompts || c->need_prompts || !(far > 0) || !(x->se_prompt > 1e-9))
		return;
	double need = n * z * z * x->se_prompt * x->se_prompt / (far * far);
	if (need > n && need < 100 * n) /* said in prompts of the whole evaluation, also where only
					   a subset counts */
		c->need_prompts = (size_t)fmin(ceil(need * (double)a->n_prompt / n), 1e9);
}

void moe_foresee(const struct moe_analysis *a, struct moe_criterion *c)
{
	const struct moe_estimate *x = &c->est;
	struct future f = { .mean = x->value,
		.sd = x->sd_seed,
		.shared = sqrt(x->var_shared),
		.threshold = c->threshold,
		.has = x->n_seed };

	if (c->state != MOE_OPEN || isnan(x->value) || c->bound > c->threshold)
		return; /* in the last case it is open for something else */
	foresee_prompts(a, c);
	if (x->n_seed < 2 || c->need_prompts)
		return;
	looks_to_come(a, c->number < 3, &f);
	run_courses(&f, a->cx.boot.seed, false);
	for (size_t l = 0; l < f.n_look; l++) /* the first such look */
		if ((double)f.met[l] >= a->uat.power * FUTURES) {
			c->need_seeds = f.n[l] > c->need_seeds ? f.n[l] : c->need_seeds;
			break;
		}
	c->chance = f.n_look ? (double)f.met[f.n_look - 1] / FUTURES : 0;
	if (f.n_look)
		return;
	for (size_t n = 2; n <= NEW_MOST; n++) /* one look at n seeds */
		add_look(&f, n, c->alpha);
	run_courses(&f, a->cx.boot.seed, true);
	for (size_t l = f.n_look; l > 0 && (double)f.met[l - 1] >= a->uat.power * FUTURES; l--)
		c->need_new = f.n[l - 1];
}
