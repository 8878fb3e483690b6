/* test_rec.c - records: canonical form, changing, borrowed strings, tensors, refusal of what
 * streams do not have. */
#include "formats/list.h"

#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct moe_err e;

static void assert_emits(const struct moe_rec *r, const void *want, size_t n)
{
	struct moe_buf b = { 0 };

	assert_int_equal(moe_rec_emit(r, &b, &e), 0);
	assert_int_equal(b.len, n);
	assert_memory_equal(b.data, want, n);
	moe_buf_free(&b);
}

static void canonical(void **state)
{
	/* {"b": int16 5, "t": "x", "a": float32 1.0, "m": {"z": 1, "t": 2}} in an order and widths
	 * that are not canonical */
	static const char in[] = "\x84\xa1"
				 "b\xd1\x00\x05\xa1t\xd9\x01x\xa1"
				 "a\xca\x3f\x80\x00\x00\xa1m\x82\xa1z\x01\xa1t\x02";
	static const char out[] = "\x84\xa1t\xa1x\xa1"
				  "a\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\xa1"
				  "b\x05\xa1m\x82\xa1t\x02\xa1z\x01";
	struct moe_rec r = { 0 };

	(void)state;
	assert_int_equal(moe_rec_parse(&r, in, sizeof(in) - 1, &e), 0);
	assert_emits(&r, out, sizeof(out) - 1);
	assert_int_equal(moe_rec_parse(&r, out, sizeof(out) - 1, &e), 0);
	assert_emits(&r, out, sizeof(out) - 1);
	moe_rec_free(&r);
}

static void changing(void **state)
{
	struct moe_rec r = { 0 }, copy = { 0 };
	struct moe_str s;
	int64_t i;
	double f;

	(void)state;
	assert_int_equal(moe_rec_set_str(&r, "t", "x", &e), 0);
	assert_int_equal(moe_rec_set_int(&r, "i", INT64_MIN, &e), 0);
	for (int k = 0; k < 2000; k++) { /* set again and again with growing and shrinking values,
					    the record stays small */
		char text[300];

		memset(text, 'a', sizeof(text));
		assert_int_equal(moe_rec_set_strn(&r, "s", text, (size_t)(k * 7 % 300), &e), 0);
	}
	assert_true(r.bytes.len < 20000);
	assert_int_equal(moe_rec_set_strn(&r, "s", "hello", 5, &e), 0);
	assert_true(moe_rec_str(&r, "s", &s));
	assert_int_equal(moe_rec_set_strn(&r, "copy of s, longer than that key", s.p, s.n, &e), 0);
	assert_true(
		moe_rec_str(&r, "copy of s, longer than that key", &s) && moe_str_eq(s, "hello"));
	assert_true(moe_rec_int(&r, "i", &i) && i == INT64_MIN);
	assert_int_equal(moe_rec_copy(&copy, &r, &e), 0);
	moe_rec_unset(&r, "i");
	assert_false(moe_rec_int(&r, "i", &i));
	assert_true(moe_rec_int(&copy, "i", &i) && moe_rec_is(&copy, "x"));
	assert_int_equal(moe_rec_set_f64(&r, "f", -0.5, &e), 0);
	assert_true(moe_rec_f64(&r, "f", &f) && f == -0.5);
	assert_int_equal(moe_rec_has(&r, "f"), MOE_V_FLOAT);
	assert_int_equal(moe_rec_has(&r, "g"), MOE_V_MISSING);
	moe_rec_free(&r);
	moe_rec_free(&copy);
}

static void own_bytes(void **state)
{
	/* values taken from the record itself, at a moment when its block must move */
	struct moe_rec r = { 0 };
	char big[5000];
	struct moe_str s;

	(void)state;
	memset(big, 'q', sizeof(big));
	assert_int_equal(moe_rec_set_strn(&r, "a", big, sizeof(big), &e), 0);
	for (int k = 0; k < 6; k++) {
		char key[2] = { (char)('b' + k), 0 };

		assert_true(moe_rec_str(&r, "a", &s));
		assert_int_equal(moe_rec_set_strn(&r, key, s.p, s.n, &e), 0);
		assert_true(moe_rec_str(&r, key, &s));
		assert_int_equal(s.n, sizeof(big));
		assert_memory_equal(s.p, big, sizeof(big));
	}
	moe_rec_free(&r);
}

