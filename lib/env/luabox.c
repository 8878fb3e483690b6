/* luabox.c - the image of a Lua state: its allocator, its instruction count, freezing and putting
 * back. Not the libraries (lualib.c), not the exchange of values (value.c). */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "env/luabox.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HOOK_EVERY 1000

static void count_hook(lua_State *L, lua_Debug *ar);

/* ---- allocator ---- */

static size_t large_class(size_t n)
{
	return (size_t)(64 - __builtin_clzll((unsigned long long)(n - 1)));
}

/* Bytes that a request of n takes. */
static size_t rounded(size_t n)
{
	if (n <= 16 * MOE_LUA_SMALL)
		return (n + 15) & ~(size_t)15;
	return (size_t)1 << large_class(n);
}

static void **free_list(struct moe_lua_heap *h, size_t size)
{
	return size <= 16 * MOE_LUA_SMALL ? &h->small[size / 16] : &h->large[large_class(size)];
}

static void *take(struct moe_lua *l, size_t n)
{
	size_t size = rounded(n);
	void **list = free_list(&l->heap, size), *p = *list;

	if (p) {
		memcpy(list, p, sizeof *list);
		return p;
	}
	if (size > l->cap - l->heap.top)
		return NULL;
	p = l->base + l->heap.top;
	l->heap.top += size;
	return p;
}

static void give(struct moe_lua *l, void *p, size_t n)
{
	void **list = free_list(&l->heap, rounded(n));

	memcpy(p, list, sizeof *list);
	*list = p;
}

static void *lua_memory(void *ud, void *p, size_t old, size_t n)
{
	struct moe_lua *l = ud;
	void *q;

	if (n == 0) {
		if (p && old)
			give(l, p, old);
		return NULL;
	}
	if (p && old && rounded(old) == rounded(n))
		return p;
	if (n > l->cap) {
		q = NULL;
	} else if (l->churn > l->churn_max) { /* enough is enough: the next instruction raises */
		q = NULL;
		if (l->L)
			lua_sethook(l->L, count_hook, LUA_MASKCOUNT, 1);
	} else {
		q = take(l, n);
	}
	if (!q) {
		if (p && n < old)
			return p; /* shrinking must not fail */
		l->steps -= (int64_t)(l->cap /
			1024); /* Lua now collects all garbage and asks again */
		return NULL;
	}
	l->churn += n;
	if (p && old) {
		memcpy(q, p, old < n ? old : n);
		give(l, p, old);
	}
	return q;
}

/* ---- instructions ---- */

struct moe_lua *moe_lua_of(lua_State *L)
{
	void *l;

	memcpy(&l, lua_getextraspace(L), sizeof(void *));
	return l;
}

/* Once the account is empty every further instruction raises, so that catching the error does not
 * buy another turn. */
static void count_hook(lua_State *L, lua_Debug *ar)
{
	struct moe_lua *l = moe_lua_of(L);

	(void)ar;
	l->steps -= HOOK_EVERY;
	if (l->steps > 0 && l->churn <= l->churn_max)
		return;
	lua_sethook(L, count_hook, LUA_MASKCOUNT, 1);
	l->stop = l->steps > 0 ? MOE_LUA_MEMORY : MOE_LUA_STEPS;
	luaL_error(L, "too many steps");
}

void moe_lua_charge(struct moe_lua *l, uint64_t n)
{
	l->steps -= n > INT32_MAX ? INT32_MAX : (int64_t)n;
}

void moe_lua_spend(lua_State *L, uint64_t n)
{
	struct moe_lua *l = moe_lua_of(L);

	l->steps -= n > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)n;
	if (l->steps > 0)
		return;
	lua_sethook(L, count_hook, LUA_MASKCOUNT, 1);
	l->stop = MOE_LUA_STEPS;
	luaL_error(L, "too many steps");
}

/* ---- life ---- */

