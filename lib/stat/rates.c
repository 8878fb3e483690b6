/* rates.c - the descriptive half of the analysis: rates of each arm, the random ablations' drops,
 * the table by mode. */
#include "stat/verdict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One arm over the seeds of a method: arm[seed][k], k < n_arms (more than one for the random
 * ablations). */
struct arm_set {
	const struct moe_obs_run **run; /* [n_seed] */
	const struct moe_obs_arm **arm; /* [n_seed, n_arms], NULL = missing */
	size_t n_seed, n_arms;
	const char *only; /* mode whose prompts count, NULL = any */
};

static double bit_of(const struct moe_obs_arm *a, size_t cell, enum moe_outcome out)
{
	return a->bits[cell] & (out == MOE_HACK ? MOE_OBS_HACKED : MOE_OBS_SOLVED) ? 1 : 0;
}

/* Weight of an arm's outcomes of one prompt where nothing is tested, so that nothing is paired: all
 * that it has count, each prompt once. */
static double own_weight(const struct moe_obs *o, const struct moe_obs_arm *arm, uint32_t prompt)
{
	double n = 0;

	for (size_t i = o->first_cell[prompt]; i < o->first_cell[prompt + 1]; i++)
		n += arm->bits[i] != 0;
	return n > 0 ? 1 / n : 0;
}

static bool in_mode(const struct moe_obs *o, size_t cell, const char *only)
{
	return !only || !strcmp(only, o->prompt[o->cell_prompt[cell]].mode);
}

/* Weighted mean of an arm over the counting cells that it has, of prompts in `sub` and of the mode
 * `only` (NULL = any). */
static double arm_mean_in(const struct moe_analysis *a, const struct moe_obs_run *r,
	const struct moe_obs_arm *arm, enum moe_outcome out, enum moe_subset sub, const char *only)
{
	const struct moe_obs *o = a->cx.obs;
	const double *paired = a->tested ? moe_cx_weights(&a->cx, r) : NULL;
	double num = 0, den = 0, own = 0;

	for (size_t i = 0; arm && i < o->n_cell; i++) {
		if (!paired && (!i || o->cell_prompt[i] != o->cell_prompt[i - 1]))
			own = own_weight(o, arm, o->cell_prompt[i]);
		double w = paired ? paired[i] : own;
		if (w > 0 && arm->bits[i] && in_mode(o, i, only) &&
			moe_in_subset(&a->uat, &o->prompt[o->cell_prompt[i]], sub)) {
			den += w;
			num += w * bit_of(arm, i, out);
		}
	}
	return den > 0 ? num / den : NAN;
}

static double arm_mean(const struct moe_analysis *a, const struct moe_obs_run *r,
	const struct moe_obs_arm *arm, enum moe_outcome out, const char *only)
{
	return arm_mean_in(a, r, arm, out, MOE_SUB_ALL, only);
}

/* Hack under `on` less hack under the arm, on the endpoint's prompts. */
static double drop_of(
	const struct moe_analysis *a, const struct moe_obs_run *r, const struct moe_obs_arm *arm)
{
	enum moe_subset s = moe_endpoint(&a->uat);

	return arm_mean_in(a, r, moe_obs_find_arm(r, MOE_ARM_ON), MOE_HACK, s, NULL) -
		arm_mean_in(a, r, arm, MOE_HACK, s, NULL);
}

static double mean_known(const double *v, size_t n)
{
	double sum = 0, k = 0;

	for (size_t i = 0; i < n; i++)
		if (!isnan(v[i])) {
			sum += v[i];
			k++;
		}
	return k > 0 ? sum / k : NAN;
}

/* All outcomes of the set that count, with their prompt: v and id have room for n_seed * n_arms *
 * n_cell. */
