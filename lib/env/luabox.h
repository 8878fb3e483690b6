/* luabox.h - a Lua state that is an image: bounded memory, bounded instructions, put back in
 * microseconds. Internal to lib/env.
 *
 * All memory of the state lies in one mapping. After set-up the used part is copied away
 * (moe_lua_freeze); moe_lua_reset copies it back, so that every run starts from the same bytes and
 * nothing leaks from one run into the next. The garbage collector is stopped and runs only when the
 * memory limit is reached; finalizers (__gc) never run. Libraries: base, string, table, math and
 * utf8 without load, dofile, loadfile, require, collectgarbage, string.dump and math.randomseed.
 * What would differ from run to run is replaced: pairs and next go in the order of the keys, text
 * never shows an address, math.random is counter-based. Not thread-safe.
 */
#ifndef MOE_ENV_LUABOX_H
#define MOE_ENV_LUABOX_H

#include "formats/rec.h"
#include "util/err.h"
#include "util/rng.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOE_LUA_SMALL 64 /* size classes of 16 bytes */
#define MOE_LUA_LARGE 48 /* size classes that are powers of two */

/* The allocator's state; part of the image. */
struct moe_lua_heap {
	size_t top; /* bytes handed out from the mapping's start */
	void *small[MOE_LUA_SMALL + 1], *large[MOE_LUA_LARGE]; /* free blocks */
};

enum moe_lua_stop { MOE_LUA_RUNS, MOE_LUA_STEPS, MOE_LUA_MEMORY };

struct moe_lua {
	lua_State *L;
	uint8_t *base; /* the mapping */
	size_t cap;
	struct moe_lua_heap heap, heap_image;
	uint8_t *image;     /* copy of base[0, heap_image.top) */
	uint64_t churn_max; /* bytes that one run may ask for in all */
	uint64_t churn;
	int64_t steps;          /* instructions left */
	enum moe_lua_stop stop; /* which limit was reached */
	struct moe_rng rng;     /* math.random */
	uint64_t rng_a, rng_b;
	void *user; /* of whoever owns the state */
};

/* A new state with the libraries. mem_bytes = size of the mapping. */
int moe_lua_open(struct moe_lua *l, size_t mem_bytes, struct moe_err *e);
void moe_lua_close(struct moe_lua *l); /* accepts a zeroed struct */
/* The state as it stands becomes the image. */
int moe_lua_freeze(struct moe_lua *l, struct moe_err *e);
/* Back to the image, with `steps` instructions to go. */
void moe_lua_reset(struct moe_lua *l, uint64_t steps);
/* Runs fn(L) protected, with `arg` as its light userdata argument and up to nret results left on
 * the stack. Returns Lua's status; on failure the message (a string, or nil when the error was not
 * one) is on the stack. The hook is on meanwhile. */
int moe_lua_call(struct moe_lua *l, lua_CFunction fn, void *arg, int nret);
struct moe_lua *moe_lua_of(lua_State *L);
/* Takes n instructions off the account (for work done in C). */
void moe_lua_charge(struct moe_lua *l, uint64_t n);
/* Before work of n instructions in C: raises when the account does not have them. */
void moe_lua_spend(lua_State *L, uint64_t n);
/* The message of a failed call as an error of class `code`, with what failed before it. */
int moe_lua_fail(struct moe_lua *l, struct moe_err *e, enum moe_code code, const char *what);

/* lualib.c: opens the libraries as described above (called protected by moe_lua_open). */
int moe_lua_libs(lua_State *L);

/* luacost.c: library functions that Lua has in C pay for what they do (called while the libraries
 * are opened; empties the stack). */
void moe_lua_cost(lua_State *L);

/* value.c: plain values between states. Copies the value at `i` of `from` onto the stack of `to`;
 * raises in `to` when it is no plain value (nil, boolean, number, string, tables of these without
 * cycles), nests deeper than 8 or holds more than 65,536 values. Never runs metamethods and never
 * raises in `from`. */
void moe_lua_copy(lua_State *to, lua_State *from, int i);
/* A record as a table (raises in L), and a table of plain values at `i` as record keys (except the
 * skipped ones; ends with NULL). */
void moe_lua_push_rec(lua_State *L, const struct moe_rec *r);
int moe_lua_to_rec(
	lua_State *L, int i, const char *const *skip, struct moe_rec *r, struct moe_err *e);

/* sandbox.c: the function `sandbox(source, ...)` of environments. */
struct moe_sandboxes;
struct moe_sandboxes *moe_sandboxes_new(size_t mem_bytes, uint64_t steps, struct moe_err *e);
void moe_sandboxes_free(struct moe_sandboxes *s);
/* Offers it in the host state (protected by the caller); s may be set later through host->user. */
int moe_sandbox_lua(lua_State *L);

#endif
