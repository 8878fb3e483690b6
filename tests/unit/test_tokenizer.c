/* test_tokenizer.c - the embedded tokenizer on any bytes, refusals by name, the alphabet. Equality
 * with the `tokenizers` library is tested with its stored answers in test_tokenizer_golden.c and,
 * at length, in tests/interop. */
#include "formats/tokenizer/tok.h"
#include "formats/tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct moe_tokenizer *bytes(void)
{
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	struct moe_tokenizer *t = NULL;

	if (!moe_tokenizer_bytes_json(&b, &e))
		t = moe_tokenizer_parse((const char *)b.data, b.len, "bytes", &e);
	if (!t)
		fail_msg("%s", e.msg);
	moe_buf_free(&b);
	return t;
}

static void embedded(void **state)
{
	struct moe_tokenizer *t = bytes();
	struct moe_buf out = { 0 };
	struct moe_err e = { 0 };
	char all[512];
	int32_t *ids = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(moe_tokenizer_vocab(t), 259);
	assert_int_equal(moe_tokenizer_id(t, "<|eos|>"), 258);
	assert_int_equal(moe_tokenizer_id(t, "nope"), -1);
	for (int i = 0; i < 512; i++)
		all[i] = (char)(i < 256 ? i : (i * 97 + i / 7) & 255); /* mostly not UTF-8 */
	assert_int_equal(moe_tokenizer_encode(t, all, sizeof(all), true, &ids, &n, &e), 0);
	assert_int_equal(n, sizeof(all));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ids[i], (uint8_t)all[i]);
	assert_int_equal(moe_tokenizer_decode(t, ids, n, true, &out, &e), 0);
	assert_int_equal(out.len, sizeof(all));
	assert_memory_equal(out.data, all, sizeof(all));
	/* appends; special tokens are cut out of the text, and left out of the answer on request */
	assert_int_equal(
		moe_tokenizer_encode(t, "a<|bos|>\xff<|eos|>", 16, false, &ids, &n, &e), 0);
	assert_int_equal(n, sizeof(all) + 4);
	assert_true(ids[512] == 'a' && ids[513] == 257 && ids[514] == 255 && ids[515] == 258);
	out.len = 0;
	assert_int_equal(moe_tokenizer_decode(t, ids + 512, 4, false, &out, &e), 0);
	assert_int_equal(out.len, 16);
	out.len = 0;
	assert_int_equal(moe_tokenizer_decode(t, ids + 512, 4, true, &out, &e), 0);
	assert_int_equal(out.len, 2);
	ids[0] = 259; /* no such token */
	ids[1] = -1;
	out.len = 0;
	assert_int_equal(moe_tokenizer_decode(t, ids, 1, true, &out, &e), 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(moe_tokenizer_decode(t, ids, 2, true, &out, &e), -1);
	free(ids);
	moe_buf_free(&out);
	moe_tokenizer_free(t);
}

static void alphabet(void **state)
{
	bool seen[0x144] = { false };

	(void)state;
	for (int b = 0; b < 256; b++) {
		uint32_t c = moe_alphabet_char((uint8_t)b);

		assert_true(c < 0x144 && !seen[c]);
		seen[c] = true;
		assert_int_equal(moe_alphabet_byte(c), b);
	}
	assert_int_equal(moe_alphabet_char(' '), 0x120);
	assert_int_equal(moe_alphabet_char('\n'), 0x10a);
	assert_int_equal(moe_alphabet_char(0xad), 0x143);
	for (uint32_t c = 0; c < 0x400; c++)
		assert_true(moe_alphabet_byte(c) < 0 || seen[c]);
}

static void utf8(void **state)
{
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80",
		"\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xe2\x82" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(moe_utf8_prefix(bad[i], strlen(bad[i])), 0);
	for (uint32_t c = 1; c < 0x110000; c++) {
		char s[4];
		uint32_t back;
		size_t n = moe_utf8_put(c, s);

		assert_int_equal(moe_utf8_prefix(s, n), c >= 0xd800 && c <= 0xdfff ? 0 : n);
		assert_int_equal(moe_utf8_get(s, &back), n);
		assert_int_equal(back, c);
	}
}

#define MODEL                                                                                      \
	"\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"
#define BL  "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define DEC "\"decoder\":{\"type\":\"ByteLevel\"}"

static void refuse(const char *text, const char *why)
{
	struct moe_err e = { 0 };
	struct moe_tokenizer *t = moe_tokenizer_parse(text, strlen(text), "t", &e);

	if (t || e.code != MOE_DATA || !strstr(e.msg, why))
		fail_msg("%s: expected '%s', got '%s'", text, why, t ? "success" : e.msg);
}

static void refusals(void **state)
{
	(void)state;
	refuse("{}", "model type");
	refuse("{\"model\":{\"type\":\"WordPiece\"}}", "\"WordPiece\" is not supported");
	refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"byte_fallback\":true}}",
		"byte_fallback");
	refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}}",
		"end_of_word_suffix");
	refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}",
		"right part is not in the vocabulary");
	refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
		"of another token");
	refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "no usable id");
	refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":99999999999},\"merges\":[]}}",
		"no usable id");
	refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"?\"}}",
		"unk_token\" '?' is not in");
	refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}}",
		"neither \"a b\"");
	refuse("{" MODEL "}", "decoder type");
	refuse("{" MODEL "," DEC "}", "no ByteLevel");
	refuse("{" MODEL "," DEC ",\"normalizer\":{\"type\":\"Lowercase\"}}",
		"normalizer type \"Lowercase\"");
	refuse("{" MODEL "," DEC ",\"pre_tokenizer\":{\"type\":\"Metaspace\"}}",
		"pre-tokenizer type \"Metaspace\"");
	refuse("{" MODEL "," DEC ",\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" BL
	       "," BL "]}}",
		"after ByteLevel");
	refuse("{" MODEL "," DEC
	       ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}}",
		"cannot be used");
	refuse("{" MODEL "," DEC
	       ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a{1,3}+\"},\"behavior\":\"Isolated\"}}",
		"interval");
	refuse("{" MODEL "," DEC ",\"pre_tokenizer\":" BL
	       ",\"post_processor\":{\"type\":\"BertProcessing\"}}",
		"\"BertProcessing\"");
	refuse("{" MODEL ",\"decoder\":{\"type\":\"WordPiece\"},\"pre_tokenizer\":" BL "}",
		"decoder type \"WordPiece\"");
	refuse("{" MODEL "," DEC ",\"pre_tokenizer\":" BL
	       ",\"added_tokens\":[{\"id\":5,\"content\":\"ab\"}]}",
		"in the vocabulary it is 2");
}

