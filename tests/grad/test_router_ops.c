/* test_router_ops.c - finite differences of every function of nn/gate.h in float64: gates from
 * logits, logits from the input, the routers' losses; and that a row depends on itself alone. */
#include "nn/gate.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { T = 6, D = 7, E = 5, LD = 9, K = 2, TE = T * E };
#define EPS 1e-6

static double normal(uint64_t key, uint64_t i)
{
	return moe_rng_normal(moe_rng_key(17, "gates"), key, i);
}

static void fill(double *p, size_t n, uint64_t key)
{
	for (size_t i = 0; i < n; i++)
		p[i] = normal(key, i);
}

/* A loss of x[n] and the gradient that was computed for it. */
typedef double loss_fn(void *ctx);

static void compare(loss_fn *fn, void *ctx, double *x, const double *d, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++) {
		double keep = x[i], up, down, want;

		x[i] = keep + EPS;
		up = fn(ctx);
		x[i] = keep - EPS;
		down = fn(ctx);
		x[i] = keep;
		want = (up - down) / (2 * EPS);
		if (!(fabs(want - d[i]) <= 2e-7 * (1 + fabs(want))))
			fail_msg("%s %zu: gradient %.12g, difference %.12g", what, i, d[i], want);
	}
}

static double dot(size_t n, const double *x, const double *y)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i] * y[i];
	return sum;
}

/* ---- gates from logits: one case is a name, a setting, a forward and its backward ---- */

struct gate_case {
	const char *name;
	double set; /* alpha, eps, or whether to renormalise */
	void (*fwd)(double set, int rows, const double *z, double *y);
	void (*bwd)(double set, const double *z, const double *y, const double *dy, double *dz);
};

static void softmax(double set, int rows, const double *z, double *y)
{
	(void)set;
	moe_gate_softmax(rows, E, z, y);
}

static void softmax_bwd(double set, const double *z, const double *y, const double *dy, double *dz)
{
	(void)set;
	(void)z;
	moe_gate_softmax_bwd(T, E, y, dy, dz);
}

static void topk(double set, int rows, const double *z, double *y)
{
	uint8_t pick[TE];

	moe_gate_topk(rows, E, K, set > 0, z, y, pick);
}

static void topk_bwd(double set, const double *z, const double *y, const double *dy, double *dz)
{
	double again[TE];
	uint8_t pick[TE];

	moe_gate_topk(T, E, K, set > 0, z, again, pick);
	moe_gate_topk_bwd(T, E, set > 0, z, y, pick, dy, dz);
}

static void entmax(double set, int rows, const double *z, double *y)
{
	moe_gate_entmax(rows, E, set, z, y);
}

static void entmax_bwd(double set, const double *z, const double *y, const double *dy, double *dz)
{
	(void)z;
	moe_gate_entmax_bwd(T, E, set, y, dy, dz, NULL);
}

static void floored(double set, int rows, const double *z, double *y)
{
	moe_gate_floor(rows, E, set, z, y);
}

static void floor_bwd(double set, const double *z, const double *y, const double *dy, double *dz)
{
	(void)z;
	(void)y;
	moe_gate_floor_bwd(T, E, set, dy, dz);
}

static void sigmoid(double set, int rows, const double *z, double *y)
{
	(void)set;
	moe_gate_sigmoid(rows, E, z, y);
}

static void sigmoid_bwd(double set, const double *z, const double *y, const double *dy, double *dz)
{
	(void)set;
	(void)z;
	moe_gate_sigmoid_bwd(T, E, y, dy, dz);
}

static void relu(double set, int rows, const double *z, double *y)
{
	(void)set;
	moe_gate_relu(rows, E, z, y);
}

static void relu_bwd(double set, const double *z, const double *y, const double *dy, double *dz)
{
	(void)set;
	(void)z;
	moe_gate_relu_bwd(T, E, y, dy, dz);
}

static const struct gate_case cases[] = {
	{ "softmax", 0, softmax, softmax_bwd },
	{ "top-k", 0, topk, topk_bwd },
	{ "top-k renormalised", 1, topk, topk_bwd },
	{ "entmax 1", 1, entmax, entmax_bwd },
	{ "entmax 1.05", 1.05, entmax, entmax_bwd },
	{ "entmax 1.3", 1.3, entmax, entmax_bwd },
	{ "entmax 1.5", 1.5, entmax, entmax_bwd },
	{ "entmax 2", 2, entmax, entmax_bwd },
	{ "entmax 2.5", 2.5, entmax, entmax_bwd },
	{ "floor", 0.03, floored, floor_bwd },
	{ "sigmoid", 0, sigmoid, sigmoid_bwd },
	{ "relu", 0, relu, relu_bwd },
};

struct gate_ctx {
	const struct gate_case *k;
	double z[TE], c[TE];
};

static double gate_loss(void *ctx)
{
	struct gate_ctx *g = ctx;
	double y[TE];

	g->k->fwd(g->k->set, T, g->z, y);
	return dot(TE, y, g->c);
}

