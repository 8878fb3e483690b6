/* contrast.c - series of the arms and contrasts between them. Which contrast decides is decide.c's
 * matter. */
#include "stat/contrast.h"

#include "stat/dist.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool moe_in_subset(const struct moe_uat *u, const struct moe_obs_prompt *p, enum moe_subset s)
{
	if (s == MOE_SUB_ALL)
		return true;
	if (moe_uat_is_free(u, p->mode))
		return false;
	return moe_uat_is_pinned(u, p->mode) == (s == MOE_SUB_PINNED);
}

enum moe_subset moe_endpoint(const struct moe_uat *u)
{
	return !strcmp(u->endpoint, "pinned")          ? MOE_SUB_PINNED
		: !strcmp(u->endpoint, "never-pinned") ? MOE_SUB_NEVER
						       : MOE_SUB_ALL;
}

size_t moe_cx_seed(const struct moe_cx *x, int64_t seed)
{
	size_t i = 0;

	while (i < x->obs->n_seed && x->obs->seed[i] != seed)
		i++;
	return i;
}

const double *moe_cx_weights(const struct moe_cx *x, const struct moe_obs_run *r)
{
	return x->seed_den + moe_cx_seed(x, r->seed) * x->obs->n_cell;
}

size_t moe_cx_index(const struct moe_cx *x, const struct moe_obs_run *r, enum moe_arm_kind k,
	enum moe_subset s, enum moe_outcome o)
{
	size_t run = (size_t)(r - x->obs->run);

	return ((run * MOE_SERIES_KINDS + (size_t)k) * MOE_SUBSETS + (size_t)s) * MOE_OUTCOMES +
		(size_t)o;
}

static bool is_tested(const struct moe_uat *u, const struct moe_obs_run *r)
{
	return !strcmp(r->method, u->method) || moe_uat_is_placebo(u, r->method);
}

/* Strikes out the cells that an arm lacks. */
static void strike(const struct moe_obs *o, const struct moe_obs_arm *a, double *den)
{
	for (size_t i = 0; a && i < o->n_cell; i++)
		if (!a->bits[i])
			den[i] = 0;
}

/* Does the run have a say in which cells of seed row s count? */
static bool takes_part(const struct moe_cx *x, const struct moe_obs_run *r, size_t s, bool tested)
{
	return moe_cx_seed(x, r->seed) == s && (!tested || is_tested(x->uat, r));
}

static void note_missing(struct moe_cx *x, size_t s, const struct moe_obs_run *r,
	const struct moe_obs_arm *a, const double *uni, size_t total)
{
	size_t lacks = 0;

	for (size_t i = 0; i < x->obs->n_cell; i++)
		lacks += uni[i] > 0 && !a->bits[i];
	double share = total ? (double)lacks / (double)total : 0;
	if (share > x->missing[s].share)
		x->missing[s] = (struct moe_missing){ share, r->method, a->name };
}

/* Cells of seed row s: the union of all that take part, less what any of their arms (but the scale
 * curve's) lacks. den is 0 or 1 after it. */
static void strike_cells(struct moe_cx *x, size_t s, double *den, double *uni)
{
	const struct moe_obs *o = x->obs;
	bool tested = false;
	size_t total = 0, after = 0;

	memset(den, 0, o->n_cell * sizeof(*den));
	for (size_t r = 0; r < o->n_run; r++)
		tested |= moe_cx_seed(x, o->run[r].seed) == s && is_tested(x->uat, &o->run[r]);
	for (size_t r = 0; r < o->n_run; r++)
		for (size_t a = 0; takes_part(x, &o->run[r], s, tested) && a < o->run[r].n_arm; a++)
			for (size_t i = 0; i < o->n_cell; i++)
				den[i] = den[i] > 0 || o->run[r].arm[a].bits[i] ? 1 : 0;
	memcpy(uni, den, o->n_cell * sizeof(*uni));
	for (size_t i = 0; i < o->n_cell; i++)
		total += den[i] > 0;
	for (size_t r = 0; r < o->n_run; r++) {
		const struct moe_obs_run *run = &o->run[r];
		const struct moe_obs_arm *base = run->method[0] ? moe_obs_base(o, run) : NULL;
		if (!takes_part(x, run, s, tested))
			continue;
		for (size_t a = 0; a < run->n_arm; a++)
			if (run->arm[a].kind <= MOE_ARM_BASE) {
				strike(o, &run->arm[a], den);
				note_missing(x, s, run, &run->arm[a], uni, total);
			}
		strike(o, base, den);
		if (base)
			note_missing(x, s, run, base, uni, total);
	}
	for (size_t i = 0; i < o->n_cell; i++)
		after += den[i] > 0;
	x->dropped += total - after;
}

