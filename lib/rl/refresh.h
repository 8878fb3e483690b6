/* refresh.h - the weights under which a step's rollouts are scored, and the score made anew from
 * the pairs every so many steps: of methods with the setting `refresh` above 0 (moe/method.h).
 *
 * A step is scored under the weights that sampled it, without the quarantine and with the sampling
 * gates of the plan: the deployed state. Which weights those are, its rollouts say (`policy`, the
 * digest of the adapter); weights are read from the trainer until they are in hand. So neither a
 * lag nor a recording nor a step that a run goes on with needs to be told, and other weights than
 * those that sampled score nothing. Not thread-safe.
 */
#ifndef MOE_RL_REFRESH_H
#define MOE_RL_REFRESH_H

#include "moe/route.h"
#include "rl/ahead.h"

struct moe_refresh {
	/* set by the caller; borrowed */
	const struct moe_method *method;
	const struct moe_pairs *pairs;
	struct moe_adapter *a;    /* the score that decides, overwritten by each refresh; and the
				     weights that the run starts with */
	struct moe_ahead *follow; /* NULL = there are no weights but a's */
	double wait_sec;          /* for a trainer to open the FIFO; 0 = for ever */
	void (*say)(void *ctx, int64_t step); /* still nobody has opened it; or NULL */
	void *ctx;
	/* set by moe_refresh_begin */
	int64_t every;               /* steps; 0 = nothing below is used */
	struct moe_adapter now;      /* weights in hand; owned */
	struct moe_experts deployed; /* their deployed state; owned */
	int64_t made;                /* step at which the score was last made, -1 = by moe-pin */
	int64_t unknown;             /* steps whose rollouts named no policy since the last read */
};

int moe_refresh_begin(struct moe_refresh *f, struct moe_err *e);
void moe_refresh_free(struct moe_refresh *f); /* accepts a zeroed struct */
/* Before the first step, when it is not step 0: weights and score as a trainer's checkpoint has
 * them. `state` as moe_refresh_state wrote it. */
int moe_refresh_resume(struct moe_refresh *f, const char *checkpoint, const struct moe_rec *state,
	struct moe_err *e);
/* Before a step is judged with engine g: gets its weights, makes the score anew where it is due
 * (*made), and sets g->x. MOE_DATA when the step was sampled by others than can be had. */
int moe_refresh_step(struct moe_refresh *f, struct moe_engine *g, const struct moe_route_step *s,
	bool *made, struct moe_err *e);
/* What goes into the `step` record of a step before which the score was made (key `score`): the
 * step and the score's tensors and numbers. */
int moe_refresh_state(const struct moe_refresh *f, struct moe_rec *out, struct moe_err *e);

#endif
