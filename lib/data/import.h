/* import.h - prompts and rollouts that others recorded, as records: JSON Lines, JSON arrays, gzip
 * or zstd of them, tar and zip archives, directories. Used by `moe-prompts --from` and `moe-rollout
 * --from`; import.md describes mapping and presets.
 *
 * A field mapping says which field of theirs is which key of ours (formats/fieldmap.h). Keys of a
 * prompt: id text mode task marker split env.NAME. Keys of a rollout: prompt_id prompt completion
 * prompt_ids completion_ids completion_len logp model_logp full_logp temperature top_k top_p finish
 * mode task marker split step sample arm reward rewards.NAME env.NAME, and for the seal: solved
 * hacked mechanism seal.NAME. What goes into the seal appears nowhere else, and making a seal does
 * not taint. A number that is NaN counts as missing.
 *
 * Streaming: memory is bounded by one row (max_bytes) plus 24 bytes for each prompt met. Errors
 * name file, member and line (MOE_DATA). Not thread-safe.
 */
#ifndef MOE_DATA_IMPORT_H
#define MOE_DATA_IMPORT_H

#include "formats/fieldmap.h"
#include "formats/stream.h"
#include "formats/tokenizer/chat.h"
#include "formats/tokenizer/special.h"

enum moe_import_kind { MOE_IMPORT_PROMPTS, MOE_IMPORT_ROLLOUTS };

struct moe_import_opts {
	enum moe_import_kind kind;
	const char *const *map; /* n_map texts of `--map`: KEY=PATH,... or the name of a preset */
	size_t n_map;
	const struct moe_chat *chat; /* how messages are written; NULL = ChatML */
	const char *mode;            /* of rows that have none; NULL = "" */
	const char *partition; /* JSON file {"prompt id": "mode"}; NULL = a partition.json met among
				  the members, if any */
	const char *arm;       /* of rollouts; NULL = "import" */
	const struct moe_special *special; /* ends and first token of tok's model; with tok */
	bool skip_bad;                     /* rows that can not be read are left out and counted */
	const struct moe_tokenizer *tok; /* encodes texts without ids and decodes ids without text;
					    NULL = neither: the missing key is left out */
	uint64_t per_step; /* groups in a step; 0 = all in step 0. A mapped `step` wins */
	uint64_t limit;    /* records at most; 0 = all */
	size_t max_bytes;  /* of one row; 0 = 64 MiB */
};

struct moe_import;
/* Borrows o and the n paths until closed; "-" or no path = standard input. A directory gives its
 * files (*.json, *.jsonl, *.gz, *.zst), sorted by name. */
struct moe_import *moe_import_open(
	const struct moe_import_opts *o, const char *const *path, size_t n, struct moe_err *e);
void moe_import_close(struct moe_import *im); /* NULL is accepted */
/* Next record: 1 (rec replaced), 0, -1. Of rows with the same prompt id, the first becomes a
 * prompt. For rollouts, t="step" records come where a step ends (write them, then flush). An import
 * without any row is MOE_DATA. */
int moe_import_next(struct moe_import *im, struct moe_rec *rec, struct moe_err *e);
/* Rows given out so far (without step records), and how many of them were sealed. */
uint64_t moe_import_count(const struct moe_import *im);
uint64_t moe_import_sealed(const struct moe_import *im);
/* What was left out or doubtful so far: how often, and the first of its kind. */
struct moe_import_note {
	uint64_t n;
	char first[512];
};
struct moe_import_notes {
	struct moe_import_note bad;    /* rows left out, with skip_bad */
	struct moe_import_note logp;   /* log-probabilities left out: not one for each token, not
					  finite,   or at settings that training does not assume */
	struct moe_import_note finish; /* finish reasons that are not known, taken as "length" */
	struct moe_import_note deep;   /* fields nested too deep for env */
};
const struct moe_import_notes *moe_import_noted(const struct moe_import *im);
/* The digests of all that was read so far become inputs in w's end record. */
int moe_import_sources(const struct moe_import *im, struct moe_writer *w, struct moe_err *e);

#endif
