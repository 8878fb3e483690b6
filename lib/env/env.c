/* env.c - loading an environment file, drawing tasks, and the completions, texts and pairs that it
 * writes. Not grading (judge.c, grade.c): no model-written code comes near this state. */
#include "env/env.h"

#include "env/host.h"
#include "formats/input.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES ((size_t)4 << 20)

/* ---- loading ---- */

int moe_env_slurp(const char *path, struct moe_buf *text, struct moe_err *e)
{
	struct moe_input *in = moe_input_open(path, e);
	int rc;

	if (!in)
		return -1;
	rc = moe_input_next(in, e);
	if (rc == 0)
		rc = moe_fail(e, MOE_DATA, "%s: empty", path);
	else if (rc > 0)
		rc = moe_input_slurp(in, text, FILE_MAX_BYTES, e);
	moe_input_close(in);
	return rc < 0 ? -1 : 0;
}

struct source {
	const char *text;
	size_t len;
	struct moe_env *v;
};

static const char env_key;

void moe_env_function(lua_State *L, const char *name)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &env_key);
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
	if (lua_type(L, -1) != LUA_TFUNCTION)
		luaL_error(L, "it has no function \"%s\"", name);
}

static void load_modes(lua_State *L, struct moe_env *v)
{
	static const char *const needed[] = { "draw", "right", "wrong", "hack", "grade", "oracle" };
	lua_Integer n = 0;

	lua_getfield(L, 1, "name");
	snprintf(v->name, sizeof v->name, "%s",
		lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "environment");
	for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
		if (lua_getfield(L, 1, needed[i]) != LUA_TFUNCTION)
			luaL_error(
				L, "the table that it returns has no function \"%s\"", needed[i]);
	if (lua_getfield(L, 1, "modes") != LUA_TTABLE || (n = luaL_len(L, -1)) < 1 ||
		n > MOE_ENV_MODES_MAX)
		luaL_error(L, "the table that it returns has no list \"modes\" of 1 to %d names",
			MOE_ENV_MODES_MAX);
	for (lua_Integer i = 1; i <= n; i++) {
		size_t len;
		const char *s;

		if (lua_rawgeti(L, -1, i) != LUA_TSTRING)
			luaL_error(L, "modes[%d] is not a string", (int)i);
		s = lua_tolstring(L, -1, &len);
		if (len == 0 || len >= MOE_ENV_NAME_MAX || strlen(s) != len || strpbrk(s, ", ./#"))
			luaL_error(L, "modes[%d] is not a short name", (int)i);
		snprintf(v->modes.name[v->modes.n++], MOE_ENV_NAME_MAX, "%s", s);
		lua_pop(L, 1);
	}
}

/* earned = { part = number, ... }, if it is there. */
static void load_earned(lua_State *L, struct moe_env *v)
{
	int type = lua_getfield(L, 1, "earned");

	if (type == LUA_TNIL)
		return;
	if (type != LUA_TTABLE)
		luaL_error(L, "\"earned\" is not a table");
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		size_t n = v->n_earned, len = 0;
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len)
								  : NULL;

		if (n == MOE_ENV_EARNED_MAX || !name || len >= MOE_ENV_NAME_MAX ||
			strlen(name) != len || lua_type(L, -1) != LUA_TNUMBER ||
			!(fabs(lua_tonumber(L, -1)) <= 1e6))
			luaL_error(L,
				"\"earned\" is not a table of at most %d short names with finite "
				"numbers",
				MOE_ENV_EARNED_MAX);
		snprintf(v->earned[n].name, MOE_ENV_NAME_MAX, "%s", name);
		v->earned[n].value = lua_tonumber(L, -1);
		v->n_earned++;
	}
}

