/* stream.h - reader and writer of the moe stream (formats/stream.md is the specification; design.md
 * section 3).
 *
 * A stream: magic, header map, record maps, end map with count, SHA-256 and input digests; segments
 * concatenate. The reader's memory is bounded by max_mem whatever the input declares. Neither side
 * is thread-safe.
 */
#ifndef MOE_FORMATS_STREAM_H
#define MOE_FORMATS_STREAM_H

#include "formats/rec.h"

#include <sys/types.h>

#define MOE_STREAM_MAGIC     "\xA8MOES\r\n\x1a\n"
#define MOE_STREAM_MAGIC_LEN 9
#define MOE_CHUNK_BYTES      ((size_t)16 << 20)

/* Label taint (design.md section 5), ordered. A tool's output carries the highest of its inputs and
 * of itself. Unknown: a text without its header line was made a stream. */
enum moe_labels {
	MOE_LABELS_NONE,
	MOE_LABELS_SYNTHETIC,
	MOE_LABELS_UNKNOWN,
	MOE_LABELS_ORACLE,
	MOE_LABELS_LEVELS
};
const char *moe_labels_name(enum moe_labels l);
int moe_labels_parse(struct moe_str s, enum moe_labels *out, struct moe_err *e);

/* Whether a map may be a header: version 1, a kind, known labels (which are returned), no "t", the
 * other keys of their types. Both sides ask this. */
int moe_stream_check_header(
	const struct moe_rec *h, const char *name, enum moe_labels *labels, struct moe_err *e);
/* The label taint that a header or end names; MOE_LABELS_NONE when it names none. */
int moe_stream_labels(
	const struct moe_rec *h, const char *name, enum moe_labels *labels, struct moe_err *e);
/* Whether an end's "from" is an array of SHA-256 digests, or missing. Both sides ask this too. */
int moe_stream_check_from(const struct moe_rec *end, const char *name, struct moe_err *e);

/* What an end's key "bound" must be (stream.md, section 5): SHA-256 of the end without it. */
int moe_stream_bound(const struct moe_rec *end, char hex[65], struct moe_err *e);

/* ---- reading ---- */
struct moe_reader;

struct moe_reader_opts {
	size_t max_mem; /* bytes that one record may take, 256 more for each entry of its maps; 0 =
			   256 MiB */
	bool allow_truncated; /* a missing end is the end */
	bool no_digest;       /* do not compute SHA-256 (the end's is then not checked) */
	bool others; /* of a path: what does not begin like a stream is no error, its SHA-256 is
			noted (moe_reader_others) */
};

/* fd is borrowed (not closed); name is for messages. Plain streams and gzip/zstd-compressed ones
 * are accepted when opened through moe_reader_open_path. NULL and *e on failure. */
struct moe_reader *moe_reader_open_fd(
	int fd, const char *name, const struct moe_reader_opts *o, struct moe_err *e);
/* path "-" is standard input. */
struct moe_reader *moe_reader_open_path(
	const char *path, const struct moe_reader_opts *o, struct moe_err *e);
/* Bytes come from a function (as moe_input_read: up to n bytes, 0 at the end, -1 and *e): for
 * streams that are found inside of something else. */
struct moe_reader *moe_reader_open_fn(
	ssize_t (*read)(void *ctx, void *p, size_t n, struct moe_err *e), void *ctx,
	const char *name, const struct moe_reader_opts *o, struct moe_err *e);
void moe_reader_close(struct moe_reader *r);

/* Next record: 1 = r filled, 0 = end of the (last segment of the) stream, -1 = error. Headers and
 * ends are consumed inside; moe_reader_header is the header of the segment that the last record
 * came from. It returns as soon as one whole record has arrived (never waits for a full buffer), so
 * FIFOs work. Truncation: MOE_DATA "NAME: truncated: record N, byte B: the upstream program died
 * before its end record". */
int moe_reader_next(struct moe_reader *r, struct moe_rec *rec, struct moe_err *e);
/* Reads up to the header of the current or next segment without consuming a record (so that an
 * empty stream's kind can be known). 1; 0 = the input has ended after a whole segment; an input
 * without any segment is an error. */
int moe_reader_peek_header(struct moe_reader *r, struct moe_err *e);
const struct moe_rec *moe_reader_header(const struct moe_reader *r);
struct moe_str moe_reader_kind(const struct moe_reader *r);
/* The end record of the last segment that ended; empty before. Borrowed. */
const struct moe_rec *moe_reader_end_record(const struct moe_reader *r);
/* Fails (MOE_DATA, naming both) unless the next segment's kind is `kind`; every later segment is
 * held to it too. */
