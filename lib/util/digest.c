/* digest.c - SHA-256 on nettle; no other hash and no keys. */
#include "util/digest.h"
#include "util/fd.h"

#include <stdlib.h>

#include <nettle/sha2.h>

_Static_assert(sizeof(struct sha256_ctx) <= sizeof(struct moe_sha256), "nettle's state fits");

static struct sha256_ctx *ctx(struct moe_sha256 *s)
{
	return (struct sha256_ctx *)(void *)s->opaque;
}

void moe_sha256_init(struct moe_sha256 *s)
{
	sha256_init(ctx(s));
}

void moe_sha256_add(struct moe_sha256 *s, const void *p, size_t n)
{
	if (n)
		sha256_update(ctx(s), n, p);
}

void moe_sha256_end(struct moe_sha256 *s, uint8_t out[MOE_SHA256_BYTES])
{
	sha256_digest(ctx(s), MOE_SHA256_BYTES, out);
}

void moe_sha256_hex(struct moe_sha256 *s, char out[MOE_SHA256_HEX])
{
	static const char digit[] = "0123456789abcdef";
	uint8_t d[MOE_SHA256_BYTES];

	moe_sha256_end(s, d);
	for (size_t i = 0; i < sizeof(d); i++) {
		out[2 * i] = digit[d[i] >> 4];
		out[2 * i + 1] = digit[d[i] & 15];
	}
	out[2 * sizeof(d)] = 0;
}

bool moe_sha256_is_hex(const char *p, size_t n)
{
	for (size_t i = 0; n == 2 * (size_t)MOE_SHA256_BYTES && i < n; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
	return n == 2 * (size_t)MOE_SHA256_BYTES;
}

void moe_sha256_of(const void *p, size_t n, char out[MOE_SHA256_HEX])
{
	struct moe_sha256 s;

	moe_sha256_init(&s);
	moe_sha256_add(&s, p, n);
	moe_sha256_hex(&s, out);
}

int moe_sha256_of_fd(int fd, const char *name, char out[MOE_SHA256_HEX], struct moe_err *e)
{
	size_t cap = (size_t)1 << 18;
	unsigned char *buf = malloc(cap);
	struct moe_sha256 s;
	ssize_t got;

	if (!buf)
		return moe_fail(e, MOE_SYSTEM, "out of memory: %zu bytes were asked for", cap);
	moe_sha256_init(&s);
	do {
		got = moe_fd_read(fd, buf, cap);
		if (got > 0)
			moe_sha256_add(&s, buf, (size_t)got);
	} while (got > 0);
	if (got < 0)
		moe_fail_errno(e, "%s: reading failed", name);
	else
		moe_sha256_hex(&s, out);
	free(buf);
	return got < 0 ? -1 : 0;
}
