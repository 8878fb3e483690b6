/* luacost.c - what Lua's own library functions do in C, charged as instructions before they do it:
 * Lua counts one for a call, whatever it costs, and grades would depend on CPU time. Bytes are
 * charged 64 to an instruction, values one each. What pattern matching costs is not known
 * beforehand: its single pass over the subject is charged, the rest is left to the CPU limit. */
#include "env/luabox.h"

#include <limits.h>
#include <string.h>

#define BYTES_A_STEP 64

typedef uint64_t (*cost_fn)(lua_State *L);

static uint64_t times(uint64_t a, uint64_t b)
{
	return a && b > UINT64_MAX / 4 / a ? UINT64_MAX / 4 : a * b;
}

/* Bytes of a string argument, without converting a number in place. */
static uint64_t bytes_of(lua_State *L, int i)
{
	return lua_type(L, i) == LUA_TSTRING ? (uint64_t)lua_rawlen(L, i) : 0;
}

/* Values from argument i to argument i + 1, the latter `last` when missing. */
static uint64_t span(lua_State *L, int i, lua_Integer first, lua_Integer last)
{
	lua_Integer a = luaL_optinteger(L, i, first), b = luaL_optinteger(L, i + 1, last);

	return b < a ? 0 : (uint64_t)b - (uint64_t)a + 1;
}

static uint64_t of_bytes(lua_State *L)
{
	return bytes_of(L, 1) / BYTES_A_STEP;
}

/* What cannot be had in memory is refused before any work is done. */
static uint64_t of_rep(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 2);
	uint64_t each = bytes_of(L, 1) + bytes_of(L, 3), all = n > 0 ? times((uint64_t)n, each) : 0;

	return n <= 0 || all > moe_lua_of(L)->cap ? 0 : ((uint64_t)n + all) / BYTES_A_STEP;
}

static uint64_t of_pattern(lua_State *L)
{
	return (bytes_of(L, 1) + bytes_of(L, 2)) / BYTES_A_STEP;
}

/* As Lua does it, with __len; every argument of the function that follows is looked at again by it.
 */
static lua_Integer length(lua_State *L)
{
	lua_Integer n;

	luaL_checkany(L, 1);
	if (lua_type(L, 1) != LUA_TTABLE && !luaL_getmetafield(L, 1, "__len"))
		return 0;
	lua_len(L, 1);
	n = lua_tointeger(L, -1);
	lua_settop(L, lua_gettop(L) - 1);
	return n;
}

static uint64_t of_concat(lua_State *L)
{
	lua_Integer i = luaL_optinteger(L, 3, 1),
		    j = lua_isnoneornil(L, 4) ? length(L) : luaL_checkinteger(L, 4);

	return j < i ? 0 : times((uint64_t)j - (uint64_t)i + 1, bytes_of(L, 2) / BYTES_A_STEP + 1);
}

static uint64_t of_move(lua_State *L)
{
	return span(L, 2, 1, 0);
}

static uint64_t of_unpack(lua_State *L)
{
	lua_Integer j = lua_isnoneornil(L, 3) ? length(L) : luaL_checkinteger(L, 3);

	return span(L, 2, 1, j);
}

/* The values behind the place move by one. */
static uint64_t of_insert(lua_State *L)
{
	lua_Integer n = length(L), at = lua_gettop(L) > 2 ? luaL_checkinteger(L, 2) : n;

	return at <= n && at > 0 ? (uint64_t)n - (uint64_t)at + 1 : 0;
}

static uint64_t of_remove(lua_State *L)
{
	lua_Integer n = length(L), at = luaL_optinteger(L, 2, n);

	return at <= n && at > 0 ? (uint64_t)n - (uint64_t)at + 1 : 0;
}

/* n log n comparisons; those in Lua count themselves as well. */
static uint64_t of_sort(lua_State *L)
{
	lua_Integer n = length(L);
	uint64_t log = 1;

	for (lua_Integer k = n; k > 1; k /= 2)
		log++;
	return n > 0 ? times((uint64_t)n, log) : 0;
}

static uint64_t of_arguments(lua_State *L)
{
	uint64_t sum = 0;

	for (int i = 1; i <= lua_gettop(L); i++)
		sum += 1 + bytes_of(L, i) / BYTES_A_STEP;
	return sum;
}

static const struct {
	const char *lib, *name;
	cost_fn cost;
} table[] = {
	{ LUA_STRLIBNAME, "rep", of_rep },
	{ LUA_STRLIBNAME, "find", of_pattern },
	{ LUA_STRLIBNAME, "match", of_pattern },
	{ LUA_STRLIBNAME, "gmatch", of_pattern },
	{ LUA_STRLIBNAME, "gsub", of_pattern },
	{ LUA_STRLIBNAME, "byte", of_bytes },
	{ LUA_STRLIBNAME, "char", of_arguments },
	{ LUA_STRLIBNAME, "lower", of_bytes },
	{ LUA_STRLIBNAME, "upper", of_bytes },
	{ LUA_STRLIBNAME, "reverse", of_bytes },
	{ LUA_STRLIBNAME, "sub", of_bytes },
	{ LUA_STRLIBNAME, "pack", of_arguments },
	{ LUA_STRLIBNAME, "packsize", of_bytes },
	{ LUA_STRLIBNAME, "unpack", of_arguments },
	{ LUA_STRLIBNAME, "format", of_arguments },
	{ LUA_TABLIBNAME, "concat", of_concat },
	{ LUA_TABLIBNAME, "move", of_move },
	{ LUA_TABLIBNAME, "unpack", of_unpack },
	{ LUA_TABLIBNAME, "insert", of_insert },
	{ LUA_TABLIBNAME, "remove", of_remove },
	{ LUA_TABLIBNAME, "sort", of_sort },
	{ LUA_TABLIBNAME, "pack", of_arguments },
	{ LUA_UTF8LIBNAME, "char", of_arguments },
	{ LUA_UTF8LIBNAME, "codepoint", of_bytes },
	{ LUA_UTF8LIBNAME, "len", of_bytes },
	{ LUA_UTF8LIBNAME, "offset", of_bytes },
	{ LUA_GNAME, "tonumber", of_bytes },
	{ LUA_GNAME, "select", of_arguments },
};

/* Stands in a library function's place; upvalues = its row, the function. That runs in this same
 * frame, so that its errors name it. */
static int charged(lua_State *L)
{
	lua_Integer row = lua_tointeger(L, lua_upvalueindex(1));
	lua_CFunction f = lua_tocfunction(L, lua_upvalueindex(2));

	moe_lua_spend(L, table[row].cost(L));
	return f(L);
}

void moe_lua_cost(lua_State *L)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		lua_getglobal(L, table[i].lib);
		lua_pushinteger(L, (lua_Integer)i);
		if (lua_getfield(L, -2, table[i].name) == LUA_TFUNCTION) {
			lua_pushcclosure(L, charged, 2);
			lua_setfield(L, -2, table[i].name);
		}
		lua_settop(L, 0);
	}
}
