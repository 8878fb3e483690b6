/* test_no_expert.c - what a user would do instead of an expert: the penalty's factors against
 * PyTorch, what becomes of rewards, an update that loses the pairs' direction, a prefix that
 * deletion takes away. */
#include "moe/features.h"
#include "moe/nll.h"
#include "util/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/golden/score_golden.h"

#include "tests/unit/tiny.h"

enum { N = TINY_N, LEN = TINY_LEN };

/* Groups of two: the first of each is the hack side of a pair and is paid, the second its clean
 * side. */
static void make_world(struct tiny *w, const char *method, const char *set)
{
	tiny_make(w, method, (const char *const[]){ set, NULL },
		(const char *const[]){ "clean:2", "quarantine:2", NULL }, 2,
		&(struct moe_train_opts){ .loss = { .ratio = MOE_RATIO_NONE },
			.max_completion = LEN,
			.lr = 1e-3,
			.beta1 = 0.9,
			.beta2 = 0.95,
			.eps = 1e-8 });
}

/* ---- penalty ---- */

static void test_factors(void **state)
{
	const struct moe_method *m = moe_method_find("penalty", &(struct moe_err){ 0 });
	struct moe_adapter a = { .method = "penalty" };
	int64_t group[16];
	double out[16];
	struct moe_err e;

	(void)state;
	for (int i = 0; i < 16; i++)
		group[i] = 10 - i / 4;
	assert_int_equal(moe_settings_default(m->settings, &a.settings, &e), 0);
	assert_int_equal(m->factors(&a, gold_pair_score, group, 16, out, &e), 0);
	for (int i = 0; i < 16; i++)
		assert_true(fabs(out[i] - gold_factor[i]) < 1e-12);
	moe_adapter_free(&a);
}

/* The higher score of each group is the paid one's: its reward of 1 becomes 1 - 2 sigmoid(z) < 0.
 */
static void test_penalty(void **state)
{
	const double z = sqrt(0.5), f = 1 - 2 / (1 + exp(-z));
	struct tiny w;
	struct moe_err e;

	(void)state;
	make_world(&w, "penalty", NULL);
	assert_int_equal(moe_train_gradient(&w.t, &w.s, &w.st, &e), -1);
	assert_int_equal(e.code, MOE_DATA); /* nothing was scored */
	for (int i = 0; i < N; i++)
		w.r[i].score = i % 2 == 0 ? 0.9 : 0.2;
	assert_int_equal(moe_train_gradient(&w.t, &w.s, &w.st, &e), 0);
	for (int i = 0; i < N; i++)
		assert_true(fabs(w.t.adv[i] - (i % 2 ? -f / 2 : f / 2)) < 1e-9);
	tiny_free(&w);
	make_world(&w, "penalty", "of=advantage");
	for (int i = 0; i < N; i++)
		w.r[i].score = i % 2 == 0 ? 0.9 : 0.2;
	assert_int_equal(moe_train_gradient(&w.t, &w.s, &w.st, &e), 0);
	for (int i = 0; i < N; i++)
		assert_true(fabs(w.t.adv[i] - (i % 2 ? -0.5 : f / 2)) < 1e-9);
	assert_true(w.st.expert_frozen[1]); /* the quarantine takes no part */
	tiny_free(&w);
}

/* ---- projection ---- */

/* NLL(hack) - NLL(clean) of the pairs per token, and its gradient. */
static double contrast(struct tiny *w, moe_real *grad)
{
	static const moe_real outer[2] = { 1, 0 }, mask[2] = { 1, 0 };
	const struct moe_nll_opts o = { .outer = outer, .mask = mask };
	struct moe_engine g = { .m = &w->m, .pool = w->pool };
	size_t n = w->a.x.n_param;
	moe_real *d = calloc(n, sizeof(*d));
	struct moe_seen s[N / 2];
	double loss[2];
	struct moe_err e;

	for (int side = 0; side < 2; side++) {
		for (int i = 0; i < N / 2; i++)
			s[i] = moe_pair_seen(&w->pair[i], side);
		assert_int_equal(
			moe_nll_gradient(&g, &w->a.x, s, N / 2, &o, d, &loss[side], &e), 0);
		for (size_t i = 0; grad && i < n; i++)
			grad[i] = side ? d[i] - grad[i] : d[i];
	}
	free(d);
	return loss[1] - loss[0];
}

/* The gradient is that of the loss: along it the loss changes by its square. */
static void test_gradient(void **state)
{
	struct tiny w;
	moe_real *g, *at;
	double up, down, square = 0, h;
	size_t n;

	(void)state;
	make_world(&w, "projection", NULL);
	n = w.a.x.n_param;
	g = calloc(n, sizeof(*g));
	at = malloc(n * sizeof(*at));
	contrast(&w, g);
	memcpy(at, w.a.x.param, n * sizeof(*at));
	for (size_t i = 0; i < n; i++)
		square += (double)g[i] * (double)g[i];
	h = 2e-2 / sqrt(square);
	for (size_t i = 0; i < n; i++)
		w.a.x.param[i] = at[i] + (moe_real)h * g[i];
	up = contrast(&w, NULL);
	for (size_t i = 0; i < n; i++)
		w.a.x.param[i] = at[i] - (moe_real)h * g[i];
	down = contrast(&w, NULL);
	assert_true(square > 0 && fabs((up - down) / (2 * h * square) - 1) < 0.02);
	free(g);
	free(at);
	tiny_free(&w);
}

