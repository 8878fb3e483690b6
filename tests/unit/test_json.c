/* test_json.c - JSON values to MessagePack and back, what JSON lacks, refusal of broken texts. */
#include "formats/json.h"
#include "formats/mp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct moe_err e;

static int to(const char *text, size_t n, struct moe_buf *m)
{
	struct moe_json_doc *d = moe_json_parse(text, n, "text", &e);
	int rc = d ? moe_json_to_msgpack(moe_json_root(d), m, &e) : -1;

	moe_json_free(d);
	return rc;
}

/* JSON -> MessagePack -> JSON gives `want`. */
static void turns_into(const char *text, const char *want)
{
	struct moe_buf m = { 0 }, back = { 0 };

	if (to(text, strlen(text), &m))
		fail_msg("%s: %s", text, e.msg);
	assert_int_equal(moe_json_from_msgpack(m.data, m.len, false, &back, &e), 0);
	assert_string_equal(moe_buf_cstr(&back, &e), want);
	moe_buf_free(&m);
	moe_buf_free(&back);
}

static void same(const char *text)
{
	turns_into(text, text);
}

static void values(void **state)
{
	(void)state;
	same("null");
	same("[true,false,[],{},\"\"]");
	same("[0,-1,9223372036854775807,-9223372036854775808,18446744073709551615]");
	same("[0.1,1.0,-0.0,1e+300,4.94065645841247e-324,0.30000000000000004,1.7976931348623157e+308]");
	turns_into("[NaN, Infinity, -Infinity]",
		"[{\"$float\":\"NaN\"},{\"$float\":\"Infinity\"},{\"$float\":\"-Infinity\"}]");
	same("[{\"$float\":\"NaN\"},{\"$bin\":\"AAH/\"},{\"$str\":\"gA==\"}]");
	same("{\"$$bin\":\"x\"}");
	same("{\"$$$x\":1}");
	same("{\"$bin\":\"AA==\",\"other\":1}");
	same("{\"z\":1,\"a\":2}"); /* order is kept */
	same("\"\\u0000\\u0001\\u001f\\\"\\\\\\b\\f\\n\\r\\t\\u007f\303\251\342\202\254\360\237\230\200\"");
	turns_into("\"\\ud83d\\ude00 \\/ \\u00e9\"", "\"\360\237\230\200 / \303\251\"");
	turns_into(" [ 1 , 2 ] \n", "[1,2]");
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"", " ", "{", "[1,", "[1 2]", "{\"a\":}", "nul", "1 2", "[1]]", "'a'", "{a:1}",
		"\"\xff\"", "[1,]", "01", "{\"$bin\":\"A\"}", "{\"$bin\":\"AB==\"}",
		"{\"$float\":\"nan\"}", "[[[[[[[[[1]]]]]]]]]", "// x\n1",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct moe_buf m = { 0 };

		memset(&e, 0, sizeof(e));
		if (to(bad[i], strlen(bad[i]), &m) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(e.code, MOE_DATA);
		assert_true(e.msg[0]);
		moe_buf_free(&m);
	}
	assert_int_equal(to("{\n \"a\": 1,\n \"b\": x}", 18, &(struct moe_buf){ 0 }), -1);
	assert_non_null(strstr(e.msg, "line 3, column 7"));
}

/* Whether the text is parsed, and json-c left all of it as it was; else e says what not. */
static bool exact(const char *text)
{
	struct moe_json_doc *d = moe_json_parse(text, strlen(text), "text", &e);
	bool yes = d && !moe_json_exact(d, text, strlen(text), "text", &e);

	assert_non_null(d);
	moe_json_free(d);
	return yes;
}

