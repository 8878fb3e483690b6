/* boot.c - bootstrap means of many series at once. Not an interval: contrast.c makes those. */
#include "stat/boot.h"

#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES          8
#define DRAWS_PER_TASK 64

/* sum a[i] b[i] in a fixed order of LANES partial sums, which the compiler may keep in one vector.
 */
static double dot(const double *a, const double *b, size_t n)
{
	double acc[LANES] = { 0 }, sum = 0;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (size_t k = 0; k < LANES; k++)
			acc[k] += a[i + k] * b[i + k];
	for (; i < n; i++)
		sum += a[i] * b[i];
	for (size_t k = 0; k < LANES; k++)
		sum += acc[k];
	return sum;
}

double moe_series_mean(const struct moe_series *s, size_t n_cell)
{
	double num = 0, den = 0;

	for (size_t i = 0; i < n_cell; i++) {
		num += s->num[i];
		den += s->den[i];
	}
	return den > 0 ? num / den : NAN;
}

struct job {
	struct moe_boot *b;
	struct moe_rng prompt, sample;
	double *count; /* [threads, n_cell] */
};

/* count[cell] = how often draw d takes it. */
static void draw_cells(const struct job *j, size_t d, double *count)
{
	const struct moe_boot *b = j->b;

	memset(count, 0, b->n_cell * sizeof *count);
	for (size_t i = 0; i < b->n_prompt; i++) {
		size_t p = (size_t)moe_rng_below(j->prompt, d, i, b->n_prompt);
		size_t first = b->first_cell[p], n = b->first_cell[p + 1] - first;
		if (n == 1) {
			count[first]++;
			continue;
		}
		for (size_t s = 0; s < n; s++)
			count[first + moe_rng_below(j->sample, d, (uint64_t)i << 32 | s, n)]++;
	}
}

static int run_task(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	struct moe_boot *b = j->b;
	double *count = j->count + (size_t)worker * b->n_cell;

	(void)e;
	for (size_t d = task * DRAWS_PER_TASK; d < (task + 1) * DRAWS_PER_TASK && d < b->draws;
		d++) {
		double *mean = b->mean + d * b->n_series, den = 0;
		const double *last = NULL;

		draw_cells(j, d, count);
		for (size_t s = 0; s < b->n_series; s++) {
			if (!b->series[s].num) {
				mean[s] = NAN;
				continue;
			}
			if (b->series[s].den != last) { /* neighbours usually share their weights */
				last = b->series[s].den;
				den = dot(count, last, b->n_cell);
			}
			mean[s] = den > 0 ? dot(count, b->series[s].num, b->n_cell) / den : NAN;
		}
	}
	return 0;
}

int moe_boot_run(struct moe_boot *b, struct moe_pool *pool, struct moe_err *e)
{
	struct job j = { b, moe_rng_key(b->seed, "bootstrap-prompt"),
		moe_rng_key(b->seed, "bootstrap-sample"), NULL };
	size_t n;

	if (!moe_mul(b->draws, b->n_series, &n))
		return moe_fail(e, MOE_SYSTEM,
			"%zu bootstrap draws of %zu series do not fit in memory", b->draws,
			b->n_series);
	b->mean = moe_alloc(n, sizeof *b->mean, e);
	j.count = moe_alloc((size_t)moe_pool_threads(pool) * b->n_cell, sizeof *j.count, e);
	int bad = !b->mean || !j.count ||
		moe_pool_run(
			pool, (b->draws + DRAWS_PER_TASK - 1) / DRAWS_PER_TASK, run_task, &j, e);
	free(j.count);
	return bad ? -1 : 0;
}
