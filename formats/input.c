/* input.c - bytes of files, pipes and archive members. Recognises containers by content; it never
 * extracts to disk.
 *
 * Plain data do not pass through libarchive at all, so that a pipe's bytes are handed on as soon as
 * they arrive; gzip is gunzip.c's. */
#include "formats/input.h"
#include "formats/gunzip.h"
#include "formats/stream.h"
#include "util/fd.h"
#include "util/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#define BLOCK ((size_t)1 << 16)
#define SNIFF 512 /* a tar header */
#define PIECE                                                                                      \
	((size_t)1 << 13) /* libarchive drops what it has copied when it finds the data cut off */
#define TAR_END     1024  /* two blocks of zeros */
#define ZIP_END     22    /* a zip's end record; a comment may follow it */
#define ZIP_LOCATOR 20
#define ZIP64_END   56
#define ZIP_TAIL    (ZIP_END + 0xffff)

enum content { PLAIN, GZIP, ZSTD, TAR, ZIP };

/* Bytes that can be looked at before they are read. `a` or `gz` makes them from those of the layer
 * below; the first layer is the descriptor and has neither. */
struct layer {
	struct moe_input *in;
	struct layer *below;
	struct archive *a;
	struct moe_gunzip *gz;
	uint8_t head[SNIFF];
	size_t at, have;
	bool eof;
	/* What the layer above has taken: */
	uint8_t block[BLOCK];
	uint64_t given, solid; /* bytes in all; up to the last one that is not zero */
};

/* Each layer gets its own archive, so that every byte of the one below is known to have been used.
 */
struct moe_input {
	int fd;
	bool own_fd;
	char *name, *member;
	enum content content;                       /* once decompressed: PLAIN, TAR or ZIP */
	struct layer file, data, entry, entry_data; /* data, entry_data: decompressed; entry: the
						       archive's current member */
	struct layer *now;                          /* the current member's bytes */
	bool outer_end;
	locale_t utf8; /* libarchive translates some names of members to the locale's encoding, and
			  loses those that it can not */
	uint64_t members, entries;
	uint8_t tail[ZIP_TAIL]; /* the last bytes that a zip reader took */
	size_t tail_n;
	struct moe_err err; /* of a callback */
};

static int fail_archive(struct moe_input *in, struct archive *a, struct moe_err *e)
{
	const char *why = archive_error_string(a);

	if (in->err.code) {
		if (e)
			*e = in->err;
		return -1;
	}
	return moe_fail(e, MOE_DATA, "%s: %s", moe_input_member(in),
		why ? why : "truncated or damaged archive");
}

/* ---- reading a layer, and looking at its beginning ---- */

static int whole(struct layer *l, struct moe_err *e);

static ssize_t raw_read(struct layer *l, void *p, size_t n, struct moe_err *e)
{
	struct moe_input *in = l->in;
	ssize_t got;

	if (l->eof)
		return 0;
	if (l->gz) {
		got = moe_gunzip_read(l->gz, p, n, moe_input_member(in), e);
		l->eof = got == 0;
		return got;
	}
	if (l->a) {
		got = archive_read_data(l->a, p, n < PIECE ? n : PIECE);
		if (got < 0)
			return fail_archive(in, l->a, e);
		l->eof = got == 0;
		return got || l == &in->entry ? got : whole(l, e);
	}
	got = moe_fd_read(in->fd, p, n);
	if (got < 0)
		return moe_fail_errno(e, "%s: reading failed", in->name);
	l->eof = got == 0;
	return got;
}

static ssize_t layer_read(struct layer *l, void *p, size_t n, struct moe_err *e)
{
	size_t k = l->have - l->at;

	if (!k)
		return raw_read(l, p, n, e);
	if (k > n)
		k = n;
	memcpy(p, l->head + l->at, k);
	l->at += k;
	return (ssize_t)k;
}

static void keep_tail(struct moe_input *in, const uint8_t *p, size_t n)
{
	size_t old = n < ZIP_TAIL ? ZIP_TAIL - n : 0;

	if (old > in->tail_n)
		old = in->tail_n;
	memmove(in->tail, in->tail + in->tail_n - old, old);
	if (n > ZIP_TAIL - old) {
		p += n - (ZIP_TAIL - old);
		n = ZIP_TAIL - old;
	}
	memcpy(in->tail + old, p, n);
	in->tail_n = old + n;
}

/* The next block for an archive. */
static ssize_t give_block(struct layer *l, struct moe_err *e)
{
	ssize_t got = layer_read(l, l->block, sizeof(l->block), e), solid = got;

	if (got <= 0)
		return got;
	while (solid && !l->block[solid - 1])
		solid--;
	if (solid)
		l->solid = l->given + (uint64_t)solid;
	l->given += (uint64_t)got;
	if (l->in->content == ZIP && l == l->in->entry.below)
		keep_tail(l->in, l->block, (size_t)got);
	return got;
}

