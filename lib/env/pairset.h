/* pairset.h - a sequence of pair records from an environment or from files, with the label placebo
 * (moe-pairs(1)).
 *
 * Deterministic: the same options give the same records. Memory is bounded by one pair. Not
 * thread-safe.
 */
#ifndef MOE_ENV_PAIRSET_H
#define MOE_ENV_PAIRSET_H

#include "formats/pairs.h"
#include "formats/stream.h"

struct moe_pairset_opts {
	const char *env_path; /* an environment, or NULL: files */
	const char *modes; /* list for moe_env_modes; with files: only pairs of these modes. NULL =
			      all */
	const char *split;
	uint64_t seed;       /* of the environment's draws and of the placebo */
	uint64_t number;     /* 0 = 48 from an environment, all from files */
	bool shuffle_labels; /* swap hack and clean in one of every two successive pairs, which one
				by chance */
	size_t max_mem;      /* of one JSON value or archive member held in memory; 0 = 64 MiB */
	struct moe_pairs_opts file;
};

struct moe_pairset;
/* Borrows o and the n paths; no path = standard input. Archives give all of their members. */
struct moe_pairset *moe_pairset_open(
	const struct moe_pairset_opts *o, const char *const *path, size_t n, struct moe_err *e);
void moe_pairset_close(struct moe_pairset *s);
/* Keys for the stream's header: where the pairs come from and whether labels are shuffled. */
int moe_pairset_header(const struct moe_pairset *s, struct moe_rec *out, struct moe_err *e);
/* Next record: 1, 0, -1. A set that ends without any pair is an error (MOE_DATA) that says why. */
int moe_pairset_next(struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e);
uint64_t moe_pairset_count(const struct moe_pairset *s);
/* Of these, how many have the prompt, hack and clean of one before them. */
uint64_t moe_pairset_copies(const struct moe_pairset *s);
/* The digests of all that was read so far become inputs in w's end record. */
int moe_pairset_sources(const struct moe_pairset *s, struct moe_writer *w, struct moe_err *e);

#endif
