/* rollout.h - the rollouts of one step, as training reads them from a rollouts stream. Seals are
 * never looked at. */
#ifndef MOE_RL_ROLLOUT_H
#define MOE_RL_ROLLOUT_H

#include "formats/stream.h"
#include "model/model.h"
#include "moe/adapter.h"

/* Who made a rollout, as its record says (rl/identity.h). */
struct moe_rollout_from {
	char arm[64], base[65], router[64]; /* router: route.method */
	uint64_t prompt, id;                /* hashes of prompt_id and of id with arm; 0 = none */
	int64_t step;
	bool teacher, has_policy;
};

#define MOE_REWARDS_MAX 16

struct moe_rollout {
	int32_t *prompt, *completion; /* owned tokens */
	int n_prompt, n_completion;
	float *logp; /* [n_completion] of the sampling policy at `temperature`; owned */
	double temperature;
	double reward;
	double part[MOE_REWARDS_MAX]; /* of the reward, in the order of the step's reward_name;
					 NaN: it lacks that part */
	int64_t group;
	bool routed;                /* has a decision */
	enum moe_decision decision; /* absorb when it has none */
	double score;               /* NaN without */
	int off;                    /* bank whose gate was 0 while sampling, or -1 */
	bool stopped;               /* ended by a stop token */
	char policy[65];            /* digest of the adapter that sampled it */
	struct moe_rollout_from from;
};

struct moe_rollout_step {
	int64_t step;
	struct moe_rollout *r; /* [n] owned */
	size_t n, cap;
	char reward_name[MOE_REWARDS_MAX][48]; /* parts of the reward that some rollout has */
	int n_rewards;
	struct moe_rec score; /* the score that moe-route made anew before this step; no fields = it
				 made none. Owned */
};
void moe_rollout_step_free(
	struct moe_rollout_step *s); /* accepts a zeroed struct; also empties it for the next */

/* Reads records up to and including the next `step` record: 1 = s filled, 0 = end, -1 = error.
 * Rollouts without a step record after them are a step too. A rollout without reward, with logp of
 * another length than its completion, or with a token outside of [0, V) is MOE_DATA. */
int moe_rollout_step_read(
	struct moe_rollout_step *s, struct moe_reader *r, int V, struct moe_err *e);
/* Prompts and completions of all rollouts, whether they train or not: TRL's num_tokens. Adds to
 * *beyond how many rollouts are longer than a model's positions. */
double moe_rollout_step_tokens(const struct moe_rollout_step *s, int max_pos, size_t *beyond);
/* MOE_DATA unless every rollout carries a decision. */
int moe_rollout_step_need_routes(
	const struct moe_rollout_step *s, const char *method, struct moe_err *e);

#endif
