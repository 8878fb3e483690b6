/* fold.c - the order in which gradients are summed. What a task computes is its caller's. */
#include "rl/fold.h"

#include "tensor/vec.h"
#include "util/mem.h"
#include "util/ranks.h"

#include <stdlib.h>
#include <string.h>

struct job {
	struct moe_trainer *t;
	const struct moe_fold *f;
	int n_sum;       /* gradients of a task: 0, 1, or 2 where moments are split */
	moe_real *to[2]; /* [n_param] what they are added to */
	moe_real *kept;  /* [threads, n_sum, n_param] with ranks: this rank's of a round */
	size_t base;     /* the round's first task */
};

/* The s-th gradient that a worker's task made. */
static moe_real *made(const struct moe_trainer *t, int s, int worker)
{
	return s ? t->part2[worker] : t->part[worker];
}

static void add(const struct job *j, int s, const moe_real *g)
{
	moe_vec_add(j->t->a->x.n_param, g, j->to[s]);
}

/* ---- one rank: a task is added when all lower ones have been ---- */

static int add_in_turn(void *ctx, size_t k, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	int rc = j->f->task(j->f->ctx, k, worker, e);

	if (rc || j->n_sum == 0)
		return rc;
	moe_pool_turn(j->t->pool, k);
	for (int s = 0; s < j->n_sum; s++)
		add(j, s, made(j->t, s, worker));
	moe_pool_turn_end(j->t->pool, k);
	return 0;
}

/* ---- few tasks: each takes all threads (moe_pass_shared), one after another ---- */

enum { LINE = 4096 };

/* "Rows" here are LINE numbers of a gradient each. */
static void add_rows(void *ctx, int from, int to, int worker)
{
	const struct job *j = ctx;
	size_t a = (size_t)from * LINE, b = (size_t)to * LINE, n = j->t->a->x.n_param;

	(void)worker;
	for (int s = 0; s < j->n_sum; s++)
		moe_vec_add((b < n ? b : n) - a, made(j->t, s, 0) + a, j->to[s] + a);
}

static int run_shared(struct job *j, size_t n, struct moe_err *e)
{
	struct moe_trainer *t = j->t;
	int rc = 0;

	t->acts[0].pool = t->pool;
	for (size_t k = 0; rc == 0 && k < n; k++)
		if ((rc = j->f->task(j->f->ctx, k, 0, e)) == 0)
			moe_pool_rows(t->pool, (int)((t->a->x.n_param + LINE - 1) / LINE), 1,
				add_rows, j);
	t->acts[0].pool = NULL;
	return rc;
}

/* ---- ranks: a round is computed, then shared and added ---- */

/* This rank's i-th task of the round. */
static int keep(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	size_t n = j->t->a->x.n_param;
	size_t k = j->base + (size_t)moe_rank() + i * (size_t)moe_ranks();
	int rc = j->f->task(j->f->ctx, k, worker, e);

	for (int s = 0; rc == 0 && s < j->n_sum; s++)
		memcpy(j->kept + (i * (size_t)j->n_sum + (size_t)s) * n, made(j->t, s, worker),
			n * sizeof(*j->kept));
	return rc;
}

/* Tasks base .. base + round, in order: each from its rank. theirs [n_param] is for others'. */
static void share_round(struct job *j, size_t end, moe_real *theirs)
{
	size_t n = j->t->a->x.n_param, ranks = (size_t)moe_ranks();

	for (size_t k = j->base; k < end; k++) {
		int from = (int)((k - j->base) % ranks);
		size_t own = (k - j->base) / ranks * (size_t)j->n_sum;

		for (int s = 0; s < j->n_sum; s++) {
			moe_real *g = from == moe_rank() ? j->kept + (own + (size_t)s) * n : theirs;

			moe_ranks_share(g, n * sizeof(*g), from);
			add(j, s, g);
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

	j->kept = moe_alloc(threads * param * (size_t)j->n_sum, sizeof(*j->kept), e);
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
	struct job j = { .t = t, .f = f, .to = { t->grad, t->second } };

	j.n_sum = f->no_gradient ? 0 : f->second && t->second ? 2 : 1;

	if (moe_ranks() > 1)
		return run_rounds(&j, n, e);
	return moe_pass_shared(t->m, moe_pool_threads(t->pool), n)
		? run_shared(&j, n, e)
		: moe_pool_run(t->pool, n, add_in_turn, &j, e);
}