/* A cell counts for a seed when every arm (but the scale curve's) of the method and its placebos
 * has it; for seeds that have neither, of all runs. Its weight is 1/(counting samples of the
 * prompt), so that a prompt counts once. */
static int weigh_cells(struct moe_cx *x, struct moe_err *e)
{
	const struct moe_obs *o = x->obs;
	double *uni = moe_alloc(o->n_cell, sizeof(*uni), e);

	if (!uni)
		return -1;
	for (size_t s = 0; s <= o->n_seed; s++) {
		double *den = x->seed_den + s * o->n_cell;

		x->missing[s] = (struct moe_missing){ 0, "", "" };
		strike_cells(x, s, den, uni);
		for (size_t p = 0; p < o->n_prompt; p++) {
			double n = 0;
			for (size_t i = o->first_cell[p]; i < o->first_cell[p + 1]; i++)
				n += den[i];
			for (size_t i = o->first_cell[p]; i < o->first_cell[p + 1]; i++)
				den[i] = n > 0 ? den[i] / n : 0;
		}
	}
	free(uni);
	return 0;
}

/* num += weight * share for the cells in which the outcome occurred; clears den where the arm has
 * no cell. */
static void add_arm(const struct moe_obs *o, const struct moe_obs_arm *a, enum moe_outcome out,
	double share, double *num, double *den)
{
	unsigned bit = out == MOE_HACK ? MOE_OBS_HACKED : MOE_OBS_SOLVED;

	for (size_t i = 0; i < o->n_cell; i++) {
		if (!a->bits[i])
			den[i] = 0;
		else if (a->bits[i] & bit)
			num[i] += den[i] * share;
	}
	for (size_t i = 0; i < o->n_cell; i++)
		if (den[i] <= 0)
			num[i] = 0;
}

/* Weighted solve rate of an arm over the endpoint's cells that count for its run. */
static double solve_rate(
	const struct moe_cx *x, const struct moe_obs_run *r, const struct moe_obs_arm *a)
{
	const double *w = moe_cx_weights(x, r);
	double num = 0, den = 0;

	for (size_t i = 0; a && i < x->obs->n_cell; i++)
		if (w[i] > 0 && a->bits[i] &&
			moe_in_subset(x->uat, &x->obs->prompt[x->obs->cell_prompt[i]],
				moe_endpoint(x->uat))) {
			den += w[i];
			num += a->bits[i] & MOE_OBS_SOLVED ? w[i] : 0;
		}
	return den > 0 ? num / den : NAN;
}

/* The random ablations of a run that stand in the series of kind k, into arm[n]: all, or those
 * whose solve is not below the quarantine-off arm's by more than the margin (the damage is then no
 * excuse for the hack that they remove). */
static size_t random_arms(const struct moe_cx *x, const struct moe_obs_run *r, enum moe_arm_kind k,
	const struct moe_obs_arm **arm)
{
	double least = k == MOE_ARM_MATCHED
		? solve_rate(x, r, moe_obs_find_arm(r, MOE_ARM_QOFF)) - x->uat->margin
		: -1;
	size_t n = 0;

	for (size_t a = 0; a < r->n_arm; a++)
		if (r->arm[a].kind == MOE_ARM_RANDOM &&
			(k == MOE_ARM_RANDOM || solve_rate(x, r, &r->arm[a]) >= least))
			arm[n++] = &r->arm[a];
	return n;
}

/* The same weights as series of this seed and subset already have, or a copy of den: arms with the
 * same cells share theirs, which are then summed once for all of them. */
static const double *share_den(
	struct moe_cx *x, size_t row, enum moe_subset s, const double *den, struct moe_err *e)
{
	const double **last = &x->last_den[row * MOE_SUBSETS + (size_t)s];
	size_t bytes = x->obs->n_cell * sizeof(*den);

