/* gguf_write.c - GGUF files of F32 tensors, written. Reading is gguf.c's; models are not written,
 * only adapters (moe/gguf_lora.c). */
#include "formats/gguf.h"
#include "util/mem.h"

#include <string.h>

#define ALIGN 32 /* the format's default, which no key needs to name */

static int add_le(struct moe_buf *o, uint64_t v, int bytes, struct moe_err *e)
{
	uint8_t b[8];

	for (int i = 0; i < bytes; i++)
		b[i] = (uint8_t)(v >> 8 * i);
	return moe_buf_add(o, b, (size_t)bytes, e);
}

/* u64 length, then the bytes. */
static int add_text(struct moe_buf *o, const char *s, struct moe_err *e)
{
	return add_le(o, strlen(s), 8, e) || moe_buf_add(o, s, strlen(s), e) ? -1 : 0;
}

static int add_f32(struct moe_buf *o, float v, struct moe_err *e)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return add_le(o, bits, 4, e);
}

static int pad(struct moe_buf *o, struct moe_err *e)
{
	static const uint8_t zero[ALIGN];

	return moe_buf_add(o, zero, (ALIGN - o->len % ALIGN) % ALIGN, e);
}

int moe_gguf_make(const struct moe_gguf_set *set, size_t n_set, const struct moe_gguf_f32 *t,
	size_t n, struct moe_buf *out, struct moe_err *e)
{
	uint64_t at = 0; /* of a tensor within the data */
	int rc = moe_buf_add(out, "GGUF", 4, e) || add_le(out, 3, 4, e) || add_le(out, n, 8, e) ||
			add_le(out, n_set, 8, e)
		? -1
		: 0;

	for (size_t i = 0; i < n_set && !rc; i++) {
		rc = add_text(out, set[i].key, e) ||
			add_le(out, set[i].text ? MOE_GGUF_STRING : MOE_GGUF_F32, 4, e);
		if (!rc)
			rc = set[i].text ? add_text(out, set[i].text, e)
					 : add_f32(out, set[i].number, e);
	}
	for (size_t i = 0; i < n && !rc; i++) {
		rc = add_text(out, t[i].name, e) || add_le(out, 2, 4, e) ||
				add_le(out, t[i].cols, 8, e) || add_le(out, t[i].rows, 8, e) ||
				add_le(out, MOE_GGML_F32, 4, e) || add_le(out, at, 8, e)
			? -1
			: 0;
		at += (4 * t[i].rows * t[i].cols + ALIGN - 1) / ALIGN * ALIGN;
	}
	rc = rc || pad(out, e) || moe_buf_reserve(out, at, e) ? -1 : 0;
	for (size_t i = 0; i < n && !rc; i++) {
		for (uint64_t k = 0; k < t[i].rows * t[i].cols && !rc; k++)
			rc = add_f32(out, t[i].data[k], e);
		rc = rc || pad(out, e) ? -1 : 0;
	}
	return rc;
}
