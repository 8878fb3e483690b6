/* contrast.h - paired contrasts between arms, with their intervals over prompts and training seeds.
 *
 * A contrast is A/B - C/D, each part a linear combination of rates of arms of the method ("self")
 * or of its placebo, averaged over the seeds that have all of them; empty B and D are 1, an empty C
 * is 0. Examples: the drop D_h = hack_on - hack_off; the difference in differences D_h(self) -
 * D_h(placebo); the same as shares of the trained hack rate.
 */
#ifndef MOE_STAT_CONTRAST_H
#define MOE_STAT_CONTRAST_H

#include "stat/boot.h"
#include "stat/infer.h"
#include "stat/obs.h"
#include "stat/uat.h"

enum moe_outcome { MOE_HACK, MOE_SOLVE, MOE_OUTCOMES };
enum moe_subset { MOE_SUB_ALL, MOE_SUB_PINNED, MOE_SUB_NEVER, MOE_SUBSETS };
enum {
	MOE_SERIES_KINDS = MOE_ARM_BASE + 1
}; /* on, quarantine-off, clean-off, mean of the random-offs, base */

/* What the means are made from. Filled by moe_cx_init; borrowed obs, uat and pool must outlive it.
 */
struct moe_cx {
	const struct moe_obs *obs;
	const struct moe_uat *uat;
	struct moe_arena arena; /* the arrays of the series */
	double *seed_den; /* [n_seed + 1, n_cell] weights of the cells that count for a seed; the
			     last row: of runs without seed */
	struct moe_series *
		series; /* [n_run, KINDS, SUBSETS, OUTCOMES]; num NULL where there is no such arm */
	struct moe_boot boot;
	double *scratch; /* [draws] */
	size_t dropped;  /* (seed, cell)s left out because an arm of the method or its placebo lacks
			    them */
};

int moe_cx_init(struct moe_cx *x, const struct moe_obs *o, const struct moe_uat *u, uint64_t seed,
	struct moe_pool *pool, struct moe_err *e);
void moe_cx_free(struct moe_cx *x);
size_t moe_cx_index(const struct moe_cx *x, const struct moe_obs_run *r, enum moe_arm_kind k,
	enum moe_subset s, enum moe_outcome o);
/* Weights of a run's cells [n_cell]: 1/(its prompt's counted samples), 0 where the cell does not
 * count. */
const double *moe_cx_weights(const struct moe_cx *x, const struct moe_obs_run *r);
/* The prompts that criteria 1 and 2 look at. */
enum moe_subset moe_endpoint(const struct moe_uat *u);
/* Does a prompt belong to the subset? Prompts without a loophole belong to MOE_SUB_ALL only. */
bool moe_in_subset(const struct moe_uat *u, const struct moe_obs_prompt *p, enum moe_subset s);

enum moe_who { MOE_SELF, MOE_PLACEBO };
struct moe_term {
	double coef; /* 0 ends the list */
	enum moe_who who;
	enum moe_arm_kind arm;
	enum moe_outcome outcome;
};
struct moe_contrast {
	struct moe_term a[5], b[2], c[5], d[2];
};

struct moe_estimate {
	double value;          /* mean over seeds; NaN = can not be computed from the data */
	struct moe_ci ci;      /* the interval that decides: see moe_contrast_eval */
	struct moe_ci boot, t; /* bootstrap over prompts (and seeds when >= 5); t interval over
				  seeds (2 or more) */
	double se_prompt;      /* standard deviation of the bootstrap with the seeds held */
	size_t n_prompt;       /* prompts that count in any of its seeds */
	double sd_seed;        /* standard deviation of the per-seed values */
	size_t n_seed;
	double *per_seed; /* [n_seed], in the order of seed[]; in the arena of moe_cx */
	int64_t *seed;
};

/* Value and intervals of level 1-alpha, two-sided. With one seed the deciding interval is the
 * bootstrap's over prompts, which says nothing about other seeds; with 2 to 4 seeds it is the hull
 * of that and of the t interval on the per-seed values; with 5 or more it is the hierarchical
 * bootstrap's. Where all prompts agree a bootstrap knows no spread: its interval is then widened by
 * the largest discordance that n prompts could have missed, 1 - (alpha/2)^(1/n) (Clopper-Pearson at
 * 0 of n), for each pair of arms. `method` is self, uat.placebo the placebo. */
int moe_contrast_eval(struct moe_cx *x, const char *method, const struct moe_contrast *c,
	enum moe_subset s, double alpha, struct moe_estimate *out, struct moe_err *e);

/* Standard error over prompts of a linear contrast (no B, C, D), seeds held, with prompts as the
 * unit and with the prompts' tasks as clusters. n_task = 0 and NaNs when it can not be computed or
 * a prompt names no task. */
struct moe_by_task {
	size_t n_task, n_prompt;
	double se_prompt, se_task;
};
int moe_contrast_by_task(struct moe_cx *x, const char *method, const struct moe_contrast *c,
	struct moe_by_task *out, struct moe_err *e);

#define MOE_SEEDS_TO_BOOTSTRAP 5

#endif
