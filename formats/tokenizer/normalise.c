/* normalise.c - NFC and its relatives as the reference library computes them: utf8proc, held to the
 * characters of Unicode 9. */
#include "formats/tokenizer/tok.h"
#include "formats/tokenizer/unicode_norm.h"

#include <stdlib.h>
#include <string.h>
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
	return lo < sizeof(not_normalised) / sizeof(not_normalised[0]) &&
		c >= not_normalised[lo][0];
}

struct text {
	int32_t *c, *tmp; /* code points; as many for sorting */
	size_t n, cap;
};

static int room(struct text *t, size_t more, struct moe_err *e)
{
	size_t cap = t->cap ? t->cap : 256;
	int32_t *q;

	if (t->n + more <= t->cap)
		return 0;
	while (cap < t->n + more)
		cap *= 2;
	q = cap < SIZE_MAX / 2 / sizeof(*q) ? realloc(t->c, cap * sizeof(*q)) : NULL;
	if (!q)
		return moe_fail(e, MOE_SYSTEM, "out of memory in the tokenizer");
	t->c = q;
	t->cap = cap;
	return 0;
}

static int decompose(struct text *t, int option, const char *p, size_t n, struct moe_err *e)
{
	int boundary = 0;

	for (size_t i = 0; i < n;) {
		utf8proc_ssize_t k;
		uint32_t c;

		i += moe_utf8_get(p + i, &c);
		if (room(t, 32, e)) /* the longest decomposition has 18 */
			return -1;
		k = utf8proc_decompose_char(
			(utf8proc_int32_t)c, t->c + t->n, 32, (utf8proc_option_t)option, &boundary);
		if (k < 0 || k > 32)
			return moe_fail(
				e, MOE_DATA, "a text cannot be normalised: %s", utf8proc_errmsg(k));
		t->n += (size_t)k;
	}
	return 0;
}

static int class_of(int32_t c)
{
	return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class;
}

/* Marks c[n] into the order of their combining classes, equal ones as they came, in linear time:
 * texts with a million marks exist. */
static void sort_marks(int32_t *c, size_t n, int32_t *tmp)
{
	size_t at[257] = { 0 };

	for (size_t i = 0; i < n; i++)
		at[class_of(c[i]) + 1]++;
	for (int k = 0; k < 256; k++)
		at[k + 1] += at[k];
	for (size_t i = 0; i < n; i++)
		tmp[at[class_of(c[i])]++] = c[i];
	memcpy(c, tmp, n * sizeof(*c));
}

static int reorder(struct text *t, struct moe_err *e)
{
	size_t i = 0;

	while (i < t->n) {
		size_t from = i;
		bool sorted = true;

		for (int k, last = 0; i < t->n && (k = class_of(t->c[i])) > 0; last = k, i++)
			sorted &= k >= last;
		if (!sorted && !t->tmp && !(t->tmp = malloc(t->n * sizeof(*t->tmp))))
			return moe_fail(e, MOE_SYSTEM, "out of memory in the tokenizer");
		if (!sorted)
			sort_marks(t->c + from, i - from, t->tmp);
		i += i == from;
	}
	return 0;
}

/* utf8proc does the same at one call, but sorts in quadratic time. */
static int run(enum moe_norm form, const char *p, size_t n, struct moe_buf *out, struct moe_err *e)
{
	static const int option[] = {
		[MOE_NORM_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
		[MOE_NORM_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
		[MOE_NORM_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
		[MOE_NORM_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
	};
	struct text t = { 0 };
	utf8proc_ssize_t len = 0;
	int r = decompose(&t, option[form], p, n, e) || reorder(&t, e) ? -1 : 0;

	if (!r && t.n &&
		(len = utf8proc_normalize_utf32(
			 t.c, (utf8proc_ssize_t)t.n, (utf8proc_option_t)option[form])) < 0)
		r = moe_fail(e, MOE_DATA, "a text cannot be normalised: %s", utf8proc_errmsg(len));
	if (!r)
		r = moe_buf_reserve(out, 4 * (size_t)len, e);
	for (utf8proc_ssize_t i = 0; !r && i < len; i++)
		out->len += moe_utf8_put((uint32_t)t.c[i], (char *)out->data + out->len);
	free(t.c);
	free(t.tmp);
	return r;
}

/* A character that the reference does not know is a starter that composes with nothing: it goes out
 * as it is, between two runs. */
int moe_normalise(
	enum moe_norm form, const char *p, size_t n, struct moe_buf *out, struct moe_err *e)
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