	if (*last && !memcmp(*last, den, bytes))
		return *last;
	double *kept = moe_arena_get(&x->arena, x->obs->n_cell, sizeof(*kept), e);
	if (kept)
		memcpy(kept, den, bytes);
	return *last = kept;
}

/* One series: the mean of the arms arm[n] on the prompts of a subset, for both outcomes. */
static int make_subset(struct moe_cx *x, const struct moe_obs_run *r, enum moe_arm_kind k,
	enum moe_subset s, const struct moe_obs_arm **arm, size_t n, struct moe_err *e)
{
	const struct moe_obs *o = x->obs;
	double *den = moe_alloc(o->n_cell, sizeof(*den), e), *num[MOE_OUTCOMES] = { NULL };

	if (!den)
		return -1;
	memcpy(den, moe_cx_weights(x, r), o->n_cell * sizeof(*den));
	for (size_t i = 0; i < o->n_cell; i++)
		if (!moe_in_subset(x->uat, &o->prompt[o->cell_prompt[i]], s))
			den[i] = 0;
	for (int out = 0; out < MOE_OUTCOMES; out++) {
		num[out] = moe_arena_get(&x->arena, o->n_cell, sizeof(**num), e);
		if (!num[out])
			break;
		memset(num[out], 0, o->n_cell * sizeof(**num));
		for (size_t a = 0; a < n; a++)
			add_arm(o, arm[a], (enum moe_outcome)out, 1.0 / (double)n, num[out], den);
	}
	const double *kept = num[MOE_OUTCOMES - 1]
		? share_den(x, moe_cx_seed(x, r->seed), s, den, e)
		: NULL;
	for (int out = 0; kept && out < MOE_OUTCOMES; out++)
		x->series[moe_cx_index(x, r, k, s, (enum moe_outcome)out)] = (struct moe_series){
			num[out], kept
		};
	free(den);
	return kept ? 0 : -1;
}

static int make_series(
	struct moe_cx *x, const struct moe_obs_run *r, enum moe_arm_kind k, struct moe_err *e)
{
	const struct moe_obs_arm **arm = moe_alloc(r->n_arm + 1, sizeof(*arm), e);
	size_t n = 0;
	int bad = !arm;

	if (!bad && (k == MOE_ARM_RANDOM || k == MOE_ARM_MATCHED)) {
		n = random_arms(x, r, k, arm);
	} else if (!bad) {
		arm[0] = k == MOE_ARM_BASE ? moe_obs_base(x->obs, r) : moe_obs_find_arm(r, k);
		n = arm[0] != NULL;
	}
	/* the clean-off arm is never asked for by subset */
	for (int s = 0; n && !bad && s < (k == MOE_ARM_COFF ? 1 : (int)MOE_SUBSETS); s++)
		bad = make_subset(x, r, k, (enum moe_subset)s, arm, n, e);
	free(arm);
	return bad ? -1 : 0;
}

/* The seeds that uat.conf lists, in its order, up to the first that has no run of the tested
 * method: a seed that was skipped may have been skipped for its result. Where it lists none, all by
 * number.
 */
static void order_seeds(struct moe_cx *x)
{
	const struct moe_uat *u = x->uat;
	size_t n = u->n_seed ? u->n_seed : x->obs->n_seed;

	for (size_t i = 0; i < n; i++) {
		int64_t seed = u->n_seed ? u->seed[i] : x->obs->seed[i];
		if (moe_obs_find_run(x->obs, u->method, seed))
			x->order[x->n_order++] = seed;
		else if (u->n_seed)
			break;
	}
	x->use = x->n_order;
}

int moe_cx_init(struct moe_cx *x, const struct moe_obs *o, const struct moe_uat *u, uint64_t seed,
	struct moe_pool *pool, struct moe_err *e)
{
	size_t n_series = o->n_run * MOE_SERIES_KINDS * MOE_SUBSETS * MOE_OUTCOMES;

