/* mem.h - checked sizes, aligned blocks, and the arena (run and step lifetimes).
 *
 * Nothing here aborts: an overflow or a failed allocation is an error of class MOE_SYSTEM.
 */
#ifndef MOE_UTIL_MEM_H
#define MOE_UTIL_MEM_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>

/* out = a*b or a+b; false on overflow (out untouched). */
static inline bool moe_mul(size_t a, size_t b, size_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}
static inline bool moe_add(size_t a, size_t b, size_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

/* Zeroed, 64-byte aligned block of n*size bytes, released with free(). NULL and *e on failure.
 * n*size may be 0. */
void *moe_alloc(size_t n, size_t size, struct moe_err *e);
/* The same, aligned as malloc does, for what an input declares before it brings it: large blocks
 * take memory where they are written only. */
void *moe_alloc_declared(size_t n, size_t size, struct moe_err *e);

/* An arena: many blocks, one lifetime. Zero-initialise; moe_arena_free accepts a zeroed struct.
 * moe_arena_reset keeps the memory for the next step and invalidates all blocks handed out. */
struct moe_arena_chunk;
struct moe_arena {
	struct moe_arena_chunk *first, *now;
	size_t used_bytes, peak_bytes;
};
/* Not zeroed, 64-byte aligned, owned by the arena. */
void *moe_arena_get(struct moe_arena *a, size_t n, size_t size, struct moe_err *e);
void moe_arena_reset(struct moe_arena *a);
void moe_arena_free(struct moe_arena *a);

#endif
