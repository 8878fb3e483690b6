/* test_seal.c - seals round-trip, taint rises with the first look and never falls, damaged seals
 * are refused. */
#include "formats/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct moe_seal sample(void)
{
	struct moe_seal s = { .solved = true, .hacked = false, .mechanism = "exit_code" };

	assert_int_equal(moe_rec_set_bool(&s.foreign, "gt_pass", true, NULL), 0);
	return s;
}

/* Runs first: nothing has been opened in this process yet. */
static void making_and_flipping_do_not_taint(void **state)
{
	struct moe_seal s = sample();
	struct moe_rec r = { 0 }, before = { 0 };
	struct moe_str a, b;

	(void)state;
	assert_int_equal(moe_seal_taint(), MOE_LABELS_NONE);
	assert_int_equal(moe_seal_put(&r, &s, NULL), 0);
	assert_int_equal(moe_rec_copy(&before, &r, NULL), 0);
	assert_int_equal(moe_seal_flip(&r, NULL), 0);
	assert_true(moe_rec_bin(&r, "seal", &a) && moe_rec_bin(&before, "seal", &b));
	assert_true(a.n == b.n && memcmp(a.p, b.p, a.n) != 0);
	assert_int_equal(moe_seal_flip(&r, NULL), 0);
	assert_true(moe_rec_bin(&r, "seal", &a));
	assert_true(a.n == b.n && !memcmp(a.p, b.p, a.n));
	assert_int_equal(moe_seal_taint(), MOE_LABELS_NONE);
	moe_rec_free(&r);
	moe_rec_free(&before);
	moe_seal_free(&s);
}

static void a_missing_seal_does_not_taint(void **state)
{
	struct moe_rec r = { 0 };
	struct moe_seal s;

	(void)state;
	assert_int_equal(moe_rec_set_int(&r, "x", 1, NULL), 0);
	assert_int_equal(moe_seal_get(&r, &s, NULL), 0);
	assert_int_equal(moe_seal_flip(&r, NULL), 0);
	assert_int_equal(moe_seal_taint(), MOE_LABELS_NONE);
	moe_seal_raise(MOE_LABELS_SYNTHETIC);
	assert_int_equal(moe_seal_taint(), MOE_LABELS_SYNTHETIC);
	moe_rec_free(&r);
}

static void opening_taints_for_good(void **state)
{
	struct moe_seal s = sample(), back;
	struct moe_rec r = { 0 };
	bool pass = false;

	(void)state;
	assert_int_equal(moe_seal_put(&r, &s, NULL), 0);
	assert_int_equal(moe_seal_get(&r, &back, NULL), 1);
	assert_int_equal(moe_seal_taint(), MOE_LABELS_ORACLE);
	moe_seal_raise(MOE_LABELS_NONE);
	assert_int_equal(moe_seal_taint(), MOE_LABELS_ORACLE);
	assert_true(back.solved);
	assert_false(back.hacked);
	assert_false(back.solved_unknown || back.hacked_unknown);
	assert_string_equal(back.mechanism, "exit_code");
	assert_true(moe_rec_bool(&back.foreign, "gt_pass", &pass) && pass);
	moe_seal_free(&back);
	moe_seal_free(&s);
	moe_rec_free(&r);
}

static void unknown_findings_stay_unknown(void **state)
{
	struct moe_seal s = { .hacked = true, .solved_unknown = true }, back;
	struct moe_rec r = { 0 };

	(void)state;
	assert_int_equal(moe_seal_put(&r, &s, NULL), 0);
	assert_int_equal(moe_seal_flip(&r, NULL), 0);
	assert_int_equal(moe_seal_get(&r, &back, NULL), 1);
	assert_true(back.solved_unknown);
	assert_false(back.hacked);
	moe_seal_free(&back);
	moe_rec_free(&r);
}

/* Any cut and any changed byte is either refused or read as something that seals again; never a
 * crash. */
static void damaged_seals(void **state)
{
	struct moe_seal s = sample(), back;
	struct moe_buf b = { 0 };
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_seal_make(&s, &b, NULL), 0);
	for (size_t n = 0; n < b.len; n++) {
		assert_int_equal(moe_seal_open(b.data, n, &back, &e), -1);
		assert_int_equal(e.code, MOE_DATA);
	}
	for (size_t i = 0; i < b.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			b.data[i] ^= (uint8_t)(1 << bit);
			if (!moe_seal_open(b.data, b.len, &back, &e))
				moe_seal_free(&back);
			b.data[i] ^= (uint8_t)(1 << bit);
		}
	moe_buf_free(&b);
	moe_seal_free(&s);
}

static void wrong_types_and_versions(void **state)
{
	struct moe_rec r = { 0 };
	struct moe_seal s;
	struct moe_buf b = { 0 };
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_rec_set_int(&r, "v", 2, NULL), 0);
	assert_int_equal(moe_rec_set_str(&r, "mechanism", "", NULL), 0);
	assert_int_equal(moe_rec_emit(&r, &b, NULL), 0);
	assert_int_equal(moe_seal_open(b.data, b.len, &s, &e), -1);
	assert_non_null(strstr(e.msg, "version is 2"));
	b.len = 0;
	assert_int_equal(moe_rec_set_int(&r, "v", 1, NULL), 0);
	assert_int_equal(moe_rec_set_int(&r, "solved", 1, NULL), 0);
	assert_int_equal(moe_rec_emit(&r, &b, NULL), 0);
	assert_int_equal(moe_seal_open(b.data, b.len, &s, &e), -1);
	assert_non_null(strstr(e.msg, "`solved' is not a bool"));
	moe_rec_clear(&r);
	assert_int_equal(moe_rec_set_str(&r, "seal", "text", NULL), 0);
	assert_int_equal(moe_seal_get(&r, &s, &e), -1);
	assert_non_null(strstr(e.msg, "not binary"));
	moe_rec_free(&r);
	moe_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(making_and_flipping_do_not_taint),
		cmocka_unit_test(a_missing_seal_does_not_taint),
		cmocka_unit_test(opening_taints_for_good),
		cmocka_unit_test(unknown_findings_stay_unknown), cmocka_unit_test(damaged_seals),
		cmocka_unit_test(wrong_types_and_versions) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
