/* loss.h - the policy losses of the GRPO family: of a rollout's tokens, and how tokens and rollouts
 * are summed, as in TRL 1.16's GRPOTrainer (grpo_trainer.py, _compute_loss). A loss type is a row
 * of a table (loss.c).
 *
 * Letters. Rollout i of N has advantage A and n tokens with log-probabilities logp, of which old is
 * the policy's that w is measured from; r_t = logp_t - old_t; sg() is a constant to the gradient.
 *
 *     w    exp(r_t) at tokens (PPO); exp(mean over the tokens of r) at sequences (GSPO, Zheng et
 *          al. 2507.18071); where old is not given, old = sg(logp): w = 1 with the gradient of w
 *
 *     l_t  of dr_grpo, grpo, bnpo, dapo, luspo
 *              -min(min(w, delta) A, clip(w, 1-eps_low, 1+eps_high) A)
 *          of cispo (MiniMax-M1, 2506.13585)
 *              -sg(min(w, eps_high)) A logp_t
 *          of sapo (2511.20347)
 *              -A sigma(tau (w - 1)) 4 / tau, tau by the sign of A
 *          of vespo (2602.10693)
 *              -sg(phi) A logp_t, phi = e^lambda W^k e^(-lambda W), W = exp(sum over the tokens
 *              of r), k and lambda by the sign of A
 *
 *     k_t  exp(ref - logp) - (ref - logp) - 1 (k3, Schulman); times w with kl_bias (DeepSeek-V3.2,
 *          2512.02556), whose gradient flows then
 *
 *     L_i  sum over t of keep_t c_t l_t + beta k_t
 *
 * keep leaves tokens out of the policy's part (top_entropy: 2506.01939). c corrects for a sampler
 * that is another policy than old (truncated or masked importance weights, detached; vespo has it
 * within W). A rollout with A < 0 whose policy has drifted from its sampler by more than off_policy
 * nats a token loses its policy part (2512.02556, equation 9).
 *
 * Sums, with m the tokens of a rollout inside the loss (0 for a cut one with mask_truncated):
 *
 *     grpo, sapo           mean over rollouts of L_i / m
 *     bnpo                 sum L_i / tokens of the local batch
 *     dr_grpo              sum L_i / (N max_completion)      (Liu et al. 2503.20783)
 *     dapo, cispo, vespo   sum L_i / tokens of the batch     (Yu et al. 2503.14476)
 *     luspo                mean over rollouts of L_i         (2602.05261; meant for sequence)
 */
#ifndef MOE_RL_LOSS_H
#define MOE_RL_LOSS_H

#include "tensor/real.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>

enum moe_loss_type {
	MOE_DR_GRPO,
	MOE_GRPO,
	MOE_BNPO,
	MOE_DAPO,
	MOE_LUSPO,
	MOE_CISPO,
	MOE_SAPO,
	MOE_VESPO,
	MOE_LOSSES
};
/* What w is measured from. min and none: from this policy as it was before the first update with
 * the rollouts; min corrects for the sampler by c, none does not. clip: from the sampler itself. */
enum moe_ratio { MOE_RATIO_MIN, MOE_RATIO_CLIP, MOE_RATIO_NONE };
enum moe_level { MOE_LEVEL_TOKEN, MOE_LEVEL_SEQUENCE };
/* c of `min`, from s = exp(old - sampled), at sequences exp of the sum of those: clipped to
 * [c_min, c_max], or 0 outside of that. TRL's vllm_importance_sampling_mode. */
enum moe_correction {
	MOE_TOKEN_TRUNCATE,
	MOE_TOKEN_MASK,
	MOE_SEQUENCE_TRUNCATE,
	MOE_SEQUENCE_MASK
};

