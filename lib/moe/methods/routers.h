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
#define MOE_ROUTER_COMMON MOE_ROUTER_COMMON_BUT(0)
/* The same with another word of `deploy` for a default. */
#define MOE_ROUTER_COMMON_BUT(deploy)                                                              \
	{ "placement", 1, 0, 0, "token|layer|block|group|linear",                                  \
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

/* Refuses a layout without experts of both banks to choose between. */
int moe_router_check_banks(const double *set, const struct moe_experts *x, struct moe_err *e);
/* Routed experts of an adapter that is being laid out. */
int moe_router_count(const struct moe_experts *x);
/* g->work [T,E] = the seeds of the logits, or 0: what bwd adds to. */
void moe_router_begin_bwd(const struct moe_router_rows *r, const struct moe_router_grads *g);
/* Refuses contradictions: lo above hi; a router without experts of both banks to choose between; a
 * balance loss across clean and quarantine, or over a bank of one. */
int moe_router_check(const double *set, const struct moe_experts *x, struct moe_err *e);
/* Draws the tensors named "weight" of every site: normal, standard deviation `init`. */
int moe_router_init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e);
void moe_router_report(const struct moe_adapter *a, size_t n_pair, struct moe_said *s);
/* The score of a rollout is the quarantine's share of its mean gates; lo and hi decide, where
 * hindsight=decide, else all are absorbed. */
int moe_router_score(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seen *s, size_t n, const struct moe_turn *turn, struct moe_judged *j,
	struct moe_nulls *null, struct moe_err *e);
int moe_router_decide(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e);
double moe_router_losses(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight);
double moe_router_pin_loss(
	const struct moe_adapter *a, const struct moe_gate_rows *r, bool hack, double weight);
void moe_router_mask(const struct moe_adapter *a, const struct moe_gate_rows *r, double *mask);

#endif