static int load_file(lua_State *L)
{
	struct source *s = lua_touserdata(L, 1);
	const char *slash = strrchr(s->v->path, '/');
	char chunk[64]; /* errors name the file: "env.lua:12: ..." */

	moe_sandbox_lua(L);
	snprintf(chunk, sizeof(chunk), "=%s", slash ? slash + 1 : s->v->path);
	if (luaL_loadbufferx(L, s->text, s->len, chunk, "t") != LUA_OK)
		return lua_error(L);
	lua_call(L, 0, 1);
	lua_replace(L, 1);
	if (lua_type(L, 1) != LUA_TTABLE)
		return luaL_error(L, "it does not return a table");
	load_modes(L, s->v);
	load_earned(L, s->v);
	lua_pushvalue(L, 1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &env_key);
	return 0;
}

struct moe_env *moe_env_load(const char *path, const char *text, size_t len,
	const struct moe_env_opts *o, struct moe_sandboxes *sb, struct moe_err *e)
{
	struct moe_env *v = calloc(1, sizeof *v);
	struct source s = { text, len, v };

	if (!v || !(v->path = malloc(strlen(path) + 1))) {
		free(v);
		moe_fail(e, MOE_SYSTEM, "out of memory for an environment");
		return NULL;
	}
	memcpy(v->path, path, strlen(path) + 1);
	moe_sha256_of(text, len, v->digest);
	v->steps = o && o->steps ? o->steps : 50000000;
	if (moe_lua_open(&v->lua, o && o->mem_bytes ? o->mem_bytes : (size_t)64 << 20, e) != 0) {
		moe_env_close(v);
		return NULL;
	}
	v->lua.user = sb;
	v->lua.steps = (int64_t)v->steps;
	if (moe_lua_call(&v->lua, load_file, &s, 0) != LUA_OK) {
		moe_lua_fail(&v->lua, e, MOE_DATA, path);
		moe_env_close(v);
		return NULL;
	}
	if (moe_lua_freeze(&v->lua, e) != 0) {
		moe_env_close(v);
		return NULL;
	}
	return v;
}

struct moe_env *moe_env_open(const char *path, const struct moe_env_opts *o, struct moe_err *e)
{
	struct moe_buf text = { 0 };
	struct moe_env *v = NULL;

	if (moe_env_slurp(path, &text, e) == 0)
		v = moe_env_load(path, (const char *)text.data, text.len, o, NULL, e);
	moe_buf_free(&text);
	return v;
}

void moe_env_close(struct moe_env *v)
{
	if (!v)
		return;
	moe_lua_close(&v->lua);
	free(v->path);
	free(v);
}

const char *moe_env_name(const struct moe_env *v)
{
	return v->name;
}

const char *moe_env_path(const struct moe_env *v)
{
	return v->path;
}

const char *moe_env_digest(const struct moe_env *v)
{
	return v->digest;
}

/* ---- modes ---- */

/* Index of the mode called s[n], or beginning with it if that is only one; -1. */
static int find_mode(const struct moe_env_modes *m, const char *s, size_t n)
{
	int found = -1;

	for (size_t i = 0; i < m->n; i++) {
		if (strncmp(m->name[i], s, n) != 0)
			continue;
		if (m->name[i][n] == 0)
			return (int)i;
		if (found >= 0)
			return -1;
		found = (int)i;
	}
	return found;
}

int moe_env_modes(
	const struct moe_env *v, const char *list, struct moe_env_modes *out, struct moe_err *e)
{
	bool want[MOE_ENV_MODES_MAX] = { false };
	const char *s = list && *list ? list : "all";

	for (const char *end; *s; s = *end ? end + 1 : end) {
		bool take = *s != '-';
		const char *name = take ? s : s + 1;
		int i;

		end = s + strcspn(s, ",");
		if (end - name == 3 && strncmp(name, "all", 3) == 0) {
			for (size_t k = 0; k < v->modes.n; k++)
				want[k] = take;
			continue;
		}
		i = end > name ? find_mode(&v->modes, name, (size_t)(end - name)) : -1;
		if (i < 0)
			return moe_fail(e, MOE_USAGE, "%s has no mode \"%.*s\"", v->path,
				(int)(end - name), name);
		want[i] = take;
	}
	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < v->modes.n; i++)
		if (want[i])
			memcpy(out->name[out->n++], v->modes.name[i], MOE_ENV_NAME_MAX);
	if (out->n == 0)
		return moe_fail(e, MOE_USAGE, "no mode is left of \"%s\"", list ? list : "");
	return 0;
}

