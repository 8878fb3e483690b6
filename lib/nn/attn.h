/* attn.h - causal attention of one segment and one key/value head, for training; and of single
 * rows, for decoding.
 *
 * A segment's n tokens see n_par tokens of its parent (all of them), then their own past. Memory is
 * linear in length: the probabilities live in blocks of MOE_ATTN_BLOCK rows, and the backward pass
 * makes them again from the saved log-sum-exp (Dao et al. 2022). Both forwards do the same
 * operations in the same order, so a decoded token and a trained one agree bit for bit (with BLIS
 * kernels that chain fused multiply-adds: haswell, zen, zen2, zen3; tests/unit/test_attn.c).
 * Thread-safe.
 */
#ifndef MOE_NN_ATTN_H
#define MOE_NN_ATTN_H

#include "tensor/real.h"

#include <stddef.h>

#define MOE_ATTN_BLOCK 64

struct moe_attn {
	int hd;    /* head_dim */
	int group; /* query heads that share this key/value head; they lie side by side in q, o */
	int n, n_par;            /* own tokens, parent's tokens (0 = no parent) */
	moe_real scale;          /* 1/sqrt(hd) */
	const moe_real *q;       /* [n, group*hd], row stride ldq; after RoPE */
	const moe_real *k, *v;   /* [n, hd], row stride ldk */
	const moe_real *kp, *vp; /* [n_par, hd], row stride ldk */
	int ldq, ldk;
};

/* Elements of scratch that either pass needs. */
size_t moe_attn_scratch(int hd, int n_keys);
/* o [n, group*hd] (row stride ldo), lse [n, group] (row stride ldl), or NULL: log-sum-exp of the
 * scaled scores, which the backward pass asks for. */
void moe_attn_fwd(
	const struct moe_attn *a, moe_real *o, int ldo, moe_real *lse, int ldl, moe_real *scratch);

struct moe_attn_grad {
	const moe_real *o, *d_o; /* [n, group*hd], row stride ldo: the output and its gradient */
	int ldo;
	const moe_real *lse; /* [n, group], row stride ldl */
	int ldl;
	moe_real *dq;        /* as q; overwritten */
	moe_real *dk, *dv;   /* as k, v; added to */
	moe_real *dkp, *dvp; /* as kp, vp; added to */
};
void moe_attn_bwd(const struct moe_attn *a, const struct moe_attn_grad *g, moe_real *scratch);

/* One stretch of cached keys and values. Keys are stored transposed, so that scores of many keys
 * come from straight loads. */
struct moe_kv {
	const moe_real *kt;
	int ldk; /* [hd, len], row stride ldk >= len */
	const moe_real *v;
	int ldv; /* [len, hd], row stride ldv */
	int len;
};
/* One token: q [group*hd] over the keys of all parts in order (parent's first), the token's own
 * last. o [group*hd]. scratch: at least the total length of the parts. */
void moe_attn_row(int hd, int group, const moe_real *q, int n_part, const struct moe_kv *part,
	moe_real scale, moe_real *o, moe_real *scratch);

#endif
