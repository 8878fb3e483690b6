/* dense.c - a router that drops nothing: at each token the softmax over the routed experts. */
#include "moe/methods/routers.h"

static const struct moe_setting settings[] = { MOE_ROUTER_COMMON, { 0 } };

/* What a site owns: weight [E, d] and bias [E], trained by the optimiser. */
static int tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	(void)set;
	out[0] = (struct moe_router_tensor){ "weight", MOE_ROLE_ROUTER, E, d };
	out[1] = (struct moe_router_tensor){ "bias", MOE_ROLE_ROUTER, 1, E };
	return 2;
}

/* logit [T,E] = scale (x W' + b), gate [T,E] = softmax(logit): row by row, nothing else */
static void fwd(const struct moe_router_rows *r)
{
	moe_gate_linear(r->T, r->d, r->E, r->x, r->ldx, r->param[0], r->param[1],
		r->set[MOE_SET_LOGIT_SCALE], r->logit);
	moe_gate_softmax(r->T, r->E, r->logit, r->gate);
}

/* From the gradient of the gates and the seeds of the logits to those of W, b and x. */
static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	moe_router_begin_bwd(r, g); /* work = seeds */
	moe_gate_softmax_bwd(r->T, r->E, r->gate, g->dgate, g->work);
	moe_gate_linear_bwd(r->T, r->d, r->E, g->work, r->x, r->ldx, r->param[0],
		r->set[MOE_SET_LOGIT_SCALE], g->dx, g->lddx, g->dparam[0], g->dparam[1]);
}

static const struct moe_router router = {
	.name = "dense",
	.tensors = tensors,
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
	.needs_pairs = true,
	.pins = true,
	.settings = settings,
	.router = &router,
	.placement = MOE_PER_LAYER,
	.plan = moe_decision_table_deployed,
	.check = moe_router_check,
	.init = moe_router_init,
	.report = moe_router_report,
	.score = moe_router_score,
	.decide = moe_router_decide,
	.losses = moe_router_losses,
	.pin_loss = moe_router_pin_loss,
	.mask = moe_router_mask,
};
