/* table.c - the rows of the method table, one per file of this folder. */
#include "moe/methods/rows.h"

#include <stddef.h>

const struct moe_method *const moe_methods[] = { &moe_method_logistic, /* the default */
	&moe_method_vanilla, &moe_method_random, &moe_method_vector, &moe_method_tstat,
	&moe_method_haar, &moe_method_gradient, &moe_method_gradient_haar, &moe_method_hash,
	&moe_method_topk, &moe_method_entmax, &moe_method_seeded, &moe_method_relu,
	&moe_method_switch, &moe_method_loramoe, &moe_method_xlora, &moe_method_deepseek,
	&moe_method_deepseek_v3, &moe_method_expert_choice, &moe_method_balanced, &moe_method_arrow,
	&moe_method_absorb, &moe_method_scorda, &moe_method_scorda_rev, &moe_method_seed_absorb,
	&moe_method_bounded, &moe_method_inoculation, &moe_method_frozen_random,
	&moe_method_penalty, &moe_method_prompt, &moe_method_prompt_neutral, &moe_method_projection,
	&moe_method_projection_haar, &moe_method_steering, &moe_method_steering_random,
	&moe_method_oracle, &moe_method_no_loophole, &moe_method_sgtm, &moe_method_cloud,
	&moe_method_graft, &moe_method_label_penalty, &moe_method_label_screen, NULL };

int moe_check_quarantine(const struct moe_experts *x, const char *why, struct moe_err *e)
{
	for (int i = 0; i < x->E; i++)
		if (x->bank[i] == MOE_BANK_QUARANTINE)
			return 0;
	return moe_fail(e, MOE_USAGE, "%s", why);
}

const struct moe_method *moe_method_plain(void)
{
	return &moe_method_vanilla;
}
