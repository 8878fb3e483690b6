/* test_router.c - routers inside the pass against finite differences in float64: at every placement
 * and every deployment, the gradients of the experts, of the router's tensors, of what lies below
 * (the base's weights), of outer, and of seeds on gates and logits.
 *
 * It runs over the routers of the method table and over a small one of its own (softmax with a
 * bias, its gates times 1.3 so that they do not sum to 1), so that a method is gradient-checked by
 * having a row. */
#include "model/model.h"
#include "moe/method.h"
#include "nn/gate.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define EPS  1e-5
#define ROWS 24

static const struct moe_config config = { .family = MOE_LLAMA,
	.V = 23,
	.D = 12,
	.L = 2,
	.H = 3,
	.K = 3,
	.hd = 4,
	.F = 10,
	.max_pos = 64,
	.theta = 1000,
	.eps = 1e-5,
	.tied = true,
	.rope_factor = 1 };

/* ---- a router of the test's own ---- */

static int soft_tensors(int d, int E, const double *set, struct moe_router_tensor out[])
{
	(void)set;
	out[0] = (struct moe_router_tensor){ "weight", MOE_ROLE_ROUTER, E, d };
	out[1] = (struct moe_router_tensor){ "bias", MOE_ROLE_ROUTER, 1, E };
	out[2] = (struct moe_router_tensor){ "state", MOE_ROLE_STATE, 1, 1 };
	return 3;
}

static void soft_fwd(const struct moe_router_rows *r)
{
	moe_gate_linear(r->T, r->d, r->E, r->x, r->ldx, r->param[0], r->param[1], 1, r->logit);
	moe_gate_softmax(r->T, r->E, r->logit, r->gate);
	for (int i = 0; i < r->T * r->E; i++)
		r->gate[i] *= 1.3;
}

static void soft_bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	for (int t = 0; t < r->T; t++) {
		const moe_real *gate = r->gate + t * r->E, *d = g->dgate + t * r->E;
		double dot = 0;

		for (int e = 0; e < r->E; e++)
			dot += gate[e] / 1.3 * d[e];
		for (int e = 0; e < r->E; e++)
			g->work[t * r->E + e] = gate[e] * (d[e] - dot) +
				(g->dlogit ? g->dlogit[t * r->E + e] : 0);
	}
	moe_gate_linear_bwd(r->T, r->d, r->E, g->work, r->x, r->ldx, r->param[0], 1, g->dx, g->lddx,
		g->dparam[0], g->dparam[1]);
}

static const struct moe_router soft = { .name = "soft",
	.tensors = soft_tensors,
	.fwd = soft_fwd,
	.bwd = soft_bwd };

/* ---- a small world ---- */

struct world {
	struct moe_model m;
	struct moe_experts x;
	struct moe_gates g;
	struct moe_batch b;
	struct moe_acts a;
	struct moe_seg seg[3];
	int32_t ids[ROWS], row[ROWS], target[ROWS];
	moe_real weight[ROWS], outer[ROWS * 4], douter[ROWS * 4], *dgate, *dlogit;
	unsigned char routed[ROWS];
	int n, E;
	size_t n_seed;
};

static double rnd(uint64_t a, uint64_t b)
{
	return moe_rng_normal(moe_rng_key(17, "router-test"), a, b);
}

/* One shared, one clean and two quarantine experts; three Linears are left alone. */
static void make_experts(struct world *w, const struct moe_router *router, const double *set,
	enum moe_placement p, enum moe_deploy deploy)
{
	static const enum moe_bank bank[4] = { MOE_BANK_SHARED, MOE_BANK_CLEAN, MOE_BANK_QUARANTINE,
		MOE_BANK_QUARANTINE };
	struct moe_err e;

	w->x = (struct moe_experts){
		.E = 4, .scale = 1.5, .router = router, .placement = p, .deploy = deploy
	};
	for (int i = 0; i < 4; i++) {
		w->x.rank[i] = 1 + i % 2;
		w->x.bank[i] = bank[i];
	}
	for (int l = 0; l < MOE_LINEARS; l++)
		w->x.target[l] = l != MOE_Q && l != MOE_O && l != MOE_LIN_GATE;
	if (set)
		memcpy(w->x.set, set, sizeof(w->x.set));
	if (moe_experts_init(&w->x, &config, &e))
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < w->x.n_view; i++) {
		const struct moe_view *v = &w->x.view[i];

		for (size_t k = v->off; k < v->off + v->n; k++)
			w->x.param[k] = v->role == MOE_ROLE_STATE ? 1.4 : 0.4 * rnd(2, k);
	}
	w->x.present[2] = 0.75;
}

