/* tokenize.c - the C side of tests/interop/tokenizers_compare.py: a tokenizer directory as
 * argument; on standard input strings, each after its length in bytes (u32, little-endian; bit 31
 * asks for the post-processor's template, bit 30 says that the bytes are ids, i32, to be decoded);
 * on standard output, for each, the number of ids and the ids (u32), the number of decoded bytes
 * and the bytes. A refused string is answered by 0xffffffff. Not a program of the product. */
#include "formats/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(uint32_t v)
{
	fwrite(&v, sizeof(v), 1, stdout);
}

/* The ids of one item, which is text or ids. */
static int read_ids(const struct moe_tokenizer *t, const struct moe_buf *in, uint32_t flags,
	int32_t **ids, size_t *n, struct moe_err *e)
{
	int32_t *q;

	if (!(flags >> 30 & 1))
		return moe_tokenizer_encode(
			t, (const char *)in->data, in->len, flags >> 31, ids, n, e);
	q = realloc(*ids, in->len + 1);
	if (!q)
		return moe_fail(e, MOE_SYSTEM, "out of memory");
	*ids = memcpy(q, in->data, in->len);
	*n = in->len / sizeof(**ids);
	return 0;
}

int main(int argc, char **argv)
{
	struct moe_err e = { 0 };
	struct moe_tokenizer *t = argc == 2 ? moe_tokenizer_open(argv[1], &e) : NULL;
	struct moe_buf in = { 0 }, out = { 0 };
	uint32_t len;

	if (!t) {
		fprintf(stderr, "tokenize: %s\n", e.msg);
		return 2;
	}
	while (fread(&len, sizeof(len), 1, stdin) == 1) {
		uint32_t size = len & 0x3fffffffu;
		int32_t *ids = NULL;
		size_t n = 0;

		in.len = out.len = 0;
		if (moe_buf_reserve(&in, size + 1, &e) || fread(in.data, 1, size, stdin) != size)
			return 2;
		in.len = size;
		if (read_ids(t, &in, len, &ids, &n, &e) ||
			moe_tokenizer_decode(t, ids, n, false, &out, &e)) {
			put(0xffffffffu);
		} else {
			put((uint32_t)n);
			fwrite(ids, sizeof(*ids), n, stdout);
			put((uint32_t)out.len);
			fwrite(out.data, 1, out.len, stdout);
		}
		free(ids);
	}
	moe_buf_free(&in);
	moe_buf_free(&out);
	moe_tokenizer_free(t);
	return fclose(stdout) ? 2 : 0;
}
