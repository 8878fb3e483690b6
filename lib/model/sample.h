/* sample.h - batched decoding with a KV cache; prompts computed once per group and shared by its
 * completions, but for the last token: that row, which predicts the first completion token, is each
 * completion's own, as in training (moe/pack.h).
 *
 * The draw for (prompt, sample, position) is keyed by (seed, prompt key, sample, position) alone:
 * it depends neither on the arm, nor on threads, nor on which slot decodes it. Work is cut into
 * units of whole requests, whose size depends on the work alone: of a small model each is decoded
 * by one thread; a large model is one unit, whose products all threads share. Finished slots are
 * refilled from the unit's queue. The log-probabilities are those of an exact moe_forward (prep.h)
 * bit for bit.
 */
#ifndef MOE_MODEL_SAMPLE_H
#define MOE_MODEL_SAMPLE_H

#include "model/model.h"
#include "util/pool.h"

struct moe_sample_opts {
	int max_new;        /* tokens */
	double temperature; /* 0 = greedy */
	int top_k;          /* 0 = off */
	double top_p;       /* 1 = off */
	uint64_t seed;
	const int32_t *stop; /* [n_stop] stop tokens (kept in the completion); borrowed */
	int n_stop;
	bool want_model_logp; /* also the log-probability under the model at temperature 1 without
				 truncation */
	bool want_full_logp;  /* also that at the sampling temperature without truncation */
};

struct moe_sample_req {
	const int32_t *prompt; /* [n_prompt] >= 1 tokens */
	int n_prompt;
	uint64_t key;                /* moe_hash64 of the prompt id (and step) */
	int first_sample, n_samples; /* samples first_sample .. first_sample+n_samples-1 */
	const moe_real *outer;       /* [E] outer gates of this request, or NULL = all ones */
	bool prompt_unrouted;        /* the router is kept out of the prompt's rows */
};

struct moe_completion {
	int32_t *ids;                         /* [n] owned */
	float *logp, *model_logp, *full_logp; /* [n] owned; the last two NULL unless asked */
	float *gate; /* [E] mean gates over the sites and the rows that predicted its tokens, but
	those that the router was kept out of; 1 when there are none. NULL without a router in the
	pass. Owned */
	int n;
	bool stopped; /* ended by a stop token, else by length */
};

/* out[sum of n_samples], in request and sample order; free each with moe_completion_free. */
int moe_sample(const struct moe_model *m, const struct moe_experts *x,
	const struct moe_sample_opts *o, size_t n_req, const struct moe_sample_req *req,
	struct moe_pool *pool, struct moe_completion *out, struct moe_err *e);
void moe_completion_free(struct moe_completion *c);

#endif
