/* pairs.h - (hack, clean) pairs that people write: Markdown, a JSON array, or JSON Lines (pairs.md
 * is the specification).
 *
 * A pairs stream is read as well, so that pairs can be filtered again; its records keep keys that
 * are not known here. Rows and records that carry an oracle's findings, and streams labelled
 * `oracle`, are refused: pairs are written by hand.
 *
 * Each pair becomes one record t="pair" (records.md). Errors name file and line. Memory is bounded
 * by one pair (max_bytes) plus at most 64 bytes a pair for the check that names are unique. Not
 * thread-safe.
 */
#ifndef MOE_FORMATS_PAIRS_H
#define MOE_FORMATS_PAIRS_H

#include "formats/fieldmap.h"
#include "formats/source.h"
#include "formats/stream.h"
#include "formats/tokenizer/chat.h"

enum moe_pairs_format { MOE_PAIRS_AUTO, MOE_PAIRS_MARKDOWN, MOE_PAIRS_JSON, MOE_PAIRS_STREAM };

/* Names given out so far, so that several files can be held against each other. Zero-initialise;
 * moe_pairs_names_free. */
struct moe_pairs_names {
	uint64_t *hash, *line; /* open addressing; line 0 = free slot */
	size_t n, cap;
};
void moe_pairs_names_free(struct moe_pairs_names *n);

struct moe_pairs_opts {
	enum moe_pairs_format format; /* AUTO: JSON when the first byte is '[' or '{', a stream when
					 it is that of its magic, Markdown otherwise */
	const char *section;          /* only this section; NULL = all */
	const char *prefix;           /* only pairs whose name starts with it; NULL = all */
	const char *const *tag;       /* only pairs that carry every one of these */
	size_t n_tag;
	const char *const *mode; /* only pairs of one of these modes; n_mode = 0: all */
	size_t n_mode;
	const struct moe_fieldmap *map; /* for JSON; NULL = the default names */
	const struct moe_chat *chat;    /* for prompts given as messages; NULL = ChatML */
	size_t max_bytes;               /* of one pair; 0 = 16 MiB */
	struct moe_pairs_names *names;  /* shared by the readers of several files; NULL = names
					   differ within this one */
};

struct moe_pairs;
/* Borrows src and o (until moe_pairs_close). NULL and *e when out of memory. */
struct moe_pairs *moe_pairs_open(
	struct moe_source *src, const struct moe_pairs_opts *o, struct moe_err *e);
void moe_pairs_close(struct moe_pairs *p);
/* Next pair that the options select: 1 (rec replaced), 0, -1. */
int moe_pairs_next(struct moe_pairs *p, struct moe_rec *rec, struct moe_err *e);
/* Reads a stream to its end, which alone says whether it is whole and which labels it has seen;
 * other sources are left where they are. */
int moe_pairs_rest(struct moe_pairs *p, struct moe_err *e);
/* Pairs read so far, selected or not; whether the section asked for was seen. */
uint64_t moe_pairs_seen(const struct moe_pairs *p);
bool moe_pairs_section_seen(const struct moe_pairs *p);

/* Highest label taint that the source named so far: none unless it is a stream. */
enum moe_labels moe_pairs_labels(const struct moe_pairs *p);
/* A pairs stream's header, borrowed; NULL when the source is none. Reads it when nothing was read
 * yet: 1, 0, -1. */
int moe_pairs_header(struct moe_pairs *p, const struct moe_rec **header, struct moe_err *e);

/* Keys that --map may name for pairs; ends with NULL. */
extern const char *const moe_pairs_map_keys[];

#endif
