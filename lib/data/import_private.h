/* import_private.h - what import.c (files, groups, steps) and import_row.c (one row) share. */
#ifndef MOE_DATA_IMPORT_PRIVATE_H
#define MOE_DATA_IMPORT_PRIVATE_H

#include "data/import.h"
#include "data/members.h"
#include "formats/seal.h"

struct moe_import {
	const struct moe_import_opts *o;
	struct moe_fieldmap map;
	struct moe_members members;
	bool open; /* members.src is being read */
	struct moe_json_doc *partition;
	struct moe_buf partition_text;
	/* prompts met: hash and number of samples so far (open addressing, slot free when samples =
	 * 0) */
	struct {
		uint64_t hash, samples;
	} * prompt;
	size_t n_prompt, cap_prompt;
	/* the group and step being given out */
	uint64_t group_hash, step, next_step, groups, in_step;
	bool in_group, step_mapped, step_open, ended;
	struct moe_rec held; /* a row kept back while a step record goes first */
	bool holding;
	uint64_t count, sealed;
	struct moe_import_notes notes;
};

/* One row. */
struct import_row {
	struct moe_import *im;
	const struct moe_json *root;
	uint64_t line;
	struct moe_rec *rec;
	char prompt_id[256];
	/* set for rollouts */
	int64_t step, sample; /* -1 = not mapped */
	bool sealed;
	bool chat;    /* the prompt was messages */
	bool stopped; /* says that it ended by itself */
	/* of the completion's tokens */
	size_t n_ids, n_given; /* how many; of them as they came, before padding was cut; */
	bool made;             /*   made here from the text */
};

int import_fail(const struct import_row *r, struct moe_err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void import_note(struct moe_import_note *n, const struct import_row *r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int import_prompt(struct import_row *r, struct moe_err *e);
int import_rollout(struct import_row *r, struct moe_err *e);
/* Log-probabilities, the sampler's settings, and how it ended (import_logp.c). */
int import_finish(struct import_row *r, struct moe_err *e);
int import_logp(struct import_row *r, struct moe_err *e);
/* The rollout's env, rewards and seal (import_findings.c). */
int import_env(struct import_row *r, bool all, struct moe_err *e);
int import_rewards(struct import_row *r, struct moe_err *e);
int import_seal(struct import_row *r, struct moe_err *e);

/* Default paths of a key; NULL when the key is not known. */
const char *import_default(enum moe_import_kind kind, const char *key);
const struct moe_json *import_find(const struct import_row *r, const char *key);
/* 1 = *s is the key's text, 0 = missing, -1 = of another type. */
int import_text(const struct import_row *r, const char *key, struct moe_str *s, char buf[32],
	struct moe_err *e);

#endif
