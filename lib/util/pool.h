/* pool.h - a small thread pool, passed explicitly.
 *
 * Work is cut into tasks whose number and content never depend on the number of threads; results
 * are either disjoint or folded in task order (moe_pool_turn), so every -j gives the same bits.
 */
#ifndef MOE_UTIL_POOL_H
#define MOE_UTIL_POOL_H

#include "util/err.h"

#include <stddef.h>

struct moe_pool;

/* threads >= 1; with 1 everything runs in the caller. NULL and *e on failure. */
struct moe_pool *moe_pool_new(int threads, struct moe_err *e);
void moe_pool_free(struct moe_pool *p); /* NULL is accepted */
int moe_pool_threads(const struct moe_pool *p);

/* Runs fn(ctx, task, worker, e) for task 0..n-1, handed out in increasing order; worker < threads
 * names scratch space. Returns after all are done. On failures, the error of the lowest failing
 * task is reported; later tasks are skipped. Not re-entrant: fn may not call moe_pool_run on the
 * same pool. */
typedef int moe_pool_fn(void *ctx, size_t task, int worker, struct moe_err *e);
int moe_pool_run(struct moe_pool *p, size_t n, moe_pool_fn *fn, void *ctx, struct moe_err *e);

/* Runs fn on parts [from, to) of rows 0..n, which must not depend on each other: how many parts
 * there are does depend on the threads. A part is a multiple of `grain` rows but for the last. p
 * may be NULL: then all of it runs in the caller, as worker 0. Returns after all are done. */
typedef void moe_rows_fn(void *ctx, int from, int to, int worker);
void moe_pool_rows(struct moe_pool *p, int n, int grain, moe_rows_fn *fn, void *ctx);

/* Called inside fn: waits until every lower task has ended or passed its own moe_pool_turn_end, so
 * that folding happens in task order. A task that returns without a turn counts as passed. */
void moe_pool_turn(struct moe_pool *p, size_t task);
void moe_pool_turn_end(struct moe_pool *p, size_t task);

#endif
