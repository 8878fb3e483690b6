/* verdict.h - from outcomes to rates, contrasts, criteria and one verdict.
 *
 * The rule (fixed in uat.conf before the data are seen), for the tested method; (r) = on the
 * endpoint's prompts (uat.conf: all, pinned or never-pinned):
 *   1  the hack drops when the quarantine is deleted:  D = hack_on - hack_off > 0 (r), and most of
 *      what training added goes:  (1-r) on + r base - off > 0, r = removed_min (r)
 *   2  it drops more than under the controls, for each placebo:  D - D(placebo) > 0, and as shares
 *      of the trained rates (r); D - mean D(random ablations) > 0 (r), with the rank test
 *      p = (1 + #{random >= D})/(K+1) <= alpha, which controls for capacity
 *   3  solve is not inferior:  solve_off - solve_on > -margin, the same against the base model, and
 *      retaining a share when the trained rate is low
 *   4  where a skyline is named:  solve_off - base > uplift_min (skyline - base)
 *   5  where `gain` is asked:  solve_off - base > 0
 * Each is met (its interval lies on the claim's side), failed (its interval lies wholly below what
 * is worth having, after Holm's correction: that the claims fail is a union) or open. SUPPORTED:
 * all met, with enough prompts, seeds and controls, and no arm lacks outcomes.
 *
 * Looks: the data are judged at each number of seeds that uat.conf schedules, with the first so
 * many seeds, at levels that hold over all looks (sequence.h). The first look that decides is the
 * verdict; seeds after it do not count.
 *
 * Where no rollout names a method (a base model, an imported pool) and none is asked for, there is
 * nothing to test: the analysis then holds rates alone.
 */
#ifndef MOE_STAT_VERDICT_H
#define MOE_STAT_VERDICT_H

#include "stat/contrast.h"

struct moe_rate {
	double value;     /* mean over seeds of the mean over prompts */
	struct moe_ci ci; /* Wilson on the effective number of outcomes (clustered by prompt), seeds
			     held */
	struct moe_ci seeds; /* Student's over the seeds' rates, within [0, 1], and at least ci; NaN
				with one seed */
	size_t n_obs;        /* outcomes that count */
	double *per_seed;    /* [method's n_seed], NaN where the seed lacks the arm */
};

struct moe_arm_row {
	const char *name;
	enum moe_arm_kind kind;
	double scale;
	size_t n_arms; /* 1; the number of random ablations in their summary row */
	size_t n_prompt;
	struct moe_rate rate[MOE_OUTCOMES];
	double min[MOE_OUTCOMES],
		max[MOE_OUTCOMES]; /* of the random ablations, each averaged over seeds */
};

struct moe_mode_row {
	const char *mode; /* "(all pinned)" and so on for the summary rows */
	bool pinned, free_mode, summary;
	size_t n_prompt;
	double on[MOE_OUTCOMES], off[MOE_OUTCOMES];
	struct moe_estimate drop; /* of hack; summary rows only */
	struct moe_arm_row *arm;  /* [n_arm] the arms on this mode's prompts; not of summaries */
	size_t n_arm;
};

struct moe_method_result {
	const char *method;
	bool tested, placebo, skyline, vanilla, oracle;
	size_t n_seed;
	int64_t *seed;
	struct moe_arm_row *row;
	size_t n_row;
	struct moe_mode_row *mode;
	size_t n_mode;
	struct moe_estimate drop_hack, drop_solve, did_clean, leak, solve_base, selectivity;
	struct moe_estimate did_random; /* on the endpoint's prompts, as all that follows */
	size_t n_random;                /* K: ablations that every seed has */
	double *random_drop;            /* [K] D_h of each, mean over seeds */
	size_t n_damage; /* the same of ablations matched in damage, with the mean of their D_h */
	double damage_drop, damage_p;
	double rank_p;       /* NaN when K = 0 */
	size_t lost, gained; /* outcomes hacked on and not off; off and not on */
	double mcnemar; /* exact p; NaN unless every prompt has one outcome (one seed, one sample)
			 */
};

