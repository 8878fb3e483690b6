/* alphabet.c - UTF-8, and the 256 printable characters that stand for bytes in token texts
 * (openai/gpt-2, encoder.py: bytes_to_unicode). No tokenizer state. */
#include "formats/tokenizer/tok.h"

/* Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and following, in order. */
static bool is_self(uint32_t b)
{
	return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
}

uint32_t moe_alphabet_char(uint8_t byte)
{
	if (is_self(byte))
		return byte;
	if (byte <= 0x20)
		return 0x100u + byte;
	if (byte <= 0xa0)
		return 0x100u + 33u + (byte - 0x7fu);
	return 0x143; /* 0xad, the last one */
}

int moe_alphabet_byte(uint32_t c)
{
	if (c < 0x100)
		return is_self(c) ? (int)c : -1;
	if (c <= 0x120)
		return (int)(c - 0x100);
	if (c <= 0x142)
		return (int)(c - 0x121 + 0x7f);
	return c == 0x143 ? 0xad : -1;
}

size_t moe_utf8_put(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

size_t moe_utf8_get(const char *p, uint32_t *c)
{
	const uint8_t *s = (const uint8_t *)p;

	if (s[0] < 0x80) {
		*c = s[0];
		return 1;
	}
	if (s[0] < 0xe0) {
		*c = (s[0] & 31u) << 6 | (s[1] & 63u);
		return 2;
	}
	if (s[0] < 0xf0) {
		*c = (s[0] & 15u) << 12 | (s[1] & 63u) << 6 | (s[2] & 63u);
		return 3;
	}
	*c = (s[0] & 7u) << 18 | (s[1] & 63u) << 12 | (s[2] & 63u) << 6 | (s[3] & 63u);
	return 4;
}

/* Length of the valid sequence at s, 0 when there is none. */
static size_t sequence(const uint8_t *s, size_t n)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t k = s[0] < 0x80 ? 1
		: s[0] < 0xc2  ? 0
		: s[0] < 0xe0  ? 2
		: s[0] < 0xf0  ? 3
		: s[0] < 0xf5  ? 4
			       : 0;
	uint32_t c;

	if (!k || k > n)
		return 0;
	for (size_t i = 1; i < k; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	moe_utf8_get((const char *)s, &c);
	if (c < least[k] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return k;
}

size_t moe_utf8_prefix(const char *p, size_t n)
{
	size_t i = 0, k;

	while (i < n && (k = sequence((const uint8_t *)p + i, n - i)))
		i += k;
	return i;
}

int moe_alphabet_decode(const char *p, size_t n, struct moe_buf *out, struct moe_err *e)
{
	size_t start = out->len;

	if (moe_buf_reserve(out, n, e))
		return -1;
	for (size_t i = 0; i < n;) {
		uint32_t c;
		int b;

		i += moe_utf8_get(p + i, &c);
		b = moe_alphabet_byte(c);
		if (b < 0) {
			out->len = start;
			return moe_buf_add(out, p, n, e);
		}
		out->data[out->len++] = (uint8_t)b;
	}
	return 0;
}

int moe_alphabet_encode(const void *p, size_t n, struct moe_buf *out, struct moe_err *e)
{
	const uint8_t *s = p;

	if (n > SIZE_MAX / 2 || moe_buf_reserve(out, 2 * n, e))
		return n > SIZE_MAX / 2
			? moe_fail(e, MOE_SYSTEM, "a text of %zu bytes is too long", n)
			: -1;
	for (size_t i = 0; i < n; i++)
		out->len += moe_utf8_put(moe_alphabet_char(s[i]), (char *)out->data + out->len);
	return 0;
}
