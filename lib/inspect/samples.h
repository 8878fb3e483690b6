/* samples.h - rollouts to read: a few of each arm and mode, laid out for people. No seal is opened,
 * so what the oracle found is not here (moe-report's page has it). */
#ifndef MOE_INSPECT_SAMPLES_H
#define MOE_INSPECT_SAMPLES_H

#include "inspect/show.h"

/* Groups of one arm and mode: how many rollouts each has, its mean reward, and the text of the
 * first `each`, which takes memory. */
struct moe_samples;
/* colour: escape sequences of a terminal's colours. */
struct moe_samples *moe_samples_new(uint64_t each, bool colour, struct moe_err *e);
void moe_samples_free(struct moe_samples *s); /* NULL is accepted */
/* Reads one input to its end; records that o's conditions pass. */
int moe_samples_read(
	struct moe_samples *s, struct moe_show *o, struct moe_reader *r, struct moe_err *e);
/* All groups: arms in the order in which they came, the modes of each in byte order. No rollout at
 * all is said in a line. */
int moe_samples_print(struct moe_samples *s, struct moe_buf *out, struct moe_err *e);

#endif
