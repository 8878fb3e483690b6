/* adapter_priv.h - what adapter.c and adapter_io.c share: the layout record, the walk over tensors,
 * the digest. Nobody else includes it. */
#ifndef MOE_MOE_ADAPTER_PRIV_H
#define MOE_MOE_ADAPTER_PRIV_H

#include "moe/adapter.h"

#include "formats/list.h"
#include "util/mem.h"

#include <nettle/sha2.h>
#include <stdio.h>

#define MOE_SCORE_MAX ((size_t)1 << 26) /* elements of one score tensor */
#define MOE_PARAM_MAX                                                                              \
	((size_t)1 << 29)  /* elements of all experts of an arm that a stream may declare */
#define MOE_RANKS_MAX 4096 /* R that a stream may declare */

/* Called for each tensor in the order of the stream; data is borrowed for the call. */
typedef int moe_tensor_fn(void *ctx, const char *name, int rank, const uint64_t *shape,
	const float *data, size_t n, struct moe_err *e);
int moe_adapter_each_tensor(
	const struct moe_adapter *a, moe_tensor_fn *fn, void *ctx, struct moe_err *e);
/* Shape of A [R, d_in] or B [d_out, R] of a Linear. */
void moe_adapter_tensor_shape(
	const struct moe_experts *x, int linear, bool is_a, uint64_t shape[2]);

/* The layout record of an arm, and back (x is laid out, param and alive zero). */
int moe_adapter_layout(const struct moe_adapter *a, struct moe_rec *r, struct moe_err *e);
int moe_adapter_from_layout(const struct moe_rec *r, struct moe_adapter *a, struct moe_err *e);

int moe_adapter_hash_layout(struct sha256_ctx *h, const struct moe_rec *layout, struct moe_err *e);
void moe_adapter_hash_tensor(struct sha256_ctx *h, const char *name, int rank,
	const uint64_t *shape, const float *data, size_t n);
void moe_adapter_hash_end(struct sha256_ctx *h, char hex[65]);

#endif
