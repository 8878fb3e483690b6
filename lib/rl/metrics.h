/* metrics.h - the metrics record of a training step, under the names that TRL's GRPOTrainer logs (formats/records.md, "metrics"). */
#ifndef MOE_RL_METRICS_H
#define MOE_RL_METRICS_H

#include "rl/train.h"

/* Fills r. num_tokens counts tokens run so far; step_sec is the whole step's wall time (also `step_time`), time_sec the time since the start. */
int moe_train_metrics(struct moe_rec *r, const struct moe_rollout_step *s, const struct moe_train_stats *st, double num_tokens,
	double step_sec, double time_sec, struct moe_err *e);

#endif
