/* test_routers.c - finite differences in float64 over the method table: each row with a router, at
 * every placement and deploy, in a whole model. A new method is checked by having a row. */
#include "moe/layout.h"
#include "moe/method.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define EPS 1e-6
enum { T = 20, N_EXPERTS = 5, ROWS = 12, MAX_SITES = 16, MAX_R = MAX_SITES * T * N_EXPERTS };

static const struct moe_config config = { .family = MOE_LLAMA,
	.V = 19,
	.D = 12,
	.L = 2,
	.H = 2,
	.K = 1,
	.hd = 6,
	.F = 10,
	.max_pos = 64,
	.theta = 1000,
	.eps = 1e-5,
	.tied = true,
	.rope_factor = 1 };

static double rnd(uint64_t a, uint64_t b)
{
	return moe_rng_normal(moe_rng_key(23, "routers"), a, b);
}

struct world {
	struct moe_model m;
	struct moe_adapter a;
	struct moe_acts acts;
	struct moe_gates g;
	struct moe_seg seg[4];
	struct moe_batch b;
	int32_t ids[T], row[ROWS], target[ROWS];
	unsigned char routed[T];
	int32_t scope[T];
	moe_real outer[T * N_EXPERTS], douter[T * N_EXPERTS], weight[ROWS];
	moe_real dgate[MAX_R], dlogit[MAX_R], replay[MAX_R];
	char what[96];
};

/* A prompt with two completions, and a sequence alone; some rows without the router, some experts
 * off in some rows. */
static void make_batch(struct world *w)
{
	struct moe_seg s[] = { { 0, 4, -1, 0 }, { 4, 5, 0, 4 }, { 9, 4, 0, 4 }, { 13, 7, -1, 0 } };

	memcpy(w->seg, s, sizeof(s));
	for (int t = 0; t < T; t++) {
		w->ids[t] = (int32_t)moe_rng_below(
			moe_rng_key(5, "ids"), (uint64_t)t, 0, (uint64_t)config.V);
		w->routed[t] = t >= 4 && t != 9;
		w->scope[t] = !w->routed[t] ? -1 : t < 9 ? 0 : t < 13 ? 1 : 2;
	}
	w->b = (struct moe_batch){ T, w->ids, 4, w->seg };
	for (int i = 0; i < T * N_EXPERTS; i++)
		w->outer[i] = i % 7 == 3 ? 0 : 0.8 + 0.2 * rnd(1, (uint64_t)i);
	for (int i = 0; i < ROWS; i++) {
		w->row[i] = 3 + i + i / 3;
		w->target[i] = (i * 5) % config.V;
		w->weight[i] = rnd(2, (uint64_t)i);
	}
	for (int i = 0; i < MAX_R; i++) {
		w->dgate[i] = 0.3 * rnd(3, (uint64_t)i);
		w->dlogit[i] = 0.3 * rnd(4, (uint64_t)i);
		w->replay[i] = 0.5 + 0.3 * rnd(5, (uint64_t)i);
	}
	w->g = (struct moe_gates){ .outer = w->outer,
		.routed = w->routed,
		.scope = w->scope,
		.dgate = w->dgate,
		.dlogit = w->dlogit };
}

/* "NAME=VALUE" where the method has that setting; false where it does not, or not that value. */
static bool set(struct world *w, const struct moe_method *m, const char *name, const char *value)
{
	char text[64];
	struct moe_err e;

	snprintf(text, sizeof(text), "%s=%s", name, value);
	return moe_settings_set(m->settings, text, &w->a.settings, &e) == 0;
}

static void make_adapter(struct world *w, const struct moe_method *m, int64_t step)
{
	static const char *const expert[] = { "shared:1", "clean:2", "quarantine:1", "clean:1",
		"quarantine:2" };
	struct moe_err e;

	for (int i = 0; i < N_EXPERTS; i++)
		assert_int_equal(moe_layout_expert(&w->a.x, expert[i], &e), 0);
	assert_int_equal(moe_layout_targets(&w->a.x, "q,v,o,up,down", &e), 0);
	w->a.x.scale = 1.5;
	if (moe_layout_make(&w->a, &w->m, m, 3, &e))
		fail_msg("%s: %s", w->what, e.msg);
	w->a.step = step;
	if (m->placement != MOE_PER_ROLLOUT && m->init && m->init(NULL, NULL, &w->a, &e))
		fail_msg("%s: %s", w->what, e.msg);
	for (size_t i = 0; i < w->a.x.n_view; i++) {
		const struct moe_view *v = &w->a.x.view[i];

		for (size_t k = 0; v->role != MOE_ROLE_STATE && k < v->n; k++)
			w->a.x.param[v->off + k] = 0.4 * rnd(6, v->off + k);
	}
	w->a.x.present[3] = 0.5;
}

