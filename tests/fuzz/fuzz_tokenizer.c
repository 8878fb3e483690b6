/* fuzz_tokenizer.c - the first line is a text, the rest a tokenizer.json: it is refused, or encodes
 * the text (and decodes what it gave) without harm. */
#include "fuzz.h"

#include "formats/tokenizer/tok.h"
#include "formats/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const uint8_t *nl = memchr(p, '\n', n);
	size_t len = nl ? (size_t)(nl - p) : 0, skip = nl ? len + 1 : 0, count = 0;
	struct moe_err e = { 0 };
	struct moe_tokenizer *t = moe_tokenizer_parse((const char *)p + skip, n - skip, "fuzz", &e);
	struct moe_buf back = { 0 };
	int32_t *ids = NULL;

	MUST(t || e.msg[0]);
	if (!t)
		return 0;
	if (!moe_tokenizer_encode(t, (const char *)p, len, true, &ids, &count, &e)) {
		for (size_t i = 0; i < count; i++)
			MUST(ids[i] >= 0 && ids[i] < moe_tokenizer_vocab(t));
		MUST(!moe_tokenizer_decode(t, ids, count, false, &back, &e));
	} else
		MUST(e.msg[0]);
	for (int32_t i = 0; i < moe_tokenizer_vocab(t); i += 1 + i / 16) {
		back.len = 0;
		MUST(!moe_tokenizer_decode(t, &i, 1, true, &back, &e));
	}
	moe_tokenizer_id(t, "<s>");
	free(ids);
	moe_buf_free(&back);
	moe_tokenizer_free(t);
	return 0;
}
