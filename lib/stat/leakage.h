/* leakage.h - SGTM's measure of what got past the labels (Shilov et al. 2512.05648, appendix G).
 *
 *     leakage = (forget data that a standard run needs to reach the same forget loss)
 *             / (unlabelled forget data that the run saw)
 *
 * A standard run has the same retain data and so much forget data, all of it teaching everything;
 * its loss at amounts between those that were run is interpolated linearly. Leaving out what is
 * labelled (data filtering) has leakage 1 by definition: what is not labelled teaches as in a
 * standard run.
 */
#ifndef MOE_STAT_LEAKAGE_H
#define MOE_STAT_LEAKAGE_H

#include <stddef.h>

struct moe_standard {
	double data, loss; /* forget data that the run saw, its forget loss after */
};

/* The least amount of forget data at which the curve through s [n] (sorted here, by data) has come
 * down to the loss: of two runs of which the second is below it, the place on the line between.
 * The least amount of all when even that is enough (the loss is an upper bound then); INFINITY when
 * none is; NaN without runs. */
double moe_standard_data(struct moe_standard *s, size_t n, double loss);

#endif
