/* route_run.h - moe-route's steps: gathered, judged, written; and what its score is made anew from.
 */
#ifndef MOE_CMD_ROUTE_RUN_H
#define MOE_CMD_ROUTE_RUN_H

#include "rl/refresh.h"

struct route_args {
	const char *pin, *follow; /* of a score with a refresh */
	int64_t wait_sec;
	const char *resume;
	int64_t nulls;
	bool explain;
};

/* What the whole run decided. */
struct route_sums {
	size_t n, decided[MOE_DECISIONS], made; /* made: how often the score was made anew */
	double sec;
};

struct route_run {
	const struct route_args *o;
	struct moe_engine g;
	struct moe_refresh f; /* with the method, and the adapter whose score decides */
	struct moe_pairs pairs;
	struct moe_reader *pins; /* NULL = none */
	struct moe_writer *w;
	struct route_sums sum;
};

/* Pairs and FIFO, before rollouts are waited for; dies where they are missing or not wanted. base
 * is the directory of the base. */
void route_open(struct route_run *r, const char *base);
/* All rollouts of `in`, to r->w. */
void route_all(struct route_run *r, struct moe_reader *in);
void route_close(struct route_run *r);

#endif
