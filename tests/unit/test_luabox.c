/* test_luabox.c - Lua states that are images: what they offer, that nothing survives a reset,
 * limits, and the copying of plain values. */
#include "env/luabox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct moe_lua box;

static int setup(void **state)
{
	(void)state;
	return moe_lua_open(&box, (size_t)4 << 20, NULL) == 0 && moe_lua_freeze(&box, NULL) == 0
		? 0
		: -1;
}

static int teardown(void **state)
{
	(void)state;
	moe_lua_close(&box);
	return 0;
}

static int run_text(lua_State *L)
{
	const char *text = lua_touserdata(L, 1);

	if (luaL_loadbufferx(L, text, strlen(text), "=t", "t") != LUA_OK)
		return lua_error(L);
	lua_call(L, 0, 1);
	return 1;
}

/* What the text returns, as a string; "ERROR: ..." when it raises. Valid until the next call. */
static const char *result(const char *text)
{
	static char out[512];
	int status = moe_lua_call(&box, run_text, (void *)(uintptr_t)text, 1);
	/* a message needs no memory, which may be used up */
	const char *s = status != LUA_OK && lua_type(box.L, -1) == LUA_TSTRING
		? lua_tostring(box.L, -1)
		: luaL_tolstring(box.L, -1, NULL);

	strcpy(out, status == LUA_OK ? "" : "ERROR: ");
	strncat(out, strncmp(s, "t:1: ", 5) == 0 ? s + 5 : s, sizeof out - strlen(out) - 1);
	lua_settop(box.L, 0);
	return out;
}

static void expect(const char *text, const char *want)
{
	moe_lua_reset(&box, 100000);
	assert_string_equal(result(text), want);
}

static void test_keys_come_in_order(void **state)
{
	(void)state;
	expect("local s='' for k,v in "
	       "pairs{b=1,a=2,[3]=1,[1.5]=1,[-2]=1,[true]=1,[false]=1,aa=1,['']=1} do "
	       "s=s..tostring(k)..' ' end return s",
		"-2 1.5 3  a aa b false true ");
	expect("local s='' local t={z=1,y=2,[9]=3,[true]=4,x=5} for k,v in next,t do "
	       "s=s..tostring(k)..v..' ' end return s",
		"93 x5 y2 z1 true4 ");
	expect("return next{}", "nil");
	expect("return next({},nil)", "nil");
	expect("local t={} for i=1,500 do t['k'..i]=i end local n,last,ok=0,'',true for k,v in "
	       "pairs(t) do n=n+v ok=ok and last<k last=k end return n..tostring(ok)",
		"125250true");
	expect("local t={a=1,b=2,c=3} for k in pairs(t) do t[k]=nil end return next(t)",
		"nil"); /* clearing on the way is allowed */
	expect("local n=0 local t={1,2,3,x=1} for k,v in pairs(t) do t.x=nil n=n+1 end return n",
		"3");
	expect("local t=setmetatable({},{__pairs=function(t) return function(_,k) if not k then "
	       "return 1,2 end end,t,nil end}) for k,v in pairs(t) do return k+v end",
		"3");
	expect("local n=0 local a,b={},{} for k,v in pairs{[a]=1,[b]=2,[print or 1]=3,5} do n=n+v "
	       "end return n",
		"8");
	expect("local n=0 local a,b={},{} for k,v in next,{[a]=1,[b]=2,x=4,5} do n=n+v end return "
	       "n",
		"12");
	expect("return pairs(nil)", "ERROR: bad argument #1 to 'pairs' (table expected, got nil)");
}

static void test_text_shows_no_addresses(void **state)
{
	(void)state;
	expect("return "
	       "tostring({})..tostring(next)..tostring(setmetatable({},{__tostring=function() "
	       "return 'mine' end}))",
		"tablefunctionmine");
	expect("return tostring(nil)..tostring(1.0)..tostring(-7)..tostring(true)", "nil1.0-7true");
	expect("return string.format('%s|%5.2f|%d|%q|%%p',{},1.5,3,'x')", "table| 1.50|3|\"x\"|%p");
	expect("return string.format('%p',1)", "ERROR: format '%p' is not offered");
	expect("return('%-5s|'):format('ab')", "ab   |");
}

