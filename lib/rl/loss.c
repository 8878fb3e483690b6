/* loss.c - pure functions of one token; batches and models are elsewhere. */
#include "rl/loss.h"
#include "util/elementary.h"

#include <math.h>
#include <string.h>

static int parse(const char *what, const char *const *names, int n, const char *s, int *out,
	struct moe_err *e)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(names[i], s)) {
			*out = i;
			return 0;
		}
	return moe_fail(e, MOE_USAGE, "'%.40s' is not a %s", s, what);
}

int moe_loss_type_parse(const char *s, enum moe_loss_type *out, struct moe_err *e)
{
	static const char *const names[] = { "dr_grpo", "grpo", "bnpo", "dapo" };
	int i = 0;

	if (parse("loss: dr_grpo, grpo, bnpo and dapo are", names, 4, s, &i, e))
		return -1;
	*out = (enum moe_loss_type)i;
	return 0;
}

int moe_ratio_parse(const char *s, enum moe_ratio *out, struct moe_err *e)
{
	static const char *const names[] = { "min", "clip", "none" };
	int i = 0;

	if (parse("ratio: min, clip and none are", names, 3, s, &i, e))
		return -1;
	*out = (enum moe_ratio)i;
	return 0;
}

struct moe_token_loss moe_token_loss(
	const struct moe_loss_opts *o, double logp, double old, double ref, double adv)
{
	struct moe_token_loss t = { 0 };
	double w = moe_exp(logp - old); /* the ratio of the policy to the one that sampled */

	/* plain REINFORCE: the ratio is taken to be 1; d(-adv logp)/d logp = -adv */
	if (o->ratio == MOE_RATIO_NONE) {
		t.loss = t.dlogp = -adv;
		/* a weight min(1, w) that carries no gradient itself: for rollouts trained in
		 * another state than they were sampled in */
	} else if (o->ratio == MOE_RATIO_MIN) {
		t.loss = t.dlogp = -fmin(1, w) * adv;
	} else {
		double c = fmin(fmax(w, 1 - o->eps_low), 1 + o->eps_high);

		t.clipped = w < 1 - o->eps_low && adv < 0 ? -1
			: w > 1 + o->eps_high && adv > 0  ? 1
							  : 0;
		/* PPO's surrogate: the smaller of the two; where the clip binds, no gradient */
		t.loss = -fmin(w * adv, c * adv);
		t.dlogp = t.clipped ? 0 : -w * adv;
	}
	if (o->beta > 0) {
		double d = ref - logp;

		/* Schulman's k3 estimator of KL(policy | reference): e^d - d - 1 >= 0 */
		t.kl = moe_exp(d) - d - 1;
		t.loss += o->beta * t.kl;
		t.dkl = o->beta * (1 - moe_exp(d));
		t.dlogp += t.dkl;
	}
	return t;
}

double moe_loss_weight(const struct moe_loss_opts *o, size_t n_tok, size_t n, size_t all_tok,
	size_t max_completion)
{
	double rollouts = n ? (double)n : 1, tokens = all_tok ? (double)all_tok : 1;

	switch (o->type) {
	case MOE_GRPO:
		return 1 / (rollouts * (n_tok ? (double)n_tok : 1));
	case MOE_DR_GRPO:
		return 1 / (rollouts * (max_completion ? (double)max_completion : 1));
	case MOE_BNPO:
	case MOE_DAPO:
		break;
	}
	return 1 / tokens;
}
