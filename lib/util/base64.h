/* base64.h - RFC 4648 section 4 base64, with padding. Pure functions; thread-safe. */
#ifndef MOE_UTIL_BASE64_H
#define MOE_UTIL_BASE64_H

#include "util/buf.h"

/* Appends the text of p[n]. */
int moe_base64_encode(const void *p, size_t n, struct moe_buf *out, struct moe_err *e);
/* Appends the bytes of the text p[n]. Only the one canonical text of some bytes is accepted: no
 * white space, full padding, zero unused bits (MOE_DATA otherwise). */
int moe_base64_decode(const char *p, size_t n, struct moe_buf *out, struct moe_err *e);

#endif
