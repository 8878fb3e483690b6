/* lualib.c - the libraries that a Lua state of ours offers: Lua's own, less what reaches out, with
 * what differs from run to run replaced. Not a sandbox by itself: limits are in luabox.c and
 * worker.c. */
#include "env/luabox.h"

#include <math.h>
#include <string.h>

/* ---- keys in order: numbers, strings, booleans; anything else after them, as it comes ---- */

static int key_rank(int type)
{
	return type == LUA_TNUMBER ? 0 : type == LUA_TSTRING ? 1 : type == LUA_TBOOLEAN ? 2 : 3;
}

/* <0, 0, >0 for the keys at absolute indices i and j; keys of rank 3 are all equal. Never runs
 * metamethods. */
static int key_cmp(lua_State *L, int i, int j)
{
	int ri = key_rank(lua_type(L, i)), rj = key_rank(lua_type(L, j));
	const char *a, *b;
	size_t na, nb;
	int c;

	if (ri != rj)
		return ri - rj;
	if (ri == 0)
		return lua_compare(L, i, j, LUA_OPLT) ? -1 : lua_compare(L, j, i, LUA_OPLT);
	if (ri == 2)
		return lua_toboolean(L, i) - lua_toboolean(L, j);
	if (ri == 3)
		return 0;
	a = lua_tolstring(L, i, &na);
	b = lua_tolstring(L, j, &nb);
	c = memcmp(a, b, na < nb ? na : nb);
	return c ? c : (na > nb) - (na < nb);
}

/* Pushes the key that follows `after` (index; nil = the first one) in table 1, or nil. */
static void push_following(lua_State *L, int after)
{
	bool first = lua_isnil(L, after), odd = !first && key_rank(lua_type(L, after)) == 3;
	uint64_t seen = 0;
	int best;

	lua_pushnil(L);
	best = lua_gettop(L);
	if (odd) { /* among the keys without an order: Lua's own */
		lua_pushvalue(L, after);
	} else {
		lua_pushnil(L);
	}
	while (lua_next(L, 1)) {
		lua_pop(L, 1);
		seen++;
		if (odd && key_rank(lua_type(L, -1)) == 3) {
			lua_copy(L, -1, best);
			break;
		}
		if (odd || (!first && key_cmp(L, best + 1, after) <= 0))
			continue;
		if (lua_isnil(L, best) || key_cmp(L, best + 1, best) < 0)
			lua_copy(L, best + 1, best);
	}
	lua_settop(L, best);
	moe_lua_charge(moe_lua_of(L), seen / 4);
}

static int env_next(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	push_following(L, 2);
	if (lua_isnil(L, -1))
		return 1;
	lua_pushvalue(L, -1);
	lua_rawget(L, 1);
	return 2;
}

struct key {
	int rank;
	lua_Number num;
	const char *s;
	size_t n;
	int at;
};

static int by_key(const struct key *a, const struct key *b)
{
	int c;

	if (a->rank != b->rank)
		return a->rank - b->rank;
	if (a->rank != 1)
		return a->num != b->num ? (a->num < b->num ? -1 : 1) : a->at - b->at;
	c = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
	return c ? c : (a->n > b->n) - (a->n < b->n);
}

static void sift_down(struct key *k, size_t at, size_t n)
{
	for (size_t child; (child = 2 * at + 1) < n; at = child) {
		struct key swap = k[at];

		if (child + 1 < n && by_key(&k[child], &k[child + 1]) < 0)
			child++;
		if (by_key(&k[at], &k[child]) >= 0)
			return;
		k[at] = k[child];
		k[child] = swap;
	}
}

/* Heap sort: libc's qsort asks the system for the size of its memory, which a grading process may
 * not. */
static void sort_keys(struct key *k, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift_down(k, i, n);
	for (size_t i = n; i-- > 1;) {
		struct key swap = k[0];

		k[0] = k[i];
		k[i] = swap;
		sift_down(k, 0, i);
	}
}

