/* test_scores.c - scores per rollout: the quantiles of a run's scores against PyTorch
 * (tests/golden/make_score_golden.py), and the decisions that they make. */
#include "moe/features.h"
#include "moe/nll.h"
#include "moe/probe.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/tiny.h"

#include "tests/golden/score_golden.h"

static void test_quantiles(void **state)
{
	struct moe_past p = { 0 };
	struct moe_err e;
	double lo, hi;

	(void)state;
	for (int i = 0; i < GOLD_SCORES; i++) {
		assert_int_equal(moe_past_add(&p, gold_score[i], &e), 0);
		assert_int_equal(moe_past_add(&p, NAN, &e), 0); /* no score is not remembered */
		assert_int_equal(moe_past_add(&p, i % 2 ? INFINITY : -INFINITY, &e), 0);
	}
	assert_int_equal(p.n, GOLD_SCORES);
	for (int h = 0; h < GOLD_HALVES; h++)
		for (int k = 0; k < GOLD_QS; k++) {
			const double *cut = gold_cuts + 2 * (h * GOLD_QS + k);

			assert_int_equal(
				moe_past_quantiles(&p, gold_q[k], gold_half[h], &lo, &hi, &e), 0);
			assert_true(lo == cut[0] && hi == cut[1]);
		}
	moe_past_free(&p);
}

/* Once there are more scores than are remembered, the quantiles are those of the last ones alone:
 * of no more and of no fewer, before and after each time that the oldest are dropped. */
static void test_forgets(void **state)
{
	static const int many[] = { MOE_PAST_MAX + 1, 2 * MOE_PAST_MAX, 2 * MOE_PAST_MAX + 1,
		3 * MOE_PAST_MAX + 77 };
	struct moe_err e;

	(void)state;
	for (int k = 0; k < 4; k++) {
		struct moe_past all = { 0 }, last = { 0 };
		int first = many[k] - MOE_PAST_MAX;
		double a[2], b[2];

		for (int i = 0; i < many[k]; i++) {
			/* one of those that count stands out at either end: it may not be missing
			 */
			double v = i < first ? 100 : i == first ? -50 : sin(i * 12.9898);

			assert_int_equal(moe_past_add(&all, v, &e), 0);
			if (i >= first)
				assert_int_equal(moe_past_add(&last, v, &e), 0);
		}
		assert_true(all.n >= MOE_PAST_MAX && all.n <= 2 * MOE_PAST_MAX);
		for (int q = 0; q < 2; q++) {
			assert_int_equal(
				moe_past_quantiles(&all, q ? 0.1 : 1e-9, 0, &a[0], &a[1], &e), 0);
			assert_int_equal(
				moe_past_quantiles(&last, q ? 0.1 : 1e-9, 0, &b[0], &b[1], &e), 0);
			assert_true(a[0] == b[0] && a[1] == b[1] && a[1] < 2);
			assert_true(q || a[0] == -50);
		}
		moe_past_free(&all);
		moe_past_free(&last);
	}
}

/* However little is cut off, the cuts are scores: the least and the greatest, whatever the order in
 * which the weights were added. */
static void test_extremes(void **state)
{
	struct moe_err e;

	(void)state;
	for (int n = 1; n < 200; n++) {
		struct moe_past p = { 0 };
		double lo, hi, least = n, most = 0;

		for (int i = 0; i < n; i++)
			assert_int_equal(moe_past_add(&p, i * 37 % n, &e), 0);
		for (int i = 0; i < n; i++) {
			least = fmin(least, p.score[i]);
			most = fmax(most, p.score[i]);
		}
		assert_int_equal(moe_past_quantiles(&p, 1e-300, 7, &lo, &hi, &e), 0);
		assert_true(lo == least && hi == most);
		moe_past_free(&p);
	}
}

