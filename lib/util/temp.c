/* temp.c - unfinished files and the list of them. It installs no signal handlers: programs do. */
#include "util/temp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LISTED     256 /* in one block of the list */
#define NAME_BYTES 255 /* of one name in a folder, on the usual file systems */
#define SUFFIX     7   /* .XXXXXX */
#define LETTERS    "abcdefghijklmnopqrstuvwxyz234567"

/* The list grows by blocks that are never freed: a signal handler may be reading it. */
struct block {
	char *_Atomic v[LISTED];
	struct block *_Atomic next;
};

static struct block first;
static struct block *_Atomic roomy = &first; /* none before it has room, as far as is known */
static atomic_long maker;                    /* the process that the list belongs to */

static void enlist(char *name)
{
	struct block *b;

	if (atomic_exchange(&maker, (long)getpid()) != (long)getpid())
		for (b = &first; b; b = atomic_load(&b->next))
			for (int i = 0; i < LISTED;
				i++) /* what a parent process makes is its own */
				atomic_store(&b->v[i], NULL);
	for (b = atomic_load(&roomy); b;) {
		struct block *next, *none = NULL;

		for (int i = 0; i < LISTED; i++) {
			char *empty = NULL;

			if (atomic_compare_exchange_strong(&b->v[i], &empty, name))
				return;
		}
		next = atomic_load(&b->next);
		if (!next) {
			next = calloc(1, sizeof *next);
			if (next && !atomic_compare_exchange_strong(&b->next, &none, next)) {
				free(next);
				next = none;
			}
		}
		if (next)
			atomic_store(&roomy, next);
		b = next; /* out of memory: it is made, but not listed */
	}
}

static void forget(char *name)
{
	for (struct block *b = &first; b; b = atomic_load(&b->next))
		for (int i = 0; i < LISTED; i++) {
			char *same = name;

			if (atomic_compare_exchange_strong(&b->v[i], &same, NULL)) {
				atomic_store(&roomy, b);
				return;
			}
		}
}

void moe_temp_remove_all(void)
{
	if (atomic_load(&maker) != (long)getpid())
		return;
	for (struct block *b = &first; b; b = atomic_load(&b->next))
		for (int i = 0; i < LISTED; i++) {
			char *name = atomic_load(&b->v[i]);

			if (name)
				unlink(name);
		}
}

/* path.XXXXXX, with path's last part cut (between characters) where that would be too long. */
static char *name_beside(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	size_t folder = (size_t)(base - path), n = strlen(base);
	char *name;

	if (n > NAME_BYTES - SUFFIX)
		for (n = NAME_BYTES - SUFFIX; n && ((unsigned char)base[n] & 0xc0u) == 0x80u; n--)
			;
	name = malloc(folder + n + SUFFIX + 1);
	if (name) {
		memcpy(name, path, folder + n);
		memcpy(name + folder + n, ".XXXXXX", SUFFIX + 1);
	}
	return name;
}

/* How many bytes of an X.XXXXXX are X; 0 if it is no such name. */
static size_t before_suffix(const char *name)
{
	size_t n = strlen(name), x = n > SUFFIX ? n - SUFFIX : 0;

	return x && name[x] == '.' && strspn(name + x + 1, LETTERS) == SUFFIX - 1 ? x : 0;
}

static double age(const struct stat *st)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)(t.tv_sec - st->st_mtim.tv_sec) +
		1e-9 * (double)(t.tv_nsec - st->st_mtim.tv_nsec);
}

/* A living process holds a lock on its own; one that was made a moment ago may not hold it yet. */
static void remove_if_left(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
		!flock(fd, LOCK_EX | LOCK_NB) && (st.st_size || age(&st) > 0.2))
		unlinkat(folder, name, 0);
	close(fd);
}

void moe_temp_sweep(
	const char *folder, bool (*ours)(void *ctx, const char *name, size_t n), void *ctx)
{
	DIR *d = opendir(folder);
	struct dirent *x;

	while (d && (x = readdir(d))) {
		size_t n = before_suffix(x->d_name);

		if (n && ours(ctx, x->d_name, n))
			remove_if_left(dirfd(d), x->d_name);
	}
	if (d)
		closedir(d);
}

static bool is_named(void *ctx, const char *name, size_t n)
{
	const char *base = ctx;

	return before_suffix(base) == n && !strncmp(base, name, n);
}

