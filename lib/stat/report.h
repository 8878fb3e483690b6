/* report.h - the report: reads streams, analyses them, and writes text, JSON, HTML and plot files
 * into buffers.
 *
 * Order of calls: moe_report_init, moe_report_load (any number), moe_report_run (training
 * recordings), moe_report_analyse, then writers. The struct must not move after moe_report_analyse.
 * Not thread-safe. All strings are in the arena, control characters replaced.
 */
#ifndef MOE_STAT_REPORT_H
#define MOE_STAT_REPORT_H

#include "formats/stream.h"
#include "model/experts.h"
#include "moe/adapter.h"
#include "stat/metrics.h"
#include "stat/register.h"
#include "stat/verdict.h"

/* One segment that was read: provenance. */
struct moe_origin {
	const char *path, *kind, *tool, *version, *argv, *digest;
	enum moe_labels labels;
	uint64_t seed, records;
	const char **from; /* [n_from] digests that its end names as inputs */
	size_t n_from;
};

/* A number that an adapter's layout carries beside its shapes: group "match" (random ablations) or
 * "score" (the fitted score). */
struct moe_fact {
	const char *method, *arm, *group, *key;
	int64_t seed;
	double value;
};

/* A recorded training run, opened for evaluation of the gate and of the course of training. */
struct moe_gate_run {
	const char *method;
	int64_t seed;
	double *score; /* [n] NaN = no score */
	uint8_t *hacked, *solved,
		*decision; /* [n]; decision: enum moe_decision, MOE_DECISIONS = none */
	uint32_t *prompt;  /* [n] */
	int64_t *step;
	float *null; /* [n, n_null] scores under random directions */
	size_t n, cap, n_null;
	/* results */
	struct moe_ci auroc_ci; /* bootstrap over prompts */
	struct moe_against { /* the same quality of the random directions, and the rank test against
				them */
		double mean, best, p;
	} auroc_null, f05_null;
	double auroc, within, f05, precision, recall, hack_share, share[MOE_DECISIONS + 1];
	size_t n_scored, n_pairs;
};

/* What the findings say about one question. */
enum { MOE_FOUND_NO, MOE_FOUND_YES, MOE_FOUND_UNKNOWN };

/* A rollout that the page shows. */
struct moe_sample {
	const char *method, *arm, *mode, *prompt_id; /* "" when unknown */
	int64_t seed, sample;
	uint8_t solved, hacked; /* MOE_FOUND_* */
	bool has_reward;
	double reward;
	char *prompt, *completion; /* as they may be shown; prompt NULL when there is none */
};

/* What training did under a router: of the whole router, of a bank, of an expert. Means over the
 * runs' means over steps; NaN where no run measured it. */
enum moe_router_part { MOE_PART_ROUTER, MOE_PART_BANK, MOE_PART_EXPERT };
struct moe_router_line {
	const char *method, *name; /* name of the bank or expert, "" of the router */
	enum moe_router_part part;
	size_t n_seed, n_known, n_held; /* runs; those whose presence is known; those where it held
					 */
	double min_gate;                /* the least of all runs and steps */
	double zero_share;              /* share of cells at exactly 0 */
	double load, support, entropy, logit_norm, mass; /* mean gate; experts not at 0; nats; root
							    mean square; share of the gradient */
};

struct moe_report {
	struct moe_arena arena;
	struct moe_names text; /* interned strings */
	struct moe_origin *source;
	size_t n_source, cap_source;
	struct moe_fact *fact;
	size_t n_fact, cap_fact;
	struct moe_gate_run *gate;
	size_t n_gate, cap_gate;
	struct moe_sample *sample; /* sorted by moe_report_analyse */
	size_t n_sample, cap_sample;
	struct moe_names pinned;      /* modes of the pairs that were given */
	size_t unknown[MOE_OUTCOMES]; /* of n_graded, how many do not say */
	size_t n_brought;             /* of n_graded, from files of others */
	const char *filter; /* lm-eval: the filter whose rows count; NULL = none was met */
	size_t n_filtered;  /* rows of other filters, left out */
	struct moe_obs obs;
	struct moe_metrics metrics;
	struct moe_router_line *router; /* method by method, made by moe_report_analyse */
	size_t n_router, cap_router;
	struct moe_names deploy[MOE_DEPLOYS]; /* methods, by what their adapters' layouts do with a
						 deleted expert's gate */
	struct moe_registration registered;
	struct moe_analysis a;
	const char **note; /* what the numbers do not show, whole sentences */
	size_t n_note, cap_note;
	bool has_base;
	size_t n_graded, n_other; /* rollouts of evaluations, and those that were paid but neither
				     solved nor by a mechanism known to the environment */
};

void moe_report_free(struct moe_report *r); /* accepts a zeroed struct */
/* Reads a stream of graded rollouts (opens their seals), metrics or adapters; path "-" is standard
 * input. */
