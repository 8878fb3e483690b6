/* buf.c - a growable byte buffer. */
#include "util/buf.h"
#include "util/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int moe_buf_reserve(struct moe_buf *b, size_t n, struct moe_err *e)
{
	size_t want, cap = b->cap ? b->cap : 256;
	uint8_t *p;

	if (!moe_add(b->len, n, &want))
		return moe_fail(e, MOE_SYSTEM,
			"out of memory: a buffer of %zu + %zu bytes was asked for", b->len, n);
	if (want <= b->cap)
		return 0;
	while (cap < want)
		if (!moe_mul(cap, 2, &cap)) {
			cap = want;
			break;
		}
	p = realloc(b->data, cap);
	if (!p)
		return moe_fail(
			e, MOE_SYSTEM, "out of memory: a buffer of %zu bytes was asked for", cap);
	b->data = p;
	b->cap = cap;
	return 0;
}

int moe_buf_add(struct moe_buf *b, const void *p, size_t n, struct moe_err *e)
{
	if (moe_buf_reserve(b, n, e))
		return -1;
	if (n)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	return 0;
}

int moe_buf_addf(struct moe_buf *b, struct moe_err *e, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || moe_buf_reserve(b, (size_t)n + 1, e)) {
		va_end(again);
		return n < 0 ? moe_fail(e, MOE_SYSTEM, "a text could not be formatted") : -1;
	}
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
	va_end(again);
	b->len += (size_t)n;
	return 0;
}

const char *moe_buf_cstr(struct moe_buf *b, struct moe_err *e)
{
	if (moe_buf_reserve(b, 1, e))
		return NULL;
	b->data[b->len] = 0;
	return (const char *)b->data;
}

void moe_buf_drop(struct moe_buf *b, size_t n)
{
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

void moe_buf_free(struct moe_buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}
