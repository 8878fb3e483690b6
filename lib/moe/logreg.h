/* logreg.h - L2-regularised logistic regression by L-BFGS in double precision: deterministic, for any number of features.
 *
 * Minimises  sum_i wt_i * log(1 + exp(-(2 y_i - 1)(x_i.w + b))) / sum_i wt_i  +  l2/2 |w|^2   over w and b (b is not penalised)
 * on standardised features, and returns w and b for the raw ones. Features that do not vary get weight 0.
 * Nocedal & Wright, Numerical Optimization, algorithms 7.4 and 3.1 (backtracking).
 */
#ifndef MOE_MOE_LOGREG_H
#define MOE_MOE_LOGREG_H

#include "util/err.h"

#include <stddef.h>
#include <stdint.h>

struct moe_logreg_data {
	const float *x;        /* [n, d] row-major, borrowed */
	const uint8_t *y;      /* [n] 0 or 1 */
	const double *wt;      /* [n] weights >= 0; 0 leaves a row out */
	size_t n, d;
};

struct moe_logreg_fit {
	int iterations;
	double loss, grad;     /* at the end: objective, largest gradient component */
};

/* w [d], b [1] are written. MOE_DATA unless both classes have weight; MOE_NUMERIC when a feature is not finite. fit may be NULL. */
int moe_logreg(const struct moe_logreg_data *p, double l2, double *w, double *b, struct moe_logreg_fit *fit, struct moe_err *e);
/* 1 / (1 + exp(-z)), without overflow. */
double moe_sigmoid(double z);

#endif
