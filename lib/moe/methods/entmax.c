/* entmax.c - Version B: alpha-entmax over the routed experts at each token, annealed from softmax
 * (alpha 1) to sparsemax (alpha 2), with a floor under every gate. */
#include "moe/methods/routers.h"

enum { SET_ALPHA = MOE_SET_OWN, SET_ANNEAL, SET_FLOOR };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON,
	{ "alpha", 2, 1, 4, NULL, "alpha at the end of the annealing, which begins at 1" },
	{ "anneal", 40, 0, 1e6, NULL, "steps from alpha 1 to its end; 0 = there at once" },
	{ "floor", 0.02, 0, 0.5, NULL, "no gate is below it; 0 lets gates be exactly 0" },
	{ 0 },
};

/* weight [E, d] and bias [E] of a site, and alpha, which after_step moves */
static int tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	return moe_router_state_tensor(d, E, set, "alpha", 1, 1, out);
}

static void fwd(const struct moe_router_rows *r)
{
	/* logit [T,E] = scale (x W' + b) */
	moe_router_logits(r);
	/* p [T,E], kept = entmax(logit); gate [T,E] = (1 - E floor) p + floor */
	moe_gate_entmax(r->T, r->E, (double)r->param[2][0], r->logit, r->kept);
	moe_gate_floor(r->T, r->E, r->set[SET_FLOOR], r->kept, r->gate);
}

static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	size_t E = (size_t)r->E, all = (size_t)r->T * E;

	/* g->work [T,E] becomes the gradient of the logits: seeds, then what comes through gates */
	moe_router_begin_bwd(r, g);
	for (size_t at = 0; at < all; at += E) {
		moe_real dp[MOE_EXPERTS_MAX] = { 0 };

		moe_gate_floor_bwd(1, r->E, r->set[SET_FLOOR], g->dgate + at, dp);
		moe_gate_entmax_bwd(
			1, r->E, (double)r->param[2][0], r->kept + at, dp, g->work + at, NULL);
	}
	moe_router_end_bwd(r, g);
}

/* alpha after a->step steps: 1, rising evenly (1.5 half-way to 2), then its end. */
static void set_alpha(struct moe_adapter *a)
{
	double end = a->x.set[SET_ALPHA], steps = a->x.set[SET_ANNEAL];
	double done = steps > 0 && (double)a->step < steps ? (double)a->step / steps : 1;

	moe_router_fill(a, 2, 1 + done * (end - 1));
}

static int after_step(struct moe_adapter *a, const struct moe_load *l, struct moe_err *e)
{
	(void)l;
	(void)e;
	set_alpha(a);
	return 0;
}

static int init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	set_alpha(a);
	return moe_router_init(g, p, a, e);
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	int routed = moe_router_count(x);

	if (set[SET_FLOOR] * routed > 1)
		return moe_fail(e, MOE_USAGE,
			"floor=%g: %d experts cannot all have it, for gates sum to 1",
			set[SET_FLOOR], routed);
	return moe_router_check(set, x, e);
}

static const struct moe_router router = {
	.name = "entmax",
	.tensors = tensors,
	.keep = moe_router_keep_each,
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_entmax = {
	.name = "entmax",
	.purpose =
		"token alpha-entmax, annealed 1 -> 2 with a floor, pinned in each step (Version B)",
	.cites = "Peters, Niculae & Martins 2019 (alpha-entmax), Correia et al. 2019; pin loss: "
		 "the gate loss of Gradient Routing's gridworld (Cloud et al. 2410.04332)",
	.supports =
		"sparsity with gradients; more compatible with forward presence than top-k, but it "
		"does not preserve it: entmax zeroes experts and annealing brings hard absence "
		"back",
	.presence =
		"in part: the floor (0.02) is all that is left of an expert that entmax zeroes; "
		"hindsight=decide takes the quarantine out of kept rollouts",
	.placebo = "entmax-shuffled",
	MOE_ROUTER_ROW,
	.check = check,
	.init = init,
	.losses = moe_router_losses,
	.pin_loss = moe_router_pin_loss,
	.after_step = after_step,
};
