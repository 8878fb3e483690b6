/* show.h - walks over streams for moe-cat: filtering, copying, JSON Lines, looking, checking.
 *
 * Text goes to a descriptor as it comes, in blocks; errors name the output. Not thread-safe.
 */
#ifndef MOE_INSPECT_SHOW_H
#define MOE_INSPECT_SHOW_H

#include "formats/stream.h"
#include "inspect/where.h"

#define MOE_SHOW_OTHERS 4

struct moe_show {
	struct moe_where *where; /* NULL = all records */
	const char *kind;        /* only segments of this kind; NULL = all */
	bool limited;            /* `limit` counts */
	uint64_t limit;          /* records in all */
	bool values;             /* JSON: tensors as arrays of numbers */
	bool unbuffered;         /* text goes out after every record */
	int fd;
	const char *name; /* of the output, for messages */
	const char *tool; /* for the headers of filtered segments */
	const char *const *argv;
	int argc;
	/* kept between inputs; zero-initialise */
	uint64_t shown;
	bool found;                      /* a segment of `kind` was there */
	char other[MOE_SHOW_OTHERS][40]; /* other kinds that were, escaped: the first few */
	struct moe_buf out;
};

/* Each walks one input to its end, beyond the limit too. A segment that is neither filtered (by
 * conditions or the limit) nor cut keeps its header, its end and, when it is canonical, its bytes;
 * else it gets a header of o->tool and an end that names its source. */
int moe_show_stream(struct moe_show *o, struct moe_reader *r, struct moe_err *e);
int moe_show_json(struct moe_show *o, struct moe_reader *r, struct moe_err *e);
/* Records as plain MessagePack, tensors (put together again, each within max_mem) as
 * msgpack-numpy's maps. */
int moe_show_numpy(struct moe_show *o, struct moe_reader *r, size_t max_mem, struct moe_err *e);
/* The first records (o->limit, or 3) in readable form; reads no further than these. */
int moe_show_head(struct moe_show *o, struct moe_reader *r, const char *name, struct moe_err *e);
/* What the stream holds: moe_summary of the records that pass, after headers and lineage. */
int moe_show_summary(struct moe_show *o, struct moe_reader *r, const char *name, struct moe_err *e);
/* Whether the segment at hand is of o->kind; notes its kind. */
bool moe_show_wanted(struct moe_show *o, const struct moe_reader *r);
/* After all inputs: fails with MOE_NEGATIVE, naming the kinds that were there, when segments were
 * but none of o->kind. */
int moe_show_found(const struct moe_show *o, struct moe_err *e);
/* Whatever text is still in o->out goes to the descriptor. */
int moe_show_flush(struct moe_show *o, struct moe_err *e);

/* ---- checking ---- */
struct moe_lineage; /* digests of the segments seen, and those that they name as inputs */
struct moe_lineage *moe_lineage_new(size_t max_mem, struct moe_err *e);
void moe_lineage_free(struct moe_lineage *l); /* NULL is accepted */
/* Reads all of the stream, which verifies counts and checksums, holds it to the rest of stream.md,
 * notes its digests (in l, unless that is NULL) and reports one line. */
int moe_show_check(struct moe_show *o, struct moe_reader *r, const char *name,
	struct moe_lineage *l, struct moe_err *e);
/* Reports for every input digest which of the files has it. *missing counts those that none has. A
 * file without segments (moe_reader_opts.others) that none of the streams names fails with
 * MOE_DATA, after the report. */
int moe_lineage_print(
	struct moe_lineage *l, struct moe_buf *out, size_t *missing, struct moe_err *e);

#endif
