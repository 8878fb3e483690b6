/* decode_priv.h - what the parts of the decoder share. Not an interface. Calls go one way: decode.c
 * to attend.c and decode_tiles.c, all of them to decode_state.c. */
#ifndef MOE_MODEL_DECODE_PRIV_H
#define MOE_MODEL_DECODE_PRIV_H

#include "model/decode.h"
#include "model/prep.h"

#define MOE_DECODE_ROWS 4 /* rows of one task, where rows are shared out */
#define MOE_DECODE_TILE                                                                            \
	32 /* columns of a product that one task computes when the model is large                  \
	    */
#define MOE_DECODE_LANES  32 /* head_dim and cache blocks are padded to this */
#define MOE_DECODE_HD_MAX 512
#define MOE_DECODE_SIZES                                                                           \
	3 /* of cache blocks: 1 to 3 times LANES positions; MOE_GEMM_PANEL is the last */

struct moe_decode_layer {
	const moe_real *norm1, *norm2, *qnorm, *knorm; /* NULL when absent */
	const moe_real *bias[MOE_LINEARS];             /* NULL when absent */
	struct moe_prep_layer prep;                    /* small models only */
};

struct moe_decoder_weights {
	const struct moe_model *m;
	const struct moe_experts *x; /* NULL = base */
	bool wide; /* products are cut into tiles of the stored weights; else each layer is prepared
		      (prep.h) */
	struct moe_decoder_weights
		*first; /* the base's, where gates are decided from a first pass */
	int hdp;        /* head_dim rounded up to whole vectors */
	int max_ctx;
	struct moe_decode_layer *layer; /* [L] */
	const moe_real *norm;           /* [D] */
	const moe_real *head;           /* [D, V], ready (prep.h); small models only */
	moe_real *cos_, *sin_;          /* [max_ctx, hd/2] */
	struct moe_arena arena; /* owns all of the above but weights that are used in place */
};

struct moe_decoder {
	const struct moe_decoder_weights *p;
	struct moe_pool *pool; /* NULL = everything in the calling thread */
	int max_rows;
	struct moe_arena arena;  /* owns the arrays below */
	moe_real *res, *x, *add; /* [max_rows, D] residual stream, normed, a block's output */
	moe_real *qkv;           /* [max_rows, (H+2K)*hd] */
	moe_real *att;           /* [max_rows, H*hd] */
	moe_real *g, *u, *act;   /* [max_rows, F] */
	moe_real *z, *zs; /* [max_rows, 3R] low-rank states of a group's Linears, before and after
			     gates */
	moe_real *outer;  /* [max_rows, E] */
	unsigned char *routed;       /* [max_rows] */
	bool gated;                  /* some row has outer gates; else all are one */
	struct moe_gates gates;      /* outer and routed of the rows at hand */
	struct moe_site_gates sites; /* made for max_rows; T is M of the rows at hand */
	moe_real *score;             /* [threads, max_ctx + slack] */
	struct moe_spare {
		moe_real **block; /* [n] cache blocks that are free */
		size_t n, cap;
	} spare[MOE_DECODE_SIZES]; /* by size: (s+1) * LANES positions */
	/* the first pass: its decoder, rows [max_rows] and last states [max_rows, D]; NULL = none
	 */
	struct moe_decoder *first;
	struct moe_decode_row *first_row;
	moe_real *first_state;
	/* what is being worked on, for tasks */
	int M, layer;
	bool apart; /* every row has a chain of its own, so that none waits for another's key */
	const struct moe_decode_row *row;
	enum moe_group group;
	const moe_real *in;
	int ld_in;
	moe_real *out[MOE_GROUP_MAX];
	int ld_out;
};

/* Blocks for positions up to `at` of a chain. */
int moe_chain_reserve(struct moe_decoder *d, struct moe_chain *c, int at, struct moe_err *e);
/* The gates of the experts of a Linear of the current layer, [M, E]; NULL = all one. */
const moe_real *moe_decode_gate(const struct moe_decoder *d, enum moe_linear l);
/* The current layer's attention: rotates q and k in d->qkv, stores k and v, and (unless keys_only)
 * attends into d->att. */
int moe_decode_attention(struct moe_decoder *d, bool keys_only, struct moe_err *e);
/* One group's product of the current layer, d->in to d->out (and with gate and up the activation),
 * in column tiles of the stored weights. */
int moe_decode_tiles(struct moe_decoder *d, struct moe_err *e);
int moe_decode_head_tiles(struct moe_decoder *d, struct moe_err *e);

#endif
