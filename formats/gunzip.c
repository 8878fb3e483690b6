/* gunzip.c - gzip members through zlib. It reads no file and knows no archive: see input.c and
 * bundle.c. */
#include "formats/gunzip.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

#define ZLIB_CONST
#include <zlib.h>

#define GZIP_ONLY (16 + MAX_WBITS) /* for inflateInit2: a gzip header must come, no zlib one */

struct moe_gunzip {
	z_stream z;
	moe_next_block *next;
	void *from;
	unsigned long long used; /* compressed bytes before z.next_in */
	bool between, padding;   /* no member is open; zeros have followed one */
	int bad;                 /* what zlib said, once it is no more Z_OK */
};

struct moe_gunzip *moe_gunzip_new(moe_next_block *next, void *from, struct moe_err *e)
{
	struct moe_gunzip *g = calloc(1, sizeof(*g));

	if (!g || inflateInit2(&g->z, GZIP_ONLY) != Z_OK) {
		free(g);
		moe_fail(e, MOE_SYSTEM, "out of memory for gzip data");
		return NULL;
	}
	g->next = next;
	g->from = from;
	return g;
}

void moe_gunzip_free(struct moe_gunzip *g)
{
	if (!g)
		return;
	inflateEnd(&g->z);
	free(g);
}

/* More compressed bytes: 1, 0 when there are none, -1. */
static int refill(struct moe_gunzip *g, struct moe_err *e)
{
	const uint8_t *p;
	ssize_t n = g->next(g->from, &p, e);

	if (n <= 0)
		return (int)n;
	g->z.next_in = p;
	g->z.avail_in = (uInt)n;
	return 1;
}

/* After a member: 1 when another begins, 0 at the end. */
static int next_member(struct moe_gunzip *g, const char *name, struct moe_err *e)
{
	int rc;

	for (;;) {
		if (!g->z.avail_in && (rc = refill(g, e)) <= 0)
			return rc;
		if (*g->z.next_in)
			break;
		g->padding = true;
		g->used++;
		g->z.next_in++;
		g->z.avail_in--;
	}
	if (g->padding || *g->z.next_in != 0x1f)
		return moe_fail(e, MOE_DATA,
			"%s: after the gzip data something else follows at byte %llu", name,
			g->used);
	inflateReset(&g->z);
	g->between = false;
	return 1;
}

static int inflate_fails(const struct moe_gunzip *g, int rc, const char *name, struct moe_err *e)
{
	if (rc == Z_MEM_ERROR)
		return moe_fail(e, MOE_SYSTEM, "%s: out of memory for gzip data", name);
	return moe_fail(e, MOE_DATA, "%s: damaged gzip data, at or before byte %llu: %s", name,
		g->used, g->z.msg ? g->z.msg : "unknown");
}

ssize_t moe_gunzip_read(
	struct moe_gunzip *g, void *p, size_t n, const char *name, struct moe_err *e)
{
	uInt room = n < UINT_MAX ? (uInt)n : UINT_MAX, had;
	int rc;

	if (g->bad)
		return inflate_fails(g, g->bad, name, e);
	g->z.next_out = p;
	g->z.avail_out = room;
	while (g->z.avail_out == room) {
		if (g->between) {
			if ((rc = next_member(g, name, e)) <= 0)
				return rc;
		} else if (!g->z.avail_in) {
			if ((rc = refill(g, e)) < 0)
				return -1;
			if (!rc)
				return moe_fail(e, MOE_DATA,
					"%s: truncated: the gzip data end at byte %llu, within a "
					"member",
					name, g->used);
		}
		had = g->z.avail_in;
		rc = inflate(&g->z, Z_NO_FLUSH);
		g->used += had - g->z.avail_in;
		if (rc == Z_STREAM_END)
			g->between = true;
		else if (rc != Z_OK) {
			g->bad = rc;
			return g->z.avail_out < room ? (ssize_t)(room - g->z.avail_out)
						     : inflate_fails(g, rc, name, e);
		}
	}
	return (ssize_t)(room - g->z.avail_out);
}
