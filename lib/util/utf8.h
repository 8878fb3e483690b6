/* utf8.h - is it UTF-8? (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF.) Thread-safe. */
#ifndef MOE_UTIL_UTF8_H
#define MOE_UTIL_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Number of bytes of the longest valid prefix of p[n]; n when all of it is valid. */
size_t moe_utf8_prefix(const void *p, size_t n);
static inline bool moe_utf8_valid(const void *p, size_t n)
{
	return moe_utf8_prefix(p, n) == n;
}

#endif
