/* claim.c - names in the abstract socket space. It locks nothing and reads no file. */
#define _GNU_SOURCE
#include "util/claim.h"
#include "util/ranks.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* FNV-1a, 64 bits: the name fits into 107 bytes whatever the file is called. */
static unsigned long long hash(const char *s)
{
	unsigned long long h = 14695981039346656037ULL;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211ULL;
	return h;
}

/* The folder of path, as it is now, and the name in it. False when there is no such folder. */
static int place(const char *path, struct stat *folder, const char **base)
{
	const char *slash = strrchr(path, '/');
	char dir[4096];
	size_t n = slash ? (size_t)(slash - path) : 1;

	*base = slash ? slash + 1 : path;
	if (n >= sizeof(dir))
		return 0;
	memcpy(dir, slash ? path : ".", n);
	dir[n] = 0;
	return stat(n ? dir : "/", folder) == 0;
}

int moe_claim(const char *path, const char *what, struct moe_err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat st, file;
	const struct timespec nap = { 0, 50000000 };
	const char *base;
	socklen_t len;
	int fd, n;

	if (!moe_rank_leads() || !path || !strcmp(path, "-") || !place(path, &st, &base))
		return 0;
	if (stat(path, &file) == 0 && S_ISCHR(file.st_mode)) /* /dev/null is everybody's */
		return 0;
	n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "moetools/%s/%llx.%llx/%016llx", what,
		(unsigned long long)st.st_dev, (unsigned long long)st.st_ino, hash(base));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	for (int tries = 0;
		(n = bind(fd, (struct sockaddr *)&a, len) ? errno : 0) == EADDRINUSE && tries < 60;
		tries++) /* one that was killed may be on its way out */
		nanosleep(&nap, NULL);
	if (!n)
		return 0; /* open until the process ends */
	close(fd);
	return n == EADDRINUSE
		? moe_fail(e, MOE_USAGE, "%s: another run that is under way has it as its %s", path,
			  what)
		: 0;
}
