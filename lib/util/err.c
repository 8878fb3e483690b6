/* err.c - composes error sentences. It never prints them. */
#include "util/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int moe_fail(struct moe_err *e, enum moe_code code, const char *fmt, ...)
{
	int keep = errno;
	va_list ap;

	if (!e)
		return -1;
	e->code = code;
	e->sys = 0;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	errno = keep;
	return -1;
}

int moe_fail_errno(struct moe_err *e, const char *fmt, ...)
{
	int keep = errno;
	va_list ap;
	size_t n;

	if (!e)
		return -1;
	e->code = MOE_SYSTEM;
	e->sys = keep;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", strerror(keep));
	errno = keep;
	return -1;
}

int moe_err_prefix(struct moe_err *e, const char *fmt, ...)
{
	char old[sizeof(e->msg)];
	va_list ap;
	size_t n;

	if (!e)
		return -1;
	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", old);
	return -1;
}
