/* pack.h - sequences packed into batches without padding; those that follow each other with the
 * same prompt and state share one pass of it.
 *
 * A state is what must be equal for a prompt's pass to be shared exactly: gates and masks. Cutting
 * depends on lengths alone, never on threads.
 *
 * The last prompt token is not shared: it is each completion's own first row, the decision row. It
 * predicts the first completion token, where a hack is often chosen; so every row that predicts a
 * completion token is the rollout's own. The sampler does the same (model/sample.c), with the same
 * bits.
 */
#ifndef MOE_MOE_PACK_H
#define MOE_MOE_PACK_H

#include "model/model.h"

#include <stdbool.h>
#include <stddef.h>

struct moe_seq {
	const int32_t *prompt, *completion; /* borrowed tokens; at least one prompt token */
	int n_prompt, n_completion; /* completion tokens to run through the model, may be 0 */
	int state;
};

/* cut[n + 1] receives the first sequence of each chunk of about max_tok tokens (a longer sequence
 * is a chunk of its own), and n at its end; returns the number of chunks. */
size_t moe_pack_cut(const struct moe_seq *s, size_t n, int max_tok, size_t *cut);

struct moe_packed {
	int32_t *ids;        /* [T] */
	struct moe_seg *seg; /* [n_seg] */
	int *seg_state;      /* [n_seg] */
	int *own, *parent;   /* [n] segments of each sequence: the last prompt token and the
				completion; the prompt's other tokens (-1 when it has no more) */
	int T, n_seg;
};
int moe_pack(const struct moe_seq *s, size_t n, struct moe_packed *p, struct moe_err *e);
void moe_packed_free(struct moe_packed *p);

#endif
