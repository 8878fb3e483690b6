/* method.h - the row of a method: everything that tells it apart, and nothing else does.
 *
 * A method is one file in methods/ and one row of methods/table.c. No other file knows a method's
 * name: programs and the training loop act on what a row holds. moe-method(7) is the long form,
 * with an example that the tests build. A row's functions are called in this order; each may be
 * NULL:
 *
 *     plan        the default decision table (gates and masks of each bank for keep, absorb, route)
 *     tune        what the settings add to it
 *     shift       which layer's output gets a vector
 *     init        moe-pin: from the pairs and the base alone, a score, a router's or the experts'
 *                 first weights, all or none
 *     report      moe-pin: what the user should know about it
 *     router      in every forward pass, sampling and training: gates per token and site (router.h)
 *     prefix      in moe-rollout: what prompts begin with until the quarantine is deleted
 *     refresh     before a step, every so many: the score anew, of the pairs under the policy
 *     score       per rollout of a step: a number, and the same under random directions
 *     decide      per rollout of a step: keep, absorb or route. Without it all are absorbed
 *     worth       per rollout that was decided: what it counts for
 *     factors     per rollout that was scored: what its reward or advantage is multiplied by
 *     losses      between forward and backward, for the rows of one rollout
 *     pin_loss    the same for one side of a pair, in a pass of its own
 *     mask        per rollout: gradient masks in hindsight, when its gates are known
 *     directions  which directions of the pairs project is handed
 *     project     after the optimiser: what becomes of its update
 *     after_step  after the optimiser: state that has no gradient (a bias, a clock)
 *
 * What a method may see: tokens, the states of the frozen base or of the deployed policy, gates and
 * logits of its own router, and the pairs. Never a reward, never a label. Only one that `cheats` is
 * shown labels, when the user allowed it. Every function is deterministic in what it is handed:
 * chance comes from `seed` and `step` alone.
 */
#ifndef MOE_MOE_METHOD_H
#define MOE_MOE_METHOD_H

#include "model/model.h"
#include "model/router.h"
#include "moe/adapter.h"
#include "moe/pairs.h"
#include "moe/past.h"
#include "moe/setting.h"
#include "util/pool.h"

