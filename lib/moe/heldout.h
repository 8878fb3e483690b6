/* heldout.h - how well a score does on pairs that it was not fitted to, beside what needs no score:
 * the completion's length, and random directions.
 *
 * Whole pairs are held out, fold by fold. The method refits on the others and fills in what the
 * pairs held out score; 1/2 is the border between the sides. Four numbers, of all folds together:
 *
 *     pair_accuracy   share of pairs whose hack scores above their clean side (a tie counts half)
 *     accuracy        share of sides on the right side of 1/2
 *     auroc           hacks against clean sides (auroc.h)
 *     margin          mean over pairs of hack - clean, over the standard deviation of these
 * differences (Cohen's d_z); 0 where they do not vary
 *
 * The same four of one feature at a time, whose sign and border the other folds tell: the length in
 * tokens, and the projections of the pooled states, standardised, on MOE_HELD_HAAR directions drawn
 * evenly from the sphere (Haar). haar_p is the rank test of the score's auroc among theirs (Phipson
 * & Smyth 2010): with so many, at most 0.01.
 */
#ifndef MOE_MOE_HELDOUT_H
#define MOE_MOE_HELDOUT_H

#include "moe/method.h"

#define MOE_HELD_HAAR 99

struct moe_held {
	size_t n;       /* pairs */
	uint32_t folds; /* never more than n; below 2 there is nothing to hold out */
	uint32_t *fold; /* [n] a permutation, owned */
	double *score;  /* [2 n] hack, clean, hack, ... of pairs while they were held out; owned */
};

int moe_held_begin(
	struct moe_held *h, size_t n_pair, double folds, uint64_t seed, struct moe_err *e);
void moe_held_free(struct moe_held *h); /* accepts a zeroed struct */
/* Is the pair held out in this fold? With fold = folds none is. */
static inline bool moe_held_is_out(const struct moe_held *h, size_t pair, uint32_t fold)
{
	return h->fold[pair] % h->folds == fold;
}

/* When h->score is full: all of the above into the adapter's score, beside `folds`. x [2 n, d] are
 * the pooled states and length [2 n] the tokens of the sides, hack, clean, hack, ...; d = 0: no
 * directions. lo and hi, thresholds of the score, give clean_kept and hack_routed; NaN = it has
 * none. Nothing is stored below two folds. */
int moe_held_store(const struct moe_held *h, const float *x, size_t d, const float *length,
	double lo, double hi, struct moe_adapter *a, struct moe_err *e);
/* What moe-pin says of it, with its warnings: a method's `report`, or a part of it. */
void moe_held_report(const struct moe_adapter *a, size_t n_pair, struct moe_said *out);

#endif
