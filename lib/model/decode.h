/* decode.h - the forward pass one token at a time: rows of tokens against a cache of keys and
 * values.
 *
 * A row is one token of one sequence. Prompts and completions use the same path: the prompt's rows
 * fill the prompt's chain, and each completion's rows fill a chain of its own and look at the
 * prompt's chain, which they share read-only. A row's bits do not depend on the rows beside it, and
 * equal those of an exact moe_forward (prep.h).
 */
#ifndef MOE_MODEL_DECODE_H
#define MOE_MODEL_DECODE_H

#include "model/model.h"
#include "util/pool.h"

/* A growing list of cache blocks, each for `pos` positions of all layers. Zero-initialise, then set
 * `expect`. */
struct moe_chain {
	moe_real **block; /* [n]; each [L][K][hd*pos keys, transposed | pos*hdp values] */
	int n, cap;
	int expect;              /* positions that it may need; short chains get small blocks */
	int pos;                 /* set with the first block */
	struct moe_chain *first; /* of the first pass, where gates are decided from one; owned */
};

struct moe_decode_row {
	int32_t id;
	int pos; /* position of the token */
	const struct moe_chain
		*shared; /* seen first: positions 0 .. n_shared-1; NULL for prompt rows */
	int n_shared;
	struct moe_chain
		*mine; /* the token's key and value go to index `at`; indices 0 .. at are seen */
	int at;
	const moe_real
		*outer;   /* [E] what the caller fixes of the gates (experts.h); NULL = all one */
	bool unrouted;    /* the router is kept out of this row */
	double *gate_sum; /* [E] += the row's gates, their mean over the sites; NULL = unwanted,
			     untouched without a router */
};

/* What all decoders of one call share, read-only. */
struct moe_decoder_weights;
/* x NULL = base; max_ctx = positions that a sequence may have. */
struct moe_decoder_weights *moe_decoder_weights_new(
	const struct moe_model *m, const struct moe_experts *x, int max_ctx, struct moe_err *e);
void moe_decoder_weights_free(struct moe_decoder_weights *p); /* NULL is accepted */
/* A large model is decoded by one decoder at a time, whose products are cut into column tiles for
 * the pool; of a small one, each thread decodes a share. The answer depends on the model alone. */
bool moe_decode_wide(const struct moe_decoder_weights *p);

/* Scratch of one thread (pool NULL) or, when wide, of the whole pool. */
struct moe_decoder;
struct moe_decoder *moe_decoder_new(const struct moe_decoder_weights *p, int max_rows,
	struct moe_pool *pool, struct moe_err *e);
void moe_decoder_free(struct moe_decoder *d); /* NULL is accepted */
/* Gives a chain's blocks back for reuse. */
void moe_chain_release(struct moe_decoder *d, struct moe_chain *c);
/* hidden[M, D] after the final norm, for M <= max_rows rows; grows the rows' chains. Rows of one
 * chain stand together. hidden NULL: the chains alone, which of the last layer need only keys and
 * values. */
int moe_decode_rows(struct moe_decoder *d, int M, const struct moe_decode_row *row,
	moe_real *hidden, struct moe_err *e);
/* logits[M, V] of hidden[M, D]. */
int moe_decode_logits(
	struct moe_decoder *d, int M, const moe_real *hidden, moe_real *logits, struct moe_err *e);
/* Runs fn(ctx, task, worker) for n tasks on the decoder's pool, or in the caller. */
int moe_decode_run(struct moe_decoder *d, size_t n, moe_pool_fn *fn, void *ctx, struct moe_err *e);

#endif
