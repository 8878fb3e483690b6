/* pairset.h - a sequence of pair records from an environment or from files, filtered, with the
 * placebos that are made of pairs (moe-pairs(1)).
 *
 * Deterministic: the same options give the same records. Memory is bounded by two pairs, 16 bytes
 * for each pair against copies and 64 for its name. Not thread-safe.
 */
#ifndef MOE_ENV_PAIRSET_H
#define MOE_ENV_PAIRSET_H

#include "env/pairleak.h"
#include "env/pairlook.h"
#include "formats/pairs.h"
#include "formats/stream.h"

struct moe_pairset_opts {
	const char *env_path; /* an environment, or NULL: files */
	const char *modes; /* list for moe_env_modes; with files: only pairs of these modes. NULL =
			      all */
	/* of the environment's tasks, NULL = train. With files: only pairs of this part (three
	 * fifths train, a fifth each validation and test, by a hash of the pair's task, or else of
	 * its prompt, so that what belongs together stays together). NULL = all */
	const char *split;
	uint64_t seed;       /* of the environment's draws and of the placebos */
	uint64_t number;     /* 0 = 48 from an environment, all from files */
	bool shuffle_labels; /* swap hack and clean in one of every two successive pairs, which one
				by chance */
	bool neutral; /* the hack gives way to the clean side of another pair, and which of the
			 two is called hack is drawn by chance: pairs in which nobody games */
	bool dedupe;  /* leave out copies: texts that are equal but for white space */
	double length_ratio; /* leave out pairs whose longer side is more than so many times the
				other; 0 = keep all */
	const struct moe_tokenizer *tok; /* lengths are its tokens; NULL = words. Borrowed */
	struct moe_pairleak *leak; /* every pair that is given out is held against it; or NULL */
	size_t max_mem; /* of one JSON value or archive member held in memory; 0 = 64 MiB */
	struct moe_pairs_opts file;
};

/* What became of the pairs that were read. */
struct moe_pairset_counts {
	uint64_t given;  /* pairs given out */
	uint64_t copies; /* of these, or with dedupe left out: texts that occurred before */
	uint64_t unlike; /* left out by length_ratio */
	uint64_t other;  /* left out, of another part than split */
	uint64_t same;   /* neutral: left out, since the two clean sides are one text */
};

struct moe_pairset;
/* Borrows o and the n paths; no path = standard input. Archives give all of their members. */
struct moe_pairset *moe_pairset_open(
	const struct moe_pairset_opts *o, const char *const *path, size_t n, struct moe_err *e);
void moe_pairset_close(struct moe_pairset *s);
/* Keys for the stream's header: where the pairs come from and whether they are a placebo. With
 * files it reads as far as it must to know. */
int moe_pairset_header(struct moe_pairset *s, struct moe_rec *out, struct moe_err *e);
/* Next record: 1, 0, -1. A set that ends without any pair is an error (MOE_DATA) that says why. */
int moe_pairset_next(struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e);
const struct moe_pairset_counts *moe_pairset_counts(const struct moe_pairset *s);
/* The highest label taint of the streams that were read; none without any. */
enum moe_labels moe_pairset_labels(const struct moe_pairset *s);
/* The digests of all that was read so far become inputs in w's end record. */
int moe_pairset_sources(const struct moe_pairset *s, struct moe_writer *w, struct moe_err *e);

#endif
