/* auroc.h - how well a score tells two classes apart, whatever its scale. Pure; thread-safe. */
#ifndef MOE_UTIL_AUROC_H
#define MOE_UTIL_AUROC_H

#include "util/err.h"

#include <stddef.h>
#include <stdint.h>

/* Area under the ROC curve = P(score of a positive > of a negative) + P(tie)/2, from tie-averaged
 * ranks (Mann-Whitney). positive[n] holds 0 or 1. NaN when a class is empty. */
int moe_auroc(
	const double *score, const uint8_t *positive, size_t n, double *out, struct moe_err *e);

#endif