static void test_gates(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gate_ctx g = { .k = &cases[i] };
		double y[TE], dz[TE], seed[TE], one[E];

		fill(g.z, TE, 1);
		fill(g.c, TE, 2);
		for (size_t j = 0; !strncmp(g.k->name, "top-k", 5) && j < TE; j++)
			g.z[j] = 0.1 + fabs(g.z[j]); /* shares are positive */
		fill(seed, TE, 3);
		memcpy(dz, seed, sizeof(dz));
		g.k->fwd(g.k->set, T, g.z, y);
		g.k->bwd(g.k->set, g.z, y, g.c, dz);
		for (size_t j = 0; j < TE; j++)
			dz[j] -= seed[j]; /* a backward function adds */
		compare(gate_loss, &g, g.z, dz, TE, g.k->name);
		for (int t = 0; t < T; t++) {
			g.k->fwd(g.k->set, 1, g.z + t * E, one);
			assert_memory_equal(one, y + t * E, sizeof(one));
		}
	}
}

/* The gradient of alpha, also at its limit alpha = 1, and the closed forms as a cross-check. */
struct alpha_ctx {
	double alpha, z[TE], c[TE];
};

static double alpha_loss(void *ctx)
{
	struct alpha_ctx *a = ctx;
	double p[TE];

	moe_gate_entmax(T, E, a->alpha, a->z, p);
	return dot(TE, p, a->c);
}

static void test_alpha(void **state)
{
	static const double alpha[] = { 1.2, 1.5, 1.75, 2 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct alpha_ctx a = { .alpha = alpha[i] };
		double p[TE], dz[TE] = { 0 }, d = 0;

		fill(a.z, TE, 4);
		fill(a.c, TE, 5);
		moe_gate_entmax(T, E, a.alpha, a.z, p);
		moe_gate_entmax_bwd(T, E, a.alpha, p, a.c, dz, &d);
		compare(alpha_loss, &a, &a.alpha, &d, 1, "alpha");
	}
	{ /* at 1: a one-sided difference, wide enough that the bisection's digits suffice */
		struct alpha_ctx a = { .alpha = 1 };
		double p[TE], dz[TE] = { 0 }, d = 0, h = 1e-4, f0, f1, f2;

		fill(a.z, TE, 4);
		fill(a.c, TE, 5);
		moe_gate_entmax(T, E, 1, a.z, p);
		moe_gate_entmax_bwd(T, E, 1, p, a.c, dz, &d);
		f0 = alpha_loss(&a);
		a.alpha = 1 + h;
		f1 = alpha_loss(&a);
		a.alpha = 1 + 2 * h;
		f2 = alpha_loss(&a);
		assert_true(fabs((4 * f1 - f2 - 3 * f0) / (2 * h) - d) < 1e-5);
	}
}

/* Two experts, the closed forms: 1.5-entmax is one-hot from |z1 - z2| = 2 on, sparsemax from 1, and
 * between p = 1/2 + d/2 (sparsemax). */
static void test_two(void **state)
{
	double p[2], z[2] = { 0.3, 0 };

	(void)state;
	moe_gate_entmax(1, 2, 2, z, p);
	assert_true(fabs(p[0] - 0.65) < 1e-12);
	z[0] = 1;
	moe_gate_entmax(1, 2, 2, z, p);
	assert_true(p[1] < 1e-12);
	z[0] = 1.9;
	moe_gate_entmax(1, 2, 1.5, z, p);
	/* d = z/2 apart: x^2 + (x - d)^2 = 1 */
	assert_true(fabs(sqrt(p[0]) - (0.95 + sqrt(2 - 0.95 * 0.95)) / 2) < 1e-12 && p[1] > 0);
	z[0] = 2.01;
	moe_gate_entmax(1, 2, 1.5, z, p);
	assert_true(p[0] == 1 && p[1] == 0);
}

/* ---- logits from the input ---- */

struct logit_ctx {
	bool cosine;
	double x[T * LD], w[E * D], b[E], c[TE], m[D];
};

static double logit_loss(void *ctx)
{
	struct logit_ctx *l = ctx;
	double z[TE];

	if (l->cosine)
		moe_gate_cosine(T, D, E, l->x, LD, l->m, l->w, 1.7, z);
	else
		moe_gate_linear(T, D, E, l->x, LD, l->w, l->b, 1.7, z);
	return dot(TE, z, l->c);
}