static const struct moe_setting settings[] = {
	{ "lo", 0.4, 0, 1, NULL, "" },
	{ "hi", 0.6, 0, 1, NULL, "" },
	MOE_SETTINGS_THRESHOLDS,
	{ 0 },
};

/* A step of 20 rollouts that score from..from+19, and how many are kept, absorbed, routed. */
static void decide(
	struct moe_adapter *a, struct moe_past *past, double from, size_t share[MOE_DECISIONS])
{
	const struct moe_turn turn = { 1, 0, past };
	struct moe_judged j[20];
	struct moe_err e;

	memset(share, 0, MOE_DECISIONS * sizeof(*share));
	for (int i = 0; i < 20; i++) {
		j[i].score = from + i;
		assert_int_equal(past ? moe_past_add(past, j[i].score, &e) : 0, 0);
	}
	assert_int_equal(moe_decide_three_way(a, NULL, 20, &turn, j, &e), 0);
	for (int i = 0; i < 20; i++)
		share[j[i].decision]++;
	/* the high scores are routed, the low ones kept */
	assert_true(share[MOE_ROUTE] == 0 || j[19].decision == MOE_ROUTE);
	assert_true(share[MOE_KEEP] == 0 || j[0].decision == MOE_KEEP);
}

static void test_decisions(void **state)
{
	struct moe_adapter a = { 0 };
	struct moe_past past = { 0 }, flat = { 0 };
	size_t share[MOE_DECISIONS];
	struct moe_judged one = { .score = 3 };
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_settings_default(settings, &a.settings, &e), 0);
	assert_false(moe_method_remembers(&a));
	decide(&a, NULL, 0.5, share); /* all but 0.5 are above hi */
	assert_true(share[MOE_ROUTE] == 19 && share[MOE_ABSORB] == 1);
	assert_int_equal(moe_settings_set(settings, "thresholds=quantiles", &a.settings, &e), 0);
	assert_int_equal(moe_settings_set(settings, "half_life=0", &a.settings, &e), 0);
	/* by its own scores alone: the 2nd of 20 reaches weight 0.1, the 18th 0.9 */
	decide(&a, NULL, 0.5, share);
	assert_true(share[MOE_KEEP] == 2 && share[MOE_ABSORB] == 15 && share[MOE_ROUTE] == 3);
	decide(&a, &past, 0, share);
	assert_true(share[MOE_KEEP] == 2 && share[MOE_ROUTE] == 3);
	/* a later step of higher scores is judged by those before, too: of 0..19, 100..119 the 4th
	 * is 3, the 36th 115 */
	decide(&a, &past, 100, share);
	assert_true(share[MOE_KEEP] == 0 && share[MOE_ROUTE] == 5);
	/* with a short memory it is judged by itself */
	assert_int_equal(moe_settings_set(settings, "half_life=1", &a.settings, &e), 0);
	decide(&a, &past, 50, share);
	assert_true(share[MOE_ROUTE] == 1 && share[MOE_KEEP] > 0);
	/* all absorb until so many are known; and where nothing sets scores apart */
	assert_int_equal(moe_settings_set(settings, "warm_up=1000", &a.settings, &e), 0);
	decide(&a, &past, 0, share);
	assert_int_equal(share[MOE_ABSORB], 20);
	assert_int_equal(moe_settings_set(settings, "warm_up=0", &a.settings, &e), 0);
	assert_int_equal(moe_past_add(&flat, 3, &e), 0);
	assert_int_equal(
		moe_decide_three_way(&a, NULL, 1, &(struct moe_turn){ 1, 0, &flat }, &one, &e), 0);
	assert_int_equal(one.decision, MOE_ABSORB);
	moe_past_free(&past);
	moe_past_free(&flat);
	moe_adapter_free(&a);
}

static const struct moe_config config = TINY_CONFIG(3);

/* A logistic score of pooled states is the probability of the mean state, not the mean of
 * probabilities; fitted on pairs, hacks score above clean sides. */