	memset(x, 0, sizeof *x);
	x->obs = o;
	x->uat = u;
	x->boot = (struct moe_boot){ o->n_prompt, o->n_cell, n_series, u->draws, o->first_cell,
		NULL, seed, NULL };
	x->seed_den = moe_alloc((o->n_seed + 1) * o->n_cell, sizeof *x->seed_den, e);
	x->missing = moe_alloc(o->n_seed + 1, sizeof *x->missing, e);
	x->order = moe_alloc(o->n_seed + 1, sizeof *x->order, e);
	x->last_den = moe_alloc((o->n_seed + 1) * MOE_SUBSETS, sizeof *x->last_den, e);
	x->series = moe_alloc(n_series, sizeof *x->series, e);
	x->whole = moe_alloc(n_series, sizeof *x->whole, e);
	x->scratch = moe_alloc(u->draws, sizeof *x->scratch, e);
	x->by_seed = moe_alloc(u->draws * (o->n_seed + 1), sizeof *x->by_seed, e);
	if (!x->seed_den || !x->missing || !x->order || !x->last_den || !x->series || !x->whole ||
		!x->scratch || !x->by_seed || weigh_cells(x, e))
		return -1;
	order_seeds(x);
	for (size_t r = 0; r < o->n_run; r++)
		for (int k = 0; k < MOE_SERIES_KINDS && o->run[r].method[0]; k++)
			if (make_series(x, &o->run[r], (enum moe_arm_kind)k, e))
				return -1;
	for (size_t i = 0; i < n_series; i++)
		x->whole[i] = x->series[i].num ? moe_series_mean(&x->series[i], o->n_cell) : NAN;
	x->boot.series = x->series;
	return moe_boot_run(&x->boot, pool, e);
}

void moe_cx_free(struct moe_cx *x)
{
	moe_arena_free(&x->arena);
	free(x->seed_den);
	free(x->missing);
	free(x->order);
	free(x->last_den);
	free(x->whole);
	free(x->by_seed);
	free(x->series);
	free(x->scratch);
	free(x->boot.mean);
	memset(x, 0, sizeof *x);
}

enum { PARTS = 4, TERMS = 5 };

/* A contrast with its terms resolved to series: part p, term t, seed s -> index. */
struct resolved {
	const struct moe_contrast *c;
	size_t n_seed;
	size_t *index; /* [PARTS, TERMS, n_seed] */
};

static const struct moe_term *part_terms(const struct moe_contrast *c, int p, int *max)
{
	*max = p == 0 || p == 2 ? 5 : 2;
	return p == 0 ? c->a : p == 1 ? c->b : p == 2 ? c->c : c->d;
}

static bool is_term(const struct moe_term *t)
{
	return t->coef < 0 || t->coef > 0;
}

/* The four parts of one seed: out[p] = sum over terms of coef * mean; an empty A or C is 0, an
 * empty B or D is 1. */
static void seed_parts(
	const struct resolved *rs, const double *mean, size_t seed, double out[PARTS])
{
	for (int p = 0; p < PARTS; p++) {
		int max;
		const struct moe_term *t = part_terms(rs->c, p, &max);
		out[p] = is_term(t) ? 0 : p % 2;
		for (int i = 0; i < max && is_term(&t[i]); i++)
			out[p] += t[i].coef *
				mean[rs->index[((size_t)p * TERMS + (size_t)i) * rs->n_seed +
					seed]];
	}
}

/* A/B - C/D; NaN where a denominator is not above zero. */
static double ratio(const double part[PARTS])
{
	return (part[1] > 0 ? part[0] / part[1] : NAN) - (part[3] > 0 ? part[2] / part[3] : NAN);
}

/* One seed's value where the mean parts are m: m's ratio plus what the seed adds to first order
 * (delta method). Of a linear contrast that is the seed's own value. */
static double linearised(const double part[PARTS], const double m[PARTS])
{
	double ab = m[0] / m[1], cd = m[2] / m[3];

	return ab + (part[0] - ab * part[1]) / m[1] - (cd + (part[2] - cd * part[3]) / m[3]);
}

static const char *method_of(
	const struct moe_cx *x, const char *self, const struct moe_contrast *c, enum moe_who who)
{
	switch (who) {
	case MOE_SELF:
		return self;
	case MOE_PLACEBO:
		return c->placebo < x->uat->n_placebo ? x->uat->placebo[c->placebo] : "";
	case MOE_SKYLINE:
		return x->uat->skyline;
	case MOE_VANILLA:
		return x->uat->vanilla;
	}
	return "";
}

