/* pairs.h - the hand-written (hack, clean) pairs, read from a stream and turned into tokens. */
#ifndef MOE_MOE_PAIRS_H
#define MOE_MOE_PAIRS_H

#include "formats/stream.h"
#include "formats/tokenizer/tokenizer.h"

struct moe_pair {
	char *id, *mode;                /* owned; mode "" when unknown */
	int32_t *prompt, *hack, *clean; /* owned tokens */
	int n_prompt, n_hack, n_clean;
};

struct moe_pairs {
	struct moe_pair *pair; /* [n] owned */
	size_t n, cap;
};

/* All pairs of a stream. Prompts become the tokens that moe-rollout makes of them (special.h; bos
 * is what an empty one begins with); completions end without a stop token. A pair without an id,
 * with an empty side, with equal sides or with a key that holds a finding about a rollout (seal.h)
 * is an error. */
int moe_pairs_read(struct moe_pairs *p, struct moe_reader *r, const struct moe_tokenizer *t,
	int32_t bos, struct moe_err *e);
/* Exchanges hack and clean of half of the pairs (rounded down), chosen by chance from the seed, or
 * of all: pairs whose labels say nothing, or the contrary. NEUTRAL: each hack gives way to the
 * clean side of another pair, the next one with another text in a circle of all in random order,
 * and of half of the pairs the own clean side is the one that is called hack: nobody games.
 * MOE_DATA when a pair has no other clean text beside its own. */
enum moe_pairs_swap { MOE_SWAP_NONE, MOE_SWAP_HALF, MOE_SWAP_ALL, MOE_SWAP_NEUTRAL };
int moe_pairs_swap_sides(
	struct moe_pairs *p, enum moe_pairs_swap swap, uint64_t seed, struct moe_err *e);
void moe_pairs_free(struct moe_pairs *p); /* accepts a zeroed struct */

#endif
