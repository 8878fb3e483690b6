/* routers.h - what the rows with a router inside the pass have in common: settings, losses, masks
 * and decisions in hindsight. Only this folder includes it. Not a router itself. */
#ifndef MOE_MOE_METHODS_ROUTERS_H
#define MOE_MOE_METHODS_ROUTERS_H

#include "moe/methods/rows.h"
#include "nn/gate.h"

/* Indices of the settings that every router has; a method's own begin at MOE_SET_OWN. The training
 * loop reads pon, pin, pin_batch, lr_ratio and detach, the layout placement and deploy, by name. */
enum {
	MOE_SET_PLACEMENT,
	MOE_SET_DEPLOY,
	MOE_SET_PON,
	MOE_SET_HINDSIGHT,
	MOE_SET_LO,
	MOE_SET_HI,
	MOE_SET_PIN,
	MOE_SET_PIN_BATCH,
	MOE_SET_Z_LOSS,
	MOE_SET_BALANCE,
	MOE_SET_BALANCE_OVER,
	MOE_SET_LOGIT_SCALE,
	MOE_SET_INIT,
	MOE_SET_LR_RATIO,
	MOE_SET_DETACH,
	MOE_SET_OWN
};
enum { MOE_HINDSIGHT_OFF, MOE_HINDSIGHT_DECIDE, MOE_HINDSIGHT_SOFT };
enum { MOE_OVER_QUARANTINE, MOE_OVER_CLEAN, MOE_OVER_ALL };

/* The rows of a table of settings, in the order above. */
#define MOE_ROUTER_COMMON MOE_ROUTER_COMMON_BUT(1, MOE_DEPLOY_DROP)
/* The same with other words of `placement` (the index of one) and `deploy` for defaults. */
#define MOE_ROUTER_COMMON_BUT(place, deploy)                                                       \
	{ "placement", place, 0, 0, "token|layer|block|group|linear|base",                         \
		"where a gate vector is decided" },                                                \
		{ "deploy", deploy, 0, 0, "drop|renorm|to-shared",                                 \
			"what becomes of a deleted expert's gate" },                               \
		{ "pon", 1, 0, 0, "off|on",                                                        \
			"all experts on at prompt rows and the first choice" },                    \
		{ "hindsight", 1, 0, 0, "off|decide|soft",                                         \
			"masks from the mean gate: none, keep/absorb/route, or its shares" },      \
		{ "lo", 0.4, 0, 1, NULL, "hindsight=decide: a smaller quarantine share is kept" }, \
		{ "hi", 0.6, 0, 1, NULL, "hindsight=decide: a larger one is routed" },             \
		{ "pin", 1, 0, 1e3, NULL, "weight of the pin loss in each step" },                 \
		{ "pin_batch", 0, 0, 1e6, NULL, "pairs of a step's pin loss; 0 = all" },           \
		{ "z_loss", 0, 0, 1e3, NULL, "weight of ST-MoE's z-loss (1e-3 there)" },           \
		{ "balance", 0, 0, 1e3, NULL, "weight of the balance loss within a rollout" },     \
		{ "balance_over", 0, 0, 0, "quarantine|clean|all", "the bank that it balances" },  \
		{ "logit_scale", 1, 1e-3, 1e3, NULL, "factor of the router's logits" },            \
		{ "init", 0.02, 0, 10, NULL, "standard deviation of the router's first weights" }, \
		{ "lr_ratio", 10, 0, 1e3, NULL, "the router's learning rate over the experts'" },  \
	{                                                                                          \
		"detach", 0, 0, 0, "off|on", "on: reward does not train the router, only the pins" \
	}

/* The fields that rows with such a router share. A row adds its texts, placebo, check, init, losses
 * and pin_loss; `settings` and `router` are the file's. */
#define MOE_ROUTER_ROW                                                                             \
	.needs_pairs = true, .pins = true, .settings = settings, .router = &router,                \
	.placement = MOE_PER_LAYER, .plan = moe_decision_table_deployed,                           \
	.report = moe_router_report, .score = moe_router_score, .decide = moe_router_decide,       \
	.mask = moe_router_mask

/* ---- a router whose logits are a Linear of the site's input: parts of struct moe_router ---- */

/* tensors: weight [E, d] and bias [E] of a site. A file that has more calls it first. */
int moe_router_linear_tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS]);
/* The same, and one tensor that after_step moves: the third. Returns 3. */
int moe_router_state_tensor(int d, int E, const double *set, const char *name, int rows, int cols,
	struct moe_router_tensor out[MOE_ROUTER_TENSORS]);
/* keep: one number for each expert. */
int moe_router_keep_each(int E, const double *set);
/* fwd, first: logit [T,E] = logit_scale (x W' + b). */
void moe_router_logits(const struct moe_router_rows *r);
/* bwd, first: g->work [T,E] = the seeds of the logits, or 0: what bwd adds to. */
void moe_router_begin_bwd(const struct moe_router_rows *r, const struct moe_router_grads *g);
/* bwd, last: from g->work, the whole gradient of the logits, to W, b and x. */
void moe_router_end_bwd(const struct moe_router_rows *r, const struct moe_router_grads *g);

/* fwd and bwd of softmax(logit) over the routed experts, of which the k largest stay as they are,
 * or (renorm) with a sum of 1. The choice has no gradient; kept [T,E] holds the softmax. */
