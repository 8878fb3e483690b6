/* metrics.c - collects training curves from metrics records. */
#include "stat/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void moe_metrics_free(struct moe_metrics *m)
{
	for (size_t i = 0; i < m->n_run; i++)
		free(m->run[i].point);
	free(m->run);
	moe_names_free(&m->key);
	moe_arena_free(&m->arena);
	memset(m, 0, sizeof *m);
}

static struct moe_metrics_run *get_run(
	struct moe_metrics *m, const char *method, int64_t seed, struct moe_err *e)
{
	for (size_t i = 0; i < m->n_run; i++)
		if (m->run[i].seed == seed && !strcmp(m->run[i].method, method))
			return &m->run[i];
	if (moe_grow((void **)&m->run, m->n_run, &m->cap_run, sizeof *m->run, e))
		return NULL;
	struct moe_metrics_run *r = &m->run[m->n_run];
	memset(r, 0, sizeof *r);
	r->seed = seed;
	r->method = moe_arena_str(&m->arena, method, strlen(method), e);
	if (!r->method)
		return NULL;
	m->n_run++;
	return r;
}

int moe_metrics_add(struct moe_metrics *m, const char *method, int64_t seed,
	const struct moe_rec *r, struct moe_err *e)
{
	struct moe_metrics_run *run = get_run(m, method, seed, e);
	int64_t step;

	if (!run || moe_rec_int_req(r, "step", &step, e))
		return -1;
	for (size_t i = 0; i < r->n_field; i++) {
		char key[128];
		double v;
		struct moe_str k = r->field[i].key;
		if (!k.n || k.n >= sizeof key)
			continue;
		memcpy(key, k.p, k.n);
		key[k.n] = 0;
		/* nil or NaN: the step did not measure it */
		if (!strcmp(key, "step") || !moe_rec_f64(r, key, &v) || isnan(v))
			continue;
		int64_t at = moe_names_add(&m->key, &m->arena, k.p, k.n, e);
		if (at < 0 ||
			moe_grow((void **)&run->point, run->n, &run->cap, sizeof *run->point, e))
			return -1;
		run->point[run->n++] = (struct moe_point){ (uint32_t)at, step, v };
	}
	return 0;
}

const struct moe_metrics_run *moe_metrics_find(
	const struct moe_metrics *m, const char *method, int64_t seed)
{
	for (size_t i = 0; i < m->n_run; i++)
		if (m->run[i].seed == seed && !strcmp(m->run[i].method, method))
			return &m->run[i];
	return NULL;
}

double moe_metrics_mean(const struct moe_metrics *m, const struct moe_metrics_run *r,
	const char *key, double *min, double *max)
{
	int64_t k = moe_names_find(&m->key, key);
	double sum = 0, lo = NAN, hi = NAN;
	size_t n = 0;

	for (size_t i = 0; r && k >= 0 && i < r->n; i++) {
		double v = r->point[i].value;
		if (r->point[i].key != (uint32_t)k || isnan(v))
			continue;
		sum += v;
		lo = n && lo < v ? lo : v;
		hi = n && hi > v ? hi : v;
		n++;
	}
	if (min)
		*min = lo;
	if (max)
		*max = hi;
	return n ? sum / (double)n : NAN;
}
