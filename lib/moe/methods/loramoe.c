/* loramoe.c - LoRAMoE: a dense softmax over all routed experts, and a localised balance in place of
 * the pin loss: on the pairs, whose side is the type of the sample, the experts of the side's bank
 * are held at a larger share than the others. On rollouts, whose type nobody knows, the balance
 * runs within one bank. */
#include "moe/methods/routers.h"

enum { SET_DELTA = MOE_SET_OWN };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON,
	{ "delta", 0.9, 0, 0.999, NULL,
		"a pair: share of its side's bank over the other's, (1+delta)/(1-delta)" },
	{ 0 },
};

/* gate [T,E] = softmax(logit) */
static void fwd(const struct moe_router_rows *r)
{
	moe_router_logits(r);
	moe_gate_softmax(r->T, r->E, r->logit, r->gate);
}

static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	moe_router_begin_bwd(r, g); /* work = seeds */
	moe_gate_softmax_bwd(r->T, r->E, r->gate, g->dgate, g->work);
	moe_router_end_bwd(r, g);
}

/* coef * var(I Q) / mean(I Q)^2 at each site, Q_e = sum over rows of gate e, of the experts with
 * I = c[k] > 0. */
static double spread(const struct moe_gate_rows *r, const double *c, double coef)
{
	double loss = 0;

	for (int s = 0; s < r->S; s++) {
		double q[MOE_EXPERTS_MAX] = { 0 }, d[MOE_EXPERTS_MAX] = { 0 }, use[MOE_EXPERTS_MAX];
		int n = 0, col[MOE_EXPERTS_MAX];

		for (int k = 0; k < r->E; k++)
			if (c[k] > 0) {
				use[n] = c[k];
				col[n++] = k;
			}
		for (int i = 0; i < r->n; i++)
			for (int k = 0; k < n; k++)
				q[k] += (double)r->gate[moe_gate_cell(r, s, i) + (size_t)col[k]];
		loss += moe_gate_spread(n, q, use, coef / r->S, d);
		for (int i = 0; i < r->n; i++)
			for (int k = 0; k < n; k++)
				r->dgate[moe_gate_cell(r, s, i) + (size_t)col[k]] += (moe_real)d[k];
	}
	return loss;
}

/* Within one bank, of a rollout. */
static double losses(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight)
{
	bool clean = (int)a->x.set[MOE_SET_BALANCE_OVER] == MOE_OVER_CLEAN;
	double c[MOE_EXPERTS_MAX];

	for (int k = 0; k < r->E; k++)
		c[k] = a->x.routed_quarantine[k] != clean;
	return moe_router_z_loss(a, r, weight) +
		(a->x.set[MOE_SET_BALANCE] > 0 ? spread(r, c, weight * a->x.set[MOE_SET_BALANCE])
					       : 0);
}

/* Across the banks, of one side of a pair. An even I Q gives the bank of the smaller I the larger
 * share: 1 - delta is the side's own. */
static double pin_loss(
	const struct moe_adapter *a, const struct moe_gate_rows *r, bool hack, double weight)
{
	double c[MOE_EXPERTS_MAX], delta = a->x.set[SET_DELTA];

	for (int k = 0; k < r->E; k++)
		c[k] = a->x.routed_quarantine[k] == hack ? 1 - delta : 1 + delta;
	return spread(r, c, weight);
}

static const struct moe_router router = {
	.name = "loramoe",
	.tensors = moe_router_linear_tensors,
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_loramoe = {
	.name = "loramoe",
	.purpose = "dense softmax; on the pairs, a localised balance of two groups (LoRAMoE)",
	.cites = "Dou et al. 2312.09979 (LoRAMoE), which balances by the type of each training "
		 "sample; here only pairs have one",
	.supports =
		"two groups of experts that specialise by type of data, all present; shown with a "
		"type for every sample. Not absorption of what has no label",
	.presence = "yes: a softmax never reaches 0, but may come near",
	.placebo = "loramoe-shuffled",
	MOE_ROUTER_ROW,
	.check = moe_router_check,
	.init = moe_router_init,
	.losses = losses,
	.pin_loss = pin_loss,
};
