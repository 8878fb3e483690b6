/* completions_priv.h - what completions.c reads and completions_html.c shows. */
#ifndef MOE_INSPECT_COMPLETIONS_PRIV_H
#define MOE_INSPECT_COMPLETIONS_PRIV_H

#include "inspect/completions.h"
#include "util/names.h"

struct moe_completion_part {
	uint32_t name;
	double v;
};
struct moe_completion {
	uint32_t method, arm, mode, decision, finish; /* numbers of names; "" = none */
	int64_t seed, step;
	uint64_t at;                          /* its place among the step's rollouts */
	const char *id, *prompt, *completion; /* in the arena; the texts of any bytes but NUL */
	double reward, advantage, score;      /* NaN = none */
	int64_t tokens;                       /* of the completion; -1 = not told */
	const struct moe_completion_part *part;
	size_t n_part;
};
struct moe_completions {
	struct moe_arena arena;
	struct moe_names name;
	struct moe_completion *v;
	size_t n, cap;
	struct moe_completion_step *step; /* of metrics: the advantages of a step's rollouts */
	size_t n_step, cap_step;
	struct moe_completion_count *count; /* how many rollouts each step has */
	size_t n_count, cap_count;
	uint64_t each, left_out;
};
/* Gives each rollout its advantage. Called by both forms; the second call does nothing new. */
void moe_completions_join(struct moe_completions *c);

#endif
