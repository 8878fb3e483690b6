/* generate.h - rollouts: prompts to requests of the sampler, completions to records of a rollouts
 * stream (formats/records.md).
 *
 * The draws of a rollout are keyed by (seed, prompt id, step, sample, position) alone: arms share
 * them. A group's samples are, in order: recorded rollouts of a teacher, samples of the policy,
 * samples with one bank's gate at 0. Not thread-safe.
 */
#ifndef MOE_RL_GENERATE_H
#define MOE_RL_GENERATE_H

#include "formats/stream.h"
#include "formats/tokenizer/tokenizer.h"
#include "model/sample.h"
#include "moe/method.h"
#include "rl/teacher.h"

struct moe_gen {
	const struct moe_model *m; /* all borrowed */
	const struct moe_tokenizer *tok;
	struct moe_pool *pool;
	struct moe_writer *out;
	struct moe_sample_opts sample; /* want_... is set as needed */
	int group;                     /* rollouts of a prompt */
	int off_bank;                  /* bank of off_share, or -1 */
	double off_share;              /* share of rollouts sampled with that bank's gate at 0; with
					  the quarantine's, without its method's prefix */
	const struct moe_teacher *teacher; /* NULL = none */
	bool teacher_logp;    /* take their log-probabilities where they are at these settings; else
				 they are computed, as of an on-policy sample */
	double teacher_ratio; /* share of a group that recorded rollouts replace, where the pool has
				 some */
	/* counted */
	uint64_t n_rollouts, n_tokens, n_prompt_tokens, n_teacher, n_stopped;
	double sample_sec; /* wall time inside moe_sample */
};

struct moe_gen_prompt {
	struct moe_rec rec; /* what all its rollouts have in common. Owned */
	char *id;           /* owned */
	bool chat;          /* its text was made of messages */
	size_t user;        /* byte of the text at which what the user says begins */
	int32_t *ids;       /* [n] owned */
	size_t n;
};

/* From a prompt record; its text becomes tokens. Zero-initialise p. */
int moe_gen_prompt_set(struct moe_gen_prompt *p, const struct moe_gen *g, const struct moe_rec *rec,
	struct moe_err *e);
void moe_gen_prompt_free(struct moe_gen_prompt *p); /* accepts a zeroed struct */

/* Stop tokens: the model's own (special.h) and `more` by name.
 * g->sample.stop is set; owned by g until the program ends. MOE_USAGE for a name that is not one
 * token. */
int moe_gen_stops(struct moe_gen *g, const char *const *more, size_t n, struct moe_err *e);
/* Is there something that off_bank switches off in this arm? MOE_USAGE with the reason. */
int moe_gen_check_off(const struct moe_gen *g, const struct moe_adapter *a, struct moe_err *e);
/* Sampling options as a map for the stream's header. */
int moe_gen_describe(const struct moe_gen *g, struct moe_rec *extra, struct moe_err *e);

/* Samples n prompts under one arm and writes their rollouts; p[i] is group first_group + i of the
 * step. a NULL = the base model, arm "base". */
int moe_gen_run(struct moe_gen *g, const struct moe_adapter *a, const struct moe_gen_prompt *p,
	size_t n, size_t first_group, int64_t step, struct moe_err *e);
/* Writes the step record and flushes. */
int moe_gen_step_end(struct moe_gen *g, int64_t step, uint64_t n, struct moe_err *e);

#endif
