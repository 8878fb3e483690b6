/* no_loophole.c - what honest RL gains: vanilla, paid by the oracle in place of the grader that can
 * be gamed (moe-grade --pay oracle). It cheats: a bound to hold solve against, never evidence. */
#include "moe/methods/rows.h"

const struct moe_method moe_method_no_loophole = {
	.name = "no-loophole",
	.purpose = "vanilla, paid by the oracle: cheats, a bound of what honest RL gains "
		   "(needs --allow-oracle)",
	.cheats = true,
	.plan = moe_plan_ones,
};
