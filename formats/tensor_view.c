/* tensor_view.c - reads tensor elements one at a time, for looking and converting. Not for
 * arithmetic. */
#include "formats/tensor_view.h"
#include "formats/mp.h"
#include "util/half.h"
#include "util/mem.h"

#include <string.h>

#define AS(type, value)                                                                            \
	do {                                                                                       \
		type v_;                                                                           \
		memcpy(&v_, (const char *)t->data + i * sizeof(v_), sizeof(v_));                   \
		return (double)(value);                                                            \
	} while (0)

double moe_tensor_value(const struct moe_tensor *t, size_t i)
{
	const char *d = t->dtype;

	if (!strcmp(d, "F32"))
		AS(float, v_);
	if (!strcmp(d, "F64"))
		AS(double, v_);
	if (!strcmp(d, "BF16"))
		AS(uint16_t, moe_f32_from_bf16(v_));
	if (!strcmp(d, "F16"))
		AS(uint16_t, moe_f32_from_f16(v_));
	if (!strcmp(d, "I8"))
		AS(int8_t, v_);
	if (!strcmp(d, "I16"))
		AS(int16_t, v_);
	if (!strcmp(d, "I32"))
		AS(int32_t, v_);
	if (!strcmp(d, "I64"))
		AS(int64_t, v_);
	if (!strcmp(d, "U16"))
		AS(uint16_t, v_);
	if (!strcmp(d, "U32"))
		AS(uint32_t, v_);
	if (!strcmp(d, "U64"))
		AS(uint64_t, v_);
	AS(uint8_t, v_); /* U8, BOOL */
}

size_t moe_tensor_element(const struct moe_tensor *t, size_t i, uint8_t out[9])
{
	const char *d = t->dtype;
	size_t each = moe_dtype_bytes(d);
	const uint8_t *p = (const uint8_t *)t->data + i * each;
	double f;

	if (!strcmp(d, "BOOL")) {
		out[0] = *p ? 0xc3 : 0xc2;
		return 1;
	}
	if (d[0] == 'I' || d[0] == 'U') { /* msgpack's integer types: 0xcc.. unsigned, 0xd0..
					     signed, of 1, 2, 4 and 8 bytes */
		out[0] = (uint8_t)((d[0] == 'U' ? 0xcc : 0xd0) +
			(each == 1                  ? 0
					: each == 2 ? 1
					: each == 4 ? 2
						    : 3));
		for (size_t k = 0; k < each; k++)
			out[1 + k] = p[each - 1 - k];
		return 1 + each;
	}
	f = moe_tensor_value(t, i);
	out[0] = 0xcb;
	for (int k = 0; k < 8; k++)
		out[1 + k] = ((const uint8_t *)&f)[7 - k];
	return 9;
}

bool moe_tensor_bytes(const struct moe_tensor *t, size_t *bytes)
{
	size_t n = moe_dtype_bytes(t->dtype);

	for (int i = 0; i < t->rank; i++)
		if (!moe_mul(n, (size_t)t->shape[i], &n))
			return false;
	*bytes = n;
	return moe_dtype_bytes(t->dtype) != 0;
}

bool moe_tensor_chunk(const struct moe_rec *r, struct moe_tensor *w, int64_t *offset)
{
	struct moe_str dtype, raw, data;
	struct moe_mp_tok t;
	size_t at, bytes;

	memset(w, 0, sizeof(*w));
	if (!moe_rec_is(r, "tensor") || !moe_rec_str(r, "dtype", &dtype) ||
		dtype.n >= sizeof(w->dtype) || !moe_rec_raw(r, "shape", &raw) ||
		!moe_rec_int(r, "offset", offset) || *offset < 0 || !moe_rec_bin(r, "data", &data))
		return false;
	memcpy(w->dtype, dtype.p, dtype.n);
	if (moe_mp_token((const uint8_t *)raw.p, raw.n, &t, NULL) != 1 || t.kind != MOE_MP_ARRAY ||
		t.n > MOE_TENSOR_RANK_MAX)
		return false;
	w->rank = (int)t.n;
	at = t.size;
	for (int i = 0; i < w->rank; i++) {
		if (moe_mp_token((const uint8_t *)raw.p + at, raw.n - at, &t, NULL) != 1 ||
			t.kind != MOE_MP_INT || t.i < 0)
			return false;
		w->shape[i] = (uint64_t)t.i;
		at += t.size;
	}
	w->data = data.p;
	w->bytes = data.n;
	return moe_tensor_bytes(w, &bytes) && (size_t)*offset <= bytes &&
		data.n <= bytes - (size_t)*offset;
}
