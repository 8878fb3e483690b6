/* contrast.c - series of the arms and contrasts between them. Which contrast decides is verdict.c's
 * business. */
#include "stat/contrast.h"

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

static size_t seed_row(const struct moe_cx *x, int64_t seed)
{
	size_t i = 0;

	while (i < x->obs->n_seed && x->obs->seed[i] != seed)
		i++;
	return i;
}

const double *moe_cx_weights(const struct moe_cx *x, const struct moe_obs_run *r)
{
	return x->seed_den + seed_row(x, r->seed) * x->obs->n_cell;
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
	return !strcmp(r->method, u->method) || (u->placebo[0] && !strcmp(r->method, u->placebo));
}

/* Strikes out the cells that an arm lacks. */
static void strike(const struct moe_obs *o, const struct moe_obs_arm *a, double *den)
{
	for (size_t i = 0; a && i < o->n_cell; i++)
		if (!a->bits[i])
			den[i] = 0;
}

/* A cell counts for a seed when every arm (but the scale curve's) of the method and its placebo has
 * it; for seeds that have neither, of all runs. Its weight is 1/(counting samples of the prompt),
 * so that a prompt counts once. */
static void weigh_cells(struct moe_cx *x)
{
	const struct moe_obs *o = x->obs;

	for (size_t s = 0; s <= o->n_seed; s++) {
		double *den = x->seed_den + s * o->n_cell;
		bool tested = false;

		for (size_t i = 0; i < o->n_cell; i++)
			den[i] = 0;
		for (size_t r = 0; r < o->n_run; r++)
			tested |= seed_row(x, o->run[r].seed) == s && is_tested(x->uat, &o->run[r]);
		for (size_t r = 0; r < o->n_run; r++) /* the union ... */
			if (seed_row(x, o->run[r].seed) == s &&
				(!tested || is_tested(x->uat, &o->run[r])))
				for (size_t a = 0; a < o->run[r].n_arm; a++)
					for (size_t i = 0; i < o->n_cell; i++)
						den[i] = den[i] > 0 || o->run[r].arm[a].bits[i] ? 1
												: 0;
		size_t before = 0, after = 0;
		for (size_t i = 0; i < o->n_cell; i++)
			before += den[i] > 0;
		for (size_t r = 0; r < o->n_run; r++) { /* ... less what any arm lacks */
			if (seed_row(x, o->run[r].seed) != s ||
				(tested && !is_tested(x->uat, &o->run[r])))
				continue;
			for (size_t a = 0; a < o->run[r].n_arm; a++)
				if (o->run[r].arm[a].kind <= MOE_ARM_BASE)
					strike(o, &o->run[r].arm[a], den);
			strike(o, o->run[r].method[0] ? moe_obs_base(o, &o->run[r]) : NULL, den);
		}
		for (size_t i = 0; i < o->n_cell; i++)
			after += den[i] > 0;
		x->dropped += before - after;
		for (size_t p = 0; p < o->n_prompt; p++) {
			double n = 0;
			for (size_t i = o->first_cell[p]; i < o->first_cell[p + 1]; i++)
				n += den[i];
			for (size_t i = o->first_cell[p]; i < o->first_cell[p + 1]; i++)
				den[i] = n > 0 ? den[i] / n : 0;
		}
	}
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

static int make_series(
	struct moe_cx *x, const struct moe_obs_run *r, enum moe_arm_kind k, struct moe_err *e)
{
	const struct moe_obs *o = x->obs;
	const struct moe_obs_arm *one = k == MOE_ARM_BASE ? moe_obs_base(o, r)
		: k == MOE_ARM_RANDOM                     ? NULL
							  : moe_obs_find_arm(r, k);
	size_t n_random = 0;

	for (size_t a = 0; a < r->n_arm; a++)
		n_random += r->arm[a].kind == MOE_ARM_RANDOM;
	if (k == MOE_ARM_RANDOM ? !n_random : !one)
		return 0;
	/* by subset only these are ever asked for */
	bool subsets = k <= MOE_ARM_QOFF ||
		(k == MOE_ARM_RANDOM && moe_endpoint(x->uat) != MOE_SUB_ALL);
	for (int s = 0; s < (subsets ? (int)MOE_SUBSETS : 1); s++) {
		double *den = moe_arena_get(&x->arena, o->n_cell, sizeof *den, e);
		double *num[MOE_OUTCOMES];
		if (!den)
			return -1;
		memcpy(den, moe_cx_weights(x, r), o->n_cell * sizeof *den);
		for (size_t i = 0; i < o->n_cell; i++)
			if (!moe_in_subset(
				    x->uat, &o->prompt[o->cell_prompt[i]], (enum moe_subset)s))
				den[i] = 0;
		for (int out = 0; out < MOE_OUTCOMES; out++) {
			num[out] = moe_arena_get(&x->arena, o->n_cell, sizeof **num, e);
			if (!num[out])
				return -1;
			for (size_t i = 0; i < o->n_cell; i++)
				num[out][i] = 0;
			for (size_t a = 0; a < r->n_arm && !one; a++)
				if (r->arm[a].kind == MOE_ARM_RANDOM)
					add_arm(o, &r->arm[a], (enum moe_outcome)out,
						1.0 / (double)n_random, num[out], den);
			if (one)
				add_arm(o, one, (enum moe_outcome)out, 1, num[out], den);
			x->series[moe_cx_index(x, r, k, (enum moe_subset)s,
				(enum moe_outcome)out)] = (struct moe_series){ num[out], den };
		}
	}
	return 0;
}

int moe_cx_init(struct moe_cx *x, const struct moe_obs *o, const struct moe_uat *u, uint64_t seed,
	struct moe_pool *pool, struct moe_err *e)
{
	memset(x, 0, sizeof *x);
	x->obs = o;
	x->uat = u;
	x->boot = (struct moe_boot){ o->n_prompt, o->n_cell,
		o->n_run * MOE_SERIES_KINDS * MOE_SUBSETS * MOE_OUTCOMES, u->draws, o->first_cell,
		NULL, seed, NULL };
	x->seed_den = moe_alloc((o->n_seed + 1) * o->n_cell, sizeof *x->seed_den, e);
	x->series = moe_alloc(x->boot.n_series, sizeof *x->series, e);
	x->scratch = moe_alloc(u->draws, sizeof *x->scratch, e);
	if (!x->seed_den || !x->series || !x->scratch)
		return -1;
	weigh_cells(x);
	for (size_t r = 0; r < o->n_run; r++)
		for (int k = 0; k < MOE_SERIES_KINDS && o->run[r].method[0]; k++)
			if (make_series(x, &o->run[r], (enum moe_arm_kind)k, e))
				return -1;
	x->boot.series = x->series;
	return moe_boot_run(&x->boot, pool, e);
}

void moe_cx_free(struct moe_cx *x)
{
	moe_arena_free(&x->arena);
	free(x->seed_den);
	free(x->series);
	free(x->scratch);
	free(x->boot.mean);
	memset(x, 0, sizeof *x);
}

/* A contrast with its terms resolved to series: part p, term t, seed s -> index. */
struct plan {
	const struct moe_contrast *c;
	size_t n_seed;
	size_t *index; /* [4, 5, n_seed] */
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

/* sum over terms and picked seeds of coef * mean, over the number of seeds; `empty` when the part
 * has no terms. */
static double part_value(const struct plan *pl, int p, const double *mean, const uint32_t *pick,
	size_t n, double empty)
{
	int max;
	const struct moe_term *t = part_terms(pl->c, p, &max);
	double sum = 0;

	if (!is_term(t))
		return empty;
	for (int i = 0; i < max && is_term(&t[i]); i++) {
		const size_t *at = pl->index + ((size_t)p * 5 + (size_t)i) * pl->n_seed;
		double m = 0;
		for (size_t s = 0; s < n; s++)
			m += mean[at[pick ? pick[s] : s]];
		sum += t[i].coef * m;
	}
	return sum / (double)n;
}

static double value_of(const struct plan *pl, const double *mean, const uint32_t *pick, size_t n)
{
	double a = part_value(pl, 0, mean, pick, n, 0), b = part_value(pl, 1, mean, pick, n, 1);
	double c = part_value(pl, 2, mean, pick, n, 0), d = part_value(pl, 3, mean, pick, n, 1);

	return (b > 0 ? a / b : NAN) - (d > 0 ? c / d : NAN);
}

/* Index of a term's series for a seed; SIZE_MAX when the run or arm is missing or has no counting
 * cell. */
static size_t term_index(const struct moe_cx *x, const char *method, const struct moe_term *t,
	enum moe_subset s, int64_t seed)
{
	const struct moe_obs_run *r = moe_obs_find_run(
		x->obs, t->who == MOE_SELF ? method : x->uat->placebo, seed);

	if (!r || !r->method[0])
		return SIZE_MAX;
	size_t i = moe_cx_index(x, r, t->arm, s, t->outcome);
	if (!x->series[i].num || isnan(moe_series_mean(&x->series[i], x->obs->n_cell)))
		return SIZE_MAX;
	return i;
}

static int make_plan(const struct moe_cx *x, const char *method, const struct moe_contrast *c,
	enum moe_subset sub, struct plan *pl, int64_t *seed, struct moe_err *e)
{
	size_t n = x->obs->n_seed;

	pl->c = c;
	pl->n_seed = n;
	pl->index = moe_alloc(20 * n, sizeof *pl->index, e);
	if (!pl->index)
		return -1;
	size_t kept = 0;
	for (size_t s = 0; s < n; s++) {
		bool whole = true;
		for (int p = 0; p < 4; p++) {
			int max;
			const struct moe_term *t = part_terms(c, p, &max);
			for (int i = 0; i < max && is_term(&t[i]); i++) {
				size_t at = term_index(x, method, &t[i], sub, x->obs->seed[s]);
				whole &= at != SIZE_MAX;
				pl->index[((size_t)p * 5 + (size_t)i) * n + kept] = at;
			}
		}
		if (whole)
			seed[kept++] = x->obs->seed[s];
	}
	/* rows stay n apart; only the first `kept` columns are used */
	return (int)kept;
}

static struct moe_ci hull(struct moe_ci a, struct moe_ci b)
{
	if (isnan(b.lo))
		return a;
	return (struct moe_ci){ a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi };
}

/* Prompts with a counting cell in the first part's first arm, in any of the seeds. */
static size_t count_prompts(const struct moe_cx *x, const struct plan *pl, size_t kept)
{
	size_t n = 0;

	for (size_t p = 0; p < x->obs->n_prompt; p++) {
		bool counts = false;
		for (size_t s = 0; s < kept; s++)
			for (size_t i = x->obs->first_cell[p]; i < x->obs->first_cell[p + 1]; i++)
				counts |= x->series[pl->index[s]].den[i] > 0;
		n += counts;
	}
	return n;
}

/* Half-width that a bootstrap without spread still lacks. */
static double unseen(const struct plan *pl, const struct moe_estimate *x, double alpha)
{
	double size = 0;

	if (x->se_prompt > 1e-9 || !x->n_prompt)
		return 0;
	for (int i = 0; i < 5 && is_term(&pl->c->a[i]); i++)
		size += fabs(pl->c->a[i].coef);
	return size / 2 * (1 - pow(alpha / 2, 1 / (double)x->n_prompt));
}

static void bootstrap(struct moe_cx *x, const struct plan *pl, size_t kept, double alpha,
	uint32_t *pick, struct moe_estimate *out)
{
	size_t draws = x->boot.draws, n = 0;
	double mean;

	for (size_t d = 0; d < draws; d++) {
		double v = value_of(pl, x->boot.mean + d * x->boot.n_series, NULL, kept);
		if (!isnan(v))
			x->scratch[n++] = v;
	}
	moe_mean_se(x->scratch, n, &mean, &out->se_prompt);
	out->se_prompt *= sqrt((double)n); /* of one draw, not of their mean */
	if (kept >= MOE_SEEDS_TO_BOOTSTRAP) {
		n = draws;
		for (size_t d = 0; d < draws; d++) {
			moe_boot_seeds(x->boot.seed, d, kept, pick);
			x->scratch[d] = value_of(
				pl, x->boot.mean + d * x->boot.n_series, pick, kept);
		}
	}
	out->boot = moe_percentile_interval(x->scratch, n, alpha);
	double more = unseen(pl, out, alpha);
	out->boot.lo -= more;
	out->boot.hi += more;
}

int moe_contrast_eval(struct moe_cx *x, const char *method, const struct moe_contrast *c,
	enum moe_subset s, double alpha, struct moe_estimate *out, struct moe_err *e)
{
	struct plan pl = { 0 };
	size_t n = x->obs->n_seed;
	double *whole = moe_alloc(x->boot.n_series, sizeof *whole, e);
	uint32_t *pick = moe_alloc(n, sizeof *pick, e);

	*out = (struct moe_estimate){ .value = NAN,
		.ci = { NAN, NAN },
		.boot = { NAN, NAN },
		.t = { NAN, NAN },
		.se_prompt = NAN,
		.sd_seed = NAN };
	out->per_seed = moe_arena_get(&x->arena, n, sizeof *out->per_seed, e);
	out->seed = moe_arena_get(&x->arena, n, sizeof *out->seed, e);
	int kept = whole && pick && out->per_seed && out->seed
		? make_plan(x, method, c, s, &pl, out->seed, e)
		: -1;
	if (kept > 0) {
		for (size_t i = 0; i < x->boot.n_series; i++)
			whole[i] = x->series[i].num ? moe_series_mean(&x->series[i], x->obs->n_cell)
						    : NAN;
		out->n_seed = (size_t)kept;
		out->value = value_of(&pl, whole, NULL, out->n_seed);
		for (uint32_t i = 0; i < (uint32_t)kept; i++)
			out->per_seed[i] = value_of(&pl, whole, &i, 1);
		double se;
		moe_mean_se(out->per_seed, out->n_seed, NULL, &se);
		out->sd_seed = se * sqrt((double)out->n_seed);
		out->t = moe_t_interval(out->per_seed, out->n_seed, alpha);
		out->n_prompt = count_prompts(x, &pl, out->n_seed);
		bootstrap(x, &pl, out->n_seed, alpha, pick, out);
		out->ci = out->n_seed < MOE_SEEDS_TO_BOOTSTRAP ? hull(out->boot, out->t)
							       : out->boot;
	}
	free(whole);
	free(pick);
	free(pl.index);
	return kept < 0 ? -1 : 0;
}

/* Value of part A for one prompt, averaged over the seeds; NaN where a cell of it is missing. */
static double prompt_value(const struct moe_cx *x, const struct plan *pl, size_t kept, size_t p)
{
	double sum = 0;

	for (int i = 0; i < 5 && is_term(&pl->c->a[i]); i++)
		for (size_t s = 0; s < kept; s++) {
			const struct moe_series *y =
				&x->series[pl->index[(size_t)i * pl->n_seed + s]];
			double num = 0, den = 0;
			for (size_t k = x->obs->first_cell[p]; k < x->obs->first_cell[p + 1]; k++) {
				num += y->num[k];
				den += y->den[k];
			}
			sum += den > 0 ? pl->c->a[i].coef * num / den : NAN;
		}
	return sum / (double)kept;
}

int moe_contrast_by_task(struct moe_cx *x, const char *method, const struct moe_contrast *c,
	struct moe_by_task *out, struct moe_err *e)
{
	const struct moe_obs *o = x->obs;
	struct plan pl = { 0 };
	struct moe_names task = { 0 };
	int64_t *seed = moe_alloc(o->n_seed, sizeof *seed, e);
	double *v = moe_alloc(o->n_prompt, sizeof *v, e);
	uint32_t *id = moe_alloc(o->n_prompt, sizeof *id, e);
	bool named = true;

	*out = (struct moe_by_task){ 0, 0, NAN, NAN };
	int kept = seed && v && id ? make_plan(x, method, c, MOE_SUB_ALL, &pl, seed, e) : -1;
	for (size_t p = 0; p < o->n_prompt && kept > 0; p++) {
		double d = prompt_value(x, &pl, (size_t)kept, p);
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
	free(pl.index);
	free(seed);
	free(v);
	free(id);
	return kept < 0 ? -1 : 0;
}
