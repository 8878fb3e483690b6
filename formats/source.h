/* source.h - a window over a sequence of bytes: its lines, or the JSON values in it, with line
 * numbers.
 *
 * Memory is bounded by max_bytes for one line or one value. The bytes come from a function, so a
 * file, an archive member (input.h) and a fuzzer's buffer are read alike. Not thread-safe.
 */
#ifndef MOE_FORMATS_SOURCE_H
#define MOE_FORMATS_SOURCE_H

#include "formats/input.h"
#include "formats/rec.h"

/* As moe_input_read: up to n bytes, 0 at the end, -1 and *e. */
typedef ssize_t moe_source_fn(void *ctx, void *p, size_t n, struct moe_err *e);

struct moe_source {
	moe_source_fn *read;
	void *ctx;
	const char *name; /* for messages; borrowed */
	size_t max_bytes; /* one line or value; 0 = 64 MiB */
	/* private */
	struct moe_buf win;
	size_t at;     /* first byte of the window not yet given out */
	uint64_t line; /* lines that ended before `at` */
	bool end, begun, array, array_done, first_done;
};

/* Zero-initialise, set the first four; or: */
void moe_source_from_input(struct moe_source *s, struct moe_input *in, size_t max_bytes);
void moe_source_free(struct moe_source *s);

/* First byte that is not white space, without consuming it (white space before it is consumed): 1,
 * 0 at the end, -1. A byte-order mark is skipped. */
int moe_source_peek(struct moe_source *s, char *c, struct moe_err *e);
/* Bytes as they are, from where the source stands: as a moe_source_fn whose ctx is the source, so
 * that another reader can go on with what was only peeked at. */
ssize_t moe_source_read(void *source, void *p, size_t n, struct moe_err *e);
/* Next line without '\n' (and without '\r' before it): 1, 0, -1. Borrowed until the next call.
 * *number is 1-based. */
int moe_source_line(
	struct moe_source *s, struct moe_str *line, uint64_t *number, struct moe_err *e);
/* Next JSON value of the sequence: values one after another (JSON Lines, pretty-printed or not), or
 * the elements of one array when the first byte is '['. Only its extent is found here; the value
 * itself is for moe_json_parse. 1, 0, -1. */
int moe_source_json(
	struct moe_source *s, struct moe_str *text, uint64_t *number, struct moe_err *e);

#endif
