/* balanced.c - BASE inside the quarantine: in training the rows of a completion are assigned to its
 * experts evenly, by Sinkhorn's plan for the largest sum of scores (S-BASE); the gate is the
 * sigmoid of the score. A sampled token goes to the expert of its largest score, as in BASE's test.
 */
#include "moe/methods/routers.h"

enum { SET_EPS = MOE_SET_OWN, SET_ROUNDS, SET_SAMPLING };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON,
	{ "eps", 0.05, 1e-4, 1e3, NULL,
		"temperature of the plan: the smaller, the nearer to BASE" },
	{ "rounds", 30, 1, 1e4, NULL, "of Sinkhorn's iteration" },
	MOE_ROUTER_SAMPLING,
	{ 0 },
};

/* The row goes to quarantine expert k: own marks it, y = sigmoid(z). */
static void assign(struct moe_choice *c, int k)
{
	for (int i = 0; i < c->n; i++)
		c->y[i] = c->own[i] = 0;
	c->own[k] = 1;
	moe_gate_sigmoid(1, 1, c->z + k, c->y + k);
}

static void choose(struct moe_choice *c)
{
	int best = 0;

	for (int i = 1; i < c->n; i++)
		best = c->z[i] > c->z[best] ? i : best;
	if (c->n)
		assign(c, best);
}

static void choose_bwd(const struct moe_choice *c, const moe_real *dy, moe_real *dz,
	const struct moe_router_grads *g)
{
	(void)g;
	for (int i = 0; i < c->n; i++)
		if (c->own[i] > 0)
			moe_gate_sigmoid_bwd(1, 1, c->y + i, dy + i, dz + i);
}

MOE_TWO_LEVEL_PASSES

static void compete(const struct moe_router_rows *r)
{
	struct moe_choice c;
	moe_real *score = r->kept; /* [T, n], 2E apart; closing a row overwrites it, in order */
	double v[MOE_EXPERTS_MAX];
	int n = 0;

	for (int t = 0; t < r->T; t++) {
		moe_choice_open(&c, r, t);
		n = c.n;
		for (int i = 0; i < n; i++)
			score[(size_t)t * 2 * (size_t)r->E + (size_t)i] = c.z[i];
	}
	if (n == 0)
		return;
	moe_gate_sinkhorn(r->T, n, score, 2 * r->E, r->set[SET_EPS], (int)r->set[SET_ROUNDS], v);
	for (int t = 0; t < r->T; t++) {
		int k = moe_gate_sinkhorn_pick(
			n, score + (size_t)t * 2 * (size_t)r->E, r->set[SET_EPS], v);

		moe_choice_open(&c, r, t);
		assign(&c, k);
		moe_choice_close(&c);
	}
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	return moe_two_level_check_compete(set, set[SET_SAMPLING], x, e);
}

static const struct moe_router router = {
	.name = "balanced",
	.hard = true,
	.tensors = moe_router_linear_tensors,
	.keep = moe_two_level_keep,
	.fwd = fwd,
	.compete = compete,
	.bwd = bwd,
};

const struct moe_method moe_method_balanced = {
	.name = "balanced",
	.purpose = "a completion's tokens assigned evenly to quarantine experts (BASE, Sinkhorn)",
	.cites =
		"Lewis et al. 2103.16716 (BASE), Clark et al. 2202.01169 (Sinkhorn); pin loss: the "
		"gate loss of Gradient Routing's gridworld (Cloud et al. 2410.04332)",
	.supports = "an even load and no collapse without a loss. Absorption: open",
	.presence = "the banks: yes, by a softmax; a quarantine expert on its share of the tokens",
	.placebo = "balanced-shuffled",
	.not_causal = true,
	.fine = 4,
	MOE_ROUTER_ROW,
	.check = check,
	.init = moe_router_init,
	.losses = moe_router_losses,
	.pin_loss = moe_router_pin_loss,
};
