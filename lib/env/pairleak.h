/* pairleak.h - do pairs show what an evaluation asks? Ids, markers, tasks and prompts of prompts
 * streams, against which pairs are held.
 *
 * What the pairs teach must not be what is evaluated, else a high accuracy is memory. A prompt that
 * came from a chat is known by its last message as well as by its text, so that a template does not
 * hide it; a marker is found in a pair's texts too, as a word of at least three characters. Hashes
 * of 64 bits are kept, some 40 bytes for each string that is seen for the first time. Not
 * thread-safe.
 */
#ifndef MOE_ENV_PAIRLEAK_H
#define MOE_ENV_PAIRLEAK_H

#include "formats/stream.h"

enum moe_leak { MOE_LEAK_ID, MOE_LEAK_MARKER, MOE_LEAK_TASK, MOE_LEAK_PROMPT, MOE_LEAKS };
extern const char *const moe_leak_names[MOE_LEAKS]; /* "id", "marker", "task", "prompt" */

struct moe_pairleak {
	uint64_t *slot[MOE_LEAKS]; /* open addressing; 0 = free */
	size_t n[MOE_LEAKS], cap[MOE_LEAKS];
	uint64_t prompts;
	/* of the pairs that were checked: how many share it, and the first that does */
	uint64_t pairs, shared[MOE_LEAKS], leaking;
	struct moe_buf first; /* "the pair `x' shares its marker `m'", of the first; empty = none */
};

void moe_pairleak_free(struct moe_pairleak *l); /* accepts a zeroed struct */
/* Takes in all records of a stream of the kind prompts. */
int moe_pairleak_prompts(struct moe_pairleak *l, struct moe_reader *r, struct moe_err *e);
/* Holds a pair against them. */
int moe_pairleak_check(struct moe_pairleak *l, const struct moe_rec *pair, struct moe_err *e);

#endif
