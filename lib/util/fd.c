/* fd.c - read(2) and write(2) to the end, and the one place that needs a Linux extension of
 * fcntl(2). */
#define _GNU_SOURCE
#include "util/fd.h"
#include "util/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

/* Whether a call that failed may be made again; waits until the descriptor is ready if it was not.
 */
static bool again(int fd, short events)
{
	struct pollfd wait = { .fd = fd, .events = events };

	if (errno == EAGAIN)
		return poll(&wait, 1, -1) >= 0 || errno == EINTR;
	return errno == EINTR;
}

static ssize_t read_here(int fd, void *p, size_t n)
{
	ssize_t got;

	do
		got = read(fd, p, n);
	while (got < 0 && again(fd, POLLIN));
	return got;
}

ssize_t moe_fd_read(int fd, void *p, size_t n)
{
	struct {
		ssize_t got;
		int error;
	} r = { 0 };

	if (moe_rank_leads()) {
		r.got = read_here(fd, p, n);
		r.error = errno;
	}
	if (moe_ranks() == 1)
		return r.got;
	moe_ranks_share(&r, sizeof(r), 0);
	if (r.got > 0)
		moe_ranks_share(p, (size_t)r.got, 0);
	else /* when a rank dies, standard input ends too: that is not the end of the data */
		moe_ranks_agree(0, &(struct moe_err){ 0 });
	errno = r.error;
	return r.got;
}

int moe_fd_write(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t put = write(fd, at, n);

		if (put > 0) {
			at += put;
			n -= (size_t)put;
		} else if (put == 0 || !again(fd, POLLOUT)) {
			return -1;
		}
	}
	return 0;
}

void moe_pipe_widen(int fd)
{
#ifdef F_SETPIPE_SZ
	(void)fcntl(fd, F_SETPIPE_SZ, 1 << 20);
#else
	(void)fd;
#endif
}