/* Index of a term's series for a seed; SIZE_MAX when the run or arm is missing or has no counting
 * cell. */
static size_t term_index(const struct moe_cx *x, const char *method, const struct moe_contrast *c,
	const struct moe_term *t, enum moe_subset s, int64_t seed)
{
	const struct moe_obs_run *r = moe_obs_find_run(
		x->obs, method_of(x, method, c, t->who), seed);

	if (!r || !r->method[0])
		return SIZE_MAX;
	size_t i = moe_cx_index(x, r, t->arm, s, t->outcome);
	return isnan(x->whole[i]) ? SIZE_MAX : i;
}

/* The seeds that have all terms, into seed[]; their number, or -1. */
static int resolve(const struct moe_cx *x, const char *method, const struct moe_contrast *c,
	enum moe_subset sub, struct resolved *rs, int64_t *seed, struct moe_err *e)
{
	size_t n = x->obs->n_seed + 1, kept = 0;

	rs->c = c;
	rs->n_seed = n;
	rs->index = moe_alloc((size_t)PARTS * TERMS * n, sizeof(*rs->index), e);
	if (!rs->index)
		return -1;
	for (size_t s = 0; s < x->use; s++) {
		bool whole = true;
		for (int p = 0; p < PARTS; p++) {
			int max;
			const struct moe_term *t = part_terms(c, p, &max);
			for (int i = 0; i < max && is_term(&t[i]); i++) {
				size_t at = term_index(x, method, c, &t[i], sub, x->order[s]);
				whole &= at != SIZE_MAX;
				rs->index[((size_t)p * TERMS + (size_t)i) * n + kept] = at;
			}
		}
		if (whole)
			seed[kept++] = x->order[s];
	}
	/* rows stay n apart; only the first `kept` columns are used */
	return (int)kept;
}

static struct moe_ci hull(struct moe_ci a, struct moe_ci b)
{
	if (isnan(b.lo) || isnan(a.lo))
		return isnan(a.lo) ? b : a;
	return (struct moe_ci){ a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi };
}

/* Prompts with a counting cell in the first part's first arm, in any of the seeds. */
static size_t count_prompts(const struct moe_cx *x, const struct resolved *rs, size_t kept)
{
	size_t n = 0;

	for (size_t p = 0; p < x->obs->n_prompt; p++) {
		bool counts = false;
		for (size_t s = 0; s < kept; s++)
			for (size_t i = x->obs->first_cell[p]; i < x->obs->first_cell[p + 1]; i++)
				counts |= x->series[rs->index[s]].den[i] > 0;
		n += counts;
	}
	return n;
}

/* Half-width that a bootstrap without spread still lacks. */
static double unseen(const struct resolved *rs, const struct moe_estimate *x)
{
	double size = 0;

	if (x->se_prompt > 1e-9 || !x->n_prompt)
		return 0;
	for (int i = 0; i < TERMS && is_term(&rs->c->a[i]); i++)
		size += fabs(rs->c->a[i].coef);
	return size / 2 * (1 - pow(x->level / 2, 1 / (double)x->n_prompt));
}

static double variance(const double *v, size_t n)
{
	double se;

	moe_mean_se(v, n, NULL, &se);
	return se * se * (double)n;
}

/* The bootstrap over prompts, seeds held: percentiles and spread of the mean, and the mean over
 * seeds of the variance of one seed's (linearised) value. m = the mean parts. */
static double resample_prompts(struct moe_cx *x, const struct resolved *rs, size_t kept,
	const double m[PARTS], struct moe_estimate *out)
{
	size_t draws = x->boot.draws, n = 0;
	double one_seed = 0, z = moe_normal_quantile(1 - out->level / 2);

	for (size_t d = 0; d < draws; d++) {
		const double *mean = x->boot.mean + d * x->boot.n_series;
		double sum[PARTS] = { 0 }, part[PARTS];
		bool known = true;
		for (size_t s = 0; s < kept; s++) {
			seed_parts(rs, mean, s, part);
			double v = linearised(part, m);
			known &= !isnan(v);
			x->by_seed[s * draws + n] = v;
			for (int p = 0; p < PARTS; p++)
				sum[p] += part[p] / (double)kept;
		}
		double v = ratio(sum);
		if (known && !isnan(v)) /* else some arm has no prompt in this draw */
			x->scratch[n++] = v;
	}
	out->se_prompt = sqrt(variance(x->scratch, n));
	for (size_t s = 0; s < kept; s++)
		one_seed += variance(x->by_seed + s * draws, n) / (double)kept;
	out->boot = moe_percentile_interval(x->scratch, n, out->level);
	if ((double)n * out->level / 2 < 5) /* too far out for so few draws */
		out->boot = hull(out->boot,
			(struct moe_ci){
				out->value - z * out->se_prompt, out->value + z * out->se_prompt });
	double more = unseen(rs, out);
	out->boot.lo -= more;
	out->boot.hi += more;
	return one_seed;
}

