/* input.c - bytes of files, pipes and archive members. Recognises containers by content; it never extracts to disk.
 *
 * Plain data do not pass through libarchive at all, so that a pipe's bytes are handed on as soon as they arrive. */
#include "formats/input.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#define BLOCK ((size_t)1 << 16)
#define SNIFF 512 /* a tar header */

enum content { PLAIN, COMPRESSED, TAR_OR_ZIP };

/* A source of bytes that can be looked at before it is read. */
struct source {
	struct moe_input *in;
	bool inner;               /* reads the outer archive's member, not the descriptor */
	uint8_t head[SNIFF];
	size_t at, have;
	bool eof;
	uint8_t block[BLOCK];     /* what libarchive was given last */
};

struct moe_input {
	int fd;
	bool own_fd;
	char *name, *member;
	enum content content;
	struct archive *outer, *inner;
	struct source from_fd, from_member;
	bool in_archive;          /* outer holds named members */
	bool outer_end;
	uint64_t members;
	struct moe_err err;       /* of a callback */
};

static int fail_archive(struct moe_input *in, struct archive *a, struct moe_err *e)
{
	const char *why = archive_error_string(a);

	if (in->err.code) {
		if (e)
			*e = in->err;
		return -1;
	}
	return moe_fail(e, MOE_DATA, "%s: %s", in->member ? in->member : in->name, why ? why : "damaged archive");
}

/* ---- the two sources: the descriptor, and the current member of the outer archive ---- */

static ssize_t raw_read(struct source *s, void *p, size_t n, struct moe_err *e)
{
	struct moe_input *in = s->in;
	ssize_t got;

	if (s->eof)
		return 0;
	if (s->inner) {
		got = archive_read_data(in->outer, p, n);

		if (got < 0)
			return fail_archive(in, in->outer, e);
		s->eof = got == 0;
		return got;
	}
	got = moe_fd_read(in->fd, p, n);
	if (got < 0)
		return moe_fail_errno(e, "%s: reading failed", in->name);
	s->eof = got == 0;
	return got;
}

static ssize_t source_read(struct source *s, void *p, size_t n, struct moe_err *e)
{
	size_t k = s->have - s->at;

	if (!k)
		return raw_read(s, p, n, e);
	if (k > n)
		k = n;
	memcpy(p, s->head + s->at, k);
	s->at += k;
	return (ssize_t)k;
}

static la_ssize_t give(struct archive *a, void *data, const void **p)
{
	struct source *s = data;
	ssize_t got = source_read(s, s->block, sizeof(s->block), &s->in->err);

	if (got < 0)
		archive_set_error(a, EIO, "%s", s->in->err.msg);
	*p = s->block;
	return got;
}

static bool is_magic(const struct source *s, const char *magic, size_t n)
{
	return s->have >= n && memcmp(s->head, magic, n) == 0;
}

static bool maybe_magic(const struct source *s, const char *magic, size_t n)
{
	return s->have < n && memcmp(s->head, magic, s->have) == 0;
}

/* Whether the bytes seen so far settle what the content is. Text is settled by a line's end before any NUL: a tar header's
 * name field ends in NUL. */
static bool settle(const struct source *s, enum content *c)
{
	static const char gz[] = "\x1f\x8b", zstd[] = "\x28\xb5\x2f\xfd", skip[] = "\x2a\x4d\x18", zip1[] = "PK\3\4", zip2[] = "PK\5\6";
	const uint8_t *nl, *nul;

	*c = PLAIN;
	if (is_magic(s, gz, 2) || is_magic(s, zstd, 4) || (s->have >= 4 && (s->head[0] & 0xf0) == 0x50 && !memcmp(s->head + 1, skip, 3)))
		return *c = COMPRESSED, true;
	if (is_magic(s, zip1, 4) || is_magic(s, zip2, 4))
		return *c = TAR_OR_ZIP, true;
	if (s->have == SNIFF) {
		if (!memcmp(s->head + 257, "ustar", 5))
			*c = TAR_OR_ZIP;
		return true;
	}
	if (maybe_magic(s, gz, 2) || maybe_magic(s, zstd, 4) || maybe_magic(s, zip1, 4) || maybe_magic(s, zip2, 4))
		return false;
	if (s->have && (s->head[0] >= 0x80 || s->head[0] == '{' || s->head[0] == '['))
		return true; /* a moe stream, or JSON: never wait for more */
	nl = memchr(s->head, '\n', s->have);
	nul = memchr(s->head, 0, s->have);
	return nl && (!nul || nl < nul);
}

