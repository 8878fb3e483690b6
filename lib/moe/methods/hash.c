/* hash.c - a placebo: keep, absorb or route by a hash of the prompt and the completion. Equal
 * rollouts get equal decisions throughout a run, as under a score, and nothing is known of them. */
#include "moe/methods/rows.h"

#include "util/rng.h"

enum { SET_KEEP, SET_ROUTE };
static const struct moe_setting settings[] = {
	[SET_KEEP] = { "keep", 0.4, 0, 1, NULL, "share of rollouts that are kept" },
	[SET_ROUTE] = { "route", 0.4, 0, 1, NULL, "share that is routed" },
	{ 0 },
};

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	(void)x;
	return set[SET_KEEP] + set[SET_ROUTE] > 1
		? moe_fail(e, MOE_USAGE, "keep=%g and route=%g are together more than 1",
			  set[SET_KEEP], set[SET_ROUTE])
		: 0;
}

static int decide(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(turn->seed, "hash");
	double keep = moe_method_setting(a, "keep", 0), route = moe_method_setting(a, "route", 0);

	(void)e;
	for (size_t i = 0; i < n; i++) {
		/* u in [0, 1), by the tokens alone */
		double u = moe_rng_uniform(key,
			moe_hash64(s[i].prompt, sizeof(int32_t) * (size_t)s[i].n_prompt),
			moe_hash64(s[i].completion, sizeof(int32_t) * (size_t)s[i].n_completion));

		j[i].decision = u < keep ? MOE_KEEP : u >= 1 - route ? MOE_ROUTE : MOE_ABSORB;
	}
	return 0;
}

const struct moe_method moe_method_hash = {
	.name = "hash",
	.purpose = "placebo: the decision is a hash of the rollout's tokens",
	.cites = "hash layers (Roller et al. 2106.04426), per rollout",
	.supports = "what a consistent decision that knows nothing does",
	.presence = "no: as logistic",
	.settings = settings,
	.plan = moe_decision_table_deployed,
	.check = check,
	.decide = decide,
};
