/* random.c - the placebo of `logistic`: the same fitted score and the same shares, given to
 * rollouts by chance.
 *
 * Within each step the decisions of the three-way rule are permuted among the rollouts, so every
 * step keeps, absorbs and routes exactly as many as the method that it imitates, without knowing
 * which. */
#include "moe/methods/rows.h"

#include "moe/heldout.h"

#include "util/mem.h"
#include "util/rng.h"

#include <stdlib.h>

static int decide(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e)
{
	uint32_t *perm = moe_alloc(n, sizeof(*perm), e);
	enum moe_decision *old = moe_alloc(n, sizeof(*old), e);
	int rc = perm && old ? moe_decide_three_way(a, s, n, turn, j, e) : -1;

	if (rc == 0) {
		/* placebos of one seed that have names differ in what they permute */
		moe_rng_permute(moe_rng_key(turn->seed, a->name[0] ? a->name : "placebo"),
			(uint64_t)turn->step, n, perm);
		for (size_t i = 0; i < n; i++)
			old[i] = j[i].decision;
		for (size_t i = 0; i < n; i++)
			j[i].decision = old[perm[i]];
	}
	free(perm);
	free(old);
	return rc;
}

const struct moe_method moe_method_random = {
	.name = "random",
	.purpose = "placebo of logistic: the same shares, routed by chance",
	.cites = "the placebo direction of vGROUT's logs, which removed all hacking too: chance at "
		 "the method's own shares",
	.supports = "what routing anything into the quarantine does, whatever is routed",
	.presence = "no: as logistic",
	.needs_pairs = true,
	.settings = moe_logistic_settings,
	.plan = moe_decision_table_deployed,
	.check = moe_logistic_check,
	.init = moe_logistic_init,
	.refresh = moe_logistic_refresh,
	.report = moe_held_report,
	.score = moe_logistic_score,
	.token_score = moe_logistic_token_score,
	.decide = decide,
};
