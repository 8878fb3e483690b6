/* publish.c - the feedback edge of on-policy training, seen from the side that writes. */
#include "rl/publish.h"
#include "util/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

/* Whoever samples opens the FIFO before it writes its first rollouts. Where it has ended by now, as
 * after a run of one step, it reads no weights. */
static bool sampler_ended(const struct moe_publisher *p)
{
	struct pollfd in = { .fd = p->in_fd };

	return p->in_fd >= 0 && poll(&in, 1, 0) == 1 && (in.revents & POLLHUP);
}

/* Without O_NONBLOCK the open of a FIFO would wait for ever once the sampler has ended. */
static int open_once(struct moe_publisher *p, struct moe_err *e)
{
	double wait = p->wait_sec > 0 ? p->wait_sec : 10;
	const struct timespec nap = { 0, 5000000 };
	int flags;

	for (int tries = 0; (p->fd = open(p->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0;
		tries++) {
		if (errno != ENXIO && errno != EINTR)
			return moe_fail_errno(e, "%s: cannot be opened for publication", p->path);
		if (tries * 0.005 >= wait || sampler_ended(p)) {
			p->gone = true;
			return 0;
		}
		nanosleep(&nap, NULL);
	}
	flags = fcntl(p->fd, F_GETFL);
	if (flags < 0 || fcntl(p->fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return moe_fail_errno(e, "%s: cannot be made to wait", p->path);
	return 0;
}

int moe_publish(struct moe_publisher *p, struct moe_adapter *a, struct moe_err *e)
{
	struct moe_writer *w;
	int rc;

	if (!p->path || p->gone || !moe_rank_leads())
		return 0;
	if (p->fd < 0 && open_once(p, e))
		return -1;
	if (p->gone)
		return 0;
	errno = 0;
	w = moe_writer_open_fd(p->fd, p->path, &p->w, NULL, e);
	rc = w && moe_adapter_write(w, a, e) == 0 && moe_writer_end(w, NULL, e) == 0 ? 0 : -1;
	if (rc && errno == EPIPE) {
		p->gone = true;
		rc = 0;
	}
	if (w)
		moe_writer_close(w);
	return rc;
}

void moe_publisher_close(struct moe_publisher *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}
