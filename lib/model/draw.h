/* draw.h - one token drawn from one row of logits: temperature, top-k, top-p (in this order, as
 * transformers applies them), greedy.
 *
 * The token is the inverse of the cumulative distribution in vocabulary order at u, so equal logits
 * and equal u give equal tokens. Thread-safe: all scratch is the caller's.
 */
#ifndef MOE_MODEL_DRAW_H
#define MOE_MODEL_DRAW_H

#include "model/sample.h"

struct moe_draw_cand {
	moe_real l, p; /* logit, unnormalised probability */
	int32_t id;
};

struct moe_draw_work {
	moe_real *p;                /* [V] */
	struct moe_draw_cand *cand; /* [V]; only needed with top-k or top-p */
};

struct moe_draw {
	int32_t id;
	float logp; /* under the sampling distribution; greedy: under the model at temperature 1 */
	float full_logp;  /* at the sampling temperature, before top-k and top-p; greedy: as logp */
	float model_logp; /* under the model at temperature 1 */
};

/* logits [V]; u in [0, 1). MOE_NUMERIC when a logit is NaN or infinite. */
int moe_draw_token(const moe_real *logits, int V, const struct moe_sample_opts *o, double u,
	struct moe_draw_work *w, struct moe_draw *out, struct moe_err *e);

#endif