static void test_logits(void **state)
{
	(void)state;
	for (int k = 0; k < 2; k++) {
		struct logit_ctx l = { .cosine = k };
		double dx[T * LD] = { 0 }, dw[E * D] = { 0 }, db[E] = { 0 }, all[TE], one[E];

		fill(l.x, T * LD, 6);
		fill(l.w, E * D, 7);
		fill(l.b, E, 8);
		fill(l.c, TE, 9);
		fill(l.m, D, 13);
		if (k)
			moe_gate_cosine_bwd(T, D, E, l.c, l.x, LD, l.m, l.w, 1.7, dx, LD, dw);
		else
			moe_gate_linear_bwd(T, D, E, l.c, l.x, LD, l.w, 1.7, dx, LD, dw, db);
		compare(logit_loss, &l, l.x, dx, T * LD, k ? "cosine input" : "linear input");
		compare(logit_loss, &l, l.w, dw, E * D, k ? "cosine weight" : "linear weight");
		if (!k)
			compare(logit_loss, &l, l.b, db, E, "linear bias");
		if (k) /* only the direction counts */
			assert_true(fabs(dot(D, l.w, dw)) < 1e-12);
		if (k)
			moe_gate_cosine(T, D, E, l.x, LD, l.m, l.w, 1.7, all);
		else
			moe_gate_linear(T, D, E, l.x, LD, l.w, l.b, 1.7, all);
		for (int t = 0; t < T; t++) {
			if (k)
				moe_gate_cosine(1, D, E, l.x + t * LD, LD, l.m, l.w, 1.7, one);
			else
				moe_gate_linear(1, D, E, l.x + t * LD, LD, l.w, l.b, 1.7, one);
			assert_memory_equal(one, all + t * E, sizeof(one));
		}
	}
}

/* ---- losses ---- */

struct loss_ctx {
	int which;
	double z[TE];
	uint8_t pick[TE];
	double f[E];
	bool in[E];
};

static const char *const loss_name[] = { "balance", "balance of a sequence", "z", "pin hot",
	"pin cold" };
enum { LOSSES = sizeof(loss_name) / sizeof(loss_name[0]) };

static double value(struct loss_ctx *l, double *dz)
{
	switch (l->which) {
	case 0:
		return moe_gate_balance(T, E, K, l->f, l->z, 0.7, dz);
	case 1:
		return moe_gate_balance_sequence(T, E, K, l->f, l->z, 0.7, dz);
	case 2:
		return moe_gate_z_loss(T, E, l->z, 0.7, dz);
	default:
		return moe_gate_pin(T, E, l->z, l->in, l->which == 3, 0.7, dz);
	}
}

static double loss_value(void *ctx)
{
	return value(ctx, NULL);
}

static void test_losses(void **state)
{
	(void)state;
	for (int k = 0; k < LOSSES; k++) {
		struct loss_ctx l = { .which = k, .in = { false, true, false, true, false } };
		double y[TE], seed[TE], dz[TE];

		fill(l.z, TE, 10);
		for (size_t j = 0; k < 2 && j < TE; j++)
			l.z[j] = 0.05 + fabs(l.z[j]);
		moe_gate_topk(T, E, K, false, l.z, y, l.pick);
		moe_gate_shares(T, E, l.pick, l.f);
		fill(seed, TE, 11);
		memcpy(dz, seed, sizeof(dz));
		assert_true(value(&l, dz) > 0);
		for (size_t j = 0; j < TE; j++)
			dz[j] -= seed[j];
		compare(loss_value, &l, l.z, dz, TE, loss_name[k]);
	}
}

/* What a loss is for: descending it balances, pins, shrinks. */
static void test_direction(void **state)
{
	struct loss_ctx l = { .in = { false, true, false, true, false } };
	double p[TE];

	(void)state;
	fill(l.z, TE, 12);
	for (int step = 0; step < 3000; step++) {
		double dz[TE] = { 0 };

		moe_gate_pin(T, E, l.z, l.in, true, 1, dz);
		for (size_t j = 0; j < TE; j++)
			l.z[j] -= dz[j];
	}
	moe_gate_softmax(T, E, l.z, p);
	for (int t = 0; t < T; t++)
		assert_true(p[t * E + 1] + p[t * E + 3] > 0.99);
	/* nothing to choose between: no loss */
	memset(l.in, 1, sizeof(l.in));
	assert_true(moe_gate_pin(T, E, l.z, l.in, true, 1, NULL) == 0);
	/* an even load has the balance loss coef, everything to one expert E / k times that */
	for (int t = 0; t < T; t++)
		for (int i = 0; i < E; i++) {
			l.pick[t * E + i] = i == 0;
			p[t * E + i] = i == 0;
		}
	moe_gate_shares(T, E, l.pick, l.f);
	assert_true(fabs(moe_gate_balance(T, E, 1, l.f, p, 0.01, NULL) - 0.01 * E) < 1e-15);
	/* ReMoE's coefficient rises while too few gates are 0 */
	assert_true(moe_gate_remoe_coef(1, 0.75, 0.5) > 1 &&
		moe_gate_remoe_coef(1, 0.75, 0.9) < 1 && moe_gate_remoe_coef(1, 0.75, 0.75) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gates),
		cmocka_unit_test(test_alpha),
		cmocka_unit_test(test_two),
		cmocka_unit_test(test_logits),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_direction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
