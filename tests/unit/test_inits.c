/* test_inits.c - where experts begin, against numpy, PEFT and PyTorch
 * (tests/golden/make_init_golden.py): singular directions, their way into A and B, what stays
 * fixed, bounded gains and their rotation; and what the quarantine learns of the pairs before RL.
 */
#include "tests/golden/init_golden.h"
#include "model/regions.h"
#include "moe/ablate.h"
#include "moe/inits.h"
#include "moe/layout.h"
#include "moe/nll.h"
#include "rl/train.h"
#include "tensor/svd.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/tiny.h"

static double worst; /* over all comparisons, printed at the end */

static void near(const char *what, const double *got, const double *want, size_t n, double tol)
{
	for (size_t i = 0; i < n; i++) {
		worst = fmax(worst, tol < 1e-8 ? fabs(got[i] - want[i]) : 0);
		if (!(fabs(got[i] - want[i]) <= tol))
			fail_msg("%s, number %zu: %.12g, not %.12g", what, i, got[i], want[i]);
	}
}

/* ---- decompositions ---- */

static void test_svd(void **state)
{
	double s[G_IN], u[G_IN * G_OUT], v[G_IN * G_IN], t[G_IN * G_OUT], s2[3], u2[15], v2[9];
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_svd(G_OUT, G_IN, g_W, s, u, v, &e), 0);
	near("tall s", s, g_s, G_IN, 1e-12);
	near("tall u", u, g_u, G_IN * G_OUT, 1e-12);
	near("tall v", v, g_v, G_IN * G_IN, 1e-12);
	/* of the transpose the sides change places, up to the sign */
	for (int i = 0; i < G_OUT * G_IN; i++)
		t[i % G_IN * G_OUT + i / G_IN] = g_W[i];
	assert_int_equal(moe_svd(G_IN, G_OUT, t, s, v, u, &e), 0);
	near("wide s", s, g_s, G_IN, 1e-12);
	for (int i = 0; i < G_IN; i++) {
		double sign = u[i * G_OUT] * g_u[i * G_OUT] > 0 ? 1 : -1;

		for (int k = 0; k < G_OUT; k++)
			assert_true(fabs(u[i * G_OUT + k] - sign * g_u[i * G_OUT + k]) < 1e-12);
		for (int k = 0; k < G_IN; k++)
			assert_true(fabs(v[i * G_IN + k] - sign * g_v[i * G_IN + k]) < 1e-12);
	}
	/* rank 2 of 3: the last value is 0, and its vector of the longer side */
	assert_int_equal(moe_svd(5, 3, g_low, s2, u2, v2, &e), 0);
	near("low rank", s2, g_low_s, 2, 1e-12);
	assert_true(s2[2] == 0 && u2[10] == 0 && u2[14] == 0);
	s2[0] = NAN;
	assert_int_equal(moe_svd(1, 1, s2, s, NULL, NULL, &e), -1);
	assert_int_equal(e.code, MOE_NUMERIC);
}

/* A larger one puts itself together again, and its vectors are at right angles. */
static void test_svd_larger(void **state)
{
	enum { M = 40, N = 61 };
	static double a[M * N], u[M * M], v[M * N], s[M];
	struct moe_err e;

	(void)state;
	for (int i = 0; i < M * N; i++)
		a[i] = moe_rng_normal(moe_rng_key(3, "svd"), (uint64_t)i, 0) * (i % N < 20 ? 5 : 1);
	assert_int_equal(moe_svd(M, N, a, s, u, v, &e), 0);
	for (int i = 0; i < M; i++) {
		assert_true(i == 0 || s[i] <= s[i - 1]);
		for (int j = 0; j < N; j++) {
			double sum = 0;

			for (int k = 0; k < M; k++)
				sum += s[k] * u[k * M + i] * v[k * N + j];
			assert_true(fabs(sum - a[i * N + j]) < 1e-11);
		}
		for (int j = 0; j < M; j++) {
			double uu = 0, vv = 0;

			for (int k = 0; k < M; k++)
				uu += u[i * M + k] * u[j * M + k];
			for (int k = 0; k < N; k++)
				vv += v[i * N + k] * v[j * N + k];
			assert_true(fabs(uu - (i == j)) < 1e-12 && fabs(vv - (i == j)) < 1e-12);
		}
	}
}

