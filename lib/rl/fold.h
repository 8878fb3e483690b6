/* fold.h - tasks that each make a gradient, and their sum in task order: over the threads of a
 * pool, and over ranks (util/ranks.h).
 *
 * The sum is ((g0 + g1) + g2) + ... in 32 bits whatever computes them, so that every number of
 * threads and ranks gives the same bits. Ranks take turns: of each round of ranks x threads tasks,
 * rank r computes r, r + ranks, ...; then every task's gradient, and what else it wrote, goes from
 * its rank to all. Memory beyond the pool's: threads + 1 gradients with more than one rank (twice
 * that where moments are split).
 */
#ifndef MOE_RL_FOLD_H
#define MOE_RL_FOLD_H

#include "rl/train.h"

struct moe_fold {
	/* Task k computes into t->part[worker] (which it zeroes), and writes what else it finds to
	 * places of its own. */
	moe_pool_fn *task;
	/* Gives those places to all ranks: moe_ranks_share(place, bytes, from) for each. NULL =
	 * there are none. */
	void (*pieces)(void *ctx, size_t k, int from);
	void *ctx;
	bool no_gradient; /* tasks leave t->part alone */
	bool second; /* where moments are split, tasks compute into t->part2[worker] too, which is
			added to t->second */
};
/* Runs n tasks and adds their gradients to t->grad. On failure the error of a failing task, the
 * same on all ranks. */
int moe_fold_run(struct moe_trainer *t, size_t n, const struct moe_fold *f, struct moe_err *e);

#endif
