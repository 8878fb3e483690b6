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

static double std_of(const double *v, const size_t *idx, size_t n, double mean)
{
	double s = 0;

	for (size_t i = 0; i < n; i++)
		s += (v[idx[i]] - mean) * (v[idx[i]] - mean);
	return n > 1 ? sqrt(s / (double)(n - 1)) : 0;
}

static double mean_of(const double *v, const size_t *idx, size_t n)
{
	double s = 0;

	for (size_t i = 0; i < n; i++)
		s += v[idx[i]];
	return n ? s / (double)n : 0;
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

/* One group: members idx[0..n). Returns whether all its rewards are equal. */
static bool one_group(const struct ctx *c, size_t n, double batch_std)
{
	double mean = mean_of(c->reward, c->idx, n), std = std_of(c->reward, c->idx, n, mean),
	       kept = 0;
	size_t n_keep = 0, first_kept = 0;
	bool equal = true, kept_equal = true;

	for (size_t i = 0; i < n; i++) {
		size_t k = c->idx[i];

		equal &= c->reward[k] == c->reward[c->idx[0]];
		if (c->keep && c->keep[k]) {
			first_kept = n_keep ? first_kept : k;
			kept_equal &= c->reward[k] == c->reward[first_kept];
			kept += c->reward[k];
			n_keep++;
		}
	}
	for (size_t i = 0; i < n; i++) {
		size_t k = c->idx[i];
		bool own = (c->o->split && c->keep && c->keep[k]) || (c->o->kept && n_keep);
		/* not the rounding of a mean of equal numbers, which an optimiser could blow up */
		double a = equal || (own && kept_equal && c->keep[k])
			? 0
			: c->reward[k] - (own ? kept / (double)n_keep : mean);

		if (c->o->scale != MOE_ADV_NONE)
			a /= (c->o->scale == MOE_ADV_GROUP ? std : batch_std) + 1e-4;
		c->adv[k] = a;
		if (c->dead)
			c->dead[k] = equal;
	}
	return equal;
}

int moe_advantages(size_t n, const double *reward, const int64_t *group, const bool *keep,
	const struct moe_adv_opts *o, double *adv, bool *dead, struct moe_adv_stats *st,
	struct moe_err *e)
{
	struct ctx c = { reward, group, keep, o, adv, dead, NULL };
	bool *done = moe_alloc(n, sizeof(*done), e);
	size_t zero = 0;

	*st = (struct moe_adv_stats){ 0 };
	c.idx = moe_alloc(n, sizeof(*c.idx), e);
	if (!done || !c.idx) {
		free(done);
		free(c.idx);
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		c.idx[i] = i;
	st->mean = mean_of(reward, c.idx, n);
	st->std = std_of(reward, c.idx, n, st->mean);
	for (size_t i = 0; i < n; i++) {
		size_t m = 0;

		if (done[i])
			continue;
		for (size_t k = i; k < n; k++)
			if (group[k] == group[i]) {
				c.idx[m++] = k;
				done[k] = true;
			}
		st->groups++;
		if (one_group(&c, m, st->std)) {
			st->dead++;
			zero += m;
		}
	}
	st->zero_std = n ? (double)zero / (double)n : 0;
	free(done);
	free(c.idx);
	return isfinite(st->mean) ? 0 : moe_fail(e, MOE_NUMERIC, "a reward is not finite");
}