static la_ssize_t give(struct archive *a, void *data, const void **p)
{
	struct layer *l = data;
	ssize_t got = give_block(l, &l->in->err);

	if (got < 0)
		archive_set_error(a, EIO, "%s", l->in->err.msg);
	*p = l->block;
	return got;
}

static ssize_t give_compressed(void *from, const uint8_t **p, struct moe_err *e)
{
	struct layer *l = from;

	*p = l->block;
	return give_block(l, e);
}

/* Reads what the archive of l has left unread below. */
static int drain(struct layer *l, struct moe_err *e)
{
	ssize_t got;

	while ((got = give_block(l->below, e)) > 0)
		;
	return (int)got;
}

/* At the end of zstd data or of a tar archive: nothing but zeros may follow. */
static int whole(struct layer *l, struct moe_err *e)
{
	long long used = archive_filter_bytes(l->a, -1);

	if (l->below->solid <= (uint64_t)used && drain(l, e))
		return -1;
	if (l->below->solid > (uint64_t)used)
		return moe_fail(e, MOE_DATA,
			"%s: after the %s that ends at byte %lld something else follows",
			moe_input_member(l->in), l == &l->in->entry ? "tar archive" : "zstd data",
			used);
	return 0;
}

static int tar_end(struct layer *l, struct moe_err *e)
{
	long long at = archive_read_header_position(l->a);

	if (whole(l, e))
		return -1;
	if (archive_filter_bytes(l->a, -1) - at < TAR_END || l->below->solid > (uint64_t)at)
		return moe_fail(e, MOE_DATA,
			"%s: truncated: the tar archive's end (two blocks of zeros) is missing at "
			"byte %lld",
			l->in->name, at);
	return 0;
}

static uint64_t le(const uint8_t *p, size_t n)
{
	return n ? p[0] | le(p + 1, n - 1) << 8 : 0;
}

/* Whether a zip's end record, at p and at byte `at`, fits: the directory begins where the members
 * ended (`used`), ends here and has as many entries. All ones stand for what only the ZIP64 record
 * can hold; that one is found by the locator, just before the end record. */
static bool zip_fits(const struct moe_input *in, const uint8_t *p, uint64_t at, uint64_t used)
{
	uint64_t entries = le(p + 10, 2), size = le(p + 12, 4), start = le(p + 16, 4);
	const uint8_t *loc = p - in->tail >= ZIP_LOCATOR ? p - ZIP_LOCATOR : NULL;

	if ((entries != 0xffff && entries != in->entries) || (start != 0xffffffff && start != used))
		return false;
	if (loc && !memcmp(loc, "PK\6\7", 4))
		return le(loc + 8, 8) == at - ZIP_LOCATOR - ZIP64_END;
	return start + size == at;
}

/* libarchive leaves a zip's directory unread. Its end record must be there and fit; only a comment
 * may follow. */
static int zip_end(struct layer *l, struct moe_err *e)
{
	struct moe_input *in = l->in;
	uint64_t used = (uint64_t)archive_filter_bytes(l->a, -1);

	if (drain(l, e))
		return -1;
	for (size_t back = ZIP_END; back <= in->tail_n; back++) {
		const uint8_t *p = in->tail + in->tail_n - back;

		if (!memcmp(p, "PK\5\6", 4) && le(p + 20, 2) == back - ZIP_END &&
			zip_fits(in, p, l->below->given - back, used))
			return 0;
	}
	return moe_fail(e, MOE_DATA,
		"%s: truncated or damaged: the zip archive's directory, which should follow its "
		"last member at byte %llu, is incomplete or not that of the members, or something "
		"else follows",
		in->name, (unsigned long long)used);
}

static bool is_magic(const struct layer *s, const char *magic, size_t n)
{
	return s->have >= n && memcmp(s->head, magic, n) == 0;
}

static bool maybe_magic(const struct layer *s, const char *magic, size_t n)
{
	return s->have < n && memcmp(s->head, magic, s->have) == 0;
}

/* Whether the header of 512 bytes at h is a tar's: the sum of its bytes, with blanks for the sum
 * itself, stands in it as octal digits. */
static bool is_tar(const uint8_t *h)
{
	unsigned long sum = 0, said = 0;
	size_t i = 148;

	for (size_t k = 0; k < SNIFF; k++)
		sum += k >= 148 && k < 156 ? ' ' : h[k];
	while (i < 156 && h[i] == ' ')
		i++;
	for (; i < 156 && h[i] >= '0' && h[i] <= '7'; i++)
		said = 8 * said + (unsigned long)(h[i] - '0');
	return sum == said;
}

