/* features.h - hidden states at completion tokens, of the frozen base or of the policy in g->x:
 * what scores are made of.
 *
 * The features of a token are the residual streams after the first L-1 layers at that token, one
 * after the other: d = (L-1) * D numbers (L = 1: after the only layer). Sequences are packed into
 * fixed chunks; those that follow each other with the same prompt share its pass.
 */
#ifndef MOE_MOE_FEATURES_H
#define MOE_MOE_FEATURES_H

#include "moe/method.h"

/* Number of features of a base. */
int moe_features_dim(const struct moe_config *c);
/* Completion tokens that are scored: all but a final stop token. May be 0. */
int moe_features_tokens(const struct moe_config *c, const struct moe_seen *s);

/* Called once for each sequence with tokens, from any thread, in no order. */
struct moe_feature_rows {
	const moe_real *const *block; /* [layers] -> [T, D] */
	int layers, D, first, n;      /* rows first .. first+n-1 of the blocks */
};
/* Copies the features of token t into out[layers*D]. */
void moe_features_row(const struct moe_feature_rows *r, int t, float *out);
typedef int moe_feature_fn(
	void *ctx, size_t seq, const struct moe_feature_rows *rows, struct moe_err *e);
/* One row a sequence: its states averaged over the completion's tokens, out [n, dim]; 0 where it
 * has none. */
int moe_features_pooled(const struct moe_engine *g, const struct moe_seen *s, size_t n, float *out,
	struct moe_err *e);
/* What the pairs' pooled states tell, [dim] each: direction = mean of hack - clean, at unit length
 * (0 where they do not differ); middle = mean of both sides. */
int moe_features_contrast(const struct moe_engine *g, const struct moe_pairs *p,
	moe_real *direction, moe_real *middle, struct moe_err *e);
/* The same of states that are there already: x [2 n, d] hack, clean, hack, ...; in [n] says which
 * pairs count, NULL = all. At least one must. */
void moe_contrast(const float *x, size_t n, size_t d, const uint8_t *in, moe_real *direction,
	moe_real *middle);
/* Pooled states of all sides [2 n, dim], hack, clean, hack, ...; owned by the caller. length [2 n],
 * the tokens of each, may be NULL. */
float *moe_features_of_pairs(
	const struct moe_engine *g, const struct moe_pairs *p, float *length, struct moe_err *e);
/* A side of a pair as a method sees it. */
struct moe_seen moe_pair_seen(const struct moe_pair *p, bool hack);
int moe_features_run(const struct moe_engine *g, const struct moe_seen *s, size_t n,
	moe_feature_fn *fn, void *ctx, struct moe_err *e);

#endif
