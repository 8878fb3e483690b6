/* tfevents.c - writes TFRecords and the few protocol buffer fields of an Event that TensorBoard
 * needs. It reads none. */
#include "formats/tfevents.h"

#include <string.h>

static uint32_t crc32c(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint32_t c = 0xffffffff;

	for (size_t i = 0; i < n; i++) {
		c ^= b[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78 : 0);
	}
	return ~c;
}

uint32_t moe_crc32c_masked(const void *p, size_t n)
{
	uint32_t c = crc32c(p, n);

	return (c >> 15 | c << 17) + 0xa282ead8;
}

/* ---- protocol buffers: a field is its number and wire type, then its value ---- */
enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static int varint(struct moe_buf *b, uint64_t v, struct moe_err *e)
{
	uint8_t out[10];
	size_t n = 0;

	do {
		out[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		v >>= 7;
	} while (v);
	return moe_buf_add(b, out, n, e);
}

static int key(struct moe_buf *b, unsigned field, enum wire type, struct moe_err *e)
{
	return varint(b, field << 3 | type, e);
}

static int bytes(struct moe_buf *b, unsigned field, const void *p, size_t n, struct moe_err *e)
{
	return key(b, field, BYTES, e) || varint(b, n, e) || moe_buf_add(b, p, n, e) ? -1 : 0;
}

/* The low `n` bytes of v, the least first. */
static int fixed(struct moe_buf *b, uint64_t v, size_t n, struct moe_err *e)
{
	uint8_t out[8];

	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(v >> 8 * i);
	return moe_buf_add(b, out, n, e);
}

/* ---- Event: wall_time 1 (double), step 2 (int64), file_version 3 (string), summary 5 ---- */
static int head(struct moe_buf *b, double wall_sec, int64_t step, struct moe_err *e)
{
	uint64_t bits;

	memcpy(&bits, &wall_sec, sizeof(bits));
	return key(b, 1, FIXED64, e) || fixed(b, bits, 8, e) || key(b, 2, VARINT, e) ||
			varint(b, (uint64_t)step, e)
		? -1
		: 0;
}

/* TFRecord: length (64 bits), its checksum, the message, its checksum. */
static int record(struct moe_buf *out, const struct moe_buf *message, struct moe_err *e)
{
	size_t at = out->len;

	if (fixed(out, message->len, 8, e) ||
		fixed(out, moe_crc32c_masked(out->data + at, 8), 4, e) ||
		moe_buf_add(out, message->data, message->len, e))
		return -1;
	return fixed(out, moe_crc32c_masked(message->data, message->len), 4, e);
}

int moe_tfevents_begin(struct moe_buf *out, double wall_sec, struct moe_err *e)
{
	static const char version[] = "brain.Event:2";
	struct moe_buf b = { 0 };
	int rc = head(&b, wall_sec, 0, e) || bytes(&b, 3, version, sizeof(version) - 1, e) ||
			record(out, &b, e)
		? -1
		: 0;

	moe_buf_free(&b);
	return rc;
}

/* Summary: value 1, repeated; Value: tag 1 (string), simple_value 2 (float). */
int moe_tfevents_scalar(struct moe_buf *summary, const char *tag, double v, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	float f = (float)v;
	uint32_t bits;
	int rc;

	memcpy(&bits, &f, sizeof(bits));
	rc = bytes(&b, 1, tag, strlen(tag), e) || key(&b, 2, FIXED32, e) || fixed(&b, bits, 4, e) ||
			bytes(summary, 1, b.data, b.len, e)
		? -1
		: 0;
	moe_buf_free(&b);
	return rc;
}

int moe_tfevents_put(struct moe_buf *out, struct moe_buf *summary, double wall_sec, int64_t step,
	struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = 0;

	if (summary->len)
		rc = head(&b, wall_sec, step, e) || bytes(&b, 5, summary->data, summary->len, e) ||
				record(out, &b, e)
			? -1
			: 0;
	summary->len = 0;
	moe_buf_free(&b);
	return rc;
}