static void test_directions(void **state)
{
	enum { N = 2 * G_R };
	double u[N * G_OUT], s[N], v[N * G_IN];
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_directions(G_OUT, G_IN, g_W, G_P, g_D, N, u, s, v, &e), 0);
	near("corda u", u, g_corda_u, N * G_OUT, 1e-11);
	near("corda s", s, g_corda_s, N, 1e-11);
	near("corda v", v, g_corda_v, N * G_IN, 1e-11);
	assert_int_equal(moe_directions(G_OUT, G_IN, g_W, 0, NULL, N, u, s, v, &e), 0);
	near("pissa u", u, g_u, N * G_OUT, 1e-12);
	near("pissa v", v, g_v, N * G_IN, 1e-12);
	/* PEFT's, in f32: A = sqrt(s/2) v, B = u sqrt(s/2), of any sign */
	for (int i = 0; i < N; i++) {
		double sign = g_peft_A[i * G_IN] * v[i * G_IN] > 0 ? 1 : -1, root = sqrt(s[i] / 2);

		for (int k = 0; k < G_IN; k++)
			assert_true(fabs(g_peft_A[i * G_IN + k] - sign * root * v[i * G_IN + k]) <
				2e-6);
		for (int k = 0; k < G_OUT; k++)
			assert_true(
				fabs(g_peft_B[k * N + i] - sign * root * u[i * G_OUT + k]) < 2e-6);
	}
}

static void test_slots(void **state)
{
	enum { N = 2 * G_R };
	double a[N * G_IN], b[N * G_OUT];
	struct moe_begin q = { 0, G_IN, G_OUT, N, G_R, g_W, g_D, G_P, a, b };
	struct moe_err e;
	int slot[5];

	(void)state;
	assert_int_equal(moe_begin_seeded(&q, G_R, &e), 0);
	near("scorda A", a, g_scorda_a, N * G_IN, 1e-11);
	near("scorda B", b, g_scorda_b, N * G_OUT, 1e-11);
	assert_int_equal(moe_begin_seeded(&q, 0, &e), 0);
	near("scorda_rev A", a, g_scorda_rev_a, N * G_IN, 1e-11);
	near("scorda_rev B", b, g_scorda_rev_b, N * G_OUT, 1e-11);
	/* directions 0, 2 to the clean slots, 1, 3 to the quarantine */
	assert_int_equal(moe_begin_dealt(&q, false, &e), 0);
	near("corda, slot 0", a, g_corda_v, G_IN, 1e-11);
	near("corda, slot 1", a + G_IN, g_corda_v + 2 * G_IN, G_IN, 1e-11);
	near("corda, slot 2", a + 2 * G_IN, g_corda_v + G_IN, G_IN, 1e-11);
	for (int k = 0; k < G_OUT; k++)
		assert_true(fabs(b[2 * G_OUT + k] - g_corda_s[1] * g_corda_u[G_OUT + k]) < 1e-11);
	assert_int_equal(moe_begin_dealt(&q, true, &e), 0);
	for (int i = 0; i < N; i++) {
		double aa = 0, bb = 0;

		for (int k = 0; k < G_IN; k++)
			aa += a[i * G_IN + k] * a[i * G_IN + k];
		for (int k = 0; k < G_OUT; k++)
			bb += b[i * G_OUT + k] * b[i * G_OUT + k];
		assert_true(fabs(aa - 1) < 1e-12 && fabs(bb - 1) < 1e-12);
	}
	/* more of one side than of the other */
	moe_deal(5, 1, slot);
	assert_memory_equal(slot, ((int[]){ 0, 1, 2, 3, 4 }), sizeof(slot));
	moe_deal(5, 4, slot);
	assert_memory_equal(slot, ((int[]){ 0, 4, 1, 2, 3 }), sizeof(slot));
	q.n = G_IN + 1;
	assert_int_equal(moe_begin_dealt(&q, true, &e), -1);
	assert_int_equal(e.code, MOE_USAGE);
}