static void test_xpcall_is_what_it_was(void **state)
{
	(void)state;
	expect("local a,b,c=xpcall(function(x,y) return x+y,'z' end,print or error,3,4) return "
	       "tostring(a)..b..c",
		"true7z");
	expect("local a,b=xpcall(function(x) error('no',0) end,function(m) return m..'!' end) "
	       "return tostring(a)..b",
		"falseno!");
	expect("local a,b=xpcall(error,function(m) return m end,{1}) return tostring(a)..#b",
		"false1");
	expect("return xpcall(error)",
		"ERROR: bad argument #2 to 'xpcall' (function expected, got no value)");
}

static void test_what_is_missing(void **state)
{
	(void)state;
	expect("local s='' for _,n in "
	       "ipairs{'load','loadstring','loadfile','dofile','collectgarbage','print','warn','require','os','io','debug','package','coroutine'} "
	       "do s=s..tostring(_G[n]) end return s",
		"nilnilnilnilnilnilnilnilnilnilnilnilnil");
	expect("return tostring(string.dump)..tostring(math.randomseed)", "nilnil");
}

static void test_random_numbers_are_keyed(void **state)
{
	char a[64], b[64];

	(void)state;
	moe_lua_reset(&box, 100000);
	box.rng = moe_rng_key(3, "x");
	box.rng_a = 5;
	strcpy(a, result("return math.random(1000000)..' '..math.random()..' '..math.random(5,9)"));
	moe_lua_reset(&box, 100000);
	strcpy(b, result("return math.random(1000000)..' '..math.random()..' '..math.random(5,9)"));
	assert_string_equal(a, b);
	moe_lua_reset(&box, 100000);
	box.rng_a = 6;
	strcpy(b, result("return math.random(1000000)..' '..math.random()..' '..math.random(5,9)"));
	assert_string_not_equal(a, b);
	expect("local n={} for i=1,3000 do local k=math.random(3) n[k]=(n[k] or 0)+1 end return "
	       "#n==3 and n[1]>900 and n[2]>900 and n[3]>900",
		"true");
	expect("return math.random(3,2)", "ERROR: interval of random is empty");
	expect("for i=1,100 do local x=math.random() if x<0 or x>=1 then return x end end return "
	       "math.type(math.random(0))",
		"integer");
	expect("return "
	       "math.random(math.mininteger,math.maxinteger)~=math.random(math.mininteger,math.maxinteger)",
		"true");
}

static void test_reset_brings_everything_back(void **state)
{
	(void)state;
	expect("x=1 string.y=2 getmetatable('').z=3 setmetatable(_G,{}) return x", "1");
	expect("return "
	       "tostring(x)..tostring(string.y)..tostring(getmetatable('').z)..tostring(getmetatable(_G))",
		"nilnilnilnil");
	expect("local t={} for i=1,1e9 do t[i]={} end", "ERROR: not enough memory");
	expect("return 1", "1");
	expect("while true do end", "ERROR: too many steps");
	expect("local n=0 for i=1,20000 do n=n+1 end return n", "20000");
	for (int i = 0; i < 2000; i++)
		expect("t={} for i=1,50 do t[i]=('x'):rep(i) end return #table.concat(t)", "1275");
}

static void test_limits_cannot_be_caught(void **state)
{
	(void)state;
	expect("local n=0 while true do n=n+1 pcall(function() while true do end end) end",
		"ERROR: too many steps");
	assert_int_equal(box.stop, MOE_LUA_STEPS);
	expect("local ok,m=pcall(string.rep,'x',1e8) return tostring(ok)..m",
		"falsenot enough memory"); /* a single one can */
	assert_int_equal(box.stop, MOE_LUA_RUNS);
	moe_lua_reset(&box, 1u << 30);
	result("while true do pcall(string.rep,'x',2e6) end");
	assert_int_equal(
		box.stop, MOE_LUA_MEMORY); /* all memory asked for in one run is limited too */
}

static int copy_back(lua_State *L)
{
	lua_State *from = lua_touserdata(L, 1);

	lua_settop(L, 0);
	moe_lua_copy(L, from, -1);
	return 1;
}