/* What killed runs left of the same file as this temporary's. */
static void sweep_like(const char *temp)
{
	char *folder = strdup(temp), *slash = folder ? strrchr(folder, '/') : NULL;
	const char *base = strrchr(temp, '/') ? strrchr(temp, '/') + 1 : temp;

	if (slash)
		slash[1] = 0;
	if (folder)
		moe_temp_sweep(slash ? folder : ".", is_named, (void *)(uintptr_t)base);
	free(folder);
}

/* Fills in the suffix and makes the file. mkstemp(3) would not leave the mode to umask and to what
 * the folder says. */
static int make(char *name, mode_t mode)
{
	static const char letter[] = LETTERS;
	static atomic_uint calls;
	char *at = name + strlen(name) - (SUFFIX - 1);
	int fd = -1;

	for (int tries = 0; fd < 0 && tries < 1000; tries++) {
		struct timespec t;
		uint64_t x;

		clock_gettime(CLOCK_REALTIME, &t);
		x = ((uint64_t)t.tv_nsec << 20 ^ (uint64_t)t.tv_sec ^ (uint64_t)getpid() << 8 ^
			    atomic_fetch_add(&calls, 1)) *
			0x9e3779b97f4a7c15u;
		for (int i = 0; i < SUFFIX - 1; i++)
			at[i] = letter[x >> (64 - 5 * (i + 1)) & 31];
		fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	return fd;
}

int moe_temp_open(struct moe_temp *t, const char *path, struct moe_err *e)
{
	struct stat old;
	bool there = stat(path, &old) == 0 && S_ISREG(old.st_mode);
	sigset_t all, was;

	t->fd = -1;
	t->name = name_beside(path);
	if (!t->name)
		return moe_fail(e, MOE_SYSTEM, "%s: out of memory", path);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was); /* none in between, or the file would be left */
	t->fd = make(t->name, there ? 0600 : 0666);
	if (t->fd >= 0) {
		enlist(t->name);
		flock(t->fd, LOCK_EX | LOCK_NB);
	} else
		moe_fail_errno(e, "%s: no temporary file can be made beside it", path);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (t->fd >= 0 && (!there || !fchmod(t->fd, old.st_mode & 07777)))
		return 0;
	if (t->fd >= 0) {
		moe_fail_errno(e, "%s: the temporary file beside it can not be prepared", path);
		moe_temp_drop(t);
	} else {
		free(t->name);
		t->name = NULL;
	}
	return -1;
}

int moe_temp_close(struct moe_temp *t, const char *path, struct moe_err *e)
{
	int fd = t->fd;

	t->fd = -1;
	return close(fd) ? moe_fail_errno(e, "%s: closing failed", path) : 0;
}

static void sync_folder(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	/* not every file system can sync a folder; the data themselves are safe by now */
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}

int moe_temp_place(struct moe_temp *t, const char *path, struct moe_err *e)
{
	if (rename(t->name, path)) {
		moe_fail_errno(e, "%s: the temporary file could not be renamed to it", path);
		moe_temp_drop(t);
		return -1;
	}
	forget(t->name);
	free(t->name);
	t->name = NULL;
	return 0;
}

int moe_temp_keep(struct moe_temp *t, const char *path, struct moe_err *e)
{
	char *temp;
	int rc = fsync(t->fd) ? moe_fail_errno(e, "%s: syncing failed", path) : 0;

	if (moe_temp_close(t, path, rc ? NULL : e) && !rc)
		rc = -1;
	if (rc) {
		moe_temp_drop(t);
		return rc;
	}
	temp = strdup(t->name);
	rc = moe_temp_place(t, path, e);
	if (!rc && temp)
		sweep_like(temp);
	if (!rc)
		sync_folder(path);
	free(temp);
	return rc;
}

void moe_temp_drop(struct moe_temp *t)
{
	if (!t->name)
		return;
	if (t->fd >= 0)
		close(t->fd);
	unlink(t->name);
	forget(t->name);
	free(t->name);
	t->name = NULL;
	t->fd = -1;
}

int moe_temp_spool(const char *path, struct moe_err *e)
{
	const char *folder = getenv("TMPDIR");
	char in[4096];
	struct moe_temp t;
	int fd;

	snprintf(in, sizeof(in), "%s/moe", folder && *folder ? folder : "/tmp");
	if (moe_temp_open(&t, path ? path : in, e))
		return -1;
	fd = t.fd;
	t.fd = -1;
	moe_temp_drop(&t);
	return fd;
}
