/* members.h - the files behind a list of operands: plain or compressed files, the members of
 * archives, the files of directories.
 *
 * Files named by the user are always read; those found in an archive or a directory only when their
 * name has one of the given endings (README and the like are passed over). Bytes are digested on
 * the way. Not thread-safe.
 */
#ifndef MOE_DATA_MEMBERS_H
#define MOE_DATA_MEMBERS_H

#include "formats/source.h"
#include "formats/stream.h"
#include "util/digest.h"

struct moe_members {
	const char *const *path; /* borrowed */
	size_t n_path;
	const char *const *ending; /* e.g. {".jsonl", NULL}; compressed ones (.gz, .zst) of these
				      match too; borrowed */
	size_t max_bytes;          /* of one line or value; 0 = 64 MiB */
	/* the member that is open, for the reader of lines or values */
	struct moe_source src;
	uint64_t passed_over; /* files whose name did not match */
	/* private */
	size_t at_path, at_file, n_file;
	char **file; /* of a directory being walked */
	const char *now;
	struct moe_input *in;
	struct moe_sha256 sha;
	bool reading;
	char (*digest)[MOE_SHA256_HEX];
	size_t n_digest;
};

/* No path = standard input. Zero-fills m first. */
void moe_members_init(struct moe_members *m, const char *const *path, size_t n,
	const char *const *ending, size_t max_bytes);
void moe_members_free(struct moe_members *m); /* accepts a zeroed struct */
/* Ends the member that is open (its digest is kept) and opens the next one: 1, 0, -1. */
int moe_members_next(struct moe_members *m, struct moe_err *e);
/* Name of the open member for messages: "pool.tar.gz:dir/a.jsonl". */
const char *moe_members_name(const struct moe_members *m);
/* The digests of the files read to their end so far become inputs in w's end record. */
int moe_members_sources(const struct moe_members *m, struct moe_writer *w, struct moe_err *e);

#endif
