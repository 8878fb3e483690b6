/* acts.h - what one forward pass keeps; private to forward.c, head.c and backward.c. */
#ifndef MOE_MODEL_ACTS_H
#define MOE_MODEL_ACTS_H

#include "model/prep.h"
#include "util/pool.h"

/* Rows that a pool's threads share out come in multiples of this: whole tiles (tensor/tile.h). */
enum { MOE_ROW_GRAIN = 12 };

/* One layer. W = (H + 2K) * hd: queries, keys, values of a token side by side. */
struct layer_acts {
	moe_real *in;            /* [T, D] residual stream before the layer */
	moe_real *rstd1, *rstd2; /* [T] */
	moe_real *qkv;           /* [T, W] after norm and RoPE */
	moe_real *qk0;           /* [T, W] before the per-head norm (with qk_norm), else NULL */
	moe_real *rstdq, *rstdk; /* [T, H], [T, K] (with qk_norm) */
	moe_real *o, *lse;       /* [T, H*hd], [T, H] */
	moe_real *mid;           /* [T, D] residual stream after attention */
	moe_real *g, *u;         /* [T, F] */
	moe_real *z[MOE_GROUPS]; /* [T, slots] */
};

struct pass {
	struct moe_arena tmp; /* reset for every layer */
	size_t peak_bytes;
	bool valid, kept, recompute; /* of the last forward pass */
	bool exact;
	bool rerun; /* the backward pass runs a layer again: its gates are there already */
	int T, slots_max;
	unsigned char *idle;   /* [T] rows that skip the end of the last layer, or NULL = none do */
	moe_real *cos_, *sin_; /* [T, hd/2] */
	moe_real *inv_freq;
	int32_t *pos;
	struct layer_acts *la;  /* [L], or one that all layers share */
	struct layer_acts one;  /* what the backward pass recomputes into */
	struct moe_acts *first; /* of the first pass, where gates are decided from one; owned */
	moe_real *last, *rstd;  /* [T, D] before the final norm, [T] */
	moe_real *norm, *ff, *proj, *zs; /* scratch [T, D], [T, F], [T, D], [T, slots_max] */
};

/* Runs layer i on la->in; out [T, D] may be la->in. Fills la. norm1's output is left in p->norm
 * only until the second norm. */
int moe_layer_forward(const struct moe_model *m, const struct moe_experts *x,
	const struct moe_gates *g, const struct moe_batch *b, struct moe_acts *a, int i,
	struct layer_acts *la, moe_real *out, struct moe_err *e);
int moe_layer_acts_alloc(const struct moe_model *m, const struct moe_experts *x, struct moe_acts *a,
	struct layer_acts *la, bool in, struct moe_err *e);
/* The next run [*from, *end) of rows in [*from, to) that are not idle; false when there is none.
 * idle may be NULL. */
bool moe_busy_rows(const unsigned char *idle, int *from, int to, int *end);
/* Sets idle rows of x [.., cols] within [from, to) to 0. */
void moe_zero_idle(const unsigned char *idle, int from, int to, moe_real *x, int cols);
struct moe_attn;
/* Segment s and kv-head k as an attention problem over qkv. */
struct moe_attn moe_attn_of(
	const struct moe_config *c, const struct moe_batch *b, int s, int k, const moe_real *qkv);
/* Longest run of keys (parent and own) in the batch. */
int moe_batch_max_keys(const struct moe_batch *b);

/* Backward of the head alone: d_out [T, D] += . Writes a->logp when that is set. */
int moe_head_backward(const struct moe_model *m, struct moe_acts *a, int n, const int32_t *row,
	const int32_t *target, double temperature, const moe_real *dlogp, moe_real *d_out,
	moe_real *dm, struct moe_err *e);

#endif
