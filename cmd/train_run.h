/* train_run.h - a run of moe-train beside the arithmetic: what it counts, what it refuses, its
 * checkpoint, and its last words. All of it may end the program. */
#ifndef MOE_CMD_TRAIN_RUN_H
#define MOE_CMD_TRAIN_RUN_H

#include "moe/method.h"
#include "rl/checkpoint.h"
#include "rl/identity.h"
#include "rl/publish.h"

struct train_run {
	bool due; /* a checkpoint waits for the update that it may follow */
	size_t steps, dead, routed, beyond;
	double tokens;
	char key[MOE_TRAIN_KEY];
	struct moe_identity who;
	int64_t saved;          /* steps that the checkpoint holds */
	struct moe_train_at at; /* steps before at.next are in the checkpoint that we go on from */
	struct moe_writer_opts w;  /* of what is published, and of the metrics */
	struct moe_publisher *pub; /* [n_pub] owned: one for each --publish */
	size_t n_pub;
};

/* Input labelled oracle is refused unless --allow-oracle. */
void train_refuse_oracle(enum moe_labels labels);
/* A method that cheats is refused on rollouts that nothing sealed has touched: a bound without what
 * makes it one would be believed. */
void train_need_oracle(const struct moe_method *method, enum moe_labels labels);
/* --resume: loads the checkpoint, if there is one. */
void train_resume(struct moe_trainer *t, struct train_run *run);
/* What is published where, from here on; to be ended with train_publish_end. rollouts: the operand,
 * NULL = none. */
void train_publish_begin(
	struct train_run *run, const char *tool, const char *rollouts, enum moe_labels labels);
void train_publish_end(struct train_run *run);
/* After each step: publishes and saves. */
void train_keep(struct moe_trainer *t, struct train_run *run, int64_t step, enum moe_labels labels);
/* After the last step: dies when there was none, warns of a run that learned or routed nothing, and
 * says whose rollouts they were. */
void train_conclude(
	const struct train_run *run, const struct moe_trainer *t, enum moe_labels labels);

#endif