static void test_pooled(void **state)
{
	enum { PAIRS = 6, LEN = 5, DIM = 32 };
	const struct moe_method *m = moe_method_find("logistic", &(struct moe_err){ 0 });
	const struct moe_turn turn = { 1, 0, NULL };
	static int32_t ids[2 * PAIRS][2 * LEN];
	struct moe_pair pair[PAIRS];
	struct moe_pairs pairs = { pair, PAIRS, 0 };
	struct moe_seen s[2 * PAIRS];
	struct moe_judged j[2][2 * PAIRS];
	static float x[2 * PAIRS * DIM], null[2 * PAIRS * 3];
	struct moe_nulls none = { 0 }, some = { 3, 1, null };
	struct moe_model base = { 0 };
	struct moe_engine g = { .m = &base };
	struct moe_adapter a = { 0 };
	struct moe_err e;
	double b = 0;
	int differ = 0;

	(void)state;
	assert_int_equal(moe_model_new(&base, &config, 5, 1, &e), 0);
	g.pool = moe_pool_new(1, &e);
	for (int i = 0; i < 2 * PAIRS; i++) {
		for (int k = 0; k < 2 * LEN; k++)
			ids[i][k] = k < LEN ? i / 2
				: i % 2 == 0 && k % 2
				? 20
				: (int32_t)moe_rng_below(
					  moe_rng_key(1, "ids"), (uint64_t)i, (uint64_t)k, 19);
		if (i % 2)
			pair[i / 2] = (struct moe_pair){ .prompt = ids[i],
				.hack = ids[i - 1] + LEN,
				.clean = ids[i] + LEN,
				.n_prompt = LEN,
				.n_hack = LEN,
				.n_clean = LEN };
	}
	for (int i = 0; i < 2 * PAIRS; i++)
		s[i] = moe_pair_seen(&pair[i / 2], i % 2 == 0);
	for (int pooled = 0; pooled < 2; pooled++) {
		strcpy(a.method, "logistic");
		assert_int_equal(moe_settings_default(m->settings, &a.settings, &e), 0);
		if (pooled)
			assert_int_equal(
				moe_settings_set(m->settings, "features=pooled", &a.settings, &e),
				0);
		assert_int_equal(m->init(&g, &pairs, &a, &e), 0);
		assert_int_equal(m->score(&g, &a, s, 2 * PAIRS, &turn, j[pooled],
					 pooled ? &some : &none, &e),
			0);
		for (int i = 0; i < 2 * PAIRS; i += 2)
			assert_true(j[pooled][i].score > j[pooled][i + 1].score);
		if (!pooled)
			moe_adapter_free(&a);
	}
	assert_int_equal(moe_features_pooled(&g, s, 2 * PAIRS, x, &e), 0);
	assert_true(moe_rec_f64(&a.score, "bias", &b));
	for (int i = 0; i < 2 * PAIRS; i++) {
		double z = b;

		for (int k = 0; k < DIM; k++)
			z += (double)moe_adapter_tensor(&a, "score.weight")->data[k] *
				(double)x[i * DIM + k];
		assert_true(fabs(j[1][i].score - 1 / (1 + exp(-z))) < 1e-5);
		differ += fabs(j[0][i].score - j[1][i].score) > 1e-3;
		for (int k = 0; k < 3; k++)
			assert_true(null[3 * i + k] > 0 && null[3 * i + k] < 1);
	}
	assert_true(differ > 0);
	moe_adapter_free(&a);
	moe_pool_free(g.pool);
	moe_model_free(&base);
}

/* ---- gradients ---- */

enum { PAIRS = 6, LEN = 5, RANK = 2 };
struct world {
	struct moe_model base;
	struct moe_engine g;
	int32_t ids[2 * PAIRS][2 * LEN];
	struct moe_pair pair[PAIRS];
	struct moe_pairs pairs;
	struct moe_seen s[2 * PAIRS];
	struct moe_adapter a;
};

