/* nll.h - supervised training of an adapter's experts on given completions: the mean negative
 * log-likelihood per token, all sequences in each step, AdamW at a constant rate. No reward, no
 * router's gradient, no decision.
 *
 * Work is cut by tokens into tasks whose gradients are added in order: every number of threads
 * gives the same bits.
 */
#ifndef MOE_MOE_NLL_H
#define MOE_MOE_NLL_H

#include "moe/method.h"

struct moe_nll_opts {
	int steps;
	double lr; /* AdamW, betas 0.9 and 0.95, no decay, gradient's norm clipped to 1 */
	const moe_real *outer; /* [E] gates of the experts */
	const moe_real *mask;  /* [E] 0 keeps an expert as it is, bit for bit */
};
/* first and last: the loss before the first step, and after the last. A sequence without completion
 * tokens is left out; without any there is nothing to learn (MOE_DATA). MOE_NUMERIC when the loss
 * stops being finite. */
int moe_nll_train(const struct moe_engine *g, struct moe_experts *x, const struct moe_seen *s,
	size_t n, const struct moe_nll_opts *o, double *first, double *last, struct moe_err *e);
/* The loss of the experts as they are and its gradient [x->n_param], overwritten: no step is made.
 * With o->outer and o->mask; o->steps and o->lr are not looked at. */
int moe_nll_gradient(const struct moe_engine *g, struct moe_experts *x, const struct moe_seen *s,
	size_t n, const struct moe_nll_opts *o, moe_real *grad, double *loss, struct moe_err *e);
/* The same for one side of all pairs, training the experts of one bank; all are present, but for
 * the quarantine when deployed. */
int moe_nll_side(const struct moe_engine *g, struct moe_experts *x, const struct moe_pairs *p,
	bool hack, enum moe_bank bank, bool deployed, int steps, double lr, double *first,
	double *last, struct moe_err *e);

#endif