/* Whether the bytes seen so far settle what the content is. Text is settled by a line's end before
 * any NUL: a tar header's name field ends in NUL. A moe stream is settled by its magic: nothing is
 * waited for behind it. */
static bool settle(const struct layer *s, enum content *c)
{
	static const char gz[] = "\x1f\x8b", zstd[] = "\x28\xb5\x2f\xfd", skip[] = "\x2a\x4d\x18",
			  zip1[] = "PK\3\4", zip2[] = "PK\5\6";
	const uint8_t *nl, *nul;

	*c = PLAIN;
	if (is_magic(s, gz, 2))
		return *c = GZIP, true;
	if (is_magic(s, zstd, 4) ||
		(s->have >= 4 && (s->head[0] & 0xf0) == 0x50 && !memcmp(s->head + 1, skip, 3)))
		return *c = ZSTD, true;
	if (is_magic(s, zip1, 4) || is_magic(s, zip2, 4))
		return *c = ZIP, true;
	if (s->have == SNIFF) {
		if (is_tar(s->head))
			*c = TAR;
		return true;
	}
	if (maybe_magic(s, gz, 2) || maybe_magic(s, zstd, 4) || maybe_magic(s, zip1, 4) ||
		maybe_magic(s, zip2, 4))
		return false;
	if (is_magic(s, MOE_STREAM_MAGIC, MOE_STREAM_MAGIC_LEN))
		return true;
	nl = memchr(s->head, '\n', s->have);
	nul = memchr(s->head, 0, s->have);
	return nl && (!nul || nl < nul);
}

static int sniff(struct layer *s, enum content *c, struct moe_err *e)
{
	while (!settle(s, c)) {
		ssize_t got = s->have < SNIFF ? raw_read(s, s->head + s->have, SNIFF - s->have, e)
					      : 0;

		if (got < 0)
			return -1;
		if (got == 0)
			return 0; /* short: plain */
		s->have += (size_t)got;
	}
	return 0;
}

/* Puts an archive over `below`. zstd by name: filter_all may run programs. */
static int put_over(struct layer *l, struct layer *below, enum content c, struct moe_err *e)
{
	struct archive *a = archive_read_new();
	bool bad;

	if (!a)
		return moe_fail(e, MOE_SYSTEM, "%s: out of memory for an archive", l->in->name);
	l->a = a;
	l->below = below;
	if (c == ZSTD)
		bad = archive_read_support_filter_zstd(a) || archive_read_support_format_raw(a) ||
			archive_read_support_format_empty(a);
	else
		bad = c == TAR ? archive_read_support_format_tar(a)
			       : archive_read_support_format_zip_streamable(a);
	return bad || archive_read_open(a, below, NULL, give, NULL) ? fail_archive(l->in, a, e) : 0;
}

static int unzstd(struct layer *l, struct layer *below, struct moe_err *e)
{
	struct archive_entry *entry;
	int rc;

	if (put_over(l, below, ZSTD, e))
		return -1;
	rc = archive_read_next_header(l->a, &entry);
	if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN && rc != ARCHIVE_EOF)
		return fail_archive(l->in, l->a, e);
	if (archive_filter_code(l->a, 0) == ARCHIVE_FILTER_NONE)
		return moe_fail(
			e, MOE_DATA, "%s: truncated or damaged zstd data", moe_input_member(l->in));
	l->eof = rc == ARCHIVE_EOF; /* nothing, compressed */
	return l->eof ? whole(l, e) : 0;
}

/* l becomes what `below` holds, decompressed; *c says what that is. */
static int decompress(struct layer *l, struct layer *below, enum content *c, struct moe_err *e)
{
	if (*c == GZIP) {
		l->below = below;
		l->gz = moe_gunzip_new(give_compressed, below, e);
	}
	if ((*c == GZIP && !l->gz) || (*c == ZSTD && unzstd(l, below, e)) || sniff(l, c, e))
		return -1;
	if (*c == GZIP || *c == ZSTD)
		return moe_fail(
			e, MOE_DATA, "%s: compressed more than once", moe_input_member(l->in));
	return 0;
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
	in->file.in = in->data.in = in->entry.in = in->entry_data.in = in;
	return in;
}

struct moe_input *moe_input_open(const char *path, struct moe_err *e)
{
	struct moe_input *in;
	int fd = 0;

	if (strcmp(path, "-") == 0)
		return moe_input_open_fd(0, "standard input", e);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && moe_rank_leads()) { /* the others need not have the file */
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
	struct layer *l = &in->entry, *d = &in->entry_data;

	archive_read_free(d->a);
	moe_gunzip_free(d->gz);
	d->a = NULL;
	d->gz = NULL;
	free(in->member);
	in->member = NULL;
	l->at = l->have = d->at = d->have = 0;
	l->given = l->solid = 0;
	l->eof = d->eof = false;
	in->now = NULL;
}

