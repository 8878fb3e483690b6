/* deepseek.c - DeepSeekMoE inside the quarantine: its rank is cut into several fine experts; the
 * first `shared` of them are on whenever the quarantine is, of the others the k of the largest
 * softmax probability, with that probability. */
#include "moe/methods/routers.h"

enum { SET_SHARED = MOE_SET_OWN, SET_K, SET_FINE };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON,
	{ "shared", 1, 0, MOE_EXPERTS_MAX, NULL,
		"quarantine experts that are no matter of choice" },
	{ "k", 1, 1, MOE_EXPERTS_MAX, NULL, "of the others, those that stay at a token" },
	{ "fine_balance", 0.003, 0, 1e3, NULL, "weight of the expert balance over these others" },
	{ 0 },
};

/* y = 1 for the shared; for the others own = softmax of their logits, and y its k largest */
static void choose(struct moe_choice *c)
{
	int shared = (int)c->r->set[SET_SHARED], n = c->n - shared;
	uint8_t pick[MOE_EXPERTS_MAX];

	for (int i = 0; i < c->n && i < shared; i++)
		c->y[i] = 1;
	if (n <= 0)
		return;
	moe_gate_softmax(1, n, c->z + shared, c->own + shared);
	moe_gate_topk(1, n, (int)c->r->set[SET_K], false, c->own + shared, c->y + shared, pick);
}

static void choose_bwd(const struct moe_choice *c, const moe_real *dy, moe_real *dz,
	const struct moe_router_grads *g)
{
	int shared = (int)c->r->set[SET_SHARED], n = c->n - shared;
	moe_real dp[MOE_EXPERTS_MAX] = { 0 };

	(void)g;
	for (int i = 0; i < n; i++)
		dp[i] = c->y[shared + i] != 0 ? dy[shared + i] : 0;
	if (n > 0)
		moe_gate_softmax_bwd(1, n, c->own + shared, dp, dz + shared);
}

MOE_TWO_LEVEL_PASSES

/* The expert balance of the paper, alpha sum_i f_i P_i over the fine experts, at each site. */
static double losses(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight)
{
	const double *set = a->x.set;

	return moe_router_losses(a, r, weight) +
		moe_router_balance(
			a, r, (int)set[SET_SHARED], false, (int)set[SET_K], weight * set[SET_FINE]);
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	return moe_two_level_check(set, set[SET_SHARED], set[SET_K], x, e);
}

static const struct moe_router router = {
	.name = "deepseek",
	.hard = true,
	.tensors = moe_router_linear_tensors,
	.keep = moe_two_level_keep,
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_deepseek = {
	.name = "deepseek",
	.purpose = "shared and fine experts in the quarantine, softmax top-k (DeepSeekMoE)",
	.cites = "Dai et al. 2401.06066 (DeepSeekMoE); pin loss: the gate loss of Gradient "
		 "Routing's gridworld (Cloud et al. 2410.04332)",
	.supports = "shared experts capture common knowledge, fine ones combine flexibly and "
		    "specialise. That different hacks are absorbed by different experts is a "
		    "hypothesis",
	.presence = "the banks: yes, by a softmax; a fine expert only where it is among the k",
	.placebo = "deepseek-shuffled",
	.own_loss = "fine_balance",
	.fine = 4,
	MOE_ROUTER_ROW,
	.check = check,
	.init = moe_router_init,
	.losses = losses,
	.pin_loss = moe_router_pin_loss,
};
