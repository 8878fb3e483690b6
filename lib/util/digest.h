/* digest.h - SHA-256 (FIPS 180-4), through nettle, which uses the processor's instructions where it
 * can. */
#ifndef MOE_UTIL_DIGEST_H
#define MOE_UTIL_DIGEST_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOE_SHA256_BYTES 32
#define MOE_SHA256_HEX   65 /* with the final NUL */

/* Room for nettle's state, so that its header stays out of this one. Not thread-safe; may be
 * copied. */
struct moe_sha256 {
	uint64_t opaque[16];
};
void moe_sha256_init(struct moe_sha256 *s);
void moe_sha256_add(struct moe_sha256 *s, const void *p, size_t n);
/* Ends the computation and starts a new one. */
void moe_sha256_end(struct moe_sha256 *s, uint8_t out[MOE_SHA256_BYTES]);
/* The same as 64 hexadecimal digits and a NUL. */
void moe_sha256_hex(struct moe_sha256 *s, char out[MOE_SHA256_HEX]);

/* Whether p[n] can be one: 64 lower-case hexadecimal digits. */
bool moe_sha256_is_hex(const char *p, size_t n);

/* In one call: of a block, and of a file's content. */
void moe_sha256_of(const void *p, size_t n, char out[MOE_SHA256_HEX]);
int moe_sha256_of_fd(int fd, const char *name, char out[MOE_SHA256_HEX], struct moe_err *e);

#endif
