/* prep.h - one layer made ready for use, and the application of its Linears with their experts to
 * rows of tokens.
 *
 * Training and decoding share these functions, so that a token gives the same bits in both. "Ready"
 * means: widened to moe_real, in the order of the product (tensor/gemm.h) where the weight is
 * narrow, the experts' A of Linears with a common input side by side. Everything prepared is
 * borrowed from the model or allocated in the caller's arena. Thread-safe on a model that nobody
 * changes.
 *
 * exact: products go through moe_gemm_rows and moe_gemm_stored, whose bits for a row do not depend
 * on how many rows are computed together. Decoding always does so. In training it is free at small
 * widths and up to 15 % slower at large ones (where BLIS has AVX-512 kernels, more).
 */
#ifndef MOE_MODEL_PREP_H
#define MOE_MODEL_PREP_H

#include "model/model.h"

struct moe_prep_linear {
	enum moe_linear linear;
	int in, out;
	const moe_real *w; /* W^T ready for products when `ready`, else [out, in] */
	bool ready;
	const moe_real *bias;  /* [out] or NULL */
	int slot;              /* column of its first rank slot in z; -1 = not adapted */
	const moe_real *bt;    /* B^T [R, out], ready, or NULL */
	const moe_real *alive; /* [R] or NULL */
};

struct moe_prep_group {
	int n, in;
	struct moe_prep_linear lin[MOE_GROUP_MAX];
	int slots;          /* adapted Linears * R = columns of z */
	const moe_real *at; /* A^T of all of them [in, slots], ready, or NULL */
};

struct moe_prep_layer {
	const moe_real *norm1, *norm2, *qnorm, *knorm; /* NULL when absent */
	struct moe_prep_group group[MOE_GROUPS];
};

/* Too wide for exact products to be free. Such a model is decoded from its weights as they are
 * stored (decode_tiles.c). */
bool moe_model_wide(const struct moe_config *c);

/* Rows [row, row+n) of a stored matrix as moe_real, into out [n, cols]. */
void moe_weight_widen(const struct moe_weight *w, int row, int n, moe_real *out);
/* The whole weight as moe_real [rows, cols]: in place when it is stored so, else widened into the
 * arena. NULL data gives NULL without an error. */
int moe_weight_get(
	const struct moe_weight *w, struct moe_arena *a, const moe_real **out, struct moe_err *e);
/* Its transpose [cols, rows], or (forth false) itself, ready for products (tensor/gemm.h); always
 * in the arena. */
int moe_weight_ready(const struct moe_weight *w, bool forth, struct moe_arena *a,
	const moe_real **out, struct moe_err *e);
/* Fills `forth` and `back` of the layers and the head of a small model that was loaded, so that
 * passes over it copy no weights; a large one is left as it is. */
int moe_model_make_ready(struct moe_model *m, struct moe_err *e);
void moe_model_drop_ready(struct moe_model *m);

/* Layer i. x NULL = base alone. */
int moe_prep_layer(const struct moe_model *m, const struct moe_experts *x, int i,
	struct moe_arena *a, struct moe_prep_layer *out, struct moe_err *e);
/* The same without the matrices (w, at, bt stay NULL): norms, biases, shapes and slots, for the
 * backward pass. */
int moe_prep_layer_names(const struct moe_model *m, const struct moe_experts *x, int i,
	struct moe_arena *a, struct moe_prep_layer *out, struct moe_err *e);

/* y[j] [T, out_j] (row stride ldy[j]) = bias + W in + s B ((alive * present * gate) .* (A in)) for
 * each Linear j of the group. in [T, in], dense. gate[j]: its experts' gates [T, E], or NULL. z [T,
 * slots] receives A in (before gates); zs [T, slots] is scratch; both unused when slots = 0. */
void moe_group_fwd(const struct moe_prep_group *g, const struct moe_experts *x, int T,
	const moe_real *in, const moe_real *const gate[], bool exact, moe_real *const y[],
	const int ldy[], moe_real *z, moe_real *zs);

/* zs [T, R] (row stride ldz) = z .* (s present alive gate [mask]); gate, mask [T, E] or NULL. The
 * coefficients of the experts. */
void moe_expert_scale(const struct moe_experts *x, const moe_real *alive, int T,
	const moe_real *gate, const moe_real *mask, const moe_real *z, int ldz, moe_real *zs);

/* inv_freq [hd/2] for the config's rope type, and the factor on cos and sin. MOE_DATA for a type or
 * a length that is not supported. */
int moe_rope_freqs(const struct moe_config *c, int max_len, moe_real *inv_freq, double *scale,
	struct moe_err *e);

#endif
