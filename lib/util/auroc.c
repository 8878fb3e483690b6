/* auroc.c - area under the ROC curve from ranks. */
#include "util/auroc.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>

struct scored {
	double score;
	uint8_t positive;
};

static int by_score(const void *a, const void *b)
{
	double x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;

	return (x > y) - (x < y);
}

int moe_auroc(
	const double *score, const uint8_t *positive, size_t n, double *out, struct moe_err *e)
{
	struct scored *s = moe_alloc(n, sizeof *s, e);
	double ranks = 0, pos = 0;

	if (!s)
		return -1;
	for (size_t i = 0; i < n; i++)
		s[i] = (struct scored){ score[i], positive[i] != 0 };
	if (n)
		qsort(s, n, sizeof *s, by_score);
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && s[j].score <= s[i].score; j++)
			;
		double rank = (double)(i + 1 + j) / 2; /* mean of the 1-based ranks i+1 .. j */
		for (size_t k = i; k < j; k++)
			if (s[k].positive) {
				ranks += rank;
				pos++;
			}
	}
	double neg = (double)n - pos;
	*out = pos > 0 && neg > 0 ? (ranks - pos * (pos + 1) / 2) / (pos * neg) : NAN;
	free(s);
	return 0;
}
