/* jsonl.h - streams as JSON Lines and back (formats/stream.md, "JSON"): exact inverses on canonical
 * streams.
 *
 * One line is one map: the header with "t":"header", records, the end record. Not thread-safe.
 */
#ifndef MOE_FORMATS_JSONL_H
#define MOE_FORMATS_JSONL_H

#include "formats/input.h"
#include "formats/stream.h"

#include <stdbool.h>

/* Appends the map as one line. header: adds "t":"header". values: tensors as arrays of numbers
 * (which can not be read back). */
int moe_jsonl_line(
	const struct moe_rec *r, bool header, bool values, struct moe_buf *out, struct moe_err *e);

struct moe_jsonl_opts {
	const char *kind; /* header to make when the text has none; NULL = then it is an error */
	const char *tool;
	const char *const *argv;
	int argc;
	uint64_t seed;    /* for that header */
	const char *name; /* of the output, for messages */
	bool unbuffered;  /* each record is sent at once; else a record of type step is, and the
			     header */
	size_t max_mem; /* that a line may take, 128 bytes more for each value in it; 0 = 256 MiB */
};
/* Reads all lines of all members of `in` and writes the stream to fd. Blank lines are skipped.
 * Without header lines, a header of kind o->kind is made, with
 * the labels unknown (*headless is then true; it may be NULL), records without "t" get the kind's
 * usual type, and an end is added. A header line without its end line is a truncated text
 * (MOE_DATA). */
int moe_jsonl_to_stream(struct moe_input *in, int fd, const struct moe_jsonl_opts *o,
	bool *headless, struct moe_err *e);
/* "rollouts" -> "rollout" ...: the usual record type of a kind. */
const char *moe_kind_type(const char *kind);

#endif