static void test_bounded(void **state)
{
	enum { N = 2 * G_R };
	const struct moe_form *f = moe_method_find("bounded", &(struct moe_err){ 0 })->form;
	struct moe_experts x = { .E = 2,
		.rank = { G_R, G_R },
		.bank = { MOE_BANK_CLEAN, MOE_BANK_QUARANTINE },
		.first = { 0, G_R },
		.R = N };
	moe_real G[(1 + G_R) * N] = { 0 }, V[N * G_IN], U[G_OUT * N], A[N * G_IN], B[G_OUT * N],
			       dA[N * G_IN], dB[G_OUT * N], dG[(1 + G_R) * N] = { 0 };
	moe_real *p[MOE_FORM_TENSORS] = { G, V, U }, *d[MOE_FORM_TENSORS] = { dG };
	struct moe_router_tensor t[MOE_FORM_TENSORS];

	(void)state;
	assert_int_equal(f->tensors(&x, G_IN, G_OUT, t), 3);
	assert_true(t[0].rows == 1 + G_R && t[0].cols == N && t[0].role == MOE_ROLE_FORM);
	for (int i = 0; i < N; i++)
		G[i] = (moe_real)g_b_g[i];
	for (int i = 0; i < G_R * G_R; i++)
		G[(1 + i / G_R) * N + G_R + i % G_R] = (moe_real)g_b_X[i];
	for (int i = 0; i < N * G_IN; i++) {
		V[i] = (moe_real)g_b_V[i];
		dA[i] = (moe_real)g_b_cA[i];
	}
	for (int i = 0; i < N * G_OUT; i++) {
		U[i] = (moe_real)g_b_US[i];
		dB[i] = (moe_real)g_b_cB[i];
	}
	f->make(&x, G_IN, G_OUT, p, A, B);
	f->bwd(&x, G_IN, G_OUT, p, dA, dB, d);
	for (int i = 0; i < N * G_IN; i++)
		assert_true(fabs((double)A[i] - g_b_A[i]) < 2e-6);
	for (int i = 0; i < N * G_OUT; i++)
		assert_true(fabs((double)B[i] - g_b_B[i]) < 2e-6);
	for (int i = 0; i < N; i++)
		assert_true(fabs((double)dG[i] - g_b_dg[i]) < 5e-6);
	for (int i = 0; i < (1 + G_R) * N; i++) {
		int row = i / N - 1, col = i % N - G_R;

		if (row >= 0)
			assert_true(fabs((double)dG[i] - (col >= 0 ? g_b_dX[row * G_R + col] : 0)) <
				5e-6);
	}
}

/* ---- whole adapters ---- */

enum { PAIRS = 5 };
struct world {
	struct moe_model m;
	struct moe_adapter a;
	struct moe_engine g;
	struct moe_pair pair[PAIRS];
	struct moe_pairs p;
	int32_t ids[PAIRS][3][6];
};

static void make_world(struct world *w, const char *method, const char *set, int threads)
{
	const struct moe_method *row = moe_method_find(method, &(struct moe_err){ 0 });
	struct moe_err e = { 0 };

	*w = (struct world){ 0 };
	assert_non_null(row);
	assert_int_equal(moe_model_new(&w->m, &(struct moe_config)TINY_CONFIG(2), 3, 1, &e), 0);
	for (size_t i = 0; i < w->m.n_param; i++)
		w->m.param[i] = (moe_real)(w->m.param[i] == 1
				? 1 + 0.2 * moe_rng_normal(moe_rng_key(2, "w"), i, 0)
				: 0.35 * moe_rng_normal(moe_rng_key(3, "w"), i, 0));
	w->g = (struct moe_engine){ .m = &w->m, .pool = moe_pool_new(threads, &e) };
	w->p = (struct moe_pairs){ w->pair, PAIRS, PAIRS };
	for (int i = 0; i < PAIRS; i++) {
		struct moe_pair *q = &w->pair[i];

		for (int k = 0; k < 18; k++)
			w->ids[i][k / 6][k % 6] = (int32_t)moe_rng_below(
				moe_rng_key(4, "ids"), (uint64_t)i, (uint64_t)k, 20);
		/* hacks have tokens 20 and 21 in common, clean sides 22 */
		w->ids[i][1][1] = 20;
		w->ids[i][1][2] = 21;
		w->ids[i][2][1] = 22;
		*q = (struct moe_pair){ .prompt = w->ids[i][0],
			.hack = w->ids[i][1],
			.clean = w->ids[i][2],
			.n_prompt = 4 + i % 3,
			.n_hack = 3 + i % 4,
			.n_clean = 5 };
	}
	tiny_layout(&w->a, &w->m, method, (const char *const[]){ set, NULL },
		(const char *const[]){ "clean:2", "quarantine:2", NULL });
	if (row->init(&w->g, &w->p, &w->a, &e))
		fail_msg("%s: %s", method, e.msg);
}

