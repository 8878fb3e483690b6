/* boot.c - bootstrap means of many series at once. Not an interval: contrast.c makes those. */
#include "stat/boot.h"

#include "tensor/vec.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES          8
#define DRAWS          4   /* summed at once */
#define BLOCK          512 /* cells whose counts in DRAWS draws stay in the first cache */
#define DRAWS_PER_TASK 64  /* each block of a column is read from memory once for them */

/* Eight numbers that the compiler keeps in as few vectors as the processor has them. */
typedef double lanes __attribute__((vector_size(LANES * sizeof(double)), aligned(8)));

/* sum[d * stride] += sum a[d * BLOCK + i] b[i] for DRAWS draws at once, so that b is read once for
 * all of them; each in a fixed order of LANES partial sums, whatever the processor. */
MOE_CLONES static void add_dots(
	const double *a, const double *b, size_t n, double *sum, size_t stride)
{
	lanes acc[DRAWS] = { { 0 } };
	size_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		lanes x = *(const lanes *)(b + i);

		for (size_t d = 0; d < DRAWS; d++)
			acc[d] += *(const lanes *)(a + d * BLOCK + i) * x;
	}
	for (size_t d = 0; d < DRAWS; d++) {
		double rest = 0;

		for (size_t k = i; k < n; k++)
			rest += a[d * BLOCK + k] * b[k];
		for (size_t k = 0; k < LANES; k++)
			rest += acc[d][k];
		sum[d * stride] += rest;
	}
}

/* sum w v / sum w over all cells; NaN when no cell counts. */
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
	/* The arrays to be summed over the cells of a draw: every numerator, and every denominator
	 * once, since many series share it. */
	const double **column;
	size_t n_column;
	uint32_t *num, *den; /* [n_series] columns of a series; NONE where there is no series */
	uint8_t *count;      /* [threads, DRAWS_PER_TASK, n_cell] */
	double *sum;         /* [threads, DRAWS_PER_TASK, n_column] */
};

enum { NONE = UINT32_MAX };

static uint32_t add_column(struct job *j, const double *v)
{
	j->column[j->n_column] = v;
	return (uint32_t)j->n_column++;
}

/* The columns of all series: a numerator each, and a denominator for those that share no earlier
 * one's. */
static void make_columns(struct job *j)
{
	const struct moe_boot *b = j->b;

	for (size_t s = 0; s < b->n_series; s++) {
		j->num[s] = j->den[s] = NONE;
		if (!b->series[s].num)
			continue;
		for (size_t t = 0; t < s && j->den[s] == NONE; t++)
			if (b->series[t].num && b->series[t].den == b->series[s].den)
				j->den[s] = j->den[t];
		if (j->den[s] == NONE)
			j->den[s] = add_column(j, b->series[s].den);
		j->num[s] = add_column(j, b->series[s].num);
	}
}

/* count[cell] = how often draw d takes it: once on the average, and more than the 255 that fit with
 * a probability below 1e-150, whatever the number of prompts and samples. */
static void draw_cells(const struct job *j, size_t d, uint8_t *count)
{
	const struct moe_boot *b = j->b;
	uint32_t drawn[256];

	memset(count, 0, b->n_cell * sizeof *count);
	for (size_t i = 0; i < b->n_prompt; i++) {
		if (i % 256 == 0)
			moe_rng_belows(j->prompt, d, i, b->n_prompt,
				b->n_prompt - i < 256 ? b->n_prompt - i : 256, drawn);
		/* first stage: a prompt for slot i; second: n of its n cells, with replacement,
		 * under a key of (draw, slot, s), so that a prompt drawn twice resamples twice */
		size_t p = drawn[i % 256], first = b->first_cell[p],
		       n = b->first_cell[p + 1] - first;
		if (n == 1) {
			count[first]++;
			continue;
		}
		for (size_t s = 0; s < n; s++)
			count[first + moe_rng_below(j->sample, d, (uint64_t)i << 32 | s, n)]++;
	}
}

