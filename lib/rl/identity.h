/* identity.h - whose rollouts are these? Who sampled and who routed what trains an adapter.
 *
 * Kept beside a training run: each step's rollouts are compared with the adapter that they train.
 * What can not be meant is refused (steps that repeat or run backwards, two arms in one group,
 * rollouts of another base, routes of a method that cheats); what may be meant is counted, so that
 * the program can warn with numbers and the adapter's lineage can carry them (records.md, adapter,
 * lineage.trained). No seal is looked at. Zero-initialise, then moe_identity_begin; there is
 * nothing to free. Not thread-safe.
 */
#ifndef MOE_RL_IDENTITY_H
#define MOE_RL_IDENTITY_H

#include "moe/method.h"
#include "rl/rollout.h"

#define MOE_IDENTITY_RECENT  16 /* digests of the run's last steps that are remembered */
#define MOE_IDENTITY_ROUTERS 8
#define MOE_IDENTITY_TEXT    4096

/* Who sampled a rollout, as seen from the adapter that it trains. */
enum moe_sampler {
	MOE_BY_ITSELF,  /* by this adapter as it is now: on policy */
	MOE_BY_LAST,    /* by this adapter one step ago (moe-rollout --lag 1) */
	MOE_BY_EARLIER, /* by this adapter several steps ago: is --follow missing? */
	MOE_BY_OTHER,   /* by an adapter that this run never had */
	MOE_BY_BASE,    /* by the plain base */
	MOE_BY_TEACHER, /* recorded elsewhere, and scored by this base (--teacher) */
	MOE_BY_UNKNOWN, /* the record has no `policy' */
	MOE_SAMPLERS
};
extern const char *const moe_sampler_names[MOE_SAMPLERS]; /* as keys of lineage.trained */

struct moe_identity {
	const struct moe_method *method; /* of the adapter; borrowed */
	char start[2][65]; /* digests of the adapter as given: as read, and with --plan */
	char recent[MOE_IDENTITY_RECENT][65];  /* recent[k % N]: before step k of this run */
	int64_t steps;                         /* of this run so far, resumed ones counted */
	int64_t last;                          /* the step number read last; INT64_MIN = none */
	uint64_t by[MOE_SAMPLERS];             /* rollouts */
	char router[MOE_IDENTITY_ROUTERS][64]; /* names in route.method */
	uint64_t
		routed[MOE_IDENTITY_ROUTERS]; /* rollouts by each; [last] also takes the overflow */
	int routers;
	uint64_t rollouts, unrouted;
	uint64_t mixed;  /* rollouts in groups of several prompts */
	uint64_t repeat; /* rollouts that stand in their step twice */
	bool cheated;    /* a route came from a method that opens seals */
};

/* a: as read from its file; given: its digest there, before --plan. */
void moe_identity_begin(struct moe_identity *d, const struct moe_adapter *a,
	const struct moe_method *method, const char *given);
/* Before a step is trained: refuses (MOE_DATA), counts, and gives the adapter the name of a foreign
 * router (a->decided_by). any_base: rollouts of another base are let pass; allow_oracle: routes of
 * a method that cheats. */
int moe_identity_step(struct moe_identity *d, const struct moe_rollout_step *s,
	struct moe_adapter *a, const char *base_digest, bool any_base, bool allow_oracle,
	struct moe_err *e);
/* Instead of that, for a step that a resumed run has behind it: refuses what runs backwards. */
int moe_identity_skip(struct moe_identity *d, const struct moe_rollout_step *s, struct moe_err *e);
/* After it: digest of the adapter as it is now. */
void moe_identity_trained(struct moe_identity *d, int64_t step, const char *digest);
/* lineage.trained of the adapter: the counts. */
int moe_identity_lineage(const struct moe_identity *d, struct moe_adapter *a, struct moe_err *e);

/* For a checkpoint: all of it as one line of text, and back (MOE_DATA when it is no such line). */
void moe_identity_save(const struct moe_identity *d, char text[MOE_IDENTITY_TEXT]);
int moe_identity_load(struct moe_identity *d, const char *text, struct moe_err *e);

#endif
