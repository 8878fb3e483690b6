/* loss.h - the policy loss of one token and how tokens are summed, as in TRL's GRPOTrainer
 * (grpo_trainer.py).
 *
 * With l = logp - logp_old, w = exp(l), advantage A, the token's loss is
 *     none  -A w0, w0 = 1 with the gradient of w    (TRL when every batch is used once: logp_old is
 * the detached logp) clip  -min(w A, clip(w, 1-eps_low, 1+eps_high) A) min   -min(1, w) A, the
 * weight detached        (truncated importance weight toward the sampling policy) plus beta *
 * (exp(ref - logp) - (ref - logp) - 1) when beta > 0 (k3). Reductions, with m completion tokens of
 * rollout i of N: grpo     mean over rollouts of the mean over tokens bnpo     sum / all tokens of
 * the batch dr_grpo  sum / (N * max_completion_length) dapo     sum / all tokens of the global
 * batch (as bnpo, one process holding the whole batch)
 */
#ifndef MOE_RL_LOSS_H
#define MOE_RL_LOSS_H

#include "util/err.h"

#include <stddef.h>

enum moe_loss_type { MOE_DR_GRPO, MOE_GRPO, MOE_BNPO, MOE_DAPO };
enum moe_ratio { MOE_RATIO_MIN, MOE_RATIO_CLIP, MOE_RATIO_NONE };

struct moe_loss_opts {
	enum moe_loss_type type;
	enum moe_ratio ratio;
	double eps_low, eps_high;
	double beta;
};

/* MOE_USAGE when the name is none of the above. */
int moe_loss_type_parse(const char *s, enum moe_loss_type *out, struct moe_err *e);
int moe_ratio_parse(const char *s, enum moe_ratio *out, struct moe_err *e);

struct moe_token_loss {
	double loss, dlogp; /* value, and its derivative with respect to logp */
	double dkl;         /* the share of dlogp that comes from beta */
	double kl;          /* k3, 0 without beta */
	int clipped;        /* clip: -1 below with A < 0, +1 above with A > 0, else 0 */
};
/* ref is used when beta > 0. */
struct moe_token_loss moe_token_loss(
	const struct moe_loss_opts *o, double logp, double old, double ref, double adv);
/* Weight of each token of a rollout with n_tok tokens in a batch of n rollouts and all_tok tokens.
 */
double moe_loss_weight(const struct moe_loss_opts *o, size_t n_tok, size_t n, size_t all_tok,
	size_t max_completion);

#endif
