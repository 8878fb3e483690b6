/* grade_bench.c - how fast the embedded environment grades, and what the sandbox costs beside plain
 * Lua. Not a test: it measures. usage: grade_bench ENV.LUA ROLLOUTS WORKERS
 *
 * The same completions are graded by (1) worker processes, (2) our states without processes, (3)
 * plain Lua with a new state for each run of untrusted code, (4) plain Lua with one state for
 * everything: no isolation, no limits. (3) and (4) run the same env.lua with their own sandbox().
 */
#define _DEFAULT_SOURCE
#include "env/grade.h"
#include "env/luabox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const char *env_path;
static size_t n;
static struct moe_env_task *task;
static struct moe_buf *text;
static struct moe_grade_item *item;

static double wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* CPU seconds of this process and of its ended children. */
static double cpu(void)
{
	struct rusage a, b;

	getrusage(RUSAGE_SELF, &a);
	getrusage(RUSAGE_CHILDREN, &b);
	return (double)(a.ru_utime.tv_sec + a.ru_stime.tv_sec + b.ru_utime.tv_sec +
		       b.ru_stime.tv_sec) +
		1e-6 *
		(double)(a.ru_utime.tv_usec + a.ru_stime.tv_usec + b.ru_utime.tv_usec +
			b.ru_stime.tv_usec);
}

static void say(const char *what, double w, double c, size_t solved)
{
	printf("%-44s %8.0f rollouts/s  %6.1f us CPU each  (%zu solved)\n", what, (double)n / w,
		1e6 * c / (double)n, solved);
	fflush(stdout);
}

static void fill(void)
{
	struct moe_env *v = moe_env_open(env_path, NULL, NULL);
	struct moe_env_modes m;

	task = calloc(n, sizeof *task);
	text = calloc(n, sizeof *text);
	item = calloc(n, sizeof *item);
	if (!v || !task || !text || !item || moe_env_modes(v, NULL, &m, NULL) != 0)
		exit(4);
	for (size_t i = 0; i < n;
		i++) { /* 11 right, 7 wrong, 1 hack, 1 that does not compile of 20 */
		enum moe_env_kind kind = i % 20 < 11 ? MOE_ENV_RIGHT
			: i % 20 < 18                ? MOE_ENV_WRONG
						     : MOE_ENV_HACK;

		if (moe_env_draw(v, &m, "train", 1, i, &task[i], NULL) != 0 ||
			moe_env_complete(v, &task[i], kind, i, &text[i], NULL) < 0 ||
			(i % 20 == 19 && moe_buf_add(&text[i], "((", 2, NULL) != 0))
			exit(4);
		item[i] = (struct moe_grade_item){ &task[i].env,
			{ (const char *)text[i].data, text[i].len }, i };
	}
	moe_env_close(v);
}

static void ours(const char *what, struct moe_grader_opts o)
{
	struct moe_grade *r = calloc(n, sizeof *r);
	struct moe_grader *g = moe_grader_open(env_path, &o, NULL);
	double w = wall(), c = cpu();
	size_t solved = 0;

	if (!r || !g || moe_grader_run(g, item, n, r, NULL) != 0)
		exit(4);
	w = wall() - w;
	moe_grader_close(g);
	c = cpu() - c;
	for (size_t i = 0; i < n; i++)
		solved += r[i].solved;
	say(what, w, c, solved);
	free(r);
}

/* ---- plain Lua ---- */

static int compile(lua_State *L)
{
	size_t len;
	const char *s = luaL_checklstring(L, 1, &len);

	if (luaL_loadbufferx(L, s, len, "=code", "t") == LUA_OK)
		return 1;
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

/* A value and all below it; as simple as a bench may be: no limit, no cycle. */
static void copy(lua_State *to, lua_State *from, int i)
{
	size_t len;
	const char *s;

	i = lua_absindex(from, i);
	switch (lua_type(from, i)) {
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
		s = lua_tolstring(from, i, &len);
		lua_pushlstring(to, s, len);
		break;
	case LUA_TTABLE:
		lua_newtable(to);
		for (lua_pushnil(from); lua_next(from, i); lua_pop(from, 1)) {
			copy(to, from, -2);
			copy(to, from, -1);
			lua_rawset(to, -3);
		}
		break;
	default:
		lua_pushnil(to);
		break;
	}
}

static int sandbox_new(lua_State *H)
{
	lua_State *L = luaL_newstate();
	int top = lua_gettop(H), status;

	luaL_openlibs(L);
	if (luaL_loadstring(L, lua_tostring(H, 1)) != LUA_OK)
		exit(4);
	lua_pushcfunction(L, compile);
	for (int i = 2; i <= top; i++)
		copy(L, H, i);
	status = lua_pcall(L, top, LUA_MULTRET, 0);
	lua_pushboolean(H, status == LUA_OK);
	for (int i = 1; status == LUA_OK && i <= lua_gettop(L); i++)
		copy(H, L, i);
	lua_close(L);
	return lua_gettop(H) - top;
}

static int sandbox_same(lua_State *L)
{
	int top = lua_gettop(L), status;

	lua_pushvalue(L, 1);
	if (lua_rawget(L, LUA_REGISTRYINDEX) != LUA_TFUNCTION) {
		lua_pop(L, 1);
		if (luaL_loadstring(L, lua_tostring(L, 1)) != LUA_OK)
			exit(4);
		lua_pushvalue(L, 1);
		lua_pushvalue(L, -2);
		lua_rawset(L, LUA_REGISTRYINDEX);
	}
	lua_replace(L, 1);
	lua_pushcfunction(L, compile);
	lua_insert(L, 2);
	status = lua_pcall(L, top, LUA_MULTRET, 0);
	lua_pushboolean(L, status == LUA_OK);
	lua_insert(L, 1);
	return status == LUA_OK ? lua_gettop(L) : 1;
}

static void plain(const char *what, lua_CFunction sandbox)
{
	lua_State *L = luaL_newstate();
	double w, c;
	size_t solved = 0;

	luaL_openlibs(L);
	lua_pushcfunction(L, sandbox);
	lua_setglobal(L, "sandbox");
	if (luaL_dofile(L, env_path) != LUA_OK)
		exit(4);
	w = wall();
	c = cpu();
	for (size_t i = 0; i < n; i++) {
		for (int k = 0; k < 2; k++) { /* the oracle gets what grade returned, at 2 */
			lua_getfield(L, 1, k ? "oracle" : "grade");
			moe_lua_push_rec(L, item[i].env);
			lua_pushlstring(L, item[i].completion.p, item[i].completion.n);
			if (k)
				lua_pushvalue(L, 2);
			lua_call(L, 2 + k, 1);
			solved += k && lua_toboolean(L, -1);
			lua_settop(L, k ? 1 : 2);
		}
	}
	say(what, wall() - w, cpu() - c, solved);
	lua_close(L);
}

int main(int argc, char **argv)
{
	char what[64];

	if (argc != 4)
		return 2;
	env_path = argv[1];
	n = (size_t)strtoul(argv[2], NULL, 10);
	fill();
	snprintf(what, sizeof what, "worker processes: %s", argv[3]);
	ours(what, (struct moe_grader_opts){ .workers = (int)strtol(argv[3], NULL, 10) });
	ours("our states, this process", (struct moe_grader_opts){ .in_process = true });
	plain("plain Lua, a new state for each run", sandbox_new);
	plain("plain Lua, one state, nothing isolated", sandbox_same);
	return 0;
}
