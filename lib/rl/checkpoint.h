/* checkpoint.h - a training run to disk and back, so that a killed one continues bit for bit.
 *
 * One safetensors file, replaced as a whole (util/temp.h): the experts and their plan, AdamW's
 * moments and counts, the constants that the first step fixed, which step of the rollouts comes
 * next, the scores by which rollouts were routed so far, the score that the router last made anew,
 * and the labels that the input had. A key of the starting adapter and all options that matter
 * refuses another run's file. The sampler of a run on policy goes on from the same file, and so
 * does a router whose thresholds are quantiles of the scores so far, or whose score is made anew as
 * the policy changes.
 */
#ifndef MOE_RL_CHECKPOINT_H
#define MOE_RL_CHECKPOINT_H

#include "rl/identity.h"
#include "rl/train.h"

#define MOE_TRAIN_KEY 1536
/* Before the first step: the key of this run. */
void moe_train_key(const struct moe_trainer *t, char key[MOE_TRAIN_KEY]);
/* Where a run stands beside the trainer. */
struct moe_train_at {
	int64_t next;                     /* the first step number that is not trained yet */
	enum moe_labels labels;           /* highest of what trained it so far */
	char identity[MOE_IDENTITY_TEXT]; /* who sampled and routed so far (rl/identity.h) */
};
int moe_train_save(const struct moe_trainer *t, const char *path, const char *key,
	const struct moe_train_at *at, struct moe_err *e);
/* 1 = continued, 0 = there is no such file, -1 = error (MOE_DATA when it is another run's). */
int moe_train_load(struct moe_trainer *t, const char *path, const char *key,
	struct moe_train_at *at, struct moe_err *e);
/* For the sampler: turns a, the adapter that the run started from, into the one that samples step
 * at->next. Returns as above. */
int moe_train_peek(
	const char *path, struct moe_adapter *a, struct moe_train_at *at, struct moe_err *e);

/* For the router: the scores of the steps before at->next, into a zeroed past, and into a zeroed
 * score what it last made (no fields = nothing); a is the adapter that the run started from, and
 * stays as it is. Returns as above. */
int moe_train_peek_past(const char *path, const struct moe_adapter *a, struct moe_past *past,
	struct moe_rec *score, struct moe_train_at *at, struct moe_err *e);

#endif
