/* test_calibrate.c - a bias of the logits fitted to one half of the pairs and measured on the
 * other, and what got past labels, by interpolation. */
#include "moe/calibrate.h"
#include "stat/leakage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/tiny.h"

enum { PAIRS = 4, LEN = TINY_LEN };

/* Pairs whose sides repeat one token: `hack' and `clean'[fold]. Nats a token of the sides of each
 * fold, before and after. */
static void run(struct tiny *w, const int hack[2], const int clean[2], double out[2][2][2])
{
	static const struct moe_calibrate_opts o = { 200, 0.01 };
	static const moe_real gate[2] = { 1, 1 };
	struct moe_engine g = { .m = &w->m, .pool = w->pool };
	struct moe_pair pair[PAIRS];
	struct moe_pairs p = { pair, PAIRS, 0 };
	int32_t side[PAIRS][2][LEN];
	double nll[2 * PAIRS], after[2 * PAIRS];
	int tokens[2 * PAIRS];
	struct moe_err e = { 0 };

	for (int i = 0; i < PAIRS; i++) {
		for (int k = 0; k < LEN; k++) {
			side[i][0][k] = hack[i % 2];
			side[i][1][k] = clean[i % 2];
		}
		pair[i] = (struct moe_pair){ .prompt = w->ids[2 * i],
			.n_prompt = LEN,
			.hack = side[i][0],
			.clean = side[i][1],
			.n_hack = LEN,
			.n_clean = LEN };
	}
	if (moe_calibrate(&g, &w->a.x, gate, &p, &o, nll, after, tokens, &e))
		fail_msg("%s", e.msg);
	memset(out, 0, 8 * sizeof(double));
	for (int i = 0; i < 2 * PAIRS; i++) {
		assert_int_equal(tokens[i], LEN);
		out[i / 2 % 2][i % 2][0] += nll[i] / LEN / (PAIRS / 2.0);
		out[i / 2 % 2][i % 2][1] += after[i] / LEN / (PAIRS / 2.0);
	}
}

static void test_calibrate(void **state)
{
	double out[2][2][2]; /* fold, side (hack, clean), before and after */
	struct tiny w;

	(void)state;
	tiny_make(&w, "vanilla", NULL, (const char *const[]){ "clean:2", "quarantine:2", NULL }, 2,
		NULL);
	/* both folds alike: what the retain data say wins, for it weighs a hundred times as much */
	run(&w, (const int[]){ 7, 7 }, (const int[]){ 5, 5 }, out);
	for (int fold = 0; fold < 2; fold++) {
		assert_true(fabs(out[fold][1][0] - log(23)) < 1); /* a random model */
		assert_true(out[fold][1][1] < out[fold][1][0] - 0.5);
		assert_true(out[fold][0][1] > out[fold][0][0]);
	}
	/* the bias of a pair comes from the other fold, where its token never occurs */
	run(&w, (const int[]){ 7, 7 }, (const int[]){ 5, 6 }, out);
	assert_true(out[0][1][1] > out[0][1][0] && out[1][1][1] > out[1][1][0]);
	/* and both sides may gain when they are of one token */
	run(&w, (const int[]){ 5, 5 }, (const int[]){ 5, 5 }, out);
	assert_true(out[0][0][1] < out[0][0][0] - 0.5 && out[0][1][1] < out[0][1][0] - 0.5);
	tiny_free(&w);
}

static void test_leakage(void **state)
{
	struct moe_standard s[] = { { 400, 1.0 }, { 0, 3.0 }, { 100, 2.0 }, { 50, 2.8 } };

	(void)state;
	assert_true(moe_standard_data(s, 4, 2.0) == 100);
	assert_true(fabs(moe_standard_data(s, 4, 2.4) - 75) < 1e-12);  /* between 50 and 100 */
	assert_true(fabs(moe_standard_data(s, 4, 1.25) - 325) < 1e-9); /* between 100 and 400 */
	assert_true(moe_standard_data(s, 4, 3.5) == 0);
	assert_true(isinf(moe_standard_data(s, 4, 0.9)));
	assert_true(isnan(moe_standard_data(s, 0, 1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calibrate),
		cmocka_unit_test(test_leakage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
