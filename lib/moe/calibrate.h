/* calibrate.h - how well the sides of pairs are predicted, before and after a calibration of the
 * logits: one bias per token of the vocabulary. Nothing of the model is changed.
 *
 * SGTM (Shilov et al. 2512.05648) reports losses after such a calibration, so that deleting a part
 * does not look good by mere mis-calibration: a model that has unlearned something must lack it
 * when its token frequencies are right again. The bias b [V] is what Adam makes of
 *
 *     L(b) = NLL of the forget data + 100 * NLL of the retain data,       nats a token
 *
 * from 0. Here the forget data are the pairs' hack sides and the retain data their clean sides. A
 * pair is measured under the bias that the other half of the pairs gave (two folds), so that b does
 * not know what it is measured on.
 */
#ifndef MOE_MOE_CALIBRATE_H
#define MOE_MOE_CALIBRATE_H

#include "moe/method.h"

#define MOE_CALIBRATE_RETAIN 100 /* weight of the retain data */

struct moe_calibrate_opts {
	int steps; /* 200 */
	double lr; /* 0.01, Adam's (0.9, 0.999) */
};

/* nll [2 n] and after [2 n]: sums over the tokens of each side, hack, clean, hack, ... of the
 * pairs, before and after; tokens [2 n]. gate [E]: outer gates; x NULL = the base. Holds the logits
 * of all tokens of the sides at once. With fewer than two pairs after is NaN. Deterministic; one
 * thread. */
int moe_calibrate(const struct moe_engine *g, const struct moe_experts *x, const moe_real *gate,
	const struct moe_pairs *p, const struct moe_calibrate_opts *o, double *nll, double *after,
	int *tokens, struct moe_err *e);

#endif
