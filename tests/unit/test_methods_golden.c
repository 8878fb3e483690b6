/* test_methods_golden.c - rows of the method table against transformers, PEFT and PyTorch autograd
 * (tests/golden/make_methods_golden.py); what after_step moves, which way; choices over the rows of
 * a completion against exhaustive search. */
#include "moe/layout.h"
#include "moe/method.h"
#include "moe/singular.h"
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

#include "tests/golden/methods_golden.h"

enum { T = GOLD_T, D = GOLD_D, E = GOLD_E, TD = T * D, TE = T * E };
#define TOL 2e-6 /* float against float64; values are about 1 */

/* A router on rows that are all the quarantine's, so that the banks' gate is 1. */
struct one {
	const struct moe_method *m;
	double set[MOE_ROUTER_SETTINGS];
	moe_real x[TD], gate[TE], logit[TE], kept[2 * TE], p[MOE_ROUTER_TENSORS][E * D], dx[TD],
		work[TE], seed[TE];
	bool quarantine[E];
	struct moe_router_rows r;
	struct moe_router_grads g;
};

static void copy(moe_real *to, const double *from, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = (moe_real)from[i];
}

static void set(struct one *o, const char *name, double v)
{
	for (size_t i = 0; i < moe_setting_count(o->m->settings); i++)
		if (!strcmp(o->m->settings[i].name, name)) {
			o->set[i] = v;
			return;
		}
	fail_msg("%s has no setting %s", o->m->name, name);
}

static void begin(struct one *o, const char *method, int n)
{
	memset(o, 0, sizeof(*o));
	o->m = moe_method_find(method, &(struct moe_err){ 0 });
	assert_non_null(o->m);
	for (size_t i = 0; i < moe_setting_count(o->m->settings); i++)
		o->set[i] = o->m->settings[i].def;
	for (int i = 0; i < n; i++)
		o->quarantine[i] = true;
	copy(o->x, gold_x, TD);
	o->r = (struct moe_router_rows){ T, D, n, o->set, { o->p[0], o->p[1], o->p[2] }, o->x, D,
		o->logit, o->gate, o->kept, o->quarantine };
	o->g = (struct moe_router_grads){
		.dgate = o->seed, .dx = o->dx, .lddx = D, .work = o->work
	};
}

static void same(const char *what, const moe_real *got, const double *want, int n)
{
	for (int i = 0; i < n; i++)
		if (!(fabs((double)got[i] - want[i]) <= TOL * (1 + fabs(want[i]))))
			fail_msg("%s %d: %.9g instead of %.9g", what, i, (double)got[i], want[i]);
}

static void run(struct one *o, const double *gate, const double *dx)
{
	copy(o->p[0], gold_w, E * D);
	copy(o->seed, gold_seed, TE);
	o->m->router->fwd(&o->r);
	same(o->m->name, o->gate, gate, TE);
	o->m->router->bwd(&o->r, &o->g);
	same("its gradient", o->dx, dx, TD);
}

static void test_deepseek_v3(void **state)
{
	struct one o;

	(void)state;
	begin(&o, "deepseek-v3", E);
	set(&o, "shared", 0);
	set(&o, "k", 2);
	set(&o, "groups", 3);
	set(&o, "top_groups", 2);
	set(&o, "scale", 2.5);
	copy(o.p[2], gold_choice, E);
	run(&o, gold_v3, gold_dx_v3);
}

/* The first two experts are shared: 1, and none of the logits' business. */
static void test_shared(void **state)
{
	struct one o;

	(void)state;
	begin(&o, "deepseek-v3", E);
	set(&o, "shared", GOLD_SHARED);
	set(&o, "k", 2);
	set(&o, "scale", 1.5);
	copy(o.p[2], gold_choice, E);
	run(&o, gold_v3_shared, gold_dx_v3_shared);
	begin(&o, "deepseek", E);
	set(&o, "shared", GOLD_SHARED);
	set(&o, "k", 2);
	run(&o, gold_v2_shared, gold_dx_v2_shared);
}