static void tensors(void **state)
{
	float v[6] = { 1, -2, 3, (float)NAN, 5, 6 }, *got;
	struct moe_tensor t = { "F32", 2, { 2, 3 }, v, sizeof(v) }, back;
	struct moe_rec r = { 0 };
	size_t n;

	(void)state;
	assert_int_equal(moe_rec_set_tensor(&r, "x", &t, &e), 0);
	assert_true(moe_rec_tensor(&r, "x", &back));
	assert_int_equal(back.rank, 2);
	assert_int_equal(back.shape[1], 3);
	assert_memory_equal(back.data, v, sizeof(v));
	assert_int_equal(moe_rec_f32s(&r, "x", &got, &n, &e), -1); /* two dimensions */
	assert_int_equal(moe_rec_set_f32s(&r, "y", v, 3, &e), 0);
	assert_int_equal(moe_rec_f32s(&r, "y", &got, &n, &e), 0);
	assert_int_equal(n, 3);
	assert_memory_equal(got, v, 12);
	free(got);
	assert_int_equal(moe_rec_i32s(&r, "y", (int32_t **)&got, &n, &e), -1);
	assert_non_null(strstr(e.msg, "\"y\" is not a 1-D tensor of I32"));
	t.bytes--;
	assert_int_equal(moe_rec_set_tensor(&r, "x", &t, &e), -1);
	t.bytes = 8;
	t.shape[0] = (uint64_t)1 << 62;
	t.shape[1] = 4; /* their product wraps to 0 */
	assert_int_equal(moe_rec_set_tensor(&r, "x", &t, &e), -1);
	moe_rec_free(&r);
}

static void arrays(void **state)
{
	struct moe_str v[3] = { { "one", 3 }, { "", 0 }, { "three", 5 } }, s;
	struct moe_list l;
	struct moe_rec r = { 0 };

	(void)state;
	assert_int_equal(moe_rec_set_strs(&r, "tags", v, 3, &e), 0);
	assert_int_equal(moe_rec_array_len(&r, "tags"), 3);
	assert_true(moe_list_open(&r, "tags", &l));
	assert_true(moe_list_next_str(&l, &s) && moe_list_next_str(&l, &s) && s.n == 0);
	assert_true(moe_list_next_str(&l, &s) && moe_str_eq(s, "three"));
	assert_false(moe_list_next_str(&l, &s));
	assert_false(moe_list_open(&r, "none", &l) || moe_list_next_str(&l, &s));
	moe_rec_free(&r);
}

#define BAD(text)                                                                                  \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}

static void refused(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} bad[] = {
		BAD(""), BAD("\x05"), /* no map */
		BAD("\x81\xa1"),      /* cut off */
		BAD("\x81\xa1"
		    "a"),        /* no value */
		BAD("\x80\x80"), /* two values */
		BAD("\x82\xa1"
		    "a\x01\xa1"
		    "a\x02"),            /* a key twice */
		BAD("\x81\x01\x01"),     /* an integer key */
		BAD("\x81\xa1\xff\x01"), /* a key that is no UTF-8 */
		BAD("\x81\xa1\x00\x01"), /* a key with NUL */
		BAD("\x81\xa1"
		    "a\xc1"), /* the byte that is never used */
		BAD("\x81\xa1"
		    "a\xd4\x01\x00"), /* an extension */
		BAD("\x81\xa1"
		    "a\xdd\x10\x00\x00\x00"), /* 2^28 elements announced, none there */
		BAD("\x81\xa1"
		    "a\xdf\xff\xff\xff\xff"), /* 2^32-1 entries */
		BAD("\x81\xa1"
		    "a\xc6\xff\xff\xff\xff"), /* 4 GiB of bytes */
		BAD("\x81\xa1"
		    "a\x82\xa1"
		    "b\x01\xa1"
		    "b\x02"), /* a key twice, inside */
		BAD("\x81\xa1"
		    "a\x91\x91\x91\x91\x91\x91\x91\x91\x00"), /* nine levels */
	};
	struct moe_rec r = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		memset(&e, 0, sizeof(e));
		if (moe_rec_parse(&r, bad[i].p, bad[i].n, &e) == 0)
			fail_msg("case %zu was accepted", i);
		assert_int_equal(e.code, MOE_DATA);
		assert_true(e.msg[0]);
	}
	/* eight levels are allowed */
	assert_int_equal(moe_rec_parse(&r,
				 "\x81\xa1"
				 "a\x91\x91\x91\x91\x91\x91\x91\x00",
				 11, &e),
		0);
	moe_rec_free(&r);
}

static void required(void **state)
{
	struct moe_rec r = { 0 };
	struct moe_str s;
	double f;

	(void)state;
	assert_int_equal(moe_rec_set_int(&r, "n", 3, &e), 0);
	r.number = 7;
	r.byte = 99;
	assert_int_equal(moe_rec_str_req(&r, "n", &s, &e), -1);
	assert_string_equal(e.msg, "record 7 (byte 99): key \"n\" is not a string");
	assert_int_equal(moe_rec_str_req(&r, "id", &s, &e), -1);
	assert_string_equal(e.msg, "record 7 (byte 99): key \"id\" is missing; expected a string");
	assert_int_equal(moe_rec_f64_req(&r, "n", &f, &e), 0);
	assert_true(f == 3);
	moe_rec_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical),
		cmocka_unit_test(changing),
		cmocka_unit_test(own_bytes),
		cmocka_unit_test(tensors),
		cmocka_unit_test(arrays),
		cmocka_unit_test(refused),
		cmocka_unit_test(required),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