/* Half-width at one-sided level p: Student's over seeds and over prompts, each with its own degrees
 * of freedom, add as squares. */
static double half_width(const struct moe_estimate *x, double p)
{
	double S = (double)x->n_seed;
	double seeds = moe_t_quantile(1 - p, S - 1) * x->sd_seed / sqrt(S), prompts = 0;

	if (x->var_shared > 0 && x->n_prompt > 1)
		prompts = moe_t_quantile(1 - p, (double)x->n_prompt - 1) * sqrt(x->var_shared);
	return sqrt(seeds * seeds + prompts * prompts);
}

/* Spread over seeds and over prompts, and the interval that decides. */
static void combine(struct moe_estimate *out, const double *lin, double one_seed)
{
	double S = (double)out->n_seed, held = out->se_prompt * out->se_prompt;

	out->sd_seed = sqrt(variance(lin, out->n_seed));
	out->t = moe_t_interval(lin, out->n_seed, out->level);
	if (out->n_seed < 2) {
		out->ci = out->boot;
		return;
	}
	out->var_shared = fmax(0, (S * held - one_seed) / (S - 1));
	out->se = sqrt(out->sd_seed * out->sd_seed / S + out->var_shared);
	double half = half_width(out, out->level / 2);
	out->ci = hull((struct moe_ci){ out->value - half, out->value + half }, out->boot);
}

/* Rounding leaves 1e-16 where there is nothing, which would print as -0.000. */
static double snap(double v)
{
	return fabs(v) < 1e-12 ? 0 : v;
}

/* What rates between 0 and 1 allow a linear contrast to be. */
static void keep_possible(const struct resolved *rs, struct moe_estimate *out)
{
	double lo = 0, hi = 0;
	struct moe_ci *ci[] = { &out->ci, &out->boot, &out->t };

	for (int i = 0; i < TERMS && is_term(&rs->c->a[i]); i++) {
		lo += fmin(rs->c->a[i].coef, 0);
		hi += fmax(rs->c->a[i].coef, 0);
	}
	if (is_term(rs->c->b) || is_term(rs->c->c))
		lo = -INFINITY, hi = INFINITY;
	if (rs->c->bound > 0) {
		hi = fmin(hi, rs->c->bound);
		lo = isinf(lo) ? lo : fmax(lo, -rs->c->bound);
	}
	out->value = snap(out->value);
	for (size_t i = 0; i < 3; i++) {
		ci[i]->lo = isnan(ci[i]->lo) ? NAN : snap(fmax(ci[i]->lo, lo));
		ci[i]->hi = isnan(ci[i]->hi) ? NAN : snap(fmin(ci[i]->hi, hi));
	}
}

static int evaluate(
	struct moe_cx *x, const struct resolved *rs, struct moe_estimate *out, struct moe_err *e)
{
	double m[PARTS] = { 0 }, part[PARTS];
	double *lin = moe_alloc(out->n_seed, sizeof(*lin), e);

	if (!lin)
		return -1;
	for (size_t s = 0; s < out->n_seed; s++) {
		seed_parts(rs, x->whole, s, part);
		out->per_seed[s] = snap(ratio(part));
		for (int p = 0; p < PARTS; p++)
			m[p] += part[p] / (double)out->n_seed;
	}
	out->value = ratio(m);
	if (!isnan(out->value)) {
		for (size_t s = 0; s < out->n_seed; s++) {
			seed_parts(rs, x->whole, s, part);
			lin[s] = linearised(part, m);
		}
		out->n_prompt = count_prompts(x, rs, out->n_seed);
		combine(out, lin, resample_prompts(x, rs, out->n_seed, m, out));
		keep_possible(rs, out);
	}
	free(lin);
	return 0;
}

