/* topk.c - Version A: a softmax over the routed experts at each token, of which the k largest stay.
 * The chosen gates carry the gradient to the router, the choice carries none. */
#include "moe/methods/routers.h"

enum { SET_K = MOE_SET_OWN, SET_RENORM };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON,
	{ "k", 1, 1, MOE_EXPERTS_MAX, NULL, "experts that stay at a token" },
	{ "renorm", 0, 0, 0, "off|on", "on: the gates that stay sum to 1 (with k=1: no gradient)" },
	{ 0 },
};

static void fwd(const struct moe_router_rows *r)
{
	moe_router_topk_fwd(r, (int)r->set[SET_K], r->set[SET_RENORM] > 0);
}

static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	moe_router_topk_bwd(r, g, (int)r->set[SET_K], r->set[SET_RENORM] > 0);
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	return moe_router_check_count("k", set[SET_K], moe_router_count(x), e) ||
			moe_router_check(set, x, e)
		? -1
		: 0;
}

static const struct moe_router router = {
	.name = "topk",
	.hard = true,
	.tensors = moe_router_linear_tensors,
	.keep = moe_router_keep_each,
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_topk = {
	.name = "topk",
	.purpose = "token softmax, hard top-k, pinned to the pairs in each step (Version A)",
	.cites = "Shazeer et al. 1701.06538, Fedus et al. 2101.03961 (top-k routing); pin loss: "
		 "the gate loss of Gradient Routing's gridworld (Cloud et al. 2410.04332)",
	.supports = "hard dispatch: specialisation. Not absorption: that needs experts that are "
		    "present on what is not routed to them, and DEMix + ablate has negative "
		    "unlearning",
	.presence = "no: a token's gate is 0 for all experts but k",
	.placebo = "topk-shuffled",
	MOE_ROUTER_ROW,
	.check = check,
	.init = moe_router_init,
	.losses = moe_router_losses,
	.pin_loss = moe_router_pin_loss,
};
