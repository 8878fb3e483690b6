/* file.c - whole files in and out. Not streams, not mapped files, not compressed ones (input.h). */
#include "formats/file.h"
#include "util/fd.h"
#include "util/ranks.h"
#include "util/temp.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int moe_file_read(const char *path, struct moe_buf *out, size_t max, struct moe_err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe is not waited for */
	size_t got = 0;
	struct stat st;

	if (fd < 0 && moe_rank_leads()) /* the others need not have the file */
		return moe_fail_errno(e, "%s: cannot open", path);
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		close(fd);
		return moe_fail(e, MOE_DATA, "%s: not a regular file", path);
	}
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
			return moe_fail(e, MOE_DATA,
				"%s: more than %zu bytes, too large for what it should be", path,
				max);
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

int moe_file_replace(const char *path, const void *p, size_t n, struct moe_err *e)
{
	struct moe_temp t;

	if (moe_temp_open(&t, path, e))
		return -1;
	if (moe_fd_write(t.fd, p, n)) {
		moe_fail_errno(e, "%s: writing failed", path);
		moe_temp_drop(&t);
		return -1;
	}
	return moe_temp_keep(&t, path, e);
}