int moe_report_load(struct moe_report *r, const char *path, size_t max_mem, struct moe_err *e);
/* Reads the recorded rollouts of a training run, graded and routed. */
int moe_report_run(struct moe_report *r, const char *path, size_t max_mem, struct moe_err *e);
int moe_report_analyse(struct moe_report *r, const struct moe_uat *u, uint64_t seed,
	struct moe_pool *pool, struct moe_err *e);

int moe_report_text(const struct moe_report *r, struct moe_buf *out, struct moe_err *e);
int moe_report_json(const struct moe_report *r, struct moe_buf *out, struct moe_err *e);
/* One line for each method and arm, tab-separated, with a header line. */
int moe_report_tsv(const struct moe_report *r, struct moe_buf *out, struct moe_err *e);
/* Plots are made by gnuplot in a temporary directory; where it is missing the page says so and
 * carries the data as tables. */
int moe_report_html(const struct moe_report *r, struct moe_buf *out, struct moe_err *e);
/* Writes PLOT.tsv, PLOT.gp (and PLOT.svg where gnuplot is there) into dir, which is made when
 * missing. */
int moe_report_plots(const struct moe_report *r, const char *dir, struct moe_err *e);

/* Does the run route or score at all? (Some methods only absorb.) */
bool moe_gate_routes(const struct moe_gate_run *g);
/* Fills the results of a recorded run. Sources: AUROC as in infer.h; within = share of (hack, no
 * hack) pairs of one prompt that the score orders rightly; f05, precision and recall of the
 * decision "route". Each random direction is judged on the same rollouts, its F0.5 with as many of
 * them routed as the run did, those that it scores highest; p as moe_rank_p: (1 + #{directions at
 * least as good}) / (n_null + 1), NaN without any. */
int moe_gate_judge(struct moe_gate_run *g, uint64_t seed, double alpha, struct moe_err *e);

/* ---- between the files of the report ---- */
/* Keeps the rollout for the page, if the rule in report_samples.c chooses it; x's strings belong to
 * r->text, its texts are given apart (p NULL: none). */
int moe_report_sample(struct moe_report *r, const struct moe_sample *x, struct moe_str prompt,
	struct moe_str completion, struct moe_err *e);
void moe_report_samples_sort(struct moe_report *r);
void moe_report_samples_free(struct moe_report *r);
/* The string interned in r->text, as it may be printed. */
const char *moe_report_intern(struct moe_report *r, struct moe_str s, struct moe_err *e);
/* Presence of the quarantine in a run's forward pass. */
struct moe_presence {
	double min_gate, zero_share, mass[MOE_BANKS], keep, absorb, route, reward_first,
		reward_last;
	bool known, held;
};
/* How the tested method's random ablations match the quarantine, from adapter streams: norm of the
 * removed update as a share of its, and the mean share of their rank slots that are the
 * quarantine's own. n = 0: not known. */
struct moe_match {
	size_t n;
	double least, most, overlap;
};
struct moe_match moe_report_match(const struct moe_report *r);
struct moe_presence moe_report_presence(
	const struct moe_report *r, const struct moe_metrics_run *run);
/* Fills r->router from the metrics; the conditions must be known. */
int moe_report_router(struct moe_report *r, struct moe_err *e);
/* "router", "bank NAME" or "expert NAME" into out; returns it. */
#define MOE_PART_NAME 128
const char *moe_router_part_name(char out[MOE_PART_NAME], const struct moe_router_line *x);
/* Keeps what a layout's `deploy` ("" = drop) says about its method. MOE_DATA for an unknown one. */
int moe_report_deploy(
	struct moe_report *r, const char *method, struct moe_str deploy, struct moe_err *e);
/* Has the method a router, while no adapter of its says what becomes of a deleted expert's gate? */
bool moe_report_deploy_unknown(const struct moe_report *r, const char *method);
/* Random subspaces are no controls where a deleted expert's gate is handed on: they become arms of
 * another kind, with rates and no part in any contrast. */
void moe_report_unmatched(struct moe_report *r, const struct moe_uat *u);
int moe_report_notes(struct moe_report *r, struct moe_err *e);
/* The row of a kind, or NULL. */
const struct moe_arm_row *moe_report_row(const struct moe_method_result *m, enum moe_arm_kind k);

/* " (tested)", " (placebo)" and so on, with what its labels make of it; after the method's name. */
const char *moe_report_role(const struct moe_method_result *m);
/* The interval to print: over seeds where there are several, else Wilson's over prompts. */
struct moe_ci moe_report_ci(const struct moe_rate *x);
/* Rate of an arm on a mode's prompts; NaN when it has none. */
double moe_report_mode_rate(
	const struct moe_mode_row *x, const struct moe_arm_row *like, enum moe_outcome o);
/* v, or 0 where it would print as -0.000 with so many digits. */
double moe_report_round(double v, int digits);

/* A buffer that remembers its first failure, so that writers need not check every line. */
struct moe_text {
	struct moe_buf *b;
	struct moe_err *e;
	int bad;
};
void moe_text_f(struct moe_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void moe_text_add(struct moe_text *t, const char *p, size_t n);

#endif
