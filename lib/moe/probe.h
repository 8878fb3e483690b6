/* probe.h - a completion's gradient as features: what a frozen random adapter's scales would get.
 *
 * Each Linear y = W x of the frozen base gets B diag(c) A x, with A ~ N(0, 1/d_in) [rank, d_in] and
 * B ~ N(0, 1/(2 rank)) [d_out, rank] drawn once and c = 0, so that nothing changes. The features
 * are
 *
 *     d NLL / d c_k = sum over tokens of (A x)_k (B^T delta)_k,   delta = d NLL / d y,
 *
 * NLL the mean negative log-likelihood per completion token: vGROUT's c-probe (routeV), on the base
 * instead of the policy, so that no direction ages. No reward and no advantage enters.
 */
#ifndef MOE_MOE_PROBE_H
#define MOE_MOE_PROBE_H

#include "moe/method.h"

/* Number of features: layers * 7 Linears * rank, a Linear's side by side. */
int moe_probe_dim(const struct moe_config *c, int rank);
/* out [n, dim]; 0 where a completion has no tokens. A forward and a backward pass for each. */
int moe_probe_features(const struct moe_engine *g, const struct moe_seen *s, size_t n, int rank,
	float *out, struct moe_err *e);
/* The probe's A in x (to be freed), its B in b [x->n_param], where x has those of its own at 0. */
int moe_probe_make(const struct moe_engine *g, int rank, struct moe_experts *x, moe_real **b,
	struct moe_err *e);

#endif