static size_t gather(const struct moe_analysis *a, const struct arm_set *s, enum moe_outcome out,
	double *v, uint32_t *id, size_t *prompts)
{
	const struct moe_obs *o = a->cx.obs;
	size_t n = 0;
	uint32_t last = UINT32_MAX;

	*prompts = 0;
	for (size_t i = 0; i < o->n_cell; i++)
		for (size_t k = 0; k < s->n_seed * s->n_arms; k++) {
			const struct moe_obs_arm *arm = s->arm[k];
			if (!arm || !arm->bits[i] || !in_mode(o, i, s->only) ||
				(a->tested &&
					!(moe_cx_weights(&a->cx, s->run[k / s->n_arms])[i] > 0)))
				continue;
			v[n] = bit_of(arm, i, out);
			id[n++] = o->cell_prompt[i];
			*prompts += last != o->cell_prompt[i];
			last = o->cell_prompt[i];
		}
	return n;
}

static int fill_rate(struct moe_analysis *a, const struct arm_set *s, enum moe_outcome out,
	struct moe_rate *r, size_t *prompts, struct moe_err *e)
{
	size_t room = s->n_seed * s->n_arms * a->cx.obs->n_cell;
	double *v = moe_alloc(room, sizeof *v, e), se = NAN, mean;
	uint32_t *id = moe_alloc(room, sizeof *id, e);

	r->per_seed = moe_arena_get(&a->cx.arena, s->n_seed, sizeof *r->per_seed, e);
	if (!v || !id || !r->per_seed) {
		free(v);
		free(id);
		return -1;
	}
	r->n_obs = gather(a, s, out, v, id, prompts);
	moe_mean_se(v, r->n_obs, &mean, NULL);
	int bad = moe_cluster_se(v, id, r->n_obs, a->cx.obs->n_prompt, &se, e);
	free(v);
	free(id);
	for (size_t i = 0; i < s->n_seed; i++) {
		double sum = 0, k = 0;
		for (size_t j = 0; j < s->n_arms; j++) {
			double m = arm_mean(a, s->run[i], s->arm[i * s->n_arms + j], out, s->only);
			sum += isnan(m) ? 0 : m;
			k += !isnan(m);
		}
		r->per_seed[i] = k > 0 ? sum / k : NAN;
	}
	r->value = mean_known(r->per_seed, s->n_seed);
	double n_eff = (double)r->n_obs;
	if (r->n_obs >
		*prompts) { /* several outcomes of one prompt are not as good as so many prompts */
		n_eff = mean > 0 && mean < 1 && se > 0 ? mean * (1 - mean) / (se * se)
						       : (double)*prompts;
		n_eff = fmin(fmax(n_eff, 1), (double)r->n_obs);
	}
	r->ci = moe_wilson(r->value * n_eff, n_eff, a->uat.alpha);
	r->seeds = moe_t_interval(r->per_seed, s->n_seed, a->uat.alpha);
	/* never shorter than Wilson's: all seeds are put the same prompts */
	r->seeds.lo = isnan(r->seeds.lo) ? NAN : fmin(fmax(r->seeds.lo, 0), r->ci.lo);
	r->seeds.hi = isnan(r->seeds.hi) ? NAN : fmax(fmin(r->seeds.hi, 1), r->ci.hi);
	return bad;
}

static int add_row(struct moe_analysis *a, struct moe_method_result *m, const struct arm_set *s,
	const struct moe_obs_arm *like, struct moe_err *e)
{
	struct moe_arm_row *row = &m->row[m->n_row++];

	*row = (struct moe_arm_row){
		.name = like->name, .kind = like->kind, .scale = like->scale, .n_arms = s->n_arms
	};
	for (int out = 0; out < MOE_OUTCOMES; out++) {
		if (fill_rate(a, s, (enum moe_outcome)out, &row->rate[out], &row->n_prompt, e))
			return -1;
		row->min[out] = row->max[out] = NAN;
		for (size_t k = 0; k < s->n_arms && s->n_arms > 1; k++) {
			double sum = 0, n = 0;
			for (size_t i = 0; i < s->n_seed; i++) {
				double v = arm_mean(a, s->run[i], s->arm[i * s->n_arms + k],
					(enum moe_outcome)out, s->only);
				sum += isnan(v) ? 0 : v;
				n += !isnan(v);
			}
			if (n > 0) {
				row->min[out] = fmin(row->min[out], sum / n);
				row->max[out] = fmax(row->max[out], sum / n);
			}
		}
	}
	return 0;
}