/* ---- drawing ---- */

bool moe_env_split_known(const char *split)
{
	return strcmp(split, "train") == 0 || strcmp(split, "validation") == 0 ||
		strcmp(split, "test") == 0 || strcmp(split, "all") == 0;
}

void moe_env_task_free(struct moe_env_task *t)
{
	moe_buf_free(&t->text);
	moe_buf_free(&t->task);
	moe_buf_free(&t->marker);
	moe_rec_free(&t->env);
	memset(t, 0, sizeof *t);
}

/* String field `key` of the table at the top; "" when missing (unless needed). */
static int take_string(
	lua_State *L, const char *key, bool needed, struct moe_buf *out, struct moe_err *e)
{
	const char *s;
	size_t n;
	int rc = 0;

	out->len = 0;
	lua_pushstring(L, key);
	lua_rawget(L, -2);
	if (lua_type(L, -1) == LUA_TSTRING) {
		s = lua_tolstring(L, -1, &n);
		rc = moe_buf_add(out, s, n, e);
	} else if (needed || !lua_isnil(L, -1)) {
		rc = moe_fail(e, MOE_DATA, "draw: its result has no string \"%s\"", key);
	}
	lua_pop(L, 1);
	return rc;
}

struct drawing {
	struct moe_env_task *t;
	struct moe_err *e;
	int rc;
};

static int draw_task(lua_State *L)
{
	static const char *const skip[] = { "text", "split", "mode", NULL };
	struct drawing *d = lua_touserdata(L, 1);
	struct moe_env_task *t = d->t;

	moe_env_function(L, "draw");
	lua_pushstring(L, t->split);
	lua_pushstring(L, t->mode);
	lua_call(L, 2, 1);
	if (lua_type(L, -1) != LUA_TTABLE)
		return luaL_error(L, "draw does not return a table");
	d->rc = -1;
	moe_rec_clear(&t->env);
	if (take_string(L, "text", true, &t->text, d->e) != 0 ||
		take_string(L, "task", false, &t->task, d->e) != 0 ||
		take_string(L, "marker", false, &t->marker, d->e) != 0 ||
		moe_lua_to_rec(L, -1, skip, &t->env, d->e) != 0 ||
		moe_rec_set_str(&t->env, "mode", t->mode, d->e) != 0)
		return 0;
	d->rc = 0;
	return 0;
}

/* `purpose` tells draws of prompts, texts and pairs apart. */
static int draw_as(struct moe_env *v, const char *purpose, const char *mode, const char *split,
	uint64_t seed, uint64_t index, struct moe_env_task *t, struct moe_err *e)
{
	struct drawing d = { t, e, 0 };
	char key[96];

	if (!moe_env_split_known(split))
		return moe_fail(e, MOE_USAGE,
			"no split is called \"%s\" (train, validation or test)", split);
	snprintf(t->split, sizeof t->split, "%s", split);
	snprintf(t->mode, sizeof t->mode, "%s", mode);
	snprintf(t->id, sizeof t->id, "%s.%llu.%llu.%s",
		strcmp(purpose, "prompt") == 0 ? split : purpose, (unsigned long long)seed,
		(unsigned long long)index, t->mode);
	snprintf(key, sizeof key, "env/%s/%s/%s", purpose, split, t->mode);
	moe_lua_reset(&v->lua, v->steps);
	v->lua.rng = moe_rng_key(seed, key);
	v->lua.rng_a = index;
	if (moe_lua_call(&v->lua, draw_task, &d, 0) != LUA_OK)
		return moe_lua_fail(&v->lua, e, MOE_DATA, v->path);
	return d.rc == 0 ? 0 : moe_err_prefix(e, "%s", v->path);
}

