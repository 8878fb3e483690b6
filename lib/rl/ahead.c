/* ahead.c - a thread that takes weights from a FIFO, and a queue. What a segment is, is follow.c's.
 */
#define _DEFAULT_SOURCE
#include "rl/ahead.h"

#include "util/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* A segment that nobody has asked for yet. */
struct ahead_item {
	struct moe_adapter a;
	enum moe_labels labels;
	struct ahead_item *next;
};

struct moe_ahead {
	struct moe_follow *f; /* the thread's, where there is one */
	bool fifo;
	pthread_t thread; /* of a FIFO */
	int out_fd;
	enum moe_labels labels; /* of what was handed out; the caller's */
	/* what both touch, under the lock */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct ahead_item *first, **last;
	bool begun, ended;
	struct moe_err why; /* it ended */
};

#define LOOK_MS 1000 /* how often the thread looks whether the reader of out_fd has left */

static int read_one(struct moe_ahead *h, struct ahead_item *it, struct moe_err *e)
{
	struct moe_adapter *arm = NULL;
	size_t n = 0;
	int rc = moe_follow_next(h->f, &arm, &n, e);

	if (rc == 0 && n != 1)
		rc = moe_fail(e, MOE_DATA, "%zu arms in one segment: a trainer publishes one", n);
	if (rc == 0) {
		it->a = arm[0]; /* moved */
		arm[0] = (struct moe_adapter){ 0 };
		it->labels = moe_follow_labels(h->f);
	}
	for (size_t i = 0; i < n; i++)
		moe_adapter_free(&arm[i]);
	free(arm);
	return rc;
}

static void put(struct moe_ahead *h, struct ahead_item *it, const struct moe_err *why)
{
	pthread_mutex_lock(&h->lock);
	if (it) {
		*h->last = it;
		h->last = &it->next;
	} else {
		h->ended = true;
		h->why = *why;
	}
	pthread_cond_signal(&h->more);
	pthread_mutex_unlock(&h->lock);
}

static void *take_all(void *ctx)
{
	struct moe_ahead *h = ctx;
	struct moe_err e;
	int rc;

	while (!(rc = moe_follow_wait(h->f, h->out_fd, LOOK_MS, &e)))
		;
	if (rc > 0) {
		pthread_mutex_lock(&h->lock);
		h->begun = true;
		pthread_mutex_unlock(&h->lock);
	}
	while (rc > 0) {
		struct ahead_item *it = moe_alloc(1, sizeof(*it), &e);

		if (it && !read_one(h, it, &e)) {
			put(h, it, NULL);
			continue;
		}
		free(it);
		rc = -1;
	}
	put(h, NULL, &e);
	return NULL;
}

struct moe_ahead *moe_ahead_open(const char *path, size_t max_mem, int out_fd, struct moe_err *e)
{
	struct moe_ahead *h = moe_alloc(1, sizeof(*h), e);
	pthread_condattr_t attr;
	struct stat st;

	if (!h || !(h->f = moe_follow_open(path, max_mem, e))) {
		free(h);
		return NULL;
	}
	h->out_fd = out_fd;
	h->last = &h->first;
	h->fifo = stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->more, &attr);
	pthread_condattr_destroy(&attr);
	if (h->fifo && pthread_create(&h->thread, NULL, take_all, h)) {
		moe_fail(e, MOE_SYSTEM, "%s: no thread to read it", path);
		moe_follow_close(h->f);
		free(h);
		return NULL;
	}
	return h;
}

void moe_ahead_close(struct moe_ahead *h)
{
	bool reading;

	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	reading = h->fifo && !h->ended;
	pthread_mutex_unlock(&h->lock);
	if (reading) { /* perhaps for ever: it keeps h, and ends with the process */
		pthread_detach(h->thread);
		return;
	}
	if (h->fifo)
		pthread_join(h->thread, NULL);
	while (h->first) {
		struct ahead_item *it = h->first;

		h->first = it->next;
		moe_adapter_free(&it->a);
		free(it);
	}
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->more);
	moe_follow_close(h->f);
	free(h);
}

/* The first of the queue, waiting until `until`; NULL without. */
static struct ahead_item *take(
	struct moe_ahead *h, const struct timespec *until, bool *ended, struct moe_err *e)
{
	struct ahead_item *it;
	int rc = 0;

	pthread_mutex_lock(&h->lock);
	while (!h->first && !h->ended && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&h->more, &h->lock, until);
	it = h->first;
	if (it && !(h->first = it->next))
		h->last = &h->first;
	*ended = !it && h->ended;
	if (*ended)
		*e = h->why;
	pthread_mutex_unlock(&h->lock);
	return it;
}

int moe_ahead_next(struct moe_ahead *h, int timeout_ms, struct moe_adapter *a, struct moe_err *e)
{
	struct ahead_item own = { 0 }, *it = &own;
	struct timespec until;
	bool ended = false;

	if (!h->fifo) {
		if (read_one(h, it, e))
			return -1;
	} else {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += timeout_ms / 1000;
		until.tv_nsec += timeout_ms % 1000 * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		it = take(h, &until, &ended, e);
	}
	if (!it)
		return ended ? -1 : 0;
	moe_adapter_free(a);
	*a = it->a;
	h->labels = it->labels > h->labels ? it->labels : h->labels;
	if (it != &own)
		free(it);
	return 1;
}

bool moe_ahead_begun(struct moe_ahead *h)
{
	bool begun;

	pthread_mutex_lock(&h->lock);
	begun = h->begun;
	pthread_mutex_unlock(&h->lock);
	return begun || !h->fifo;
}

bool moe_ahead_is_fifo(const struct moe_ahead *h)
{
	return h->fifo;
}

enum moe_labels moe_ahead_labels(struct moe_ahead *h)
{
	return h->labels;
}
