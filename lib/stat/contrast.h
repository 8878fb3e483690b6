/* contrast.h - paired contrasts between arms, with their intervals over prompts and training seeds.
 *
 * A contrast is A/B - C/D, each part a linear combination of rates of arms of the method ("self"),
 * of one of its placebos, of the skyline or of the vanilla twin, averaged over the seeds that have
 * all of them; empty B and D are 1, an empty C is 0. Examples: the drop D_h = hack_on - hack_off;
 * the difference in differences D_h(self) - D_h(placebo); the same as shares of the trained hack
 * rate.
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
	MOE_SERIES_KINDS = MOE_ARM_MATCHED + 1
}; /* on, quarantine-off, clean-off, mean of the random-offs, base, mean of the matched randoms */

/* The largest share of a seed's outcomes that one arm of the method or its placebos lacks. */
struct moe_missing {
	double share;
	const char *method, *arm;
};

/* What the means are made from. Filled by moe_cx_init; borrowed obs, uat and pool must outlive it.
 */
struct moe_cx {
	const struct moe_obs *obs;
	const struct moe_uat *uat;
	struct moe_arena arena; /* the arrays of the series */
	double *seed_den; /* [n_seed + 1, n_cell] weights of the cells that count for a seed; the
			     last row: of runs without seed */
	struct moe_missing *missing; /* [n_seed + 1], as the rows of seed_den */
	struct moe_series *
		series; /* [n_run, KINDS, SUBSETS, OUTCOMES]; num NULL where there is no such arm */
	const double **last_den; /* [n_seed + 1, SUBSETS] the weights that a series had last; NULL
				    before the first */
	double *whole;           /* mean of each series, every cell once; NaN where there is none */
	int64_t *order; /* [n_order] the training seeds in the order in which they count: those of
			   uat.conf, else by number; those that it does not list are not in it */
	size_t n_order;
	size_t use; /* contrasts look at order[0 .. use-1]; all after moe_cx_init */
	struct moe_boot boot;
	double *scratch, *by_seed; /* [draws], [n_seed, draws] */
	size_t dropped; /* (seed, cell)s left out because an arm of the method or its placebo lacks
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
/* Row of a training seed in seed_den and missing. */
size_t moe_cx_seed(const struct moe_cx *x, int64_t seed);
/* The prompts that criteria 1 and 2 look at. */
enum moe_subset moe_endpoint(const struct moe_uat *u);
/* Does a prompt belong to the subset? Prompts without a loophole belong to MOE_SUB_ALL only. */
bool moe_in_subset(const struct moe_uat *u, const struct moe_obs_prompt *p, enum moe_subset s);

enum moe_who { MOE_SELF, MOE_PLACEBO, MOE_SKYLINE, MOE_VANILLA };
struct moe_term {
	double coef; /* 0 ends the list */
	enum moe_who who;
	enum moe_arm_kind arm;
	enum moe_outcome outcome;
};
struct moe_contrast {
	struct moe_term a[5], b[2], c[5], d[2];
	size_t placebo; /* which of uat.placebo */
	double bound; /* the value is at most this, and a linear one at least minus this; 0 = as the
			 coefficients allow */
};

struct moe_estimate {
	double value;          /* mean over seeds; NaN = cannot be computed from the data */
	struct moe_ci ci;      /* the interval that decides: see moe_contrast_eval */
	struct moe_ci boot, t; /* percentiles of the bootstrap over prompts, seeds held; Student's
				  interval over seeds alone (2 or more) */
	double level;          /* two-sided, of all three */
	double se;             /* standard error over seeds and prompts; NaN with one seed */
	double se_prompt;      /* standard deviation of the bootstrap with the seeds held */
	double var_shared;     /* variance that prompts, and a base arm, give all seeds alike */
	double sd_seed;  /* standard deviation of the per-seed values (linearised, if a ratio) */
	size_t n_prompt; /* prompts that count in any of its seeds */
	size_t n_seed;
	double *per_seed; /* [n_seed], in the order of seed[]; in the arena of moe_cx */
	int64_t *seed;
};

/* Value and intervals of two-sided level `level`. With values v_s over S >= 2 seeds (of a ratio A/B
 * the delta method's A/B + (a_s - A/B b_s)/B, which is defined where b_s = 0),
 *     half^2 = t_{S-1}^2 s^2/S + t_{P-1}^2 V_shared,
 *     V_shared = max(0, (S V_held - mean_s V_s)/(S - 1)),
 * s^2 the variance of v_s, V_held and V_s the bootstrap's variances over the P prompts of the mean
 * and of one seed's value: V_shared is what the prompts, and a base arm, give all seeds alike,
 * which the spread over seeds does not show. t at level/2 on each side; the two half-widths add as
 * squares (Howe 1974; Zou & Donner 2008), so that many prompts do not pass for many seeds, nor few
 * seeds for few prompts. The interval that decides is value +- half, in the hull with the
 * bootstrap's over prompts, the seeds held; seeds are never resampled. A linear contrast's ends are
 * kept within what is possible. With one seed it is the bootstrap's alone, which says nothing about
 * other seeds. Where all prompts agree a bootstrap knows no spread: its interval is then widened by
 * the largest discordance that n prompts could have missed, 1 - (level/2)^(1/n) (Clopper-Pearson at
 * 0 of n), for each pair of arms. `method` is self.
 */
int moe_contrast_eval(struct moe_cx *x, const char *method, const struct moe_contrast *c,
	enum moe_subset s, double level, struct moe_estimate *out, struct moe_err *e);

/* One-sided p for "value > threshold": the level at which value +- half would touch it. The other
 * side's is 1 - p. NaN with one seed. */
double moe_estimate_p(const struct moe_estimate *x, double threshold);

/* Standard error over prompts of a linear contrast (no B, C, D), seeds held, with prompts as the
 * unit and with the prompts' tasks as clusters. n_task = 0 and NaNs when it cannot be computed or
 * a prompt names no task. */
struct moe_by_task {
	size_t n_task, n_prompt;
	double se_prompt, se_task;
};
int moe_contrast_by_task(struct moe_cx *x, const char *method, const struct moe_contrast *c,
	struct moe_by_task *out, struct moe_err *e);

#endif