/* The iterator of pairs: upvalues = keys in order, position. */
static int step_pairs(lua_State *L)
{
	lua_Integer i = lua_tointeger(L, lua_upvalueindex(2));

	luaL_checktype(L, 1, LUA_TTABLE);
	for (;;) {
		if (lua_rawgeti(L, lua_upvalueindex(1), ++i) == LUA_TNIL)
			return 1;
		lua_pushvalue(L, -1);
		if (lua_rawget(L, 1) != LUA_TNIL)
			break;
		lua_pop(L, 2);
	}
	lua_pushinteger(L, i);
	lua_replace(L, lua_upvalueindex(2));
	return 2;
}

/* Pushes a list of the keys of table 1 in order. */
static void push_keys(lua_State *L)
{
	struct key *k;
	int n = 0, raw;

	lua_newtable(L);
	raw = lua_gettop(L);
	for (lua_pushnil(L); lua_next(L, 1); n++) {
		lua_pop(L, 1);
		lua_pushvalue(L, -1);
		lua_rawseti(L, raw, n + 1);
	}
	k = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *k, 0);
	for (int i = 0; i < n; i++) {
		memset(&k[i], 0, sizeof k[i]);
		k[i].at = i + 1;
		k[i].rank = key_rank(lua_rawgeti(L, raw, i + 1));
		if (k[i].rank == 0)
			k[i].num = lua_tonumber(L, -1);
		else if (k[i].rank == 1)
			k[i].s = lua_tolstring(L, -1, &k[i].n);
		else if (k[i].rank == 2)
			k[i].num = lua_toboolean(L, -1);
		lua_pop(L, 1);
	}
	sort_keys(k, (size_t)n);
	lua_createtable(L, n, 0);
	for (int i = 0; i < n; i++) {
		lua_rawgeti(L, raw, k[i].at);
		lua_rawseti(L, -2, i + 1);
	}
	moe_lua_charge(moe_lua_of(L), (uint64_t)n);
}

static int env_pairs(lua_State *L)
{
	luaL_checkany(L, 1);
	if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
		lua_pushvalue(L, 1);
		lua_call(L, 1, 3);
		return 3;
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	push_keys(L);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, step_pairs, 2);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

/* ---- text without addresses ---- */

static int env_tostring(lua_State *L)
{
	int t;

	luaL_checkany(L, 1);
	t = lua_type(L, 1);
	if (t == LUA_TNIL || t == LUA_TBOOLEAN || t == LUA_TNUMBER || t == LUA_TSTRING ||
		luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL) {
		luaL_tolstring(L, 1, NULL);
		return 1;
	}
	lua_pushstring(L, luaL_typename(L, 1));
	return 1;
}

/* string.format, whose first upvalue is Lua's own. */
static int env_format(lua_State *L)
{
	int n = lua_gettop(L);
	const char *f = luaL_checkstring(L, 1);

	for (; *f; f++) {
		if (*f != '%')
			continue;
		f += 1 + strspn(f + 1, "-+ #0123456789.");
		if (*f == 'p')
			return luaL_error(L, "format '%%p' is not offered");
		if (!*f)
			break;
	}
	for (int i = 2; i <= n; i++) {
		int t = lua_type(L, i);

		if (t == LUA_TNIL || t == LUA_TBOOLEAN || t == LUA_TNUMBER || t == LUA_TSTRING)
			continue;
		lua_pushcfunction(L, env_tostring);
		lua_pushvalue(L, i);
		lua_call(L, 1, 1);
		lua_replace(L, i);
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, n, 1);
	return 1;
}

/* ---- random numbers: a draw is a function of the run's key and of how many were drawn ---- */