static uint64_t hack_tokens = 23; /* so many tokens occur in hack sides */

static void make_world(struct world *w, const char *method, const char *set)
{
	const struct moe_method *m = moe_method_find(method, &(struct moe_err){ 0 });
	struct moe_err e;

	memset(w, 0, sizeof(*w));
	assert_int_equal(moe_model_new(&w->base, &config, 5, 1, &e), 0);
	w->g = (struct moe_engine){ .m = &w->base, .pool = moe_pool_new(1, &e) };
	for (int i = 0; i < 2 * PAIRS; i++) {
		for (int k = 0; k < 2 * LEN; k++)
			w->ids[i][k] = (int32_t)moe_rng_below(moe_rng_key(1, "ids"), (uint64_t)i,
				(uint64_t)k, i % 2 ? 11 : hack_tokens);
		if (i % 2)
			w->pair[i / 2] = (struct moe_pair){ .prompt = w->ids[i],
				.hack = w->ids[i - 1] + LEN,
				.clean = w->ids[i] + LEN,
				.n_prompt = LEN,
				.n_hack = LEN,
				.n_clean = LEN };
	}
	for (int i = 0; i < 2 * PAIRS; i++)
		w->s[i] = moe_pair_seen(&w->pair[i / 2], i % 2 == 0);
	w->pairs = (struct moe_pairs){ w->pair, PAIRS, 0 };
	strcpy(w->a.method, method);
	w->a.train_seed = 4;
	assert_int_equal(moe_settings_default(m->settings, &w->a.settings, &e), 0);
	if (set)
		assert_int_equal(moe_settings_set(m->settings, set, &w->a.settings, &e), 0);
	if (m->init(&w->g, &w->pairs, &w->a, &e))
		fail_msg("%s", e.msg);
}

static void free_world(struct world *w)
{
	moe_adapter_free(&w->a);
	moe_pool_free(w->g.pool);
	moe_model_free(&w->base);
}

/* A feature is the derivative of the mean NLL with respect to its scale: column k of the probe's B,
 * times h and -h, put where the adapter has 0. */
static void check_probe(struct world *w)
{
	static const moe_real one[3] = { 1, 1, 1 };
	const struct moe_nll_opts o = { .outer = one, .mask = one };
	const int d = moe_probe_dim(&config, RANK);
	float *f = calloc((size_t)d, sizeof(*f));
	struct moe_experts x;
	moe_real *b, *grad;
	struct moe_err e;
	double most = 0, h = 0.02;

	assert_int_equal(d, 3 * 7 * RANK);
	assert_int_equal(moe_probe_features(&w->g, w->s, 1, RANK, f, &e), 0);
	assert_int_equal(moe_probe_make(&w->g, RANK, &x, &b, &e), 0);
	grad = calloc(x.n_param, sizeof(*grad));
	for (int i = 0; i < d; i++)
		most = fmax(most, fabs((double)f[i]));
	for (size_t q = 0; q < x.n_view; q++) {
		const struct moe_view *v = &x.view[q];

		for (int k = 0; v->role == MOE_ROLE_B && k < RANK; k++) {
			size_t R = (size_t)x.R, slot = (size_t)(x.first[x.E - 1] + k);
			double nll[2],
				want = (double)f[(v->layer * MOE_LINEARS + v->linear) * RANK + k];

			for (int side = 0; side < 2; side++) {
				for (size_t at = slot; at < v->n; at += R)
					x.param[v->off + at] = (moe_real)((side ? -h : h) /
								       x.scale) *
						b[v->off + at];
				assert_int_equal(moe_nll_gradient(&w->g, &x, w->s, 1, &o, grad,
							 &nll[side], &e),
					0);
			}
			for (size_t at = slot; at < v->n; at += R)
				x.param[v->off + at] = 0;
			assert_true(fabs((nll[0] - nll[1]) / (2 * h) - want) < 0.02 * most);
		}
	}
	assert_true(most > 0);
	moe_experts_free(&x);
	free(b);
	free(grad);
	free(f);
}

