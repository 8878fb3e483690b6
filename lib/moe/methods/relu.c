/* relu.c - ReMoE: a gate is the positive part of its logit, so that any number of experts is on at
 * a token and every gate has a gradient. An L1 of the gates, whose coefficient follows the share of
 * zeros, makes them sparse. */
#include "moe/methods/routers.h"

#include <math.h>

enum { SET_K = MOE_SET_OWN, SET_L1, SET_START };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON,
	{ "k", 1, 1e-3, MOE_EXPERTS_MAX, NULL, "experts on at a token that the L1 aims at" },
	{ "l1", 1e-8, 0, 1e3, NULL, "coefficient of the L1 at the first step; 0 = no L1" },
	{ "start", 1, -10, 10, NULL, "first bias: above 0, experts begin present" },
	{ 0 },
};

enum { WEIGHT, BIAS, L1 };

/* weight [E, d] and bias [E] of a site, and the L1's coefficient, which after_step moves */
static int tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	return moe_router_state_tensor(d, E, set, "l1", 1, 1, out);
}

/* gate [T,E] = max(logit, 0); kept [T,E] = is it 0? */
static void fwd(const struct moe_router_rows *r)
{
	moe_router_logits(r);
	moe_gate_relu(r->T, r->E, r->logit, r->gate);
	for (size_t i = 0; i < (size_t)r->T * (size_t)r->E; i++)
		r->kept[i] = r->gate[i] == 0;
}

static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	moe_router_begin_bwd(r, g); /* work = seeds */
	moe_gate_relu_bwd(r->T, r->E, r->gate, g->dgate, g->work);
	moe_router_end_bwd(r, g);
}

static int init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	moe_router_fill(a, L1, a->x.set[SET_L1]);
	moe_router_fill(a, BIAS, a->x.set[SET_START]);
	return moe_router_init(g, p, a, e);
}

/* f [E]: ReMoE's weights, an expert's active rows over the mean of those that it is compared with.
 * These are the experts of its own bank, so that nothing is balanced across clean and quarantine:
 * a bank of one has weight 1, a plain L1. */
static void weights(const struct moe_experts *x, const struct moe_gate_rows *r, int s, double *f)
{
	double sum[MOE_BANKS] = { 0 }, n[MOE_BANKS] = { 0 };

	for (int k = 0; k < r->E; k++) {
		f[k] = 0;
		for (int i = 0; i < r->n; i++)
			f[k] += r->gate[moe_gate_cell(r, s, i) + (size_t)k] > 0;
		sum[x->bank[x->routed[k]]] += f[k];
		n[x->bank[x->routed[k]]]++;
	}
	for (int k = 0; k < r->E; k++) {
		int b = (int)x->bank[x->routed[k]];

		f[k] = sum[b] > 0 ? f[k] * n[b] / sum[b] : 0;
	}
}

/* l1 * sum_e f_e (mean gate of e), a mean over sites, beside what all routers have. */
static double losses(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight)
{
	double loss = moe_router_losses(a, r, weight), f[MOE_EXPERTS_MAX];

	for (int s = 0; s < r->S; s++) {
		moe_real *p[MOE_ROUTER_TENSORS];
		double coef;

		moe_router_params(&a->x, a->x.param, s, p);
		coef = weight * (double)p[L1][0] / (r->S * r->n);
		weights(&a->x, r, s, f);
		for (int i = 0; i < r->n; i++)
			loss += moe_gate_balance(1, r->E, r->E, f, r->gate + moe_gate_cell(r, s, i),
				coef, r->dgate + moe_gate_cell(r, s, i));
	}
	return loss;
}

/* The coefficient grows while too few gates are 0, and shrinks while too many are; over all sites.
 */
static int after_step(struct moe_adapter *a, const struct moe_load *l, struct moe_err *e)
{
	double zero = 0, target = 1 - a->x.set[SET_K] / l->E;
	moe_real *p[MOE_ROUTER_TENSORS];

	(void)e;
	for (int i = 0; i < l->S * l->E; i++)
		zero += l->kept[i] / (l->S * l->E);
	moe_router_params(&a->x, a->x.param, 0, p);
	if (isfinite(zero))
		moe_router_fill(a, L1, moe_gate_remoe_coef((double)p[L1][0], target, zero));
	return 0;
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	if (set[SET_K] > moe_router_count(x))
		return moe_fail(e, MOE_USAGE, "k=%g: there are %d experts to choose from",
			set[SET_K], moe_router_count(x));
	return moe_router_check(set, x, e);
}

static const struct moe_router router = {
	.name = "relu",
	.tensors = tensors,
	.keep = moe_router_keep_each,
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_relu = {
	.name = "relu",
	.purpose = "the positive part of each logit, made sparse by an adaptive L1 (ReMoE)",
	.cites = "Wang, Zhu & Chen 2412.14711 (ReMoE); pin loss: the gate loss of Gradient "
		 "Routing's gridworld (Cloud et al. 2410.04332)",
	.supports =
		"sparsity that is differentiable everywhere but at 0, and a controlled share of "
		"zeros. Nothing on absorption: the L1 takes experts out of the forward pass",
	.presence =
		"in part: each gate by itself, until the L1 brings it to exactly 0; a token may "
		"lose all experts",
	.placebo = "relu-shuffled",
	.own_loss = "",
	MOE_ROUTER_ROW,
	.check = check,
	.init = init,
	.losses = losses,
	.pin_loss = moe_router_pin_loss,
	.after_step = after_step,
};
