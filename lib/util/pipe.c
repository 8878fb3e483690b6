/* pipe.c - the one place that needs a Linux extension of fcntl(2). */
#define _GNU_SOURCE
#include "util/pipe.h"

#include <fcntl.h>

void moe_pipe_widen(int fd)
{
#ifdef F_SETPIPE_SZ
	(void)fcntl(fd, F_SETPIPE_SZ, 1 << 20);
#else
	(void)fd;
#endif
}