void moe_input_close(struct moe_input *in)
{
	if (!in)
		return;
	drop_member(in);
	archive_read_free(in->entry.a);
	archive_read_free(in->data.a);
	moe_gunzip_free(in->data.gz);
	if (in->utf8)
		freelocale(in->utf8);
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

/* Finds out what the input is: 0 with its bytes in `now`, or with an archive open in `entry`. */
static int look(struct moe_input *in, struct moe_err *e)
{
	struct layer *l = &in->file;

	if (sniff(l, &in->content, e))
		return -1;
	if (in->content == GZIP || in->content == ZSTD) {
		l = &in->data;
		if (decompress(l, &in->file, &in->content, e))
			return -1;
	}
	if (in->content == TAR || in->content == ZIP)
		return put_over(&in->entry, l, in->content, e);
	in->content = PLAIN;
	in->now = l;
	return 0;
}

/* Opens what the archive's current entry holds: its bytes, or what they decompress to. */
static int enter(struct moe_input *in, struct archive_entry *entry, struct moe_err *e)
{
	const char *path = archive_entry_pathname_utf8(entry);
	enum content c;

	if (!path)
		path = archive_entry_pathname(entry);
	if (!path)
		return moe_fail(e, MOE_DATA,
			"%s: the name of member %llu can not be had in this locale; one with UTF-8 "
			"is needed",
			in->name, (unsigned long long)in->entries);
	if (name_member(in, path, e) < 0)
		return -1;
	if (archive_entry_is_encrypted(entry))
		return moe_fail(e, MOE_DATA, "%s: encrypted", in->member);
	in->now = &in->entry;
	if (sniff(in->now, &c, e))
		return -1;
	if (c != GZIP && c != ZSTD)
		return 1;
	in->now = &in->entry_data;
	return decompress(in->now, &in->entry, &c, e) ? -1 : 1;
}

static int next_entry(struct moe_input *in, struct moe_err *e)
{
	struct archive_entry *entry;
	int rc;

	while ((rc = archive_read_next_header(in->entry.a, &entry)) == ARCHIVE_OK ||
		rc == ARCHIVE_WARN) {
		in->entries++;
		if (archive_entry_filetype(entry) == AE_IFREG) /* folders and links hold no data */
			return enter(in, entry, e);
	}
	if (rc != ARCHIVE_EOF)
		return fail_archive(in, in->entry.a, e);
	in->outer_end = true;
	return in->content == ZIP ? zip_end(&in->entry, e) : tar_end(&in->entry, e);
}

int moe_input_next(struct moe_input *in, struct moe_err *e)
{
	locale_t old = (locale_t)0;
	int rc;

	drop_member(in);
	if (in->members++ == 0) {
		if (look(in, e))
			return -1;
		if (in->content == PLAIN)
			return name_member(in, NULL, e);
		in->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	}
	if (in->content == PLAIN || in->outer_end)
		return 0;
	if (in->utf8)
		old = uselocale(in->utf8);
	rc = next_entry(in, e);
	if (in->utf8)
		uselocale(old);
	return rc;
}

const char *moe_input_member(const struct moe_input *in)
{
	return in->member ? in->member : in->name;
}

bool moe_input_cut(const struct moe_input *in)
{
	return in->file.eof;
}

bool moe_input_is_archive(const struct moe_input *in)
{
	return in->entry.a;
}

/* ---- bytes ---- */

ssize_t moe_input_read(struct moe_input *in, void *p, size_t n, struct moe_err *e)
{
	return in->now ? layer_read(in->now, p, n, e) : 0; /* none: an archive without members */
}

/* Text of another system as text of this one: b from `start` on without a byte order mark, and with
 * line feeds alone. */
static void make_plain(struct moe_buf *b, size_t start)
{
	size_t from = start, to = start;

	if (b->len - start >= 3 && !memcmp(b->data + start, "\xEF\xBB\xBF", 3))
		from += 3;
	for (; from < b->len; from++)
		if (b->data[from] != '\r' || from + 1 == b->len || b->data[from + 1] != '\n')
			b->data[to++] = b->data[from];
	b->len = to;
}

int moe_input_slurp(struct moe_input *in, struct moe_buf *out, size_t max, struct moe_err *e)
{
	size_t start = out->len;

	for (;;) {
		ssize_t got;

		if (moe_buf_reserve(out, BLOCK, e))
			return -1;
		got = moe_input_read(in, out->data + out->len, out->cap - out->len, e);
		if (got == 0)
			make_plain(out, start);
		if (got <= 0)
			return (int)got;
		out->len += (size_t)got;
		if (out->len - start > max)
			return moe_fail(e, MOE_DATA, "%s: longer than the %zu bytes allowed here",
				moe_input_member(in), max);
	}
}
