/* metrics.c - names numbers; it computes none. */
#include "rl/metrics.h"

#include <math.h>
#include <stdio.h>

static int put(struct moe_rec *r, const char *key, double v, struct moe_err *e)
{
	return isfinite(v) ? moe_rec_set_f64(r, key, v, e) : 0;
}

static int put_for(struct moe_rec *r, const char *before, const char *name, const char *after, double v, struct moe_err *e)
{
	char key[128];

	snprintf(key, sizeof(key), "%s%s%s", before, name, after);
	return put(r, key, v, e);
}

static int routing(struct moe_rec *r, const struct moe_train_stats *st, struct moe_err *e)
{
	int rc = 0;

	for (int d = 0; d < MOE_DECISIONS; d++)
		rc |= put_for(r, "route/", moe_decision_names[d], "", st->share[d], e);
	for (int b = 0; b < MOE_BANKS; b++) {
		if (!st->bank[b])
			continue;
		rc |= put_for(r, "presence/", moe_bank_names[b], "/min_gate", st->min_gate[b], e);
		rc |= put_for(r, "presence/", moe_bank_names[b], "/zero_share", st->zero_share[b], e);
		rc |= put_for(r, "update_mass/", moe_bank_names[b], "", st->update_mass[b], e);
		rc |= put_for(r, "frozen/", moe_bank_names[b], "", st->frozen[b], e);
	}
	return rc;
}

int moe_train_metrics(struct moe_rec *r, const struct moe_rollout_step *s, const struct moe_train_stats *st, double num_tokens,
	double step_sec, double time_sec, struct moe_err *e)
{
	const struct { const char *key; double v; } flat[] = {
		{ "time", time_sec }, { "step_time", step_sec }, { "num_tokens", num_tokens },
		{ "reward", st->adv.mean }, { "reward_std", st->adv.std }, { "frac_reward_zero_std", st->adv.zero_std },
		{ "completions/mean_length", st->len_mean }, { "completions/min_length", st->len_min },
		{ "completions/max_length", st->len_max }, { "completions/clipped_ratio", st->clipped_len },
		{ "loss", st->loss }, { "kl", st->kl }, { "entropy", st->entropy }, { "clip_ratio/region_mean", st->clip_ratio },
		{ "sampling/sampling_logp_difference/mean", st->logp_diff_mean }, { "sampling/sampling_logp_difference/max", st->logp_diff_max },
		{ "grad_norm", st->grad_norm }, { "learning_rate", st->lr },
		{ "time/forward", st->forward_sec }, { "time/backward", st->backward_sec }, { "time/gemm", st->gemm_sec },
	};
	int rc;

	moe_rec_clear(r);
	rc = moe_rec_set_str(r, "t", "metrics", e) | moe_rec_set_int(r, "step", s->step, e);
	for (size_t i = 0; i < sizeof(flat) / sizeof(*flat); i++)
		rc |= put(r, flat[i].key, flat[i].v, e);
	for (int i = 0; i < s->n_rewards; i++)
		rc |= put_for(r, "rewards/", s->reward_name[i], "/mean", s->reward_sum[i] / (double)s->reward_n[i], e);
	return rc | routing(r, st, e) ? -1 : 0;
}
