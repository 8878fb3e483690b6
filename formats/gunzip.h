/* gunzip.h - what gzip members, one behind another, hold; every member's CRC-32 and length are
 * verified (RFC 1952).
 *
 * libarchive 3.6 does not verify them, and ends silently where the next member is cut off in its
 * header; hence zlib. Behind the last member zeros may follow (padding), and nothing else. Not
 * thread-safe.
 */
#ifndef MOE_FORMATS_GUNZIP_H
#define MOE_FORMATS_GUNZIP_H

#include "util/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Gives the next compressed bytes at *p, borrowed until the next call: how many, 0 at the end, -1.
 */
typedef ssize_t moe_next_block(void *from, const uint8_t **p, struct moe_err *e);

struct moe_gunzip;
struct moe_gunzip *moe_gunzip_new(moe_next_block *next, void *from, struct moe_err *e);
void moe_gunzip_free(struct moe_gunzip *g); /* NULL is accepted */
/* Up to n > 0 bytes as soon as there are any; 0 at the end; -1. name is the input's, for messages.
 */
ssize_t moe_gunzip_read(
	struct moe_gunzip *g, void *p, size_t n, const char *name, struct moe_err *e);

#endif