/* Drops of hack under the ablations of a kind that every seed has, each a mean over seeds:
 * drop[*n], and the quarantine's rank among them. */
static int rank_kind(struct moe_analysis *a, const struct moe_method_result *m,
	enum moe_arm_kind kind, double **out, size_t *n_out, double *p, struct moe_err *e)
{
	const struct moe_obs *o = a->cx.obs;
	size_t least = SIZE_MAX;
	double drop = 0;

	*n_out = 0;
	*p = NAN;
	for (size_t s = 0; s < a->cx.use; s++) {
		const struct moe_obs_run *r = moe_obs_find_run(o, m->method, a->cx.order[s]);
		size_t n = 0;
		for (size_t i = 0; r && i < r->n_arm; i++)
			n += r->arm[i].kind == kind;
		least = n < least ? n : least;
		drop += r ? drop_of(a, r, moe_obs_find_arm(r, MOE_ARM_QOFF)) : NAN;
	}
	if (!a->cx.use || !least)
		return 0;
	*out = moe_arena_get(&a->cx.arena, least, sizeof **out, e);
	if (!*out)
		return -1;
	for (size_t k = 0; k < least; k++) {
		double d = 0;
		for (size_t s = 0; s < a->cx.use; s++) { /* its k-th ablation */
			const struct moe_obs_run *r = moe_obs_find_run(
				o, m->method, a->cx.order[s]);
			size_t n = 0, i = 0;
			for (; i < r->n_arm; i++)
				if (r->arm[i].kind == kind && n++ == k)
					break;
			d += drop_of(a, r, &r->arm[i]) / (double)a->cx.use;
		}
		if (!isnan(d))
			(*out)[(*n_out)++] = d;
	}
	if (*n_out && !isnan(drop))
		*p = moe_rank_p(drop / (double)a->cx.use, *out, *n_out);
	return 0;
}

int moe_rank_random(struct moe_analysis *a, struct moe_method_result *m, struct moe_err *e)
{
	double *damage = NULL;

	if (rank_kind(a, m, MOE_ARM_RANDOM, &m->random_drop, &m->n_random, &m->rank_p, e) ||
		rank_kind(a, m, MOE_ARM_DAMAGE, &damage, &m->n_damage, &m->damage_p, e))
		return -1;
	m->damage_drop = mean_known(damage, m->n_damage);
	return 0;
}

/* Kinds of arms that are drawn by chance and shown as one; NULL for others. */
static const char *group_name(enum moe_arm_kind kind)
{
	return kind == MOE_ARM_RANDOM ? "random-off" : kind == MOE_ARM_DAMAGE ? "damage-off" : NULL;
}

const char *moe_row_key(const struct moe_arm_row *row)
{
	return group_name(row->kind) ? group_name(row->kind) : row->name;
}

const char *moe_row_title(const struct moe_arm_row *row, char out[64])
{
	if (!group_name(row->kind))
		return row->name;
	snprintf(out, 64, "%s, mean of %zu", group_name(row->kind), row->n_arms);
	return out;
}

/* The base's outcomes to compare a run with; where nothing is tested, a run's own only. */
static const struct moe_obs_arm *base_of(const struct moe_analysis *a, const struct moe_obs_run *r)
{
	return a->tested ? moe_obs_base(a->cx.obs, r) : moe_obs_find_arm(r, MOE_ARM_BASE);
}