/* DeepSeekMoE: k of the softmax, as they are. */
static void test_deepseek(void **state)
{
	struct one o;

	(void)state;
	begin(&o, "deepseek", E);
	set(&o, "shared", 0);
	set(&o, "k", 2);
	run(&o, gold_v2, gold_dx_v2);
}

static void test_xlora(void **state)
{
	struct one o;

	(void)state;
	begin(&o, "xlora", E);
	set(&o, "logit_scale", 2); /* 1 / temperature */
	copy(o.p[1], gold_b, E);
	run(&o, gold_xlora, gold_dx_xlora);
}

/* y += B A x by gate; and what reaches x through the gates is dx less what reaches it beside them.
 */
static void test_arrow(void **state)
{
	moe_real want[TD];
	struct one o;

	(void)state;
	begin(&o, "arrow", GOLD_N);
	set(&o, "k", GOLD_K);
	set(&o, "temperature", GOLD_ARROW_TEMPERATURE_10 / 10.0);
	copy(o.p[2], gold_arrow_proto, GOLD_N * D);
	o.m->router->fwd(&o.r);
	for (int t = 0; t < T; t++) {
		double y[D] = { 0 }, beside[D] = { 0 };

		for (int e = 0; e < GOLD_N; e++)
			for (int q = 0; q < GOLD_R; q++) {
				const double *A = gold_arrow_A + (e * GOLD_R + q) * D;
				double gate = (double)o.gate[t * GOLD_N + e], z = 0, dz = 0;

				for (int j = 0; j < D; j++) {
					double b = gold_arrow_B[(e * D + j) * GOLD_R + q];

					z += A[j] * gold_x[t * D + j];
					dz += b * gold_arrow_seed[t * D + j];
				}
				o.seed[t * GOLD_N + e] += (moe_real)(z * dz); /* d gate */
				for (int j = 0; j < D; j++) {
					y[j] += gate * z * gold_arrow_B[(e * D + j) * GOLD_R + q];
					beside[j] += gate * dz * A[j];
				}
			}
		for (int j = 0; j < D; j++) {
			assert_true(fabs(y[j] - gold_arrow_y[t * D + j]) < 1e-4);
			want[t * D + j] = (moe_real)(gold_arrow_dx[t * D + j] - beside[j]);
		}
	}
	o.m->router->bwd(&o.r, &o.g);
	for (int i = 0; i < TD; i++)
		assert_true(fabs((double)(o.dx[i] - want[i])) < 1e-3);
}

/* The prototype of each expert is PEFT's, and the SVD's first right singular vector, up to the
 * sign.
 */
static void test_singular(void **state)
{
	struct moe_config c = { .V = 11, .D = D, .L = 1, .H = 2, .K = 2, .hd = D / 2, .F = D };
	const struct moe_method *m = moe_method_find("arrow", &(struct moe_err){ 0 });
	struct moe_experts x = { .E = GOLD_N,
		.scale = 1,
		.router = m->router,
		.placement = MOE_PER_LINEAR,
		.target = { [MOE_Q] = true } };
	double work[2 * D + 2 * GOLD_N * GOLD_R];
	struct moe_err e;

	(void)state;
	for (int i = 0; i < GOLD_N; i++) {
		x.rank[i] = GOLD_R;
		x.bank[i] = MOE_BANK_QUARANTINE;
	}
	assert_int_equal(moe_experts_init(&x, &c, &e), 0);
	for (int i = 0; i < GOLD_N; i++)
		for (int q = 0; q < GOLD_R; q++)
			for (int j = 0; j < D; j++) {
				x.param[moe_view_of(&x, 0, MOE_ROLE_A)->off +
					(size_t)((i * GOLD_R + q) * D + j)] = (moe_real)
					gold_arrow_A[(i * GOLD_R + q) * D + j];
				x.param[moe_view_of(&x, 0, MOE_ROLE_B)->off +
					(size_t)(j * x.R + i * GOLD_R + q)] = (moe_real)
					gold_arrow_B[(i * D + j) * GOLD_R + q];
			}
	for (int i = 0; i < GOLD_N; i++) {
		moe_real v[D];
		double peft = 0, svd = 0;

		moe_singular_input(&x, 0, i, work, v);
		for (int j = 0; j < D; j++) {
			peft += (double)v[j] * gold_arrow_proto[i * D + j];
			svd += (double)v[j] * gold_arrow_svd[i * D + j];
		}
		assert_true(fabs(fabs(peft) - 1) < 1e-4 && fabs(fabs(svd) - 1) < 1e-4);
	}
	moe_experts_free(&x);
}