int moe_reader_expect(struct moe_reader *r, const char *kind, struct moe_err *e);
enum moe_labels moe_reader_labels(const struct moe_reader *r); /* highest so far */
uint64_t moe_reader_records(const struct moe_reader *r),
	moe_reader_bytes(const struct moe_reader *r);
/* Digests (hex, NUL-terminated; "" when the end names none, or was missing) of the segments that
 * ended so far: the number, and one. */
size_t moe_reader_digests(const struct moe_reader *r);
const char *moe_reader_digest(const struct moe_reader *r, size_t i);
/* Digests of the whole files, or members of an archive, that are no streams: the number, and one.
 * Only with opts.others. */
size_t moe_reader_others(const struct moe_reader *r);
const char *moe_reader_other(const struct moe_reader *r, size_t i);
/* How many members of archives (and, with opts.others, files) were left out, since they are no
 * streams. */
uint64_t moe_reader_left_out(const struct moe_reader *r);
/* Whether the segment read last had no end (which allow_truncated lets pass). */
bool moe_reader_cut(const struct moe_reader *r);
/* In how many places so far an end was missing, be it in the records of a segment or in its magic
 * or header, when it is not a segment yet. */
uint64_t moe_reader_cuts(const struct moe_reader *r);
/* How many of the segments that ended so far are not as the program that wrote them left them:
 * their end's "bound" is of other records, inputs or labels; and how many have none. */
uint64_t moe_reader_edited(const struct moe_reader *r),
	moe_reader_unbound(const struct moe_reader *r);
/* As moe_reader_next, but 0 as soon as the current segment has ended (nothing of a next one is
 * waited for): for FIFOs that carry one segment per step. moe_reader_peek_header then tells whether
 * another segment follows (1) or the input has ended (0). */
int moe_reader_next_in_segment(struct moe_reader *r, struct moe_rec *rec, struct moe_err *e);

/* ---- writing ---- */
struct moe_writer;

struct moe_writer_opts {
	const char *kind; /* "rollouts" ... */
	const char *tool; /* "moe-grade" */
	const char *const *argv;
	int argc;
	uint64_t seed;
	enum moe_labels labels;
	bool no_digest; /* end carries sha256 = nil */
};

/* fd is borrowed. The header is written (buffered) at once; extra keys may be given in `extra`
 * (NULL allowed). */
struct moe_writer *moe_writer_open_fd(int fd, const char *name, const struct moe_writer_opts *o,
	const struct moe_rec *extra, struct moe_err *e);
int moe_writer_put(struct moe_writer *w, const struct moe_rec *rec, struct moe_err *e);
/* The same with a ready header (of a segment that is copied): its keys are written as they are, a
 * missing "v" is added. */
struct moe_writer *moe_writer_open_header(
	int fd, const char *name, const struct moe_rec *header, bool no_digest, struct moe_err *e);
/* Everything buffered goes to the descriptor: call at a step's end. */
int moe_writer_flush(struct moe_writer *w, struct moe_err *e);
/* A digest of an input, for the end record's `from`. */
int moe_writer_from(struct moe_writer *w, const char *hex, struct moe_err *e);
int moe_writer_from_reader(struct moe_writer *w, const struct moe_reader *r, struct moe_err *e);
/* Highest taint seen so far goes into the end record (`labels`), since a header is written before
 * inputs are read. */
void moe_writer_raise(struct moe_writer *w, enum moe_labels l);
/* Writes the end record and flushes. The writer can not be used afterwards but must be closed.
 * digest_hex[65] may be NULL. */
int moe_writer_end(struct moe_writer *w, char *digest_hex, struct moe_err *e);
/* The end will carry sha256 = nil, as the segment that is copied does. */
void moe_writer_no_digest(struct moe_writer *w);
/* As moe_writer_end, but the keys of `like` (the end record of a segment that is copied) are kept,
 * apart from n and sha256. */
int moe_writer_end_like(
	struct moe_writer *w, const struct moe_rec *like, char *digest_hex, struct moe_err *e);
void moe_writer_close(struct moe_writer
		*w); /* without moe_writer_end: the stream stays truncated, as it should */

/* Big tensors: one logical tensor `name` as records t="tensor" {name, dtype, shape, offset, data}
 * of at most 16 MiB each. */
int moe_writer_tensor(struct moe_writer *w, const char *name, const char *dtype, int rank,
	const uint64_t *shape, const void *data, const struct moe_rec *extra, struct moe_err *e);

#endif
