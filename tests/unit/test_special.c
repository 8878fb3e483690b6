/* test_special.c - special tokens: which ids end a text, and what is put before and behind one. */
#include "formats/tokenizer/messages.h"
#include "formats/tokenizer/special.h"
#include "formats/tokenizer/tok.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct moe_str str(const char *s)
{
	return (struct moe_str){ s, strlen(s) };
}

static int take(const char *json, struct moe_special *s, struct moe_err *e)
{
	struct moe_json_doc *d = moe_json_parse(json, strlen(json), "x", e);
	int rc;

	assert_non_null(d);
	rc = moe_special_take(moe_json_root(d), "x", 300, s, e);
	moe_json_free(d);
	return rc;
}

static void ends_are_a_union(void **state)
{
	struct moe_special s = { .bos = -1 };
	struct moe_err e;

	(void)state;
	assert_int_equal(take("{\"eos_token_id\":5}", &s, &e), 0);
	assert_int_equal(take("{\"eos_token_id\":[7,5,-1,300]}", &s, &e), 0);
	assert_int_equal(take("{\"eos_token_id\":null}", &s, &e), 0);
	assert_int_equal(take("{}", &s, &e), 0);
	assert_true(s.n_end == 2 && s.end[0] == 5 && s.end[1] == 7);
	assert_true(s.n_outside == 2 && s.outside == -1);
	assert_true(moe_special_ends(&s, 7) && !moe_special_ends(&s, 300));
	assert_int_equal(take("{\"eos_token_id\":\"</s>\"}", &s, &e), -1);
	assert_int_equal(e.code, MOE_DATA);
	assert_int_equal(take("{\"eos_token_id\":[5,[6]]}", &s, &e), -1);
}

/* Length of the prompt's tokens; the first is *first. */
static size_t prompt(
	const struct moe_tokenizer *t, int32_t bos, const char *text, bool chat, int32_t *first)
{
	int32_t *ids = NULL;
	size_t n = 0;
	struct moe_err e;

	assert_int_equal(moe_prompt_tokens(t, bos, str(text), chat, &ids, &n, &e), 0);
	*first = n ? ids[0] : -1;
	free(ids);
	return n;
}

static void a_prefix_comes_once(void **state)
{
	struct moe_buf b = { 0 };
	struct moe_tokenizer *t;
	struct moe_err e;
	int32_t first;

	(void)state;
	assert_int_equal(moe_tokenizer_bytes_json(&b, &e), 0);
	t = moe_tokenizer_parse((const char *)b.data, b.len, "bytes", &e);
	assert_non_null(t);
	assert_true(prompt(t, -1, "", false, &first) == 0);
	assert_true(prompt(t, 257, "", false, &first) == 1 && first == 257);
	assert_true(prompt(t, 257, "ab", false, &first) == 2 && first == 'a');
	t->prefix = malloc(sizeof(*t->prefix)); /* as a template has it */
	t->prefix[0] = 257;
	t->n_prefix = 1;
	assert_true(prompt(t, -1, "ab", false, &first) == 3 && first == 257);
	assert_true(prompt(t, -1, "<|bos|>ab", false, &first) == 3 && first == 257);
	assert_true(prompt(t, -1, "ab", true, &first) == 2 && first == 'a');
	moe_tokenizer_free(t);
	moe_buf_free(&b);
}

static void an_end_comes_once(void **state)
{
	static const int32_t end[2] = { 258, 256 };
	static const struct {
		const char *text;
		int n_end;
		size_t n;
	} cases[] = { { "ab", 0, 2 }, { "ab", 2, 3 }, { "ab<|eos|>", 2, 3 }, { "ab<|pad|>", 2, 3 },
		{ "<|eos|>ab", 2, 4 }, { "", 2, 1 }, { "", 0, 0 } };
	struct moe_buf b = { 0 };
	struct moe_tokenizer *t;
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_tokenizer_bytes_json(&b, &e), 0);
	t = moe_tokenizer_parse((const char *)b.data, b.len, "bytes", &e);
	assert_non_null(t);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int32_t *ids = calloc(1, sizeof(*ids));
		size_t n = 1; /* what is there already stays */

		assert_int_equal(moe_completion_tokens(
					 t, end, cases[i].n_end, str(cases[i].text), &ids, &n, &e),
			0);
		assert_true(n == cases[i].n + 1 && ids[0] == 0);
		free(ids);
	}
	moe_tokenizer_free(t);
	moe_buf_free(&b);
}

static void conversations_are_written(void **state)
{
	static const struct {
		const char *json, *want; /* NULL: refused */
		bool completion;
	} cases[] = {
		{ "[{\"role\":\"user\",\"content\":\"q\"}]", "U(q)A(", false },
		{ "{\"role\":\"user\",\"content\":[\"q\",{\"text\":\"r\"}]}", "U(qr)A(", false },
		{ "[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]",
			"U(q)A(a", false },
		{ "[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]", NULL, false },
		{ "[{\"role\":\"system\",\"content\":\"s\"}]", NULL, false },
		{ "[]", NULL, false },
		{ "\"text\"", NULL, false },
		{ "[{\"role\":\"assistant\",\"content\":\"a\"}]", "a", true },
		{ "[{\"role\":\"assistant\",\"content\":\"a\",\"tool_calls\":[]}]", "a", true },
		{ "[{\"role\":\"assistant\",\"content\":\"a\",\"tool_calls\":[1]}]", NULL, true },
		{ "[{\"role\":\"user\",\"content\":\"a\"}]", NULL, true },
		{ "[{\"role\":\"assistant\",\"content\":7}]", NULL, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct moe_buf out = { 0 };
		struct moe_err e;
		struct moe_chat *chat = moe_chat_parse(
			"U({user}){}A({assistant})", NULL, NULL, "a template", &e);
		struct moe_json_doc *d = moe_json_parse(
			cases[i].json, strlen(cases[i].json), "x", &e);
		int rc;

		assert_non_null(d);
		assert_non_null(chat);
		rc = cases[i].completion
			? moe_messages_completion(moe_json_root(d), &out, &e)
			: moe_messages_format(moe_json_root(d), chat, true, &out, &e);
		assert_int_equal(rc, cases[i].want ? 0 : -1);
		if (cases[i].want) {
			assert_int_equal(out.len, strlen(cases[i].want));
			assert_memory_equal(out.data, cases[i].want, out.len);
		}
		moe_json_free(d);
		moe_chat_free(chat);
		moe_buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(ends_are_a_union),
		cmocka_unit_test(a_prefix_comes_once), cmocka_unit_test(an_end_comes_once),
		cmocka_unit_test(conversations_are_written) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