/* sum of weighted log-probabilities, of gates times dgate, of logits times dlogit */
static double loss(struct world *w)
{
	moe_real logp[ROWS];
	struct moe_err e = { 0 };
	double sum = 0;

	if (moe_forward(&w->m, &w->a.x, &w->g, &w->b, &w->acts, &e) ||
		moe_head_logp(&w->m, &w->b, &w->acts, ROWS, w->row, w->target, 1, logp, NULL, &e))
		fail_msg("%s: %s", w->what, e.msg);
	for (int i = 0; i < ROWS; i++)
		sum += w->weight[i] * logp[i];
	for (int i = 0; i < w->acts.gates.S * T * w->acts.gates.n; i++)
		sum += w->acts.gates.r[i] * (w->g.dgate ? w->g.dgate[i] : 0) +
			w->acts.gates.logit[i] * (w->g.dlogit ? w->g.dlogit[i] : 0);
	return sum;
}

static void backward(struct world *w, moe_real *dx)
{
	struct moe_err e = { 0 };

	memset(dx, 0, w->a.x.n_param * sizeof(*dx));
	loss(w);
	if (moe_backward(&w->m, &w->a.x, &w->g, &w->b, &w->acts, ROWS, w->row, w->target, 1,
		    w->weight, dx, NULL, &e))
		fail_msg("%s: %s", w->what, e.msg);
}

static void compare(struct world *w, moe_real *p, double got, const char *name)
{
	double keep = *p, up, down, want;

	*p = keep + EPS;
	up = loss(w);
	*p = keep - EPS;
	down = loss(w);
	*p = keep;
	want = (up - down) / (2 * EPS);
	if (!(fabs(want - got) <= 1e-5 * (1 + fabs(want))))
		fail_msg("%s: %s: gradient %.12g, difference %.12g", w->what, name, got, want);
}

static void check_gradients(struct world *w)
{
	struct moe_experts *x = &w->a.x;
	moe_real *dx = calloc(x->n_param, sizeof(*dx));

	memset(w->douter, 0, sizeof(w->douter));
	w->g.douter = w->douter;
	backward(w, dx);
	w->g.douter = NULL;
	for (size_t i = 0; i < x->n_view; i++) {
		const struct moe_view *v = &x->view[i];

		if (v->role == MOE_ROLE_STATE)
			for (size_t k = 0; k < v->n; k++)
				assert_true(dx[v->off + k] == 0); /* it has no gradient */
		/* the router's whole, of the experts a sample */
		for (size_t k = v->role == MOE_ROLE_ROUTER ? 0 : i % 5;
			v->role != MOE_ROLE_STATE && k < v->n;
			k += v->role == MOE_ROLE_ROUTER ? 7 : 23)
			compare(w, x->param + v->off + k, dx[v->off + k], v->name);
	}
	/* where outer is 0 the gate jumps under a deploy that is not drop */
	for (int i = 0; i < T * N_EXPERTS; i += 3)
		if (w->outer[i] != 0)
			compare(w, w->outer + i, w->douter[i], "outer");
	free(dx);
}

/* Nothing that a detached or replayed gate does teaches the router. */
static void check_detached(struct world *w)
{
	struct moe_experts *x = &w->a.x;
	moe_real *dx = calloc(x->n_param, sizeof(*dx)), learn[T] = { 0 };
	const moe_real *seeds[2] = { w->g.dgate, w->g.dlogit };

	w->g.dgate = w->g.dlogit = NULL;
	for (int k = 0; k < 2; k++) {
		double sum = 0;

		w->g.learn = k ? NULL : learn;
		w->g.replay = k ? w->replay : NULL;
		backward(w, dx);
		for (size_t i = 0; i < x->n_view; i++)
			for (size_t j = 0; x->view[i].role == MOE_ROLE_ROUTER && j < x->view[i].n;
				j++)
				sum += fabs(dx[x->view[i].off + j]);
		assert_true(sum == 0);
	}
	w->g.learn = w->g.replay = NULL;
	w->g.dgate = seeds[0];
	w->g.dlogit = seeds[1];
	free(dx);
}

