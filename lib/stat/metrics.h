/* metrics.h - training curves: the metrics streams of several runs, kept as named series.
 *
 * A run is (method, training seed) from the stream's header. Zero-initialise; moe_metrics_free
 * accepts a zeroed struct.
 */
#ifndef MOE_STAT_METRICS_H
#define MOE_STAT_METRICS_H

#include "formats/rec.h"
#include "util/names.h"

struct moe_point {
	uint32_t key;
	int64_t step;
	double value;
};

struct moe_metrics_run {
	const char *method;
	int64_t seed;
	struct moe_point *point; /* [n] in the order of the stream; owned */
	size_t n, cap;
};

struct moe_metrics {
	struct moe_arena arena;
	struct moe_names key;
	struct moe_metrics_run *run;
	size_t n_run, cap_run;
};

void moe_metrics_free(struct moe_metrics *m);
/* Adds all numbers of one t="metrics" record. */
int moe_metrics_add(struct moe_metrics *m, const char *method, int64_t seed,
	const struct moe_rec *r, struct moe_err *e);
const struct moe_metrics_run *moe_metrics_find(
	const struct moe_metrics *m, const char *method, int64_t seed);
/* Mean (NaN when the key does not occur), least and greatest value of a key over a run's steps.
 * Pointers may be NULL. */
double moe_metrics_mean(const struct moe_metrics *m, const struct moe_metrics_run *r,
	const char *key, double *min, double *max);

#endif
