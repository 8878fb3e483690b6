/* sandbox.c - sandbox(source, ...) for environments: runs `source` in a fresh Lua state of its own.
 * Each source text is compiled once into an image that is put back before every run. Not the
 * process boundary (worker.c). */
#include "env/luabox.h"

#include <stdlib.h>
#include <string.h>

#define IMAGES 16

struct box {
	struct moe_lua lua;
	char *source;
	size_t len;
};

struct moe_sandboxes {
	struct box box[IMAGES];
	size_t next; /* the one to be replaced next */
	size_t mem_bytes;
	uint64_t steps;
};

struct moe_sandboxes *moe_sandboxes_new(size_t mem_bytes, uint64_t steps, struct moe_err *e)
{
	struct moe_sandboxes *s = calloc(1, sizeof *s);

	if (!s) {
		moe_fail(e, MOE_SYSTEM, "out of memory for sandboxes");
		return NULL;
	}
	s->mem_bytes = mem_bytes ? mem_bytes : (size_t)4 << 20;
	s->steps = steps ? steps : 100000;
	return s;
}

static void drop_box(struct box *b)
{
	moe_lua_close(&b->lua);
	free(b->source);
	memset(b, 0, sizeof *b);
}

void moe_sandboxes_free(struct moe_sandboxes *s)
{
	for (size_t i = 0; s && i < IMAGES; i++)
		drop_box(&s->box[i]);
	free(s);
}

/* compile(text [, name]): text only, never bytecode. Given to the source as its first argument,
 * never a global. */
static int compile(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	const char *name = luaL_optstring(L, 2, "=code");

	moe_lua_charge(moe_lua_of(L), n / 8);
	if (luaL_loadbufferx(L, s, n, name, "t") == LUA_OK)
		return 1;
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

/* Leaves the compiled source in the registry of the box: part of its image. */
static int prepare(lua_State *L)
{
	struct box *b = lua_touserdata(L, 1);

	if (luaL_loadbufferx(L, b->source, b->len, "=sandbox", "t") != LUA_OK)
		return lua_error(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, (void *)&prepare);
	lua_pushcfunction(L, compile);
	lua_rawsetp(L, LUA_REGISTRYINDEX, (void *)&compile);
	return 0;
}

static struct box *find_box(
	struct moe_sandboxes *s, const char *source, size_t len, struct moe_err *e)
{
	struct box *b;

	for (size_t i = 0; i < IMAGES; i++)
		if (s->box[i].source && s->box[i].len == len &&
			memcmp(s->box[i].source, source, len) == 0)
			return &s->box[i];
	b = &s->box[s->next++ % IMAGES];
	drop_box(b);
	b->source = malloc(len + 1);
	if (!b->source) {
		moe_fail(e, MOE_SYSTEM, "out of memory for a sandbox");
		return NULL;
	}
	memcpy(b->source, source, len);
	b->len = len;
	if (moe_lua_open(&b->lua, s->mem_bytes, e) != 0) {
		drop_box(b);
		return NULL;
	}
	if (moe_lua_call(&b->lua, prepare, b, 0) != LUA_OK) {
		moe_lua_fail(&b->lua, e, MOE_DATA, "sandbox source");
		drop_box(b);
		return NULL;
	}
	if (moe_lua_freeze(&b->lua, e) != 0) {
		drop_box(b);
		return NULL;
	}
	return b;
}

/* Inside the box: arguments are copied from the host's stack (2 .. top), then the source runs. */
static int enter(lua_State *L)
{
	lua_State *host = lua_touserdata(L, 1);
	int n = lua_gettop(host);

	lua_settop(L, 0);
	luaL_checkstack(L, n + 8, "arguments");
	lua_rawgetp(L, LUA_REGISTRYINDEX, (void *)&prepare);
	lua_rawgetp(L, LUA_REGISTRYINDEX, (void *)&compile);
	for (int i = 2; i <= n; i++)
		moe_lua_copy(L, host, i);
	lua_call(L, n, LUA_MULTRET);
	return lua_gettop(L);
}

/* In the host, protected: all results of the box. */
static int results(lua_State *H)
{
	lua_State *L = lua_touserdata(H, 1);
	int n = lua_gettop(L);

	luaL_checkstack(H, n + 4, "results");
	for (int i = 1; i <= n; i++)
		moe_lua_copy(H, L, i);
	return n;
}

/* sandbox(source, ...) -> true, results... | false, "error" or "steps" or "memory", message */
static int run(lua_State *H)
{
	struct moe_sandboxes *s = moe_lua_of(H)->user;
	struct moe_err e = { 0 };
	struct box *b;
	const char *source;
	size_t len;
	int top = lua_gettop(H);

	source = luaL_checklstring(H, 1, &len);
	if (!s)
		return luaL_error(H, "sandbox is for grading only");
	b = find_box(s, source, len, &e);
	if (!b)
		return luaL_error(H, "%s", e.msg);
	moe_lua_reset(&b->lua, s->steps);
	if (moe_lua_call(&b->lua, enter, H, LUA_MULTRET) != LUA_OK) {
		lua_settop(H, top);
		lua_pushboolean(H, 0);
		lua_pushstring(H,
			b->lua.stop == MOE_LUA_STEPS            ? "steps"
				: b->lua.stop == MOE_LUA_MEMORY ? "memory"
								: "error");
		moe_lua_copy(H, b->lua.L, -1);
		return 3;
	}
	lua_settop(H, top);
	lua_pushboolean(H, 1);
	lua_pushcfunction(H, results);
	lua_pushlightuserdata(H, b->lua.L);
	if (lua_pcall(H, 1, LUA_MULTRET, 0) == LUA_OK)
		return lua_gettop(H) - top;
	lua_pushboolean(H, 0); /* what came back was not plain */
	lua_pushliteral(H, "error");
	lua_pushvalue(H, -3);
	return 3;
}

int moe_sandbox_lua(lua_State *L)
{
	lua_pushcfunction(L, run);
	lua_setglobal(L, "sandbox");
	return 0;
}
