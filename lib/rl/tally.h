/* tally.h - what is measured of the tokens that train, for the metrics of a step. */
#ifndef MOE_RL_TALLY_H
#define MOE_RL_TALLY_H

#include "rl/loss.h"
#include "tensor/real.h"

#include <stddef.h>
#include <stdint.h>

/* Sums over the tokens of one rollout; kept apart so that they are added in order whatever thread
 * or rank made them. */
struct moe_tally {
	double loss, kl, entropy, kept_entropy, diff, diff_max, router;
	double ratio, ratio2, ratio_min, ratio_max; /* of exp(training - sampling), raw */
	size_t low, high, counted, kept, n;
	double phi, c, c_min, c_max; /* of struct moe_loss_out */
	double low_min, high_max; /* of the rollouts' shares of clipped tokens; by moe_tally_sum */
	size_t n_c, rollouts;
	size_t n_decided; /* rows at which a router decided */
};

/* Entropies, ratios and distances to the sampler of a rollout's tokens, entropy [in->n]. */
void moe_tally_measure(struct moe_tally *y, const struct moe_loss_in *in, const moe_real *entropy);
/* What its loss tells of it. */
void moe_tally_loss(struct moe_tally *y, const struct moe_loss_out *out);
/* All n into *all. */
void moe_tally_sum(const struct moe_tally *y, size_t n, struct moe_tally *all);
/* sum [width] += rows from + row[i] of v [.., width]. */
void moe_tally_rows(
	const moe_real *v, size_t width, size_t from, const int32_t *row, int n, double *sum);
/* to [cells] += sum over rollouts i of sum[i, cells], or of weight[i] per[i, cells] (per not NULL).
 */
void moe_tally_add(size_t n, size_t cells, const double *sum, const moe_real *per,
	const double *weight, double *to);

struct moe_train_stats;
struct moe_update;
/* A share's sum to its clip ratios, phi and corrections. */
void moe_tally_clips(const struct moe_tally *all, const struct moe_loss_opts *o,
	const struct moe_update *u, struct moe_train_stats *st);

#endif
