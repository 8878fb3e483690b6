/* rollout_loop.h - a whole run of sampling: steps of prompts, arms, and fresh weights from a
 * trainer between steps. Not thread-safe. */
#ifndef MOE_RL_ROLLOUT_LOOP_H
#define MOE_RL_ROLLOUT_LOOP_H

#include "rl/follow.h"
#include "rl/generate.h"

struct moe_rollout_loop {
	struct moe_gen *g;          /* borrowed; g->out is written to */
	struct moe_reader *prompts; /* borrowed */
	struct moe_adapter
		*arm;  /* [n_arm] owned by the caller; replaced when a trainer is followed */
	size_t n_arm;  /* 0 = the base alone */
	bool any_base; /* adapters of another base are taken */
	const char *const *scale; /* [n_scale] "BANK=X": applied to every arm that is read */
	size_t n_scale;
	int64_t per_step;          /* prompts of a step; 0 = all prompts are step 0 */
	int64_t steps;             /* 0 = until the prompts end */
	bool skip_bad;             /* prompts that can not be sampled are left out and counted */
	int64_t first_step;        /* earlier ones are over: their prompts are passed by */
	int64_t teacher_until;     /* recorded rollouts only before this step; 0 = always */
	struct moe_follow *follow; /* NULL = the same weights throughout; else step s > first_step +
				      lag reads one segment first */
	int64_t lag;
	double wait_sec;             /* for a trainer to open the FIFO; 0 = for ever */
	int out_fd;                  /* a pipe whose reader must stay, or -1 */
	enum moe_labels labels;      /* highest of the weights read so far */
	uint64_t n_prompts, n_steps; /* counted */
	uint64_t n_bad;              /* prompts left out */
	struct moe_err first_bad;    /* why the first of them was */
	double done;       /* prompts, those under way counted by the share of arms that is done */
	double waited_sec; /* for weights */
	/* talk; may be NULL. arm -1: waiting for the weights of the step; -2: still nobody there
	 * after half a minute */
	void (*say)(void *ctx, const struct moe_rollout_loop *r, int64_t step, int arm);
	void *ctx;
};

/* Checks an arm against the base and applies the scales: for the arms that the run starts with. */
int moe_rollout_loop_fit(struct moe_rollout_loop *r, struct moe_err *e);
/* Goes on where a trainer's checkpoint ends, if there is such a file: the one arm becomes the
 * weights of that step, first_step its number. Before moe_rollout_loop_fit. */
int moe_rollout_loop_resume(struct moe_rollout_loop *r, const char *path, struct moe_err *e);
/* Runs to the end of the prompts. The end of the prompts is a good end whatever the trainer still
 * publishes. */
int moe_rollout_loop_run(struct moe_rollout_loop *r, struct moe_err *e);

#endif
