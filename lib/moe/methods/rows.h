/* rows.h - the methods that table.c lists, and what rows lend each other. Only this folder includes
 * it. */
#ifndef MOE_MOE_METHODS_ROWS_H
#define MOE_MOE_METHODS_ROWS_H

#include "moe/method.h"

extern const struct moe_method moe_method_vanilla, moe_method_logistic, moe_method_random,
	moe_method_oracle, moe_method_topk, moe_method_entmax, moe_method_seeded, moe_method_relu,
	moe_method_switch, moe_method_loramoe, moe_method_xlora, moe_method_deepseek,
	moe_method_deepseek_v3, moe_method_expert_choice, moe_method_balanced, moe_method_arrow,
	moe_method_no_loophole, moe_method_vector, moe_method_tstat, moe_method_haar,
	moe_method_absorb, moe_method_scorda, moe_method_scorda_rev, moe_method_seed_absorb,
	moe_method_bounded, moe_method_inoculation, moe_method_frozen_random, moe_method_sgtm,
	moe_method_cloud, moe_method_graft, moe_method_penalty, moe_method_prompt,
	moe_method_prompt_neutral, moe_method_projection, moe_method_projection_haar,
	moe_method_steering, moe_method_gradient, moe_method_gradient_haar, moe_method_hash,
	moe_method_steering_random, moe_method_label_penalty, moe_method_label_screen;

/* Of those that cheat: hack = route, no hack = keep, label not known or not shown = absorb. The
 * setting `labelled`, where there is one, is the share that is shown. */
int moe_decide_by_label(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e);
#define MOE_SETTING_LABELLED                                                                       \
	{                                                                                          \
		"labelled", 1, 0, 1, NULL, "share of the rollouts whose label is shown"            \
	}

/* A layout without an expert in the quarantine is refused, with `why`. */
int moe_check_quarantine(const struct moe_experts *x, const char *why, struct moe_err *e);

/* Of `logistic`, for the placebo that must have the very same score. */
extern const struct moe_setting moe_logistic_settings[];
int moe_logistic_check(const double *set, const struct moe_experts *x, struct moe_err *e);
int moe_logistic_init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e);
int moe_logistic_refresh(const struct moe_engine *g, const struct moe_pairs *p, int64_t nth,
	struct moe_adapter *a, struct moe_err *e);
int moe_logistic_score(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seen *s, size_t n, const struct moe_turn *turn, struct moe_judged *j,
	struct moe_nulls *null, struct moe_err *e);
int moe_logistic_token_score(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seen *seen, size_t n, float *const *token, struct moe_err *e);

#endif
