/* vanilla.c - the capacity-matched baseline: both banks always take part and always train. Nothing
 * is decided. */
#include "moe/methods/rows.h"

const struct moe_method moe_method_vanilla = {
	.name = "vanilla",
	.purpose = "every expert always takes part and trains (capacity-matched baseline)",
	.plan = moe_plan_ones,
};