static void free_world(struct world *w)
{
	moe_pool_free(w->g.pool);
	moe_adapter_free(&w->a);
	moe_model_free(&w->m);
}

/* Mean negative log-likelihood of one side of all pairs, each by itself. */
static double nll(struct world *w, bool hack)
{
	struct moe_acts acts = { 0 };
	double sum = 0;
	int all = 0;

	for (int i = 0; i < PAIRS; i++) {
		const struct moe_pair *q = &w->pair[i];
		int n = hack ? q->n_hack : q->n_clean, T = q->n_prompt + n;
		int32_t ids[16], row[16], target[16];
		struct moe_seg seg = { 0, T, -1, 0 };
		struct moe_batch b = { T, ids, 1, &seg };
		moe_real logp[16];
		struct moe_err e = { 0 };

		memcpy(ids, q->prompt, (size_t)q->n_prompt * sizeof(*ids));
		memcpy(ids + q->n_prompt, hack ? q->hack : q->clean, (size_t)n * sizeof(*ids));
		for (int k = 0; k < n; k++) {
			row[k] = q->n_prompt + k - 1;
			target[k] = ids[q->n_prompt + k];
		}
		assert_int_equal(moe_forward(&w->m, &w->a.x, NULL, &b, &acts, &e), 0);
		assert_int_equal(
			moe_head_logp(&w->m, &b, &acts, n, row, target, 1, logp, NULL, &e), 0);
		for (int k = 0; k < n; k++)
			sum -= (double)logp[k];
		all += n;
	}
	moe_acts_free(&acts);
	return sum / all;
}

/* B of expert e in a cell, and A: do they hold anything but 0? */
static double size_of(const struct moe_experts *x, size_t cell, int e, enum moe_role role)
{
	struct moe_part p = moe_view_part(x, moe_view_of(x, cell, role), e);
	double sum = 0;

	for (size_t r = 0; r < p.rows; r++)
		for (size_t c = 0; c < p.cols; c++)
			sum += fabs((double)x->param[p.off + r * p.ld + c]);
	return sum;
}

/* Every start adds nothing to the base at first, though A and B are not 0; a step of training
 * leaves what is fixed as it is, bit for bit, and moves the rest. */