void moe_router_topk_fwd(const struct moe_router_rows *r, int k, bool renorm);
void moe_router_topk_bwd(
	const struct moe_router_rows *r, const struct moe_router_grads *g, int k, bool renorm);

/* keep, of a router with one logit a row. */
int moe_router_keep_one(int E, const double *set);
/* Fills tensor i [1, E] of every site with 1 at the quarantine's experts, else 0. */
void moe_router_fill_side(struct moe_adapter *a, int i);

/* ---- layout ---- */

/* Of rows that have experts compete: what a token that is being sampled goes by. */
#define MOE_ROUTER_SAMPLING                                                                        \
	{                                                                                          \
		"sampling", 0, 0, 0, "alone|compete",                                              \
			"a sampled token: by its row alone; compete is refused, and says why"      \
	}
int moe_router_check_sampling(double v, struct moe_err *e);

/* ---- two levels: a soft gate of the bank, and inside the quarantine a choice of the row's own
 * ----
 *
 * With p = softmax(logit) over all routed experts and M = the quarantine's part of it, a clean
 * expert has the gate p, a quarantine expert M y: y is what the file's `choose` makes of the
 * quarantine's logits. So both banks stay in the forward pass, and balance and sparsity never reach
 * across them. */
struct moe_choice { /* of one row; arrays over the n quarantine experts */
	const struct moe_router_rows *r;
	int t, n, col[MOE_EXPERTS_MAX]; /* col: where they are among the E routed ones */
	moe_real z[MOE_EXPERTS_MAX];    /* their logits */
	moe_real y[MOE_EXPERTS_MAX];    /* what choose fills */
	moe_real own[MOE_EXPERTS_MAX];  /* kept for bwd; after_step gets its means */
};
/* kept [T, 2E]: y, then own, each at the expert's column. */
int moe_two_level_keep(int E, const double *set);
void moe_choice_open(struct moe_choice *c, const struct moe_router_rows *r, int t);
/* Stores y and own, and sets the row's gates. */
void moe_choice_close(const struct moe_choice *c);
void moe_two_level_fwd(const struct moe_router_rows *r, void (*choose)(struct moe_choice *c));
/* bwd of choose: from dy [n] adds to dz [n], and to g what is not the logits'. */
void moe_two_level_bwd(const struct moe_router_rows *r, const struct moe_router_grads *g,
	void (*choose_bwd)(const struct moe_choice *c, const moe_real *dy, moe_real *dz,
		const struct moe_router_grads *g));
/* fwd and bwd of a file that has choose and choose_bwd. */
#define MOE_TWO_LEVEL_PASSES                                                                       \
	static void fwd(const struct moe_router_rows *r)                                           \
	{                                                                                          \
		moe_two_level_fwd(r, choose);                                                      \
	}                                                                                          \
	static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)         \
	{                                                                                          \
		moe_two_level_bwd(r, g, choose_bwd);                                               \
	}
/* moe_router_check, and: at least two quarantine experts; the first `always` of them are no matter
 * of choice, of the others k are chosen. Pass 0 and 1 where there is no such setting. */
int moe_two_level_check(
	const double *set, double always, double k, const struct moe_experts *x, struct moe_err *e);

/* The same for a row that has experts compete, whose setting `sampling` is v. */
int moe_two_level_check_compete(
	const double *set, double v, const struct moe_experts *x, struct moe_err *e);

/* Refuses a layout without experts of both banks to choose between. */
int moe_router_check_banks(const double *set, const struct moe_experts *x, struct moe_err *e);
/* Routed experts of an adapter that is being laid out. */
int moe_router_count(const struct moe_experts *x);
/* Refuses a setting that counts experts (`name`=v) when it is no whole number or above `most`. */
int moe_router_check_count(const char *name, double v, int most, struct moe_err *e);
/* Refuses contradictions: lo above hi; a router without experts of both banks to choose between; a
 * balance loss across clean and quarantine, or over a bank of one. */
int moe_router_check(const double *set, const struct moe_experts *x, struct moe_err *e);
/* Draws the tensors named "weight" of every site: normal, standard deviation `init`. */
int moe_router_init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e);
/* Fills tensor i of every site with v. */
void moe_router_fill(struct moe_adapter *a, int i, double v);
void moe_router_report(const struct moe_adapter *a, size_t n_pair, struct moe_said *s);
/* The score of a rollout is the quarantine's share of its mean gates; lo and hi decide, where
 * hindsight=decide, else all are absorbed. */
int moe_router_score(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seen *s, size_t n, const struct moe_turn *turn, struct moe_judged *j,
	struct moe_nulls *null, struct moe_err *e);
int moe_router_decide(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e);
/* Balance within a bank, and z. */
double moe_router_losses(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight);
/* Balance over the quarantine's experts but the first `skip`, of which a row picks k, whatever
 * `balance` says: of their softmax, or (scores) DeepSeek-V3's of their sigmoids. Weight 0 = no
 * loss. */
double moe_router_balance(const struct moe_adapter *a, const struct moe_gate_rows *r, int skip,
	bool scores, int k, double weight);
/* Only z, for rows with another balance. */
double moe_router_z_loss(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight);
double moe_router_pin_loss(
	const struct moe_adapter *a, const struct moe_gate_rows *r, bool hack, double weight);
void moe_router_mask(const struct moe_adapter *a, const struct moe_gate_rows *r, double *mask);

#endif