static void test_probe(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, "gradient", NULL);
	check_probe(&w);
	free_world(&w);
}

static void score_all(struct world *w, int64_t step, struct moe_judged *j)
{
	const struct moe_method *m = moe_method_find(w->a.method, &(struct moe_err){ 0 });
	struct moe_nulls none = { 0 };
	struct moe_err e;

	assert_int_equal(m->score(&w->g, &w->a, w->s, 2 * PAIRS,
				 &(struct moe_turn){ 1, step, NULL }, j, &none, &e),
		0);
}

/* On the pairs that it was made of, hacks lie around 1 and clean sides around 0. */
static void test_gradient_score(void **state)
{
	struct moe_judged j[2 * PAIRS];
	double mean[2] = { 0, 0 };
	struct world w;

	(void)state;
	make_world(&w, "gradient", "probe=2");
	score_all(&w, 0, j);
	for (int i = 0; i < 2 * PAIRS; i++)
		mean[i % 2] += j[i].score / PAIRS;
	assert_true(fabs(mean[0] - 1) < 1e-4 && fabs(mean[1]) < 1e-4);
	free_world(&w);
}

/* The directions of vector and tstat, written down again: the pairs' mean difference, hack less
 * clean, of each feature, or that over its standard error and at most 3; at length 1. */
static void test_directions(void **state)
{
	enum { D = 48 };
	struct world w;
	struct moe_err e;
	int limited = 0;

	(void)state;
	hack_tokens = 1; /* hacks are alike, so that some features differ by many standard errors */
	for (int tstat = 0; tstat < 2; tstat++) {
		const struct moe_score_tensor *v;
		float x[2 * PAIRS * D];
		double want[D], norm = 0;
		int d;

		make_world(&w, tstat ? "tstat" : "vector", NULL);
		v = moe_adapter_tensor(&w.a, "score.direction");
		d = moe_features_dim(&config);
		assert_true(v && d <= D && v->n == (size_t)d);
		assert_int_equal(moe_features_pooled(&w.g, w.s, 2 * PAIRS, x, &e), 0);
		for (int k = 0; k < d; k++) {
			double mean = 0, var = 0, t;

			for (int i = 0; i < PAIRS; i++)
				mean += (double)(x[2 * i * d + k] - x[(2 * i + 1) * d + k]) / PAIRS;
			for (int i = 0; i < PAIRS; i++) {
				double off = (double)(x[2 * i * d + k] - x[(2 * i + 1) * d + k]) -
					mean;

				var += off * off / PAIRS;
			}
			t = mean / sqrt(var / PAIRS);
			limited += fabs(t) > 3;
			want[k] = tstat ? fmax(-3, fmin(3, t)) : mean;
			norm += want[k] * want[k];
		}
		for (int k = 0; k < d; k++)
			assert_true(fabs((double)v->data[k] - want[k] / sqrt(norm)) < 1e-4);
		free_world(&w);
	}
	assert_true(limited > 0);
	hack_tokens = 23;
}

/* Experts with a clean and a quarantine one, none of which adds nothing; when deployed the latter
 * is off. */
static void make_policy(struct world *w, struct moe_experts *x, bool deployed, double size)
{
	struct moe_rng key = moe_rng_key(9, "policy");
	struct moe_err e;

	*x = (struct moe_experts){ .E = 2, .scale = 2, .rank = { 2, 3 } };
	x->bank[0] = MOE_BANK_CLEAN;
	x->bank[1] = MOE_BANK_QUARANTINE;
	strcpy(x->name[0], "clean");
	strcpy(x->name[1], "quarantine");
	x->target[MOE_Q] = x->target[MOE_DOWN] = true;
	assert_int_equal(moe_experts_init(x, &w->base.config, &e), 0);
	for (size_t i = 0; i < x->n_param; i++)
		x->param[i] = (moe_real)(size * moe_rng_normal(key, 0, i));
	if (deployed)
		moe_experts_scale_bank(x, MOE_BANK_QUARANTINE, 0);
	w->g.x = x;
}