static void run(const struct moe_method *m, const char *place, const char *deploy, int64_t step)
{
	struct world w = { 0 };
	struct moe_err e;

	snprintf(w.what, sizeof(w.what), "%s, placement %s, deploy %s, step %d", m->name, place,
		deploy, (int)step);
	assert_int_equal(moe_settings_default(m->settings, &w.a.settings, &e), 0);
	for (int i = 0; step == 20 && i < 2;
		i++) /* a choice of more than one, where there is one */
		set(&w, m, i ? "shared" : "k", i ? "0" : "2");
	if (set(&w, m, "placement", place) && set(&w, m, "deploy", deploy)) {
		assert_int_equal(moe_model_new(&w.m, &config, 3, 1, &e), 0);
		for (size_t i = 0; i < w.m.n_param; i++)
			w.m.param[i] = w.m.param[i] == 1 ? 1 + 0.2 * rnd(7, i) : 0.4 * rnd(7, i);
		make_batch(&w);
		make_adapter(&w, m, step);
		assert_true(w.a.x.S > 0 && w.a.x.S <= MAX_SITES);
		w.acts.keep = true;
		check_gradients(&w);
		check_detached(&w);
		moe_acts_free(&w.acts);
		moe_model_free(&w.m);
	}
	moe_adapter_free(&w.a);
}

static void test_in_the_model(void **state)
{
	int n = 0;

	(void)state;
	for (size_t i = 0; moe_methods[i]; i++) {
		if (!moe_methods[i]->router || moe_methods[i]->placement == MOE_PER_ROLLOUT)
			continue;
		n++;
		for (int p = MOE_PER_TOKEN; p < MOE_PLACEMENTS; p++)
			for (int d = 0; d < MOE_DEPLOYS; d++)
				run(moe_methods[i], moe_placement_names[p], moe_deploy_names[d],
					d * 20);
	}
	assert_true(n > 0);
}

/* ---- a router by itself: parameters, input and seeds; and that a row depends on itself alone ----
 */

static const bool quarantine[3] = { true, false, true };
enum { R_T = 4, R_D = 6, R_E = 3, R_LD = 8, R_P = 64 };
struct rows {
	const struct moe_router *router;
	struct moe_router_rows r;
	moe_real x[R_T * R_LD], p[MOE_ROUTER_TENSORS][R_P], logit[R_T * R_E], gate[R_T * R_E],
		kept[R_T * 16], c[R_T * R_E], k[R_T * R_E];
};

static double rows_loss(struct rows *w)
{
	double sum = 0;

	w->router->fwd(&w->r);
	for (int i = 0; i < R_T * R_E; i++)
		sum += w->c[i] * w->gate[i] + w->k[i] * w->logit[i];
	return sum;
}

static void rows_compare(struct rows *w, moe_real *p, double got, const char *what)
{
	double keep = *p, up, down, want;

	*p = keep + EPS;
	up = rows_loss(w);
	*p = keep - EPS;
	down = rows_loss(w);
	*p = keep;
	want = (up - down) / (2 * EPS);
	if (!(fabs(want - got) <= 1e-6 * (1 + fabs(want))))
		fail_msg("%s, %s: gradient %.12g, difference %.12g", w->router->name, what, got,
			want);
}

static void rows_check(struct rows *w, const struct moe_router_tensor *t, int n)
{
	moe_real dx[R_T * R_LD] = { 0 }, dp[MOE_ROUTER_TENSORS][R_P] = { { 0 } }, work[R_T * R_E],
			  gate[R_T * R_E];
	struct moe_router_grads g = {
		.dgate = w->c, .dlogit = w->k, .dx = dx, .lddx = R_LD, .work = work
	};

	for (int i = 0; i < n; i++)
		g.dparam[i] = t[i].role == MOE_ROLE_ROUTER ? dp[i] : NULL;
	rows_loss(w);
	memcpy(gate, w->gate, sizeof(gate));
	w->router->bwd(&w->r, &g);
	for (int i = 0; i < n; i++)
		for (int k = 0; t[i].role == MOE_ROLE_ROUTER && k < t[i].rows * t[i].cols; k++)
			rows_compare(w, &w->p[i][k], dp[i][k], t[i].name);
	for (int i = 0; i < R_T * R_LD; i++)
		if (i % R_LD < R_D)
			rows_compare(w, &w->x[i], dx[i], "input");
	for (int i = 0; i < R_T; i++) {
		w->r.T = 1;
		w->r.x = w->x + i * R_LD;
		w->router->fwd(&w->r);
		assert_memory_equal(w->gate, gate + i * R_E, R_E * sizeof(*gate));
	}
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; moe_methods[i]; i++) {
		double settings[MOE_ROUTER_SETTINGS];
		struct rows w = { .router = moe_methods[i]->router };
		struct moe_router_tensor t[MOE_ROUTER_TENSORS];
		int n;

		if (!w.router)
			continue;
		for (size_t k = 0; k < moe_setting_count(moe_methods[i]->settings); k++)
			settings[k] = moe_methods[i]->settings[k].def;
		n = w.router->tensors(R_D, R_E, settings, t);
		w.r = (struct moe_router_rows){ R_T, R_D, R_E, settings, { 0 }, w.x, R_LD, w.logit,
			w.gate, w.kept, quarantine };
		assert_true(!w.router->keep || w.router->keep(R_E, settings) <= 16);
		for (int k = 0; k < n; k++) {
			w.r.param[k] = w.p[k];
			assert_true(t[k].rows * t[k].cols <= R_P);
			for (int j = 0; j < t[k].rows * t[k].cols; j++)
				w.p[k][j] = t[k].role == MOE_ROLE_STATE
					? j % 2 == 0
					: rnd(8, (uint64_t)(k * 100 + j));
		}
		for (int k = 0; k < R_T * R_LD; k++)
			w.x[k] = rnd(9, (uint64_t)k);
		for (int k = 0; k < R_T * R_E; k++) {
			w.c[k] = rnd(10, (uint64_t)k);
			w.k[k] = rnd(11, (uint64_t)k);
		}
		rows_check(&w, t, n);
	}
}

