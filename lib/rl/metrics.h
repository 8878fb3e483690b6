/* metrics.h - the metrics record of a training step, under the names that TRL's GRPOTrainer logs
 * (formats/records.md, "metrics"). Every metric of a run is in each of its records: nil where the
 * step did not measure it. */
#ifndef MOE_RL_METRICS_H
#define MOE_RL_METRICS_H

#include "rl/train.h"

/* Fills r. num_tokens counts the tokens of prompts and completions of all rollouts so far, as TRL
 * does; step_sec is the whole step's wall time (`step_time`), time_sec that since the start. */
int moe_train_metrics(struct moe_rec *r, const struct moe_adapter *a,
	const struct moe_rollout_step *s, const struct moe_train_stats *st, double num_tokens,
	double step_sec, double time_sec, struct moe_err *e);

/* The step in one line of text, for people. */
void moe_train_line(char *out, size_t size, const struct moe_rollout_step *s,
	const struct moe_train_stats *st, double step_sec);

/* A file of metrics that can be followed while it grows: a record a step, flushed; ended only by
 * moe_metrics_end. */
struct moe_metrics_file {
	int fd;
	struct moe_writer *w; /* NULL: not wanted */
	double before_sec;    /* `time` of the last record kept from a run that was stopped */
};
/* The header names the adapter's method and seed. path NULL = not wanted. The records of steps
 * before `first` that the file holds, of a run that was stopped, stay in it. */
int moe_metrics_open(struct moe_metrics_file *f, const char *path, const struct moe_adapter *a,
	const struct moe_writer_opts *w, int64_t first, struct moe_err *e);
int moe_metrics_put(struct moe_metrics_file *f, const struct moe_rec *r, struct moe_err *e);
int moe_metrics_end(struct moe_metrics_file *f, enum moe_labels labels, struct moe_err *e);

#endif
