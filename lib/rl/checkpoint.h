/* checkpoint.h - a training run to disk and back, so that a killed one continues bit for bit.
 *
 * One safetensors file, replaced as a whole (moe_file_replace): the experts, AdamW's moments and counts, the constants that the first step
 * fixed, and which step of the rollouts comes next. A key of the starting adapter and all options that matter refuses another run's file.
 */
#ifndef MOE_RL_CHECKPOINT_H
#define MOE_RL_CHECKPOINT_H

#include "rl/train.h"

#define MOE_TRAIN_KEY 512
/* Before the first step: the key of this run. */
void moe_train_key(const struct moe_trainer *t, char key[MOE_TRAIN_KEY]);
/* next: the first step number that is not trained yet. */
int moe_train_save(const struct moe_trainer *t, const char *path, const char *key, int64_t next, struct moe_err *e);
/* 1 = continued, 0 = there is no such file, -1 = error (MOE_DATA when it is another run's). */
int moe_train_load(struct moe_trainer *t, const char *path, const char *key, int64_t *next, struct moe_err *e);

#endif
