/* base64.c - base64 in both directions, strict. No URL alphabet. */
#include "util/base64.h"

#include <stdbool.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int moe_base64_encode(const void *data, size_t n, struct moe_buf *out, struct moe_err *e)
{
	const uint8_t *p = data;
	uint8_t *q;

	if (n > SIZE_MAX / 2)
		return moe_fail(e, MOE_SYSTEM, "out of memory: %zu bytes as base64", n);
	if (moe_buf_reserve(out, n / 3 * 4 + 4, e))
		return -1;
	q = out->data + out->len;
	for (; n >= 3; n -= 3, p += 3) {
		uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];

		for (int shift = 18; shift >= 0; shift -= 6)
			*q++ = (uint8_t)alphabet[v >> shift & 63];
	}
	if (n) {
		uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);

		*q++ = (uint8_t)alphabet[v >> 18 & 63];
		*q++ = (uint8_t)alphabet[v >> 12 & 63];
		*q++ = (uint8_t)(n == 2 ? alphabet[v >> 6 & 63] : '=');
		*q++ = '=';
	}
	out->len = (size_t)(q - out->data);
	return 0;
}

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int moe_base64_decode(const char *p, size_t n, struct moe_buf *out, struct moe_err *e)
{
	size_t pad = n && p[n - 1] == '=' ? (n > 1 && p[n - 2] == '=' ? 2 : 1) : 0;
	uint8_t *q;

	if (n % 4)
		return moe_fail(e, MOE_DATA,
			"a base64 text of %zu characters, which is no multiple of 4", n);
	if (moe_buf_reserve(out, n / 4 * 3 + 1, e))
		return -1;
	q = out->data + out->len;
	for (size_t i = 0; i < n; i += 4) {
		bool last = i + 4 == n;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = last && k >= 4 - pad ? 0 : digit(p[i + k]);

			if (d < 0)
				return moe_fail(e, MOE_DATA,
					"character %zu of a base64 text does not belong there",
					i + k + 1);
			v = v << 6 | (uint32_t)d;
		}
		if (last && pad && (v & (pad == 2 ? 0xffffU : 0xffU)))
			return moe_fail(
				e, MOE_DATA, "a base64 text with unused bits that are not zero");
		*q++ = (uint8_t)(v >> 16);
		if (!last || pad < 2)
			*q++ = (uint8_t)(v >> 8);
		if (!last || pad < 1)
			*q++ = (uint8_t)v;
	}
	out->len = (size_t)(q - out->data);
	return 0;
}
