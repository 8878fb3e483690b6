/* routers.c - settings, losses and hindsight that all routers share. The gates themselves are each
 * method's; the arithmetic is nn/gate.h. */
#include "moe/methods/routers.h"

#include "util/rng.h"

#include <math.h>
#include <string.h>

/* ---- logits that are a Linear of the input ---- */

int moe_router_linear_tensors(
	int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	(void)set;
	out[0] = (struct moe_router_tensor){ "weight", MOE_ROLE_ROUTER, E, d };
	out[1] = (struct moe_router_tensor){ "bias", MOE_ROLE_ROUTER, 1, E };
	return 2;
}

int moe_router_state_tensor(int d, int E, const double *set, const char *name, int rows, int cols,
	struct moe_router_tensor out[MOE_ROUTER_TENSORS])
{
	int n = moe_router_linear_tensors(d, E, set, out);

	out[n] = (struct moe_router_tensor){ name, MOE_ROLE_STATE, rows, cols };
	return n + 1;
}

int moe_router_keep_each(int E, const double *set)
{
	(void)set;
	return E;
}

int moe_router_keep_one(int E, const double *set)
{
	(void)E;
	(void)set;
	return 1;
}

void moe_router_logits(const struct moe_router_rows *r)
{
	moe_gate_linear(r->T, r->d, r->E, r->x, r->ldx, r->param[0], r->param[1],
		r->set[MOE_SET_LOGIT_SCALE], r->logit);
}

void moe_router_begin_bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	size_t n = (size_t)r->T * (size_t)r->E;

	if (g->dlogit)
		memcpy(g->work, g->dlogit, n * sizeof(*g->work));
	else
		memset(g->work, 0, n * sizeof(*g->work));
}

void moe_router_end_bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	moe_gate_linear_bwd(r->T, r->d, r->E, g->work, r->x, r->ldx, r->param[0],
		r->set[MOE_SET_LOGIT_SCALE], g->dx, g->lddx, g->dparam[0], g->dparam[1]);
}

void moe_router_topk_fwd(const struct moe_router_rows *r, int k, bool renorm)
{
	uint8_t pick[MOE_EXPERTS_MAX];

	/* logit [T,E] = scale (x W' + b) */
	moe_router_logits(r);
	/* p [T,E], kept = softmax(logit); gate [T,E] = its k largest */
	moe_gate_softmax(r->T, r->E, r->logit, r->kept);
	for (size_t at = 0; at < (size_t)r->T * (size_t)r->E; at += (size_t)r->E)
		moe_gate_topk(1, r->E, k, renorm, r->kept + at, r->gate + at, pick);
}

void moe_router_topk_bwd(
	const struct moe_router_rows *r, const struct moe_router_grads *g, int k, bool renorm)
{
	size_t E = (size_t)r->E, all = (size_t)r->T * E;
	uint8_t pick[MOE_EXPERTS_MAX];

	/* g->work [T,E] becomes the gradient of the logits: seeds, then what comes through gates */
	moe_router_begin_bwd(r, g);
	for (size_t at = 0; at < all; at += E) {
		moe_real dp[MOE_EXPERTS_MAX] = { 0 }, again[MOE_EXPERTS_MAX];

		/* the choice is made again from the kept p: the same bits, the same choice */
		moe_gate_topk(1, r->E, k, renorm, r->kept + at, again, pick);
		moe_gate_topk_bwd(1, r->E, renorm, r->kept + at, again, pick, g->dgate + at, dp);
		moe_gate_softmax_bwd(1, r->E, r->kept + at, dp, g->work + at);
	}
	moe_router_end_bwd(r, g);
}

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