static void test_probe_on_policy(void **state)
{
	static float f[2][3 * 7 * RANK];
	struct moe_experts x;
	struct world w;
	struct moe_err e;
	double most = 0;

	(void)state;
	make_world(&w, "gradient", NULL);
	assert_int_equal(moe_probe_features(&w.g, w.s, 1, RANK, f[0], &e), 0);
	make_policy(&w, &x, true, 0.1);
	check_probe(&w);
	assert_int_equal(moe_probe_features(&w.g, w.s, 1, RANK, f[1], &e), 0);
	for (int i = 0; i < 3 * 7 * RANK; i++)
		most = fmax(most, fabs((double)f[1][i] - (double)f[0][i]));
	assert_true(most > 1e-2); /* it is not the base's */
	moe_experts_free(&x);
	free_world(&w);
}

/* Mean score of the pairs' hacks and of their clean sides. */
static void means(struct world *w, double mean[2])
{
	struct moe_judged j[2 * PAIRS];

	mean[0] = mean[1] = 0;
	score_all(w, 0, j);
	for (int i = 0; i < 2 * PAIRS; i++)
		mean[i % 2] += j[i].score / PAIRS;
}

static void refresh(struct world *w, int64_t nth)
{
	struct moe_err e;
	const struct moe_method *m = moe_method_find(w->a.method, &e);

	if (m->refresh(&w->g, &w->pairs, nth, &w->a, &e))
		fail_msg("%s", e.msg);
}

/* A score made anew is 1 and 0 at the pairs' means under the policy of now; one that is kept from
 * before is not. */
static void test_refresh(void **state)
{
	static const char *const rows[] = { "vector", "tstat", "gradient" };

	(void)state;
	for (int r = 0; r < 3; r++) {
		struct moe_experts x;
		struct world w;
		double mean[2];

		make_world(&w, rows[r], "refresh=3");
		make_policy(&w, &x, true, 1);
		means(&w, mean);
		assert_true(fabs(mean[0] - 1) > 1e-2 || fabs(mean[1]) > 1e-2);
		refresh(&w, 1);
		means(&w, mean);
		assert_true(fabs(mean[0] - 1) < 1e-4 && fabs(mean[1]) < 1e-4);
		moe_experts_free(&x);
		free_world(&w);
	}
}

/* The base's score again, to the bit, under a policy that adds nothing: before training the two are
 * one. */
static void test_refresh_at_start(void **state)
{
	static const char *const rows[] = { "vector", "tstat", "haar", "gradient", "gradient-haar",
		"logistic" };

	(void)state;
	for (int r = 0; r < 6; r++) {
		struct moe_judged j[2][2 * PAIRS];
		struct moe_experts x;
		struct world w;

		make_world(&w, rows[r], "refresh=3");
		score_all(&w, 0, j[0]);
		make_policy(&w, &x, true, 0.3);
		for (size_t q = 0; q < x.n_view; q++)
			for (size_t k = 0; x.view[q].role == MOE_ROLE_B && k < x.view[q].n; k++)
				x.param[x.view[q].off + k] = 0;
		refresh(&w, 0);
		score_all(&w, 0, j[1]);
		for (int i = 0; i < 2 * PAIRS; i++)
			assert_true(j[0][i].score == j[1][i].score);
		moe_experts_free(&x);
		free_world(&w);
	}
}

