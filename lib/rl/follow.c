/* follow.c - the reading end of the feedback FIFO. It neither samples nor decides which step needs
 * which weights. */
#define _DEFAULT_SOURCE
#include "rl/follow.h"
#include "util/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct moe_follow {
	int fd;
	char *path;
	size_t max_mem;
	struct moe_reader *r; /* opened when the first bytes are there */
	bool fifo;
};

struct moe_follow *moe_follow_open(const char *path, size_t max_mem, struct moe_err *e)
{
	struct moe_follow *f = calloc(1, sizeof(*f));
	struct stat st;

	if (!f || !(f->path = strdup(path))) {
		free(f);
		moe_fail(e, MOE_SYSTEM, "out of memory");
		return NULL;
	}
	f->max_mem = max_mem;
	if (!moe_rank_leads()) { /* a FIFO has one reader; the others get what it reads */
		f->fd = -1;
		f->fifo = true;
		return f;
	}
	/* a blocking open would wait for the trainer, which waits for the first rollouts */
	f->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (f->fd < 0 || fstat(f->fd, &st)) {
		moe_fail_errno(e,
			errno == ENOENT ? "%s: the FIFO for the weights of later steps must be "
					  "made before, with mkfifo, see moe-rollout(1)"
					: "%s",
			path);
		moe_follow_close(f);
		return NULL;
	}
	f->fifo = S_ISFIFO(st.st_mode);
	return f;
}

void moe_follow_close(struct moe_follow *f)
{
	if (!f)
		return;
	moe_reader_close(f->r);
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	free(f);
}

static int wait_here(struct moe_follow *f, int out_fd, int timeout_ms, struct moe_err *e)
{
	/* a FIFO that nobody has opened for writing yet is quiet; one that was left hangs up */
	struct pollfd p[2] = { { .fd = f->fd, .events = POLLIN }, { .fd = out_fd, .events = 0 } };
	int n;

	if (f->r || !f->fifo)
		return 1;
	do
		n = poll(p, 2, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return moe_fail_errno(e, "%s: waiting failed", f->path);
	if (p[0].revents & POLLIN)
		return 1;
	if (p[0].revents)
		return moe_fail(e, MOE_DATA, "%s: the trainer left before it published any weights",
			f->path);
	if (p[1].revents & (POLLERR | POLLNVAL))
		return moe_fail(e, MOE_DATA,
			"%s: the program that reads the rollouts left before it published new "
			"weights",
			f->path);
	return 0;
}

int moe_follow_wait(struct moe_follow *f, int out_fd, int timeout_ms, struct moe_err *e)
{
	int rc = moe_rank_leads() ? wait_here(f, out_fd, timeout_ms, e) : 0;

	return moe_ranks_follow(rc, e);
}

static int start(struct moe_follow *f, struct moe_err *e)
{
	/* An arm's own digest, which is computed again from its tensors, tells of damage. Through a
	 * FIFO that of the segment would only tell it once more, while the sampler waits. */
	struct moe_reader_opts o = { .max_mem = f->max_mem, .no_digest = f->fifo };
	int flags = moe_rank_leads() ? fcntl(f->fd, F_GETFL) : 0;

	if (moe_rank_leads() && (flags < 0 || fcntl(f->fd, F_SETFL, flags & ~O_NONBLOCK)))
		return moe_fail_errno(e, "%s", f->path);
	f->r = moe_reader_open_fd(f->fd, f->path, &o, e);
	return f->r ? 0 : -1;
}

int moe_follow_arms(struct moe_reader *r, bool one_segment, struct moe_adapter **arm, size_t *n,
	struct moe_err *e)
{
	size_t got = 0;
	int rc;

	for (;; got++) {
		if (got == *n) {
			struct moe_adapter *a = realloc(*arm, (got + 1) * sizeof(*a));

			if (!a)
				return moe_fail(e, MOE_SYSTEM, "out of memory for an adapter");
			*arm = a;
			memset(&a[got], 0, sizeof(*a));
			*n = got + 1;
		}
		rc = moe_adapter_read(r, one_segment, &(*arm)[got], e);
		if (rc < 0)
			return -1;
		if (rc == 0)
			break;
	}
	while (*n > got)
		moe_adapter_free(&(*arm)[--*n]);
	return 0;
}

int moe_follow_next(struct moe_follow *f, struct moe_adapter **arm, size_t *n, struct moe_err *e)
{
	if ((!f->r && start(f, e)) || moe_follow_arms(f->r, true, arm, n, e))
		return -1;
	if (!*n)
		return moe_fail(e, MOE_DATA,
			"%s: the trainer left before it published the weights of this step",
			f->path);
	return 0;
}

enum moe_labels moe_follow_labels(const struct moe_follow *f)
{
	return f->r ? moe_reader_labels(f->r) : MOE_LABELS_NONE;
}
