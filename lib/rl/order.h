/* order.h - an update's share of a step: which of its rollouts have to be run, and in which order,
 * so that those that follow each other share their prompt's pass. The passes are batch.c's. */
#ifndef MOE_RL_ORDER_H
#define MOE_RL_ORDER_H

#include "moe/pack.h"
#include "rl/routing.h"
#include "rl/store.h"
#include "rl/train.h"

/* Gate and mask of a bank on a rollout: its decision's, but 0 for a bank that was off while
 * sampling. */
double moe_batch_gate(const struct moe_decision_table *p, const struct moe_rollout *r, int bank);
double moe_batch_mask(const struct moe_decision_table *p, const struct moe_rollout *r, int bank);

/* One update's share of a step. */
struct moe_update {
	const struct moe_rollout_step *s;
	const size_t
		*pick;   /* [s->n] the step's rollouts in the order in which they are shared out */
	size_t from, to; /* its rollouts: pick[from] .. pick[to - 1] */
	int micro;       /* micro-batches that its loss is the mean of */
	const int *micro_of;                  /* [s->n] which of them a rollout is in */
	const struct moe_loss_counts *counts; /* [micro] */
	const double *adv;                    /* [s->n] */
	const bool *dead;                     /* [s->n] */
	struct moe_token_store *store;        /* NULL: every ratio is new, and nothing is kept */
	bool keep_old;                        /* log-probabilities that store lacks are put there */
	double share;                         /* of the update: 1, or 1 / accumulate */
};

/* Tokens of a rollout inside the loss. */
size_t moe_batch_tokens(const struct moe_loss_opts *o, const struct moe_rollout *r);
/* sum [micro] += the tokens of each micro-batch that the policy's part keeps. */
void moe_batch_kept(const struct moe_loss_opts *o, const struct moe_update *u, double *sum);

/* order[] and seq[] (room for to - from) receive the rollouts to run: by group in order of
 * appearance, then by equal gates and masks, then as they came. Left out are those without tokens
 * in the loss and, unless `everything' is wanted, those whose backward pass would give zeros alone:
 * of dead groups, with advantage 0, with all masks 0. Returns how many. */
size_t moe_order(const struct moe_trainer *t, const struct moe_update *u,
	const struct moe_routing *q, bool everything, size_t *order, struct moe_seq *seq);

#endif