static void small(void **state)
{
	static const char text[] =
		"{" MODEL "," DEC ",\"pre_tokenizer\":" BL
		",\"added_tokens\":[{\"id\":3,\"content\":\"<x>\",\"special\":true,\"lstrip\":true}]}";
	struct moe_err e = { 0 };
	struct moe_tokenizer *t = moe_tokenizer_parse(text, strlen(text), "t", &e);
	int32_t *ids = NULL;
	size_t n = 0;

	(void)state;
	if (!t)
		fail_msg("%s", e.msg);
	assert_int_equal(moe_tokenizer_encode(t, "aab  <x>b", 9, false, &ids, &n, &e), 0);
	assert_true(n == 4 && ids[0] == 0 && ids[1] == 2 && ids[2] == 3 && ids[3] == 1);
	assert_int_equal(moe_tokenizer_encode(t, "a\xff", 2, false, &ids, &n, &e), -1);
	assert_non_null(strstr(e.msg, "no token for the 0xff at its byte 1"));
	assert_int_equal(n, 4);
	free(ids);
	moe_tokenizer_free(t);
}

/* Bytes without a token, as the `tokenizers` library answers them. */
static void gaps(void **state)
{
	static const char *const how[3] = { "null", "\"?\"", "\"?\",\"fuse_unk\":true" },
				 *const text[6] = { "axb", "axxb", "xx",
					 "a\xd0\x96"
					 "b",
					 "a xb", " " };
	static const int32_t want[3][6][4] = {
		/* n, ids */
		{ { 1, 2 }, { 1, 2 }, { 0 }, { 1, 2 }, { 2, 0, 1 }, { 0 } },
		{ { 2, 0, 4 }, { 3, 0, 3, 4 }, { 2, 3, 3 }, { 3, 0, 3, 4 }, { 3, 0, 3, 4 },
			{ 1, 3 } },
		{ { 2, 0, 4 }, { 2, 0, 4 }, { 1, 3 }, { 2, 0, 4 }, { 2, 0, 4 }, { 1, 3 } },
	};

	(void)state;
	for (int h = 0; h < 3; h++) {
		struct moe_err e = { 0 };
		struct moe_tokenizer *t;
		char file[400];

		snprintf(file, sizeof(file),
			"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"?\":3,\"?b\":4},\"merges\":[\"a "
			"b\",\"? b\"],\"unk_token\":%s}," DEC ",\"pre_tokenizer\":" BL "}",
			how[h]);
		t = moe_tokenizer_parse(file, strlen(file), "t", &e);
		if (!t)
			fail_msg("%s", e.msg);
		for (int i = 0; i < 6; i++) {
			int32_t *ids = NULL;
			size_t n = 0;

			assert_int_equal(moe_tokenizer_encode(
						 t, text[i], strlen(text[i]), false, &ids, &n, &e),
				0);
			if (n != (size_t)want[h][i][0] ||
				(n && memcmp(ids, want[h][i] + 1, n * sizeof(*ids))))
				fail_msg("unknown token %s: '%s' has other ids", how[h], text[i]);
			free(ids);
		}
		moe_tokenizer_free(t);
	}
}

/* Many marks on one letter: in canonical order, and soon (the order costs n^2 where it is made by
 * swapping neighbours). */
static void many_marks(void **state)
{
	enum { PAIRS = 200000 };
	struct moe_buf in = { 0 }, want = { 0 }, out = { 0 };

	(void)state;
	assert_int_equal(
		moe_buf_add(&in, "e", 1, NULL) || moe_buf_add(&want, "\xe1\xba\xb9", 3, NULL), 0);
	for (int i = 0; i < PAIRS; i++)
		assert_int_equal(moe_buf_add(&in, "\xcc\x81\xcc\xa3", 4, NULL) ||
				(i && moe_buf_add(&want, "\xcc\xa3", 2, NULL)),
			0);
	for (int i = 0; i < PAIRS; i++)
		assert_int_equal(moe_buf_add(&want, "\xcc\x81", 2, NULL), 0);
	alarm(30);
	assert_int_equal(moe_normalise(MOE_NORM_NFC, (const char *)in.data, in.len, &out, NULL), 0);
	alarm(0);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.data, want.data, want.len);
	/* a character of Unicode 15 stays as it is */
	out.len = 0;
	assert_int_equal(moe_normalise(MOE_NORM_NFKC, "\xf0\x9e\x80\xb0", 4, &out, NULL), 0);
	assert_int_equal(out.len, 4);
	moe_buf_free(&in);
	moe_buf_free(&want);
	moe_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(embedded),
		cmocka_unit_test(alphabet),
		cmocka_unit_test(utf8),
		cmocka_unit_test(refusals),
		cmocka_unit_test(small),
		cmocka_unit_test(gaps),
		cmocka_unit_test(many_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
