/* pairs_private.h - what the readers of Markdown and JSON pairs share. Included by formats/pairs*.c
 * only. */
#ifndef MOE_FORMATS_PAIRS_PRIVATE_H
#define MOE_FORMATS_PAIRS_PRIVATE_H

#include "formats/pairs.h"

/* The text fields of a pair; the first three are what makes one. */
enum pair_field {
	PF_PROMPT,
	PF_HACK,
	PF_CLEAN,
	PF_NAME,
	PF_SECTION,
	PF_TAGS,
	PF_MODE,
	PF_MARKER,
	PF_TASK,
	PF_COUNT
};

/* A pair being read. Tags are kept as one text, separated by commas. */
struct pair_draft {
	struct moe_buf text[PF_COUNT];
	bool has[PF_COUNT];
	struct moe_buf messages; /* the prompt's, as msgpack; empty = it was a text */
	uint64_t line;           /* where it starts */
};

struct moe_pairs {
	struct moe_source *src;
	const struct moe_pairs_opts *o;
	enum moe_pairs_format format;
	struct pair_draft draft;
	struct moe_pairs_names own_names, *names;
	uint64_t pairs;
	bool section_seen;
	/* a stream */
	struct moe_reader *reader;
	struct moe_rec rec;
	enum moe_labels labels;
	bool stream_lines; /* JSON Lines of a stream: its header was seen */
	/* Markdown */
	struct moe_buf section, pending; /* pending: the heading that finished the pair before */
	uint64_t pending_line;
	bool in_pair, at_end;
	int field;    /* PF_PROMPT..PF_CLEAN after its heading, before its fence; -1 = none */
	size_t fence; /* backticks of the open fence; 0 = none */
	bool fence_is_field;
	uint64_t fence_line;
};

/* Where messages point. */
int pairs_fail(const struct moe_pairs *p, uint64_t line, struct moe_err *e, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Adds bytes to a field of the draft, within max_bytes. */
int pairs_append(
	struct moe_pairs *p, int field, const char *s, size_t n, uint64_t line, struct moe_err *e);
void pairs_clear(struct moe_pairs *p);
/* One pair into p->draft: 1, 0, -1. */
int pairs_md_next(struct moe_pairs *p, struct moe_err *e);
int pairs_json_next(struct moe_pairs *p, struct moe_err *e);
int pairs_stream_next(struct moe_pairs *p, struct moe_err *e);
/* Opens the reader and reads up to the first header: 1, 0 = there is no segment, -1. */
int pairs_stream_open(struct moe_pairs *p, struct moe_err *e);
/* Whether a key of a row holds what was found about a rollout, open or sealed. */
bool pairs_finding(const char *key);
/* MOE_DATA: the row on this line carries a finding under that key. */
int pairs_refuse_finding(
	const struct moe_pairs *p, uint64_t line, const char *key, struct moe_err *e);
/* Notes the label taint of a header or an end; MOE_DATA for `oracle`. */
int pairs_labels(struct moe_pairs *p, enum moe_labels l, struct moe_err *e);

#endif
