/* oracle.c - routes by the sealed labels. It cheats: an upper bound on what any router could do,
 * never evidence for one. */
#include "moe/methods/rows.h"

static int decide(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e)
{
	(void)a;
	(void)turn;
	(void)e;
	for (size_t i = 0; i < n; i++)
		j[i].decision = s[i].label < 0 ? MOE_ABSORB : s[i].label ? MOE_ROUTE : MOE_KEEP;
	return 0;
}

const struct moe_method moe_method_oracle = {
	.name = "oracle",
	.purpose = "routes by the sealed labels: cheats, an upper bound (needs --allow-oracle)",
	.cites = "label-masked routing as in Gradient Routing (Cloud et al. 2410.04332) and GRAFT",
	.supports =
		"an upper bound with labels; it says nothing about what can be had without them",
	.presence = "no: as logistic",
	.cheats = true,
	.plan = moe_decision_table_deployed,
	.decide = decide,
};
