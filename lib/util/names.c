/* names.c - an interning table with open addressing. Strings are never removed. */
#include "util/names.h"

#include "util/rng.h"
#include "util/text.h"

#include <stdlib.h>
#include <string.h>

void moe_names_free(struct moe_names *t)
{
	free(t->v);
	free(t->slot);
	memset(t, 0, sizeof *t);
}

char *moe_arena_str(struct moe_arena *a, const char *p, size_t n, struct moe_err *e)
{
	char *s = moe_arena_get(a, n + 1, 1, e);

	if (!s)
		return NULL;
	if (n)
		memcpy(s, p, n);
	s[n] = 0;
	return s;
}

int moe_grow(void **v, size_t n, size_t *cap, size_t size, struct moe_err *e)
{
	if (n < *cap)
		return 0;
	size_t want, bytes;
	if (!moe_mul(*cap ? *cap : 8, 2, &want) || !moe_mul(want, size, &bytes))
		return moe_fail(e, MOE_SYSTEM, "too many elements for memory");
	void *p = realloc(*v, bytes);
	if (!p)
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu bytes", bytes);
	*v = p;
	*cap = want;
	return 0;
}

/* Slot that holds the string or the free one where it belongs. The table is never full. */
static size_t find_slot(const struct moe_names *t, const char *p, size_t n)
{
	size_t at = (size_t)moe_hash64(p, n) & (t->n_slot - 1);

	for (;; at = (at + 1) & (t->n_slot - 1)) {
		if (!t->slot[at])
			return at;
		const char *s = t->v[t->slot[at] - 1];
		if (!strncmp(s, p, n) && !s[n])
			return at;
	}
}

static int rehash(struct moe_names *t, struct moe_err *e)
{
	size_t n_slot = t->n_slot ? t->n_slot * 2 : 64;
	uint32_t *slot = calloc(n_slot, sizeof *slot);

	if (!slot)
		return moe_fail(e, MOE_SYSTEM, "out of memory for a table of %zu names", n_slot);
	free(t->slot);
	t->slot = slot;
	t->n_slot = n_slot;
	for (size_t i = 0; i < t->n; i++)
		t->slot[find_slot(t, t->v[i], strlen(t->v[i]))] = (uint32_t)i + 1;
	return 0;
}

int64_t moe_names_add(
	struct moe_names *t, struct moe_arena *a, const char *p, size_t n, struct moe_err *e)
{
	if (n && memchr(p, 0, n))
		return moe_fail(e, MOE_DATA, "a name holds a NUL byte");
	if (2 * (t->n + 1) > t->n_slot && rehash(t, e))
		return -1;
	size_t at = find_slot(t, n ? p : "", n);
	if (t->slot[at])
		return t->slot[at] - 1;
	if (t->n >= UINT32_MAX - 1)
		return moe_fail(e, MOE_DATA, "more than %u names", UINT32_MAX - 1);
	if (moe_grow((void **)&t->v, t->n, &t->cap, sizeof *t->v, e))
		return -1;
	t->v[t->n] = moe_arena_str(a, p, n, e);
	if (!t->v[t->n])
		return -1;
	t->slot[at] = (uint32_t)++t->n;
	return (int64_t)t->n - 1;
}

int64_t moe_names_add_text(
	struct moe_names *t, struct moe_arena *a, const char *p, size_t n, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int64_t at = moe_text_escape(&b, p, n, true, e)
		? -1
		: moe_names_add(t, a, (const char *)b.data, b.len, e);

	moe_buf_free(&b);
	return at;
}

int64_t moe_names_find(const struct moe_names *t, const char *z)
{
	if (!t->n_slot)
		return -1;
	return (int64_t)t->slot[find_slot(t, z, strlen(z))] - 1;
}
