/* gates.h - what the gates of a step really were: counted per expert and bank over the rows of each
 * rollout, and summed. It changes nothing that it reads.
 *
 * A cell is one site at one row that predicts a completion token (without a router in the pass: one
 * cell a row, its gate is the one that all layers share). Counting is per rollout, summing in the
 * order of rollouts, so that neither depends on how a step was packed or on threads.
 */
#ifndef MOE_RL_GATES_H
#define MOE_RL_GATES_H

#include "model/sites.h"

/* Of one rollout, or the sum of several. E counts all experts. */
struct moe_gate_tally {
	double cells;
	double min[MOE_EXPERTS_MAX], zero[MOE_EXPERTS_MAX], sum[MOE_EXPERTS_MAX]; /* of the gate */
	double logit2[MOE_EXPERTS_MAX]; /* sum of squares of the router's logits */
	double bank_min[MOE_BANKS];     /* smallest, over cells, of the bank's largest gate */
	double bank_zero[MOE_BANKS];    /* cells where the whole bank is at exactly 0 */
	double bank_support[MOE_BANKS]; /* experts of the bank that are not at 0, summed */
	double bank_entropy[MOE_BANKS]; /* nats, of the bank's gates over their sum, summed */
	double support, entropy;        /* the same over all routed experts */
	bool trained[MOE_EXPERTS_MAX];  /* some row of it, prompt rows included, had gate and mask
					   other than 0 */
};

/* What a step tells about gates. NaN where there was nothing to count. */
struct moe_gate_stats {
	int E;     /* 0 = nothing was counted */
	bool pass; /* a router was in the pass or decided per rollout */
	double min[MOE_EXPERTS_MAX], zero[MOE_EXPERTS_MAX], mean[MOE_EXPERTS_MAX],
		logit[MOE_EXPERTS_MAX]; /* root mean square */
	double bank_min[MOE_BANKS], bank_zero[MOE_BANKS], bank_mean[MOE_BANKS],
		bank_support[MOE_BANKS], bank_entropy[MOE_BANKS], bank_logit[MOE_BANKS];
	double support, entropy;
};

/* Gates gate [S, T, E] and logits logit [S, T, n_routed] (or NULL) at rows row [n]. */
void moe_gate_tally_rows(struct moe_gate_tally *y, const struct moe_experts *x, int S, int T,
	const moe_real *gate, const moe_real *logit, const int32_t *row, int n);
/* Which experts rows [from, from+n) train. gate [S, T, E], mask [T, E]. */
void moe_gate_tally_trained(struct moe_gate_tally *y, const struct moe_experts *x, int S, int T,
	const moe_real *gate, const moe_real *mask, int from, int n);
/* to += the tallies [n] with use[i]; `trained' apart. to begins as zeros. */
void moe_gate_tally_add(struct moe_gate_tally *to, const struct moe_experts *x,
	const struct moe_gate_tally *y, size_t n, const bool *use);
/* A sum to means. */
void moe_gate_stats_of(
	struct moe_gate_stats *st, const struct moe_experts *x, const struct moe_gate_tally *all);

#endif