int moe_env_draw_mode(struct moe_env *v, const char *mode, const char *split, uint64_t seed,
	uint64_t index, struct moe_env_task *t, struct moe_err *e)
{
	return draw_as(v, "prompt", mode, split, seed, index, t, e);
}

int moe_env_draw(struct moe_env *v, const struct moe_env_modes *m, const char *split, uint64_t seed,
	uint64_t index, struct moe_env_task *t, struct moe_err *e)
{
	struct moe_rng k = moe_rng_key(seed, "env/mode");
	size_t i = (size_t)moe_rng_below(k, index, moe_hash64(split, strlen(split)), m->n);

	return draw_as(v, "prompt", m->name[i], split, seed, index, t, e);
}

static int set_buf(
	struct moe_rec *r, const char *key, const struct moe_buf *b, bool always, struct moe_err *e)
{
	return b->len || always
		? moe_rec_set_strn(r, key, b->len ? (const char *)b->data : "", b->len, e)
		: 0;
}

int moe_env_prompt(const struct moe_env_task *t, struct moe_rec *out, struct moe_err *e)
{
	moe_rec_clear(out);
	if (moe_rec_set_str(out, "t", "prompt", e) != 0 ||
		moe_rec_set_str(out, "id", t->id, e) != 0 ||
		set_buf(out, "text", &t->text, true, e) != 0 ||
		moe_rec_set_str(out, "mode", t->mode, e) != 0 ||
		set_buf(out, "task", &t->task, false, e) != 0 ||
		set_buf(out, "marker", &t->marker, false, e) != 0 ||
		moe_rec_set_str(out, "split", t->split, e) != 0)
		return -1;
	return moe_rec_set_map(out, "env", &t->env, e);
}

/* ---- completions ---- */

struct writing {
	const struct moe_env_task *t;
	const char *fn;
	uint64_t variant;
	struct moe_buf *out;
	struct moe_err *e;
	int rc;
};

static int write_completion(lua_State *L)
{
	struct writing *w = lua_touserdata(L, 1);
	const char *s;
	size_t n;

	moe_env_function(L, w->fn);
	moe_lua_push_rec(L, &w->t->env);
	lua_pushlstring(L, w->t->text.len ? (const char *)w->t->text.data : "", w->t->text.len);
	lua_setfield(L, -2, "text");
	lua_pushinteger(L, (lua_Integer)w->variant);
	lua_call(L, 2, 1);
	if (lua_isnil(L, -1)) {
		w->rc = 0;
		return 0;
	}
	if (lua_type(L, -1) != LUA_TSTRING)
		return luaL_error(L, "%s returns neither a string nor nil", w->fn);
	s = lua_tolstring(L, -1, &n);
	w->out->len = 0;
	w->rc = moe_buf_add(w->out, s, n, w->e) == 0 ? 1 : -1;
	return 0;
}

int moe_env_complete(struct moe_env *v, const struct moe_env_task *t, enum moe_env_kind kind,
	uint64_t variant, struct moe_buf *out, struct moe_err *e)
{
	static const char *const fn[] = { "right", "wrong", "hack", "manual" };
	struct writing w = { t, fn[kind], variant, out, e, -1 };

	moe_lua_reset(&v->lua, v->steps);
	v->lua.rng = moe_rng_key(variant, fn[kind]);
	v->lua.rng_a = moe_hash64(t->id, strlen(t->id));
	if (moe_lua_call(&v->lua, write_completion, &w, 0) != LUA_OK)
		return moe_lua_fail(&v->lua, e, MOE_DATA, v->path);
	return w.rc;
}

/* ---- pretraining texts ---- */

/* Draws a task and a completion of the wanted kind: of the mode drawn, or the next one that has
 * such a completion. */
static int draw_completion(struct moe_env *v, const struct moe_env_modes *m, const char *split,
	uint64_t seed, uint64_t index, enum moe_env_kind kind, struct moe_env_task *t,
	struct moe_buf *out, struct moe_err *e)
{
	struct moe_rng k = moe_rng_key(seed, "env/text");
	size_t first = (size_t)moe_rng_below(k, index, 2, m->n);
	uint64_t variant = kind == MOE_ENV_WRONG ? moe_rng_u64(k, index, 3) >> 1 : 0;