/* sum[draw, column] over the cells of each of n draws, count[draw, cell]. Block by block: the
 * counts of DRAWS draws stay in the first cache while all columns pass, and a block of all columns
 * in the second while all draws do. */
static void sum_columns(const struct job *j, const uint8_t *count, size_t n, double *sum)
{
	size_t n_cell = j->b->n_cell, n_column = j->n_column;
	double part[DRAWS * BLOCK];

	memset(sum, 0, DRAWS_PER_TASK * n_column * sizeof *sum);
	for (size_t at = 0; at < n_cell; at += BLOCK) {
		size_t len = n_cell - at < BLOCK ? n_cell - at : BLOCK;

		for (size_t d = 0; d < n; d += DRAWS) { /* rows beyond n: of older draws, unread */
			for (size_t k = 0; k < DRAWS; k++)
				for (size_t i = 0; i < len; i++)
					part[k * BLOCK + i] = count[(d + k) * n_cell + at + i];
			for (size_t c = 0; c < n_column; c++)
				add_dots(part, j->column[c] + at, len, sum + d * n_column + c,
					n_column);
		}
	}
}

static int run_task(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	struct moe_boot *b = j->b;
	size_t d = task * DRAWS_PER_TASK,
	       n = b->draws - d < DRAWS_PER_TASK ? b->draws - d : DRAWS_PER_TASK;
	uint8_t *count = j->count + (size_t)worker * DRAWS_PER_TASK * b->n_cell;
	double *sum = j->sum + (size_t)worker * DRAWS_PER_TASK * j->n_column;

	(void)e;
	/* 1. count[draw, cell]; 2. sum[draw, column] = sum_cell count * column; 3. mean[draw,
	 * series] = its numerator's sum over its denominator's, NaN where no cell that counts was
	 * drawn */
	for (size_t i = 0; i < n; i++)
		draw_cells(j, d + i, count + i * b->n_cell);
	sum_columns(j, count, n, sum);
	for (size_t i = 0; i < n; i++)
		for (size_t s = 0; s < b->n_series; s++) {
			const double *of = sum + i * j->n_column;

			b->mean[(d + i) * b->n_series + s] = j->num[s] != NONE && of[j->den[s]] > 0
				? of[j->num[s]] / of[j->den[s]]
				: NAN;
		}
	return 0;
}

int moe_boot_run(struct moe_boot *b, struct moe_pool *pool, struct moe_err *e)
{
	struct job j = { .b = b,
		.prompt = moe_rng_key(b->seed, "bootstrap-prompt"),
		.sample = moe_rng_key(b->seed, "bootstrap-sample") };
	size_t n, rows = (size_t)moe_pool_threads(pool) * DRAWS_PER_TASK;

	if (!moe_mul(b->draws, b->n_series, &n))
		return moe_fail(e, MOE_SYSTEM,
			"%zu bootstrap draws of %zu series do not fit in memory", b->draws,
			b->n_series);
	b->mean = moe_alloc(n, sizeof *b->mean, e);
	j.column = moe_alloc(2 * b->n_series, sizeof *j.column, e);
	j.num = moe_alloc(b->n_series, sizeof *j.num, e);
	j.den = moe_alloc(b->n_series, sizeof *j.den, e);
	int bad = !b->mean || !j.column || !j.num || !j.den;
	if (!bad) {
		make_columns(&j);
		j.count = moe_alloc(rows, b->n_cell, e);
		j.sum = moe_alloc(rows, j.n_column * sizeof *j.sum, e);
		bad = !j.count || !j.sum ||
			moe_pool_run(pool, (b->draws + DRAWS_PER_TASK - 1) / DRAWS_PER_TASK,
				run_task, &j, e);
	}
	free(j.column);
	free(j.num);
	free(j.den);
	free(j.count);
	free(j.sum);
	return bad ? -1 : 0;
}
