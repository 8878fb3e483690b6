/* no_loophole.c - what honest RL gains: vanilla, paid by the oracle in place of the grader that can
 * be gamed (moe-grade --pay oracle). It cheats: a bound to hold solve against, never evidence. */
#include "moe/methods/rows.h"

const struct moe_method moe_method_no_loophole = {
	.name = "no-loophole",
	.purpose = "vanilla, paid by the oracle: cheats, a bound of what honest RL gains (needs "
		   "--allow-oracle)",
	.cites =
		"the no-loophole RL of trajectory-diffing-rl: the same steps, a grader that cannot "
		"be gamed",
	.supports = "an upper bound of what honest training gains; nothing about quarantines",
	.presence = "yes: every gate is 1",
	.cheats = true,
	.plan = moe_decision_table_ones,
};