static int panic(lua_State *L)
{
	(void)L;
	return 0; /* Lua then aborts: all entries are protected, so this is a broken invariant */
}

int moe_lua_open(struct moe_lua *l, size_t mem_bytes, struct moe_err *e)
{
	void *p;

	memset(l, 0, sizeof *l);
	l->cap = (mem_bytes + 4095) & ~(size_t)4095;
	p = mmap(NULL, l->cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1, 0);
	if (p == MAP_FAILED)
		return moe_fail_errno(e, "no memory for a Lua state of %zu bytes", l->cap);
	l->base = p;
	l->churn_max = (uint64_t)l->cap * 16;
	l->rng = moe_rng_key(0, "lua");
	l->L = lua_newstate(lua_memory, l);
	if (!l->L) {
		moe_lua_close(l);
		return moe_fail(e, MOE_SYSTEM, "a limit of %zu bytes is too small for a Lua state",
			mem_bytes);
	}
	memcpy(lua_getextraspace(l->L), &(void *){ l }, sizeof(void *));
	lua_atpanic(l->L, panic);
	lua_gc(l->L, LUA_GCSTOP);
	l->steps = INT64_MAX / 2;
	if (moe_lua_call(l, moe_lua_libs, NULL, 0) != LUA_OK) {
		moe_lua_fail(l, e, MOE_SYSTEM, "Lua's libraries");
		moe_lua_close(l);
		return -1;
	}
	return 0;
}

/* The state is never closed through Lua: dropping the mapping drops everything in it, and no
 * finalizer runs. */
void moe_lua_close(struct moe_lua *l)
{
	if (l->base)
		munmap(l->base, l->cap);
	free(l->image);
	memset(l, 0, sizeof *l);
}

int moe_lua_freeze(struct moe_lua *l, struct moe_err *e)
{
	uint8_t *p;

	lua_settop(l->L, 0);
	p = realloc(l->image, l->heap.top);
	if (!p)
		return moe_fail(e, MOE_SYSTEM, "out of memory for the image of a Lua state");
	l->image = p;
	memcpy(p, l->base, l->heap.top);
	l->heap_image = l->heap;
	return 0;
}

void moe_lua_reset(struct moe_lua *l, uint64_t steps)
{
	memcpy(l->base, l->image, l->heap_image.top);
	l->heap = l->heap_image;
	l->churn = 0;
	l->steps = steps > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)steps;
	l->stop = MOE_LUA_RUNS;
	l->rng_b = 0;
}

int moe_lua_call(struct moe_lua *l, lua_CFunction fn, void *arg, int nret)
{
	lua_State *L = l->L;
	int status;

	lua_sethook(L, count_hook, LUA_MASKCOUNT, HOOK_EVERY);
	lua_pushcfunction(L, fn);
	lua_pushlightuserdata(L, arg);
	status = lua_pcall(L, 1, nret, 0);
	lua_sethook(L, NULL, 0, 0);
	if (status == LUA_ERRMEM && l->stop == MOE_LUA_RUNS)
		l->stop = MOE_LUA_MEMORY;
	if (status != LUA_OK && lua_type(L, -1) != LUA_TSTRING) {
		lua_pop(L, 1);
		lua_pushnil(L);
	}
	return status;
}

int moe_lua_fail(struct moe_lua *l, struct moe_err *e, enum moe_code code, const char *what)
{
	const char *why = lua_type(l->L, -1) == LUA_TSTRING ? lua_tostring(l->L, -1) : NULL;

	if (l->stop == MOE_LUA_STEPS)
		return moe_fail(e, code, "%s: it ran for too many Lua instructions", what);
	if (l->stop == MOE_LUA_MEMORY)
		return moe_fail(e, code, "%s: it needs more memory than its limit of %zu bytes",
			what, l->cap);
	return moe_fail(
		e, code, "%s: %s", what, why ? why : "an error that is not a string was raised");
}
