/* explain.h - why rollouts are routed as they are: a stream of kind `routes` (formats/records.md),
 * with scores per token and gates per token, site and expert. It only looks; nothing reads it back.
 */
#ifndef MOE_RL_EXPLAIN_H
#define MOE_RL_EXPLAIN_H

#include "formats/stream.h"
#include "moe/route.h"

struct moe_explain {
	const struct moe_method *method; /* that decides */
	struct moe_engine g;
	struct moe_adapter *a; /* borrowed, not changed */
	uint64_t seed;
};

/* What all records have in common, for the stream's header: base, arm, adapter (its digest). */
int moe_explain_header(const struct moe_model *m, const struct moe_adapter *a,
	struct moe_rec *extra, struct moe_err *e);
/* Judges the step s as moe_route_judge does - by the gates that the router really has, where there
 * is one - and writes one record for each of its rollouts, in their order. */
int moe_explain_step(const struct moe_explain *x, struct moe_route_step *s, struct moe_writer *out,
	struct moe_err *e);

#endif