static int sniff(struct source *s, enum content *c, struct moe_err *e)
{
	while (!settle(s, c)) {
		ssize_t got = s->have < SNIFF ? raw_read(s, s->head + s->have, SNIFF - s->have, e) : 0;

		if (got < 0)
			return -1;
		if (got == 0)
			return 0; /* short: plain */
		s->have += (size_t)got;
	}
	return 0;
}

/* gzip and zstd by name: filter_all may run programs. */
static struct archive *archive_over(struct source *s, bool members, struct moe_err *e)
{
	struct archive *a = archive_read_new();

	if (!a) {
		moe_fail(e, MOE_SYSTEM, "%s: out of memory for an archive", s->in->name);
		return NULL;
	}
	if (archive_read_support_filter_gzip(a) || archive_read_support_filter_zstd(a) || archive_read_support_format_raw(a) ||
		archive_read_support_format_empty(a) ||
		(members && (archive_read_support_format_tar(a) || archive_read_support_format_zip_streamable(a))) ||
		archive_read_open(a, s, NULL, give, NULL)) {
		fail_archive(s->in, a, e);
		archive_read_free(a);
		return NULL;
	}
	return a;
}

/* ---- opening ---- */

struct moe_input *moe_input_open_fd(int fd, const char *name, struct moe_err *e)
{
	struct moe_input *in = calloc(1, sizeof(*in));

	if (!in || !(in->name = strdup(name))) {
		free(in);
		moe_fail(e, MOE_SYSTEM, "%s: out of memory for an input", name);
		return NULL;
	}
	in->fd = fd;
	in->from_fd.in = in->from_member.in = in;
	in->from_member.inner = true;
	return in;
}

struct moe_input *moe_input_open(const char *path, struct moe_err *e)
{
	struct moe_input *in;
	int fd = 0;

	if (strcmp(path, "-") == 0)
		return moe_input_open_fd(0, "standard input", e);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		moe_fail_errno(e, "%s: can not be opened", path);
		return NULL;
	}
	in = moe_input_open_fd(fd, path, e);
	if (in)
		in->own_fd = true;
	else
		close(fd);
	return in;
}

static void drop_member(struct moe_input *in)
{
	archive_read_free(in->inner);
	in->inner = NULL;
	free(in->member);
	in->member = NULL;
	in->from_member.at = in->from_member.have = 0;
	in->from_member.eof = false;
}

void moe_input_close(struct moe_input *in)
{
	if (!in)
		return;
	drop_member(in);
	archive_read_free(in->outer);
	if (in->own_fd)
		close(in->fd);
	free(in->name);
	free(in);
}

/* ---- members ---- */

static int name_member(struct moe_input *in, const char *entry, struct moe_err *e)
{
	size_t n = strlen(in->name) + (entry ? strlen(entry) : 0) + 2;

	in->member = malloc(n);
	if (!in->member)
		return moe_fail(e, MOE_SYSTEM, "%s: out of memory for a name", in->name);
	snprintf(in->member, n, "%s%s%s", in->name, entry ? ":" : "", entry ? entry : "");
	return 1;
}

