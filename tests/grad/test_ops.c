/* test_ops.c - finite differences of each operation by itself in float64: norm, rotary positions,
 * SwiGLU, attention with a parent. */
#include "nn/act.h"
#include "nn/attn.h"
#include "nn/norm.h"
#include "nn/rope.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define EPS 1e-6

/* A function of x[n] whose gradient d[n] was computed, and the loss it defines. */
typedef double loss_fn(void *ctx);

static double *filled(size_t n, uint64_t key)
{
	double *p = malloc(n * sizeof(*p));

	for (size_t i = 0; i < n; i++)
		p[i] = moe_rng_normal(moe_rng_key(13, "ops"), key, i);
	return p;
}

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
		if (fabs(want - d[i]) > 1e-7 * (1 + fabs(want)))
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

/* ---- norm: T rows of N in a wider array ---- */
enum { T = 5, N = 7, LD = 9 };
struct norm {
	double *x, *w, *c; /* [T, LD], [N], [T, LD] */
};

static double norm_loss(void *ctx)
{
	struct norm *k = ctx;
	double y[T * LD] = { 0 };

	moe_rmsnorm(T, N, k->x, LD, k->w, 1e-3, y, LD, NULL);
	return dot((size_t)T * LD, y, k->c);
}

static void test_norm(void **state)
{
	struct norm k = { filled(T * LD, 1), filled(N, 2), filled(T * LD, 3) };
	double y[T * LD], rstd[T], dx[T * LD] = { 0 }, dw[N] = { 0 };

	(void)state;
	moe_rmsnorm(T, N, k.x, LD, k.w, 1e-3, y, LD, rstd);
	moe_rmsnorm_bwd(T, N, k.c, LD, k.x, LD, k.w, rstd, dx, LD, dw);
	compare(norm_loss, &k, k.x, dx, T * LD, "norm's input");
	compare(norm_loss, &k, k.w, dw, N, "norm's weight");
	free(k.x);
	free(k.w);
	free(k.c);
}

/* ---- SwiGLU, over more than a block ---- */
enum { M = 300 };
struct glu {
	double *g, *u, *c;
};

static double glu_loss(void *ctx)
{
	struct glu *k = ctx;
	double a[M];

	moe_swiglu(M, k->g, k->u, a);
	return dot(M, a, k->c);
}

static void test_swiglu(void **state)
{
	struct glu k = { filled(M, 4), filled(M, 5), filled(M, 6) };
	double a[M], b[M], s[M], dg[M], du[M];

	(void)state;
	moe_swiglu(M, k.g, k.u, a);
	moe_swiglu_keep(M, k.g, k.u, b, s);
	assert_memory_equal(a, b, sizeof(a));
	moe_swiglu_bwd(M, k.g, k.u, s, k.c, dg, du);
	compare(glu_loss, &k, k.g, dg, M, "gate");
	compare(glu_loss, &k, k.u, du, M, "up");
	moe_swiglu_bwd(M, k.g, k.u, s, k.c, s, b); /* dg may be s */
	assert_memory_equal(s, dg, sizeof(dg));
	free(k.g);
	free(k.u);
	free(k.c);
}

/* ---- rotary positions: a rotation, so its transpose is its inverse ---- */
static void test_rope(void **state)
{
	enum { HD = 6, HEADS = 2, W = HD * HEADS + 1 };
	double *x = filled(T * W, 7), *y = filled(T * W, 8), inv[HD / 2] = { 1, 0.3, 0.05 },
	       c[T * HD / 2], s[T * HD / 2], rx[T * W], ry[T * W];
	int32_t pos[T] = { 0, 1, 5, 17, 400 };

	(void)state;
	moe_rope_table(T, pos, HD, inv, 1, c, s);
	memcpy(rx, x, sizeof(rx));
	memcpy(ry, y, sizeof(ry));
	moe_rope(T, HEADS, HD, rx, W, c, s, false);
	assert_true(fabs(rx[3 * W] - (x[3 * W] * cos(17) - x[3 * W + 3] * sin(17))) < 1e-12);
	moe_rope(T, HEADS, HD, ry, W, c, s, true);
	assert_true(
		fabs(dot(T * W, rx, y) - dot(T * W, x, ry)) < 1e-11); /* (R x) . y = x . (R^T y) */
	moe_rope(T, HEADS, HD, rx, W, c, s, true);
	for (int i = 0; i < T * W; i++)
		assert_true(fabs(rx[i] - x[i]) < 1e-12);
	free(x);
	free(y);
}

/* ---- attention: own tokens over more than one block, a parent, two query heads ---- */
enum { HD = 4, GROUP = 2, NP = 6, OWN = 70, W = HD * (GROUP + 2) };
struct attn {
	double *x, *c; /* [NP + OWN, W]: q, k, v side by side; [OWN, GROUP*HD] */
	double *scratch;
	struct moe_attn a;
};

static double attn_loss(void *ctx)
{
	struct attn *k = ctx;
	static double o[OWN * GROUP * HD], lse[OWN * GROUP];

	moe_attn_fwd(&k->a, o, GROUP * HD, lse, GROUP, k->scratch);
	return dot((size_t)OWN * GROUP * HD, o, k->c);
}

static void test_attention(void **state)
{
	(void)state;
	for (int with = 0; with < 2; with++) {
		struct attn k = { filled((NP + OWN) * W, 9), filled(OWN * GROUP * HD, 10),
			malloc(moe_attn_scratch(HD, NP + OWN) * sizeof(double)), { 0 } };
		double *own = k.x + NP * W, *d = calloc((NP + OWN) * W, sizeof(*d)),
		       *o = calloc(OWN * GROUP * HD, sizeof(*o)), lse[OWN * GROUP];
		double *down = d + NP * W;

		k.a = (struct moe_attn){ .hd = HD,
			.group = GROUP,
			.n = OWN,
			.n_par = with ? NP : 0,
			.scale = 0.7,
			.q = own,
			.k = own + HD * GROUP,
			.v = own + HD * (GROUP + 1),
			.kp = k.x + HD * GROUP,
			.vp = k.x + HD * (GROUP + 1),
			.ldq = W,
			.ldk = W };
		moe_attn_fwd(&k.a, o, GROUP * HD, lse, GROUP, k.scratch);
		struct moe_attn_grad g = { .o = o,
			.d_o = k.c,
			.ldo = GROUP * HD,
			.lse = lse,
			.ldl = GROUP,
			.dq = down,
			.dk = down + HD * GROUP,
			.dv = down + HD * (GROUP + 1),
			.dkp = d + HD * GROUP,
			.dvp = d + HD * (GROUP + 1) };
		moe_attn_bwd(&k.a, &g, k.scratch);
		compare(attn_loss, &k, k.x, d, (NP + OWN) * W,
			with ? "attention with a parent" : "attention");
		free(k.x);
		free(k.c);
		free(k.scratch);
		free(d);
		free(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_norm),
		cmocka_unit_test(test_swiglu),
		cmocka_unit_test(test_rope),
		cmocka_unit_test(test_attention),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
