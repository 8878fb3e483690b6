/* inject.c - preloaded into a program, makes its reads, writes, closes or syncs fail. Not part of
 * any program.
 *
 * MOE_INJECT="CALL:AFTER:WHAT[:FD]" with CALL read, write, close, fsync or rename; AFTER the number
 * of calls that still work; WHAT an errno (EIO, ENOSPC, EINTR, EPIPE, EDQUOT), or `short` (one byte
 * at a time). FD: only this descriptor (default: any but 2). EINTR happens once only; the others
 * stay. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <stdio.h>
#include <unistd.h>

static char call[16], what[16];
static long after, seen;
static int only = -1, ready;

static void prepare(void)
{
	const char *s = getenv("MOE_INJECT");

	ready = 1;
	if (s && sscanf(s, "%15[a-z]:%ld:%15[A-Za-z]:%d", call, &after, what, &only) < 3)
		abort();
}

/* 0 = let it pass, 1 = short, -1 = errno is set. */
static int strike(const char *name, int fd)
{
	static const struct {
		const char *name;
		int value;
	} codes[] = { { "EIO", EIO }, { "ENOSPC", ENOSPC }, { "EINTR", EINTR }, { "EPIPE", EPIPE },
		{ "EDQUOT", EDQUOT } };

	if (!ready)
		prepare();
	if (strcmp(call, name) != 0 || fd == 2 || (only >= 0 && fd != only) || seen++ < after)
		return 0;
	if (!strcmp(what, "short"))
		return 1;
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (!strcmp(what, codes[i].name)) {
			errno = codes[i].value;
			if (errno == EINTR)
				call[0] = 0;
			return -1;
		}
	abort();
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t read(int fd, void *p, size_t n)
{
	int s = strike("read", fd);

	return s < 0 ? -1 : NEXT(read)(fd, p, s && n ? 1 : n);
}

ssize_t write(int fd, const void *p, size_t n)
{
	int s = strike("write", fd);

	return s < 0 ? -1 : NEXT(write)(fd, p, s && n ? 1 : n);
}

int close(int fd)
{
	if (strike("close", fd) < 0) {
		int keep = errno;

		NEXT(close)(fd);
		errno = keep;
		return -1;
	}
	return NEXT(close)(fd);
}

int fsync(int fd)
{
	return strike("fsync", fd) < 0 ? -1 : NEXT(fsync)(fd);
}

int rename(const char *from, const char *to)
{
	return strike("rename", -2) < 0 ? -1 : NEXT(rename)(from, to);
}