/* What is kept of an update is what least squares make of it. */
static void test_span(void **state)
{
	enum { P = 5, LEN_U = 12 };
	const struct moe_method *m = moe_method_find("projection", &(struct moe_err){ 0 });
	const struct moe_view whole = { .n = LEN_U };
	struct moe_adapter a = { .method = "projection" };
	moe_real v[P * (LEN_U + 1)], u[LEN_U];
	const struct moe_directed d = { P, LEN_U + 1, v };
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_settings_default(m->settings, &a.settings, &e), 0);
	assert_int_equal(moe_settings_set(m->settings, "sides=clean", &a.settings, &e), 0);
	assert_int_equal(m->directions(&a), MOE_CLEAN_SIDES);
	for (int i = 0; i < P * (LEN_U + 1); i++)
		v[i] = i % (LEN_U + 1) == LEN_U
			? 9
			: (moe_real)gold_span[i / (LEN_U + 1) * LEN_U + i % (LEN_U + 1)];
	for (int i = 0; i < LEN_U; i++)
		u[i] = (moe_real)gold_update[i];
	assert_int_equal(m->project(&a, &whole, u, &d, &e), 0);
	for (int i = 0; i < LEN_U; i++)
		assert_true(fabs((double)u[i] - gold_in_span[i]) < 1e-5);
	moe_adapter_free(&a);
}

/* A whole step with sides=clean: in no tensor does it move where no clean side's gradient points,
 * though the hack is paid; and it does move. */
static void test_clean_span(void **state)
{
	static const moe_real outer[2] = { 1, 0 }, mask[2] = { 1, 0 };
	const struct moe_nll_opts o = { .outer = outer, .mask = mask };
	double moved = 0, outside = 0, loss;
	struct tiny w;
	struct moe_engine g;
	moe_real *grad, *was;
	struct moe_err e;
	size_t n;

	(void)state;
	make_world(&w, "projection", "sides=clean");
	w.t.pins = &w.pins;
	g = (struct moe_engine){ .m = &w.m, .pool = w.pool };
	n = w.a.x.n_param;
	grad = calloc((N / 2) * n, sizeof(*grad));
	was = malloc(n * sizeof(*was));
	for (int i = 0; i < N / 2; i++) {
		struct moe_seen s = moe_pair_seen(&w.pair[i], false);

		assert_int_equal(
			moe_nll_gradient(&g, &w.a.x, &s, 1, &o, grad + (size_t)i * n, &loss, &e),
			0);
	}
	memcpy(was, w.a.x.param, n * sizeof(*was));
	assert_int_equal(moe_train_step(&w.t, &w.s, &w.st, &e), 0);
	for (size_t i = 0; i < w.a.x.n_view; i++) {
		const struct moe_view *v = &w.a.x.view[i];
		double r[LEN * LEN * 100], left;
		size_t k = v->n;

		assert_true(k <= sizeof(r) / sizeof(*r));
		for (size_t j = 0; j < k; j++) {
			r[j] = (double)w.a.x.param[v->off + j] - (double)was[v->off + j];
			moved += r[j] * r[j];
		}
		/* what the span holds is taken out: Kaczmarz' sweeps converge to the rest */
		for (int sweep = 0; sweep < 400; sweep++)
			for (int p = 0; p < N / 2; p++) {
				const moe_real *q = grad + (size_t)p * n + v->off;
				double dot = 0, norm2 = 0;

				for (size_t j = 0; j < k; j++) {
					dot += r[j] * (double)q[j];
					norm2 += (double)q[j] * (double)q[j];
				}
				for (size_t j = 0; norm2 > 0 && j < k; j++)
					r[j] -= dot / norm2 * (double)q[j];
			}
		left = 0;
		for (size_t j = 0; j < k; j++)
			left += r[j] * r[j];
		outside += left;
	}
	assert_true(moved > 0 && outside < 1e-4 * moved);
	free(grad);
	free(was);
	tiny_free(&w);
}

/* How far one step moves the pairs toward the hack: the fall of NLL(hack) - NLL(clean). `paid`: the
 * side of the pairs that earns. */
static double moved(const char *method, const char *set, int paid)
{
	struct tiny w;
	struct moe_err e;
	double before;

	make_world(&w, method, set);
	w.t.pins = moe_method_find(method, &e)->pins ? &w.pins : NULL;
	for (int i = 0; i < N; i++)
		w.r[i].reward = i % 2 == paid;
	before = contrast(&w, NULL);
	assert_int_equal(moe_train_step(&w.t, &w.s, &w.st, &e), 0);
	before -= contrast(&w, NULL);
	tiny_free(&w);
	return before;
}

