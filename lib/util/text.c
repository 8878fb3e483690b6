/* text.c - UTF-8 validation and escaping. It knows nothing about Unicode properties or normal
 * forms. */
#include "util/text.h"

#include <stdio.h>
#include <string.h>

size_t moe_utf8_len(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char lo = 0x80, hi = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	/* the second byte's range excludes overlong forms, surrogates and code points above
	 * U+10FFFF */
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool moe_utf8_valid(const char *p, size_t n)
{
	while (n) {
		size_t k;

		if ((unsigned char)*p < 0x80) {
			p++;
			n--;
			continue;
		}
		k = moe_utf8_len(p, n);
		if (!k)
			return false;
		p += k;
		n -= k;
	}
	return true;
}

unsigned moe_utf8_decode(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	if (len == 1)
		return p[0];
	if (len == 2)
		return (p[0] & 0x1fU) << 6 | (p[1] & 0x3fU);
	if (len == 3)
		return (p[0] & 0x0fU) << 12 | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU);
	return (p[0] & 0x07U) << 18 | (p[1] & 0x3fU) << 12 | (p[2] & 0x3fU) << 6 | (p[3] & 0x3fU);
}

bool moe_text_hostile(unsigned c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
		(c >= 0x2066 && c <= 0x2069);
}

const char *moe_text_fit(char *out, size_t cap, const char *z, size_t min, size_t max)
{
	size_t at = 0, n = strlen(z), columns = 0;

	for (; n && columns < max; columns++) {
		size_t k = moe_utf8_len(z, n);

		if (!k)
			k = 1;
		if (at + k >= cap)
			break;
		memcpy(out + at, z, k);
		at += k;
		z += k;
		n -= k;
	}
	for (; columns < min && at + 1 < cap; columns++)
		out[at++] = ' ';
	out[at] = 0;
	return out;
}

/* One escaped unit of p[n] into out[16]; returns the bytes consumed. */
static size_t unit(char out[16], const char *p, size_t n, bool exact)
{
	size_t len = moe_utf8_len(p, n);
	unsigned c = len ? moe_utf8_decode(p, len) : (unsigned char)*p;

	if (!len || (moe_text_hostile(c) && c < 0x100)) {
		if (len && c == '\n')
			snprintf(out, 16, "\\n");
		else if (len && c == '\t')
			snprintf(out, 16, "\\t");
		else if (len && c == '\r')
			snprintf(out, 16, "\\r");
		else
			snprintf(out, 16, "\\x%02x", c);
		return len ? len : 1;
	}
	if (moe_text_hostile(c))
		snprintf(out, 16, "\\u{%x}", c);
	else if (exact && c == '\\')
		snprintf(out, 16, "\\\\");
	else {
		memcpy(out, p, len);
		out[len] = 0;
	}
	return len;
}

int moe_text_escape(struct moe_buf *out, const char *p, size_t n, bool exact, struct moe_err *e)
{
	while (n) {
		char u[16];
		size_t k = unit(u, p, n, exact);

		if (moe_buf_add(out, u, strlen(u), e))
			return -1;
		p += k;
		n -= k;
	}
	return 0;
}

int moe_text_escape_invalid(struct moe_buf *out, const char *p, size_t n, struct moe_err *e)
{
	while (n) {
		size_t k = moe_utf8_len(p, n);

		if (k ? moe_buf_add(out, p, k, e)
		      : moe_buf_addf(out, e, "\\x%02x", (unsigned char)*p))
			return -1;
		p += k ? k : 1;
		n -= k ? k : 1;
	}
	return 0;
}

int moe_text_lines(
	struct moe_buf *out, const char *p, size_t n, const char *indent, struct moe_err *e)
{
	for (size_t i = 0; i < n;) {
		size_t k = i;

		while (k < n && p[k] != '\n' && p[k] != '\t')
			k++;
		bool crlf = k < n && p[k] == '\n' && k > i && p[k - 1] == '\r';
		if (moe_text_escape(out, p + i, k - i - crlf, false, e))
			return -1;
		if (k < n &&
			moe_buf_addf(out, e, "%s%s", p[k] == '\n' ? "\n" : "    ",
				p[k] == '\n' ? indent : ""))
			return -1;
		i = k + 1;
	}
	return 0;
}

void moe_text_escape_to(char *out, size_t cap, const char *p, size_t n)
{
	size_t at = 0, keep = 0; /* keep: the last place where "..." still fits */

	while (n) {
		char u[16];
		size_t k = unit(u, p, n, false), len = strlen(u);

		if (at + len >= cap) {
			at = keep;
			snprintf(out + at, cap - at, "...");
			return;
		}
		memcpy(out + at, u, len);
		at += len;
		if (at + 4 <= cap)
			keep = at;
		p += k;
		n -= k;
	}
	out[at] = 0;
}
