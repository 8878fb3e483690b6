/* test_gate.c - the quality of a gate against random directions, with counts made by hand; the
 * directions themselves against what defines them. */
#include "moe/features.h"
#include "moe/method.h"
#include "stat/report.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/tiny.h"

enum { N = 60, K = 19 };

static double auroc(const double *s, const uint8_t *y)
{
	double right = 0, pairs = 0;

	for (int i = 0; i < N; i++)
		for (int k = 0; k < N; k++)
			if (y[i] && !y[k]) {
				right += s[i] > s[k] ? 1 : s[i] == s[k] ? 0.5 : 0;
				pairs++;
			}
	return right / pairs;
}

/* F0.5 of the m rows with the highest values; all differ. */
static double f05(const double *s, const uint8_t *y, int m)
{
	double tp = 0, pos = 0;

	for (int i = 0; i < N; i++) {
		int above = 0;

		for (int k = 0; k < N; k++)
			above += s[k] > s[i];
		pos += y[i];
		tp += above < m && y[i];
	}
	return tp > 0 ? 1.25 * (tp / m) * (tp / pos) / (0.25 * tp / m + tp / pos) : 0;
}

/* Scores that know the hacks to the extent `signal`, and K directions that do not. */
static void judge(double signal, bool nulls)
{
	static double score[N], null[K][N];
	static uint8_t hacked[N], solved[N], decision[N];
	static uint32_t prompt[N];
	static int64_t step[N];
	static float flat[N * K];
	struct moe_gate_run g = { .method = "m",
		.score = score,
		.hacked = hacked,
		.solved = solved,
		.decision = decision,
		.prompt = prompt,
		.step = step,
		.null = flat,
		.n = N,
		.n_null = nulls ? K : 0 };
	struct moe_rng k = moe_rng_key(3, "gate");
	struct moe_err e;
	double best[2] = { -1, -1 }, mean[2] = { 0, 0 }, at_least[2] = { 0, 0 }, own[2];
	int routed = 0;

	for (int i = 0; i < N; i++) {
		hacked[i] = i % 3 == 0;
		score[i] = moe_rng_uniform(k, 1, (uint64_t)i) + (hacked[i] ? signal : 0);
		decision[i] = score[i] > 0.8 ? MOE_ROUTE : MOE_KEEP;
		routed += decision[i] == MOE_ROUTE;
		prompt[i] = (uint32_t)i / 4;
		for (int d = 0; d < K; d++)
			null[d][i] = (double)(flat[i * K + d] = (float)moe_rng_uniform(
						      k, 2 + (uint64_t)d, (uint64_t)i));
	}
	assert_int_equal(moe_gate_judge(&g, 1, 0.05, &e), 0);
	own[0] = auroc(score, hacked);
	own[1] = f05(score, hacked, routed);
	assert_true(fabs(g.auroc - own[0]) < 1e-12 && fabs(g.f05 - own[1]) < 1e-12);
	for (int d = 0; d < K; d++) {
		double v[2] = { auroc(null[d], hacked), f05(null[d], hacked, routed) };

		for (int q = 0; q < 2; q++) {
			mean[q] += v[q] / K;
			best[q] = fmax(best[q], v[q]);
			at_least[q] += v[q] >= own[q];
		}
	}
	const struct moe_against *x[2] = { &g.auroc_null, &g.f05_null };
	for (int q = 0; q < 2; q++) {
		if (!nulls) {
			assert_true(isnan(x[q]->p) && isnan(x[q]->mean) && isnan(x[q]->best));
			continue;
		}
		assert_true(fabs(x[q]->mean - mean[q]) < 1e-9 && fabs(x[q]->best - best[q]) < 1e-9);
		assert_true(fabs(x[q]->p - (1 + at_least[q]) / (K + 1)) < 1e-12);
		if (signal > 0.3)
			assert_true(fabs(x[q]->p - 0.05) < 1e-12);
		else
			assert_true(x[q]->p > 0.05);
	}
}

static void test_judge(void **state)
{
	(void)state;
	judge(0.6, true);
	judge(0, true);
	judge(0.6, false);
}

/* ---- the directions ---- */

static const struct moe_config config = TINY_CONFIG(3);
enum { DIM = 32, MANY = 4000 };

