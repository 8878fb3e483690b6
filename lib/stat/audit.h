/* audit.h - no cheating, checked after the fact: lineage, disjointness, and the flip test.
 *
 * Give it the files of an experiment: graded evaluation rollouts, adapters (pinned, trained,
 * ablated), the pairs, recorded training runs, and an adapter trained from a recording whose seals
 * were flipped. Each check says done and held, done and failed, or not done and why. No seal is
 * opened. Zero-initialise; moe_audit_free accepts a zeroed struct. Not thread-safe.
 */
#ifndef MOE_STAT_AUDIT_H
#define MOE_STAT_AUDIT_H

#include "formats/digests.h"
#include "formats/stream.h"
#include "util/names.h"

#include <nettle/sha2.h>

enum moe_check_state { MOE_CHECK_FAILED, MOE_CHECK_SKIPPED, MOE_CHECK_HELD };

struct moe_check {
	const char *group; /* "lineage", "disjoint", "flip test", "labels" */
	enum moe_check_state state;
	char text[400];
};

/* What one group of prompts is made of: sets of texts, tasks and markers. */
struct moe_audit_set {
	struct moe_names prompt, task, marker;
	size_t records;
};

struct moe_audit_arm {
	const char *path, *digest, *arm, *method, *base, *pins;
	int64_t seed, step;
	struct moe_digests parent;
	struct moe_digests from; /* of the streams that the file was made from */
	enum moe_labels labels;
	bool flipped; /* came by moe_audit_flipped */
};

struct moe_audit_policy { /* an arm of the evaluation and the digest that sampled it */
	const char *path, *arm, *method, *digest;
	int64_t seed;
};

struct moe_audit_run {             /* a recorded training run */
	const char *path, *digest; /* of its last segment */
	struct sha256_ctx sha;     /* over all records without their seals */
	uint8_t body[SHA256_DIGEST_SIZE];
	uint64_t *seal; /* [n] hash of each rollout's seal as it is; owned */
	size_t n, cap;
};

struct moe_audit {
	struct moe_arena arena;
	struct moe_names text;
	struct moe_audit_set pairs, eval, train;
	struct moe_audit_arm *arm;
	size_t n_arm, cap_arm;
	struct moe_audit_policy *policy;
	size_t n_policy, cap_policy;
	struct moe_digests pairs_digest;
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
/* Makes the checks; *passed = some held and none failed. What was not done is no pass. */
int moe_audit_check(struct moe_audit *a, bool *passed, struct moe_err *e);
int moe_audit_text(const struct moe_audit *a, struct moe_buf *out, struct moe_err *e);

#endif
