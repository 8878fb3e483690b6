/* value.c - plain values between Lua states, and between a Lua table and a record.
 * Not a serialiser of functions, userdata or shared references: those are refused. */
#include "env/luabox.h"
#include "formats/list.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8
#define COUNT_MAX 65536

static void copy_value(lua_State *to, lua_State *from, int i, int depth, int *count);

static void copy_table(lua_State *to, lua_State *from, int i, int depth, int *count)
{
	i = lua_absindex(from, i);
	if (depth >= DEPTH_MAX)
		luaL_error(to, "tables nest deeper than %d", DEPTH_MAX);
	if (!lua_checkstack(from, 4))
		luaL_error(to, "out of stack");
	luaL_checkstack(to, 4, "a nested table");
	lua_newtable(to);
	lua_pushnil(from);
	while (lua_next(from, i)) {
		copy_value(to, from, -2, depth + 1, count);
		copy_value(to, from, -1, depth + 1, count);
		lua_rawset(to, -3);
		lua_pop(from, 1);
	}
}

static void copy_value(lua_State *to, lua_State *from, int i, int depth, int *count)
{
	const char *s;
	size_t n;

	if (++*count > COUNT_MAX)
		luaL_error(to, "more than %d values", COUNT_MAX);
	moe_lua_charge(moe_lua_of(to),
		1 + (lua_type(from, i) == LUA_TSTRING ? lua_rawlen(from, i) / 16 : 0));
	switch (lua_type(from, i)) {
	case LUA_TNIL:
		lua_pushnil(to);
		break;
	case LUA_TBOOLEAN:
		lua_pushboolean(to, lua_toboolean(from, i));
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(from, i))
			lua_pushinteger(to, lua_tointeger(from, i));
		else
			lua_pushnumber(to, lua_tonumber(from, i));
		break;
	case LUA_TSTRING:
		s = lua_tolstring(from, i, &n);
		lua_pushlstring(to, s, n);
		break;
	case LUA_TTABLE:
		copy_table(to, from, i, depth, count);
		break;
	default:
		luaL_error(to, "a %s is no plain value", lua_typename(from, lua_type(from, i)));
	}
}

void moe_lua_copy(lua_State *to, lua_State *from, int i)
{
	int count = 0;

	luaL_checkstack(to, 4, "a value");
	copy_value(to, from, lua_absindex(from, i), 0, &count);
}

/* ---- records ---- */

/* NUL-terminated copy of a field's key; false when it does not fit (keys of ours are short). */
static bool key_name(const struct moe_rec_field *f, char name[128])
{
	if (f->key.n >= 128 || memchr(f->key.p, 0, f->key.n))
		return false;
	memcpy(name, f->key.p, f->key.n);
	name[f->key.n] = 0;
	return true;
}

static void push_list(lua_State *L, const struct moe_rec *r, const char *name)
{
	struct moe_list l;
	struct moe_str s;

	moe_list_open(r, name, &l);
	lua_createtable(L, (int)(l.left < 1024 ? l.left : 1024), 0);
	for (lua_Integer i = 1; moe_list_next_str(&l, &s); i++) {
		lua_pushlstring(L, s.p, s.n);
		lua_rawseti(L, -2, i);
	}
}

