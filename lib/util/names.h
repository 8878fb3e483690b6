/* names.h - strings to small numbers and back, in order of first appearance.
 *
 * Strings are copied into the caller's arena and live as long as it does. Zero-initialise;
 * moe_names_free accepts a zeroed struct and releases the table only. Not thread-safe.
 */
#ifndef MOE_UTIL_NAMES_H
#define MOE_UTIL_NAMES_H

#include "util/err.h"
#include "util/mem.h"

#include <stddef.h>
#include <stdint.h>

struct moe_names {
	const char **v; /* [n], NUL-terminated; v[i] is the string with number i */
	size_t n, cap;
	uint32_t *slot; /* [n_slot] number + 1, 0 = free */
	size_t n_slot;
};

void moe_names_free(struct moe_names *t);
/* Number of the n bytes at p (a NUL byte inside is an error), added when new; -1 and *e on failure.
 */
int64_t moe_names_add(
	struct moe_names *t, struct moe_arena *a, const char *p, size_t n, struct moe_err *e);
/* The same for text that may be hostile, escaped as moe_text_escape does (exact): it can be shown,
 * and different texts stay different. */
int64_t moe_names_add_text(
	struct moe_names *t, struct moe_arena *a, const char *p, size_t n, struct moe_err *e);
/* Number of z, or -1. */
int64_t moe_names_find(const struct moe_names *t, const char *z);

/* A NUL-terminated copy in the arena. */
char *moe_arena_str(struct moe_arena *a, const char *p, size_t n, struct moe_err *e);

/* Makes room for one more element of *v (n used, *cap there): doubles with realloc. */
int moe_grow(void **v, size_t n, size_t *cap, size_t size, struct moe_err *e);

#endif
