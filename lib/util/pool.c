/* pool.c - threads that take numbered tasks in order. No queues, no futures. */
#include "util/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define SPINS 2000 /* about 30 microseconds */

struct worker {
	struct moe_pool *pool;
	pthread_t thread;
	int index;
};

struct moe_pool {
	int threads, started;
	struct worker *workers;
	pthread_mutex_t lock;
	pthread_cond_t wake, done, turned;
	bool quit;
	/* written under the lock; read outside of it by those who wait a moment before they sleep
	 */
	atomic_ulong job;   /* counts moe_pool_run calls */
	atomic_int running; /* tasks of the current job that were begun and have not ended */
	/* the current job */
	moe_pool_fn *fn;
	void *ctx;
	size_t n, next, turn, failed; /* turn: every task below has had its turn */
	bool *passed;
	struct moe_err err;
};

/* Waking a thread that sleeps costs more than many a job takes, and the next job often comes within
 * microseconds. */
static inline void pause_briefly(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
	__builtin_ia32_pause();
#endif
}

static void await_job(struct moe_pool *p, unsigned long seen)
{
	for (int i = 0; i < SPINS && atomic_load_explicit(&p->job, memory_order_relaxed) == seen;
		i++)
		pause_briefly();
}

static void await_tasks(struct moe_pool *p)
{
	for (int i = 0; i < SPINS && atomic_load_explicit(&p->running, memory_order_relaxed) > 0;
		i++)
		pause_briefly();
}

static void pass(struct moe_pool *p, size_t task)
{
	p->passed[task] = true;
	while (p->turn < p->n && p->passed[p->turn])
		p->turn++;
	pthread_cond_broadcast(&p->turned);
}

/* Runs tasks until none is left. The lock is held on entry and on return. */
static void work(struct moe_pool *p, int worker)
{
	while (p->next < p->n && p->failed == p->n) {
		size_t task = p->next++;
		struct moe_err e = { 0 };
		int rc;

		p->running++;
		pthread_mutex_unlock(&p->lock);
		rc = p->fn(p->ctx, task, worker, &e);
		pthread_mutex_lock(&p->lock);
		p->running--;
		if (rc && task < p->failed) {
			p->failed = task;
			p->err = e;
		}
		pass(p, task);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct moe_pool *p = w->pool;
	unsigned long seen = 0;

	for (;;) {
		await_job(p, seen);
		pthread_mutex_lock(&p->lock);
		while (!p->quit && p->job == seen)
			pthread_cond_wait(&p->wake, &p->lock);
		if (p->quit)
			break;
		seen = p->job;
		work(p, w->index);
		if (p->running == 0)
			pthread_cond_signal(&p->done);
		pthread_mutex_unlock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct moe_pool *moe_pool_new(int threads, struct moe_err *e)
{
	struct moe_pool *p = calloc(1, sizeof(*p));

	if (threads < 1)
		threads = 1;
	if (p)
		p->workers = calloc((size_t)threads, sizeof(*p->workers));
	if (!p || !p->workers) {
		free(p);
		moe_fail(e, MOE_SYSTEM, "out of memory for a pool of %d threads", threads);
		return NULL;
	}
	p->threads = threads;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->done, NULL);
	pthread_cond_init(&p->turned, NULL);
	for (int i = 1; i < threads; i++) {
		p->workers[i].pool = p;
		p->workers[i].index = i;
		if (pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i])) {
			moe_fail(e, MOE_SYSTEM, "thread %d of %d could not be started", i + 1,
				threads);
			moe_pool_free(p);
			return NULL;
		}
		p->started++;
	}
	return p;
}

void moe_pool_free(struct moe_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->quit = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 1; i <= p->started; i++)
		pthread_join(p->workers[i].thread, NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->wake);
	pthread_cond_destroy(&p->done);
	pthread_cond_destroy(&p->turned);
	free(p->workers);
	free(p);
}

int moe_pool_threads(const struct moe_pool *p)
{
	return p->threads;
}

int moe_pool_run(struct moe_pool *p, size_t n, moe_pool_fn *fn, void *ctx, struct moe_err *e)
{
	int rc = 0;

	if (n == 0)
		return 0;
	p->passed = calloc(n, sizeof(*p->passed));
	if (!p->passed)
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu tasks", n);
	pthread_mutex_lock(&p->lock);
	p->fn = fn;
	p->ctx = ctx;
	p->n = p->failed = n;
	p->next = p->turn = 0;
	p->job++;
	pthread_cond_broadcast(&p->wake);
	/* A worker that wakes too late to get a task is not waited for: on a busy machine the
	 * caller does the work itself. */
	work(p, 0);
	if (p->running) {
		pthread_mutex_unlock(&p->lock);
		await_tasks(p);
		pthread_mutex_lock(&p->lock);
	}
	while (p->running)
		pthread_cond_wait(&p->done, &p->lock);
	if (p->failed < n) {
		if (e)
			*e = p->err;
		rc = -1;
	}
	free(p->passed);
	p->passed = NULL;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

void moe_pool_turn(struct moe_pool *p, size_t task)
{
	pthread_mutex_lock(&p->lock);
	while (p->turn < task)
		pthread_cond_wait(&p->turned, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void moe_pool_turn_end(struct moe_pool *p, size_t task)
{
	pthread_mutex_lock(&p->lock);
	pass(p, task);
	pthread_mutex_unlock(&p->lock);
}

/* ---- rows ---- */

struct rows {
	moe_rows_fn *fn;
	void *ctx;
	int n, part;
};

static int rows_part(void *ctx, size_t task, int worker, struct moe_err *e)
{
	const struct rows *r = ctx;
	int from = (int)task * r->part, left = r->n - from;

	(void)e;
	r->fn(r->ctx, from, from + (left < r->part ? left : r->part), worker);
	return 0;
}

void moe_pool_rows(struct moe_pool *p, int n, int grain, moe_rows_fn *fn, void *ctx)
{
	int parts = p ? p->threads : 1;
	struct rows r = { fn, ctx, n, (n + parts - 1) / parts };

	r.part = (r.part + grain - 1) / grain * grain;
	if (n <= 0)
		return;
	/* no task fails, so this can only for want of memory */
	if (r.part >= n ||
		moe_pool_run(
			p, ((size_t)n + (size_t)r.part - 1) / (size_t)r.part, rows_part, &r, NULL))
		fn(ctx, 0, n, 0);
}
