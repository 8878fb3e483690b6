/* vanilla.c - the capacity-matched baseline: both banks always take part and always train. Nothing
 * is decided. */
#include "moe/methods/rows.h"

const struct moe_method moe_method_vanilla = {
	.name = "vanilla",
	.purpose = "every expert always takes part and trains (capacity-matched baseline)",
	.cites = "Hu et al. 2106.09685 (LoRA), both banks as one adapter of their joint rank",
	.supports = "nothing is claimed: what training alone does, and what deleting any half of "
		    "it does",
	.presence = "yes: every gate is 1",
	.plan = moe_decision_table_ones,
};
