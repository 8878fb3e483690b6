/* logp.h - log-probabilities of given tokens: teacher forcing over a corpus. */
#ifndef MOE_MODEL_LOGP_H
#define MOE_MODEL_LOGP_H

#include "model/corpus.h"
#include "util/pool.h"

/* logp[c->n_ids]: for each token of each text its log-probability given those before it (first
 * tokens: NaN). x NULL = base; gate [E] of the experts, the same for all tokens, or NULL = ones.
 * Bits do not depend on the pool. Temperature as in moe_head_logp. */
int moe_corpus_logp(const struct moe_model *m, const struct moe_experts *x, const moe_real *gate,
	const struct moe_corpus *c, struct moe_pool *pool, double temperature, float *logp,
	struct moe_err *e);

#endif