static int take(void *ctx, size_t seq, const struct moe_feature_rows *rows, struct moe_err *e)
{
	(void)e;
	if (seq == 0)
		moe_features_row(rows, 0, ctx);
	return 0;
}

static void put(struct moe_adapter *a, const char *name, const float *v)
{
	const uint64_t shape[1] = { DIM };
	struct moe_err e;
	struct moe_score_tensor *t = moe_adapter_add_tensor(a, name, 1, shape, &e);

	assert_non_null(t);
	memcpy(t->data, v, DIM * sizeof(*v));
}

/* Of one token the score is sigmoid(intercept + theta . x), theta evenly on the sphere of the
 * fitted length in standardised features: so the logit's mean is the intercept, its variance
 * |theta|^2 |x|^2 / d, and it is never farther from the mean than |theta| |x|. A feature that does
 * not vary has no part. */
static void test_directions(void **state)
{
	const struct moe_method *m = moe_method_find("logistic", NULL);
	static const int32_t prompt[3] = { 1, 2, 3 }, done[3] = { 9, 8, 7 };
	const struct moe_seen s[3] = { { prompt, done, 3, 1, 0, -1, NULL },
		{ prompt, done, 3, 3, 0, -1, NULL }, { prompt, done, 3, 0, 0, -1, NULL } };
	float w[DIM], mean[DIM], inv[DIM], x[DIM];
	static float null[3 * MANY], again[3 * 5];
	const struct moe_turn turn = { 1, 0, NULL };
	struct moe_judged j[3];
	struct moe_nulls nulls = { MANY, 4, null }, few = { 5, 4, again };
	struct moe_adapter a = { 0 };
	struct moe_model base = { 0 };
	struct moe_engine g = { .m = &base };
	struct moe_err e;
	double theta2 = 0, x2 = 0, at = 0.25, sum = 0, sq = 0, far = 0;

	(void)state;
	assert_int_equal(moe_model_new(&base, &config, 5, 1, &e), 0);
	g.pool = moe_pool_new(2, &e);
	assert_int_equal(moe_features_run(&g, s, 1, take, x, &e), 0);
	for (int f = 0; f < DIM; f++) {
		inv[f] = f == 6 ? 0 : (float)(1 + f % 5) * 8;
		w[f] = f == 6 ? 0 : (float)(f % 7 - 3) * 0.1f * inv[f];
		mean[f] = (float)f * 0.002f;
		at += (double)w[f] * (double)mean[f];
		if (f == 6)
			continue;
		theta2 += (double)(w[f] / inv[f]) * (double)(w[f] / inv[f]);
		x2 += pow((double)((x[f] - mean[f]) * inv[f]), 2);
	}
	put(&a, "score.weight", w);
	assert_int_equal(moe_rec_set_f64(&a.score, "bias", 0.25, &e), 0);
	assert_int_equal(m->score(&g, &a, s, 3, &turn, j, &nulls, &e),
		-1); /* no standardisation to draw in */
	assert_int_equal(e.code, MOE_DATA);
	put(&a, "score.mean", mean);
	put(&a, "score.inverse_sd", inv);
	assert_int_equal(m->score(&g, &a, s, 3, &turn, j, &nulls, &e), 0);
	for (int k = 0; k < MANY; k++) {
		double p = (double)null[k], z = log(p / (1 - p)) - at;

		sum += z / MANY;
		sq += z * z / MANY;
		far = fmax(far, fabs(z));
	}
	double var = theta2 * x2 / (DIM - 1);
	assert_true(fabs(sum) < 4 * sqrt(var / MANY));
	assert_true(fabs(sq / var - 1) < 0.12);
	assert_true(far <= sqrt(theta2 * x2) * 1.001 && far > 2 * sqrt(var));
	assert_true(null[2 * MANY] == 0.5f && j[2].score == 0.5); /* no tokens say nothing */
	assert_int_equal(m->score(&g, &a, s, 3, &turn, j, &few, &e),
		0); /* the same directions, however many and in whatever step */
	for (int i = 0; i < 3; i++)
		assert_memory_equal(again + i * 5, null + i * MANY, 5 * sizeof(*null));
	moe_adapter_free(&a);
	moe_pool_free(g.pool);
	moe_model_free(&base);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_judge),
		cmocka_unit_test(test_directions) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
