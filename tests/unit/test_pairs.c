/* test_pairs.c - the notations of pairs: what is read, what is selected, and that each error names
 * its line. */
#include "formats/list.h"
#include "formats/pairs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A source over a text, handing out `step` bytes at a time. */
struct text {
	const char *p;
	size_t n, step;
};

static ssize_t from_text(void *ctx, void *p, size_t n, struct moe_err *e)
{
	struct text *t = ctx;
	size_t k = t->n < t->step ? t->n : t->step;

	(void)e;
	k = k < n ? k : n;
	memcpy(p, t->p, k);
	t->p += k;
	t->n -= k;
	return (ssize_t)k;
}

/* Reads all pairs: their ids and chosen keys as one line each into out. Returns the number or -1.
 */
static int read_all(const char *text, size_t step, const struct moe_pairs_opts *o,
	struct moe_buf *out, struct moe_err *e)
{
	struct text t = { text, strlen(text), step };
	struct moe_source src = { .read = from_text, .ctx = &t, .name = "f" };
	struct moe_pairs_opts none = { 0 };
	struct moe_pairs *p = moe_pairs_open(&src, o ? o : &none, e);
	struct moe_rec r = { 0 };
	int rc, n = 0;

	assert_non_null(p);
	while ((rc = moe_pairs_next(p, &r, e)) > 0) {
		static const char *const key[] = { "id", "prompt", "hack", "clean", "section",
			"mode", "marker" };

		n++;
		for (size_t i = 0; i < sizeof(key) / sizeof(key[0]); i++) {
			struct moe_str s = { "-", 1 };

			moe_rec_str(&r, key[i], &s);
			assert_int_equal(
				moe_buf_addf(out, NULL, "%s%.*s", i ? "|" : "", (int)s.n, s.p), 0);
		}
		struct moe_list tags;
		struct moe_str tag;

		moe_list_open(&r, "tags", &tags);
		for (bool first = true; moe_list_next_str(&tags, &tag); first = false)
			assert_int_equal(moe_buf_addf(out, NULL, "%s%.*s", first ? "|" : ",",
						 (int)tag.n, tag.p),
				0);
		assert_int_equal(tags.left, 0);
		assert_int_equal(moe_buf_addf(out, NULL, "\n"), 0);
	}
	moe_rec_free(&r);
	moe_pairs_close(p);
	moe_source_free(&src);
	return rc < 0 ? -1 : n;
}

static void expect(const char *text, const struct moe_pairs_opts *o, const char *want)
{
	static const size_t step[] = { 1, 2, 7, 1000 };

	for (size_t i = 0; i < 4; i++) {
		struct moe_buf out = { 0 };
		struct moe_err e = { 0 };

		if (read_all(text, step[i], o, &out, &e) < 0)
			fail_msg("%s", e.msg);
		assert_string_equal(moe_buf_cstr(&out, NULL), want);
		moe_buf_free(&out);
	}
}

static void expect_error(const char *text, const char *want)
{
	struct moe_buf out = { 0 };
	struct moe_err e = { 0 };

	assert_int_equal(read_all(text, 5, NULL, &out, &e), -1);
	if (strncmp(e.msg, want, strlen(want)) != 0)
		fail_msg("expected `%s...', got `%s'", want, e.msg);
	assert_int_equal(e.code, MOE_DATA);
	moe_buf_free(&out);
}

#define BLOCKS                                                                                     \
	"#### Prompt\n````text\nP\n\nQ\n````\n\n#### Hack\n```\nH\n```\n#### "                     \
	"Clean\n`````\n```c\nC\n```\n`````\n"

static void markdown(void **state)
{
	struct moe_pairs_opts o = { 0 };
	const char *two = "# Title\nprose\n```\n### not a pair\n```\n## s1\n### a\nTags: x, "
			  "y-z\nMode: m1\nMarker: zeta\n\n" BLOCKS
			  "\n## s2\n### b\nTags: x\n" BLOCKS;
	static const char *const tag[] = { "y-z" }, *const mode[] = { "m1" };

	(void)state;
	expect(two, NULL,
		"a|P\n\nQ|H|```c\nC\n```|s1|m1|zeta|x,y-z\nb|P\n\nQ|H|```c\nC\n```|s2|-|-|x\n");
	o.section = "s2";
	expect(two, &o, "b|P\n\nQ|H|```c\nC\n```|s2|-|-|x\n");
	o = (struct moe_pairs_opts){ .tag = tag, .n_tag = 1 };
	expect(two, &o, "a|P\n\nQ|H|```c\nC\n```|s1|m1|zeta|x,y-z\n");
	o = (struct moe_pairs_opts){ .mode = mode, .n_mode = 1 };
	expect(two, &o, "a|P\n\nQ|H|```c\nC\n```|s1|m1|zeta|x,y-z\n");
	o = (struct moe_pairs_opts){ .prefix = "b" };
	expect(two, &o, "b|P\n\nQ|H|```c\nC\n```|s2|-|-|x\n");
	expect("\xEF\xBB\xBF## s\r\n### w\r\n#### Prompt\r\n```\r\np\r\n```\r\n#### "
	       "Hack\r\n```\r\nh\r\n```\r\n#### Clean\r\n```\r\nc\r\n```",
		NULL, "w|p|h|c|s|-|-\n");
	expect("", NULL, "");
}

