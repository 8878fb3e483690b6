/* fold.c - the order in which gradients are summed. What a task computes is its caller's. */
#include "rl/fold.h"

#include "util/mem.h"
#include "util/ranks.h"

#include <stdlib.h>
#include <string.h>

struct job {
	struct moe_trainer *t;
	const struct moe_fold *f;
	moe_real *kept; /* [threads, n_param] with ranks: this rank's gradients of a round */
	size_t base;    /* the round's first task */
};

static void add(const struct moe_trainer *t, const moe_real *g)
{
	for (size_t i = 0; i < t->a->x.n_param; i++)
		t->grad[i] += g[i];
}

/* ---- one rank: a task is added when all lower ones have been ---- */

static int add_in_turn(void *ctx, size_t k, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	int rc = j->f->task(j->f->ctx, k, worker, e);

	if (rc || j->f->no_gradient)
		return rc;
	moe_pool_turn(j->t->pool, k);
	add(j->t, j->t->part[worker]);
	moe_pool_turn_end(j->t->pool, k);
	return 0;
}

/* ---- ranks: a round is computed, then shared and added ---- */

/* This rank's i-th task of the round. */
static int keep(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	size_t n = j->t->a->x.n_param;
	size_t k = j->base + (size_t)moe_rank() + i * (size_t)moe_ranks();
	int rc = j->f->task(j->f->ctx, k, worker, e);

	if (rc == 0 && !j->f->no_gradient)
		memcpy(j->kept + i * n, j->t->part[worker], n * sizeof(*j->kept));
	return rc;
}

/* Tasks base .. base + round, in order: each from its rank. theirs [n_param] is for others'. */
static void share_round(struct job *j, size_t end, moe_real *theirs)
{
	size_t n = j->t->a->x.n_param, ranks = (size_t)moe_ranks();

	for (size_t k = j->base; k < end; k++) {
		int from = (int)((k - j->base) % ranks);
		moe_real *g = from == moe_rank() ? j->kept + (k - j->base) / ranks * n : theirs;

		if (!j->f->no_gradient) {
			moe_ranks_share(g, n * sizeof(*g), from);
			add(j->t, g);
		}
		if (j->f->pieces)
			j->f->pieces(j->f->ctx, k, from);
	}
}

static int run_rounds(struct job *j, size_t n, struct moe_err *e)
{
	size_t threads = (size_t)moe_pool_threads(j->t->pool), ranks = (size_t)moe_ranks(),
	       round = threads * ranks, param = j->t->a->x.n_param, own;
	moe_real *theirs = moe_alloc(param, sizeof(*theirs), e);
	int rc;

	j->kept = moe_alloc(threads * param, sizeof(*j->kept), e);
	rc = moe_ranks_agree(j->kept && theirs ? 0 : -1, e);
	for (j->base = 0; rc == 0 && j->base < n; j->base += round) {
		size_t end = j->base + round < n ? j->base + round : n,
		       left = end - j->base; /* as many tasks as this rank has of these */

		own = left > (size_t)moe_rank() ? (left - (size_t)moe_rank() + ranks - 1) / ranks
						: 0;
		rc = moe_ranks_agree(moe_pool_run(j->t->pool, own, keep, j, e), e);
		if (rc == 0)
			share_round(j, end, theirs);
	}
	free(j->kept);
	free(theirs);
	return rc;
}

int moe_fold_run(struct moe_trainer *t, size_t n, const struct moe_fold *f, struct moe_err *e)
{
	struct job j = { .t = t, .f = f };

	return moe_ranks() > 1 ? run_rounds(&j, n, e)
			       : moe_pool_run(t->pool, n, add_in_turn, &j, e);
}
