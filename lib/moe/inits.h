/* inits.h - where experts begin when they do not begin at 0: directions of a Linear's weight, with
 * or without what the pairs say of its input. Not what trains them.
 *
 * An expert that begins at A0, B0 computes B A x - B0 A0 x (vGROUT's block adapter): at first
 * nothing, with A and B far from 0. The subtracted part lies in its fixed slots (experts.h).
 *
 * Letters: W [out, in] a Linear's weight, P pairs, D [P, in] differences hack - clean of its input,
 * averaged over the completion's tokens, r a number of directions.
 */
#ifndef MOE_MOE_INITS_H
#define MOE_MOE_INITS_H

#include "moe/method.h"

/* D of every group of Linears with a common input, in the frozen base. */
struct moe_input_contrast {
	size_t P;
	int L;
	double **delta; /* [L * MOE_GROUPS] -> [P, in]; owned */
};
int moe_input_contrast_make(struct moe_input_contrast *c, const struct moe_engine *g,
	const struct moe_pairs *p, struct moe_err *e);
void moe_input_contrast_free(struct moe_input_contrast *c); /* accepts a zeroed struct */

/* The first r singular directions of M = W C^(1/2), u [r, out], s [r], and v [r, in] = the right
 * ones times C^(1/2), with C = D^T D / P + a I, a = 1e-3 tr(D^T D / P) / in: those that the pairs'
 * contrast excites and W maps most strongly (CorDA, Yang et al. 2406.05223, with the pairs'
 * contrast for the inputs; vGROUT). P = 0: those of W itself (PiSSA, Meng et al. 2404.02948).
 * C^(1/2) is never made: with the singular directions Q and values q of D it is sqrt(a) I + Q
 * (sqrt(a + q^2/P) - sqrt(a)) Q^T. r is at most min(out, in). */
int moe_directions(int out, int in, const double *W, size_t P, const double *D, int r, double *u,
	double *s, double *v, struct moe_err *e);
/* The signed direction: v [in] = unit(mean of D), u [out] = unit(W v). MOE_DATA when one is 0. */
int moe_signed_direction(int out, int in, const double *W, size_t P, const double *D, double *u,
	double *v, struct moe_err *e);

/* Called for each adapted Linear, from any thread: fills a [n, in] and b [n, out], a direction of
 * each slot that trains: those of experts outside of the quarantine first, n_deployed of them. */
struct moe_begin {
	size_t cell;
	int in, out, n, n_deployed;
	const double *W, *D; /* D [P, in], P may be 0 */
	size_t P;
	double *a, *b;
};
typedef int moe_begin_fn(const struct moe_adapter *a, const struct moe_begin *q, struct moe_err *e);
/* Deals k directions, the most important first, to the deployed and the quarantine slots in turn
 * until one side is full: slot[i] = the slot, in the order of struct moe_begin, of direction i. */
void moe_deal(int n, int n_deployed, int *slot);
/* The n most important directions of C^(1/2) (moe_directions), dealt to deployed and quarantine
 * slots in turn (moe_deal): v into a and u into b, of length 1 each (unit), or else v into a and s
 * u into b. MOE_USAGE when the Linear has fewer. */
int moe_begin_dealt(const struct moe_begin *q, bool unit, struct moe_err *e);
/* The pairs' signed direction in slot `seed`; in all others, in order, the directions of W without
 * it: what is left of length 1. MOE_USAGE when the Linear has fewer. */
int moe_begin_seeded(const struct moe_begin *q, int seed, struct moe_err *e);
/* Lets fn give every expert its first A and B. Where experts have fixed slots these get -B. With
 * pairs, D is theirs. */
int moe_begin_at(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	moe_begin_fn *fn, struct moe_err *e);
#endif
