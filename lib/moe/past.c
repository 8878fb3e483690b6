/* past.c - remembers scores and finds their weighted quantiles; what is decided by them is
 * method.c's. */
#include "moe/past.h"

#include "util/elementary.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LN_2 0.6931471805599453

void moe_past_free(struct moe_past *p)
{
	free(p->score);
	*p = (struct moe_past){ 0 };
}

int moe_past_add(struct moe_past *p, double score, struct moe_err *e)
{
	if (!isfinite(score))
		return 0;
	if (p->n == p->cap && p->cap < 2 * MOE_PAST_MAX) {
		size_t cap = p->cap ? 2 * p->cap : 256;
		double *v = realloc(p->score, cap * sizeof(*v));

		if (!v)
			return moe_fail(
				e, MOE_SYSTEM, "out of memory for the scores of %zu rollouts", cap);
		p->score = v;
		p->cap = cap;
	}
	if (p->n == p->cap) { /* full: the newest MOE_PAST_MAX - 1 stay, moved once in so many */
		p->n = MOE_PAST_MAX - 1;
		memmove(p->score, p->score + p->cap - p->n, p->n * sizeof(*p->score));
	}
	p->score[p->n++] = score;
	return 0;
}

struct weighed {
	double score, weight;
	size_t at;
};

/* By score; equal ones as they came, so that sums are added in one order everywhere. */
static int compare(const void *a, const void *b)
{
	const struct weighed *x = a, *y = b;

	if (x->score < y->score || x->score > y->score)
		return x->score < y->score ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

int moe_past_quantiles(const struct moe_past *p, double q, double half_life, double *lo, double *hi,
	struct moe_err *e)
{
	size_t n = p->n < MOE_PAST_MAX ? p->n : MOE_PAST_MAX, low = n, high = n;
	const double *score = p->score + p->n - n;
	struct weighed *w = moe_alloc(n, sizeof(*w), e);
	double all = 0, sum = 0;

	if (!w)
		return -1;
	/* w_i = 0.5^(age_i / half_life), the newest of age 0 */
	for (size_t i = 0; i < n; i++) {
		double age = (double)(n - 1 - i);

		w[i] = (struct weighed){ score[i],
			half_life > 0 ? moe_exp(-LN_2 * age / half_life) : 1, i };
	}
	qsort(w, n, sizeof(*w), compare);
	/* in the order of the sums below, so that the last of them is all of it to the bit */
	for (size_t i = 0; i < n; i++)
		all += w[i].weight;
	/* the first i at which sum_{k<=i} w_k >= q all, and >= (1 - q) all */
	for (size_t i = 0; i < n && high == n; i++) {
		sum += w[i].weight;
		if (low == n && sum >= q * all)
			low = i;
		if (sum >= (1 - q) * all)
			high = i;
	}
	*lo = w[low].score;
	*hi = w[high].score;
	free(w);
	return 0;
}
