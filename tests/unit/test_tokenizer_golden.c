/* test_tokenizer_golden.c - ids and texts against stored answers of the `tokenizers` library
 * (tests/golden/make_tokenizers.py), for the structures of SmolLM2, Llama 3, Qwen2 and Qwen3 and
 * for one that uses everything else that is read. */
#include "formats/json.h"
#include "formats/source.h"
#include "formats/tokenizer/tok.h"
#include "formats/tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void must(int ok, const struct moe_err *e)
{
	if (!ok)
		fail_msg("%s", e->msg);
}

static void same_ids(const struct moe_str *text, const struct moe_json *want, const int32_t *ids,
	size_t n, size_t skip, size_t lack)
{
	size_t len = moe_json_len(want);

	if (n + skip + lack != len)
		fail_msg("%.*s: %zu ids, should be %zu", (int)text->n, text->p, n,
			len - skip - lack);
	for (size_t i = 0; i < n; i++) {
		int64_t v = -1;
		moe_json_int(moe_json_at(want, i + skip), &v);
		if (v != ids[i])
			fail_msg("%.*s: id %zu is %d, should be %lld", (int)text->n, text->p, i,
				(int)ids[i], (long long)v);
	}
}

/* What text decodes to again, when nothing in it was normalised or stripped away. */
static void one(const struct moe_tokenizer *t, const struct moe_json *j, bool lossless)
{
	struct moe_str text = moe_json_str(moe_json_get(j, "text"));
	struct moe_buf out = { 0 };
	struct moe_err e = { 0 };
	int32_t *ids = NULL;
	size_t n = 0;

	must(!moe_tokenizer_encode(t, text.p, text.n, true, &ids, &n, &e), &e);
	same_ids(&text, moe_json_get(j, "ids"), ids, n, 0, 0);
	n = 0;
	must(!moe_tokenizer_encode(t, text.p, text.n, false, &ids, &n, &e), &e);
	same_ids(&text, moe_json_get(j, "ids"), ids, n, t->n_prefix, t->n_suffix);
	must(!moe_tokenizer_decode(t, ids, n, false, &out, &e), &e);
	if (lossless) {
		assert_int_equal(out.len, text.n);
		assert_memory_equal(out.data, text.p, text.n);
	}
	free(ids);
	moe_buf_free(&out);
}

static void family(const char *name, bool lossless)
{
	char path[128];
	struct moe_err e = { 0 };
	struct moe_tokenizer *t;
	struct moe_input *in;
	struct moe_source src;
	struct moe_str line;
	uint64_t number;
	int r, n = 0;

	snprintf(path, sizeof(path), "tests/golden/tok-%s", name);
	t = moe_tokenizer_open(path, &e);
	must(t != NULL, &e);
	snprintf(path, sizeof(path), "tests/golden/tok-%s.jsonl", name);
	in = moe_input_open(path, &e);
	must(in && moe_input_next(in, &e) == 1, &e);
	moe_source_from_input(&src, in, 0);
	while ((r = moe_source_line(&src, &line, &number, &e)) == 1) {
		struct moe_json_doc *d = moe_json_parse(line.p, line.n, path, &e);

		must(d != NULL, &e);
		one(t, moe_json_root(d), lossless);
		moe_json_free(d);
		n++;
	}
	must(r == 0, &e);
	assert_int_equal(n, 100);
	moe_source_free(&src);
	moe_input_close(in);
	moe_tokenizer_free(t);
}

static void smollm2(void **state)
{
	(void)state;
	family("smollm2", true);
}

static void llama3(void **state)
{
	(void)state;
	family("llama3", true);
}

static void qwen2(void **state)
{
	(void)state;
	family("qwen2", false);
}

static void qwen3(void **state)
{
	(void)state;
	family("qwen3", false);
}

static void odd(void **state)
{
	(void)state;
	family("odd", false);
}

/* A long text takes the way through the word cache; a long word through the heap. Both must give
 * what short calls give. */
static void long_texts(void **state)
{
	struct moe_err e = { 0 };
	struct moe_tokenizer *t = moe_tokenizer_open("tests/golden/tok-llama3", &e);
	struct moe_buf text = { 0 }, back = { 0 };
	int32_t *all = NULL, *parts = NULL;
	size_t n_all = 0, n_parts = 0;

	(void)state;
	must(t != NULL, &e);
	for (int i = 0; i < 3000; i++) {
		size_t at = text.len;

		must(!moe_buf_addf(&text, &e, "%s",
			     i % 7 == 0           ? "\nreturn"
				     : i % 3 == 0 ? " lambda"
				     : i % 5 == 0 ? " corazon"
						  : " xnumberzz"),
			&e);
		must(!moe_tokenizer_encode(t, (const char *)text.data + at, text.len - at, false,
			     &parts, &n_parts, &e),
			&e);
	}
	must(!moe_tokenizer_encode(t, (const char *)text.data, text.len, false, &all, &n_all, &e),
		&e);
	assert_int_equal(n_all, n_parts);
	assert_memory_equal(all, parts, n_all * sizeof(*all));
	text.len = 0;
	for (int i = 0; i < 20000; i++)
		must(!moe_buf_addf(&text, &e, "%s", i % 2 ? "return" : "name"), &e);
	n_all = 0;
	must(!moe_tokenizer_encode(t, (const char *)text.data, text.len, false, &all, &n_all, &e),
		&e);
	must(!moe_tokenizer_decode(t, all, n_all, false, &back, &e), &e);
	assert_int_equal(back.len, text.len);
	assert_memory_equal(back.data, text.data, text.len);
	assert_true(n_all < text.len * 3 / 4);
	free(all);
	free(parts);
	moe_buf_free(&text);
	moe_buf_free(&back);
	moe_tokenizer_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smollm2),
		cmocka_unit_test(llama3),
		cmocka_unit_test(qwen2),
		cmocka_unit_test(qwen3),
		cmocka_unit_test(odd),
		cmocka_unit_test(long_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