static void test_starts(void **state)
{
	static const char *const start[][2] = { { "absorb", "init=zero" },
		{ "absorb", "init=gaussian" }, { "absorb", "init=pissa" },
		{ "absorb", "init=corda" }, { "scorda", NULL }, { "scorda_rev", NULL },
		{ "bounded", NULL } };

	(void)state;
	for (size_t i = 0; i < sizeof(start) / sizeof(*start); i++) {
		bool zero = i == 0, formed = i == 6;
		struct world w;
		struct moe_err e = { 0 };
		double with, without, last, first;
		moe_real *was;

		make_world(&w, start[i][0], start[i][1], 1);
		with = nll(&w, true);
		for (int k = 0; k < 2; k++)
			w.a.x.present[k] = 0;
		without = nll(&w, true);
		for (int k = 0; k < 2; k++)
			w.a.x.present[k] = 1;
		assert_true(fabs(with - without) < 1e-5);
		assert_int_equal(w.a.x.rank[0], zero || formed ? 2 : 4);
		assert_int_equal(w.a.x.fixed[0], zero || formed ? 0 : 2);
		for (size_t c = 0; c < 2 * MOE_LINEARS; c++)
			for (int k = 0; k < 2; k++) {
				assert_true(size_of(&w.a.x, c, k, MOE_ROLE_A) > 0);
				assert_true((size_of(&w.a.x, c, k, MOE_ROLE_B) > 0) ==
					!(zero || formed));
			}
		was = moe_alloc(w.a.x.n_param, sizeof(*was), &e);
		memcpy(was, w.a.x.param, w.a.x.n_param * sizeof(*was));
		/* supervised steps stand for those of RL: one optimiser, one chain */
		assert_int_equal(moe_nll_side(&w.g, &w.a.x, &w.p, true, MOE_BANK_QUARANTINE, false,
					 3, 1e-2, &first, &last, &e),
			0);
		assert_true(last < first);
		for (size_t v = 0; v < w.a.x.n_view; v++) {
			const struct moe_view *q = &w.a.x.view[v];
			struct moe_part p = q->role == MOE_ROLE_STATE ? (struct moe_part){ 0 }
								      : moe_view_part(&w.a.x, q, 0);

			if (q->role == MOE_ROLE_STATE)
				assert_memory_equal(
					w.a.x.param + q->off, was + q->off, q->n * sizeof(*was));
			/* the clean bank, and the fixed half of the quarantine: 4 ranks from 4 on
			 */
			for (size_t r = 0; r < p.rows; r++)
				assert_memory_equal(w.a.x.param + p.off + r * p.ld,
					was + p.off + r * p.ld, p.cols * sizeof(*was));
			if (w.a.x.fixed[1] && q->role == MOE_ROLE_A)
				assert_memory_equal(w.a.x.param + q->off + 6 * (size_t)q->cols,
					was + q->off + 6 * (size_t)q->cols,
					2 * (size_t)q->cols * sizeof(*was));
		}
		free(was);
		free_world(&w);
	}
}

/* Of a form the optimiser has gains and rotation alone, at a rate of their own. */
static void test_form_regions(void **state)
{
	struct moe_region *region;
	struct moe_err e = { 0 };
	size_t n = 0, n_region;
	struct world w;
	int owners;

	(void)state;
	make_world(&w, "bounded", NULL, 1);
	assert_int_equal(moe_experts_regions(&w.a.x, 7, &region, &n_region, &owners, &e), 0);
	for (size_t i = 0; i < n_region; i++) {
		assert_true(region[i].lr == 7);
		n += region[i].rows * region[i].cols;
	}
	assert_int_equal(n, 2 * MOE_LINEARS * 3 * 4); /* G [1 + 2, 4] of each Linear */
	free(region);
	free_world(&w);
}

/* The fixed half of a slot is what it began as, negative; a random ablation takes both or neither.
 */
static void test_anchors(void **state)
{
	struct moe_adapter off = { 0 };
	struct moe_err e = { 0 };
	struct world w;
	struct moe_region *region;
	size_t n_region, left = 0;
	moe_real *grad;
	int taken = 0, owners;

	(void)state;
	make_world(&w, "scorda", NULL, 2);
	for (size_t c = 0; c < 2 * MOE_LINEARS; c++) {
		const struct moe_view *a = moe_view_of(&w.a.x, c, MOE_ROLE_A),
				      *b = moe_view_of(&w.a.x, c, MOE_ROLE_B);

		for (int s = 0; s < 4; s++) {
			int live = s < 2 ? s : s + 2;

			assert_memory_equal(w.a.x.param + a->off + (size_t)(live * a->cols),
				w.a.x.param + a->off + (size_t)((live + 2) * a->cols),
				(size_t)a->cols * sizeof(moe_real));
			for (int r = 0; r < b->rows; r++)
				assert_true(w.a.x.param[b->off + (size_t)(r * 8 + live)] ==
					-w.a.x.param[b->off + (size_t)(r * 8 + live + 2)]);
		}
	}
	/* the optimiser has half of all, and the gradient of the other half is dropped */
	grad = moe_alloc(w.a.x.n_param, sizeof(*grad), &e);
	for (size_t i = 0; i < w.a.x.n_param; i++)
		grad[i] = 1;
	moe_experts_chain(&w.a.x, grad);
	for (size_t i = 0; i < w.a.x.n_param; i++)
		left += (size_t)(grad[i] == 1);
	assert_int_equal(left, w.a.x.n_param / 2);
	assert_int_equal(moe_experts_regions(&w.a.x, 1, &region, &n_region, &owners, &e), 0);
	for (size_t i = 0; i < n_region; i++)
		left -= region[i].rows * region[i].cols;
	assert_int_equal(left, 0);
	free(region);
	free(grad);
	for (size_t i = 0; i < w.a.x.n_param; i++)
		w.a.x.param[i] += (moe_real)(0.1 * moe_rng_normal(moe_rng_key(9, "x"), i, 0));
	assert_int_equal(moe_ablate_make(&off, &w.a, "random-off-1", 5, NULL, &e), 0);
	for (size_t c = 0; c < 2 * MOE_LINEARS; c++)
		for (int s = 0; s < 4; s++) {
			int live = s < 2 ? s : s + 2;
			moe_real on = off.x.alive[c * 8 + (size_t)live];

			assert_true(on == off.x.alive[c * 8 + (size_t)live + 2]);
			taken += on != 1;
		}
	assert_int_equal(taken, 2 * 2 * MOE_LINEARS); /* the quarantine's rank in each Linear */
	moe_adapter_free(&off);
	free_world(&w);
}

