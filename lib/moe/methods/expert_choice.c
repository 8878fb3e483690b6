/* expert_choice.c - Expert Choice inside the quarantine: the experts choose tokens. In training
 * each takes the rows of a completion in which its softmax share is largest, an equal number of
 * rows. A sampled token cannot compete with tokens to come: it is taken where its share is above
 * the expert's threshold, which follows the share of rows that are. */
#include "moe/methods/routers.h"

#include <math.h>

enum { SET_CAPACITY = MOE_SET_OWN, SET_RATE, SET_SAMPLING };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON,
	{ "capacity", 1, 1e-3, MOE_EXPERTS_MAX, NULL, "experts that a token gets on average" },
	{ "rate", 0.02, 0, 1, NULL, "what a threshold moves by, times its error, in a step" },
	MOE_ROUTER_SAMPLING,
	{ 0 },
};

enum { THRESHOLD = 2 };

/* weight [E, d], bias [E], and the thresholds of sampled tokens, [E] */
static int tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	return moe_router_state_tensor(d, E, set, "threshold", 1, E, out);
}

/* The share of its rows that each of n experts takes. */
static double taken(const double *set, int n)
{
	return fmin(set[SET_CAPACITY] / n, 1);
}

/* s = softmax over the quarantine's logits; own = is s above the threshold, y = s where it is */
static void choose(struct moe_choice *c)
{
	moe_real s[MOE_EXPERTS_MAX];

	if (c->n == 0)
		return;
	moe_gate_softmax(1, c->n, c->z, s);
	for (int i = 0; i < c->n; i++) {
		c->own[i] = s[i] > c->r->param[THRESHOLD][c->col[i]];
		c->y[i] = c->own[i] > 0 ? s[i] : 0;
	}
}

static void choose_bwd(const struct moe_choice *c, const moe_real *dy, moe_real *dz,
	const struct moe_router_grads *g)
{
	moe_real s[MOE_EXPERTS_MAX], ds[MOE_EXPERTS_MAX];

	(void)g;
	if (c->n == 0)
		return;
	moe_gate_softmax(1, c->n, c->z, s);
	for (int i = 0; i < c->n; i++) /* the choice has no gradient */
		ds[i] = c->y[i] != 0 ? dy[i] : 0;
	moe_gate_softmax_bwd(1, c->n, s, ds, dz);
}

MOE_TWO_LEVEL_PASSES

/* y of a row becomes its shares, of all experts; then each expert marks its rows, and only those
 * stay.
 */
static void compete(const struct moe_router_rows *r)
{
	struct moe_choice c = { 0 };
	int ld = 2 * r->E;

	for (int t = 0; t < r->T; t++) {
		moe_choice_open(&c, r, t);
		if (c.n)
			moe_gate_softmax(1, c.n, c.z, c.y);
		for (int i = 0; i < c.n; i++)
			r->kept[t * ld + c.col[i]] = c.y[i];
	}
	for (int i = 0; i < c.n; i++) /* the gates hold the marks until the rows are closed */
		moe_gate_take(r->T, (int)fmax(1, floor(r->T * taken(r->set, c.n) + 0.5)),
			r->kept + c.col[i], ld, r->gate + c.col[i], r->E);
	for (int t = 0; t < r->T; t++) {
		moe_choice_open(&c, r, t);
		for (int i = 0; i < c.n; i++)
			c.y[i] *= r->gate[t * r->E + c.col[i]];
		moe_choice_close(&c);
	}
}

static int init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	int n = 0;

	for (int k = 0; k < a->x.n_routed; k++)
		n += a->x.routed_quarantine[k];
	moe_router_fill(a, THRESHOLD, n ? 1.0 / n : 0); /* an even softmax */
	return moe_router_init(g, p, a, e);
}

/* A threshold below which too few shares lie rises, by the excess of rows above it. */
static int after_step(struct moe_adapter *a, const struct moe_load *l, struct moe_err *e)
{
	int n = 0;

	(void)e;
	for (int k = 0; k < l->E; k++)
		n += a->x.routed_quarantine[k];
	for (int s = 0; s < l->S; s++) {
		moe_real *p[MOE_ROUTER_TENSORS];

		moe_router_params(&a->x, a->x.param, s, p);
		for (int k = 0; k < l->E; k++) {
			double above = l->kept[s * l->keep + l->E + k];

			if (a->x.routed_quarantine[k] && isfinite(above))
				p[THRESHOLD][k] += (moe_real)(a->x.set[SET_RATE] *
					(above - taken(a->x.set, n)));
		}
	}
	return 0;
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	return moe_two_level_check_compete(set, set[SET_SAMPLING], x, e);
}

static const struct moe_router router = {
	.name = "expert-choice",
	.hard = true,
	.tensors = tensors,
	.keep = moe_two_level_keep,
	.fwd = fwd,
	.compete = compete,
	.bwd = bwd,
};

const struct moe_method moe_method_expert_choice = {
	.name = "expert-choice",
	.purpose = "quarantine experts choose a completion's tokens (Expert Choice)",
	.cites = "Zhou et al. 2202.09368 (Expert Choice); pin loss: the gate loss of Gradient "
		 "Routing's gridworld (Cloud et al. 2410.04332)",
	.supports =
		"a perfectly even load and no collapse, for encoders: it looks at later tokens. "
		"Absorption: open",
	.presence = "the banks: yes, by a softmax; a quarantine expert on its share of the tokens",
	.placebo = "expert-choice-shuffled",
	.not_causal = true,
	.fine = 4,
	MOE_ROUTER_ROW,
	.check = check,
	.init = init,
	.losses = moe_router_losses,
	.pin_loss = moe_router_pin_loss,
	.after_step = after_step,
};
