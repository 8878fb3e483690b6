/* test_util.c - UTF-8 and escaping, base64, SHA-256, base of the error type, many normal draws at
 * once. */
#include "util/base64.h"
#include "util/digest.h"
#include "util/rng.h"
#include "util/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct moe_err e;

static void utf8(void **state)
{
	static const char *const good[] = { "", "a", "\303\251", "\342\202\254", "\360\237\230\200",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
		"\xc3", "\xe2\x82", "\xf0\x9f\x98", "a\xc3(", "\xe2\x28\xa1" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(moe_utf8_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (moe_utf8_valid(bad[i], strlen(bad[i])))
			fail_msg("case %zu was accepted", i);
}

static void escaping(void **state)
{
	static const char in[] = "a\x1b[31m\x07\n\t\x7f\xc2\x9b"
				 "0m\xff\\ \303\251 \342\200\256x";
	struct moe_buf b = { 0 };
	char small[16];

	(void)state;
	assert_int_equal(moe_text_escape(&b, in, sizeof(in) - 1, false, &e), 0);
	assert_string_equal(moe_buf_cstr(&b, &e),
		"a\\x1b[31m\\x07\\n\\t\\x7f\\x9b0m\\xff\\ \303\251 \\u{202e}x");
	moe_text_escape_to(small, sizeof(small), "\x1b\x1b\x1b\x1b\x1b", 5);
	assert_string_equal(small, "\\x1b\\x1b\\x1b...");
	moe_text_escape_to(small, sizeof(small), "fits in here 15", 15);
	assert_string_equal(small, "fits in here 15");
	moe_buf_free(&b);
}

static void fitting(void **state)
{
	char out[32], small[6];

	(void)state;
	assert_string_equal(moe_text_fit(out, sizeof(out), "abc", 5, 8), "abc  ");
	assert_string_equal(moe_text_fit(out, sizeof(out), "a\303\251\342\202\254", 5, 8),
		"a\303\251\342\202\254  "); /* padded by characters */
	assert_string_equal(moe_text_fit(out, sizeof(out), "a\303\251\342\202\254z", 0, 3),
		"a\303\251\342\202\254"); /* and cut by them */
	assert_string_equal(
		moe_text_fit(out, sizeof(out), "a\303\251\342\202\254z", 0, 2), "a\303\251");
	assert_string_equal(moe_text_fit(small, sizeof(small), "ab\303\251\342\202\254", 9, 9),
		"ab\303\251 "); /* the array ends before the third */
	assert_string_equal(moe_text_fit(out, sizeof(out), "\377\377\377", 0, 2), "\377\377");
	assert_string_equal(moe_text_fit(out, sizeof(out), "", 3, 3), "   ");
	assert_string_equal(moe_text_fit(small, 1, "abc", 3, 3), "");
}

static void base64(void **state)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "Z", "Zg",
		"Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm 9", "Zm9\n" };
	struct moe_buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) { /* RFC 4648, section 10 */
		b.len = 0;
		assert_int_equal(moe_base64_encode(pairs[i][0], strlen(pairs[i][0]), &b, &e), 0);
		assert_string_equal(moe_buf_cstr(&b, &e), pairs[i][1]);
		b.len = 0;
		assert_int_equal(moe_base64_decode(pairs[i][1], strlen(pairs[i][1]), &b, &e), 0);
		assert_string_equal(moe_buf_cstr(&b, &e), pairs[i][0]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (moe_base64_decode(bad[i], strlen(bad[i]), &b, &e) == 0)
			fail_msg("accepted: %s", bad[i]);
	moe_buf_free(&b);
}

static void sha256(void **state)
{
	struct moe_sha256 s;
	char hex[MOE_SHA256_HEX];

	(void)state;
	moe_sha256_of("abc", 3, hex); /* FIPS 180-4's example */
	assert_string_equal(
		hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	moe_sha256_init(&s);
	moe_sha256_add(&s, "a", 1);
	moe_sha256_add(&s, "bc", 2);
	moe_sha256_hex(&s, hex);
	assert_string_equal(
		hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	moe_sha256_hex(&s, hex);
	assert_string_equal(
		hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void errors(void **state)
{
	(void)state;
	errno = ENOSPC;
	assert_int_equal(moe_fail_errno(&e, "%s: writing failed", "x"), -1);
	assert_int_equal(e.code, MOE_SYSTEM);
	assert_int_equal(e.sys, ENOSPC);
	assert_string_equal(e.msg, "x: writing failed: No space left on device");
	assert_int_equal(moe_err_prefix(&e, "step %d", 3), -1);
	assert_string_equal(e.msg, "step 3: x: writing failed: No space left on device");
	assert_int_equal(e.sys, ENOSPC);
	assert_int_equal(moe_fail(&e, MOE_SYSTEM, "Broken pipe"), -1);
	assert_int_equal(e.sys, 0);
	assert_int_equal(moe_fail(NULL, MOE_DATA, "nobody listens"), -1);
	for (size_t shift = 0; shift < 4;
		shift++) { /* a name of 2-byte characters, which are not cut wherever they lie */
		char name[4096];

		memset(name, 'x', shift);
		for (size_t i = shift; i + 2 < sizeof(name); i += 2)
			memcpy(name + i, "\xc3\xa4", 3);
		errno = ENOENT;
		assert_int_equal(moe_fail_errno(&e, "%s: reading failed", name), -1);
		assert_true(strlen(e.msg) >= sizeof(e.msg) - 3 &&
			moe_utf8_valid(e.msg, strlen(e.msg)) && strstr(e.msg, "..."));
		assert_string_equal(
			strstr(e.msg, ": "), ": reading failed: No such file or directory");
		assert_int_equal(moe_err_prefix(&e, "%s", name), -1);
		assert_true(moe_utf8_valid(e.msg, strlen(e.msg)));
		assert_string_equal(
			strstr(e.msg, ": "), ": reading failed: No such file or directory");
	}
}

/* Many normals at once are the single ones, also where the counter carries into its upper half. */
static void normals(void **state)
{
	static const uint64_t from[] = { 0, 7, 0xfffffff0u, UINT64_MAX - 40 };
	struct moe_rng k = moe_rng_key(3, "init");
	double x[101];

	(void)state;
	for (size_t f = 0; f < sizeof(from) / sizeof(from[0]); f++)
		for (size_t n = 0; n <= 101; n += n < 33 ? 1 : 17) {
			moe_rng_normals(k, f << 40 | f, from[f], n, x);
			for (size_t i = 0; i < n; i++)
				assert_true(x[i] == moe_rng_normal(k, f << 40 | f, from[f] + i));
		}
}

/* So are many integers below a bound, up to 2^32. */
static void belows(void **state)
{
	static const uint64_t from[] = { 0, 9, 0xfffffff0u, UINT64_MAX - 40 },
			      below[] = { 1, 7, 20000, (uint64_t)1 << 32 };
	struct moe_rng k = moe_rng_key(3, "bootstrap-prompt");
	uint32_t x[101];

	(void)state;
	for (size_t f = 0; f < sizeof(from) / sizeof(from[0]); f++)
		for (size_t n = 0; n <= 101; n += n < 33 ? 1 : 17) {
			moe_rng_belows(k, f << 40 | f, from[f], below[f], n, x);
			for (size_t i = 0; i < n; i++)
				assert_true(x[i] ==
					moe_rng_below(k, f << 40 | f, from[f] + i, below[f]));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(utf8), cmocka_unit_test(escaping),
		cmocka_unit_test(fitting), cmocka_unit_test(base64), cmocka_unit_test(sha256),
		cmocka_unit_test(errors), cmocka_unit_test(normals), cmocka_unit_test(belows) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
