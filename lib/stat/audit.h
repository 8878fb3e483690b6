/* audit.h - no cheating, checked after the fact: lineage, disjointness, identity, what can be made
 * anew, and the flip test.
 *
 * Give it the files of an experiment: graded evaluation rollouts, adapters (pinned, trained,
 * ablated), the pairs, recorded training runs, and an adapter trained from a recording whose seals
 * were flipped. Each check says done and held, done and failed, or not done and why; one that held
 * names the cheats that it excludes (moe-audit(7)). No seal is opened. Zero-initialise;
 * moe_audit_free accepts a zeroed struct. Not thread-safe.
 *
 * The order: load everything; then whatever makes things anew (moe_audit_arms, moe_audit_routes,
 * and the program's own regrading through moe_audit_say); then moe_audit_check.
 */
#ifndef MOE_STAT_AUDIT_H
#define MOE_STAT_AUDIT_H

#include "formats/digests.h"
#include "formats/stream.h"
#include "moe/method.h"
#include "stat/uat.h"
#include "util/names.h"

#include <nettle/sha2.h>

enum moe_check_state { MOE_CHECK_FAILED, MOE_CHECK_SKIPPED, MOE_CHECK_HELD };

struct moe_check {
	const char *group; /* "lineage", "disjoint", "made anew", "identity", "plan", "labels",
			      "flip test" */
	enum moe_check_state state;
	const char *excludes; /* the cheats that are out of the question when it held; "" = none */
	char text[400];
};

/* What one group of prompts is made of: sets of texts, tasks and markers. */
struct moe_audit_set {
	struct moe_names prompt, task, marker;
	size_t records;
};

/* What moe-train wrote down of the rollouts that trained an adapter (rl/identity.h). */
struct moe_audit_trained {
	bool known;
	int64_t rollouts, on_policy, by_earlier, by_other, by_base, by_unknown, repeated;
	const char *routes; /* "NAME N, NAME N" */
};

struct moe_audit_arm {
	const char *path, *digest, *arm, *base, *pins;
	const char *method; /* as it is reported: the router's name where there is one */
	struct moe_audit_trained trained;
	int64_t seed, step;
	struct moe_digests parent;
	struct moe_digests from; /* of the streams that the file was made from */
	enum moe_labels labels;
	bool flipped; /* came by moe_audit_flipped */
};

struct moe_audit_cell { /* an outcome: which prompt and sample, and what was written */
	uint64_t prompt, key, text;
};

struct moe_audit_policy { /* an arm of the evaluation and the digest that sampled it */
	const char *path, *arm, *method, *digest;
	int64_t seed;
	struct moe_audit_cell *cell; /* [n] owned */
	size_t n, cap;
};

/* A file among the operands. */
struct moe_audit_file {
	const char *path, *kind, *tool; /* of its last segment */
	bool run, flipped;
	int64_t seed;             /* --seed of the program that wrote it */
	uint64_t edited, unbound; /* segments whose end does not vouch for them */
	const char *uat;          /* the conditions that its header names, "" = none */
};

struct moe_audit_run {             /* a recorded training run */
	const char *path, *digest; /* of its last segment */
	struct sha256_ctx sha;     /* over all records without their seals */
	uint8_t body[SHA256_DIGEST_SIZE];
	uint64_t *seal; /* [n] hash of each rollout's seal as it is; owned */
	size_t n, cap;
	uint64_t *said; /* [n_said] hashes of prompt with completion; owned */
	size_t n_said, cap_said;
	int64_t rollouts, seed; /* seed: of the program that wrote it */
	const char *tool;       /* that program */
	uint64_t text;          /* over its completions in their order: equal = the same rollouts */
	struct moe_names router; /* names in route.method */
	int64_t routed[8];       /* rollouts by each */
};

struct moe_audit {
	struct moe_arena arena;
	struct moe_names text;
	struct moe_audit_set pairs, eval, train;
	struct moe_audit_arm *arm;
	size_t n_arm, cap_arm;
	struct moe_audit_file *file;
	size_t n_file, cap_file;
	struct { /* hashes of prompt with completion */
		uint64_t *v;
		size_t n, cap;
	} pair_text;
	const struct moe_uat
		*uat; /* conditions to hold the files against; NULL = none given. Borrowed */
	struct moe_audit_policy *policy;
	size_t n_policy, cap_policy;
	struct moe_digests pairs_digest, prompts; /* prompts: of the evaluation */
	struct moe_audit_run *run;
	size_t n_run, cap_run;
	struct moe_check *check;
	size_t n_check, cap_check;
};

void moe_audit_free(struct moe_audit *a);
/* Evaluation rollouts, adapters, pairs; other kinds are passed over. */
int moe_audit_load(struct moe_audit *a, const char *path, size_t max_mem, struct moe_err *e);
/* A recorded training run. */
int moe_audit_run(struct moe_audit *a, const char *path, size_t max_mem, struct moe_err *e);
/* An adapter trained from the flipped recording. */
int moe_audit_flipped(struct moe_audit *a, const char *path, size_t max_mem, struct moe_err *e);
/* Adds the outcome of a check. group and excludes are kept as they are. */
int moe_audit_say(struct moe_audit *a, struct moe_err *e, const char *group,
	enum moe_check_state state, const char *excludes, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* Computes the digest of every adapter's tensors anew, and makes every ablated arm anew from the
 * arm "on" that it names as its parent. */
int moe_audit_arms(struct moe_audit *a, size_t max_mem, struct moe_err *e);
/* Decides anew about every `every'-th step of each recorded run, on the base's model. */
int moe_audit_routes(struct moe_audit *a, const struct moe_engine *g, int64_t every, size_t max_mem,
	struct moe_err *e);
/* A prompt (of a record of prompts or rollouts: id and text) into a set of them, and the SHA-256 of
 * the set, whatever its order: what `prompts' of uat.conf names. */
int moe_audit_prompt(struct moe_digests *d, const struct moe_rec *r, struct moe_err *e);
int moe_audit_prompts_digest(const struct moe_digests *d, char hex[65], struct moe_err *e);
/* The adapter that names the recorded run as its input, or NULL. */
const struct moe_audit_arm *moe_audit_trained_by(
	const struct moe_audit *a, const struct moe_audit_run *r);
/* Makes the checks on what was loaded; *passed = some held beside identity, and none failed. What
 * was not done is no pass. */
int moe_audit_check(struct moe_audit *a, bool *passed, struct moe_err *e);
/* The part of it that is about identity, plan and files (audit_identity.c). */
int moe_audit_identity(struct moe_audit *a, struct moe_err *e);
/* And about what was planned (audit_plan.c). */
int moe_audit_plan(struct moe_audit *a, struct moe_err *e);
int moe_audit_text(const struct moe_audit *a, struct moe_buf *out, struct moe_err *e);

#endif
