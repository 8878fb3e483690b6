/* mem.c - aligned blocks and the chunked arena; no policy about who owns what. */
#include "util/mem.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN     ((size_t)64)
#define CHUNK_MIN ((size_t)1 << 20)

struct moe_arena_chunk {
	struct moe_arena_chunk *next;
	size_t size, used;
	unsigned char *data;
};

static bool round_up(size_t n, size_t *out)
{
	if (!moe_add(n, ALIGN - 1, out))
		return false;
	*out &= ~(ALIGN - 1);
	return true;
}

static void *none(size_t n, size_t size, struct moe_err *e)
{
	moe_fail(e, MOE_SYSTEM, "out of memory: %zu x %zu bytes were asked for", n, size);
	return NULL;
}

void *moe_alloc_declared(size_t n, size_t size, struct moe_err *e)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		return none(n, size, e);
	return p;
}

void *moe_alloc(size_t n, size_t size, struct moe_err *e)
{
	size_t bytes;
	void *p = NULL;

	if (moe_mul(n, size, &bytes) && round_up(bytes ? bytes : 1, &bytes))
		p = aligned_alloc(ALIGN, bytes);
	if (!p)
		return none(n, size, e);
	return memset(p, 0, bytes);
}

static struct moe_arena_chunk *chunk_new(size_t bytes, struct moe_err *e)
{
	struct moe_arena_chunk *c = calloc(1, sizeof(*c));

	if (bytes < CHUNK_MIN)
		bytes = CHUNK_MIN;
	if (c && !(c->data = aligned_alloc(ALIGN, bytes))) {
		free(c);
		c = NULL;
	}
	if (!c) {
		moe_fail(e, MOE_SYSTEM, "out of memory: %zu bytes were asked for", bytes);
		return NULL;
	}
	c->size = bytes;
	return c;
}

void *moe_arena_get(struct moe_arena *a, size_t n, size_t size, struct moe_err *e)
{
	struct moe_arena_chunk *c = a->now;
	size_t bytes;
	void *p;

	if (!moe_mul(n, size, &bytes) || !round_up(bytes ? bytes : 1, &bytes)) {
		moe_fail(e, MOE_SYSTEM, "out of memory: %zu x %zu bytes were asked for", n, size);
		return NULL;
	}
	while (c && c->size - c->used < bytes && c->next) {
		c = c->next;
		c->used = 0;
	}
	if (!c || c->size - c->used < bytes) {
		/* double, so that a step that grows needs few chunks */
		size_t want = a->used_bytes > bytes ? a->used_bytes : bytes;
		struct moe_arena_chunk *new = chunk_new(want, e);

		if (!new)
			return NULL;
		if (c)
			c->next = new;
		else
			a->first = new;
		c = new;
	}
	a->now = c;
	p = c->data + c->used;
	c->used += bytes;
	a->used_bytes += bytes;
	if (a->used_bytes > a->peak_bytes)
		a->peak_bytes = a->used_bytes;
	return p;
}

void moe_arena_reset(struct moe_arena *a)
{
	a->now = a->first;
	if (a->first)
		a->first->used = 0;
	a->used_bytes = 0;
}

void moe_arena_free(struct moe_arena *a)
{
	struct moe_arena_chunk *c = a->first, *next;

	for (; c; c = next) {
		next = c->next;
		free(c->data);
		free(c);
	}
	memset(a, 0, sizeof(*a));
}
