/* seeded.c - one weight w per rollout on the quarantine: a cosine router of rank 1 over the base's
 * pooled states, seeded by the pairs' direction, then trained by reward through w and by the pin
 * loss. The deployed experts' gradients are scaled by 1 - w.
 *
 * While sampling, w is not known yet (it is pooled over the completion): the plan's sampling gates
 * are on, and the mismatch shows as logp_diff in the metrics. */
#include "moe/features.h"
#include "moe/heldout.h"
#include "moe/methods/routers.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>

enum { SET_PIN, SET_PIN_BATCH, SET_SCALE, SET_LR, SET_DETACH };
static const struct moe_setting settings[] = {
	[SET_PIN] = { "pin", 1, 0, 1e3, NULL, "weight of the pin loss in each step" },
	[SET_PIN_BATCH] = { "pin_batch", 0, 0, 1e6, NULL, "pairs of a step's pin loss; 0 = all" },
	[SET_SCALE] = { "logit_scale", 8, 1e-3, 1e3, NULL, "w = sigmoid(logit_scale * cosine)" },
	[SET_LR] = { "lr_ratio", 1, 0, 1e3, NULL, "the router's learning rate over the experts'" },
	[SET_DETACH] = { "detach", 0, 0, 0, "off|on",
		"on: reward does not train the router, only the pins" },
	{ 0 },
};

enum { WEIGHT, MIDDLE, SIDE };

/* weight [1, d] the direction; middle [1, d] what cosines are taken from, the pairs' mean state;
 * side [1, E] 1 for the experts that w is for. */
static int tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	(void)set;
	out[WEIGHT] = (struct moe_router_tensor){ "weight", MOE_ROLE_ROUTER, 1, d };
	out[MIDDLE] = (struct moe_router_tensor){ "middle", MOE_ROLE_STATE, 1, d };
	out[SIDE] = (struct moe_router_tensor){ "side", MOE_ROLE_STATE, 1, E };
	return 3;
}

static void fwd(const struct moe_router_rows *r)
{
	/* z [T] = scale cos(x - middle, weight) */
	moe_gate_cosine(r->T, r->d, 1, r->x, r->ldx, r->param[MIDDLE], r->param[WEIGHT],
		r->set[SET_SCALE], r->kept);
	/* softmax over two experts with logits 0 and z is the sigmoid of z; the deployed ones stay
	 * whole in the forward pass */
	for (int t = 0; t < r->T; t++)
		for (int e = 0; e < r->E; e++) {
			size_t at = (size_t)t * (size_t)r->E + (size_t)e;

			r->logit[at] = r->param[SIDE][e] > 0 ? r->kept[t] : 0;
			r->gate[at] = 1;
			if (r->param[SIDE][e] > 0)
				moe_gate_sigmoid(1, 1, r->kept + t, r->gate + at);
		}
}

static void bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	for (int t = 0; t < r->T; t++) {
		size_t row = (size_t)t * (size_t)r->E;
		moe_real dz = 0;

		/* dz = sum over the quarantine of w (1 - w) dgate + dlogit */
		for (size_t at = row; at < row + (size_t)r->E; at++)
			if (r->param[SIDE][at - row] > 0) {
				moe_gate_sigmoid_bwd(1, 1, r->gate + at, g->dgate + at, &dz);
				dz += g->dlogit ? g->dlogit[at] : 0;
			}
		moe_gate_cosine_bwd(1, r->d, 1, &dz, r->x + (size_t)t * (size_t)r->ldx, r->ldx,
			r->param[MIDDLE], r->param[WEIGHT], r->set[SET_SCALE],
			g->dx ? g->dx + (size_t)t * (size_t)g->lddx : NULL, g->lddx,
			g->dparam[WEIGHT]);
	}
}

/* w of held-out pairs under the direction of the others: how good a start the seed is. in [n], row
 * [d], v [d] and middle [d] are scratch. */
