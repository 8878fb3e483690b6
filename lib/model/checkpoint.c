/* checkpoint.c - a pretraining run to disk and back, so that a killed one continues bit for bit. */
#include "formats/file.h"
#include "formats/safetensors.h"
#include "model/pretrain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME     "state.safetensors"
#define ROW_COLS (sizeof(struct moe_pretrain_row) / sizeof(float))

#ifdef MOE_REAL_F64
#define DTYPE "F64"
#else
#define DTYPE "F32"
#endif

static struct moe_st_tensor tensor(
	const char *name, const char *dtype, const void *data, size_t n, size_t size)
{
	struct moe_st_tensor t = {
		.name = name, .rank = 1, .shape = { n }, .data = data, .bytes = n * size
	};

	snprintf(t.dtype, sizeof(t.dtype), "%s", dtype);
	return t;
}

/* All that the next step depends on: weights, both moments and the clock of AdamW, the step, and
 * the loss of each step so far. The order of texts and every draw follow from seed and step. `key`
 * names the run: another corpus or setting must not go on from here. */
static int write_state(
	const struct moe_pretrain *p, const char *dir, const char *key, struct moe_err *e)
{
	size_t n = p->m->n_param, sz = sizeof(moe_real);
	const struct moe_st_tensor t[] = { tensor("param", DTYPE, p->m->param, n, sz),
		tensor("adam.m", DTYPE, p->adam.m, n, sz),
		tensor("adam.v", DTYPE, p->adam.v, n, sz),
		tensor("adam.step", "I64", p->adam.step, 1, 8),
		tensor("step", "I64", &p->step, 1, 8),
		tensor("history", "F32", p->row, (size_t)p->step * ROW_COLS, sizeof(float)) };
	const char *const meta[][2] = { { "key", key } };
	char *path = moe_path_join(dir, NAME, e);
	int rc = path ? moe_st_write(path, t, sizeof(t) / sizeof(*t), meta, 1, e) : -1;

	free(path);
	return rc;
}

/* A rename is safe on disk once its directory is. */
static int sync_dir(const char *dir, struct moe_err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY), rc;

	if (fd < 0)
		return moe_fail_errno(e, "%s", dir);
	rc = fsync(fd) ? moe_fail_errno(e, "%s", dir) : 0;
	close(fd);
	return rc;
}

/* Removes our files from a directory: the state, and what a run that was killed while writing it
 * left. */
static void clear(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *f;

	if (!d)
		return;
	while ((f = readdir(d)))
		if (!strncmp(f->d_name, NAME, strlen(NAME)))
			unlinkat(dirfd(d), f->d_name, 0);
	closedir(d);
}

/* Removes dir/step-N, if nothing but our files is in it. */
static void drop(const char *dir, uint64_t step)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/step-%" PRIu64, dir, step) >= (int)sizeof(path))
		return;
	clear(path);
	rmdir(path);
}

/* The step that dir/latest names; false when there is none. */
static bool latest(const char *dir, uint64_t *step)
{
	char path[4096], to[64];
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/latest", dir) >= (int)sizeof(path))
		return false;
	n = readlink(path, to, sizeof(to) - 1);
	if (n < 0)
		return false;
	to[n] = 0;
	return sscanf(to, "step-%" SCNu64, step) == 1;
}

/* dir/latest always names a whole state, whenever the run is killed: the state is written and
 * synced as step-N.tmp, renamed to step-N, and only then does latest turn to it, by a rename as
 * well. The state before goes last. */