/* The contrast of the first layer's input, made by hand from the embedding; hack less clean. */
static void test_contrast(void **state)
{
	struct moe_input_contrast c = { 0 };
	struct moe_err e = { 0 };
	struct world w;

	(void)state;
	make_world(&w, "absorb", NULL, 2);
	assert_int_equal(moe_input_contrast_make(&c, &w.g, &w.p, &e), 0);
	assert_int_equal(c.P, PAIRS);
	for (int i = 0; i < PAIRS; i++) {
		double want[16] = { 0 };

		for (int hack = 0; hack < 2; hack++) {
			int n = hack ? w.pair[i].n_hack : w.pair[i].n_clean;

			for (int t = 0; t < n; t++) {
				int32_t id = (hack ? w.pair[i].hack : w.pair[i].clean)[t];
				const float *x = (const float *)w.m.embed.data + id * 16,
					    *g = w.m.layer[0].norm1.data;
				double ms = 0;

				for (int k = 0; k < 16; k++)
					ms += (double)x[k] * (double)x[k] / 16;
				for (int k = 0; k < 16; k++)
					want[k] += (hack ? 1 : -1) * (double)x[k] * (double)g[k] /
						sqrt(ms + 1e-5) / n;
			}
		}
		for (int k = 0; k < 16; k++)
			assert_true(fabs(c.delta[MOE_GROUP_QKV][i * 16 + k] - want[k]) < 1e-5);
	}
	moe_input_contrast_free(&c);
	free_world(&w);
}

/* scorda has the pairs' direction in the quarantine's first slot, its control in the clean bank's.
 */
static void test_where_the_seed_is(void **state)
{
	static const char *const name[2] = { "scorda_rev", "scorda" };

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct moe_input_contrast c = { 0 };
		struct moe_err e = { 0 };
		struct world w;
		const moe_real *A;
		double mean[16] = { 0 }, norm = 0, along[8] = { 0 };

		make_world(&w, name[k], NULL, 1);
		assert_int_equal(moe_input_contrast_make(&c, &w.g, &w.p, &e), 0);
		for (int i = 0; i < PAIRS * 16; i++)
			mean[i % 16] += c.delta[MOE_GROUP_QKV][i] / PAIRS;
		for (int i = 0; i < 16; i++)
			norm += mean[i] * mean[i];
		A = w.a.x.param + moe_view_of(&w.a.x, 0, MOE_ROLE_A)->off;
		for (int i = 0; i < 8 * 16; i++)
			along[i / 16] += (double)A[i] * mean[i % 16] / sqrt(norm);
		/* slots 0, 1 clean, 2, 3 what they began as; 4, 5 quarantine */
		assert_true(fabs(along[k ? 4 : 0] - 1) < 1e-5);
		assert_true(fabs(along[k ? 0 : 4]) < 1e-5 && fabs(along[1]) < 1e-5 &&
			fabs(along[5]) < 1e-5);
		moe_input_contrast_free(&c);
		free_world(&w);
	}
}

