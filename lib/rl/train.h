/* train.h - one GRPO step on the experts: advantages, forward and backward passes over packed
 * groups, AdamW updates.
 *
 * A step is what one `step` record ends: a generation. As in TRL it gives one update, or several:
 * it is cut into `updates` shares of rollouts, and all of it is gone through `iterations` times; or
 * an update takes the gradients of `accumulate` steps. A share's loss is the mean of those of
 * `micro' micro-batches, which differ from it in what a quantile of entropies, a mean entropy and
 * the tokens of bnpo are over. Before it is cut a step is shuffled, so that a group's rollouts come
 * to lie in different shares; by seed and step, so that it is the same after a break. Where a
 * second update follows on the same rollouts, the log-probabilities that ratios are measured from
 * are those before the first one: kept from the pass that makes them anyway, or from a forward
 * pass.
 *
 * Rollouts that teach nothing are not run: of groups whose rewards are equal, with advantage 0,
 * with all masks 0, or kept out of the loss; unless a KL, an entropy bonus or a router's losses
 * reach them. What is left is cut into tasks as if they had never been there.
 *
 * Work is cut by tokens into tasks of a pool; each runs single-threaded and its gradient is added
 * in task order, so every number of threads gives the same bits. A group's prompt is computed once
 * per distinct state of gates and masks. An expert that no rollout of the step trains (mask or gate
 * 0 for all) keeps its parameters and optimiser state bit for bit, and so does a router that
 * nothing teaches.
 *
 * With a router: after the forward pass of some rollouts the method sees the gates and logits of
 * each (its losses seed their gradients, its mask says in hindsight what the experts learn), then
 * comes the backward pass. Pins have a pass of their own, whose masks are all 0: the router alone
 * learns from them.
 */
#ifndef MOE_RL_TRAIN_H
#define MOE_RL_TRAIN_H

#include "model/model.h"
#include "moe/method.h"
#include "nn/adamw.h"
#include "rl/advantage.h"
#include "rl/gates.h"
#include "rl/loss.h"
#include "rl/reward_sum.h"
#include "rl/rewards.h"
#include "rl/rollout.h"
#include "util/pool.h"

struct moe_train_opts {
	struct moe_adv_opts adv;
	struct moe_loss_opts loss;
	struct moe_reward_opts reward;
	int iterations, updates, accumulate; /* 0 = 1; accumulate goes with the others at 1 */
	int micro;                           /* micro-batches of a share; 0 = 1 */
	size_t max_completion; /* constant of dr_grpo; 0 = the longest completion of the first step
				*/
	double lr, beta1, beta2, eps, clip; /* clip 0 = no clipping of the gradient norm */
	double decay; /* decoupled, toward the experts as they were at moe_trainer_init: an expert
			 that is not needed goes back there */
	bool detach;  /* masks cut what flows back through an expert's output as a whole
			 (struct moe_gates), not to its parameters alone */
	bool split_moments; /* AdamW's second moment from the gradient that no mask scales: one
			       more backward pass */
	enum moe_schedule schedule;
	uint64_t warmup, total; /* updates of linear warm-up, counted from this run's first; and of
				   the whole run, where linear and cosine end at 0 */
	bool warm_from_zero; /* the warm-up's first update has rate 0, as transformers has it; else
				it is the first of `warmup' equal rises */
	bool exact;     /* forward products whose bits do not depend on the batch (model/prep.h): on
			   policy, log-probabilities equal the sampler's */
	bool recompute; /* keep only the layers' inputs for the backward pass: less memory, a third
			   more work, the same bits */
	int chunk_tok; /* tokens of one packed pass, 0 = 1024; part of the result's bits, as threads
			  are not */
};

/* What a step tells. What was not measured is NaN, never 0. Means over tokens are over trained
 * tokens (rollouts of groups whose rewards differ, or all with beta). */
