/* arrow.c - Arrow inside the quarantine: an expert's prototype is the top right singular vector v
 * of its delta B A, the direction that it answers most; of |x.v| the k largest go through a
 * softmax. Prototypes have no gradient; they are computed from the experts and go stale as these
 * train, so after_step computes them anew. */
#include "moe/methods/routers.h"
#include "moe/singular.h"

#include "util/mem.h"

#include <math.h>
#include <stdlib.h>

enum { SET_K = MOE_SET_OWN, SET_TEMPERATURE, SET_REFRESH };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON,
	{ "k", 1, 1, MOE_EXPERTS_MAX, NULL, "quarantine experts that stay at a token (PEFT: 3)" },
	{ "temperature", 1, 1e-3, 1e3, NULL, "of the softmax over those that stay" },
	{ "refresh", 10, 0, 1e6, NULL, "steps between prototypes; 0 = those of the start" },
	{ 0 },
};

enum { PROTO = 2 };

/* weight [E, d], bias [E] of the banks' gate, and the prototypes [E, d] */
static int tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	return moe_router_state_tensor(d, E, set, "prototype", E, d, out);
}

/* own = x.v; y = softmax(|x.v| / temperature) over the k largest */
static void choose(struct moe_choice *c)
{
	const struct moe_router_rows *r = c->r;
	const moe_real *x = r->x + (size_t)c->t * (size_t)r->ldx;
	moe_real sim[MOE_EXPERTS_MAX], unused[MOE_EXPERTS_MAX];
	uint8_t pick[MOE_EXPERTS_MAX];

	for (int i = 0; i < c->n; i++) {
		moe_gate_linear(1, r->d, 1, x, r->ldx, r->param[PROTO] + c->col[i] * r->d, NULL, 1,
			c->own + i);
		sim[i] = c->own[i] < 0 ? -c->own[i] : c->own[i];
	}
	moe_gate_topk(1, c->n, (int)r->set[SET_K], false, sim, unused, pick);
	for (int i = 0; i < c->n; i++)
		sim[i] = pick[i] ? (moe_real)((double)sim[i] / r->set[SET_TEMPERATURE])
				 : (moe_real)-INFINITY;
	if (c->n)
		moe_gate_softmax(1, c->n, sim, c->y);
}

static void choose_bwd(const struct moe_choice *c, const moe_real *dy, moe_real *dz,
	const struct moe_router_grads *g)
{
	const struct moe_router_rows *r = c->r;
	moe_real ds[MOE_EXPERTS_MAX] = { 0 };

	(void)dz; /* the logits are of the banks' gate alone */
	/* what is not among the k has y = 0, and gets nothing from the softmax either */
	moe_gate_softmax_bwd(1, c->n, c->y, dy, ds);
	for (int i = 0; i < c->n && g->dx; i++) {
		double d = (double)ds[i] / r->set[SET_TEMPERATURE] * (c->own[i] < 0 ? -1 : 1);

		for (int j = 0; j < r->d; j++) /* dx += sign(x.v) d v */
			g->dx[(size_t)c->t * (size_t)g->lddx + (size_t)j] += (moe_real)(d *
				(double)r->param[PROTO][c->col[i] * r->d + j]);
	}
}

MOE_TWO_LEVEL_PASSES

/* All prototypes of quarantine experts anew. */
static int compute(struct moe_adapter *a, struct moe_err *e)
{
	const struct moe_experts *x = &a->x;

	for (int s = 0; s < x->n_site; s++) {
		size_t d = (size_t)x->site[s].d;
		double *work = moe_alloc(2 * d + 2 * (size_t)x->R, sizeof(*work), e);
		moe_real *p[MOE_ROUTER_TENSORS];

		if (!work)
			return -1;
		moe_router_params(x, x->param, s, p);
		for (int k = 0; k < x->n_routed; k++)
			if (x->routed_quarantine[k])
				moe_singular_input(
					x, s, x->routed[k], work, p[PROTO] + (size_t)k * d);
		free(work);
	}
	return 0;
}

static int init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	return moe_router_init(g, p, a, e) || compute(a, e) ? -1 : 0;
}

static int after_step(struct moe_adapter *a, const struct moe_load *l, struct moe_err *e)
{
	int64_t every = (int64_t)a->x.set[SET_REFRESH];

	(void)l;
	return every > 0 && a->step % every == 0 ? compute(a, e) : 0;
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	if ((int)set[MOE_SET_PLACEMENT] == MOE_PER_BASE - MOE_PER_TOKEN)
		return moe_fail(e, MOE_USAGE,
			"placement=base: a prototype is a direction of what an expert reads, and "
			"no expert reads the base's last state");
	return moe_two_level_check(set, 0, set[SET_K], x, e);
}

static const struct moe_router router = {
	.name = "arrow",
	.hard = true,
	.tensors = tensors,
	.keep = moe_two_level_keep,
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_arrow = {
	.name = "arrow",
	.purpose = "quarantine experts by |x.v|, v the direction that each answers most (Arrow)",
	.cites = "Ostapenko et al. 2405.11157 (Arrow), as in PEFT; pin loss: the gate loss of "
		 "Gradient Routing's gridworld (Cloud et al. 2410.04332)",
	.supports =
		"routing among ready-made adapters without training a router. |x.v| has no sign: "
		"the two ends of a contrast look alike to it. Absorption: open",
	.presence = "the banks: yes, by a softmax; a quarantine expert where it is among the k",
	.placebo = "arrow-shuffled",
	.fine = 4,
	MOE_ROUTER_ROW,
	.check = check,
	.init = init,
	.losses = moe_router_losses,
	.pin_loss = moe_router_pin_loss,
	.after_step = after_step,
};