static void push_integers(lua_State *L, const struct moe_rec *r, const char *name)
{
	struct moe_tensor t;

	lua_newtable(L);
	if (!moe_rec_tensor(r, name, &t) || strcmp(t.dtype, "I32") != 0)
		return;
	for (size_t i = 0; i < t.bytes / 4; i++) {
		int32_t v;

		memcpy(&v, (const char *)t.data + 4 * i, 4);
		lua_pushinteger(L, v);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

void moe_lua_push_rec(lua_State *L, const struct moe_rec *r)
{
	lua_newtable(L);
	for (size_t i = 0; i < r->n_field; i++) {
		char name[128];
		struct moe_str s;
		int64_t v;
		double d;
		bool b;

		if (!key_name(&r->field[i], name))
			continue;
		switch (moe_rec_has(r, name)) {
		case MOE_V_STR:
			lua_pushlstring(L, moe_rec_str(r, name, &s) ? s.p : "",
				moe_rec_str(r, name, &s) ? s.n : 0);
			break;
		case MOE_V_INT:
			lua_pushinteger(L, moe_rec_int(r, name, &v) ? v : 0);
			break;
		case MOE_V_FLOAT:
			lua_pushnumber(L, moe_rec_f64(r, name, &d) ? d : 0);
			break;
		case MOE_V_BOOL:
			lua_pushboolean(L, moe_rec_bool(r, name, &b) && b);
			break;
		case MOE_V_ARRAY:
			push_list(L, r, name);
			break;
		case MOE_V_MAP:
			push_integers(L, r, name);
			break;
		default:
			continue;
		}
		lua_setfield(L, -2, name);
	}
}

static int set_strings(
	lua_State *L, int i, const char *key, size_t n, struct moe_rec *r, struct moe_err *e)
{
	struct moe_str *v = calloc(n + 1, sizeof *v);
	int rc = 0;

	if (!v)
		return moe_fail(e, MOE_SYSTEM, "out of memory for a list of %zu strings", n);
	for (size_t k = 0; k < n && rc == 0; k++) {
		lua_rawgeti(L, i, (lua_Integer)k + 1);
		if (lua_type(L, -1) == LUA_TSTRING)
			v[k].p = lua_tolstring(L, -1, &v[k].n); /* the table keeps it alive */
		else
			rc = moe_fail(e, MOE_DATA,
				"key \"%s\" of the task: a list holds either strings or integers",
				key);
		lua_pop(L, 1);
	}
	if (rc == 0)
		rc = moe_rec_set_strs(r, key, v, n, e);
	free(v);
	return rc;
}

static int set_integers(
	lua_State *L, int i, const char *key, size_t n, struct moe_rec *r, struct moe_err *e)
{
	int32_t *v = calloc(n + 1, sizeof *v);
	int rc = 0;

	if (!v)
		return moe_fail(e, MOE_SYSTEM, "out of memory for a list of %zu integers", n);
	for (size_t k = 0; k < n && rc == 0; k++) {
		lua_Integer x;

		lua_rawgeti(L, i, (lua_Integer)k + 1);
		x = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : INT64_MIN;
		lua_pop(L, 1);
		if (x < INT32_MIN || x > INT32_MAX)
			rc = moe_fail(e, MOE_DATA,
				"key \"%s\" of the task: a list holds either strings or integers "
				"of 32 bits",
				key);
		else
			v[k] = (int32_t)x;
	}
	if (rc == 0)
		rc = moe_rec_set_i32s(r, key, v, n, e);
	free(v);
	return rc;
}

/* The value at the top of the stack as one key of r. */
static int set_value(lua_State *L, const char *key, struct moe_rec *r, struct moe_err *e)
{
	int top = lua_gettop(L), type;
	const char *s;
	size_t n;

	switch (lua_type(L, top)) {
	case LUA_TBOOLEAN:
		return moe_rec_set_bool(r, key, lua_toboolean(L, top), e);
	case LUA_TNUMBER:
		if (lua_isinteger(L, top))
			return moe_rec_set_int(r, key, lua_tointeger(L, top), e);
		return moe_rec_set_f64(r, key, lua_tonumber(L, top), e);
	case LUA_TSTRING:
		s = lua_tolstring(L, top, &n);
		return moe_rec_set_strn(r, key, s, n, e);
	case LUA_TTABLE:
		n = (size_t)lua_rawlen(L, top);
		type = n ? lua_rawgeti(L, top, 1) : LUA_TSTRING;
		lua_settop(L, top);
		return type == LUA_TNUMBER ? set_integers(L, top, key, n, r, e)
					   : set_strings(L, top, key, n, r, e);
	default:
		return moe_fail(e, MOE_DATA,
			"key \"%s\" of the task is a %s; tasks hold strings, numbers, booleans and "
			"lists of strings or integers",
			key, luaL_typename(L, top));
	}
}

int moe_lua_to_rec(
	lua_State *L, int i, const char *const *skip, struct moe_rec *r, struct moe_err *e)
{
	i = lua_absindex(L, i);
	if (!lua_checkstack(L, 8))
		return moe_fail(e, MOE_SYSTEM, "out of Lua stack");
	lua_pushnil(L);
	while (lua_next(L, i)) {
		const char *const *s = skip;
		const char *key;

		if (lua_type(L, -2) != LUA_TSTRING)
			return moe_fail(e, MOE_DATA,
				"a task has a key that is a %s; keys are strings",
				luaL_typename(L, -2));
		key = lua_tostring(L, -2);
		while (*s && strcmp(*s, key) != 0)
			s++;
		if (!*s && set_value(L, key, r, e) != 0)
			return -1;
		lua_pop(L, 1);
	}
	return 0;
}