static int env_random(lua_State *L)
{
	struct moe_lua *l = moe_lua_of(L);
	lua_Integer lo = 1, hi;
	uint64_t span, draw;

	if (lua_gettop(L) == 0) {
		lua_pushnumber(L, moe_rng_uniform(l->rng, l->rng_a, l->rng_b++));
		return 1;
	}
	hi = luaL_checkinteger(L, 1);
	if (lua_gettop(L) >= 2) {
		lo = hi;
		hi = luaL_checkinteger(L, 2);
	}
	if (lua_gettop(L) == 1 && hi == 0) { /* all bits */
		lua_pushinteger(L, (lua_Integer)moe_rng_u64(l->rng, l->rng_a, l->rng_b++));
		return 1;
	}
	if (lo > hi)
		return luaL_error(L, "interval of random is empty");
	span = (uint64_t)hi - (uint64_t)lo + 1; /* 0 = all there are */
	draw = span ? moe_rng_below(l->rng, l->rng_a, l->rng_b++, span)
		    : moe_rng_u64(l->rng, l->rng_a, l->rng_b++);
	draw += (uint64_t)lo; /* modulo 2^64 */
	lua_pushinteger(L, (lua_Integer)draw);
	return 1;
}

/* ---- xpcall whose handler runs after the error has unwound ----
 * Lua's own calls it where the error is raised, which may be inside of the instruction hook: hooks
 * are off there, and an endless handler would run for ever. (There is no debug library whose
 * traceback would need the earlier place.) */
static int env_xpcall(lua_State *L)
{
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, 1);
	lua_replace(L, 2);
	lua_replace(L, 1); /* handler, f, its arguments */
	if (lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0) == LUA_OK) {
		lua_pushboolean(L, 1);
		lua_replace(L, 1);
		return lua_gettop(L);
	}
	lua_settop(L, 2); /* handler, error */
	lua_call(L, 1, LUA_MULTRET);
	lua_pushboolean(L, 0);
	lua_insert(L, 1);
	return lua_gettop(L);
}

/* ---- setting up ---- */

static void take_away(lua_State *L, const char *lib, const char *const *name)
{
	lua_getglobal(L, lib);
	for (; *name; name++) {
		lua_pushnil(L);
		lua_setfield(L, -2, *name);
	}
	lua_pop(L, 1);
}

int moe_lua_libs(lua_State *L)
{
	static const luaL_Reg lib[] = { { LUA_GNAME, luaopen_base },
		{ LUA_TABLIBNAME, luaopen_table }, { LUA_STRLIBNAME, luaopen_string },
		{ LUA_MATHLIBNAME, luaopen_math }, { LUA_UTF8LIBNAME, luaopen_utf8 },
		{ NULL, NULL } };
	static const char *const no_base[] = { "load", "loadstring", "loadfile", "dofile",
		"collectgarbage", "print", "warn", NULL };
	static const char *const no_string[] = { "dump", NULL },
				 *const no_math[] = { "randomseed", NULL };

	for (const luaL_Reg *r = lib; r->name; r++) {
		luaL_requiref(L, r->name, r->func, 1);
		lua_pop(L, 1);
	}
	take_away(L, LUA_GNAME, no_base);
	take_away(L, LUA_STRLIBNAME, no_string);
	take_away(L, LUA_MATHLIBNAME, no_math);
	moe_lua_cost(L);
	/* package.loaded lives in the registry, which no script reaches; it goes all the same */
	lua_pushnil(L);
	lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_pushcfunction(L, env_next);
	lua_setglobal(L, "next");
	lua_pushcfunction(L, env_pairs);
	lua_setglobal(L, "pairs");
	lua_pushcfunction(L, env_tostring);
	lua_setglobal(L, "tostring");
	lua_pushcfunction(L, env_xpcall);
	lua_setglobal(L, "xpcall");
	lua_getglobal(L, LUA_STRLIBNAME);
	lua_getfield(L, -1, "format");
	lua_pushcclosure(L, env_format, 1);
	lua_setfield(L, -2, "format");
	lua_getglobal(L, LUA_MATHLIBNAME);
	lua_pushcfunction(L, env_random);
	lua_setfield(L, -2, "random");
	return 0;
}