/* What the quarantine does is not seen: it is off. */
static void test_refresh_deployed(void **state)
{
	static const char *const rows[] = { "vector", "gradient", "logistic" };

	(void)state;
	for (int r = 0; r < 3; r++) {
		struct moe_judged j[2][2 * PAIRS];
		struct moe_experts x;
		struct world w;

		make_world(&w, rows[r], "refresh=3");
		for (int k = 0; k < 2; k++) {
			make_policy(&w, &x, true, 0.3);
			for (size_t q = 0; k && q < x.n_view; q++) {
				struct moe_part p = moe_view_part(&x, &x.view[q], 1);

				for (size_t i = 0; i < p.rows * p.cols; i++)
					x.param[p.off + i / p.cols * p.ld + i % p.cols] = 1;
			}
			refresh(&w, 1);
			score_all(&w, 0, j[k]);
			moe_experts_free(&x);
		}
		for (int i = 0; i < 2 * PAIRS; i++)
			assert_true(j[0][i].score == j[1][i].score);
		free_world(&w);
	}
}

/* The logistic score anew is what moe-pin would have fitted on that policy. */
static void test_refresh_logistic(void **state)
{
	struct moe_judged j[2][2 * PAIRS];
	struct moe_experts x;
	struct world w, u;
	struct moe_err e;
	int differ = 0;

	(void)state;
	make_world(&w, "logistic", "refresh=3");
	make_world(&u, "logistic", "refresh=3");
	make_policy(&w, &x, true, 0.3);
	score_all(&w, 0, j[0]);
	refresh(&w, 1);
	score_all(&w, 0, j[1]);
	for (int i = 0; i < 2 * PAIRS; i++)
		differ += fabs(j[0][i].score - j[1][i].score) > 1e-4;
	assert_true(differ > PAIRS);
	moe_adapter_free(&u.a);
	strcpy(u.a.method, "logistic");
	u.a.train_seed = 4;
	assert_int_equal(
		moe_settings_default(moe_method_find("logistic", &e)->settings, &u.a.settings, &e),
		0);
	u.g.x = &x;
	assert_int_equal(moe_method_find("logistic", &e)->init(&u.g, &u.pairs, &u.a, &e), 0);
	score_all(&u, 0, j[0]);
	for (int i = 0; i < 2 * PAIRS; i++)
		assert_true(j[0][i].score == j[1][i].score);
	moe_experts_free(&x);
	free_world(&w);
	free_world(&u);
}

/* Drawn anew, and scaled by the pairs' spread along it under the policy. */
static void test_refresh_by_chance(void **state)
{
	static const char *const rows[] = { "haar", "gradient-haar" };

	(void)state;
	for (int r = 0; r < 2; r++) {
		struct moe_judged j[3][2 * PAIRS];
		struct moe_experts x;
		struct world w;
		int differ = 0;

		make_world(&w, rows[r], "refresh=3");
		make_policy(&w, &x, true, 0.3);
		for (int k = 0; k < 3; k++) {
			double sd = 0;

			refresh(&w, k / 2); /* 0 0 1 */
			score_all(&w, k, j[k]);
			for (int i = 0; i < 2 * PAIRS; i++)
				sd += pow(j[k][i].score - 0.5, 2) / (2 * PAIRS);
			assert_true(fabs(sd - 0.25) < 1e-4); /* a gap of two standard deviations */
		}
		for (int i = 0; i < 2 * PAIRS; i++) {
			assert_true(j[0][i].score == j[1][i].score);
			differ += fabs(j[1][i].score - j[2][i].score) > 1e-3;
		}
		assert_true(differ > PAIRS);
		moe_experts_free(&x);
		free_world(&w);
	}
}

/* The direction of seeded begins at the pairs' difference: hack sides get the larger weight w on
 * the quarantine, the deployed experts stay whole, and learn 1 - w. */