int moe_contrast_eval(struct moe_cx *x, const char *method, const struct moe_contrast *c,
	enum moe_subset s, double level, struct moe_estimate *out, struct moe_err *e)
{
	struct resolved rs = { 0 };
	size_t n = x->obs->n_seed + 1;

	*out = (struct moe_estimate){ .value = NAN,
		.ci = { NAN, NAN },
		.boot = { NAN, NAN },
		.t = { NAN, NAN },
		.level = level,
		.se = NAN,
		.se_prompt = NAN,
		.var_shared = NAN,
		.sd_seed = NAN };
	out->per_seed = moe_arena_get(&x->arena, n, sizeof *out->per_seed, e);
	out->seed = moe_arena_get(&x->arena, n, sizeof *out->seed, e);
	int kept = out->per_seed && out->seed ? resolve(x, method, c, s, &rs, out->seed, e) : -1;
	int bad = kept < 0;
	if (kept > 0) {
		out->n_seed = (size_t)kept;
		bad = evaluate(x, &rs, out, e);
	}
	free(rs.index);
	return bad ? -1 : 0;
}

double moe_estimate_p(const struct moe_estimate *x, double threshold)
{
	double far = x->value - threshold, lo = 0, hi = 0.5; /* of the smaller side's level */

	if (isnan(x->se) || isnan(far))
		return NAN;
	for (int i = 0; i < 40; i++) {
		double mid = (lo + hi) / 2;
		if (half_width(x, mid) > fabs(far))
			lo = mid;
		else
			hi = mid;
	}
	return far > 0 ? hi : 1 - hi;
}

/* Value of part A for one prompt, averaged over the seeds; NaN where a cell of it is missing. */
static double prompt_value(const struct moe_cx *x, const struct resolved *rs, size_t kept, size_t p)
{
	double sum = 0;

	for (int i = 0; i < 5 && is_term(&rs->c->a[i]); i++)
		for (size_t s = 0; s < kept; s++) {
			const struct moe_series *y =
				&x->series[rs->index[(size_t)i * rs->n_seed + s]];
			double num = 0, den = 0;
			for (size_t k = x->obs->first_cell[p]; k < x->obs->first_cell[p + 1]; k++) {
				num += y->num[k];
				den += y->den[k];
			}
			sum += den > 0 ? rs->c->a[i].coef * num / den : NAN;
		}
	return sum / (double)kept;
}

int moe_contrast_by_task(struct moe_cx *x, const char *method, const struct moe_contrast *c,
	struct moe_by_task *out, struct moe_err *e)
{
	const struct moe_obs *o = x->obs;
	struct resolved rs = { 0 };
	struct moe_names task = { 0 };
	int64_t *seed = moe_alloc(o->n_seed + 1, sizeof *seed, e);
	double *v = moe_alloc(o->n_prompt, sizeof *v, e);
	uint32_t *id = moe_alloc(o->n_prompt, sizeof *id, e);
	bool named = true;

	*out = (struct moe_by_task){ 0, 0, NAN, NAN };
	int kept = seed && v && id ? resolve(x, method, c, MOE_SUB_ALL, &rs, seed, e) : -1;
	for (size_t p = 0; p < o->n_prompt && kept > 0; p++) {
		double d = prompt_value(x, &rs, (size_t)kept, p);
		int64_t at = isnan(d) ? 0
				      : moe_names_add(&task, &x->arena, o->prompt[p].task,
						strlen(o->prompt[p].task), e);
		if (at < 0)
			kept = -1;
		if (isnan(d) || at < 0)
			continue;
		named &= o->prompt[p].task[0] != 0;
		v[out->n_prompt] = d;
		id[out->n_prompt++] = (uint32_t)at;
	}
	if (kept > 0 && named && task.n) {
		out->n_task = task.n;
		moe_mean_se(v, out->n_prompt, NULL, &out->se_prompt);
		if (moe_cluster_se(v, id, out->n_prompt, task.n, &out->se_task, e))
			kept = -1;
	}
	moe_names_free(&task);
	free(rs.index);
	free(seed);
	free(v);
	free(id);
	return kept < 0 ? -1 : 0;
}