/* ---- the losses of a row: the seeds are the gradient of what they return ---- */

enum { L_S = 2, L_T = 9, L_E = 4, L_N = 5, L_ALL = L_S * L_T * L_E };

static double seeded_loss(const struct moe_method *m, const struct moe_adapter *a,
	struct moe_gate_rows *r, int which, moe_real *dlogit, moe_real *dgate)
{
	static moe_real unused[2][L_ALL];

	r->dlogit = dlogit ? dlogit : unused[0];
	r->dgate = dgate ? dgate : unused[1];
	return which == 0 ? m->losses(a, r, 0.7) : m->pin_loss(a, r, which == 1, 0.7);
}

/* The differences of a loss by v [L_ALL] are d; returns the sum of |d|. */
static double check_seeds(const struct moe_method *m, const struct moe_adapter *a,
	struct moe_gate_rows *r, int which, moe_real *v, const moe_real *d)
{
	double sum = 0;

	for (int k = 0; k < L_ALL; k++) {
		double keep = v[k], up, down;

		v[k] = keep + EPS;
		up = seeded_loss(m, a, r, which, NULL, NULL);
		v[k] = keep - EPS;
		down = seeded_loss(m, a, r, which, NULL, NULL);
		v[k] = keep;
		if (!(fabs((up - down) / (2 * EPS) - d[k]) < 1e-7))
			fail_msg("%s, loss %d, cell %d: gradient %.12g, difference %.12g", m->name,
				which, k, d[k], (up - down) / (2 * EPS));
		sum += fabs(d[k]);
		/* only the rows of the rollout */
		if (k / L_E % L_T < 3 || k / L_E % L_T > 7)
			assert_true(d[k] == 0);
	}
	return sum;
}

static void test_losses(void **state)
{
	static const int32_t row[L_N] = { 3, 4, 5, 6, 7 };

	(void)state;
	for (size_t i = 0; moe_methods[i]; i++) {
		const struct moe_method *m = moe_methods[i];
		struct world w = { 0 };
		moe_real logit[L_ALL], gate[L_ALL];
		struct moe_gate_rows r = { L_S, L_T, L_E, L_N, row, gate, logit, NULL, NULL, 0 };
		struct moe_err e;

		if (!m->router || m->placement == MOE_PER_ROLLOUT)
			continue;
		assert_int_equal(moe_settings_default(m->settings, &w.a.settings, &e), 0);
		assert_true(set(&w, m, "balance", "0.3") && set(&w, m, "z_loss", "0.2"));
		set(&w, m, "l1", "0.4");
		assert_int_equal(moe_model_new(&w.m, &config, 3, 1, &e), 0);
		make_adapter(&w, m, 0);
		for (int k = 0; k < L_ALL; k++) {
			logit[k] = rnd(12, (uint64_t)k);
			gate[k] = 0.5 + 0.3 * rnd(13, (uint64_t)k) * rnd(14, (uint64_t)k);
			gate[k] = gate[k] > 0.1 ? gate[k] : 0.1;
		}
		for (int which = 0; which < 3; which++) {
			moe_real dlogit[L_ALL] = { 0 }, dgate[L_ALL] = { 0 };
			double moved;

			if (which == 0 ? !m->losses : !m->pin_loss)
				continue;
			seeded_loss(m, &w.a, &r, which, dlogit, dgate);
			moved = check_seeds(m, &w.a, &r, which, logit, dlogit);
			moved += check_seeds(m, &w.a, &r, which, gate, dgate);
			assert_true(moved > 0);
		}
		moe_model_free(&w.m);
		moe_adapter_free(&w.a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_in_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