static void held_out(struct moe_held *h, const float *x, int d, double scale, uint8_t *in,
	moe_real *row, moe_real *v, moe_real *middle)
{
	for (uint32_t f = 0; f < h->folds; f++) {
		for (size_t i = 0; i < h->n; i++)
			in[i] = !moe_held_is_out(h, i, f);
		moe_contrast(x, h->n, (size_t)d, in, v, middle);
		for (size_t i = 0; i < 2 * h->n; i++) {
			moe_real z, w;

			if (in[i / 2])
				continue;
			for (int k = 0; k < d; k++)
				row[k] = (moe_real)x[i * (size_t)d + (size_t)k];
			moe_gate_cosine(1, d, 1, row, d, middle, v, scale, &z);
			moe_gate_sigmoid(1, 1, &z, &w);
			h->score[i] = (double)w;
		}
	}
}

static int init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	int d = moe_features_dim(&g->m->config), rc = -1;
	float *length = moe_alloc(2 * p->n, sizeof(*length), e),
	      *x = length ? moe_features_of_pairs(g, p, length, e) : NULL;
	uint8_t *in = x ? moe_alloc(p->n, 1, e) : NULL;
	moe_real *row = in ? moe_alloc((size_t)d, sizeof(*row), e) : NULL;
	struct moe_held h = { 0 };
	moe_real *t[MOE_ROUTER_TENSORS];

	moe_router_params(&a->x, a->x.param, 0, t);
	moe_router_fill_side(a, SIDE);
	if (row && !moe_held_begin(&h, p->n, 5, a->train_seed, e)) {
		if (h.folds >= 2)
			held_out(&h, x, d, a->x.set[SET_SCALE], in, row, t[WEIGHT], t[MIDDLE]);
		rc = moe_held_store(&h, x, (size_t)d, length, NAN, NAN, a, e);
		moe_contrast(x, p->n, (size_t)d, NULL, t[WEIGHT], t[MIDDLE]);
	}
	moe_held_free(&h);
	free(row);
	free(in);
	free(x);
	free(length);
	return rc;
}

static void report(const struct moe_adapter *a, size_t n_pair, struct moe_said *out)
{
	moe_router_report(a, n_pair, out);
	moe_held_report(a, n_pair, out);
}

/* The deployed experts learn 1 - w of the rollout; the quarantine's share comes through its gate.
 */
static void mask(const struct moe_adapter *a, const struct moe_gate_rows *r, double *out)
{
	double w = 0;
	int q = 0; /* the column of a quarantine expert */

	while (q < a->x.n_routed - 1 && a->x.bank[a->x.routed[q]] != MOE_BANK_QUARANTINE)
		q++;
	for (int i = 0; i < r->n; i++)
		w += (double)r->gate[(size_t)r->row[i] * (size_t)r->E + (size_t)q] / r->n;
	for (int k = 0; k < a->x.E; k++)
		if (a->x.bank[k] != MOE_BANK_QUARANTINE)
			out[k] *= 1 - w;
}

static const struct moe_router router = {
	.name = "seeded",
	.tensors = tensors,
	.keep = moe_router_keep_one, /* z */
	.fwd = fwd,
	.bwd = bwd,
};

const struct moe_method moe_method_seeded = {
	.name = "seeded",
	.purpose = "one soft weight per rollout, cosine router seeded by the pairs' direction",
	.cites = "the soft router of evil_MoE (2026-06): w on the quarantine, 1-w on the deployed "
		 "gradient, pinned in each step; no published numbers",
	.supports =
		"SGTM's seed-and-self-reinforce story applied to a learned router is an analogy, a "
		"hypothesis: it was shown for label-masked pretraining",
	.presence = "yes while w > 0: a sigmoid never reaches 0, but may come near",
	.placebo = "seeded-shuffled",
	.needs_pairs = true,
	.pins = true,
	.settings = settings,
	.router = &router,
	.placement = MOE_PER_ROLLOUT,
	.plan = moe_decision_table_ones,
	.check = moe_router_check_banks,
	.init = init,
	.report = report,
	.pin_loss = moe_router_pin_loss,
	.mask = mask,
};