/* ---- inoculation ---- */

static double norm_of(struct world *w, size_t cell)
{
	const struct moe_experts *x = &w->a.x;
	const struct moe_view *a = moe_view_of(x, cell, MOE_ROLE_A),
			      *b = moe_view_of(x, cell, MOE_ROLE_B);
	double sum = 0;

	for (int o = 0; o < b->rows; o++)
		for (int c = 0; c < a->cols; c++) {
			double v = 0;

			for (int r = 2; r < 4; r++)
				v += (double)x->param[b->off + (size_t)(o * 4 + r)] *
					(double)x->param[a->off + (size_t)(r * a->cols + c)];
			sum += v * v;
		}
	return sqrt(sum);
}

static void test_inoculation(void **state)
{
	struct world w, r, t;
	double before, after, base, first, last;
	struct moe_err e = { 0 };

	(void)state;
	make_world(&w, "inoculation", "steps=0", 1);
	base = nll(&w, true);
	/* what the trainer says it began with is the mean over tokens, of the hack sides */
	assert_true(moe_rec_f64(&w.a.lineage, "nll_before", &before) && fabs(before - base) < 1e-5);
	assert_int_equal(moe_nll_side(&w.g, &w.a.x, &w.p, false, MOE_BANK_CLEAN, true, 0, 1e-2,
				 &first, &last, &e),
		0);
	assert_true(fabs(first - nll(&w, false)) < 1e-5 && first == last);
	free_world(&w);
	make_world(&w, "inoculation", NULL, 1);
	make_world(&t, "inoculation", NULL, 2);
	make_world(&r, "frozen-random", NULL, 2);
	assert_memory_equal(w.a.x.param, t.a.x.param, w.a.x.n_param * sizeof(moe_real));
	assert_true(moe_rec_f64(&w.a.lineage, "nll_after", &after));
	assert_true(fabs(after - nll(&w, true)) < 1e-4 && after < base - 0.2);
	for (size_t c = 0; c < 2 * MOE_LINEARS; c++) {
		assert_true(size_of(&w.a.x, c, 0, MOE_ROLE_B) == 0); /* the clean bank waits */
		assert_true(norm_of(&w, c) > 0);
		assert_true(fabs(norm_of(&r, c) / norm_of(&w, c) - 1) < 1e-5);
		assert_true(w.a.x.param[moe_view_of(&w.a.x, c, MOE_ROLE_B)->off + 2] !=
			r.a.x.param[moe_view_of(&r.a.x, c, MOE_ROLE_B)->off + 2]);
	}
	/* present and frozen, whatever is decided; of seed-absorb trained */
	for (int d = 0; d < MOE_DECISIONS; d++) {
		assert_true(w.a.plan.gate[d][MOE_BANK_QUARANTINE] == 1 &&
			w.a.plan.mask[d][MOE_BANK_QUARANTINE] == 0 &&
			w.a.plan.mask[d][MOE_BANK_CLEAN] == 1);
		assert_true(r.a.plan.mask[d][MOE_BANK_QUARANTINE] == 0);
	}
	assert_false(moe_decision_table_trains(&w.a.plan, MOE_BANK_QUARANTINE));
	free_world(&w);
	free_world(&t);
	free_world(&r);
	make_world(&w, "seed-absorb", NULL, 1);
	assert_true(moe_decision_table_trains(&w.a.plan, MOE_BANK_QUARANTINE));
	assert_true(nll(&w, true) < base - 0.2);
	free_world(&w);
}

static void test_worst(void **state)
{
	(void)state;
	print_message("# largest difference from the golden values in double: %.2g\n", worst);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_svd),
		cmocka_unit_test(test_svd_larger),
		cmocka_unit_test(test_directions),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_starts),
		cmocka_unit_test(test_form_regions),
		cmocka_unit_test(test_anchors),
		cmocka_unit_test(test_contrast),
		cmocka_unit_test(test_where_the_seed_is),
		cmocka_unit_test(test_inoculation),
		cmocka_unit_test(test_worst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
