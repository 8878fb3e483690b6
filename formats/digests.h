/* digests.h - a list of SHA-256 digests in the order in which they came, that can be searched.
 *
 * Adding and finding take constant time on average. Zero-initialise; moe_digests_free accepts a
 * zeroed struct. Not thread-safe. A digest is 64 hexadecimal digits and a NUL; "" stands for a
 * segment whose digest is not known, and is never found.
 */
#ifndef MOE_FORMATS_DIGESTS_H
#define MOE_FORMATS_DIGESTS_H

#include "util/digest.h"

struct moe_digests {
	char (*v)[MOE_SHA256_HEX]; /* [n], owned */
	size_t n, cap;
	size_t *slot; /* [n_slot], open addressing: index + 1, 0 = free */
	size_t n_slot;
};

void moe_digests_free(struct moe_digests *d);
/* Appends hex, which may be there already. MOE_SYSTEM when out of memory. */
int moe_digests_add(struct moe_digests *d, const char *hex, struct moe_err *e);
/* Index of the first that equals hex; SIZE_MAX when there is none. */
size_t moe_digests_find(const struct moe_digests *d, const char *hex);

#endif
