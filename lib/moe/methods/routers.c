/* routers.c - settings, losses and hindsight that all routers share. The gates themselves are each
 * method's; the arithmetic is nn/gate.h. */
#include "moe/methods/routers.h"

#include "util/rng.h"

#include <math.h>
#include <string.h>

/* ---- layout ---- */

int moe_router_count(const struct moe_experts *x)
{
	int n = 0;

	for (int i = 0; i < x->E; i++)
		n += x->bank[i] != MOE_BANK_SHARED;
	return n;
}

static int count_bank(const struct moe_experts *x, enum moe_bank bank)
{
	int n = 0;

	for (int i = 0; i < x->E; i++)
		n += x->bank[i] == bank;
	return n;
}

int moe_router_check_banks(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	(void)set;
	return count_bank(x, MOE_BANK_CLEAN) && count_bank(x, MOE_BANK_QUARANTINE)
		? 0
		: moe_fail(e, MOE_USAGE,
			  "a router chooses between the banks clean and quarantine: both need an "
			  "expert");
}

int moe_router_check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	int over = (int)set[MOE_SET_BALANCE_OVER];

	if (moe_router_check_banks(set, x, e))
		return -1;
	if (set[MOE_SET_LO] > set[MOE_SET_HI])
		return moe_fail(
			e, MOE_USAGE, "lo=%g is above hi=%g", set[MOE_SET_LO], set[MOE_SET_HI]);
	if (set[MOE_SET_BALANCE] == 0)
		return 0;
	if (over == MOE_OVER_ALL)
		return moe_fail(e, MOE_USAGE,
			"balance_over=all: a balance loss across clean and quarantine would send "
			"the quarantine a fixed share of every rollout, hack or not; balance "
			"within one bank (balance_over=quarantine or clean)");
	if (count_bank(x, over == MOE_OVER_CLEAN ? MOE_BANK_CLEAN : MOE_BANK_QUARANTINE) < 2)
		return moe_fail(e, MOE_USAGE,
			"balance=%g: the bank %s has one expert, so there is nothing to balance; "
			"add some with --expert",
			set[MOE_SET_BALANCE], over == MOE_OVER_CLEAN ? "clean" : "quarantine");
	return 0;
}

void moe_router_begin_bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	size_t n = (size_t)r->T * (size_t)r->E;

	if (g->dlogit)
		memcpy(g->work, g->dlogit, n * sizeof(*g->work));
	else
		memset(g->work, 0, n * sizeof(*g->work));
}

int moe_router_init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(a->train_seed, "router");

	(void)g;
	(void)p;
	(void)e;
	for (size_t i = 0; i < a->x.n_view; i++) {
		const struct moe_view *v = &a->x.view[i];

		if (v->role != MOE_ROLE_ROUTER || !strstr(v->name, ".weight"))
			continue;
		for (size_t k = 0; k < v->n; k++)
			a->x.param[v->off + k] = (moe_real)(float)(a->x.set[MOE_SET_INIT] *
				moe_rng_normal(key, (uint64_t)v->site, k));
	}
	return 0;
}

void moe_router_report(const struct moe_adapter *a, size_t n_pair, struct moe_said *s)
{
	moe_say(s, false,
		"router: %d site%s (placement %s), %d experts to choose from; it learns from the "
		"%zu pairs while moe-train runs (--pin)",
		a->x.n_site, a->x.n_site == 1 ? "" : "s", moe_placement_names[a->x.placement],
		a->x.n_routed, n_pair);
}

/* ---- per rollout ---- */

int moe_router_score(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seen *s, size_t n, const struct moe_turn *turn, struct moe_judged *j,
	struct moe_nulls *null, struct moe_err *e)
{
	(void)g;
	(void)turn;
	(void)null; /* random directions of a router would have to be sampled with */
	for (size_t i = 0; i < n; i++) {
		double q = 0, all = 0;

		if (!s[i].mean)
			return moe_fail(e, MOE_DATA,
				"rollout %zu has no gates on record (route.weights): the method "
				"'%s' decides by those that moe-rollout writes",
				i, a->method);
		for (int k = 0; k < a->x.E; k++) {
			if (a->x.bank[k] == MOE_BANK_SHARED)
				continue;
			all += (double)s[i].mean[k];
			q += a->x.bank[k] == MOE_BANK_QUARANTINE ? (double)s[i].mean[k] : 0;
		}
		j[i].score = all > 0 ? q / all : 0.5;
	}
	return 0;
}

int moe_router_decide(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e)
{
	if (moe_method_setting(a, "hindsight", 0) == MOE_HINDSIGHT_DECIDE)
		return moe_decide_three_way(a, s, n, turn, j, e);
	for (size_t i = 0; i < n; i++)
		j[i].decision = MOE_ABSORB;
	return 0;
}

