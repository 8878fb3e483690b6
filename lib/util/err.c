/* err.c - composes error sentences. It never prints them. */
#include "util/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WHOLE 8192 /* longer than a sentence with the longest path in it */
#define TAIL  240  /* of a sentence that is too long this much of its end is kept */

static bool within_character(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* The sentence into msg. Of one that is too long the midst is left out, since names stand before
 * what is wrong with them; UTF-8 stays whole. */
static void put(struct moe_err *e, const char *s)
{
	size_t n = strlen(s), head = sizeof(e->msg) - 1 - 3 - TAIL, tail = TAIL;

	if (n < sizeof(e->msg)) {
		memcpy(e->msg, s, n + 1);
		return;
	}
	while (head && within_character(s[head]))
		head--;
	while (tail && within_character(s[n - tail]))
		tail--;
	memcpy(e->msg, s, head);
	memcpy(e->msg + head, "...", 3);
	memcpy(e->msg + head + 3, s + n - tail, tail + 1);
}

int moe_fail(struct moe_err *e, enum moe_code code, const char *fmt, ...)
{
	int keep = errno;
	char s[WHOLE];
	va_list ap;

	if (!e)
		return -1;
	e->code = code;
	e->sys = 0;
	va_start(ap, fmt);
	vsnprintf(s, sizeof(s), fmt, ap);
	va_end(ap);
	put(e, s);
	errno = keep;
	return -1;
}

int moe_fail_errno(struct moe_err *e, const char *fmt, ...)
{
	int keep = errno;
	char s[WHOLE];
	va_list ap;
	size_t n;

	if (!e)
		return -1;
	e->code = MOE_SYSTEM;
	e->sys = keep;
	va_start(ap, fmt);
	vsnprintf(s, sizeof(s) - 128, fmt, ap);
	va_end(ap);
	n = strlen(s);
	snprintf(s + n, sizeof(s) - n, ": %s", strerror(keep));
	put(e, s);
	errno = keep;
	return -1;
}

int moe_err_prefix(struct moe_err *e, const char *fmt, ...)
{
	char s[WHOLE];
	va_list ap;
	size_t n;

	if (!e)
		return -1;
	va_start(ap, fmt);
	vsnprintf(s, sizeof(s) - sizeof(e->msg) - 2, fmt, ap);
	va_end(ap);
	n = strlen(s);
	snprintf(s + n, sizeof(s) - n, ": %s", e->msg);
	put(e, s);
	return -1;
}
