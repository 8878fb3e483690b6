/* digests.c - digests in order, with a hash table over them. It does not compute digests. */
#include "formats/digests.h"
#include "util/rng.h"

#include <stdlib.h>
#include <string.h>

void moe_digests_free(struct moe_digests *d)
{
	free(d->v);
	free(d->slot);
	memset(d, 0, sizeof(*d));
}

/* Where hex is, or the free slot where it would be. At least one slot is free. */
static size_t place(const struct moe_digests *d, const char *hex)
{
	size_t i = (size_t)moe_hash64(hex, strlen(hex)) & (d->n_slot - 1);

	while (d->slot[i] && strcmp(d->v[d->slot[i] - 1], hex) != 0)
		i = (i + 1) & (d->n_slot - 1);
	return i;
}

static void note(struct moe_digests *d, size_t i)
{
	size_t at = place(d, d->v[i]);

	if (!d->slot[at] && *d->v[i])
		d->slot[at] = i + 1;
}

static int grow(struct moe_digests *d, struct moe_err *e)
{
	size_t cap = d->cap ? 2 * d->cap : 4;
	void *v = realloc(d->v, cap * sizeof(*d->v));
	size_t *slot;

	if (v)
		d->v = v;
	slot = v ? calloc(2 * cap, sizeof(*slot)) : NULL;
	if (!slot)
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu digests", cap);
	free(d->slot);
	d->slot = slot;
	d->cap = cap;
	d->n_slot = 2 * cap;
	for (size_t i = 0; i < d->n; i++)
		note(d, i);
	return 0;
}

int moe_digests_add(struct moe_digests *d, const char *hex, struct moe_err *e)
{
	if (strlen(hex) >= MOE_SHA256_HEX)
		return moe_fail(e, MOE_DATA, "a digest of %zu characters; SHA-256 has %d",
			strlen(hex), MOE_SHA256_HEX - 1);
	if (d->n == d->cap && grow(d, e))
		return -1;
	memcpy(d->v[d->n], hex, strlen(hex) + 1);
	note(d, d->n++);
	return 0;
}

size_t moe_digests_find(const struct moe_digests *d, const char *hex)
{
	size_t at;

	if (!d->n_slot || !*hex)
		return SIZE_MAX;
	at = place(d, hex);
	return d->slot[at] ? d->slot[at] - 1 : SIZE_MAX;
}