/* Row i of site s, of an array [S,T,E]. */
static size_t cell_of(const struct moe_gate_rows *r, int s, int i)
{
	return ((size_t)s * (size_t)r->T + (size_t)r->row[i]) * (size_t)r->E;
}

void moe_router_mask(const struct moe_adapter *a, const struct moe_gate_rows *r, double *mask)
{
	const struct moe_experts *x = &a->x;
	double sum[MOE_BANKS] = { 0 }, all;

	if ((int)x->set[MOE_SET_HINDSIGHT] != MOE_HINDSIGHT_SOFT)
		return;
	for (int s = 0; s < r->S; s++)
		for (int i = 0; i < r->n; i++)
			for (int k = 0; k < r->E; k++)
				sum[x->bank[x->routed[k]]] +=
					(double)r->gate[cell_of(r, s, i) + (size_t)k];
	all = sum[MOE_BANK_CLEAN] + sum[MOE_BANK_QUARANTINE];
	/* each bank learns by the share of the completion that the router gave it */
	for (int k = 0; all > 0 && k < x->n_routed; k++)
		mask[x->routed[k]] *= sum[x->bank[x->routed[k]]] / all;
}

/* ---- losses ---- */

/* Columns of a bank, and a row's softmax over them. */
struct bank_rows {
	int n, col[MOE_EXPERTS_MAX];
};

static struct bank_rows columns_of(const struct moe_experts *x, enum moe_bank bank)
{
	struct bank_rows b = { 0 };

	for (int k = 0; k < x->n_routed; k++)
		if (x->bank[x->routed[k]] == bank)
			b.col[b.n++] = k;
	return b;
}

static void bank_softmax(const struct bank_rows *b, const moe_real *logit, moe_real *p)
{
	moe_real z[MOE_EXPERTS_MAX];

	for (int k = 0; k < b->n; k++)
		z[k] = logit[b->col[k]];
	moe_gate_softmax(1, b->n, z, p);
}

/* Balance within one bank at one site: Switch's loss of the softmax over the bank's logits, picks =
 * the largest. The scope is this rollout: first its shares, then row by row the gradient. */
static double balance_site(
	const struct bank_rows *b, const struct moe_gate_rows *r, int s, double coef)
{
	double f[MOE_EXPERTS_MAX] = { 0 }, loss = 0;
	moe_real p[MOE_EXPERTS_MAX], y[MOE_EXPERTS_MAX];
	uint8_t pick[MOE_EXPERTS_MAX];

	for (int i = 0; i < r->n; i++) {
		bank_softmax(b, r->logit + cell_of(r, s, i), p);
		moe_gate_topk(1, b->n, 1, false, p, y, pick);
		for (int k = 0; k < b->n; k++)
			f[k] += (double)pick[k] / r->n;
	}
	for (int i = 0; i < r->n; i++) {
		moe_real dp[MOE_EXPERTS_MAX] = { 0 }, dz[MOE_EXPERTS_MAX] = { 0 };

		bank_softmax(b, r->logit + cell_of(r, s, i), p);
		loss += moe_gate_balance(1, b->n, 1, f, p, coef / r->n, dp);
		moe_gate_softmax_bwd(1, b->n, p, dp, dz);
		for (int k = 0; k < b->n; k++)
			r->dlogit[cell_of(r, s, i) + (size_t)b->col[k]] += dz[k];
	}
	return loss;
}

double moe_router_losses(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight)
{
	const double *set = a->x.set;
	bool over_clean = (int)set[MOE_SET_BALANCE_OVER] == MOE_OVER_CLEAN;
	struct bank_rows b = columns_of(&a->x, over_clean ? MOE_BANK_CLEAN : MOE_BANK_QUARANTINE);
	double loss = 0, each = r->n ? weight / r->S : 0; /* a mean over sites and rows */

	for (int s = 0; s < r->S; s++) {
		if (set[MOE_SET_BALANCE] > 0 && r->n)
			loss += balance_site(&b, r, s, each * set[MOE_SET_BALANCE]);
		for (int i = 0; set[MOE_SET_Z_LOSS] > 0 && i < r->n; i++)
			loss += moe_gate_z_loss(1, r->E, r->logit + cell_of(r, s, i),
				each / r->n * set[MOE_SET_Z_LOSS], r->dlogit + cell_of(r, s, i));
	}
	return loss;
}

double moe_router_pin_loss(
	const struct moe_adapter *a, const struct moe_gate_rows *r, bool hack, double weight)
{
	bool in[MOE_EXPERTS_MAX];
	double loss = 0;

	for (int k = 0; k < a->x.n_routed; k++)
		in[k] = a->x.bank[a->x.routed[k]] == MOE_BANK_QUARANTINE;
	for (int s = 0; s < r->S; s++)
		for (int i = 0; i < r->n; i++)
			loss += moe_gate_pin(1, r->E, r->logit + cell_of(r, s, i), in, hack,
				weight / (r->S * r->n), r->dlogit + cell_of(r, s, i));
	return loss;
}
