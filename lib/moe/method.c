/* method.c - looks methods up and holds what several of them share; the methods themselves are in
 * methods/. */
#include "moe/method.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const struct moe_method *moe_method_find(const char *name, struct moe_err *e)
{
	char names[256] = "";
	size_t k = 0;

	for (size_t i = 0; moe_methods[i]; i++) {
		if (!strcmp(moe_methods[i]->name, name))
			return moe_methods[i];
		if (k < sizeof(names))
			k += (size_t)snprintf(names + k, sizeof(names) - k, "%s%s", i ? ", " : "",
				moe_methods[i]->name);
	}
	moe_fail(e, MOE_USAGE, "there is no method '%.40s': the methods are %s", name, names);
	return NULL;
}

double moe_method_setting(const struct moe_adapter *a, const char *name, double def)
{
	struct moe_err e;
	const struct moe_method *m = moe_method_find(a->method, &e);

	for (int i = 0; m && m->setting && m->setting[i].name; i++)
		if (!strcmp(m->setting[i].name, name))
			return a->x.set[i];
	return def;
}

int moe_method_route(const struct moe_method *m, const struct moe_engine *g,
	const struct moe_adapter *a, const struct moe_seen *s, size_t n, uint64_t seed,
	int64_t step, struct moe_judged *j, struct moe_nulls *null, struct moe_err *e)
{
	for (size_t i = 0; i < n; i++)
		j[i] = (struct moe_judged){ .score = NAN, .decision = MOE_ABSORB };
	for (size_t i = 0; i < n * (size_t)null->n; i++)
		null->score[i] = NAN;
	if (m->score && m->score(g, a, s, n, j, null, e))
		return -1;
	return m->decide ? m->decide(a, s, n, seed, step, j, e) : 0;
}

int moe_decide_three_way(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	uint64_t seed, int64_t step, struct moe_judged *j, struct moe_err *e)
{
	double lo, hi;

	(void)s;
	(void)seed;
	(void)step;
	if (moe_rec_f64_req(&a->score, "lo", &lo, e) || moe_rec_f64_req(&a->score, "hi", &hi, e))
		return moe_err_prefix(e, "the adapter's score");
	for (size_t i = 0; i < n; i++)
		j[i].decision = j[i].score < lo ? MOE_KEEP
			: j[i].score > hi       ? MOE_ROUTE
						: MOE_ABSORB;
	return 0;
}

void moe_plan_deployed(struct moe_plan *p)
{
	moe_plan_ones(p);
	p->gate[MOE_KEEP][MOE_BANK_QUARANTINE] = 0;
	p->mask[MOE_KEEP][MOE_BANK_QUARANTINE] = 0;
	p->mask[MOE_ROUTE][MOE_BANK_CLEAN] = 0;
	p->mask[MOE_ROUTE][MOE_BANK_SHARED] = 0;
}
