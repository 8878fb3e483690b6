/* file.c - whole files in and out. Not streams, not mapped files, not compressed ones (input.h). */
#include "formats/file.h"
#include "util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int moe_file_read(const char *path, struct moe_buf *out, size_t max, struct moe_err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t got = 0;

	if (fd < 0)
		return moe_fail_errno(e, "%s: cannot open", path);
	for (;;) {
		ssize_t n;

		if (moe_buf_reserve(out, 65536, e)) {
			close(fd);
			return -1;
		}
		n = moe_fd_read(fd, out->data + out->len, 65536);
		if (n < 0) {
			moe_fail_errno(e, "%s: cannot read", path);
			close(fd);
			return -1;
		}
		if (!n)
			break;
		out->len += (size_t)n;
		got += (size_t)n;
		if (got > max) {
			close(fd);
			return moe_fail(e, MOE_DATA, "%s: more than %zu bytes, too large for what it should be", path, max);
		}
	}
	close(fd);
	return 0;
}

char *moe_path_join(const char *dir, const char *name, struct moe_err *e)
{
	struct moe_buf b = { 0 };

	if (moe_buf_addf(&b, e, "%s/%s", dir, name) || !moe_buf_cstr(&b, e)) {
		moe_buf_free(&b);
		return NULL;
	}
	return (char *)b.data;
}

int moe_file_replace(const char *path, const struct moe_span *part, size_t n, struct moe_err *e)
{
	struct moe_buf tmp = { 0 };
	const char *name = NULL;
	char *slash;
	int fd = -1, dfd, r = 0;

	if (!moe_buf_addf(&tmp, e, "%s.tmp%ld", path, (long)getpid()))
		name = moe_buf_cstr(&tmp, e);
	if (!name) {
		moe_buf_free(&tmp);
		return -1;
	}
	unlink(name); /* left over from a process that died under the same number */
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		r = moe_fail_errno(e, "%s: cannot create", name);
	for (size_t i = 0; !r && i < n; i++)
		if (moe_fd_write(fd, part[i].p, part[i].n))
			r = moe_fail_errno(e, "%s: cannot write", path);
	if (!r && fsync(fd))
		r = moe_fail_errno(e, "%s: cannot write", path);
	if (fd >= 0 && close(fd) && !r)
		r = moe_fail_errno(e, "%s: cannot write", path);
	if (!r && rename(name, path))
		r = moe_fail_errno(e, "%s: cannot replace", path);
	if (r && fd >= 0)
		unlink(name);
	slash = strrchr((char *)tmp.data, '/');
	if (slash)
		slash[slash == (char *)tmp.data] = 0; /* the directory's name */
	dfd = r ? -1 : open(slash ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dfd >= 0) {
		fsync(dfd);
		close(dfd);
	}
	moe_buf_free(&tmp);
	return r;
}
