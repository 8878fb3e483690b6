/* switch.c - Switch: a token goes to the one expert with the largest softmax probability, which is
 * its gate. Experts of the quarantine have a capacity: of a completion's tokens that the bank got,
 * what an expert has too much is dropped, in token order. */
#include "moe/methods/routers.h"

#include <math.h>

enum { SET_CAPACITY = MOE_SET_OWN, SET_SAMPLING };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON,
	{ "capacity", 1.25, 0, 64, NULL,
		"an expert's tokens over an even share of its bank's; 0 = no limit" },
	MOE_ROUTER_SAMPLING,
	{ 0 },
};

/* The expert of the largest gate, of equal ones the first. */
static int largest(int E, const moe_real *p)
{
	int best = 0;

	for (int i = 1; i < E; i++)
		best = p[i] > p[best] ? i : best;
	return best;
}

static void fwd(const struct moe_router_rows *r)
{
	uint8_t pick[MOE_EXPERTS_MAX];

	moe_router_logits(r);
	/* p [T,E], kept = softmax(logit); gate [T,E] = its largest */
	moe_gate_softmax(r->T, r->E, r->logit, r->kept);
	for (size_t at = 0; at < (size_t)r->T * (size_t)r->E; at += (size_t)r->E)
		moe_gate_topk(1, r->E, 1, false, r->kept + at, r->gate + at, pick);
}

/* Drops what an expert of the quarantine has above ceil(capacity * tokens of the bank / experts).
 */
static void compete(const struct moe_router_rows *r)
{
	double bank = 0, experts = 0, limit;
	int used[MOE_EXPERTS_MAX] = { 0 };

	if (r->set[SET_CAPACITY] == 0)
		return;
	for (int k = 0; k < r->E; k++)
		experts += r->quarantine[k];
	for (int t = 0; t < r->T; t++)
		bank += r->quarantine[largest(r->E, r->kept + (size_t)t * (size_t)r->E)];
	limit = experts > 0 ? ceil(r->set[SET_CAPACITY] * bank / experts) : 0;
	for (int t = 0; t < r->T; t++) {
		size_t row = (size_t)t * (size_t)r->E;
		int k = largest(r->E, r->kept + row);

		if (r->quarantine[k] && ++used[k] > limit)
			r->gate[row + (size_t)k] = 0;
	}
}

static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	moe_router_begin_bwd(r, g); /* work = seeds */
	for (int t = 0; t < r->T; t++) {
		size_t row = (size_t)t * (size_t)r->E;
		size_t k = row + (size_t)largest(r->E, r->kept + row);
		moe_real dp[MOE_EXPERTS_MAX] = { 0 };

		/* only the chosen gate has a gradient, and none when it was dropped */
		dp[k - row] = r->gate[k] != 0 ? g->dgate[k] : 0;
		moe_gate_softmax_bwd(1, r->E, r->kept + row, dp, g->work + row);
	}
	moe_router_end_bwd(r, g);
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	if (set[SET_CAPACITY] > 0 && (int)set[MOE_SET_BALANCE_OVER] == MOE_OVER_ALL)
		return moe_fail(e, MOE_USAGE,
			"balance_over=all with a capacity: across clean and quarantine a capacity "
			"would drop hacks that are more than an even share of the tokens; it is "
			"the quarantine's alone");
	return moe_router_check_sampling(set[SET_SAMPLING], e) || moe_router_check(set, x, e) ? -1
											      : 0;
}

static const struct moe_router router = {
	.name = "switch",
	.hard = true,
	.tensors = moe_router_linear_tensors,
	.keep = moe_router_keep_each,
	.fwd = fwd,
	.compete = compete,
	.bwd = bwd,
};

const struct moe_method moe_method_switch = {
	.name = "switch",
	.purpose = "token top-1 with capacity and dropping inside the quarantine (Switch)",
	.cites = "Fedus, Zoph & Shazeer 2101.03961 (Switch); Zoph et al. 2202.08906 (z-loss); pin "
		 "loss: the gate loss of Gradient Routing's gridworld (Cloud et al. 2410.04332)",
	.supports =
		"hard dispatch: specialisation; its balance loss: an even load; z-loss and logit "
		"scale: stability. None of them is a mechanism of absorption",
	.presence =
		"no: a token's gate is 0 for all experts but one, and for all when it is dropped",
	.placebo = "switch-shuffled",
	.not_causal = true,
	MOE_ROUTER_ROW,
	.check = check,
	.init = moe_router_init,
	.losses = moe_router_losses,
	.pin_loss = moe_router_pin_loss,
};