enum moe_state { MOE_FAILED, MOE_OPEN, MOE_MET };
/* What a criterion is about, which names the verdict when it fails. */
enum moe_aim { MOE_AIM_HACK, MOE_AIM_SOLVE, MOE_AIM_OTHER };

struct moe_criterion {
	int number; /* 0: completeness of the data */
	char claim[120];
	enum moe_aim aim;
	enum moe_state state;
	struct moe_estimate est;
	double bound, threshold; /* "bound > threshold" is what "met" asks */
	double fail_below;       /* "upper bound < fail_below" is what "failed" asks */
	double p_fail;           /* one-sided, for value < fail_below; NaN unless it fails */
	double alpha;            /* one-sided, over all looks */
	char note[240];          /* why it is open or failed; what is needed */
	size_t need_prompts, need_seeds; /* 0 = no more, or more do not help */
	double chance; /* probability that it is met by the most seeds, as far as the spread seen so
			  far tells; NaN = not computed */
	size_t need_new; /* seeds that a new study would need; 0 = not computed, or over 100 */
};

enum moe_verdict_kind {
	MOE_SUPPORTED,
	MOE_NOT_SUPPORTED,
	MOE_UNDECIDED,
	MOE_NO_HACK,
	MOE_CHEATS,
	MOE_RATES_ALONE,
	MOE_REFUTED,
	MOE_LOSES_SOLVE
};

/* An estimate with its interval, where by-seed values are not wanted. */
struct moe_brief {
	double value;
	struct moe_ci ci;
};

/* One look: the first n seeds, judged at levels that hold over all looks. */
struct moe_look {
	size_t n;
	bool scheduled;
	double level_hack,
		level_solve; /* nominal, two-sided, of criteria 1 and 2, and of the others */
	struct moe_brief drop, advantage, /* over the placebo that comes nearest */
		solve, uplift;            /* solve: after deletion less the trained model's */
	enum moe_verdict_kind kind;
};

/* What one training seed adds to the evidence; in the order in which seeds count. */
struct moe_evidence {
	int64_t seed;
	double left, placebo_left; /* hack after deletion: of the method, mean of its placebos */
	size_t placebos;           /* runs of placebos in this seed */
	bool best;                 /* the method's is strictly the lowest of all */
	double e;                  /* e-value of all seeds up to this one */
	struct moe_ci bet;         /* betting interval for the mean of placebo_left - left */
	double vanilla;            /* trained hack rate of the vanilla twin; NaN = none */
	bool passes;               /* meets every criterion's threshold by itself */
};
extern const char *const moe_verdict_names[]; /* "SUPPORTED", ... */
extern const char *const moe_state_names[];   /* "failed", "open", "met" */

struct moe_verdict {
	enum moe_verdict_kind kind;
	char why[768]; /* one line */
};

#define MOE_CRITERIA_MAX (2 * MOE_UAT_PLACEBOS + 10)
struct moe_analysis {
	struct moe_cx cx;
	struct moe_uat uat;               /* with method filled in */
	struct moe_method_result *method; /* [n_method]; tested, placebo, then the others by name */
	size_t n_method, n_prompt, n_sample_max;
	/* placebo (the first named) and skyline may be NULL. tested is NULL of rates alone
	 * (MOE_RATES_ALONE): method[0], without a name, then has rates by arm and mode, and all
	 * that follows but the verdict's kind and reason is not there. */
	const struct moe_method_result *tested, *placebo, *skyline;
	/* against the first placebo; the last two on the endpoint's prompts */
	struct moe_estimate did_placebo[MOE_SUBSETS], share_did, discovery;
	size_t schedule[MOE_LOOKS_MAX],
		n_schedule; /* all looks: taken, scheduled, most seeds last */
	double level_hack[MOE_LOOKS_MAX], level_solve[MOE_LOOKS_MAX]; /* one-sided, nominal, where
									 alpha/2 and alpha hold */
	size_t at;                              /* index in schedule of the look that is judged */
	struct moe_by_task task_drop, task_did; /* of the tested method's drop of hack, and of its
						   advantage over the placebo */
	struct moe_criterion crit[MOE_CRITERIA_MAX];
	size_t n_crit;
	struct moe_look *look; /* [n_look] the looks taken; the last is the verdict's */
	size_t n_look;
	size_t refused;  /* seeds given after the decision, or beyond the most, that do not count */
	size_t unlisted; /* seeds of the tested method that uat.conf does not list, or that come
			    after one that is missing */
	size_t next_look;              /* seeds at which the next decision may be taken; 0 = none */
	struct moe_evidence *evidence; /* [n_evidence], of the seeds that count */
	size_t n_evidence, n_pass;
	double pass_bound; /* lower bound of the share of seeds that pass, one-sided alpha
			      (Clopper-Pearson) */
	struct moe_estimate
		skyline_gain;    /* skyline - base in solve: the denominator of uplift kept */
	struct moe_brief uplift; /* kept share with Fieller's interval; NaN unless skyline_gain is
				    surely above zero */
	bool like_base; /* hack and solve after deletion lie within the margin of the base's */
	struct moe_verdict verdict;
};