static void make(struct world *w, const struct moe_router *router, const double *set,
	enum moe_placement p, enum moe_deploy deploy)
{
	static const struct moe_seg seg[3] = { { 0, 5, -1, 0 }, { 5, 9, 0, 5 }, { 14, 10, 0, 5 } };
	struct moe_err e;

	memset(w, 0, sizeof(*w));
	assert_int_equal(moe_model_new(&w->m, &config, 3, 1, &e), 0);
	for (size_t i = 0; i < w->m.n_param; i++)
		w->m.param[i] = w->m.param[i] == 1 ? 1 + 0.2 * rnd(1, i) : 0.35 * rnd(1, i);
	make_experts(w, router, set, p, deploy);
	memcpy(w->seg, seg, sizeof(seg));
	w->b = (struct moe_batch){ ROWS, w->ids, 3, w->seg };
	for (int t = 0; t < ROWS; t++) {
		w->ids[t] = (t * 7 + 3) % config.V;
		w->routed[t] = t != 2 && t != 9;
		for (int i = 0; i < 4; i++)
			w->outer[t * 4 + i] = (t + i) % 6 == 5
				? 0
				: 0.8 + 0.2 * rnd(3, (uint64_t)(t * 4 + i));
		if (t % 2)
			continue;
		w->row[w->n] = t;
		w->target[w->n] = (t * 5) % config.V;
		w->weight[w->n++] = rnd(4, (uint64_t)t);
	}
	w->g = (struct moe_gates){ .outer = w->outer, .routed = w->routed };
	w->n_seed = (size_t)w->x.S * ROWS * (size_t)w->x.n_routed;
	w->dgate = calloc(w->n_seed + 1, sizeof(*w->dgate));
	w->dlogit = calloc(w->n_seed + 1, sizeof(*w->dlogit));
	for (size_t i = 0; i < w->n_seed; i++) {
		w->dgate[i] = i % 3 ? 0 : 0.3 * rnd(5, i);
		w->dlogit[i] = i % 4 ? 0 : 0.3 * rnd(6, i);
	}
	w->a.keep = true;
}

static void unmake(struct world *w)
{
	moe_acts_free(&w->a);
	moe_experts_free(&w->x);
	moe_model_free(&w->m);
	free(w->dgate);
	free(w->dlogit);
}

/* Log-probabilities, and linear losses on the router's gates and logits: the seeds. */
static double loss(struct world *w)
{
	moe_real logp[ROWS];
	struct moe_err e = { 0 };
	double sum = 0;

	if (moe_forward(&w->m, &w->x, &w->g, &w->b, &w->a, &e) ||
		moe_head_logp(&w->m, &w->b, &w->a, w->n, w->row, w->target, 0.9, logp, NULL, &e))
		fail_msg("%s", e.msg);
	for (int i = 0; i < w->n; i++)
		sum += w->weight[i] * logp[i];
	for (size_t i = 0; i < w->n_seed; i++)
		sum += w->dgate[i] * w->a.gates.r[i] + w->dlogit[i] * w->a.gates.logit[i];
	return sum;
}

static void backward(struct world *w, moe_real *dx, moe_real *dm)
{
	struct moe_err e = { 0 };

	w->g.dgate = w->dgate;
	w->g.dlogit = w->dlogit;
	w->g.douter = w->douter;
	if (moe_backward(&w->m, &w->x, &w->g, &w->b, &w->a, w->n, w->row, w->target, 0.9, w->weight,
		    dx, dm, &e))
		fail_msg("%s", e.msg);
	w->g.dgate = w->g.dlogit = NULL;
	w->g.douter = NULL;
}

/* Central differences. A hard router's choice may flip between the two sides: such a point says
 * nothing and is told by the disagreement of two step widths. */
