/* judge.c - one rollout through the environment's grade() and oracle(). Not a sandbox by itself. */
#include "env/judge.h"
#include "util/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct hearing {
	const struct moe_grade_item *item;
	struct moe_grade *out;
};

static void push_case(lua_State *L, const char *fn, const struct moe_grade_item *item)
{
	moe_env_function(L, fn);
	moe_lua_push_rec(L, item->env);
	lua_pushlstring(L, item->completion.n ? item->completion.p : "", item->completion.n);
}

/* grade(task, completion) -> { name = number, ... } */
static int hear_grade(lua_State *L)
{
	struct hearing *h = lua_touserdata(L, 1);
	struct moe_grade *g = h->out;
	int table;

	push_case(L, "grade", h->item);
	lua_call(L, 2, 1);
	if (lua_type(L, -1) != LUA_TTABLE)
		return luaL_error(L, "grade does not return a table");
	table = lua_gettop(L);
	lua_getglobal(L, "pairs"); /* ours: keys in order, so that the parts come in the same order
				      every time */
	lua_pushvalue(L, table);
	lua_call(L, 1, 3);
	for (;;) {
		lua_pushvalue(L, table + 1);
		lua_pushvalue(L, table + 2);
		lua_pushvalue(L, table + 3);
		lua_call(L, 2, 2);
		if (lua_isnil(L, -2))
			return 0;
		if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TNUMBER ||
			!isfinite(lua_tonumber(L, -1)))
			return luaL_error(L,
				"grade returns something that is not a name with a finite number");
		if (g->n_part == MOE_GRADE_PARTS_MAX)
			return luaL_error(
				L, "grade returns more than %d parts", MOE_GRADE_PARTS_MAX);
		snprintf(g->part[g->n_part].name, MOE_ENV_NAME_MAX, "%s", lua_tostring(L, -2));
		g->part[g->n_part].value = lua_tonumber(L, -1);
		g->reward += g->part[g->n_part++].value;
		lua_pop(L, 1);
		lua_replace(L, table + 3);
	}
}

/* oracle(task, completion, rewards) -> solved, hacked [, mechanism] */
static int hear_oracle(lua_State *L)
{
	struct hearing *h = lua_touserdata(L, 1);
	struct moe_str mode = { 0 };
	int top = lua_gettop(L);

	push_case(L, "oracle", h->item);
	lua_createtable(L, 0, (int)h->out->n_part);
	for (size_t i = 0; i < h->out->n_part; i++) {
		lua_pushnumber(L, h->out->part[i].value);
		lua_setfield(L, -2, h->out->part[i].name);
	}
	lua_call(L, 3, 3);
	if (lua_type(L, top + 1) != LUA_TBOOLEAN || lua_type(L, top + 2) != LUA_TBOOLEAN)
		return luaL_error(L, "oracle does not return two booleans");
	h->out->solved = lua_toboolean(L, top + 1);
	h->out->hacked = lua_toboolean(L, top + 2);
	if (!h->out->hacked)
		return 0;
	if (lua_type(L, top + 3) == LUA_TSTRING)
		snprintf(h->out->mechanism, sizeof h->out->mechanism, "%s",
			lua_tostring(L, top + 3));
	else if (moe_rec_str(h->item->env, "mode", &mode))
		snprintf(h->out->mechanism, sizeof h->out->mechanism, "%.*s",
			(int)(mode.n < 31 ? mode.n : 31), mode.p);
	return 0;
}

void moe_judge_fault(struct moe_grade *out, enum moe_grade_fault fault, const char *note)
{
	memset(out, 0, sizeof *out);
	out->fault = fault;
	snprintf(out->note, sizeof out->note, "%.159s", note);
}

void moe_judge(
	struct moe_env *v, uint64_t seed, const struct moe_grade_item *item, struct moe_grade *out)
{
	static const struct {
		lua_CFunction fn;
		const char *name;
	} part[] = { { hear_grade, "grade" }, { hear_oracle, "oracle" } };
	struct hearing h = { item, out };
	struct moe_err e;

	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < 2; i++) {
		moe_lua_reset(&v->lua, v->steps);
		v->lua.rng = moe_rng_key(seed, part[i].name);
		v->lua.rng_a = item->key;
		if (moe_lua_call(&v->lua, part[i].fn, &h, 0) == LUA_OK)
			continue;
		moe_lua_fail(&v->lua, &e, MOE_DATA, part[i].name);
		moe_judge_fault(out, MOE_GRADE_ERROR, e.msg);
		return;
	}
	if (!isfinite(out->reward)) /* finite parts whose sum overflows */
		moe_judge_fault(
			out, MOE_GRADE_ERROR, "grade: the parts do not add up to a finite number");
}

static bool is_text(const char *s, size_t cap)
{
	const char *end = memchr(s, 0, cap);

	return end && moe_utf8_valid(s, (size_t)(end - s));
}

void moe_judge_accept(struct moe_grade *out, const void *from)
{
	unsigned char solved, hacked;
	bool good;

	memcpy(out, from, sizeof *out);
	memcpy(&solved, &out->solved, 1); /* a bool that is neither may not even be looked at */
	memcpy(&hacked, &out->hacked, 1);
	good = solved <= 1 && hacked <= 1 && out->n_part <= MOE_GRADE_PARTS_MAX &&
		isfinite(out->reward) && (unsigned)out->fault < MOE_GRADE_FAULTS &&
		is_text(out->mechanism, sizeof out->mechanism) &&
		memchr(out->note, 0, sizeof out->note);
	for (size_t i = 0; good && i < out->n_part; i++)
		good = isfinite(out->part[i].value) && is_text(out->part[i].name, MOE_ENV_NAME_MAX);
	if (!good)
		moe_judge_fault(out, MOE_GRADE_DIED, "the grading process sent a malformed answer");
}