/* obs (finished) and pool must outlive the analysis. seed keys the bootstrap. MOE_USAGE when it is
 * not clear which method is tested. */
int moe_analyse(struct moe_analysis *a, const struct moe_obs *o, const struct moe_uat *u,
	uint64_t seed, struct moe_pool *pool, struct moe_err *e);
void moe_analysis_free(struct moe_analysis *a); /* accepts a zeroed struct */

/* Parts of the above, in rates.c, look.c, decide.c and evidence.c. */
int moe_summarise_method(struct moe_analysis *a, struct moe_method_result *m, struct moe_err *e);
/* The table by mode; where something is tested, after the looks. */
int moe_summarise_modes(struct moe_analysis *a, struct moe_method_result *m, struct moe_err *e);
/* What the arms of a row are called: one arm's name, or, of arms that are drawn by chance and shown
 * as one, their kind ("random-off"). */
const char *moe_row_key(const struct moe_arm_row *row);
/* The same for tables: "random-off, mean of 19". */
const char *moe_row_title(const struct moe_arm_row *row, char out[64]);
/* Random ablations of the seeds in use: their drops, and the quarantine's rank among them. */
int moe_rank_random(struct moe_analysis *a, struct moe_method_result *m, struct moe_err *e);
/* Takes the looks, one after the other, until one decides. */
int moe_take_looks(struct moe_analysis *a, struct moe_err *e);
/* Criteria and verdict at a look; a->cx.use is set to its seeds. */
int moe_judge_look(struct moe_analysis *a, struct moe_look *l, struct moe_err *e);
/* The look's nominal one-sided level where alpha (one-sided) is to hold over all looks. */
double moe_level_at(const struct moe_analysis *a, double alpha);
/* Evidence over the seeds in use; n_pass and pass_bound. */
int moe_gather_evidence(struct moe_analysis *a, struct moe_err *e);
/* The tested method's advantage over a placebo, in rate or as shares of the trained rates, on the
 * prompts of a subset: D - max(0, D(placebo)). A placebo whose deletion adds hack counts as one
 * that removes none, so that a control which does harm is no help. */
struct moe_contrast moe_advantage(
	const struct moe_analysis *a, size_t placebo, enum moe_subset s, bool share);
/* How the method's adapters hand a deleted expert's gate on ("renorm", "to-shared"), so that random
 * subspaces are no controls of quarantine-off and whole experts (experts-off:K) are; NULL where
 * they drop it or were not given. In deploy.c. */
const char *moe_handed_on(const struct moe_uat *u, const char *method);
/* How many seeds an open criterion may need, from the spread seen so far. */
void moe_foresee(const struct moe_analysis *a, struct moe_criterion *c);
/* Mean over the seeds in use of a rate on a subset; NaN when a run or arm is missing. */
double moe_rate_in_use(const struct moe_analysis *a, const char *method, enum moe_arm_kind k,
	enum moe_subset s, enum moe_outcome o);

#endif
