/* members.c - walks operands, directories and archives. It does not look into the content. */
#include "data/members.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void moe_members_init(struct moe_members *m, const char *const *path, size_t n,
	const char *const *ending, size_t max_bytes)
{
	static const char *const standard_input[1] = { "-" };

	memset(m, 0, sizeof(*m));
	m->path = n ? path : standard_input;
	m->n_path = n ? n : 1;
	m->ending = ending;
	m->max_bytes = max_bytes;
}

static void free_files(struct moe_members *m)
{
	for (size_t i = 0; i < m->n_file; i++)
		free(m->file[i]);
	free(m->file);
	m->file = NULL;
	m->n_file = m->at_file = 0;
}

void moe_members_free(struct moe_members *m)
{
	moe_source_free(&m->src);
	if (m->in)
		moe_input_close(m->in);
	free_files(m);
	free(m->digest);
	memset(m, 0, sizeof(*m));
}

const char *moe_members_name(const struct moe_members *m)
{
	return moe_input_member(m->in);
}

static bool ends(const char *s, size_t n, const char *with)
{
	size_t k = strlen(with);

	return n >= k && !memcmp(s + n - k, with, k);
}

static bool wanted(const struct moe_members *m, const char *name)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
	size_t n = strlen(base);

	if (*base == '.')
		return false;
	if (ends(base, n, ".gz"))
		n -= 3;
	else if (ends(base, n, ".zst"))
		n -= 4;
	for (size_t i = 0; m->ending[i]; i++)
		if (ends(base, n, m->ending[i]))
			return true;
	return false;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whether a link in dir leads to something below dir: a folder of somebody else's is no way to the
 * rest of the disk. */
static bool stays_inside(const char *dir, const char *link)
{
	char *in = realpath(dir, NULL), *at = realpath(link, NULL);
	size_t n = in ? strlen(in) : 0;
	bool inside = in && at && !strncmp(at, in, n) && (at[n] == '/' || !strcmp(in, "/"));

	free(in);
	free(at);
	return inside;
}

/* The wanted files of a directory, sorted, into m->file. */
static int list(struct moe_members *m, const char *dir, struct moe_err *e)
{
	DIR *d = opendir(dir);
	struct dirent *x;
	int rc = 0;

	if (!d)
		return moe_fail_errno(e, "%s: the directory can not be read", dir);
	while (!rc && (x = readdir(d))) {
		size_t n = strlen(dir) + strlen(x->d_name) + 2;
		struct stat st;
		char **grown, *full;

		if (x->d_name[0] == '.')
			continue;
		grown = realloc(m->file, (m->n_file + 1) * sizeof(*grown));
		if (grown)
			m->file = grown;
		full = malloc(n);
		if (!grown || !full) {
			free(full);
			rc = moe_fail(e, MOE_SYSTEM, "out of memory for the files of %s", dir);
			break;
		}
		snprintf(full, n, "%s/%s", dir, x->d_name);
		if (lstat(full, &st) || (S_ISLNK(st.st_mode) && !stays_inside(dir, full)) ||
			stat(full, &st) || !S_ISREG(st.st_mode) || !wanted(m, x->d_name)) {
			m->passed_over++;
			free(full);
			continue;
		}
		m->file[m->n_file++] = full;
	}
	closedir(d);
	if (m->n_file)
		qsort(m->file, m->n_file, sizeof(*m->file), by_name);
	return rc;
}

/* The next file to open: 1 (m->now), 0, -1. */
static int next_file(struct moe_members *m, struct moe_err *e)
{
	for (;;) {
		const char *path;
		struct stat st;

		if (m->at_file < m->n_file) {
			m->now = m->file[m->at_file++];
			return 1;
		}
		free_files(m);
		if (m->at_path == m->n_path)
			return 0;
		path = m->path[m->at_path++];
		if (strcmp(path, "-") != 0 && !stat(path, &st) && S_ISDIR(st.st_mode)) {
			if (list(m, path, e))
				return -1;
			continue;
		}
		m->now = path;
		return 1;
	}
}

static ssize_t digested(void *ctx, void *p, size_t n, struct moe_err *e)
{
	struct moe_members *m = ctx;
	ssize_t got = moe_input_read(m->in, p, n, e);

	if (got > 0)
		moe_sha256_add(&m->sha, p, (size_t)got);
	return got;
}

static int end_member(struct moe_members *m, struct moe_err *e)
{
	char(*grown)[MOE_SHA256_HEX];

	if (!m->reading)
		return 0;
	m->reading = false;
	grown = realloc(m->digest, (m->n_digest + 1) * sizeof(*grown));
	if (!grown)
		return moe_fail(e, MOE_SYSTEM, "out of memory for a digest");
	m->digest = grown;
	moe_sha256_hex(&m->sha, m->digest[m->n_digest++]);
	moe_source_free(&m->src);
	return 0;
}

/* An archive's members are named "ARCHIVE:NAME", any other file as it was opened (a pipe as
 * "(...)"). */
static bool in_archive(const struct moe_members *m)
{
	const char *name = moe_input_member(m->in);

	return strcmp(m->now, "-") ? strcmp(name, m->now) != 0 : strchr(name, ':') != NULL;
}

int moe_members_next(struct moe_members *m, struct moe_err *e)
{
	int rc;

	if (end_member(m, e))
		return -1;
	for (;;) {
		if (!m->in) {
			rc = next_file(m, e);
			if (rc <= 0)
				return rc;
			m->in = moe_input_open(m->now, e);
			if (!m->in)
				return -1;
		}
		rc = moe_input_next(m->in, e);
		if (rc < 0)
			return -1;
		if (rc && (!in_archive(m) || wanted(m, moe_input_member(m->in))))
			break;
		if (rc) {
			m->passed_over++;
			continue;
		}
		moe_input_close(m->in);
		m->in = NULL;
	}
	m->src = (struct moe_source){ .read = digested,
		.ctx = m,
		.name = moe_input_member(m->in),
		.max_bytes = m->max_bytes };
	moe_sha256_init(&m->sha);
	m->reading = true;
	return 1;
}

int moe_members_sources(const struct moe_members *m, struct moe_writer *w, struct moe_err *e)
{
	for (size_t i = 0; i < m->n_digest; i++)
		if (moe_writer_from(w, m->digest[i], e))
			return -1;
	return 0;
}
