/* boot.c - bootstrap means of many series at once. Not an interval: contrast.c makes those. */
#include "stat/boot.h"

#include "tensor/vec.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES          8
#define DRAWS          4 /* at once */
#define DRAWS_PER_TASK 64

/* Eight numbers that the compiler keeps in as few vectors as the processor has them. */
typedef double lanes __attribute__((vector_size(LANES * sizeof(double)), aligned(8)));

/* out[d] = sum a[d * n + i] b[i] for DRAWS draws at once, so that b is read once for all of them;
 * each in a fixed order of LANES partial sums, whatever the processor. */
MOE_CLONES static void dots(const double *a, const double *b, size_t n, double out[DRAWS])
{
	lanes acc[DRAWS] = { { 0 } };
	size_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		lanes x = *(const lanes *)(b + i);

		for (size_t d = 0; d < DRAWS; d++)
			acc[d] += *(const lanes *)(a + d * n + i) * x;
	}
	for (size_t d = 0; d < DRAWS; d++) {
		out[d] = 0;
		for (size_t k = i; k < n; k++)
			out[d] += a[d * n + k] * b[k];
		for (size_t k = 0; k < LANES; k++)
			out[d] += acc[d][k];
	}
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
	double *count; /* [threads, DRAWS, n_cell] */
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

/* The means of all series in n <= DRAWS draws from d on; counts beyond n are of older draws, and
 * their means go nowhere. */
static void means(const struct moe_boot *b, const double *count, size_t d, size_t n)
{
	double den[DRAWS] = { 0 }, num[DRAWS];
	const double *last = NULL;

	for (size_t s = 0; s < b->n_series; s++) {
		double *mean = b->mean + d * b->n_series + s;

		if (b->series[s].num) {
			if (b->series[s].den != last) { /* neighbours usually share their weights */
				last = b->series[s].den;
				dots(count, last, b->n_cell, den);
			}
			dots(count, b->series[s].num, b->n_cell, num);
		}
		for (size_t i = 0; i < n; i++)
			mean[i * b->n_series] = b->series[s].num && den[i] > 0 ? num[i] / den[i]
									       : NAN;
	}
}

static int run_task(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	struct moe_boot *b = j->b;
	double *count = j->count + (size_t)worker * DRAWS * b->n_cell;
	size_t end = (task + 1) * DRAWS_PER_TASK < b->draws ? (task + 1) * DRAWS_PER_TASK
							    : b->draws;

	(void)e;
	for (size_t d = task * DRAWS_PER_TASK; d < end; d += DRAWS) {
		size_t n = end - d < DRAWS ? end - d : DRAWS;

		for (size_t i = 0; i < n; i++)
			draw_cells(j, d + i, count + i * b->n_cell);
		means(b, count, d, n);
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
	j.count = moe_alloc((size_t)moe_pool_threads(pool) * b->n_cell, DRAWS * sizeof *j.count, e);
	int bad = !b->mean || !j.count ||
		moe_pool_run(
			pool, (b->draws + DRAWS_PER_TASK - 1) / DRAWS_PER_TASK, run_task, &j, e);
	free(j.count);
	return bad ? -1 : 0;
}
