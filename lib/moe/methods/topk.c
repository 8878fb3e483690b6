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

/* weight [E, d] and bias [E] of a site */
static int tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	(void)set;
	out[0] = (struct moe_router_tensor){ "weight", MOE_ROLE_ROUTER, E, d };
	out[1] = (struct moe_router_tensor){ "bias", MOE_ROLE_ROUTER, 1, E };
	return 2;
}

/* p [E], the softmax before anything was dropped */
static int keep(int E, const double *set)
{
	(void)set;
	return E;
}

static void fwd(const struct moe_router_rows *r)
{
	uint8_t pick[MOE_EXPERTS_MAX];

	/* logit [T,E] = scale (x W' + b) */
	moe_gate_linear(r->T, r->d, r->E, r->x, r->ldx, r->param[0], r->param[1],
		r->set[MOE_SET_LOGIT_SCALE], r->logit);
	/* p [T,E] = softmax(logit); gate [T,E] = its k largest */
	moe_gate_softmax(r->T, r->E, r->logit, r->kept);
	for (size_t at = 0; at < (size_t)r->T * (size_t)r->E; at += (size_t)r->E)
		moe_gate_topk(1, r->E, (int)r->set[SET_K], r->set[SET_RENORM] > 0, r->kept + at,
			r->gate + at, pick);
}

static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	size_t E = (size_t)r->E, all = (size_t)r->T * E;
	uint8_t pick[MOE_EXPERTS_MAX];

	/* g->work [T,E] becomes the gradient of the logits: seeds, then what comes through gates */
	moe_router_begin_bwd(r, g);
	for (size_t at = 0; at < all; at += E) {
		moe_real dp[MOE_EXPERTS_MAX] = { 0 }, again[MOE_EXPERTS_MAX];

		/* the choice is made again from the kept p: the same bits, the same choice */
		moe_gate_topk(1, r->E, (int)r->set[SET_K], r->set[SET_RENORM] > 0, r->kept + at,
			again, pick);
		moe_gate_topk_bwd(1, r->E, r->set[SET_RENORM] > 0, r->kept + at, r->gate + at, pick,
			g->dgate + at, dp);
		moe_gate_softmax_bwd(1, r->E, r->kept + at, dp, g->work + at);
	}
	moe_gate_linear_bwd(r->T, r->d, r->E, g->work, r->x, r->ldx, r->param[0],
		r->set[MOE_SET_LOGIT_SCALE], g->dx, g->lddx, g->dparam[0], g->dparam[1]);
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	int routed = moe_router_count(x);

	if (set[SET_K] != (int)set[SET_K] || set[SET_K] > routed)
		return moe_fail(e, MOE_USAGE,
			"k=%g: it is a whole number up to %d, the routed experts", set[SET_K],
			routed);
	return moe_router_check(set, x, e);
}

static const struct moe_router router = {
	.name = "topk",
	.hard = true,
	.tensors = tensors,
	.keep = keep,
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_topk = {
	.name = "topk",
	.purpose = "token softmax, hard top-k, pinned to the pairs in each step (Version A)",
	.cites = "Shazeer et al. 1701.06538, Fedus et al. 2101.03961 (top-k routing); pin loss: "
		 "the gate "
		 "loss of Gradient Routing's gridworld (Cloud et al. 2410.04332)",
	.supports = "hard dispatch: specialisation. Not absorption: that needs experts that are "
		    "present "
		    "on what is not routed to them, and DEMix + ablate has negative unlearning",
	.presence = "no: a token's gate is 0 for all experts but k",
	.placebo = "topk-shuffled",
	.needs_pairs = true,
	.pins = true,
	.settings = settings,
	.router = &router,
	.placement = MOE_PER_LAYER,
	.plan = moe_decision_table_deployed,
	.check = check,
	.init = moe_router_init,
	.report = moe_router_report,
	.score = moe_router_score,
	.decide = moe_router_decide,
	.losses = moe_router_losses,
	.pin_loss = moe_router_pin_loss,
	.mask = moe_router_mask,
};
