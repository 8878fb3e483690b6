/* route.h - the routing of one step of rollout records: buffered until its `step` record, judged
 * together, annotated. */
#ifndef MOE_MOE_ROUTE_H
#define MOE_MOE_ROUTE_H

#include "moe/method.h"

struct moe_route_step {
	struct moe_rec *rec;       /* [n] owned; unknown keys stay in them */
	struct moe_seen *seen;     /* [n] token arrays owned */
	struct moe_judged *judged; /* [n] */
	struct moe_nulls null;     /* n and seed are the caller's; score owned */
	size_t n, cap;
	int64_t step;
	struct moe_past past; /* scores of the steps so far; owned, and not cleared with a step */
};

void moe_route_step_free(struct moe_route_step *s); /* accepts a zeroed struct */
void moe_route_step_clear(struct moe_route_step *s);
/* Copies a rollout record into the step. show_label opens its seal (which taints the process) for a
 * method that cheats. */
int moe_route_add(struct moe_route_step *s, const struct moe_rec *rec, int V, bool show_label,
	struct moe_err *e);
/* Judges the step and writes each record's `route` map: method, decision, the score when there is
 * one, and s->null.n scores under random directions. */
int moe_route_judge(struct moe_route_step *s, const struct moe_method *m,
	const struct moe_engine *g, const struct moe_adapter *a, uint64_t seed, struct moe_err *e);

#endif
