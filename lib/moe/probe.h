/* probe.h - a completion's gradient as features: what a frozen random adapter's scales would get.
 *
 * Each Linear y = W x of the frozen base, or y = W x + the experts' part of the policy in g->x,
 * gets B diag(c) A x besides, with A ~ N(0, 1/d_in) [rank, d_in] and B ~ N(0, 1/(2 rank)) [d_out,
 * rank] drawn once and c = 0, so that nothing changes. The features are
 *
 *     d NLL / d c_k = sum over tokens of (A x)_k (B^T delta)_k,   delta = d NLL / d y,
 *
 * NLL the mean negative log-likelihood per completion token: vGROUT's c-probe (routeV). There A and
 * B are the policy's own; here B begins at 0, where such a probe sees nothing, so that the probe is
 * one of its own, the same on the base and on every policy. No reward and no advantage enters.
 */
#ifndef MOE_MOE_PROBE_H
#define MOE_MOE_PROBE_H

#include "moe/method.h"

/* Number of features: layers * 7 Linears * rank, a Linear's side by side. */
int moe_probe_dim(const struct moe_config *c, int rank);
/* out [n, dim]; 0 where a completion has no tokens. A forward and a backward pass for each. */
int moe_probe_features(const struct moe_engine *g, const struct moe_seen *s, size_t n, int rank,
	float *out, struct moe_err *e);
/* The policy's experts, if there are any, with the probe as the last one: its A in x (to be freed),
 * its B in b [x->n_param] (free), where x has 0. */
int moe_probe_make(const struct moe_engine *g, int rank, struct moe_experts *x, moe_real **b,
	struct moe_err *e);

#endif
