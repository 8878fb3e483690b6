/* method.h - the table of methods: how pairs become a score, and a score becomes a decision.
 *
 * A method is one file in methods/ and one row of methods/table.c; nothing else knows a method's
 * name. It supplies plan    its default decision table (gates and masks of each bank for keep,
 * absorb, route; gates while sampling), fit     what it learns from the pairs alone, stored in the
 * adapter (scalars in a->score, tensors), score   a number for each rollout of a step, and on
 * demand the same under random directions, decide  keep, absorb or route for each rollout of a
 * step. fit, score and decide may be NULL: nothing to fit; no score; and without decide every
 * rollout is absorbed. Scores see tokens only. Only a method that `cheats` is shown labels, and
 * only when the user allowed it.
 */
#ifndef MOE_MOE_METHOD_H
#define MOE_MOE_METHOD_H

#include "model/model.h"
#include "moe/adapter.h"
#include "moe/pairs.h"
#include "util/pool.h"

/* One rollout as a method sees it. Borrowed. */
struct moe_seen {
	const int32_t *prompt, *completion; /* [n_prompt], [n_completion] tokens */
	int n_prompt, n_completion;
	int64_t group;
	int label; /* 1 hack, 0 not, -1 not shown */
};

struct moe_judged {
	double score; /* NaN when the method has none */
	enum moe_decision decision;
};

/* Scores under random directions, beside a method's own: what its quality as a gate is held against
 * (stat/report.h). They decide nothing. */
struct moe_nulls {
	int n;         /* directions; 0 = none wanted */
	uint64_t seed; /* keys them: the same ones throughout a run */
	float *score;  /* [rollouts, n], filled by score; NaN from a method that has none */
};

/* A base model and the threads to run it on. Borrowed. */
struct moe_engine {
	const struct moe_model *m;
	struct moe_pool *pool;
};

struct moe_fit_opts {
	double l2;     /* strength of the L2 penalty, l2/2 |w|^2 beside the mean loss */
	double lo, hi; /* thresholds of the three-way decision */
	int folds;     /* whole pairs are held out fold by fold for the accuracies */
	uint64_t seed;
};

/* A number that a method can be given (moe-pin --set NAME=VALUE). */
struct moe_setting {
	const char *name;
	double def, min, max;
	const char *help;
};

struct moe_method {
	const char *name, *purpose;
	const struct moe_setting *setting; /* ended by a NULL name; at most MOE_ROUTER_SETTINGS; or
					      NULL. A router's functions get the values in this
					      order */
	const struct moe_router *router;   /* decides token by token inside the pass; or NULL */
	enum moe_placement placement;      /* of its sites, unless the user says otherwise */
	bool cheats; /* decides by sealed labels: an upper bound, never evidence */
	bool needs_pairs;
	void (*plan)(struct moe_plan *p);
	int (*fit)(const struct moe_engine *g, const struct moe_pairs *p,
		const struct moe_fit_opts *o, struct moe_adapter *a, struct moe_err *e);
	int (*score)(const struct moe_engine *g, const struct moe_adapter *a,
		const struct moe_seen *s, size_t n, struct moe_judged *j, struct moe_nulls *null,
		struct moe_err *e);
	/* seed and step key any chance. */
	int (*decide)(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
		uint64_t seed, int64_t step, struct moe_judged *j, struct moe_err *e);
};

/* The rows, ended by NULL. */
extern const struct moe_method *const moe_methods[];
/* NULL and *e (MOE_USAGE, listing the names) when there is none of that name. */
const struct moe_method *moe_method_find(const char *name, struct moe_err *e);
/* The value of the adapter's method's setting of that name; `def` when the method has none such or
 * is not known. */
double moe_method_setting(const struct moe_adapter *a, const char *name, double def);
/* score then decide, with their defaults: what moe-route does with a step. */
int moe_method_route(const struct moe_method *m, const struct moe_engine *g,
	const struct moe_adapter *a, const struct moe_seen *s, size_t n, uint64_t seed,
	int64_t step, struct moe_judged *j, struct moe_nulls *null, struct moe_err *e);

/* The rule that several rows share: score < lo keep, > hi route, else absorb (thresholds from
 * a->score). */
int moe_decide_three_way(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	uint64_t seed, int64_t step, struct moe_judged *j, struct moe_err *e);
/* The default plan of methods that train the deployed experts in their deployed state: keep = clean
 * alone, quarantine at gate 0; route = both in the forward pass, quarantine alone trained; absorb =
 * both. */
void moe_plan_deployed(struct moe_plan *p);

#endif