static int first_member(struct moe_input *in, struct moe_err *e)
{
	if (sniff(&in->from_fd, &in->content, e))
		return -1;
	if (in->content == PLAIN)
		return name_member(in, NULL, e);
	in->outer = archive_over(&in->from_fd, true, e);
	return in->outer ? 1 : -1;
}

/* Opens what the outer archive's current entry holds: its bytes, or what they decompress to. */
static int enter(struct moe_input *in, struct archive_entry *entry, struct moe_err *e)
{
	const char *path = archive_entry_pathname_utf8(entry);
	enum content c;

	if (!path)
		path = archive_entry_pathname(entry);
	if (name_member(in, in->in_archive ? (path ? path : "?") : NULL, e) < 0)
		return -1;
	if (!in->in_archive)
		return 1;
	if (archive_entry_is_encrypted(entry))
		return moe_fail(e, MOE_DATA, "%s: encrypted", in->member);
	if (sniff(&in->from_member, &c, e))
		return -1;
	if (c != COMPRESSED)
		return 1;
	in->inner = archive_over(&in->from_member, false, e);
	if (!in->inner)
		return -1;
	if (archive_read_next_header(in->inner, &entry) != ARCHIVE_OK)
		return fail_archive(in, in->inner, e);
	if (archive_filter_code(in->inner, 0) == ARCHIVE_FILTER_NONE)
		return moe_fail(e, MOE_DATA, "%s: truncated or damaged compressed data", in->member);
	return 1;
}

int moe_input_next(struct moe_input *in, struct moe_err *e)
{
	int rc;

	drop_member(in);
	if (in->members++ == 0) {
		rc = first_member(in, e);
		if (rc < 0 || in->content == PLAIN)
			return rc;
	} else if (in->content == PLAIN || in->outer_end) {
		return 0;
	}
	for (;;) {
		struct archive_entry *entry;

		rc = archive_read_next_header(in->outer, &entry);
		if (rc == ARCHIVE_EOF) {
			in->outer_end = true;
			if (in->members > 1 || archive_format(in->outer) != ARCHIVE_FORMAT_EMPTY)
				return 0;
			in->from_member.eof = true; /* an empty compressed file is one empty member */
			return name_member(in, NULL, e);
		}
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
			return fail_archive(in, in->outer, e);
		if (in->content == COMPRESSED && archive_filter_code(in->outer, 0) == ARCHIVE_FILTER_NONE)
			return moe_fail(e, MOE_DATA, "%s: truncated or damaged compressed data", in->name);
		in->in_archive = archive_format(in->outer) != ARCHIVE_FORMAT_RAW;
		if (in->in_archive && archive_entry_filetype(entry) != AE_IFREG)
			continue; /* folders and links hold no data */
		return enter(in, entry, e);
	}
}

const char *moe_input_member(const struct moe_input *in)
{
	return in->member ? in->member : in->name;
}

bool moe_input_is_archive(const struct moe_input *in)
{
	return in->in_archive;
}

/* ---- bytes ---- */

ssize_t moe_input_read(struct moe_input *in, void *p, size_t n, struct moe_err *e)
{
	if (in->inner) {
		la_ssize_t got = archive_read_data(in->inner, p, n);

		return got < 0 ? fail_archive(in, in->inner, e) : (ssize_t)got;
	}
	return source_read(in->outer ? &in->from_member : &in->from_fd, p, n, e);
}

int moe_input_slurp(struct moe_input *in, struct moe_buf *out, size_t max, struct moe_err *e)
{
	size_t start = out->len;

	for (;;) {
		ssize_t got;

		if (moe_buf_reserve(out, BLOCK, e))
			return -1;
		got = moe_input_read(in, out->data + out->len, out->cap - out->len, e);
		if (got <= 0)
			return (int)got;
		out->len += (size_t)got;
		if (out->len - start > max)
			return moe_fail(e, MOE_DATA, "%s: longer than the %zu bytes allowed here", moe_input_member(in), max);
	}
}
