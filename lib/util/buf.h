/* buf.h - a growable byte buffer (the stream window lifetime).
 *
 * Zero-initialise; moe_buf_free accepts a zeroed struct. `data` is owned by the buffer and moves
 * when it grows.
 */
#ifndef MOE_UTIL_BUF_H
#define MOE_UTIL_BUF_H

#include "util/err.h"

#include <stddef.h>
#include <stdint.h>

struct moe_buf {
	uint8_t *data;
	size_t len, cap;
};

/* Makes room for n more bytes. */
int moe_buf_reserve(struct moe_buf *b, size_t n, struct moe_err *e);
int moe_buf_add(struct moe_buf *b, const void *p, size_t n, struct moe_err *e);
int moe_buf_addf(struct moe_buf *b, struct moe_err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Appends a NUL that len does not count, and returns the text; NULL on failure. */
const char *moe_buf_cstr(struct moe_buf *b, struct moe_err *e);
/* Removes the first n bytes. */
void moe_buf_drop(struct moe_buf *b, size_t n);
void moe_buf_free(struct moe_buf *b);

#endif