/* The rows of one kind: one for on, quarantine-off, clean-off and base, a summary for random and
 * damage, one each for the others. */
static int kind_rows(struct moe_analysis *a, struct moe_method_result *m, struct arm_set *s,
	enum moe_arm_kind kind, struct moe_err *e)
{
	size_t most = 0, room = 0;
	const struct moe_obs_arm *like = NULL;

	for (size_t i = 0; i < s->n_seed; i++) {
		size_t n = 0;
		for (size_t j = 0; j < s->run[i]->n_arm; j++)
			if (s->run[i]->arm[j].kind == kind) {
				like = like ? like : &s->run[i]->arm[j];
				n++;
			}
		room = n > room ? n : room;
		most = i == 0 || n < most ? n : most;
	}
	if (kind == MOE_ARM_BASE && a->tested)
		like = s->n_seed ? base_of(a, s->run[0]) : NULL;
	if (!like)
		return 0;
	s->n_arms = !group_name(kind) ? 1 : a->tested ? most : room;
	if (!s->n_arms)
		return 0;
	s->arm = moe_arena_get(&a->cx.arena, s->n_seed * s->n_arms, sizeof *s->arm, e);
	if (!s->arm)
		return -1;
	if (kind == MOE_ARM_SCALE || kind == MOE_ARM_CSCALE ||
		kind == MOE_ARM_OTHER) { /* one row for each name in the first run that has it */
		for (size_t f = 0; f < s->n_seed; f++)
			for (size_t j = 0; j < s->run[f]->n_arm; j++) {
				const struct moe_obs_arm *x = &s->run[f]->arm[j];
				bool seen = x->kind != kind;
				for (size_t k = 0; k < m->n_row; k++)
					seen |= !strcmp(m->row[k].name, x->name);
				for (size_t i = 0; i < s->n_seed; i++) {
					s->arm[i] = NULL;
					for (size_t k = 0; k < s->run[i]->n_arm; k++)
						if (!strcmp(s->run[i]->arm[k].name, x->name))
							s->arm[i] = &s->run[i]->arm[k];
				}
				if (!seen && add_row(a, m, s, x, e))
					return -1;
			}
		return 0;
	}
	for (size_t i = 0; i < s->n_seed; i++) {
		size_t n = 0;
		for (size_t k = 0; k < s->n_arms; k++)
			s->arm[i * s->n_arms + k] = NULL;
		s->arm[i * s->n_arms] = kind == MOE_ARM_BASE ? base_of(a, s->run[i]) : NULL;
		for (size_t j = 0; j < s->run[i]->n_arm && n < s->n_arms; j++)
			if (s->run[i]->arm[j].kind == kind)
				s->arm[i * s->n_arms + n++] = &s->run[i]->arm[j];
	}
	return add_row(a, m, s, like, e);
}

static int all_rows(
	struct moe_analysis *a, struct moe_method_result *m, struct arm_set *s, struct moe_err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_seed; i++)
		n += s->run[i]->n_arm;
	m->row = moe_arena_get(&a->cx.arena, n + 1, sizeof *m->row, e);
	if (!m->row)
		return -1;
	for (int k = MOE_ARM_ON; k <= MOE_ARM_OTHER; k++)
		if (kind_rows(a, m, s, (enum moe_arm_kind)k, e))
			return -1;
	return 0;
}

