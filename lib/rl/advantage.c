/* advantage.c - rewards to advantages; no gradients here. */
#include "rl/advantage.h"

#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int moe_adv_scale_parse(const char *s, enum moe_adv_scale *out, struct moe_err *e)
{
	static const char *const names[] = { "none", "group", "batch" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(names[i], s)) {
			*out = (enum moe_adv_scale)i;
			return 0;
		}
	return moe_fail(
		e, MOE_USAGE, "'%.40s' is not a scale of rewards: none, group and batch are", s);
}

/* Of those that are scored: a gap is no number. idx NULL = all. */
static double mean_of(const double *v, const size_t *idx, size_t n)
{
	double s = 0, k = 0;

	for (size_t i = 0; i < n; i++) {
		double x = v[idx ? idx[i] : i];

		if (!isnan(x)) {
			s += x;
			k++;
		}
	}
	return k > 0 ? s / k : 0;
}

/* Unbiased, about `mean`; 0 where fewer than two are scored. */
static double std_of(const double *v, const size_t *idx, size_t n, double mean)
{
	double s = 0, k = 0;

	for (size_t i = 0; i < n; i++) {
		double x = v[idx ? idx[i] : i];

		if (!isnan(x)) {
			s += (x - mean) * (x - mean);
			k++;
		}
	}
	return k > 1 ? sqrt(s / (k - 1)) : 0;
}

struct ctx {
	const double *reward;
	const int64_t *group;
	const bool *keep;
	const struct moe_adv_opts *o;
	double *adv;
	bool *dead;
	size_t *idx;
};

/* Are all rewards of idx[0..n) equal that there are (of the kept ones alone)? */
static bool all_equal(const struct ctx *c, size_t n, bool kept)
{
	const double *first = NULL;

	for (size_t i = 0; i < n; i++) {
		const double *r = &c->reward[c->idx[i]];

		if (isnan(*r) || (kept && !c->keep[c->idx[i]]))
			continue;
		if (first && *r != *first)
			return false;
		first = first ? first : r;
	}
	return true;
}

static size_t scored(const struct ctx *c, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += isnan(c->reward[c->idx[i]]) ? 0 : 1;
	return k;
}

/* NaN when there is none. */
static double mean_kept(const struct ctx *c, size_t n)
{
	double s = 0, k = 0;

	for (size_t i = 0; i < n; i++)
		if (c->keep[c->idx[i]] && !isnan(c->reward[c->idx[i]])) {
			s += c->reward[c->idx[i]];
			k++;
		}
	return k > 0 ? s / k : NAN;
}

/* One group: members idx[0..n). Returns whether all its rewards are equal.
 *
 *     A_k = (R_k - baseline) / (std + 1e-4)    std: none, the group's or the batch's, by scale
 *
 * The baseline is the mean of the group, or of the batch (over_batch). With split, the rollouts
 * that are kept (keep[k]) have the mean of the group's kept ones instead; with kept, all have it. A
 * group without a kept rollout falls back to the former. */
static bool one_group(const struct ctx *c, size_t n, double batch_mean, double batch_std)
{
	double mean = c->o->over_batch ? batch_mean : mean_of(c->reward, c->idx, n),
	       std = std_of(c->reward, c->idx, n, mean);
	bool split = (c->o->split || c->o->kept) && c->keep, equal = all_equal(c, n, false),
	     kept_equal = split && all_equal(c, n, true);
	double kept = split ? mean_kept(c, n) : NAN;

	for (size_t i = 0; i < n; i++) {
		size_t k = c->idx[i];
		bool own = split && !isnan(kept) && (c->keep[k] || c->o->kept);
		/* not the rounding of a mean of equal numbers, which an optimiser could blow up */
		double a = equal || (own && kept_equal && c->keep[k]) || isnan(c->reward[k])
			? 0
			: c->reward[k] - (own ? kept : mean);

		/* 1e-4 as TRL has it */
		if (c->o->over_batch || c->o->scale == MOE_ADV_BATCH)
			a /= batch_std + 1e-4;
		else if (c->o->scale == MOE_ADV_GROUP)
			a /= std + 1e-4;
		c->adv[k] = a;
		if (c->dead)
			c->dead[k] = equal;
	}
	return equal;
}

void moe_reward_mean(size_t n, const double *reward, struct moe_adv_stats *st)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += isnan(reward[i]) ? 0 : 1;
	st->mean = k > 0 ? mean_of(reward, NULL, n) : NAN;
	st->std = k > 1 ? std_of(reward, NULL, n, st->mean) : NAN;
}

int moe_advantages(size_t n, const double *reward, const int64_t *group, const bool *keep,
	const struct moe_adv_opts *o, double *adv, bool *dead, struct moe_adv_stats *st,
	struct moe_err *e)
{
	struct ctx c = { reward, group, keep, o, adv, dead, NULL };
	bool *done = moe_alloc(n, sizeof(*done), e);
	double mean, std;
	size_t zero = 0;
	bool bad = false;

	*st = (struct moe_adv_stats){ 0 };
	c.idx = moe_alloc(n, sizeof(*c.idx), e);
	if (!done || !c.idx) {
		free(done);
		free(c.idx);
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		bad |= isinf(reward[i]) || (isnan(reward[i]) && !o->gaps);
	mean = mean_of(reward, NULL, n);
	std = std_of(reward, NULL, n, mean);
	for (size_t i = 0; i < n; i++) {
		size_t m = 0;

		if (done[i])
			continue;
		/* members need not stand together: the first of a group gathers the rest */
		for (size_t k = i; k < n; k++)
			if (group[k] == group[i]) {
				c.idx[m++] = k;
				done[k] = true;
			}
		st->groups++;
		if (one_group(&c, m, mean, std)) {
			st->dead++;
			/* one of several has no std */
			zero += m == 1 || scored(&c, m) > 1 ? m : 0;
		}
	}
	moe_reward_mean(n, reward, st);
	st->zero_std = n ? (double)zero / (double)n : 0;
	if (o->over_batch || o->scale == MOE_ADV_BATCH)
		st->zero_std = st->std <= 1e-8;
	free(done);
	free(c.idx);
	return bad || !isfinite(mean) ? moe_fail(e, MOE_NUMERIC, "a reward is not finite") : 0;
}
