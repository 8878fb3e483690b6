/* sequence.h - looking again after more training seeds without being fooled by it.
 *
 * Three instruments, from the strongest assumption to the weakest:
 *   levels   group-sequential: the nominal level of each look, so that over all looks a true null
 *            is rejected with probability alpha (Lan & DeMets 1983). Needs roughly normal values.
 *   e-value  of a rank experiment within each seed (Koning & van Meer 2501.03982): valid at any
 *            time and for any distribution, where method and placebos are exchangeable. It answers
 *            whether, not how much.
 *   betting  confidence sequence for the mean of bounded values (Waudby-Smith & Ramdas 2010.09686):
 *            valid at any time and for any distribution on the range.
 * Pure functions, thread-safe. Arrays are borrowed.
 */
#ifndef MOE_STAT_SEQUENCE_H
#define MOE_STAT_SEQUENCE_H

#include "stat/infer.h"

#include <stdbool.h>

#define MOE_LOOKS_MAX 64

/* Share of alpha that may be spent when a part t of the most seeds is there, 0 <= t <= 1: the
 * Pocock-type function ln(1 + (e-1) t) of Lan & DeMets. */
double moe_spent(double t);

/* Nominal one-sided levels of the looks at n[0] < n[1] < ... < n[k-1] <= n_max seeds: a standard
 * normal statistic Z_i, with correlation sqrt(n_i/n_j) between looks, first exceeds its bound
 * z_{1-level[i]} at look i with probability alpha (moe_spent(n_i/n_max) -
 * moe_spent(n_{i-1}/n_max)). The bounds are used with Student's t (the significance-level method,
 * Jennison & Turnbull 2000, section 4.4). Recursive integration after Armitage, McPherson & Rowe
 * 1969. k <= MOE_LOOKS_MAX. */
void moe_look_levels(const size_t *n, size_t k, size_t n_max, double alpha, double *level);

/* Factor of the e-value for one seed: (1-stake) + stake (K+1) when the method is strictly best of
 * itself and its K placebos, else 1-stake. Under exchangeability its mean is at most 1. */
double moe_e_factor(double stake, size_t placebos, bool best);

/* Wealth of betting that the mean of v[n], all in [lo, hi], is above m: the mean over the stakes
 * g = 1/20, 2/20 ... 19/20 of prod_i (1 + g (v_i - m)/(m - lo)). A nonnegative martingale when the
 * mean is m, so that P(wealth ever >= 1/alpha) <= alpha. Falls with m. */
double moe_bet_wealth(const double *v, size_t n, double lo, double hi, double m);
/* All m whose wealth stays below 2/alpha in both directions (bets on the mirrored values for the
 * upper end), within [lo, hi]: covers the mean at all n with probability 1-alpha. */
struct moe_ci moe_bet_interval(const double *v, size_t n, double lo, double hi, double alpha);

#endif
