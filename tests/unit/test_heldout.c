/* test_heldout.c - measures of a score on held-out pairs, of length and of random directions. */
#include "moe/heldout.h"

#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static double number(const struct moe_adapter *a, const char *key)
{
	double v = NAN;

	moe_rec_f64(&a->score, key, &v);
	return v;
}

static void folds(void **state)
{
	struct moe_held h;

	(void)state;
	assert_int_equal(moe_held_begin(&h, 7, 3, 1, NULL), 0);
	for (size_t i = 0; i < 7; i++) {
		int n = 0;

		for (uint32_t f = 0; f < h.folds; f++)
			n += moe_held_is_out(&h, i, f);
		assert_int_equal(n, 1); /* each pair is held out once */
		assert_false(moe_held_is_out(&h, i, h.folds));
	}
	moe_held_free(&h);
	assert_int_equal(moe_held_begin(&h, 2, 5, 1, NULL), 0);
	assert_int_equal(h.folds, 2); /* never more than pairs */
	moe_held_free(&h);
}

/* Four pairs, by hand: (hack, clean) = (.9,.1) (.6,.7) (.4,.4) (.8,.2). */
static void measures(void **state)
{
	static const double score[8] = { 0.9, 0.1, 0.6, 0.7, 0.4, 0.4, 0.8, 0.2 };
	static const float length[8] = { 3, 2, 4, 3, 5, 4, 6, 5 };
	struct moe_adapter a = { 0 };
	struct moe_held h;

	(void)state;
	assert_int_equal(moe_held_begin(&h, 4, 4, 1, NULL), 0);
	memcpy(h.score, score, sizeof(score));
	assert_int_equal(moe_held_store(&h, NULL, 0, length, 0.3, 0.7, &a, NULL), 0);
	/* 1 + 0 + 1/2 + 1 of 4 */
	assert_float_equal(number(&a, "pair_accuracy"), 2.5 / 4, 1e-12);
	/* hacks over 1/2: .9 .6 .8; clean under: .1 .4 .2 */
	assert_float_equal(number(&a, "accuracy"), 6.0 / 8, 1e-12);
	/* hacks above clean: .9 all 4; .8 all 4; .6: .1 .4 .2; .4: .1 .2 and a tie: 13.5 of 16 */
	assert_float_equal(number(&a, "auroc"), 13.5 / 16, 1e-12);
	/* differences .8 -.1 0 .6: mean .325, sd sqrt((.475^2 + .425^2 + .325^2 + .275^2) / 3) */
	assert_float_equal(number(&a, "margin"), 0.73441246, 1e-6);    /* .325 / .442531 */
	assert_float_equal(number(&a, "clean_kept"), 2.0 / 4, 1e-12);  /* .1 .2 < .3 */
	assert_float_equal(number(&a, "hack_routed"), 2.0 / 4, 1e-12); /* .9 .8 > .7 */
	/* the hack is one token longer everywhere: right in every pair, whatever the fold */
	assert_float_equal(number(&a, "length_pair_accuracy"), 1, 1e-12);
	assert_true(isnan(number(&a, "haar_p")));
	moe_held_free(&h);
	moe_adapter_free(&a);
}

/* The sign and the border of length come from the other folds: lengths that tell nothing must not
 * look good. A border or a sign that saw the pair held out would. */
static void nothing_leaks(void **state)
{
	enum { N = 400 };
	static float length[2 * N];
	struct moe_adapter a = { 0 };
	struct moe_rng k = moe_rng_key(5, "lengths");
	struct moe_held h;

	(void)state;
	for (size_t i = 0; i < 2 * N; i++)
		length[i] = (float)moe_rng_below(k, i, 0, 50);
	assert_int_equal(moe_held_begin(&h, N, N, 1, NULL), 0); /* leave one pair out */
	assert_int_equal(moe_held_store(&h, NULL, 0, length, NAN, NAN, &a, NULL), 0);
	assert_true(number(&a, "length_accuracy") < 0.56);
	assert_true(number(&a, "length_pair_accuracy") < 0.58);
	assert_true(isnan(number(&a, "clean_kept")));
	moe_held_free(&h);
	moe_adapter_free(&a);
}

/* One feature of many differs: a direction that knows it beats nearly all that are drawn; the scale
 * of a feature does not matter to those. */
static void haar(void **state)
{
	enum { N = 24, D = 64 };
	static float x[2 * N * D], length[2 * N];
	struct moe_rng k = moe_rng_key(3, "states");

	(void)state;
	for (int scaled = 0; scaled < 2; scaled++) {
		struct moe_adapter a = { .train_seed = 7 };
		static double before;
		struct moe_held h;

		for (size_t i = 0; i < 2 * N; i++)
			for (size_t f = 0; f < D; f++)
				x[i * D + f] = (float)((moe_rng_normal(k, i, f) +
							       (f == 0 && i % 2 == 0 ? 4 : 0)) *
					(scaled && f == 9 ? 1024 : 1));
		assert_int_equal(moe_held_begin(&h, N, 5, 1, NULL), 0);
		for (size_t i = 0; i < 2 * N; i++)
			h.score[i] = x[i * D] / 4; /* knows the feature */
		assert_int_equal(moe_held_store(&h, x, D, length, NAN, NAN, &a, NULL), 0);
		assert_true(number(&a, "auroc") > 0.95);
		assert_float_equal(number(&a, "haar_p"), 0.01, 1e-12);
		assert_true(number(&a, "haar_auroc") > 0.4 && number(&a, "haar_auroc") < 0.65);
		assert_true(number(&a, "haar_auroc_95") > number(&a, "haar_auroc"));
		assert_float_equal(number(&a, "length_auroc"), 0.5, 1e-12); /* all are 0 */
		if (scaled)
			assert_float_equal(number(&a, "haar_auroc"), before, 1e-3);
		before = number(&a, "haar_auroc");
		moe_held_free(&h);
		moe_adapter_free(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(folds), cmocka_unit_test(measures),
		cmocka_unit_test(nothing_leaks), cmocka_unit_test(haar) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
