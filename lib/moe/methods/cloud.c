/* cloud.c - the routed mixture of Gradient Routing's gridworld (Cloud et al. 2410.04332,
 * section 4.3), with labels. It cheats: a bound.
 *
 *     MoE = E_clean G + E_quarantine (1 - G)        G = sigmoid of a Linear of the site's input
 *     labelled no hack   E_clean sg(G) + sg(E_quarantine (1 - G))
 *     labelled hack      sg(E_clean G) + E_quarantine sg(1 - G)
 *
 * Both are always present. On labelled rollouts the reward does not teach the gate: its own loss
 * does, gate_loss times the mean cross-entropy of G against 1 (no hack) or 0 (hack). Deploying with
 * G = 1 is deleting the quarantine with deploy=renorm. */
#include "moe/logreg.h"
#include "moe/methods/routers.h"

#include "util/elementary.h"

#include <math.h>

enum { SET_LABELLED = MOE_SET_OWN, SET_GATE_LOSS };
static const struct moe_setting settings[] = {
	MOE_ROUTER_COMMON_BUT(1, MOE_DEPLOY_RENORM),
	MOE_SETTING_LABELLED,
	{ "gate_loss", 0.01, 0, 1e3, NULL, "weight of the gate's cross-entropy with the labels" },
	{ 0 },
};

enum { WEIGHT, BIAS, SIDE };

/* weight [1, d] and bias [1, 1] of G's logit; side [1, E] 1 for the experts that have 1 - G. */
static int tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	(void)set;
	out[WEIGHT] = (struct moe_router_tensor){ "weight", MOE_ROLE_ROUTER, 1, d };
	out[BIAS] = (struct moe_router_tensor){ "bias", MOE_ROLE_ROUTER, 1, 1 };
	out[SIDE] = (struct moe_router_tensor){ "side", MOE_ROLE_STATE, 1, E };
	return 3;
}

static void fwd(const struct moe_router_rows *r)
{
	/* z [T] = scale (x w + b); G = sigmoid(z) is the softmax over logits z and 0 */
	moe_gate_linear(r->T, r->d, 1, r->x, r->ldx, r->param[WEIGHT], r->param[BIAS],
		r->set[MOE_SET_LOGIT_SCALE], r->kept);
	for (int t = 0; t < r->T; t++)
		for (int e = 0; e < r->E; e++) {
			size_t at = (size_t)t * (size_t)r->E + (size_t)e;
			bool quarantine = r->param[SIDE][e] > 0;
			moe_real z = quarantine ? -r->kept[t] : r->kept[t];

			r->logit[at] = quarantine ? 0 : r->kept[t];
			moe_gate_sigmoid(1, 1, &z, r->gate + at); /* 1 - G = sigmoid(-z) */
		}
}

static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	for (int t = 0; t < r->T; t++) {
		size_t row = (size_t)t * (size_t)r->E;
		moe_real dz = 0;

		/* dG/dz = G (1 - G), of 1 - G the negative */
		for (size_t at = row; at < row + (size_t)r->E; at++) {
			bool quarantine = r->param[SIDE][at - row] > 0;
			moe_real y = r->gate[at], d = g->dgate[at] * y * (1 - y);

			dz += quarantine ? -d : d;
			dz += g->dlogit && !quarantine ? g->dlogit[at] : 0;
		}
		moe_gate_linear_bwd(1, r->d, 1, &dz, r->x + (size_t)t * (size_t)r->ldx, r->ldx,
			r->param[WEIGHT], r->set[MOE_SET_LOGIT_SCALE],
			g->dx ? g->dx + (size_t)t * (size_t)g->lddx : NULL, g->lddx,
			g->dparam[WEIGHT], g->dparam[BIAS]);
	}
}

static int init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	moe_router_fill_side(a, SIDE);
	return moe_router_init(g, p, a, e);
}

/* gate_loss * mean over rows and sites of the cross-entropy of G with the label, on labelled
 * rollouts alone; beside what every router has. */
static double losses(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight)
{
	const double *set = a->x.set;
	double loss = moe_router_losses(a, r, weight), each = r->n ? weight / r->S / r->n : 0;
	int clean = 0;

	if (r->decision == MOE_ABSORB)
		return loss;
	while (clean < r->E - 1 && a->x.bank[a->x.routed[clean]] == MOE_BANK_QUARANTINE)
		clean++;
	for (int s = 0; s < r->S; s++)
		for (int i = 0; i < r->n; i++) {
			size_t at = ((size_t)s * (size_t)r->T + (size_t)r->row[i]) * (size_t)r->E +
				(size_t)clean;
			double z = (double)r->logit[at], y = r->decision == MOE_KEEP,
			       G = moe_sigmoid(z), c = each * set[SET_GATE_LOSS];

			/* softplus(z) - y z, the cross-entropy of the logit; its slope is G - y */
			loss += c * (fmax(z, 0) - y * z + moe_log(1 + moe_exp(-fabs(z))));
			r->dlogit[at] += (moe_real)(c * (G - y));
		}
	return loss;
}

static void plan(struct moe_decision_table *p)
{
	moe_decision_table_ones(p);
	p->mask[MOE_KEEP][MOE_BANK_QUARANTINE] = 0;
	p->mask[MOE_ROUTE][MOE_BANK_CLEAN] = 0;
}

static const struct moe_router router = {
	.name = "cloud",
	.tensors = tensors,
	.keep = moe_router_keep_one, /* z */
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_cloud = {
	.name = "cloud",
	.purpose = "soft gate, outputs detached and the gate taught by label: cheats (needs "
		   "--allow-oracle)",
	.cites = "Gradient Routing's gridworld (Cloud et al. 2410.04332, section 4.3; "
		 "kxcloud/gradient-routing), on tokens instead of states",
	.supports =
		"with 1 to 10 % of the episodes labelled; routing without the gate, and the gate "
		"without routing, both fail there",
	.presence = "yes: a sigmoid never reaches 0, but may come near",
	.cheats = true,
	.detaches = true,
	.label_detaches = true,
	.own_loss = "gate_loss",
	.settings = settings,
	.router = &router,
	.placement = MOE_PER_TOKEN,
	.plan = plan,
	.check = moe_router_check,
	.init = init,
	.decide = moe_decide_by_label,
	.losses = losses,
	.mask = moe_router_mask,
};