struct moe_train_stats {
	struct moe_adv_stats adv;
	struct moe_reward_stats rewards;
	const double *advantage;  /* [n] of the step's rollouts, until the next step; borrowed */
	double loss, kl, entropy; /* loss: mean over the step's updates */
	double policy_loss, entropy_coef; /* with an entropy bonus; else NaN */
	double clip_low,
		clip_high; /* shares; at sequences of rollouts. NaN for a type without clip */
	double clip_low_min, clip_high_max; /* of the rollouts' own shares */
	double cispo_clip, phi;             /* cispo's share at its bound; vespo's mean weight */
	double c_mean, c_min, c_max;        /* the correction for the sampler, where there is one */
	size_t n_c;                         /* tokens or rollouts that it is over */
	double kept_entropy;                /* of the tokens that top_entropy keeps */
	size_t n_kept, n_train, n_counted;  /* what these are over: tokens, and tokens or
					       rollouts; of all its updates */
	int updates;                        /* made in this step */
	double logp_diff_mean, logp_diff_max; /* |training - sampling| log-probability */
	double ratio_mean, ratio_std, ratio_min, ratio_max; /* exp(training - sampling), raw */
	double grad_norm, lr;
	double len_mean, len_min, len_max,
		clipped_len;                  /* completion lengths; share cut by length */
	double term_mean, term_min, term_max; /* of completions that ended by a stop token */
	double share[MOE_DECISIONS];   /* of rollouts; what carries no decision is absorbed */
	struct moe_gate_stats gates;   /* over completion tokens of rollouts not routed: forward
					  presence. Without a router in the pass of all rollouts,
					  else of those that trained */
	struct moe_gate_tally cells;   /* what these means are of, with a router */
	double update_mass[MOE_BANKS]; /* share of the gradient's norm, before clipping */
	double expert_mass[MOE_EXPERTS_MAX];
	bool bank[MOE_BANKS], frozen[MOE_BANKS]; /* frozen: no expert of it trained */
	bool expert_frozen[MOE_EXPERTS_MAX], router_frozen;
	double router_norm;           /* of the router's gradient, before clipping */
	double router_loss, pin_loss; /* balance and z; of the pins */
	size_t n_pin;                 /* pairs of the step's pin pass */
	size_t n_tok, n_run; /* tokens of completions; tokens run through the model incl. prompts */
	bool updated;        /* false: all rewards of every group equal, nothing to learn */
	bool any_decision;
	double forward_sec, backward_sec, gemm_sec;
};

struct moe_trainer {
	const struct moe_model *m;       /* borrowed */
	struct moe_adapter *a;           /* borrowed, trained in place */
	struct moe_pool *pool;           /* borrowed */
	const struct moe_method *method; /* the adapter's row, or NULL: it is not known */
	const struct moe_pairs *pins;    /* for the pin pass of each step; NULL = none. Borrowed,
					    set after moe_trainer_init */
	struct moe_train_opts o;
	struct moe_adamw opt; /* owners: the experts, then the router if there is one */
	moe_real *grad;       /* [n_param] */
	double *adv;          /* [n] advantages of the last step's rollouts */
	double *load;     /* [n_site, n_routed] sums of the gates of the update that is gathered,
			     then [n_site, keep] of what the router kept; once it is made, the
			     means that after_step saw */
	double load_rows; /* rows that these are over */
	struct moe_gate_tally cells; /* and gates of its rollouts that were not routed */
	moe_real *second;     /* [n_param] the same without masks; NULL unless moments are split */
	moe_real *start;      /* [n_param] what the decay pulls to; NULL without decay */
	struct moe_rec score; /* as the router last made it anew, if it does: it goes on with that
				 after a stop. Owned */
	struct moe_past past; /* scores by which the rollouts so far were routed: the router goes on
				 from them after a break (checkpoint.h) */
	uint64_t n_update;    /* updates of this run so far: where the schedule stands */
	int pending;          /* steps whose gradient waits for its update */
	bool waiting;         /* and one of them had something to learn */
	double entropy_coef, entropy_last; /* of the next update; the last that was measured */
	double entropy_sum, entropy_n;     /* of the update that is gathered, and its tokens */
	moe_real **part, **part2;          /* [threads] -> [n_param]; part2 of second, or NULL */
	struct moe_acts *acts;             /* [threads] */
};

int moe_trainer_init(struct moe_trainer *t, const struct moe_model *m, struct moe_adapter *a,
	struct moe_pool *pool, const struct moe_train_opts *o, struct moe_err *e);
void moe_trainer_free(struct moe_trainer *t); /* accepts a zeroed struct */
/* MOE_NUMERIC when a log-probability, the gradient or a parameter stops being finite; the adapter
 * is then unusable. */
int moe_train_step(struct moe_trainer *t, const struct moe_rollout_step *s,
	struct moe_train_stats *st, struct moe_err *e);
/* After the last step: the update of those that still wait for more to accumulate. */
int moe_train_flush(struct moe_trainer *t, struct moe_err *e);

/* The loss of a whole step and its gradient with respect to the experts, before clipping (t->grad),
 * without an update: for tests. */
int moe_train_gradient(struct moe_trainer *t, const struct moe_rollout_step *s,
	struct moe_train_stats *st, struct moe_err *e);

#endif
