/* singular.h - the direction that an expert answers most. It changes nothing. */
#ifndef MOE_MOE_SINGULAR_H
#define MOE_MOE_SINGULAR_H

#include "model/experts.h"

/* v [d], of length 1: the top right singular vector of the deltas B A of expert e at the Linears
 * that read the input of site s, one under the other (Ostapenko et al. 2405.11157). Its sign means
 * nothing. Where all B are 0 there is no delta, and the top right singular vector of A stands in.
 * work [2 d + 2 x->R]. */
void moe_singular_input(const struct moe_experts *x, int s, int e, double *work, moe_real *v);

#endif
