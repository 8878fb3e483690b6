/* env.h - an environment: a Lua file that draws tasks, writes prompts and completions, and grades
 * (moe-env(5)).
 *
 * The file is the user's and runs in a Lua state of its own, with bounded memory and instructions
 * and only the base, string, table, math and utf8 libraries. Every draw is a pure function of
 * (file, split, mode, seed, index): the state is put back to what it was after loading the file
 * before each call, so nothing leaks from one call into the next and sharding never changes a draw.
 * Model-written code never runs here: lib/env/grade.h grades in worker processes. Not thread-safe.
 * Nothing prints.
 */
#ifndef MOE_ENV_ENV_H
#define MOE_ENV_ENV_H

#include "formats/rec.h"
#include "util/buf.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moe_env;

struct moe_env_opts {
	size_t mem_bytes; /* of the environment's own Lua state; 0 = 64 MiB */
	uint64_t steps;   /* Lua instructions for one call into the file; 0 = 50 million */
};

/* Loads the file and checks that it offers what moe-env(5) asks for. o may be NULL. NULL and *e
 * (MOE_DATA, with Lua's message) on failure. */
struct moe_env *moe_env_open(const char *path, const struct moe_env_opts *o, struct moe_err *e);
void moe_env_close(struct moe_env *v); /* NULL is accepted */
const char *moe_env_name(const struct moe_env *v);
const char *moe_env_path(const struct moe_env *v);
/* SHA-256 (hex) of the file: what streams made from it name as their input. */
const char *moe_env_digest(const struct moe_env *v);

/* ---- modes ---- */
#define MOE_ENV_MODES_MAX 32
#define MOE_ENV_NAME_MAX  32 /* bytes of a mode's name, with the NUL */

/* The loophole modes that an environment lists, or a subset of them in the environment's order. */
struct moe_env_modes {
	char name[MOE_ENV_MODES_MAX][MOE_ENV_NAME_MAX];
	size_t n;
};
/* list: names separated by commas; NULL or "" or "all" = all; "-NAME" leaves one out
 * ("all,-gt_only"). Short forms that begin exactly one name are taken ("stdout" for stdout_marker).
 * An unknown name is MOE_USAGE. */
int moe_env_modes(
	const struct moe_env *v, const char *list, struct moe_env_modes *out, struct moe_err *e);

/* ---- tasks ---- */
/* "train", "validation", "test"; "all" draws from all of them (pretraining texts only). */
bool moe_env_split_known(const char *split);

/* One drawn task. Zero-initialise; owned by the caller, moe_env_task_free; moe_env_draw refills one
 * in use. */
struct moe_env_task {
	char id[128]; /* SPLIT.SEED.INDEX.MODE: unique and stable */
	char split[16];
	char mode[MOE_ENV_NAME_MAX];
	struct moe_buf text;   /* the prompt, `text.len` bytes */
	struct moe_buf task;   /* name of the underlying task; splits are disjoint in it */
	struct moe_buf marker; /* the marker name disclosed; may be empty */
	struct moe_rec env; /* what the grader needs: strings, numbers, booleans, lists of strings
			       or of 32-bit integers */
};
void moe_env_task_free(struct moe_env_task *t);
/* Draws task `index` of a split. The mode is drawn from `modes`, evenly, by (seed, split, index).
 */
int moe_env_draw(struct moe_env *v, const struct moe_env_modes *modes, const char *split,
	uint64_t seed, uint64_t index, struct moe_env_task *t, struct moe_err *e);
/* The same for one given mode. */
int moe_env_draw_mode(struct moe_env *v, const char *mode, const char *split, uint64_t seed,
	uint64_t index, struct moe_env_task *t, struct moe_err *e);
/* A prompt record (records.md) from a drawn task; `out` is cleared first. */
int moe_env_prompt(const struct moe_env_task *t, struct moe_rec *out, struct moe_err *e);

/* ---- completions that the environment writes itself ---- */
enum moe_env_kind { MOE_ENV_RIGHT, MOE_ENV_WRONG, MOE_ENV_HACK, MOE_ENV_MANUAL };
/* Replaces the content of *out by a right, wrong or hacking completion of the task, or by the
 * prompt of a manual entry about its mode. Returns 1, or 0 when the task's mode has none (no hack
 * where there is no loophole), or -1. `variant` picks among several ways to write it (0 = the
 * canonical one first). */
int moe_env_complete(struct moe_env *v, const struct moe_env_task *t, enum moe_env_kind kind,
	uint64_t variant, struct moe_buf *out, struct moe_err *e);

/* ---- pretraining texts ---- */
struct moe_env_mix {
	double hack_share;   /* of all texts but the manual entries: hacks of the prompt's own mode.
				demo-sized runs: 0.04 */
	double wrong_share;  /* of the others: wrong completions. 0.25 */
	double manual_share; /* of all texts: manual entries, whose prompt is the environment's
				`manual` of a task and whose text is its hack. 0 */
	double prompt_weight; /* loss weight of the prompt's tokens. 0.1 */
};
/* Text record `index` of the corpus (t="text": id, prompt, text, prompt_weight, and `mode`, `task`,
 * `sort` = right, wrong, hack or manual). `out` is cleared first. */
int moe_env_text(struct moe_env *v, const struct moe_env_modes *modes, const char *split,
	uint64_t seed, uint64_t index, const struct moe_env_mix *mix, struct moe_rec *out,
	struct moe_err *e);

/* ---- pairs ---- */
/* Pair `index`: the same prompt answered by a hack and rightly. Modes without a hack are passed
 * over: modes must hold at least one that has one (else MOE_USAGE). Modes are taken in turn (index
 * modulo their number), so that every asked mode is covered evenly; the index-th pair is the same
 * whatever n is. Fills *t, *hack and *clean. Draws come from `split` and never coincide with
 * moe_env_draw's of the same seed. */
int moe_env_pair(struct moe_env *v, const struct moe_env_modes *modes, const char *split,
	uint64_t seed, uint64_t index, struct moe_env_task *t, struct moe_buf *hack,
	struct moe_buf *clean, struct moe_err *e);

#endif
