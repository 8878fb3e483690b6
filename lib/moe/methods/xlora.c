/* xlora.c - token-once: a first pass without experts, whose last state at a token decides the gates
 * of all Linears of the second pass there. A softmax over the routed experts, of which all stay, or
 * the k largest as they are. */
#include "moe/methods/routers.h"

enum { SET_K = MOE_SET_OWN };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON_BUT(5, MOE_DEPLOY_DROP),
	{ "k", 0, 0, MOE_EXPERTS_MAX, NULL, "experts that stay at a token; 0 = all" },
	{ 0 },
};

static int kept_of(const struct moe_router_rows *r)
{
	return r->set[SET_K] > 0 ? (int)r->set[SET_K] : r->E;
}

static void fwd(const struct moe_router_rows *r)
{
	moe_router_topk_fwd(r, kept_of(r), false);
}

static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	moe_router_topk_bwd(r, g, kept_of(r), false);
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	return moe_router_check_count("k", set[SET_K], moe_router_count(x), e) ||
			moe_router_check(set, x, e)
		? -1
		: 0;
}

static const struct moe_router router = {
	.name = "xlora",
	.hard = true,
	.tensors = moe_router_linear_tensors,
	.keep = moe_router_keep_each,
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_xlora = {
	.name = "xlora",
	.purpose = "gates decided once a token, from a first pass without experts (X-LoRA)",
	.cites = "Buehler & Buehler 2402.07148 (X-LoRA), with experts that train; pin loss: the "
		 "gate loss of Gradient Routing's gridworld (Cloud et al. 2410.04332)",
	.supports =
		"mixing of ready-made adapters by a token's hidden state. Nothing on experts that "
		"are still to be learned, nothing on absorption",
	.presence = "yes with k=0: a softmax never reaches 0, but may come near",
	.placebo = "xlora-shuffled",
	MOE_ROUTER_ROW,
	.check = check,
	.init = moe_router_init,
	.losses = moe_router_losses,
	.pin_loss = moe_router_pin_loss,
};
