/* model.h - a base model and its forward and backward passes over packed sequences.
 *
 * Letters (moe(7)): T packed tokens, D model, H heads, K kv-heads, F ffn, R rank, E experts, V
 * vocabulary. No padding: a batch is a list of segments. A segment may have a parent, whose keys
 * and values it sees before its own: a prompt computed once is the parent of the completions of its
 * group (one level deep; parents come before children). Thread-safety: a model is read-only after
 * loading; each thread has its own moe_acts. Every function works in the thread that calls;
 * parallelism is over batches (util/pool.h).
 */
#ifndef MOE_MODEL_MODEL_H
#define MOE_MODEL_MODEL_H

#include "model/config.h"
#include "model/sites.h"
#include "util/mem.h"

#include <stdint.h>

/* One stored matrix or vector: f32 used in place, f16/bf16 widened into scratch when used. */
struct moe_weight {
	const void *data; /* [rows, cols] row-major; NULL = absent. Borrowed from the mapping or
			     from `owned` */
	enum moe_dtype dtype;
	int rows, cols; /* vectors: rows = 1 */
	size_t off;     /* offset in the flat trainable block (full training only) */
};

struct moe_layer {
	struct moe_weight norm1, norm2;                      /* [D] */
	struct moe_weight w[MOE_LINEARS], bias[MOE_LINEARS]; /* [out, in]; bias [out] or absent */
	struct moe_weight qnorm, knorm;                      /* [hd] or absent */
	/* Of a small frozen model, else NULL: W^T and W ready for products (tensor/gemm.h), forward
	 * and backward. Owned by the model's `ready`. */
	const moe_real *forth[MOE_LINEARS], *back[MOE_LINEARS];
};

struct moe_model {
	struct moe_config config;
	struct moe_weight embed, norm, head; /* [V, D], [D], [V, D] (head == embed when tied) */
	struct moe_layer *layer;             /* [L] */
	const moe_real *head_forth;          /* the head's, as a layer's `forth` */
	struct moe_arena ready;
	moe_real *param; /* flat copy of all weights when trainable, else NULL */
	size_t n_param;
	void *map;       /* opaque: file mappings */
	char digest[65]; /* SHA-256 over config and weight files (hex) */
	char note[400];  /* what a user should be told about its end tokens, or "" */
};

/* Loads a Hugging Face directory (config.json, single or sharded safetensors), mapped. Its end
 * tokens are those of formats/tokenizer/special.h. */
int moe_model_load(struct moe_model *m, const char *dir, struct moe_err *e);
/* A fresh model with normal(0, 0.02)-like initialisation, trainable (flat param block). The draws
 * do not depend on threads (>= 1). */
int moe_model_new(struct moe_model *m, const struct moe_config *c, uint64_t seed, int threads,
	struct moe_err *e);
/* Copies a loaded model's weights into a flat float block so that it can be trained. */
int moe_model_make_trainable(struct moe_model *m, struct moe_err *e);
void moe_model_free(struct moe_model *m);

struct moe_seg {
	int start, len; /* tokens [start, start+len) of the batch */
	int parent;     /* index of an earlier segment, or -1 */
	int pos0;       /* position of the first token (= parent's pos0 + len, or 0) */
};

struct moe_batch {
	int T;
	const int32_t *ids; /* [T] */
	int n_seg;
	const struct moe_seg *seg; /* in order and without gaps: they cover [0, T) */
};

/* Activations of one forward pass, kept for the backward pass. Zero-initialise. Reused from call to
 * call. */
struct moe_acts {
	struct moe_arena arena;
	struct moe_pool *pool; /* NULL, or threads that share out the rows of a pass, with the same
				  bits (portable kernels only: BLIS's depend on how many rows there
				  are). Borrowed, and not the pool whose task the pass is in */
	bool keep;             /* keep what backward needs */
	bool recompute;        /* keep only layer inputs; backward recomputes the rest */
	moe_real *out; /* [T, D] hidden states after the final norm; valid until the next forward */
	moe_real **block_out; /* [L] -> [T, D] residual stream after each layer (only with
				 keep_hidden), else NULL */
	bool keep_hidden;
	bool idle_parents; /* nobody reads what comes out at rows of segments that are others'
			      parents, and no router is in the pass: of the last layer they get
			      keys and values alone, and `out` means nothing there */
	int layers;        /* > 0: the pass ends after so many layers and a->out is not made (with
			      keep_hidden, without keep) */
	bool exact; /* a token's bits do not depend on its batch, and equal the sampler's (prep.h);
		       narrow models always are, and so is every pass with a hard router */
	/* Called with the input [T, d] of each group of Linears of each layer, in forward order;
	 * for looking. NULL = nobody looks. */
	void (*tap)(void *ctx, int layer, enum moe_group g, const moe_real *in, int d);
	void *tap_ctx;
	struct moe_site_gates gates; /* of the last forward pass; S = 0 without a router inside it.
					What losses on gates are taken of, before the backward
					pass. Kept under recompute too, so that a second run of a
					layer cannot choose otherwise */
	moe_real *logp; /* NULL, or [n]: moe_backward also writes the log-probabilities of its rows
			   here. Borrowed */
	const moe_real *dentropy; /* NULL, or [n]: moe_backward adds the gradient of
				     sum_i dentropy[i] * entropy[i] at its rows. Borrowed */
	void *priv;
	double gemm_sec, total_sec; /* accumulated wall time, for the GEMM share */
};
void moe_acts_free(struct moe_acts *a);
/* Whether n packed passes are better made one after another, all threads of a pool sharing each
 * one's rows (moe_acts.pool), than by a thread each. */
bool moe_pass_shared(const struct moe_model *m, int threads, size_t n);
/* The most memory that activations and scratch took so far, in bytes. */
size_t moe_acts_peak_bytes(const struct moe_acts *a);

/* Fills a->out. x NULL = base model; g NULL = outer gates one, no row kept from the router.
 * Validates ids, segments and shapes (MOE_DATA). */
int moe_forward(const struct moe_model *m, const struct moe_experts *x, const struct moe_gates *g,
	const struct moe_batch *b, struct moe_acts *a, struct moe_err *e);

/* Log-probabilities at chosen rows: row[i] (a token index of the batch) predicts target[i].
 * logp[i] = log softmax(logits/temperature)[target]; entropy may be NULL. Logits exist only chunk
 * by chunk. */
int moe_head_logp(const struct moe_model *m, const struct moe_batch *b, struct moe_acts *a, int n,
	const int32_t *row, const int32_t *target, double temperature, moe_real *logp,
	moe_real *entropy, struct moe_err *e);

/* KL(p || q) in nats of the next token's distributions, over the whole vocabulary, at temperature
 * 1: of n rows of two forward passes' out, p [n, D] and q [n, D]. kl [n]. */
int moe_head_kl(const struct moe_model *m, int n, const moe_real *p, const moe_real *q, double *kl,
	struct moe_err *e);

/* Backward of sum_i dlogp[i] * logp[i] (the same rows, targets and temperature as above).
 * dx: [x->n_param] gradient of the experts, accumulated (+=), or NULL. dm: [m->n_param] gradient of
 * a trainable model, accumulated, or NULL. Both may be given. Needs a->keep at the forward pass. n
 * may be 0: then only g's seeds flow back. */
int moe_backward(const struct moe_model *m, const struct moe_experts *x, const struct moe_gates *g,
	const struct moe_batch *b, struct moe_acts *a, int n, const int32_t *row,
	const int32_t *target, double temperature, const moe_real *dlogp, moe_real *dx,
	moe_real *dm, struct moe_err *e);

#endif
