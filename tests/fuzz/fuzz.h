/* fuzz.h - what the harnesses share: inputs that are read through a descriptor or a path, inputs of
 * several parts, JSON Lines as a stream. */
#ifndef MOE_TESTS_FUZZ_H
#define MOE_TESTS_FUZZ_H

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A property that must hold of every input. */
#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The bytes p[n] in memory behind fd, to be read from their start. */
static inline void fuzz_set(int fd, const void *p, size_t n)
{
	MUST(ftruncate(fd, 0) == 0 && pwrite(fd, p, n, 0) == (ssize_t)n &&
		lseek(fd, 0, SEEK_SET) == 0);
}

/* A descriptor from which p[n] can be read; closed by the caller. */
static inline int fuzz_fd(const uint8_t *p, size_t n)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	MUST(fd >= 0);
	fuzz_set(fd, p, n);
	return fd;
}

/* Its path. */
static inline const char *fuzz_path(int fd, char path[32])
{
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return path;
}

/* A new folder, in memory where that can be had: a disk would be waited for at every fsync. */
static inline void fuzz_folder(char dir[32])
{
	snprintf(dir, 32, "%s/moe-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	MUST(mkdtemp(dir));
}

/* Freed memory that waits for long costs new pages at every input. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=8:malloc_context_size=12";
}

/* A folder of files for readers that want a folder: each name is a link to memory behind a
 * descriptor. */
struct fuzz_dir {
	char dir[32], path[8][96];
	int fd[8], n;
};

static struct fuzz_dir *fuzz_dir_used; /* a harness has one at most; removed at exit */

static inline void fuzz_remove(void)
{
	for (int i = 0; i < fuzz_dir_used->n; i++)
		unlink(fuzz_dir_used->path[i]);
	rmdir(fuzz_dir_used->dir);
}

static inline int fuzz_add(struct fuzz_dir *d, const char *name)
{
	char target[32], path[sizeof(d->path[0])];

	if (!d->dir[0]) {
		fuzz_folder(d->dir);
		fuzz_dir_used = d;
		atexit(fuzz_remove);
	}
	MUST(d == fuzz_dir_used && d->n < 8);
	d->fd[d->n] = fuzz_fd((const uint8_t *)"", 0);
	snprintf(path, sizeof(path), "%s/%s", d->dir, name);
	memcpy(d->path[d->n], path, sizeof(path));
	MUST(symlink(fuzz_path(d->fd[d->n], target), d->path[d->n]) == 0);
	return d->fd[d->n++];
}

/* Inputs of several parts: takes the next one off p[n], up to a line "%%" (which goes too) or the
 * end. */
static inline size_t fuzz_part(const uint8_t **p, size_t *n, const uint8_t **part)
{
	const uint8_t *cut = memmem(*p, *n, "\n%%\n", 4);
	size_t k = cut ? (size_t)(cut - *p) : *n;

	*part = *p;
	*p += cut ? k + 4 : k;
	*n -= cut ? k + 4 : k;
	return k;
}

#endif