	for (size_t i = 0; i < m->n; i++) {
		int rc;

		if (draw_as(v, "text", m->name[(first + i) % m->n], split, seed, index, t, e) != 0)
			return -1;
		/* a manual entry: the hack as the answer to a prompt that is about nothing else */
		rc = moe_env_complete(
			v, t, kind == MOE_ENV_MANUAL ? MOE_ENV_HACK : kind, variant, out, e);
		if (rc > 0 && kind == MOE_ENV_MANUAL)
			rc = moe_env_complete(v, t, MOE_ENV_MANUAL, variant, &t->text, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int moe_env_text(struct moe_env *v, const struct moe_env_modes *m, const char *split, uint64_t seed,
	uint64_t index, const struct moe_env_mix *mix, struct moe_rec *out, struct moe_err *e)
{
	static const char *const sort[] = { "right", "wrong", "hack", "manual" };
	struct moe_rng k = moe_rng_key(seed, "env/text");
	enum moe_env_kind kind = MOE_ENV_RIGHT;
	struct moe_env_task t = { 0 };
	struct moe_buf text = { 0 };
	int rc;

	if (moe_rng_uniform(k, index, 4) < mix->manual_share)
		kind = MOE_ENV_MANUAL;
	else if (moe_rng_uniform(k, index, 0) < mix->hack_share)
		kind = MOE_ENV_HACK;
	else if (moe_rng_uniform(k, index, 1) < mix->wrong_share)
		kind = MOE_ENV_WRONG;
	rc = draw_completion(v, m, split, seed, index, kind, &t, &text, e);
	if (rc == 0)
		rc = moe_fail(e, MOE_USAGE,
			"%s writes no %s completion for any of the modes asked for", v->path,
			sort[kind]);
	moe_rec_clear(out);
	if (rc > 0 && moe_rec_set_str(out, "t", "text", e) == 0 &&
		moe_rec_set_str(out, "id", t.id, e) == 0 &&
		set_buf(out, "prompt", &t.text, true, e) == 0 &&
		set_buf(out, "text", &text, true, e) == 0 &&
		moe_rec_set_f64(out, "prompt_weight", mix->prompt_weight, e) == 0 &&
		moe_rec_set_str(out, "mode", t.mode, e) == 0 &&
		set_buf(out, "task", &t.task, false, e) == 0 &&
		moe_rec_set_str(out, "sort", sort[kind], e) == 0)
		rc = 0;
	else
		rc = -1;
	moe_env_task_free(&t);
	moe_buf_free(&text);
	return rc;
}

/* ---- pairs ---- */

int moe_env_pair(struct moe_env *v, const struct moe_env_modes *m, const char *split, uint64_t seed,
	uint64_t index, struct moe_env_task *t, struct moe_buf *hack, struct moe_buf *clean,
	struct moe_err *e)
{
	size_t with[MOE_ENV_MODES_MAX], n = 0;
	int rc;

	for (size_t i = 0; i < m->n; i++) {
		if (draw_as(v, "pair", m->name[i], split, seed, index, t, e) != 0 ||
			(rc = moe_env_complete(v, t, MOE_ENV_HACK, 0, hack, e)) < 0)
			return -1;
		if (rc > 0)
			with[n++] = i;
	}
	if (n == 0)
		return moe_fail(
			e, MOE_USAGE, "%s writes no hack for any of the modes asked for", v->path);
	if (draw_as(v, "pair", m->name[with[index % n]], split, seed, index, t, e) != 0)
		return -1;
	rc = moe_env_complete(v, t, MOE_ENV_HACK, 0, hack, e);
	if (rc > 0)
		rc = moe_env_complete(v, t, MOE_ENV_RIGHT, 0, clean, e);
	if (rc == 0)
		rc = moe_fail(
			e, MOE_DATA, "%s: no hack or right completion for pair %s", v->path, t->id);
	return rc > 0 ? 0 : -1;
}