int moe_router_check_count(const char *name, double v, int most, struct moe_err *e)
{
	return v == (int)v && v <= most
		? 0
		: moe_fail(e, MOE_USAGE,
			  "%s=%g: it is a whole number up to %d, the experts to choose from", name,
			  v, most);
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

void moe_router_fill(struct moe_adapter *a, int i, double v)
{
	for (int s = 0; s < a->x.n_site; s++) {
		const struct moe_view *view = &a->x.view[a->x.site[s].view + i];

		for (size_t k = 0; k < view->n; k++)
			a->x.param[view->off + k] = (moe_real)v;
	}
}

void moe_router_fill_side(struct moe_adapter *a, int i)
{
	for (int s = 0; s < a->x.n_site; s++) {
		moe_real *side = a->x.param + a->x.view[a->x.site[s].view + i].off;

		for (int k = 0; k < a->x.n_routed; k++)
			side[k] = a->x.routed_quarantine[k];
	}
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
				"the method '%s' decides by the gates that its router gave while "
				"sampling; moe-rollout has written that decision into these "
				"rollouts already, so leave moe-route out, or look at the gates "
				"with moe-route --explain; to decide by another method give its "
				"name (--method) and an adapter that has its score",
				a->method);
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
					(double)r->gate[moe_gate_cell(r, s, i) + (size_t)k];
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

/* Without the first `skip` of them. */
static struct bank_rows columns_of(const struct moe_experts *x, enum moe_bank bank, int skip)
{
	struct bank_rows b = { 0 };

	for (int k = 0; k < x->n_routed; k++)
		if (x->bank[x->routed[k]] == bank && skip-- <= 0)
			b.col[b.n++] = k;
	return b;
}

/* p [n] = of the bank's logits at a row: their softmax, or (scores) the sigmoid of each */
static void bank_scores(const struct bank_rows *b, bool scores, const moe_real *logit, moe_real *p)
{
	moe_real z[MOE_EXPERTS_MAX];

	for (int k = 0; k < b->n; k++)
		z[k] = logit[b->col[k]];
	if (scores)
		moe_gate_sigmoid(1, b->n, z, p);
	else
		moe_gate_softmax(1, b->n, z, p);
}

/* Balance within one bank at one site: of the softmax over the bank's logits (Switch, DeepSeekMoE)
 * or of their sigmoids (the sequence-wise form), picks = the k largest. The scope is this rollout:
 * first its shares, then row by row the gradient. */
static double balance_site(const struct bank_rows *b, bool scores, int k,
	const struct moe_gate_rows *r, int s, double coef)
{
	double f[MOE_EXPERTS_MAX] = { 0 }, loss = 0;
	moe_real p[MOE_EXPERTS_MAX], y[MOE_EXPERTS_MAX];
	uint8_t pick[MOE_EXPERTS_MAX];

	for (int i = 0; i < r->n; i++) {
		bank_scores(b, scores, r->logit + moe_gate_cell(r, s, i), p);
		moe_gate_topk(1, b->n, k, false, p, y, pick);
		for (int q = 0; q < b->n; q++)
			f[q] += (double)pick[q] / r->n;
	}
	for (int i = 0; i < r->n; i++) {
		moe_real dp[MOE_EXPERTS_MAX] = { 0 }, dz[MOE_EXPERTS_MAX] = { 0 };

		bank_scores(b, scores, r->logit + moe_gate_cell(r, s, i), p);
		if (scores) {
			loss += moe_gate_balance_sequence(1, b->n, k, f, p, coef / r->n, dp);
			moe_gate_sigmoid_bwd(1, b->n, p, dp, dz);
		} else {
			loss += moe_gate_balance(1, b->n, k, f, p, coef / r->n, dp);
			moe_gate_softmax_bwd(1, b->n, p, dp, dz);
		}
		for (int q = 0; q < b->n; q++)
			r->dlogit[moe_gate_cell(r, s, i) + (size_t)b->col[q]] += dz[q];
	}
	return loss;
}

double moe_router_balance(const struct moe_adapter *a, const struct moe_gate_rows *r, int skip,
	bool scores, int k, double weight)
{
	struct bank_rows b = columns_of(&a->x, MOE_BANK_QUARANTINE, skip);
	double loss = 0;

	for (int s = 0; s < r->S && b.n > 1 && weight > 0; s++)
		loss += balance_site(&b, scores, k, r, s, weight / r->S);
	return loss;
}

double moe_router_z_loss(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight)
{
	double loss = 0, coef = weight * a->x.set[MOE_SET_Z_LOSS];

	for (int s = 0; s < r->S && coef > 0; s++) /* a mean over sites and rows */
		for (int i = 0; i < r->n; i++)
			loss += moe_gate_z_loss(1, r->E, r->logit + moe_gate_cell(r, s, i),
				coef / r->S / r->n, r->dlogit + moe_gate_cell(r, s, i));
	return loss;
}

double moe_router_losses(const struct moe_adapter *a, const struct moe_gate_rows *r, double weight)
{
	const double *set = a->x.set;
	bool over_clean = (int)set[MOE_SET_BALANCE_OVER] == MOE_OVER_CLEAN;
	struct bank_rows b = columns_of(
		&a->x, over_clean ? MOE_BANK_CLEAN : MOE_BANK_QUARANTINE, 0);
	double loss = moe_router_z_loss(a, r, weight);

	for (int s = 0; s < r->S && set[MOE_SET_BALANCE] > 0 && r->n; s++)
		loss += balance_site(&b, false, 1, r, s, weight / r->S * set[MOE_SET_BALANCE]);
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
			loss += moe_gate_pin(1, r->E, r->logit + moe_gate_cell(r, s, i), in, hack,
				weight / (r->S * r->n), r->dlogit + moe_gate_cell(r, s, i));
	return loss;
}

/* ---- two levels ---- */

int moe_two_level_keep(int E, const double *set)
{
	(void)set;
	return 2 * E;
}

void moe_choice_open(struct moe_choice *c, const struct moe_router_rows *r, int t)
{
	size_t row = (size_t)t * (size_t)r->E;

	*c = (struct moe_choice){ .r = r, .t = t };
	for (int k = 0; k < r->E; k++)
		if (r->quarantine[k]) {
			c->z[c->n] = r->logit[row + (size_t)k];
			c->y[c->n] = r->kept[2 * row + (size_t)k];
			c->own[c->n] = r->kept[2 * row + (size_t)(r->E + k)];
			c->col[c->n++] = k;
		}
}

/* p [E] = softmax of the row's logits; returns the quarantine's part of it. */
static double bank_share(const struct moe_choice *c, moe_real *p)
{
	double M = 0;

	moe_gate_softmax(1, c->r->E, c->r->logit + (size_t)c->t * (size_t)c->r->E, p);
	for (int i = 0; i < c->n; i++)
		M += (double)p[c->col[i]];
	return M;
}

void moe_choice_close(const struct moe_choice *c)
{
	const struct moe_router_rows *r = c->r;
	size_t row = (size_t)c->t * (size_t)r->E;
	moe_real p[MOE_EXPERTS_MAX];
	double M = bank_share(c, p);

	memcpy(r->gate + row, p, (size_t)r->E * sizeof(*p));
	memset(r->kept + 2 * row, 0, 2 * (size_t)r->E * sizeof(*p));
	for (int i = 0; i < c->n; i++) {
		r->gate[row + (size_t)c->col[i]] = (moe_real)(M * (double)c->y[i]);
		r->kept[2 * row + (size_t)c->col[i]] = c->y[i];
		r->kept[2 * row + (size_t)(r->E + c->col[i])] = c->own[i];
	}
}

void moe_two_level_fwd(const struct moe_router_rows *r, void (*choose)(struct moe_choice *c))
{
	struct moe_choice c;

	moe_router_logits(r);
	for (int t = 0; t < r->T; t++) {
		moe_choice_open(&c, r, t);
		memset(c.y, 0, sizeof(c.y)); /* what was kept is of another pass */
		memset(c.own, 0, sizeof(c.own));
		choose(&c);
		moe_choice_close(&c);
	}
}

void moe_two_level_bwd(const struct moe_router_rows *r, const struct moe_router_grads *g,
	void (*choose_bwd)(const struct moe_choice *c, const moe_real *dy, moe_real *dz,
		const struct moe_router_grads *g))
{
	struct moe_choice c;

	moe_router_begin_bwd(r, g);
	for (int t = 0; t < r->T; t++) {
		size_t row = (size_t)t * (size_t)r->E;
		moe_real p[MOE_EXPERTS_MAX], dp[MOE_EXPERTS_MAX], dy[MOE_EXPERTS_MAX],
			dz[MOE_EXPERTS_MAX] = { 0 };
		double M, dM = 0;

		moe_choice_open(&c, r, t);
		M = bank_share(&c, p);
		/* gate = M y:  dM = sum y dgate, dy = M dgate */
		memcpy(dp, g->dgate + row, (size_t)r->E * sizeof(*dp));
		for (int i = 0; i < c.n; i++) {
			double d = (double)g->dgate[row + (size_t)c.col[i]];

			dM += d * (double)c.y[i];
			dy[i] = (moe_real)(M * d);
		}
		for (int i = 0; i < c.n; i++)
			dp[c.col[i]] = (moe_real)dM;
		moe_gate_softmax_bwd(1, r->E, p, dp, g->work + row);
		choose_bwd(&c, dy, dz, g);
		for (int i = 0; i < c.n; i++)
			g->work[row + (size_t)c.col[i]] += dz[i];
	}
	moe_router_end_bwd(r, g);
}

int moe_two_level_check(
	const double *set, double always, double k, const struct moe_experts *x, struct moe_err *e)
{
	int n = count_bank(x, MOE_BANK_QUARANTINE);

	if (n < 2)
		return moe_fail(e, MOE_USAGE,
			"this router chooses between experts of the quarantine, which has %d: give "
			"several with --expert, or a --quarantine-rank that can be cut up",
			n);
	if (moe_router_check_count("shared", always, n - 1, e) ||
		moe_router_check_count("k", k, n - (int)always, e))
		return -1;
	return moe_router_check(set, x, e);
}

int moe_router_check_sampling(double v, struct moe_err *e)
{
	return v == 0
		? 0
		: moe_fail(e, MOE_USAGE,
			  "sampling=compete: while a token is sampled the later tokens, with which "
			  "it would compete, do not exist: the choice is not causal. A sampled "
			  "token goes by its own row (sampling=alone), and --ratio min weighs what "
			  "training does otherwise");
}

int moe_two_level_check_compete(
	const double *set, double v, const struct moe_experts *x, struct moe_err *e)
{
	return moe_router_check_sampling(v, e) || moe_two_level_check(set, 0, 1, x, e) ? -1 : 0;
}
