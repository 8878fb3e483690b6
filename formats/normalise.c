/* normalise.c - NFC and its relatives as the reference library computes them: utf8proc, held to the characters of Unicode 9. */
#include "formats/tok.h"
#include "formats/unicode_norm.h"

#include <stdlib.h>
#include <utf8proc.h>

static bool unknown(uint32_t c)
{
	size_t lo = 0, hi = sizeof(not_normalised) / sizeof(not_normalised[0]);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (c > not_normalised[mid][1])
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < sizeof(not_normalised) / sizeof(not_normalised[0]) && c >= not_normalised[lo][0];
}

static int run(enum moe_norm form, const char *p, size_t n, struct moe_buf *out, struct moe_err *e)
{
	static const utf8proc_option_t option[] = {
		[MOE_NORM_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
		[MOE_NORM_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
		[MOE_NORM_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
		[MOE_NORM_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
	};
	utf8proc_uint8_t *q = NULL;
	utf8proc_ssize_t len;
	int r;

	len = n ? utf8proc_map((const utf8proc_uint8_t *)p, (utf8proc_ssize_t)n, &q, option[form]) : 0;
	if (len < 0)
		return moe_fail(e, len == UTF8PROC_ERROR_NOMEM ? MOE_SYSTEM : MOE_DATA, "a text cannot be normalised: %s", utf8proc_errmsg(len));
	r = moe_buf_add(out, q, (size_t)len, e);
	free(q);
	return r;
}

/* A character that the reference does not know is a starter that composes with nothing: it goes out as it is, between two runs. */
int moe_normalise(enum moe_norm form, const char *p, size_t n, struct moe_buf *out, struct moe_err *e)
{
	size_t done = 0, i = 0, k;
	bool ascii = true;

	for (size_t a = 0; a < n && ascii; a++)
		ascii = (uint8_t)p[a] < 0x80;
	if (ascii || form == MOE_NORM_NONE)
		return moe_buf_add(out, p, n, e);
	for (; i < n; i += k) {
		uint32_t c;

		k = moe_utf8_get(p + i, &c);
		if (c < 0x300 || !unknown(c))
			continue;
		if (run(form, p + done, i - done, out, e) || moe_buf_add(out, p + i, k, e))
			return -1;
		done = i + k;
	}
	return run(form, p + done, n - done, out, e);
}
