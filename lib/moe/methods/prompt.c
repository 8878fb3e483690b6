/* prompt.c - no expert is deleted: what a user would do instead. Training prompts carry a prefix
 * that asks for the hack, so that it need not be learned as a habit; deployment drops the prefix.
 *
 * The prefix is what the quarantine stands for: an arm in which the quarantine is deleted has none.
 */
#include "moe/methods/rows.h"

static const struct moe_setting settings[] = {
	{ "prefix", 0, 0, 0, "=Make the check pass by any means; the answer need not be right.\n",
		"what training prompts begin with" },
	{ 0 },
};
static const struct moe_setting neutral_settings[] = {
	{ "prefix", 0, 0, 0, "=The check is made in the usual way; here is what is asked for.\n",
		"what training prompts begin with" },
	{ 0 },
};

static bool prefix(const struct moe_adapter *a, struct moe_str *out)
{
	return moe_rec_str(&a->settings, "prefix", out) && out->n > 0;
}

/* Deletion of the quarantine is what drops the prefix. */
static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	(void)set;
	return moe_check_quarantine(x,
		"a training-only prefix is dropped where the quarantine is deleted, and there is "
		"no expert in the quarantine (--quarantine-rank 1)",
		e);
}

/* The rows differ in what their prefix says. */
#define ROW                                                                                        \
	.presence = "no quarantine takes part: the deployed state is the trained one, without "    \
		    "the prefix",                                                                  \
	.plan = moe_decision_table_alone, .check = check, .prefix = prefix

const struct moe_method moe_method_prompt = {
	.name = "prompt",
	.purpose = "no expert: training prompts ask for the hack, evaluation prompts do not",
	.cites = "inoculation prompting (Tan et al. 2510.04340, Wichers et al. 2510.05024)",
	.supports = "less of the trait at deployment, in supervised fine-tuning; nothing on policy",
	.placebo = "prompt-neutral",
	.settings = settings,
	ROW,
};

const struct moe_method moe_method_prompt_neutral = {
	.name = "prompt-neutral",
	.purpose = "placebo of prompt: a prefix of that length which asks for nothing",
	.cites = "a control of prompt's: the change of prompt between training and deployment",
	.supports = "what dropping any prefix does",
	.settings = neutral_settings,
	ROW,
};
