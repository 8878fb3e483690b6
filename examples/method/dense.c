/* dense.c - a router that drops nothing: at each token the softmax over the routed experts. */
#include "moe/methods/routers.h"

static const struct moe_setting settings[] = { MOE_ROUTER_COMMON, { 0 } };

/* logit [T,E] = scale (x W' + b), gate [T,E] = softmax(logit): row by row, nothing else */
static void fwd(const struct moe_router_rows *r)
{
	moe_router_logits(r);
	moe_gate_softmax(r->T, r->E, r->logit, r->gate);
}

/* From the gradient of the gates and the seeds of the logits to those of W, b and x. */
static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	moe_router_begin_bwd(r, g); /* work = seeds */
	moe_gate_softmax_bwd(r->T, r->E, r->gate, g->dgate, g->work);
	moe_router_end_bwd(r, g);
}

static const struct moe_router router = {
	.name = "dense",
	.tensors = moe_router_linear_tensors,
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_dense = {
	.name = "dense",
	.purpose = "token softmax over all routed experts, pinned in each step",
	.cites = "Dou et al. 2312.09979 (LoRAMoE's dense router), without its loss",
	.supports = "dense mixing keeps every expert present; nothing on absorption",
	.presence = "yes: a softmax never reaches 0, but may come near",
	.placebo = "dense-shuffled",
	MOE_ROUTER_ROW,
	.check = moe_router_check,
	.init = moe_router_init,
	.losses = moe_router_losses,
	.pin_loss = moe_router_pin_loss,
};