static void compare(
	struct world *w, moe_real *p, const moe_real *d, size_t n, size_t step, const char *what)
{
	size_t skipped = 0, tried = 0;

	for (size_t i = 0; i < n; i += step) {
		double keep = p[i], diff[2];

		for (int k = 0; k < 2; k++) {
			double h = k ? EPS / 4 : EPS, up, down;

			p[i] = keep + h;
			up = loss(w);
			p[i] = keep - h;
			down = loss(w);
			diff[k] = (up - down) / (2 * h);
		}
		p[i] = keep;
		tried++;
		if (fabs(diff[0] - diff[1]) > 1e-5 * (1 + fabs(diff[0])))
			skipped++;
		else if (fabs(diff[0] - d[i]) > 2e-6 * (1 + fabs(diff[0])))
			fail_msg(
				"%s %zu: gradient %.12g, difference %.12g", what, i, d[i], diff[0]);
	}
	if (skipped * 5 > tried)
		fail_msg("%s: %zu of %zu points lie at a jump", what, skipped, tried);
}

static void check(const struct moe_router *router, const char *name, const double *set,
	enum moe_placement p, enum moe_deploy deploy)
{
	struct world w;
	moe_real *dx, *dm;
	char what[120];
	size_t from;

	make(&w, router, set, p, deploy);
	dx = calloc(w.x.n_param, sizeof(*dx));
	dm = calloc(w.m.n_param, sizeof(*dm));
	loss(&w);
	backward(&w, dx, dm);
	snprintf(what, sizeof(what), "%s per %s, %s", name, moe_placement_names[p],
		moe_deploy_names[deploy]);
	from = w.x.n_view;
	for (size_t i = 0; i < w.x.n_view; i++)
		if (w.x.view[i].role != MOE_ROLE_A && w.x.view[i].role != MOE_ROLE_B && from > i)
			from = i;
	compare(&w, w.x.param, dx, w.x.view[from].off, w.x.n_param / 23 + 1, what);
	for (size_t i = from; i < w.x.n_view; i++) {
		const struct moe_view *v = &w.x.view[i];

		if (v->role == MOE_ROLE_ROUTER)
			compare(&w, w.x.param + v->off, dx + v->off, v->n, v->n / 7 + 1, what);
		for (size_t k = v->off; v->role == MOE_ROLE_STATE && k < v->off + v->n; k++)
			assert_true(dx[k] == 0);
	}
	if (p != MOE_PER_BASE) /* there the first pass is a constant to gradients of the base */
		compare(&w, w.m.param, dm, w.m.n_param, w.m.n_param / 29 + 1, what);
	for (int i = 0; i < ROWS * 4; i += 5) /* where outer is 0, deploy jumps */
		if (w.outer[i] != 0)
			compare(&w, w.outer + i, w.douter + i, 1, 1, what);
	free(dx);
	free(dm);
	unmake(&w);
}

static void test_own(void **state)
{
	(void)state;
	for (int p = MOE_PER_TOKEN; p < MOE_PLACEMENTS; p++)
		for (int d = 0; d < MOE_DEPLOYS; d++)
			check(&soft, "soft", NULL, (enum moe_placement)p, (enum moe_deploy)d);
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; moe_methods[i]; i++) {
		double set[MOE_ROUTER_SETTINGS] = { 0 };
		const struct moe_method *m = moe_methods[i];

		if (!m->router)
			continue;
		for (size_t k = 0; k < moe_setting_count(m->settings); k++)
			set[k] = m->settings[k].def;
		for (int p = MOE_PER_TOKEN; p < MOE_PLACEMENTS; p++)
			for (int d = 0; d < MOE_DEPLOYS; d++)
				check(m->router, m->name, set, (enum moe_placement)p,
					(enum moe_deploy)d);
	}
}

/* The same bits with less kept, and with one row at a time. */
static void test_recompute(void **state)
{
	(void)state;
	for (int p = MOE_PER_TOKEN; p < MOE_PLACEMENTS; p++) {
		struct world w;
		moe_real *d[2];

		make(&w, &soft, NULL, (enum moe_placement)p, MOE_DEPLOY_RENORM);
		for (int k = 0; k < 2; k++) {
			d[k] = calloc(w.x.n_param, sizeof(**d));
			w.a.recompute = k == 1;
			loss(&w);
			backward(&w, d[k], NULL);
		}
		assert_memory_equal(d[0], d[1], w.x.n_param * sizeof(**d));
		free(d[0]);
		free(d[1]);
		unmake(&w);
	}
}

