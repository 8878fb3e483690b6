/* metric_log.h - metrics streams (formats/records.md, "metrics") as a table in memory, and that
 * table in the forms of others: CSV, JSON Lines as Weights & Biases has them, TensorBoard.
 *
 * A run is a method and training seed of a segment's header; pretraining has neither. Numbers that
 * are no scalars (advantages) are left out. Zero-initialise; moe_metric_log_free accepts a zeroed
 * struct and empties it. Not thread-safe.
 */
#ifndef MOE_INSPECT_METRIC_LOG_H
#define MOE_INSPECT_METRIC_LOG_H

#include "inspect/show.h"
#include "util/names.h"

struct moe_metric_run {
	const char *method; /* escaped; "" = none */
	int64_t seed;
	bool has_seed;
};
struct moe_metric_value {
	uint32_t key;
	double v;
};
struct moe_metric_row {
	uint32_t run;
	int64_t step;
	double time;    /* seconds since the run's start; NaN = not told */
	size_t from, n; /* its values */
};
struct moe_metric_log {
	struct moe_arena arena;
	struct moe_names key; /* all but step and time, in the order in which they came */
	struct moe_metric_run *run;
	struct moe_metric_row *row;
	struct moe_metric_value *value;
	size_t n_run, cap_run, n_row, cap_row, n_value, cap_value;
	bool cut; /* the input that was read last had no end yet */
};
void moe_metric_log_free(struct moe_metric_log *l);
/* Adds the metrics records of one input that pass o->where (o NULL: all of them). Segments of other
 * kinds are passed over. MOE_DATA names a record without a step. */
int moe_metric_log_read(
	struct moe_metric_log *l, struct moe_show *o, struct moe_reader *r, struct moe_err *e);
/* A row's value of a key; NaN where it has none. */
double moe_metric_get(
	const struct moe_metric_log *l, const struct moe_metric_row *row, const char *key);

enum moe_metric_form { MOE_METRIC_CSV, MOE_METRIC_WANDB, MOE_METRIC_TENSORBOARD };
/* "csv", "wandb", "tensorboard". MOE_USAGE otherwise. */
int moe_metric_form_parse(const char *s, enum moe_metric_form *out, struct moe_err *e);
/* Appends the table. csv: RFC 4180, columns method, train_seed, step, time, then all keys; NaN
 * where a run did not measure a key. wandb: a line a row with _step, _runtime, method, train_seed,
 * and NaN as the text "NaN", as wandb-history.jsonl has it. tensorboard: formats/tfevents.md;
 * MOE_USAGE of more than one run, since a file is a run. */
int moe_metric_log_write(const struct moe_metric_log *l, enum moe_metric_form form,
	struct moe_buf *out, struct moe_err *e);

#endif
