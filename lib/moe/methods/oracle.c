/* oracle.c - routes by the sealed labels. It cheats: an upper bound on what any router could do,
 * never evidence for one. */
#include "moe/methods/rows.h"

const struct moe_method moe_method_oracle = {
	.name = "oracle",
	.purpose = "routes by the sealed labels: cheats, an upper bound (needs --allow-oracle)",
	.cites = "label-masked routing as in Gradient Routing (Cloud et al. 2410.04332) and GRAFT",
	.supports =
		"an upper bound with labels; it says nothing about what can be had without them",
	.presence = "no: as logistic",
	.cheats = true,
	.plan = moe_decision_table_deployed,
	.decide = moe_decide_by_label,
};
