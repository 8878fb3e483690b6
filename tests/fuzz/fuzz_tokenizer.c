/* fuzz_tokenizer.c - any bytes as a tokenizer.json; and, when they hold a NUL, what follows it as a text for that tokenizer and for
 * the embedded one, whose ids must decode to the same bytes. */
#include "formats/tok.h"
#include "formats/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void round_trip(const struct moe_tokenizer *t, const char *p, size_t n, bool exact)
{
	struct moe_err e = { 0 };
	struct moe_buf out = { 0 };
	int32_t *ids = NULL;
	size_t n_ids = 0;

	if (!moe_tokenizer_encode(t, p, n, true, &ids, &n_ids, &e) && !moe_tokenizer_decode(t, ids, n_ids, false, &out, &e) && exact)
		if (out.len != n || (n && memcmp(out.data, p, n)))
			abort();
	free(ids);
	moe_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct moe_tokenizer *bytes;
	const uint8_t *cut = n ? memchr(p, 0, n) : NULL;
	size_t head = cut ? (size_t)(cut - p) : n;
	const char *text = cut ? (const char *)cut + 1 : (const char *)p;
	size_t len = cut ? n - head - 1 : n;
	struct moe_err e = { 0 };
	struct moe_tokenizer *t = moe_tokenizer_parse((const char *)p, head, "fuzz", &e);

	if (!bytes) {
		struct moe_buf b = { 0 };
		if (moe_tokenizer_bytes_json(&b, &e) || !(bytes = moe_tokenizer_parse((const char *)b.data, b.len, "bytes", &e)))
			abort();
		moe_buf_free(&b);
	}
	if (t)
		round_trip(t, text, len, false);
	round_trip(bytes, text, len, true);
	moe_tokenizer_free(t);
	return 0;
}