int moe_pretrain_save(
	const struct moe_pretrain *p, const char *dir, const char *key, struct moe_err *e)
{
	char tmp[4096], path[4096], link[4096], to[64];
	uint64_t before;
	bool had;

	if (mkdir(dir, 0777) && errno != EEXIST)
		return moe_fail_errno(e, "%s: cannot make the directory", dir);
	snprintf(to, sizeof(to), "step-%" PRIu64, p->step);
	if (snprintf(tmp, sizeof(tmp), "%s/%s.tmp", dir, to) >= (int)sizeof(tmp) ||
		snprintf(path, sizeof(path), "%s/%s", dir, to) >= (int)sizeof(path) ||
		snprintf(link, sizeof(link), "%s/latest.tmp", dir) >= (int)sizeof(link))
		return moe_fail(e, MOE_SYSTEM, "%s: the name is too long", dir);
	had = latest(dir, &before);
	if (had && before == p->step)
		return 0;
	drop(dir, p->step); /* left over by a run that was killed between renames */
	if (mkdir(tmp, 0777) && errno != EEXIST)
		return moe_fail_errno(e, "%s: cannot make the directory", tmp);
	clear(tmp);
	if (write_state(p, tmp, key, e))
		return -1;
	if (rename(tmp, path))
		return moe_fail_errno(e, "%s: cannot rename", tmp);
	unlink(link);
	if (sync_dir(dir, e))
		return -1;
	if (symlink(to, link))
		return moe_fail_errno(e, "%s", link);
	snprintf(tmp, sizeof(tmp), "%s/latest", dir);
	if (rename(link, tmp))
		return moe_fail_errno(e, "%s", tmp);
	if (sync_dir(dir, e))
		return -1;
	if (had)
		drop(dir, before);
	return 0;
}

/* Copies a tensor that must have n numbers of this size. */
static int take(const struct moe_st *s, const char *name, const char *dtype, void *to, size_t n,
	size_t size, const char *path, struct moe_err *e)
{
	const struct moe_st_tensor *t = moe_st_find(s, name);

	if (!t || strcmp(t->dtype, dtype) != 0 || t->bytes != n * size)
		return moe_fail(
			e, MOE_DATA, "%s: tensor '%s' is missing or of another shape", path, name);
	if (n)
		memcpy(to, t->data, n * size);
	return 0;
}

/* The checks come before anything of p changes, but for its history. */
static int read_state(struct moe_pretrain *p, const struct moe_st *s, const char *key,
	const char *path, struct moe_err *e)
{
	size_t n = p->m->n_param, sz = sizeof(moe_real);
	const char *was = moe_st_meta(s, "key");
	uint64_t step = 0;

	if (!was || strcmp(was, key) != 0)
		return moe_fail(e, MOE_DATA,
			"%s: this checkpoint is of another run (%s), not of this one (%s)", path,
			was ? was : "no key", key);
	if (take(s, "step", "I64", &step, 1, 8, path, e))
		return -1;
	if (step > p->total)
		return moe_fail(e, MOE_DATA,
			"%s: the checkpoint has %" PRIu64 " steps, the run only %" PRIu64, path,
			step, p->total);
	free(p->row);
	p->row = moe_alloc((size_t)step + 1, sizeof(*p->row), e);
	p->cap_row = p->row ? step + 1 : 0;
	if (!p->row)
		return -1;
	if (take(s, "param", DTYPE, p->m->param, n, sz, path, e) ||
		take(s, "adam.m", DTYPE, p->adam.m, n, sz, path, e) ||
		take(s, "adam.v", DTYPE, p->adam.v, n, sz, path, e) ||
		take(s, "adam.step", "I64", p->adam.step, 1, 8, path, e) ||
		take(s, "history", "F32", p->row, (size_t)step * ROW_COLS, sizeof(float), path, e))
		return -1;
	p->step = step;
	return 0;
}

int moe_pretrain_load(struct moe_pretrain *p, const char *dir, const char *key, struct moe_err *e)
{
	char path[4096];
	struct moe_st *s;
	uint64_t step;
	int rc;

	if (!latest(dir, &step))
		return 0;
	if (snprintf(path, sizeof(path), "%s/step-%" PRIu64 "/" NAME, dir, step) >=
		(int)sizeof(path))
		return moe_fail(e, MOE_SYSTEM, "%s: the name is too long", dir);
	s = moe_st_open(path, e);
	if (!s)
		return -1;
	rc = read_state(p, s, key, path, e);
	moe_st_close(s);
	return rc ? -1 : 1;
}