static void changed_by_json_c(void **state)
{
	static const char *const good[] = { "18446744073709551615", "-9223372036854775808",
		"[0,-0,1e308,1e-400,-1.5E+3,NaN,Infinity,-Infinity,0e999]",
		"{\"a\":{\"a\":[{\"a\":1},{\"a\":2}]},\"b\":{\"a\":\"a\"}}",
		"{\"a\":\":\\\":{'a'\\\\\",\"b\\\"\":\"\\u0000\"}", "{\"\\\\u0000\":1,\"a\\\\\":2}",
		"{\"A\" : \"a\" , \"a\"\n:[] }", "[\"a\",\"a\",99999999999999999999.0]",
		"{\"18446744073709551616\":\"1e400\"}", "true" };
	static const char *const bad[][2] = { { "[1,{\"x\":18446744073709551616}]",
						      "the integer 18446744073709551616" },
		{ "-9223372036854775809", "the integer -9223372036854775809" },
		{ "123456789012345678901234567890", "the integer 1234567" },
		{ "[1e400]", "the number 1e400" }, { "{\"a\":-1E+999}", "the number -1E+999" },
		{ "{\"a\":1,\"a\":2}", "twice in one object: \"a\"" },
		{ "[{\"x\":[{\"b\":1,\"c\":{\"b\":0},\"b\":[]}]}]", "twice in one object: \"b\"" },
		{ "{\"a\":1,\"\\u0061\":2}", "twice in one object: \"\\u0061\"" },
		{ "{\"a\":{},\"b\":1,\"a\":{}}", "twice in one object: \"a\"" },
		{ "{\"a\\u0000b\":1}", "the key \"a\\u0000b\"" },
		{ "{\"a\\\\\\u0000\" :1}", "has a NUL" }, { "{'a':1}", "single quotes" } };
	char longer[400];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (!exact(good[i]))
			fail_msg("%s: %s", good[i], e.msg);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (exact(bad[i][0]))
			fail_msg("accepted: %s", bad[i][0]);
		assert_int_equal(e.code, MOE_DATA);
		if (!strstr(e.msg, bad[i][1]))
			fail_msg("%s: \"%s\" does not say \"%s\"", bad[i][0], e.msg, bad[i][1]);
	}
	memset(longer, '9', sizeof(longer)); /* infinite without an exponent */
	memcpy(longer + 397, ".0", 3);
	assert_false(exact(longer));
	memcpy(longer + 307, ".0", 3);
	assert_true(exact(longer));
}

static void looking(void **state)
{
	static const char text[] =
		"{\"a\":{\"b\":[10,{\"c\":\"x\"}]},\"n\":18446744073709551615,\"f\":2.5,\"t\":true,\"z\":null}";
	struct moe_json_doc *d = moe_json_parse(text, strlen(text), "text", &e);
	const struct moe_json *j = moe_json_root(d), *value = NULL;
	const void *cursor = NULL;
	const char *key = "";
	size_t n = 0;
	int64_t i;
	double f;
	bool b;

	(void)state;
	assert_true(moe_str_eq(moe_json_str(moe_json_path(j, "a.b.1.c")), "x"));
	assert_true(moe_json_int(moe_json_path(j, "a.b.0"), &i) && i == 10);
	assert_null(moe_json_path(j, "a.b.2"));
	assert_null(moe_json_path(j, "a.x.c"));
	assert_false(moe_json_int(moe_json_get(j, "n"), &i));
	assert_true(moe_json_f64(moe_json_get(j, "n"), &f) && f > 1e19);
	assert_true(moe_json_f64(moe_json_get(j, "f"), &f) && f == 2.5);
	assert_true(moe_json_bool(moe_json_get(j, "t"), &b) && b);
	assert_int_equal(moe_json_kind(moe_json_get(j, "z")), MOE_J_NULL);
	assert_int_equal(moe_json_len(j), 5);
	while (moe_json_next(j, &cursor, &key, &value) && key[0] != 'f') /* in the file's order */
		n++;
	assert_true(n == 2 && moe_json_kind(value) == MOE_J_FLOAT);
	moe_json_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(values), cmocka_unit_test(refused),
		cmocka_unit_test(changed_by_json_c), cmocka_unit_test(looking) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
