/* boot.h - the hierarchical paired bootstrap (Davison & Hinkley 1997, section 3.8): prompts are
 * resampled with replacement, jointly in all arms, runs and seeds (the same prompts are put to
 * each); within each drawn prompt its samples are resampled, jointly as well. Training seeds are
 * never resampled: of five values a percentile interval is a third too short (contrast.h has
 * Student's for them).
 *
 * It gives the mean of each series in each draw; any contrast is then a function of these means.
 * Draw d of prompt slot i is a pure function of (seed, d, i), so threads and order change nothing.
 */
#ifndef MOE_STAT_BOOT_H
#define MOE_STAT_BOOT_H

#include "util/err.h"
#include "util/pool.h"

#include <stddef.h>
#include <stdint.h>

/* One arm of one run: value v[n_cell] and weight w[n_cell] per cell; its mean is sum c w v / sum c
 * w, c = how often a cell was drawn. w = 1/(samples of the prompt) where the cell counts, else 0.
 * Borrowed. num = w v is kept by the caller. */
struct moe_series {
	const double *num, *den; /* w v and w, [n_cell] */
};

struct moe_boot {
	size_t n_prompt, n_cell, n_series, draws;
	const uint32_t *first_cell;      /* [n_prompt + 1] */
	const struct moe_series *series; /* [n_series] */
	uint64_t seed;
	double *mean; /* out: [draws, n_series]; owned by the caller, moe_alloc'ed by moe_boot_run
		       */
};

int moe_boot_run(struct moe_boot *b, struct moe_pool *pool, struct moe_err *e);
/* Mean of one series with every cell drawn once. */
double moe_series_mean(const struct moe_series *s, size_t n_cell);

#endif
