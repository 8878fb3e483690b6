/* deepseek_v3.c - DeepSeek-V3's routing inside the quarantine: sigmoid scores; the k largest of
 * score + bias among the best groups; gates are the scores without the bias, over their sum. The
 * bias has no gradient: after each step it moves against the load. */
#include "moe/methods/routers.h"

#include <math.h>

enum {
	SET_SHARED = MOE_SET_OWN,
	SET_K,
	SET_GROUPS,
	SET_TOP_GROUPS,
	SET_SCALE,
	SET_GAMMA,
	SET_SEQUENCE
};
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON,
	{ "shared", 1, 0, MOE_EXPERTS_MAX, NULL,
		"quarantine experts that are no matter of choice" },
	{ "k", 2, 1, MOE_EXPERTS_MAX, NULL, "of the others, those that stay at a token" },
	{ "groups", 1, 1, MOE_EXPERTS_MAX, NULL, "equal groups that the others are cut into" },
	{ "top_groups", 1, 1, MOE_EXPERTS_MAX, NULL, "groups that a token may choose from" },
	{ "scale", 1, 1e-3, 1e3, NULL, "factor of the chosen gates, which sum to it (V3: 2.5)" },
	{ "gamma", 0.001, 0, 1, NULL, "what the bias moves by in a step" },
	{ "sequence", 1e-4, 0, 1e3, NULL, "weight of the balance within a rollout" },
	{ 0 },
};

enum { BIAS_OF_CHOICE = 2 };

/* weight [E, d], bias [E], and what is added to scores when they are compared, [E] */
static int tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	return moe_router_state_tensor(d, E, set, "choice", 1, E, out);
}

/* y = 1 for the shared; for the others own = is it chosen, y = scale s / (sum of the chosen s) */
static void choose(struct moe_choice *c)
{
	const double *set = c->r->set;
	int shared = (int)set[SET_SHARED], n = c->n - shared;
	moe_real s[MOE_EXPERTS_MAX], at[MOE_EXPERTS_MAX], unused[MOE_EXPERTS_MAX];
	uint8_t pick[MOE_EXPERTS_MAX];
	double sum = 0;

	for (int i = 0; i < c->n && i < shared; i++)
		c->y[i] = 1;
	if (n <= 0)
		return;
	moe_gate_sigmoid(1, n, c->z + shared, s);
	for (int i = 0; i < n; i++)
		at[i] = s[i] + c->r->param[BIAS_OF_CHOICE][c->col[shared + i]];
	if (set[SET_GROUPS] > 1)
		moe_gate_groups(n, (int)set[SET_GROUPS], (int)set[SET_TOP_GROUPS], at);
	moe_gate_topk(1, n, (int)set[SET_K], false, at, unused, pick);
	for (int i = 0; i < n; i++)
		sum += pick[i] ? (double)s[i] : 0;
	for (int i = 0; i < n; i++) {
		c->own[shared + i] = pick[i];
		c->y[shared + i] = pick[i] ? (moe_real)(set[SET_SCALE] * (double)s[i] / sum) : 0;
	}
}

static void choose_bwd(const struct moe_choice *c, const moe_real *dy, moe_real *dz,
	const struct moe_router_grads *g)
{
	int shared = (int)c->r->set[SET_SHARED], n = c->n - shared;
	moe_real s[MOE_EXPERTS_MAX], q[MOE_EXPERTS_MAX], dq[MOE_EXPERTS_MAX],
		ds[MOE_EXPERTS_MAX] = { 0 };
	uint8_t pick[MOE_EXPERTS_MAX];
	double scale = c->r->set[SET_SCALE];

	(void)g;
	if (n <= 0)
		return;
	moe_gate_sigmoid(1, n, c->z + shared, s);
	for (int i = 0; i < n; i++) { /* y = scale q, q = s / (sum of the chosen s) */
		pick[i] = c->own[shared + i] > 0;
		q[i] = (moe_real)((double)c->y[shared + i] / scale);
		dq[i] = (moe_real)((double)dy[shared + i] * scale);
	}
	moe_gate_topk_bwd(1, n, true, s, q, pick, dq, ds);
	moe_gate_sigmoid_bwd(1, n, s, ds, dz + shared);
}

MOE_TWO_LEVEL_PASSES

/* The sequence-wise balance of the scores; the rollout is the sequence. */
static double losses(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight)
{
	const double *set = a->x.set;

	return moe_router_losses(a, r, weight) +
		moe_router_balance(a, r, (int)set[SET_SHARED], true, (int)set[SET_K],
			weight * set[SET_SEQUENCE]);
}

/* The bias of an expert that was chosen more often than the mean falls by gamma, else it rises. */
static int after_step(struct moe_adapter *a, const struct moe_load *l, struct moe_err *e)
{
	int shared = (int)a->x.set[SET_SHARED];

	(void)e;
	for (int s = 0; s < l->S; s++) {
		const double *load = l->kept + s * l->keep + l->E;
		moe_real *p[MOE_ROUTER_TENSORS];
		double mean = 0;
		int n = 0, q = 0;

		moe_router_params(&a->x, a->x.param, s, p);
		for (int k = 0; k < l->E; k++)
			if (a->x.routed_quarantine[k] && n++ >= shared)
				mean += load[k];
		mean /= n > shared ? n - shared : 1;
		for (int k = 0; k < l->E; k++)
			if (a->x.routed_quarantine[k] && q++ >= shared && isfinite(mean))
				p[BIAS_OF_CHOICE][k] += (moe_real)(a->x.set[SET_GAMMA] *
					((load[k] < mean) - (load[k] > mean)));
	}
	return 0;
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	int groups = (int)set[SET_GROUPS], top = (int)set[SET_TOP_GROUPS], n = 0;

	for (int i = 0; i < x->E; i++)
		n += x->bank[i] == MOE_BANK_QUARANTINE;
	n -= (int)set[SET_SHARED];
	if (moe_two_level_check(set, set[SET_SHARED], set[SET_K], x, e))
		return -1;
	if (n % groups || top > groups || set[SET_K] > n / groups * top)
		return moe_fail(e, MOE_USAGE,
			"groups=%d, top_groups=%d: %d experts cannot be cut so, or the best groups "
			"have fewer than k=%g",
			groups, top, n, set[SET_K]);
	return 0;
}

static const struct moe_router router = {
	.name = "deepseek-v3",
	.hard = true,
	.tensors = tensors,
	.keep = moe_two_level_keep,
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_deepseek_v3 = {
	.name = "deepseek-v3",
	.purpose = "quarantine experts balanced by a bias without gradient (DeepSeek-V3)",
	.cites =
		"DeepSeek-AI 2412.19437 (V3), Wang et al. 2408.15664 (balance without a loss); pin "
		"loss: the gate loss of Gradient Routing's gridworld (Cloud et al. 2410.04332)",
	.supports =
		"an even load without a gradient against the task. Inside the quarantine alone: "
		"across the banks it would send clean tokens there. Absorption: open",
	.presence = "the banks: yes, by a softmax; a fine expert only where it is among the k",
	.placebo = "deepseek-v3-shuffled",
	.own_loss = "",
	.fine = 4,
	MOE_ROUTER_ROW,
	.check = check,
	.init = moe_router_init,
	.losses = losses,
	.pin_loss = moe_router_pin_loss,
	.after_step = after_step,
};