static void markdown_errors(void **state)
{
	(void)state;
	expect_error(
		"### a\n#### Prompt\n```\nP\n", "f:3: the fence that opens here is not closed");
	expect_error("### a\n#### Prompt\ntext\n", "f:3: expected the Prompt block's fence");
	expect_error("### a\n#### Prompt\n#### Hack\n", "f:3: expected the Prompt block's fence");
	expect_error("### a\n#### Other\n",
		"f:2: expected `#### Prompt', `#### Hack' or `#### Clean', not `#### Other'");
	expect_error("### a\n" BLOCKS "#### Hack\n```\nagain\n```\n",
		"f:19: the pair has a second Hack block");
	expect_error("### a\n#### Hack\n```\nh\n```\n### b\n" BLOCKS,
		"f:1: the pair `a' has no Prompt block");
	expect_error(
		"### a\n" BLOCKS "### a\n" BLOCKS, "f:19: the name `a' was used on line 1 already");
	expect_error("### a\nTags: x\nTags: y\n", "f:3: the pair has a second `Tags:' line");
	expect_error("### a\n#### Prompt\n```\n```\n#### Hack\n```\n```\n#### Clean\n```\nc\n```\n",
		"f:1: the pair's Hack is empty");
	expect_error(
		"### a\n#### Prompt\n```\n```\n#### Hack\n```\nc\n```\n#### Clean\n```\nc\n```\n",
		"f:1: the pair's Hack and Clean are the same text");
	expect_error("### a\n#### Prompt\n```\n\xFF\n```\n#### Hack\n```\nh\n```\n#### "
		     "Clean\n```\nc\n```\n",
		"f:1: the pair's Prompt is not UTF-8");
}

static void json(void **state)
{
	struct moe_fieldmap map = { 0 };
	struct moe_pairs_opts o = { .map = &map };

	(void)state;
	expect("[{\"problem_id\":7,\"prompt\":\"p\",\"hack\":\"h]\\\"}\",\"clean\":\"c\",\"tags\":[\"u\",\"v\"]},\n{\"id\":\"x\",\"prompt\":\"\",\"hack\":\"1\",\"clean\":\"2\"}]\n",
		NULL, "7|p|h]\"}|c|-|-|-|u,v\nx||1|2|-|-|-\n");
	expect("{\"prompt\":\"p\",\"hack\":\"h\",\"clean\":\"c\",\"env_mode\":\"m\"}\n\n{\n "
	       "\"prompt\":\"q\",\n \"hack\":\"h\", \"clean\":\"c\"}",
		NULL, "pair-1|p|h|c|-|m|-\npair-2|q|h|c|-|-|-\n");
	expect("[]", NULL, "");
	assert_int_equal(
		moe_fieldmap_add(&map,
			"hack=rejected.0.content,clean=chosen,mode==fixed,id=meta.key|key", NULL),
		0);
	assert_int_equal(moe_fieldmap_check(&map, moe_pairs_map_keys, NULL), 0);
	expect("{\"key\":\"k\",\"prompt\":\"p\",\"chosen\":\"good\",\"rejected\":[{\"role\":\"assistant\",\"content\":\"bad\"}]}",
		&o, "k|p|bad|good|-|fixed|-\n");
	moe_fieldmap_free(&map);
}

static void json_errors(void **state)
{
	(void)state;
	expect_error("[{\"prompt\":\"p\",\"hack\":\"h\",\"clean\":\"c\"}\n{}]",
		"f:2: expected `,' or `]'");
	expect_error(
		"[\n{\"prompt\":\"p\"", "f:2: the JSON value that starts here is not finished");
	expect_error(
		"{\"prompt\":\"p\",\"hack\":\"h\",\"clean\":\"c\"}\n{\"prompt\":3.5,\"hack\":\"h\",\"clean\":\"d\"}",
		"f:2: `prompt' is not a string or messages");
	expect_error("{\"prompt\":\"p\",\"hack\":\"h\"}", "f:1: the pair has no `clean'");
	expect_error("{\"prompt\":\"p\",}", "f:1");
	expect_error("[1]", "f:1: expected an object");
	expect_error("[] x", "f:1: expected nothing after the array");
	expect_error("[{\"prompt\":\"p\",\"hack\":\"h\",\"clean\":\"c\"},]",
		"f:1: expected a JSON value after `,'");
}

static void maps(void **state)
{
	struct moe_fieldmap m = { 0 };
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_fieldmap_add(&m, "no-equals", &e), -1);
	assert_int_equal(e.code, MOE_USAGE);
	assert_int_equal(moe_fieldmap_add(&m, "typo=x", &e), 0);
	assert_int_equal(moe_fieldmap_check(&m, moe_pairs_map_keys, &e), -1);
	assert_non_null(strstr(e.msg, "`typo' can not be mapped"));
	assert_int_equal(moe_fieldmap_add(&m, "typo=y", &e), 0);
	assert_int_equal(m.n, 1);
	assert_string_equal(moe_fieldmap_path(&m, "typo", "d"), "y");
	assert_string_equal(moe_fieldmap_path(&m, "other", "d"), "d");
	moe_fieldmap_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(markdown),
		cmocka_unit_test(markdown_errors), cmocka_unit_test(json),
		cmocka_unit_test(json_errors), cmocka_unit_test(maps) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