static void test_spread(void **state)
{
	double d[E] = { 0 };

	(void)state;
	assert_true(fabs(moe_gate_spread(E, gold_spread_q, gold_spread_c, 1, d) - gold_spread[0]) <
		1e-12);
	for (int i = 0; i < E; i++)
		assert_true(fabs(d[i] - gold_spread_dq[i]) < 1e-12);
}

/* ---- an adapter, for what is not a row's own ---- */

static void lay_out(struct moe_adapter *a, const char *method)
{
	static const char *const expert[] = { "clean:1", "quarantine:1", "quarantine:1",
		"quarantine:1" };
	struct moe_model m = {
		.config = { .V = 11, .D = 4, .L = 1, .H = 2, .K = 1, .hd = 2, .F = 6 },
		.digest = "ba5e"
	};
	const struct moe_method *row = moe_method_find(method, &(struct moe_err){ 0 });
	struct moe_err e;

	*a = (struct moe_adapter){ 0 };
	a->x.scale = 1;
	assert_int_equal(moe_settings_default(row->settings, &a->settings, &e), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(moe_layout_expert(&a->x, expert[i], &e), 0);
	assert_int_equal(moe_layout_targets(&a->x, "q", &e), 0);
	assert_int_equal(moe_layout_make(a, &m, row, 1, &e), 0);
	assert_int_equal(row->init(NULL, NULL, a, &e), 0);
}

/* The third tensor of site 0 after a step whose kept means [2 * 4 or 4] are these. */
static const moe_real *after(struct moe_adapter *a, const char *method, const double *kept)
{
	static const double mean[4];
	struct moe_load l = { 1, 4, moe_experts_keep(&a->x), mean, kept };
	static moe_real *p[MOE_ROUTER_TENSORS];
	struct moe_err e;

	assert_int_equal(moe_method_find(method, &e)->after_step(a, &l, &e), 0);
	moe_router_params(&a->x, a->x.param, 0, p);
	return p[2];
}

static void test_after_step(void **state)
{
	struct moe_adapter a;
	const moe_real *p;

	(void)state;
	/* k=1 of 4: while fewer than 3/4 of the gates are 0 the L1 grows by 1.2 */
	lay_out(&a, "relu");
	p = after(&a, "relu", (double[]){ 0.5, 0.5, 0.5, 0.5 });
	assert_true(fabs((double)p[0] / 1.2e-8 - 1) < 1e-6);
	p = after(&a, "relu", (double[]){ 1, 1, 1, 0.9 });
	assert_true(fabs((double)p[0] / 1e-8 - 1) < 1e-6);
	p = after(&a, "relu", (double[]){ NAN, NAN, NAN, NAN }); /* a step without rows */
	assert_true(fabs((double)p[0] / 1e-8 - 1) < 1e-6);
	moe_adapter_free(&a);
	/* of the two that are chosen from, the busy one's bias falls; the clean and the shared stay
	 */
	lay_out(&a, "deepseek-v3");
	p = after(&a, "deepseek-v3", (double[]){ 0, 0, 0, 0, 0, 1, 0.9, 0.1 });
	assert_true(p[0] == 0 && p[1] == 0 && fabs((double)p[2] + 0.001) < 1e-9 &&
		fabs((double)p[3] - 0.001) < 1e-9);
	moe_adapter_free(&a);
	/* alpha rises evenly from 1, a softmax, to 2, sparsemax, in 40 steps, and stays */
	lay_out(&a, "entmax");
	for (int k = 0; k <= 50; k += 10) {
		a.step = k;
		p = after(&a, "entmax", (double[8]){ 0 });
		assert_true(fabs((double)p[0] - (k < 40 ? 1 + k / 40.0 : 2)) < 1e-6);
	}
	moe_adapter_free(&a);
	/* a threshold that more than 1/3 of the rows pass rises */
	lay_out(&a, "expert-choice");
	p = after(&a, "expert-choice", (double[]){ 0, 0, 0, 0, 0, 0.9, 1.0 / 3, 0 });
	assert_true((double)p[1] > 1.0 / 3 + 0.01 && fabs((double)p[2] - 1.0 / 3) < 1e-7 &&
		(double)p[3] < 1.0 / 3 - 0.005);
	moe_adapter_free(&a);
}

/* ---- losses between forward and backward ---- */

enum { COLS = 4 }; /* clean, then three of the quarantine */
#define WEIGHT 0.7

/* The row's losses at logits z [T, COLS], with the seeds of their gradients. */
static double losses(const struct moe_adapter *a, const moe_real *z, moe_real *dlogit)
{
	moe_real gate[T * COLS] = { 0 }, dgate[T * COLS] = { 0 };
	struct moe_gate_rows r = { 1, T, COLS, T, NULL, gate, z, dgate, dlogit, MOE_ABSORB };
	int32_t row[T];
	struct moe_err e;

	for (int t = 0; t < T; t++)
		row[t] = t;
	r.row = row;
	memset(dlogit, 0, T * COLS * sizeof(*dlogit));
	return moe_method_find(a->method, &e)->losses(a, &r, WEIGHT);
}

/* n / k sum_i f_i P_i over columns `from' to COLS: f_i the share of rows in which i is among the k
 * of largest score, P_i its mean score. Scores are a softmax over these columns, or sigmoids over
 * their sum. Written down again from the papers; no two scores are equal. */
static double balance_of(const moe_real *z, int from, int k, bool sigmoid)
{
	double f[COLS] = { 0 }, P[COLS] = { 0 }, sum = 0;

	for (int t = 0; t < T; t++) {
		double s[COLS], all = 0;

		for (int i = from; i < COLS; i++) {
			s[i] = sigmoid ? 1 / (1 + exp(-(double)z[t * COLS + i]))
				       : exp((double)z[t * COLS + i]);
			all += s[i];
		}
		for (int i = from; i < COLS; i++) {
			int above = 0;

			for (int j = from; j < COLS; j++)
				above += s[j] > s[i];
			f[i] += above < k ? 1.0 / T : 0;
			P[i] += s[i] / all / T;
		}
	}
	for (int i = from; i < COLS; i++)
		sum += f[i] * P[i];
	return sum * (COLS - from) / k;
}

static double z_of(const moe_real *z)
{
	double sum = 0;

	for (int t = 0; t < T; t++) {
		double all = 0;

		for (int i = 0; i < COLS; i++)
			all += exp((double)z[t * COLS + i]);
		sum += log(all) * log(all) / T;
	}
	return sum;
}

static void loss_is(const char *method, const char *const *sets, double want)
{
	moe_real z[T * COLS], d[T * COLS], unused[T * COLS];
	struct moe_adapter a;
	struct moe_err e;
	double set[MOE_ROUTER_SETTINGS], got;
	const struct moe_method *m = moe_method_find(method, &e);

	lay_out(&a, method);
	strcpy(a.method, method);
	for (int i = 0; sets[i]; i++)
		assert_int_equal(moe_settings_set(m->settings, sets[i], &a.settings, &e), 0);
	assert_int_equal(moe_method_settings(m, &a, set, &e), 0);
	memcpy(a.x.set, set, sizeof(set));
	copy(z, gold_seed, T * COLS);
	got = losses(&a, z, d);
	if (!(want > 0 && fabs(got - want) < 1e-5 * want))
		fail_msg("%s %s: the loss is %.9g, not %.9g", method, sets[0], got, want);
	for (int i = 0; i < T * COLS; i++) { /* its slope, seen through rounded logits */
		moe_real at = z[i];
		double slope;

		z[i] = at + (moe_real)0.01;
		slope = losses(&a, z, unused);
		z[i] = at - (moe_real)0.01;
		slope = (slope - losses(&a, z, unused)) / 0.02;
		z[i] = at;
		if (!(fabs(slope - (double)d[i]) < 2e-4 * want))
			fail_msg("%s %s: slope %d is %.6g, not %.6g", method, sets[0], i,
				(double)d[i], slope);
	}
	moe_adapter_free(&a);
}

static void test_losses(void **state)
{
	static const char *const fine[] = { "fine_balance=0.5", NULL },
				 *const sequence[] = { "sequence=0.5", "k=1", NULL },
				 *const even[] = { "balance=0.5", NULL },
				 *const z_loss[] = { "z_loss=0.5", NULL };
	moe_real z[T * COLS];

	(void)state;
	copy(z, gold_seed, T * COLS);
	/* the first quarantine expert is shared; the clean one is none of the balances' */
	loss_is("deepseek", fine, WEIGHT * 0.5 * balance_of(z, 2, 1, false));
	loss_is("deepseek-v3", sequence, WEIGHT * 0.5 * balance_of(z, 2, 1, true));
	loss_is("topk", even, WEIGHT * 0.5 * balance_of(z, 1, 1, false));
	loss_is("topk", z_loss, WEIGHT * 0.5 * z_of(z));
}

/* What all routers share: the pins teach hack sides the quarantine's share of the softmax and clean
 * sides what is left; a soft mask is each bank's share of the gates; the score is the quarantine's.
 */
static void test_rules(void **state)
{
	const struct moe_method *m = moe_method_find("topk", &(struct moe_err){ 0 });
	moe_real z[T * COLS], d[T * COLS], gate[T * COLS];
	struct moe_gate_rows r = { 1, T, COLS, T, NULL, gate, z, NULL, d, MOE_ABSORB };
	float share[COLS] = { 0.2f, 0.3f, 0.1f, 0.4f };
	const struct moe_seen seen = { .mean = share };
	double want[2] = { 0, 0 }, mask[COLS] = { 1, 1, 1, 0.5 };
	struct moe_judged j;
	struct moe_adapter a;
	int32_t row[T];
	struct moe_err e;

	(void)state;
	lay_out(&a, "topk");
	strcpy(a.method, "topk");
	assert_int_equal(moe_settings_set(m->settings, "hindsight=soft", &a.settings, &e), 0);
	assert_int_equal(moe_method_settings(m, &a, a.x.set, &e), 0);
	copy(z, gold_seed, T * COLS);
	for (int t = 0; t < T; t++) {
		double all = 0, clean = exp((double)z[t * COLS]);

		row[t] = t;
		for (int i = 0; i < COLS; i++) {
			all += exp((double)z[t * COLS + i]);
			gate[t * COLS + i] = (moe_real)share[i];
		}
		want[0] -= log(clean / all) / T;
		want[1] -= log(1 - clean / all) / T;
	}
	r.row = row;
	for (int hack = 0; hack < 2; hack++) {
		double sum = 0;

		memset(d, 0, sizeof(d));
		assert_true(fabs(m->pin_loss(&a, &r, hack, WEIGHT) - WEIGHT * want[hack]) < 1e-6);
		for (int t = 0; t < T; t++) /* downhill: of hacks away from the clean column */
			sum += (double)d[t * COLS];
		assert_true(hack ? sum > 0 : sum < 0);
	}
	m->mask(&a, &r, mask);
	assert_true(fabs(mask[0] - 0.2) < 1e-6 && fabs(mask[1] - 0.8) < 1e-6 &&
		fabs(mask[3] - 0.4) < 1e-6);
	assert_int_equal(m->score(NULL, &a, &seen, 1, NULL, &j, NULL, &e), 0);
	assert_true(fabs(j.score - 0.8) < 1e-6);
	moe_adapter_free(&a);
}

/* ---- rows of a completion compete ---- */

static void test_expert_choice(void **state)
{
	struct one o;

	(void)state;
	begin(&o, "expert-choice", 3);
	copy(o.p[0], gold_w, 3 * D);
	o.m->router->fwd(&o.r);
	o.m->router->compete(&o.r);
	for (int k = 0; k < 3; k++) {
		moe_real p[3], least = 1, most = 0;
		int n = 0;

		for (int t = 0; t < T; t++) {
			moe_gate_softmax(1, 3, o.logit + t * 3, p);
			if (o.gate[t * 3 + k] != 0) {
				assert_true(fabs((double)(o.gate[t * 3 + k] - p[k])) < 1e-6);
				least = p[k] < least ? p[k] : least;
				n++;
			} else {
				most = p[k] > most ? p[k] : most;
			}
		}
		assert_int_equal(n, T / 3); /* capacity 1: a third of the rows each */
		assert_true(least >= most);
	}
}

/* Sum of scores of an assignment of T rows to 3 experts, T/3 each: the largest there is. */
static double best_even(const moe_real *z, int t, int left[3])
{
	double best = -INFINITY;

	for (int k = 0; k < 3 && t < T; k++)
		if (left[k] > 0) {
			left[k]--;
			best = fmax(best, (double)z[t * 3 + k] + best_even(z, t + 1, left));
			left[k]++;
		}
	return t < T ? best : 0;
}

static void test_balanced(void **state)
{
	int count[3] = { 0 }, left[3] = { T / 3, T / 3, T / 3 };
	double sum = 0;
	struct one o;

	(void)state;
	begin(&o, "balanced", 3);
	set(&o, "rounds", 300);
	copy(o.p[0], gold_w, 3 * D);
	copy(o.p[1], (double[]){ 3, 0, 0 }, 3); /* all would go to the first */
	o.m->router->fwd(&o.r);
	for (int t = 0; t < T; t++) /* a sampled token goes to its largest score */
		for (int k = 0; k < 3; k++)
			assert_true(o.gate[t * 3 + k] == 0 || o.logit[t * 3 + k] >= o.logit[t * 3]);
	o.m->router->compete(&o.r);
	for (int t = 0; t < T; t++)
		for (int k = 0; k < 3; k++)
			if (o.gate[t * 3 + k] != 0) {
				double z = (double)o.logit[t * 3 + k];

				assert_true(
					fabs((double)o.gate[t * 3 + k] - 1 / (1 + exp(-z))) < 1e-5);
				count[k]++;
				sum += z;
			}
	for (int k = 0; k < 3; k++)
		assert_int_equal(count[k], T / 3);
	assert_true(fabs(sum - best_even(o.logit, 0, left)) < 1e-4); /* BASE's assignment */
}

static void test_switch_drops(void **state)
{
	int kept = 0;
	struct one o;

	(void)state;
	begin(&o, "switch", 3);
	set(&o, "capacity", 1);
	copy(o.p[1], (double[]){ 9, 0, 0 }, 3); /* all rows go to the first of three */
	o.m->router->fwd(&o.r);
	o.m->router->compete(&o.r);
	for (int t = 0; t < T; t++)
		kept += o.gate[t * 3] != 0 && t < T / 3;
	assert_int_equal(kept, T / 3); /* the first three rows; what comes later is dropped */
	for (int t = T / 3; t < T; t++)
		assert_true(o.gate[t * 3] == 0);
	o.quarantine[0] = false; /* a clean expert has no capacity */
	o.m->router->fwd(&o.r);
	o.m->router->compete(&o.r);
	for (int t = 0; t < T; t++)
		assert_true(o.gate[t * 3] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deepseek_v3),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_deepseek),
		cmocka_unit_test(test_xlora),
		cmocka_unit_test(test_arrow),
		cmocka_unit_test(test_singular),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_after_step),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_expert_choice),
		cmocka_unit_test(test_balanced),
		cmocka_unit_test(test_switch_drops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