/* The value of `text` copied into another state. */
static const char *copied(const char *text)
{
	static char out[256];
	struct moe_lua to;
	int status;

	moe_lua_reset(&box, 100000);
	assert_int_equal(moe_lua_call(&box, run_text, (void *)(uintptr_t)text, 1), LUA_OK);
	assert_int_equal(moe_lua_open(&to, (size_t)4 << 20, NULL), 0);
	status = moe_lua_call(&to, copy_back, box.L, 1);
	if (status == LUA_OK && lua_type(to.L, -1) == LUA_TTABLE) {
		lua_getfield(to.L, -1, "a");
		lua_rawgeti(to.L, -2, 2);
		lua_concat(to.L, 2);
	}
	strcpy(out, status == LUA_OK ? "" : "ERROR: ");
	strncat(out, luaL_tolstring(to.L, -1, NULL), sizeof out - strlen(out) - 1);
	moe_lua_close(&to);
	return out;
}

static void test_plain_values_are_copied(void **state)
{
	(void)state;
	assert_string_equal(copied("return {a='x',1,2.5,{3}}"), "x2.5");
	assert_string_equal(copied("return math.mininteger"), "-9223372036854775808");
	assert_string_equal(copied("return 1e300"), "1e+300");
	assert_string_equal(copied("return 'a\\0b' == 'a\\0b'"), "true");
	assert_string_equal(copied("return nil"), "nil");
	assert_string_equal(copied("return next"), "ERROR: a function is no plain value");
	assert_string_equal(copied("return {a=1,{next}}"), "ERROR: a function is no plain value");
	assert_string_equal(
		copied("local t={} t[1]=t return t"), "ERROR: tables nest deeper than 8");
	assert_string_equal(copied("local t={} for i=1,40000 do t[i]=i end return t"),
		"ERROR: more than 65536 values");
	assert_string_equal(
		copied("return setmetatable({a=1,2,3},{__index=error,__pairs=error,__len=error})"),
		"13");
}

static void test_records_become_tables_and_back(void **state)
{
	struct moe_rec a = { 0 }, b = { 0 };
	struct moe_buf ba = { 0 }, bb = { 0 };
	static const char *const skip[] = { "gone", NULL };
	const struct moe_str list[] = { { "x", 1 }, { "yy", 2 } };
	const int32_t numbers[] = { 1, -5, INT32_MAX };

	(void)state;
	moe_lua_reset(&box, 100000);
	assert_int_equal(moe_rec_set_str(&a, "s", "text", NULL), 0);
	assert_int_equal(moe_rec_set_int(&a, "i", -7, NULL), 0);
	assert_int_equal(moe_rec_set_f64(&a, "f", 1.5, NULL), 0);
	assert_int_equal(moe_rec_set_bool(&a, "b", true, NULL), 0);
	assert_int_equal(moe_rec_set_strs(&a, "list", list, 2, NULL), 0);
	assert_int_equal(moe_rec_set_i32s(&a, "numbers", numbers, 3, NULL), 0);
	moe_lua_push_rec(box.L, &a);
	lua_pushinteger(box.L, 1);
	lua_setfield(box.L, -2, "gone");
	assert_int_equal(moe_lua_to_rec(box.L, -1, skip, &b, NULL), 0);
	assert_int_equal(moe_rec_emit(&a, &ba, NULL), 0);
	assert_int_equal(moe_rec_emit(&b, &bb, NULL), 0);
	assert_int_equal(ba.len, bb.len);
	assert_memory_equal(ba.data, bb.data, ba.len);
	moe_rec_free(&a);
	moe_rec_free(&b);
	moe_buf_free(&ba);
	moe_buf_free(&bb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_come_in_order),
		cmocka_unit_test(test_text_shows_no_addresses),
		cmocka_unit_test(test_xpcall_is_what_it_was),
		cmocka_unit_test(test_what_is_missing),
		cmocka_unit_test(test_random_numbers_are_keyed),
		cmocka_unit_test(test_reset_brings_everything_back),
		cmocka_unit_test(test_limits_cannot_be_caught),
		cmocka_unit_test(test_plain_values_are_copied),
		cmocka_unit_test(test_records_become_tables_and_back),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
