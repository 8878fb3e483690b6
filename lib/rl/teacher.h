/* teacher.h - recorded rollouts by prompt, to be mixed into groups in place of fresh samples
 * (demonstrations of a teacher).
 *
 * The whole pool is held in memory. Read-only use is thread-safe.
 */
#ifndef MOE_RL_TEACHER_H
#define MOE_RL_TEACHER_H

#include "formats/stream.h"

struct moe_teacher {
	struct moe_teacher_item {
		struct moe_rec rec; /* owned */
		uint64_t hash;      /* of the prompt's id */
		size_t order;
	} * item; /* [n] sorted by prompt, then in the order of the stream */
	size_t n, cap;
};

/* Reads a rollouts stream to its end. Zero-initialise t. An empty pool and a rollout without
 * prompt_id or completion are MOE_DATA. */
int moe_teacher_load(struct moe_teacher *t, struct moe_reader *r, struct moe_err *e);
void moe_teacher_free(struct moe_teacher *t); /* accepts a zeroed struct */
/* The rollouts of a prompt: how many; *first is the first of them (they lie side by side). */
size_t moe_teacher_find(
	const struct moe_teacher *t, const char *prompt_id, const struct moe_teacher_item **first);

/* Log-probabilities of a recorded completion of n tokens at a temperature, over the whole
 * vocabulary, as training takes them (rollout.c): *logp [n], to be freed; NULL when the record has
 * none that are known to be so. */
int moe_teacher_logp(
	const struct moe_rec *rec, double temperature, size_t n, float **logp, struct moe_err *e);

#endif
