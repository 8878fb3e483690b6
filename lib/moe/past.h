/* past.h - what a method remembers of a run: the scores of its rollouts so far, and their weighted
 * quantiles.
 *
 * Label-free thresholds, after vGROUT's band gate (routeA): quantiles q and 1 - q of the scores of
 * the last MOE_PAST_MAX rollouts, of which one that is `age` rollouts old weighs 0.5^(age /
 * half_life). There a buffer of features is scored anew with the current direction; here the scores
 * themselves are kept. While a score is fixed at moe-pin and reads the frozen base, that is the
 * same. With `refresh` it is not: an old score stays as it was given, in units of the pairs'
 * contrast or spread of its own time. Not thread-safe.
 */
#ifndef MOE_MOE_PAST_H
#define MOE_MOE_PAST_H

#include "util/err.h"

#include <stddef.h>

#define MOE_PAST_MAX 8192 /* rollouts; older ones are forgotten */

struct moe_past {
	double *score; /* [n] oldest first; owned */
	size_t n, cap;
};

void moe_past_free(struct moe_past *p); /* accepts a zeroed struct */
/* Remembers a score. One that is not finite is none, and is passed over. */
int moe_past_add(struct moe_past *p, double score, struct moe_err *e);
/* *lo and *hi: the smallest remembered score at which the weight of it and of all below reaches q,
 * or 1 - q, of all weight (p->n > 0). The newest score's age is 0; half_life 0 = all weigh the
 * same. q in (0, 1/2]. */
int moe_past_quantiles(const struct moe_past *p, double q, double half_life, double *lo, double *hi,
	struct moe_err *e);

#endif