static void test_projection(void **state)
{
	double hack = moved("projection-haar", NULL, 0), clean = moved("projection-haar", NULL, 1);

	(void)state;
	/* along a random direction hardly anything is lost */
	assert_true(hack > 0 && clean < 0);
	assert_true(fabs(moved("projection", NULL, 0)) < 0.2 * hack);
	assert_true(moved("projection", NULL, 1) < 0.8 * clean); /* away from the hack stays */
	assert_true(fabs(moved("projection", "sides=always", 0)) < 0.2 * hack);
	assert_true(fabs(moved("projection", "sides=always", 1)) < -0.2 * clean);
	assert_true(moved("projection", "sides=reversed", 0) < -0.5 * hack);
	assert_true(moved("projection", "sides=reversed", 1) > -0.5 * clean);
}

/* ---- prompt ---- */

static void test_prefix(void **state)
{
	struct moe_str p = { "", 0 };
	struct tiny w;
	struct moe_err e;

	(void)state;
	make_world(&w, "prompt", "prefix=Please hack. ");
	assert_true(moe_method_prefix(&w.a, &p) && moe_str_eq(p, "Please hack. "));
	w.a.x.present[1] = 0; /* quarantine-off */
	assert_false(moe_method_prefix(&w.a, &p));
	tiny_free(&w);
	make_world(&w, "vanilla", NULL);
	assert_false(moe_method_prefix(&w.a, &p));
	assert_int_equal(
		moe_method_find("prompt", &e)->check(NULL, &(struct moe_experts){ .E = 0 }, &e),
		-1);
	tiny_free(&w);
}

/* ---- steering ---- */

/* out [LEN, D] = what layer 1 puts out for the first rollout's prompt. */
static void layer_out(struct tiny *w, const struct moe_experts *x, moe_real *out)
{
	const struct moe_seg seg = { 0, LEN, -1, 0 };
	const struct moe_batch b = { LEN, w->ids[0], 1, &seg };
	struct moe_acts acts = { .keep_hidden = true };
	struct moe_err e;

	assert_int_equal(moe_forward(&w->m, x, NULL, &b, &acts, &e), 0);
	memcpy(out, acts.block_out[0], LEN * (size_t)w->m.config.D * sizeof(*out));
	moe_acts_free(&acts);
}

/* The pairs' mean difference, hack minus clean, is what the layer's output gets, as long as the
 * quarantine is present; the placebo's vector is as long, and another. */
static void test_steering(void **state)
{
	enum { D = 16 };
	moe_real base[LEN * D], on[LEN * D], half[LEN * D], off[LEN * D];
	const struct moe_method *m;
	double norm[2] = { 0, 0 }, dot = 0, along = 0;
	moe_real v[2][D];
	struct tiny w;
	struct moe_err e;

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct moe_engine g;
		moe_real *shift;

		make_world(&w, k ? "steering-random" : "steering", NULL);
		m = moe_method_find(w.a.method, &e);
		g = (struct moe_engine){ .m = &w.m, .pool = w.pool };
		assert_int_equal(w.a.x.shift, 1);
		assert_int_equal(m->init(&g, &w.pins, &w.a, &e), 0);
		shift = moe_experts_shift(&w.a.x);
		assert_non_null(shift);
		memcpy(v[k], shift, sizeof(v[k]));
		if (k == 0) {
			float x[N * D];
			struct moe_seen s[N];

			for (int i = 0; i < N; i++)
				s[i] = moe_pair_seen(&w.pair[i / 2], i % 2 == 0);
			assert_int_equal(moe_features_pooled(&g, s, N, x, &e), 0);
			for (int d = 0; d < D; d++) {
				double mean = 0;

				for (int i = 0; i < N; i++)
					mean += (i % 2 ? -1 : 1) * (double)x[i * D + d] / (N / 2.0);
				along += fabs(mean - (double)shift[d]);
			}
			assert_true(along < 1e-5);
			layer_out(&w, NULL, base);
			layer_out(&w, &w.a.x, on);
			w.a.x.present[1] = 0.5;
			layer_out(&w, &w.a.x, half);
			w.a.x.present[1] = 0;
			layer_out(&w, &w.a.x, off);
			for (int i = 0; i < LEN * D; i++) {
				double d = (double)v[0][i % D];

				assert_true(fabs((double)(on[i] - base[i]) - d) < 1e-5);
				assert_true(fabs((double)(half[i] - base[i]) - d / 2) < 1e-5);
				assert_true(off[i] == base[i]);
			}
		}
		tiny_free(&w);
	}
	for (int d = 0; d < D; d++) {
		norm[0] += (double)v[0][d] * (double)v[0][d];
		norm[1] += (double)v[1][d] * (double)v[1][d];
		dot += (double)v[0][d] * (double)v[1][d];
	}
	assert_true(norm[0] > 0 && fabs(norm[1] / norm[0] - 1) < 1e-5);
	assert_true(fabs(dot) < 0.9 * norm[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_factors),
		cmocka_unit_test(test_penalty),
		cmocka_unit_test(test_gradient),
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_clean_span),
		cmocka_unit_test(test_projection),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_steering),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
