/* rows.h - the methods that table.c lists, and what rows lend each other. Only this folder includes
 * it. */
#ifndef MOE_MOE_METHODS_ROWS_H
#define MOE_MOE_METHODS_ROWS_H

#include "moe/method.h"

extern const struct moe_method moe_method_vanilla, moe_method_logistic, moe_method_random,
	moe_method_oracle, moe_method_topk, moe_method_entmax, moe_method_seeded,
	moe_method_no_loophole, moe_method_vector, moe_method_tstat, moe_method_haar;

/* Of `logistic`, for the placebo that must have the very same score. */
extern const struct moe_setting moe_logistic_settings[];
int moe_logistic_check(const double *set, const struct moe_experts *x, struct moe_err *e);
int moe_logistic_init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e);
int moe_logistic_score(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seen *s, size_t n, struct moe_judged *j, struct moe_nulls *null,
	struct moe_err *e);
int moe_logistic_token_score(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seen *seen, size_t n, float *const *token, struct moe_err *e);

#endif