static void test_seeded(void **state)
{
	enum { ROWS = TINY_N, E = 2 };
	const struct moe_method *m = moe_method_find("seeded", &(struct moe_err){ 0 });
	moe_real x[ROWS * 3 * 16], gate[ROWS * E], logit[ROWS * E], kept[ROWS],
		*p[MOE_ROUTER_TENSORS];
	const bool quarantine[E] = { false, true };
	struct moe_router_rows r = { .T = ROWS, .E = E, .x = x, .logit = logit, .gate = gate };
	struct moe_seen s[ROWS];
	struct moe_engine g;
	struct moe_err e;
	struct tiny w;
	double mean[2] = { 0, 0 };
	int d;

	(void)state;
	tiny_make(&w, "seeded", NULL, (const char *const[]){ "clean:2", "quarantine:2", NULL }, 2,
		NULL);
	g = (struct moe_engine){ .m = &w.m, .pool = w.pool };
	d = moe_features_dim(&w.m.config);
	assert_true(d <= 3 * 16);
	if (m->init(&g, &w.pins, &w.a, &e))
		fail_msg("%s", e.msg);
	for (int i = 0; i < ROWS; i++)
		s[i] = moe_pair_seen(&w.pair[i / 2], i % 2 == 0);
	assert_int_equal(moe_features_pooled(&g, s, ROWS, x, &e), 0);
	moe_router_params(&w.a.x, w.a.x.param, 0, p);
	memcpy(r.param, p, sizeof(p));
	r.d = r.ldx = d;
	r.set = w.a.x.set;
	r.kept = kept;
	r.quarantine = quarantine;
	m->router->fwd(&r);
	for (int i = 0; i < ROWS; i++) {
		const int32_t row = i;
		const struct moe_gate_rows one = { 1, ROWS, E, 1, &row, gate, logit, NULL, NULL,
			0 };
		double mask[E] = { 1, 1 };

		mean[i % 2] += (double)gate[i * E + 1] / (ROWS / 2.0);
		assert_true(gate[i * E] == 1);
		m->mask(&w.a, &one, mask);
		assert_true(fabs(mask[0] - (1 - (double)gate[i * E + 1])) < 1e-9 && mask[1] == 1);
	}
	assert_true(mean[0] > 0.55 && mean[1] < 0.45);
	tiny_free(&w);
}

static void test_hash(void **state)
{
	enum { MANY = 3000 };
	const struct moe_method *m = moe_method_find("hash", &(struct moe_err){ 0 });
	static struct moe_judged j[3][MANY];
	static struct moe_seen s[MANY];
	static int32_t id[MANY];
	struct moe_adapter a = { .method = "hash" };
	int share[MOE_DECISIONS] = { 0 }, same = 0;
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_settings_default(m->settings, &a.settings, &e), 0);
	assert_int_equal(moe_settings_set(m->settings, "keep=0.5", &a.settings, &e), 0);
	assert_int_equal(moe_settings_set(m->settings, "route=0.2", &a.settings, &e), 0);
	for (int i = 0; i < MANY; i++) {
		id[i] = i;
		s[i] = (struct moe_seen){ .prompt = id,
			.n_prompt = 1,
			.completion = id + i,
			.n_completion = 1,
			.label = -1 };
	}
	for (int k = 0; k < 3; k++) /* whatever the step; but by the seed */
		assert_int_equal(m->decide(&a, s, MANY,
					 &(struct moe_turn){ k == 2 ? 2 : 1, k, NULL }, j[k], &e),
			0);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(j[0][i].decision, j[1][i].decision);
		same += j[0][i].decision == j[2][i].decision;
		share[j[0][i].decision]++;
	}
	assert_true(
		abs(share[MOE_KEEP] - MANY / 2) < 100 && abs(share[MOE_ROUTE] - MANY / 5) < 100);
	assert_true(same < MANY / 2);
	moe_adapter_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_forgets),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_pooled),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_gradient_score),
		cmocka_unit_test(test_directions),
		cmocka_unit_test(test_probe_on_policy),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_seeded),
		cmocka_unit_test(test_refresh_at_start),
		cmocka_unit_test(test_refresh_deployed),
		cmocka_unit_test(test_refresh_logistic),
		cmocka_unit_test(test_refresh_by_chance),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
