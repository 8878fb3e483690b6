/* logreg.h - L2-regularised logistic regression by L-BFGS in double precision: deterministic, for
 * any number of features.
 *
 * Minimises  sum_i wt_i * log(1 + exp(-(2 y_i - 1)(x_i.w + b))) / sum_i wt_i  +  l2/2 |w|^2   over
 * w and b (b is not penalised) on standardised features, and returns w and b for the raw ones.
 * Features that do not vary get weight 0. Nocedal & Wright, Numerical Optimization, algorithms 7.4
 * and 3.1 (backtracking).
 */
#ifndef MOE_MOE_LOGREG_H
#define MOE_MOE_LOGREG_H

#include "util/err.h"
#include "util/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moe_logreg_data {
	const float *x;   /* [n, d] row-major, borrowed */
	const uint8_t *y; /* [n] 0 or 1 */
	const double *wt; /* [n] weights >= 0; 0 leaves a row out */
	size_t n, d;
};

struct moe_logreg_fit {
	int iterations;
	double loss, grad; /* at the end: objective, largest gradient component */
};

/* w [d], b [1] are written; with `warm` their values are where the search starts. Rows are cut into
 * chunks of fixed size, which the pool (NULL: the caller alone) works on and which are added up in
 * order: the same bits for every number of threads. MOE_DATA unless both classes have weight;
 * MOE_NUMERIC when a feature is not finite. fit may be NULL. */
int moe_logreg(const struct moe_logreg_data *p, double l2, bool warm, struct moe_pool *pool,
	double *w, double *b, struct moe_logreg_fit *fit, struct moe_err *e);
/* The standardisation behind it: weighted mean[d], and inv[d] = 1 / standard deviation, 0 where a
 * feature does not vary. Errors as above. */
int moe_logreg_standard(
	const struct moe_logreg_data *p, double *mean, double *inv, struct moe_err *e);
/* sum_i w_i x_i in double, in an order that does not depend on the machine. */
double moe_logreg_dot(const double *w, const float *x, size_t d);
/* 1 / (1 + exp(-z)), without overflow. */
double moe_sigmoid(double z);

#endif
