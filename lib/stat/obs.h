/* obs.h - outcomes: what each run (method, training seed) did on each prompt under each ablation
 * arm.
 *
 * Fill with moe_obs_add, then moe_obs_finish lays the outcomes out densely over cells = (prompt,
 * sample), prompts in byte order of their id, so that nothing later depends on the order of the
 * input. Arms are paired cell by cell: sampling uses common random numbers. Strings are owned by
 * the arena inside. Zero-initialise; moe_obs_free accepts a zeroed struct.
 */
#ifndef MOE_STAT_OBS_H
#define MOE_STAT_OBS_H

#include "util/names.h"

#include <stdbool.h>
#include <stdint.h>

enum moe_arm_kind {
	MOE_ARM_ON,
	MOE_ARM_QOFF,
	MOE_ARM_COFF,
	MOE_ARM_RANDOM,
	MOE_ARM_BASE,
	MOE_ARM_MATCHED, /* a series, never an arm's own kind: the random ablations that left solve
			    whole */
	MOE_ARM_SCALE,   /* the quarantine's */
	MOE_ARM_CSCALE,  /* the clean bank's */
	MOE_ARM_DAMAGE,  /* random ablations that are as far from on as quarantine-off is */
	MOE_ARM_OTHER
};

enum { MOE_OBS_SOLVED = 1, MOE_OBS_HACKED = 2, MOE_OBS_PRESENT = 4 };

struct moe_obs_prompt {
	const char *id, *mode, *task, *marker; /* "" when unknown */
};

struct moe_obs_cell {
	uint32_t prompt, sample;
	uint8_t bits;
};

struct moe_obs_arm {
	const char *name;
	enum moe_arm_kind kind;
	double scale;             /* of scale:BANK=S */
	struct moe_obs_cell *row; /* as they came [n_row]; released by moe_obs_finish */
	size_t n_row, cap_row;
	uint8_t *bits;      /* [n_cell] MOE_OBS_* after moe_obs_finish; owned */
	const char *policy; /* digest of the adapter that sampled the arm ("" = base), the same in
			       all its rows */
};

struct moe_obs_run {
	const char *method; /* "" when the records say none */
	int64_t seed;       /* training seed; -1 when the records say none */
	bool oracle;        /* an input of these records was tainted by oracle labels */
	struct moe_obs_arm *arm;
	size_t n_arm, cap_arm;
};

struct moe_obs {
	struct moe_arena arena;
	struct moe_names id; /* prompt ids, numbered as in prompt[] until moe_obs_finish sorts */
	struct moe_obs_prompt *prompt;
	size_t n_prompt, cap_prompt;
	struct moe_obs_run *run; /* sorted by method, then seed, after moe_obs_finish */
	size_t n_run, cap_run;
	/* after moe_obs_finish: */
	size_t n_cell;
	uint32_t *cell_prompt; /* [n_cell] prompt of a cell, ascending */
	uint32_t *first_cell;  /* [n_prompt + 1] */
	const char **method;   /* [n_method] distinct non-empty methods, byte order */
	size_t n_method;
	int64_t *seed; /* [n_seed] distinct training seeds of runs that have a method, ascending */
	size_t n_seed;
};

/* One graded rollout. Strings are borrowed for the call. */
struct moe_obs_row {
	const char *prompt_id, *mode, *task, *marker, *arm, *method, *policy;
	int64_t seed, sample;
	bool solved, hacked, oracle;
};

/* *run (NULL allowed) = index of the row's run in o->run, good until moe_obs_finish. */
int moe_obs_add(struct moe_obs *o, const struct moe_obs_row *r, size_t *run, struct moe_err *e);
/* Fails (MOE_DATA) when an arm has the same prompt and sample twice, or when two seeds of a method
 * are one and the same adapter. */
int moe_obs_finish(struct moe_obs *o, struct moe_err *e);
void moe_obs_free(struct moe_obs *o);

/* Run of a method and seed, arm of a kind (the first) in a run; NULL when there is none. */
const struct moe_obs_run *moe_obs_find_run(
	const struct moe_obs *o, const char *method, int64_t seed);
const struct moe_obs_arm *moe_obs_find_arm(const struct moe_obs_run *r, enum moe_arm_kind kind);
/* The base model's outcomes to compare a run with: its own base arm, else one of the same seed,
 * else any. */
const struct moe_obs_arm *moe_obs_base(const struct moe_obs *o, const struct moe_obs_run *r);
enum moe_arm_kind moe_arm_kind(const char *name, double *scale);

#endif