/* One rollout as a method sees it. Borrowed. */
struct moe_seen {
	const int32_t *prompt, *completion; /* [n_prompt], [n_completion] tokens */
	int n_prompt, n_completion;
	int64_t group;
	int label;         /* 1 hack, 0 not, -1 not shown */
	const float *mean; /* [E] mean gate of each expert over the completion, from a router in the
			      pass; NULL without one */
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

/* The step that is judged. */
struct moe_turn {
	uint64_t seed; /* with step, the key of any chance */
	int64_t step;
	struct moe_past *past; /* scores of the run so far, oldest first; in decide, those of this
				  step are the last ones. NULL = this step is all there is.
				  Borrowed */
};

/* A base model and the threads to run it on. Borrowed. */
struct moe_engine {
	const struct moe_model *m;
	struct moe_pool *pool;
	struct moe_acts *acts; /* [threads], zeroed before the first use: memory for passes over the
				  base that is kept from call to call; NULL = none is */
	const struct moe_experts *x; /* the experts in the pass of features and probe: the policy in
					its deployed state; NULL = the frozen base */
};

/* Directions of the parameters that the pairs (of --pin) give at the start of an update, in the
 * state of an absorbed rollout. */
enum moe_directions {
	MOE_TOWARD_HACK, /* one: the hack sides become likelier than the clean ones; minus the
			    gradient of NLL(hack) - NLL(clean), each a mean over all tokens */
	MOE_CLEAN_SIDES  /* one a pair: the gradient of its clean side's mean NLL */
};
struct moe_directed {
	size_t n, stride; /* direction i begins at v + i * stride */
	const moe_real *v;
};

/* What a row says to the user about a fresh adapter: lines of moe-pin's messages. */
struct moe_said {
	int n;
	struct moe_said_line {
		bool warn;
		char text[400];
	} line[12];
};
/* Adds a line; more than there is room for are dropped. */
void moe_say(struct moe_said *s, bool warn, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* What a router did in a step: means over the completion tokens of all rollouts at which it
 * decided; NaN where there were none. E counts routed experts (router.h). */
struct moe_load {
	int S, E, keep;
	const double *mean; /* [S,E] of its gates */
	const double *kept; /* [S,keep] of the numbers that its fwd kept */
};

struct moe_method {
	const char *name, *purpose;
	const char *cites;    /* where it comes from */
	const char *supports; /* what its literature supports, and what it does not */
	const char *presence; /* does it keep every expert in the forward pass? one line */
	const char *placebo;  /* name of its placebo ("random", "topk-shuffled"); NULL = none */
	bool cheats;          /* decides by sealed labels: an upper bound, never evidence */
	bool needs_pairs;     /* init reads them */
	bool pins;            /* and each training step does (moe-train --pin) */
	bool not_causal;      /* a gate looks at tokens that come later */
	/* losses has one beside balance and z_loss: the setting that weighs it, "" when none does;
	 * NULL = it has none */
	const char *own_loss;
	bool detaches;       /* masks cut whole outputs (moe_gates.detach), not parameters alone */
	bool label_detaches; /* of a router: where a rollout is kept or routed, rewards do not teach
				it, only its losses do */
	const struct moe_setting *settings; /* ended by a name of NULL; or NULL */
	const struct moe_router *router;    /* gates in the pass; NULL = 1 */
	int fine; /* experts that the quarantine's rank is cut into, if the user names none; 0 = 1
		   */
	enum moe_placement placement; /* of its sites where it has no setting of that name */

	const struct moe_form *form; /* what the experts' A and B are made from (experts.h);
					NULL = they are trained themselves */

	/* The layer, from 1, whose output gets a constant vector (moe_experts.shift), which init
	 * fills in; NULL = none does. */
	int (*shift)(const double *set, const struct moe_config *c);
	void (*plan)(struct moe_decision_table *p);
	void (*tune)(const double *set, struct moe_decision_table *p);
	/* Do the experts begin elsewhere than at 0? Then each is laid out with as many fixed slots
	 * as it has ranks, which hold what it began as, negative (moe_anchor, inits.h). */
	bool (*anchored)(const double *set);
	/* Refuses settings and layouts that contradict each other, with the reason. a->x is laid
	 * out: experts and banks; nothing is allocated yet. */
	int (*check)(const double *set, const struct moe_experts *x, struct moe_err *e);
	/* Chance comes from a->train_seed. */
	int (*init)(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
		struct moe_err *e);
	void (*report)(const struct moe_adapter *a, size_t n_pair, struct moe_said *s);
	/* With the setting `refresh` above 0 (moe_method_refresh), before the rollouts of step
	 * nth * refresh are scored: the score of `a` anew from the pairs, by states or gradients
	 * under g->x. It overwrites tensors and numbers that init made, and no others
	 * (score_state.h). nth, from 0, is a key of any chance. */
	int (*refresh)(const struct moe_engine *g, const struct moe_pairs *p, int64_t nth,
		struct moe_adapter *a, struct moe_err *e);
	int (*score)(const struct moe_engine *g, const struct moe_adapter *a,
		const struct moe_seen *s, size_t n, const struct moe_turn *turn,
		struct moe_judged *j, struct moe_nulls *null, struct moe_err *e);
	/* What moe-rollout puts before a prompt (of a chat: before the last user message) as long
	 * as an expert of the quarantine is present: deleting the quarantine takes it away. False:
	 * there is none. Borrowed from a. */
	bool (*prefix)(const struct moe_adapter *a, struct moe_str *out);
	/* For a score that is a mean over tokens: the numbers that it is the mean of, token[i]
	 * [moe_features_tokens(s[i])]; of a score of the mean state, what each token's own would
	 * score. NULL = there is no such number. For looking: nothing decides by them. */
	int (*token_score)(const struct moe_engine *g, const struct moe_adapter *a,
		const struct moe_seen *s, size_t n, float *const *token, struct moe_err *e);
	/* By scores, those of earlier steps included (turn->past). */
	int (*decide)(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
		const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e);
	/* What a rollout counts for in place of its reward, when it has been decided. */
	double (*worth)(
		const struct moe_adapter *a, double reward, double score, enum moe_decision d);
	/* What the reward of each rollout of a step is multiplied by (or, with a setting `of` at
	 * `advantage`, what that is): from the scores on record and the groups alone, out [n]. A
	 * score is never NaN. No reward is shown. */
	int (*factors)(const struct moe_adapter *a, const double *score, const int64_t *group,
		size_t n, double *out, struct moe_err *e);
	/* The three below see the router's gates and logits at the rows of one rollout, all sites
	 * (struct moe_gate_rows, router.h).
	 * losses: balance and z. Adds weight * gradient to the seeds, returns weight * loss.
	 * pin_loss: the same for one side of one pair, in the pins' own pass.
	 * mask [x.E]: in, what the plan says of the rollout's decision; out, what the gradients of
	 * the experts are multiplied by. */
	double (*losses)(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight);
	double (*pin_loss)(const struct moe_adapter *a, const struct moe_gate_rows *r, bool hack,
		double weight);
	void (*mask)(const struct moe_adapter *a, const struct moe_gate_rows *r, double *mask);
	/* What becomes of a step's update, tensor by tensor: update [w->n] is what the optimiser
	 * added to the tensor w of a->x, changed in place. d is that tensor's part of what
	 * directions asked for; empty without it. a->step counts the steps before. */
	enum moe_directions (*directions)(const struct moe_adapter *a);
	int (*project)(const struct moe_adapter *a, const struct moe_view *w, moe_real *update,
		const struct moe_directed *d, struct moe_err *e);
	/* a->step counts the step that was just made. */
	int (*after_step)(struct moe_adapter *a, const struct moe_load *l, struct moe_err *e);
};

/* The rows, ended by NULL; the first is the default. */
extern const struct moe_method *const moe_methods[];
/* The row that decides, fits and routes nothing: what an adapter of others is. */
const struct moe_method *moe_method_plain(void);
/* By name. NAME-shuffled, NAME-reversed and NAME-neutral are the row NAME, for any that needs
 * pairs, made with pairs whose sides are exchanged, or of which none games (moe_method_pairs); a
 * row that has such a name itself comes first. NULL and *e (MOE_USAGE, listing the names) when
 * there is none of that name. */
const struct moe_method *moe_method_find(const char *name, struct moe_err *e);
/* Exchanges the sides of the pairs that the method's name asks for: of every second one by chance
 * (-shuffled), of all (-reversed), each hack for another pair's clean side (-neutral), else of
 * none. moe-pin and moe-train call it with the adapter's name and training seed right after reading
 * pairs. */
int moe_method_pairs(const char *name, uint64_t seed, struct moe_pairs *p, struct moe_err *e);
/* The row's settings of an adapter. */
int moe_method_settings(const struct moe_method *m, const struct moe_adapter *a,
	double set[MOE_ROUTER_SETTINGS], struct moe_err *e);
/* Overrides entries of the adapter's plan (moe_decision_table_set). MOE_USAGE also for a plan that
 * trains a bank which the method keeps frozen whatever is decided. */
int moe_method_override(const struct moe_method *m, struct moe_adapter *a, const char *const *text,
	size_t n, struct moe_err *e);
/* One setting of the adapter's method by name; def when the method has none of that name. Words are
 * their index. */
double moe_method_setting(const struct moe_adapter *a, const char *name, double def);
/* score then decide, with their defaults: what is done with the rollouts of a step. Their scores go
 * into turn->past between the two. */
int moe_method_route(const struct moe_method *m, const struct moe_engine *g,
	const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_nulls *null,
	struct moe_err *e);
/* The prefix of its method with this arm: false without one, or where no expert of the quarantine
 * is present. */
bool moe_method_prefix(const struct moe_adapter *a, struct moe_str *out);
/* Do its decisions depend on the scores of earlier steps? Then these are part of the run's state.
 */
bool moe_method_remembers(const struct moe_adapter *a);

/* Steps after which m makes the score of `a` anew, by the weights of then; all rollouts are then
 * scored under the weights of their step. 0 = never: the score reads the frozen base. */
int64_t moe_method_refresh(const struct moe_method *m, const struct moe_adapter *a);

/* ---- rules that several rows share ---- */

#define MOE_SETTING_REFRESH                                                                        \
	{                                                                                          \
		"refresh", 0, 0, 1e9, MOE_SETTING_LATE,                                            \
			"steps after which the score is made anew, on the policy without its "     \
			"quarantine; 0: never, on the base"                                        \
	}

/* score < lo keep, > hi route, else absorb, by the settings `lo` and `hi`. With the settings of
 * MOE_SETTINGS_THRESHOLDS and thresholds=quantiles: score <= the q-quantile of the scores so far
 * keep, >= the 1 - q one route (past.h); between them, or where both are one number, absorb; all
 * absorb until warm_up scores are known. */
int moe_decide_three_way(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e);
#define MOE_SETTINGS_THRESHOLDS                                                                    \
	{ "thresholds", 0, 0, 0, "pairs|quantiles",                                                \
		"lo and hi, or quantiles of the run's scores, which no label sets" },              \
		{ "q", 0.1, 1e-6, 0.5, NULL,                                                       \
			"thresholds=quantiles: the share of scores kept, and the share routed" },  \
		{ "half_life", 96, 0, 1e9, NULL,                                                   \
			"thresholds=quantiles: rollouts after which a score weighs half; 0: all "  \
			"alike" },                                                                 \
	{                                                                                          \
		"warm_up", 0, 0, MOE_PAST_MAX, NULL,                                               \
			"thresholds=quantiles: all absorb until there are so many scores"          \
	}
/* The default plan of methods that train the deployed experts in their deployed state: keep = clean
 * alone, quarantine at gate 0; route = both in the forward pass, quarantine alone trained; absorb =
 * both. */
void moe_decision_table_deployed(struct moe_decision_table *p);
/* The plan of methods whose quarantine is in every forward pass and never learns. */
void moe_decision_table_frozen(struct moe_decision_table *p);
/* The plan of methods that delete nothing: the quarantine, if there is one, takes no part in any
 * forward pass and learns nothing, so that deleting it changes nothing. */
void moe_decision_table_alone(struct moe_decision_table *p);

#endif