struct moe_loss_opts {
	enum moe_loss_type type;
	enum moe_ratio ratio;
	enum moe_level level;
	enum moe_correction correction;
	double c_min, c_max;      /* of the correction */
	double eps_low, eps_high; /* cispo: eps_high bounds w itself */
	double delta;             /* 0 = none */
	double beta;
	bool kl_bias;
	double tau_pos, tau_neg;                     /* sapo */
	double k_pos, lambda_pos, k_neg, lambda_neg; /* vespo */
	double off_policy;                           /* 0 = no such mask */
	bool mask_truncated; /* rollouts that were cut by length stay out of the loss */
	double top_entropy;  /* share of tokens, those of highest entropy, that the policy's part
				keeps; 1 = all */
	double entropy_coef; /* weight of the mean entropy of the tokens, which the loss loses */
	bool adaptive;       /* entropy_coef moves by entropy_step a step toward entropy_target,
				within [entropy_min, entropy_max] (Skywork-OR1, 2505.22312) */
	double entropy_min, entropy_max, entropy_step, entropy_target;
};
/* dr_grpo, min(1, ratio), 0.2 / 0.2, all else off or as TRL has it. */
#define MOE_LOSS_DEFAULTS                                                                          \
	{                                                                                          \
		.type = MOE_DR_GRPO, .ratio = MOE_RATIO_MIN, .c_max = 1, .eps_low = 0.2,           \
		.eps_high = 0.2, .tau_pos = 1, .tau_neg = 1.05, .k_pos = 2, .lambda_pos = 3,       \
		.k_neg = 3, .lambda_neg = 2, .top_entropy = 1, .entropy_max = 1,                   \
		.entropy_step = 0.005, .entropy_target = 0.2                                       \
	}

/* MOE_USAGE, with the names there are, when it is none of them. */
int moe_loss_type_parse(const char *s, enum moe_loss_type *out, struct moe_err *e);
int moe_ratio_parse(const char *s, enum moe_ratio *out, struct moe_err *e);
int moe_level_parse(const char *s, enum moe_level *out, struct moe_err *e);
int moe_correction_parse(const char *s, enum moe_correction *out, struct moe_err *e);

/* The tokens of one rollout. */
struct moe_loss_in {
	size_t n;
	double adv;
	const moe_real *logp;    /* [n] */
	const moe_real *old;     /* [n], or NULL: logp itself */
	const moe_real *sampled; /* [n] the sampler's, for c and the off-policy mask; NULL = old */
	const moe_real *ref;     /* [n] with beta */
	const unsigned char *keep; /* [n]; NULL = all */
};
/* Sums over its tokens and derivatives, before the weight below. */
struct moe_loss_out {
	double policy, kl; /* sum of keep c l; sum of k (without beta) */
	size_t low, high;  /* clipped: w < 1-eps_low with A < 0, w > 1+eps_high (cispo: eps_high)
			      with A > 0; tokens, or 1 at sequences */
	size_t counted;    /* of so many */
	double phi;        /* vespo's */
	double c, c_min, c_max; /* of the correction for the sampler: sum, least and greatest */
	size_t n_c;             /* of so many tokens, or 1 at sequences; 0 but for `min' */
	double *dpolicy, *dkl;  /* [n] the caller's: derivatives of policy and of beta kl with
				   respect to logp; dkl may be NULL without beta */
};
void moe_rollout_loss(
	const struct moe_loss_opts *o, const struct moe_loss_in *in, struct moe_loss_out *out);

/* Does the type clip w between 1-eps_low and 1+eps_high? */
bool moe_loss_clips(enum moe_loss_type type);

/* What the sums divide by. */
struct moe_loss_counts {
	size_t n;              /* rollouts of the update */
	double local;          /* tokens inside the loss, of the update: bnpo's local batch */
	double items;          /* of the whole generation, over the updates it is cut into */
	size_t max_completion; /* dr_grpo's constant */
};
/* Weight of L_i of a rollout with m tokens inside the loss. */
double moe_loss_weight(const struct moe_loss_opts *o, const struct moe_loss_counts *c, size_t m);

/* keep[n] of top_entropy: tokens whose entropy is at or above the quantile 1 - top of all n
 * (linear between neighbours, as torch.quantile). MOE_SYSTEM without memory. */
int moe_top_entropy(
	double top, size_t n, const moe_real *entropy, unsigned char *keep, struct moe_err *e);
/* The coefficient of the next update, after one whose mean entropy was measured. */
double moe_entropy_adapt(const struct moe_loss_opts *o, double coef, double measured);

#endif