/* With every mask 0, no head rows and seeds alone, the router learns and the experts get exactly
 * nothing: a pass over pins. With learn 0 and no seeds it is the other way round. */
static void test_router_alone(void **state)
{
	moe_real zero[ROWS * 4] = { 0 }, none[ROWS] = { 0 };

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct world w;
		moe_real *dx;
		struct moe_err e;
		double router = 0, experts = 0;

		make(&w, &soft, NULL, MOE_PER_LAYER, MOE_DEPLOY_DROP);
		dx = calloc(w.x.n_param, sizeof(*dx));
		loss(&w);
		if (k == 0) {
			w.g.mask = zero;
			w.g.dgate = w.dgate;
		} else {
			w.g.learn = none;
		}
		assert_int_equal(moe_backward(&w.m, &w.x, &w.g, &w.b, &w.a, k ? w.n : 0, w.row,
					 w.target, 0.9, w.weight, dx, NULL, &e),
			0);
		router = moe_experts_norm2(&w.x, dx, w.x.E);
		for (int i = 0; i < w.x.E; i++)
			experts += moe_experts_norm2(&w.x, dx, i);
		assert_true(k ? router == 0 && experts > 0 : router > 0 && experts == 0);
		free(dx);
		unmake(&w);
	}
}

/* Renormalised gates keep their sum; gates handed back to the shared expert keep it too. */
static void test_deploy_sums(void **state)
{
	(void)state;
	for (int d = 0; d < MOE_DEPLOYS; d++) {
		struct world w;
		const struct moe_site_gates *q = &w.a.gates;

		make(&w, &soft, NULL, MOE_PER_GROUP, (enum moe_deploy)d);
		for (int i = 0; i < ROWS * 4; i++)
			w.outer[i] = i % 4 != 2;
		w.x.present[2] = 1;
		w.g.routed = NULL;
		loss(&w);
		for (int c = 0; c < q->S * ROWS; c++) {
			const moe_real *g = q->gate + c * 4;
			double sum = g[1] + g[2] + g[3], freed = 1.3 - sum;

			assert_true(g[2] == 0);
			if (d == MOE_DEPLOY_RENORM)
				assert_true(fabs(sum - 1.3) < 1e-12 && g[0] == 1);
			else
				assert_true(freed > 0 &&
					fabs(g[0] - (d == MOE_DEPLOY_DROP ? 1 : 1 + freed)) <
						1e-12);
		}
		unmake(&w);
	}
}

/* Recorded gates in place of the router's: the same numbers, and nothing for the router. */
static void test_replay(void **state)
{
	struct world w;
	moe_real *r, *dx;
	double was;

	(void)state;
	make(&w, &soft, NULL, MOE_PER_LAYER, MOE_DEPLOY_RENORM);
	memset(w.dgate, 0, w.n_seed * sizeof(*w.dgate));
	memset(w.dlogit, 0, w.n_seed * sizeof(*w.dlogit));
	was = loss(&w);
	r = malloc(w.n_seed * sizeof(*r));
	dx = calloc(w.x.n_param, sizeof(*dx));
	memcpy(r, w.a.gates.r, w.n_seed * sizeof(*r));
	for (size_t i = w.x.n_param - 5; i < w.x.n_param; i++)
		w.x.param[i] += 1; /* the last site's bias and state */
	assert_true(loss(&w) != was);
	w.g.replay = r;
	assert_true(loss(&w) == was);
	backward(&w, dx, NULL);
	assert_true(moe_experts_norm2(&w.x, dx, w.x.E) == 0 && moe_experts_norm2(&w.x, dx, 1) > 0);
	free(r);
	free(dx);
	unmake(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_recompute),
		cmocka_unit_test(test_router_alone),
		cmocka_unit_test(test_deploy_sums),
		cmocka_unit_test(test_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