static int by_mode(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void mode_row(
	const struct moe_analysis *a, const struct arm_set *s, struct moe_mode_row *row)
{
	const struct moe_obs *o = a->cx.obs;

	for (size_t p = 0; p < o->n_prompt; p++) {
		bool counts = false;
		for (size_t i = o->first_cell[p]; i < o->first_cell[p + 1]; i++)
			for (size_t k = 0; k < s->n_seed; k++)
				counts |= moe_cx_weights(&a->cx, s->run[k])[i] > 0;
		row->n_prompt += counts && !strcmp(o->prompt[p].mode, row->mode);
	}
	for (int out = 0; out < MOE_OUTCOMES; out++) {
		double on = 0, off = 0, n = 0;
		for (size_t k = 0; k < s->n_seed; k++) {
			double x = arm_mean(a, s->run[k], moe_obs_find_arm(s->run[k], MOE_ARM_ON),
				(enum moe_outcome)out, row->mode);
			double y = arm_mean(a, s->run[k], moe_obs_find_arm(s->run[k], MOE_ARM_QOFF),
				(enum moe_outcome)out, row->mode);
			if (isnan(x) || isnan(y))
				continue;
			on += x;
			off += y;
			n++;
		}
		row->on[out] = n > 0 ? on / n : NAN;
		row->off[out] = n > 0 ? off / n : NAN;
	}
}

/* Every arm that has prompts of the mode, as it is after deletion, too: a form may hide while the
 * quarantine is on. */
static int mode_rates(struct moe_analysis *a, const struct arm_set *s, struct moe_mode_row *row,
	struct moe_err *e)
{
	const struct moe_obs *o = a->cx.obs;
	struct arm_set of_mode = *s;
	struct moe_method_result all = { 0 };

	of_mode.only = row->mode;
	if (all_rows(a, &all, &of_mode, e))
		return -1;
	for (size_t p = 0; p < o->n_prompt && !a->tested; p++)
		row->n_prompt += !strcmp(o->prompt[p].mode, row->mode);
	row->arm = all.row;
	for (size_t i = 0; i < all.n_row; i++)
		if (all.row[i].n_prompt)
			row->arm[row->n_arm++] = all.row[i];
	return 0;
}

static const struct moe_contrast drop_hack = { .a = { { 1, MOE_SELF, MOE_ARM_ON, MOE_HACK },
						       { -1, MOE_SELF, MOE_ARM_QOFF, MOE_HACK } } };

static int summary_row(struct moe_analysis *a, struct moe_method_result *m, enum moe_subset sub,
	const char *name, struct moe_err *e)
{
	struct moe_mode_row *row = &m->mode[m->n_mode],
			    sum = {
				    .mode = name, .summary = true, .pinned = sub == MOE_SUB_PINNED
			    };

	for (size_t i = 0; i < m->n_mode; i++)
		if (!m->mode[i].summary && !m->mode[i].free_mode && m->mode[i].pinned == sum.pinned)
			sum.n_prompt += m->mode[i].n_prompt;
	if (!sum.n_prompt)
		return 0;
	double level = a->look[a->n_look - 1].level_hack;
	for (int out = 0; out < MOE_OUTCOMES; out++) {
		struct moe_contrast on = {
			.a = { { 1, MOE_SELF, MOE_ARM_ON, (enum moe_outcome)out } }
		};
		struct moe_contrast off = {
			.a = { { 1, MOE_SELF, MOE_ARM_QOFF, (enum moe_outcome)out } }
		};
		struct moe_estimate x, y;
		if (moe_contrast_eval(&a->cx, m->method, &on, sub, level, &x, e) ||
			moe_contrast_eval(&a->cx, m->method, &off, sub, level, &y, e))
			return -1;
		sum.on[out] = x.value;
		sum.off[out] = y.value;
	}
	if (moe_contrast_eval(&a->cx, m->method, &drop_hack, sub, level, &sum.drop, e))
		return -1;
	*row = sum;
	m->n_mode++;
	return 0;
}

static int modes(struct moe_analysis *a, struct moe_method_result *m, const struct arm_set *s,
	struct moe_err *e)
{
	const struct moe_obs *o = a->cx.obs;
	const char **mode = moe_alloc(o->n_prompt, sizeof *mode, e);
	size_t n = 0;
	int bad = 0;

	if (!mode)
		return -1;
	for (size_t p = 0; p < o->n_prompt; p++)
		mode[p] = o->prompt[p].mode;
	if (o->n_prompt)
		qsort(mode, o->n_prompt, sizeof *mode, by_mode);
	for (size_t p = 0; p < o->n_prompt; p++)
		if (!n || strcmp(mode[n - 1], mode[p]))
			mode[n++] = mode[p];
	m->mode = moe_arena_get(&a->cx.arena, n + 2, sizeof *m->mode, e);
	for (size_t i = 0; i < n && m->mode; i++) {
		struct moe_mode_row *row = &m->mode[m->n_mode];
		*row = (struct moe_mode_row){ .mode = mode[i],
			.pinned = moe_uat_is_pinned(&a->uat, mode[i]),
			.free_mode = moe_uat_is_free(&a->uat, mode[i]) };
		if (a->tested)
			mode_row(a, s, row);
		bad |= mode_rates(a, s, row, e);
		m->n_mode += row->n_prompt > 0;
	}
	free(mode);
	if (!m->mode || bad)
		return -1;
	if (!a->tested)
		return 0;
	return summary_row(a, m, MOE_SUB_PINNED, "all pinned", e) ||
			summary_row(a, m, MOE_SUB_NEVER, "all never pinned", e)
		? -1
		: 0;
}

/* Outcomes that lost and gained the hack when the quarantine went; McNemar where they are
 * independent. */
static void discordant(
	const struct moe_analysis *a, const struct arm_set *s, struct moe_method_result *m)
{
	const struct moe_obs *o = a->cx.obs;
	bool single = s->n_seed == 1 && o->n_cell == o->n_prompt;

	for (size_t k = 0; k < s->n_seed; k++) {
		const struct moe_obs_arm *on = moe_obs_find_arm(s->run[k], MOE_ARM_ON),
					 *off = moe_obs_find_arm(s->run[k], MOE_ARM_QOFF);
		const double *w = moe_cx_weights(&a->cx, s->run[k]);
		for (size_t i = 0; on && off && i < o->n_cell; i++)
			if (w[i] > 0 && on->bits[i] && off->bits[i]) {
				m->lost += bit_of(on, i, MOE_HACK) > bit_of(off, i, MOE_HACK);
				m->gained += bit_of(on, i, MOE_HACK) < bit_of(off, i, MOE_HACK);
			}
	}
	m->mcnemar = single ? moe_mcnemar((int64_t)m->lost, (int64_t)m->gained) : NAN;
}

/* The runs of a method, in the order of their seeds. */
static int runs_of(struct moe_analysis *a, const char *method, struct arm_set *s, struct moe_err *e)
{
	const struct moe_obs *o = a->cx.obs;

	*s = (struct arm_set){ .run = moe_arena_get(&a->cx.arena, o->n_run, sizeof *s->run, e) };
	if (!s->run)
		return -1;
	for (size_t i = 0; i < o->n_run; i++)
		if (!strcmp(o->run[i].method, method))
			s->run[s->n_seed++] = &o->run[i];
	return 0;
}

int moe_summarise_method(struct moe_analysis *a, struct moe_method_result *m, struct moe_err *e)
{
	struct arm_set s;

	m->seed = moe_arena_get(&a->cx.arena, a->cx.obs->n_run, sizeof *m->seed, e);
	if (!m->seed || runs_of(a, m->method, &s, e))
		return -1;
	for (size_t i = 0; i < s.n_seed; i++) {
		m->seed[i] = s.run[i]->seed;
		m->oracle |= s.run[i]->oracle;
	}
	m->n_seed = s.n_seed;
	m->rank_p = m->mcnemar = NAN;
	if (all_rows(a, m, &s, e))
		return -1;
	if (a->tested)
		discordant(a, &s, m);
	return 0;
}

int moe_summarise_modes(struct moe_analysis *a, struct moe_method_result *m, struct moe_err *e)
{
	struct arm_set s;

	return runs_of(a, m->method, &s, e) || modes(a, m, &s, e) ? -1 : 0;
}
