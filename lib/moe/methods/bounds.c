/* bounds.c - what others do with labels: SGTM, GRAFT, and the two that need no expert, a penalty on
 * the reward and screening. All of them cheat: bounds to hold a method against, never evidence.
 *
 * A rollout whose label is known to be a hack is routed, to be none is kept, and all others are
 * absorbed. What the three decisions mean is in the plan, and in what a routed rollout is worth. */
#include "moe/methods/rows.h"

#include "util/rng.h"

int moe_decide_by_label(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(turn->seed, "labelled");
	double share = moe_method_setting(a, "labelled", 1);

	(void)e;
	for (size_t i = 0; i < n; i++) {
		bool known = s[i].label >= 0 &&
			(share >= 1 || moe_rng_uniform(key, (uint64_t)turn->step, i) < share);

		j[i].decision = !known ? MOE_ABSORB : s[i].label ? MOE_ROUTE : MOE_KEEP;
	}
	return 0;
}

/* What the rows have in common. */
#define BOUND .cheats = true, .decide = moe_decide_by_label

/* ---- SGTM ---- */

enum { SGTM_RETAIN = 1 };
static const struct moe_setting sgtm_settings[] = {
	MOE_SETTING_LABELLED,
	[SGTM_RETAIN] = { "retain", 0, 0, 0, "zeroed|present",
		"the quarantine in the forward pass of rollouts labelled as no hack" },
	{ 0 },
};

/* Forget data: all in the forward pass, the gradient of what is retained is 0, that of the joint
 * parameters (bank shared) is not. Retain data: the forget parameters at 0. Unlabelled: both. */
static void sgtm_plan(struct moe_decision_table *p)
{
	moe_decision_table_deployed(p);
	p->mask[MOE_ROUTE][MOE_BANK_SHARED] = 1;
}

static void sgtm_tune(const double *set, struct moe_decision_table *p)
{
	p->gate[MOE_KEEP][MOE_BANK_QUARANTINE] = set[SGTM_RETAIN];
}

const struct moe_method moe_method_sgtm = {
	.name = "sgtm",
	.purpose =
		"gradients masked by label, parameter by parameter: cheats (needs --allow-oracle)",
	.cites = "SGTM (Shilov et al. 2512.05648), here on rollouts instead of pretraining data",
	.supports = "with labels in pretraining: leakage of .005 to .02 for up to 40 % unlabelled",
	.presence = "retain=zeroed: on all but what is labelled as no hack; retain=present: yes",
	.settings = sgtm_settings,
	.plan = sgtm_plan,
	.tune = sgtm_tune,
	BOUND,
};

/* ---- GRAFT ---- */

enum { GRAFT_LAMBDA = 1, GRAFT_KAPPA, GRAFT_GOOD };
static const struct moe_setting graft_settings[] = {
	MOE_SETTING_LABELLED,
	[GRAFT_LAMBDA] = { "lambda", 1, 0, 1, NULL, "a hack teaches the clean bank 1 - lambda" },
	[GRAFT_KAPPA] = { "kappa", 1, 0, 100, NULL, "and the quarantine 1 + lambda (kappa - 1)" },
	[GRAFT_GOOD] = { "good", 0, 0, 0, "both|clean",
		"what others teach: both banks (classic) or the clean one (exclusive)" },
	{ 0 },
};

static void graft_tune(const double *set, struct moe_decision_table *p)
{
	double lambda = set[GRAFT_LAMBDA], kappa = set[GRAFT_KAPPA];

	p->mask[MOE_ROUTE][MOE_BANK_CLEAN] = 1 - lambda;
	p->mask[MOE_ROUTE][MOE_BANK_QUARANTINE] = 1 + lambda * (kappa - 1);
	p->mask[MOE_KEEP][MOE_BANK_QUARANTINE] = set[GRAFT_GOOD] > 0 ? 0 : 1;
}

const struct moe_method moe_method_graft = {
	.name = "graft",
	.purpose = "masks 1-lambda and 1+lambda(kappa-1) on labelled hacks: cheats (needs "
		   "--allow-oracle)",
	.cites = "GRAFT (shawnghu/small-rl, 2026-07): routed GRPO with a monitor's labels",
	.supports =
		"with labels: 0.4 +- 0.7 % hack and 17.6 points of solve over the base, 3 seeds",
	.presence = "yes: every gate is 1",
	.settings = graft_settings,
	.plan = moe_decision_table_ones,
	.tune = graft_tune,
	BOUND,
};

/* ---- no expert at all ---- */

enum { PENALTY_SIZE = 1 };
static const struct moe_setting penalty_settings[] = {
	MOE_SETTING_LABELLED,
	[PENALTY_SIZE] = { "size", 3, 0, 1e6, NULL, "what a labelled hack's reward loses" },
	{ 0 },
};

/* r' = r - size [hack] */
static double penalised(
	const struct moe_adapter *a, double reward, double score, enum moe_decision d)
{
	(void)score;
	return d == MOE_ROUTE ? reward - moe_method_setting(a, "size", 0) : reward;
}

const struct moe_method moe_method_label_penalty = {
	.name = "label-penalty",
	.purpose = "a labelled hack loses reward: cheats (needs --allow-oracle)",
	.cites = "the reward penalty that GRAFT (shawnghu/small-rl) compares with",
	.supports = "what a monitor with labels reaches without any expert",
	.presence = "yes: every gate is 1",
	.settings = penalty_settings,
	.plan = moe_decision_table_ones,
	.worth = penalised,
	BOUND,
};

static const struct moe_setting screen_settings[] = { MOE_SETTING_LABELLED, { 0 } };

/* What is labelled as a hack teaches nobody. */
static void screen_plan(struct moe_decision_table *p)
{
	moe_decision_table_ones(p);
	for (int b = 0; b < MOE_BANKS; b++)
		p->mask[MOE_ROUTE][b] = 0;
}

const struct moe_method moe_method_label_screen = {
	.name = "label-screen",
	.purpose = "labelled hacks are left out of training: cheats (needs --allow-oracle)",
	.cites = "the screening that GRAFT (shawnghu/small-rl) compares with; data filtering of "
		 "SGTM",
	.supports =
		"what filtering by labels reaches without any expert; a group's kept rollouts are "
		"compared among themselves (moe-train --baseline split)",
	.presence = "yes: every gate is 1",
	.settings = screen_settings,
	.plan = screen_plan,
	BOUND,
};
