/* test_attack.c - completions that attack their grader. Each runs between good rollouts, in every
 * mode (those that must be killed: in one or two), and for each: nothing escapes, it gets a defined
 * reward and is neither solved nor hacked, a worker that it spoils is replaced, all others are
 * graded. */
#define _DEFAULT_SOURCE
#include "env/env.h"
#include "env/grade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ENV "examples/quarantine/env.lua"
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CPU_SEC    1.0 /* everything is slower */
#define KILL_MODES 1
#else
#define CPU_SEC    0.2
#define KILL_MODES 2 /* modes in which those that must be killed run */
#endif
#define CANARY "moe-attack-canary"

struct attack {
	const char *text;
	size_t n;   /* 0 = strlen */
	int killed; /* 1: only killing the process ends it; 2: it may be killed or stopped,
		       whichever limit it meets first */
};
#define A(s)                                                                                       \
	{                                                                                          \
		s, 0, 0                                                                            \
	}
#define BYTES(s)                                                                                   \
	{                                                                                          \
		s, sizeof(s) - 1, 0                                                                \
	}
#define KILL(s)                                                                                    \
	{                                                                                          \
		s, 0, 1                                                                            \
	}
#define MAYBE(s)                                                                                   \
	{                                                                                          \
		s, 0, 2                                                                            \
	}

/* ---- endless, in every disguise ---- */
static const struct attack loops[] = {
	A("while true do end"),
	A("repeat until false"),
	A("for i=1,math.huge do end"),
	A("::x:: goto x"),
	A("while true do pcall(function() while true do end end) end"),
	A("local function f() while true do pcall(f) end end f()"),
	A("while true do pcall(error) end"),
	A("while true do xpcall(error,function() while true do end end) end"),
	A("xpcall(function() while true do end end,function() while true do end end)"),
	A("coroutine.wrap(function() while true do end end)()"),
	A("local c=coroutine.create(function() while true do coroutine.yield() end end) while true "
	  "do coroutine.resume(c) end"),
	A("setmetatable(_G,{__index=function() while true do end end}) return x"),
	A("setmetatable(_G,{__newindex=function() while true do end end}) x=1"),
	A("return setmetatable({},{__index=function() while true do end end,__eq=function() while "
	  "true do end end,__lt=function() while true do end end})"),
	A("return setmetatable({},{__add=function() while true do end end})+1"),
	A("return#setmetatable({},{__len=function() while true do end end})"),
	A("return setmetatable({},{__concat=function() while true do end end})..1"),
	A("local x<close> =setmetatable({},{__close=function() while true do end end}) return 1"),
	A("for i=1,10 do local x<close> =setmetatable({},{__close=function() while true do end "
	  "end}) error() end"),
	A("setmetatable({},{__gc=function() while true do end end}) for i=1,1e9 do local t={} end"),
	A("table.sort({3,1,2},function() while true do end end)"),
	A("return(('x'):gsub('x',function() while true do end end))"),
	A("return tostring(setmetatable({},{__tostring=function() while true do end end}))"),
	A("print(setmetatable({},{__tostring=function() while true do end end}))"),
	A("write(setmetatable({},{__tostring=function() while true do end end}))"),
	A("for k in pairs(setmetatable({},{__pairs=function() while true do end end})) do end"),
	A("for x in function() return 1 end do end"),
	A("error(setmetatable({},{__tostring=function() while true do end end}))"),
	A("local t=setmetatable({},{__index=function(t,k) return t[k+1] end}) return t[1]"),
	A("local t={} for i=1,1e9 do t[1]=i for k in next,t do end end"),
	/* in C, where no hook reaches: charged beforehand */
	A("return(''):rep(1<<60)"),
	A("table.move({},1,1<<60,2)"),
	A("table.insert(setmetatable({},{__len=function()return 1<<60 end}),1,0)"),
	A("pcall(table.move,{},1,1<<60,2)"),
	A("while true do pcall(string.rep,'',1<<60) end"),
};

/* ---- memory, output, patterns, recursion ---- */
static const struct attack bombs[] = {
	A("local t={} for i=1,1e12 do t[i]=i end"),
	A("local s='x' while true do s=s..s end"),
	A("local t={} while true do t={t} end"),
	A("return('x'):rep(1e9)"),
	A("return('x'):rep(1e15)"),
	A("return('x'):rep(1<<31):rep(1<<31)"),
	A("return('x'):rep(3e6)..('y'):rep(3e6)"),
	A("while true do pcall(string.rep,'x',3e6) end"),
	A("local t={} while true do pcall(function() for i=1,1e9 do t[#t+1]={i} end end) end"),
	A("return table.concat(setmetatable({},{__index=function() return 'x' end,__len=function() "
	  "return 1e9 end}))"),
	A("return table.unpack({},1,1e7)"),
	A("return table.unpack({},1,1e6)"),
	A("return string.byte(('x'):rep(1e6),1,-1)"),
	A("return select('#',table.unpack({},1,250000))"),
	A("return string.format('%99999d',1)"),
	A("return string.format(('%99d'):rep(9999),1)"),
	A("return table.pack(table.unpack({},1,1e5))"),
	MAYBE("for i=1,1e9 do print(('x'):rep(1000)) end"),
	A("print(('x'):rep(3e6))"),
	A("while true do print() end"),
	A("for i=1,1e9 do write(i,i) end"),
	A("return('x'):rep(3e6)"),
	A("error(('x'):rep(3e6))"),
	A("error({})"),
	A("error()"),
	A("error(error)"),
	A("local function f() return 1+f() end return f()"),
	MAYBE("local function f(...) return f(1,...) end return f()"),
	A("local function f() pcall(f) end f()"),
	A("local function f() return pcall(f) end return f()"),
	A("local t={} setmetatable(t,{__index=t}) getmetatable(t).__index=t return t.x"),
	A("local t=setmetatable({},{__index=function(t,k) return t[k] end}) return t.x"),
	A("local function f(s) return(s:gsub('.',f)) end return f('x')"),
	A("local t={} for i=1,1e5 do t={t} end return t"),
	A("local t={} t[1]=t return t"),
	A("local t={} t.t=t print(t)"),
	A("string.rep=string.rep return('x'):rep(-1)"),
	A("local s=('('):rep(300) return('x'):find(s)"),
	A("return('x'):find(('%'))"),
	A("return string.pack('i99999',1)"),
	A("return utf8.char(table.unpack({},1,1e5))"),
	A("local t={} for i=1,400 do t['k'..i]=i end local n=0 for k,v in pairs(t) do n=n+v end "
	  "return n"),
	A("local t={} for i=1,400 do t[{}]=i end for k in pairs(t) do t[k]=nil end"),
	A("local t={} for i=1,500 do t[i]=i%7 end table.sort(t,function() return true end)"),
	A("local t={} for i=1,300 do t[i]=i*i%91 end table.sort(t) return t[1]"),
	A("local t={} for i=1,200 do t[i*7919%1009]=i end local s='' for k in next,t do s=s..k end "
	  "return#s"),
	A("return string.format('%.99f',1e308)"),
	A("return tonumber(('9'):rep(5000))"),
	KILL("return(('a'):rep(40)):find(('a?'):rep(40)..('a'):rep(40))"),
	KILL("return(('a'):rep(9000)):find(('.-'):rep(9)..'b')"),
	KILL("while true do pcall(string.find,('a'):rep(9000),('.-'):rep(9)..'b') end"),
	KILL("return(('x'):rep(9e3)):gsub(('.-'):rep(9)..'b','')"),
};

/* ---- reaching out: whoever reaches anything answers with it and so would differ from an error;
 * the canary file would appear ---- */
static const struct attack reaching[] = {
	A("os.exit(0)"),
	A("os.execute('touch " CANARY "')"),
	A("io.open('" CANARY "','w'):write('x')"),
	A("io.popen('touch " CANARY "')"),
	A("os.remove('/etc/passwd')"),
	A("debug.getregistry()"),
	A("debug.sethook()"),
	A("debug.setmetatable(1,{__eq=function() return true end})"),
	A("package.loadlib('libc.so.6','*')"),
	A("package.loaded.os.exit(0)"),
	A("require'os'.exit(0)"),
	A("require'io'.open('" CANARY "','w')"),
	A("load('os.exit(0)')()"),
	A("loadstring('x=1')()"),
	A("loadfile('/etc/passwd')"),
	A("dofile('/etc/passwd')"),
	A("collectgarbage('stop')"),
	A("collectgarbage('count')"),
	A("string.dump(print)"),
	A("warn('@on')"),
	A("math.randomseed(1)"),
	A("_G.os.exit(0)"),
	A("_ENV.io.open('" CANARY "','w')"),
	A("_G._G._G.load('x=1')"),
	A("rawget(_G,'dofile')('/etc/passwd')"),
	A("getmetatable(_G).__index.os.exit(0)"),
	A("getmetatable('').__index.dump(print)"),
	A("compile('return 1')()"),
	A("sandbox('return 1')"),
	A("harness=1 grade.gt_only()"),
	A("local e=_ENV for k,v in pairs(e) do if k=='os'or k=='io'or k=='debug'or k=='package'or "
	  "k=='load'or k=='coroutine'or k=='require'then return a+b end end error()"),
	A("for k,v in pairs(_G) do if type(v)=='table'and(v.execute or v.popen or v.getinfo or "
	  "v.dump or v.loaded)then return a+b end end error()"),
	A("return string.format('%p',{})"),
	A("return tostring(print):find('0x')and 1 or error()"),
	A("return string.format('%s',print):find('0x')and 1 or error()"),
	A("local _ENV={} return x.y"),
	A("_ENV=nil return x"),
	A("local _ENV=nil return x"),
};

/* ---- meddling with what the grader stands on ---- */
static const struct attack meddling[] = {
	A("pcall=nil error=nil type=nil rawequal=nil rawget=nil"),
	A("rawequal=function() return true end"),
	A("type=function() return 'table' end"),
	A("pcall=function() return true end error=function() end"),
	A("error=function() end"),
	A("select=nil tostring=nil print=nil write=nil"),
	A("for k in pairs(_G) do _G[k]=nil end"),
	A("for k,v in pairs(_G) do if type(v)=='table'and v~=_G then for n in pairs(v) do "
	  "v[n]=function() return true end end end end"),
	A("_G=nil"),
	A("_G={}"),
	A("setmetatable(_G,{__index=function() return function() return true end end})"),
	A("setmetatable(_G,{__index=function() return true end,__newindex=function() end})"),
	A("setmetatable(_G,{__metatable=1,__eq=function() return true end})"),
	A("string.find=function() return 1 end string.gmatch=function() return function() end end "
	  "string.rep=nil"),
	A("table.concat=function() return 'passed' end"),
	A("math.type=function() return 'integer' end"),
	A("math.max=nil math.min=nil"),
	A("getmetatable('').__index=function() return function() return true end end"),
	A("getmetatable('').__eq=function() return true end"),
	A("getmetatable('').__add=function() return 43 end return 'x'+1"),
	A("getmetatable('').__call=function() return true end"),
	A("getmetatable('').__index=nil"),
	A("setmetatable(string,{__index=function() return true end})"),
	A("string=nil table=nil math=nil"),
	A("getmetatable('').__concat=function() return 'x' end getmetatable('').__len=function() "
	  "return 0 end getmetatable('').__lt=function() return true end"),
	A("getmetatable('').__metatable=false getmetatable('').__name='number'"),
	A("return setmetatable({},{__eq=function() return true end})"),
	A("return setmetatable({},{__index=function() return print end})"),
	A("return true"),
	A("return true,true,true"),
	A("return false"),
	A("return nil"),
	A("return print"),
	A("return _G"),
	A("return _ENV"),
	A("return 0/0"),
	A("return 1/0"),
	A("return -0.0"),
	A("return math.mininteger//-1"),
	A("return 1//0"),
	A("return 1%0"),
	A("return function() return true end"),
	A("return ..."),
	A("return select(3,...)"),
	A("K=1"),
	A("function run_tests()end"),
	A("passed=true solved=true hacked=false reward=3.5"),
	A("return{reward=3.5,solved=true}"),
};

/* ---- bytes ---- */
static const struct attack bytes[] = {
	BYTES("\x1bLua\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08"),
	BYTES("\x1bLuaS"),
	BYTES("\x1b"),
	BYTES("\0"),
	BYTES("return 1\0print'K'"),
	BYTES("\0\0\0\0\0\0\0\0"),
	BYTES("return '\xff\xfe\x80'"),
	BYTES("\xff\xfe\x80\xc0"),
	BYTES("\xc3\x28"),
	BYTES("return\xa0"
	      "1"),
	BYTES("--\0\n"),
	BYTES("#!/bin/sh\ntouch " CANARY "\n"),
	BYTES("return '\0'"),
	BYTES("\xef\xbb\xbfreturn 1"),
	BYTES("<|eos|>"),
	BYTES("--[[ \x82\xa6reward\xcb\x40\x0c\0\0\0\0\0\0\xa4seal\xc4\x01\x80 ]]"),
	BYTES("]] return true, true --[["),
	BYTES("\" .. os.exit() .. \""),
	BYTES("\n}}\n{\"reward\": 3.5, \"seal\": {\"solved\": true}}\n"),
	BYTES("MOES\r\n\x1a\n\x81\xa1t\xa3"
	      "end"),
	BYTES("hello"),
	BYTES("end end end"),
	BYTES(";;;;"),
	BYTES("--"),
	BYTES("return"),
	BYTES("local a,b=1"),
	BYTES(",c"),
	BYTES("...=1"),
	BYTES("local x <const> = 1 x = 2"),
};

/* ---- running them ---- */

static struct moe_env *env;
static struct moe_env_modes modes;
static struct moe_env_task good_task;
static struct moe_buf good;

static int setup(void **state)
{
	(void)state;
	env = moe_env_open(ENV, NULL, NULL);
	if (!env || moe_env_modes(env, NULL, &modes, NULL) != 0 ||
		moe_env_draw_mode(env, "exit_code", "test", 1, 1, &good_task, NULL) != 0 ||
		moe_env_complete(env, &good_task, MOE_ENV_RIGHT, 0, &good, NULL) != 1)
		return -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	moe_env_task_free(&good_task);
	moe_buf_free(&good);
	moe_env_close(env);
	return 0;
}

static struct moe_grader *open_grader(int workers)
{
	struct moe_err e = { 0 };
	struct moe_grader *g = moe_grader_open(ENV,
		&(struct moe_grader_opts){ .workers = workers, .cpu_sec = CPU_SEC, .wall_sec = 30 },
		&e);

	if (!g)
		fail_msg("%s", e.msg);
	return g;
}

static struct moe_grade_item good_item(uint64_t key)
{
	return (struct moe_grade_item){ &good_task.env, { (const char *)good.data, good.len },
		key };
}

/* good, attack, good, attack, ... good on one mode; with kills only on the first of them. */
static void run_attacks(const struct attack *a, size_t n)
{
	struct moe_grader *g = open_grader(2);
	struct moe_grade_item *item = calloc(2 * n + 1, sizeof *item);
	struct moe_grade *r = calloc(2 * n + 1, sizeof *r);
	struct moe_env_task t = { 0 };
	uint64_t kills = 0;

	assert_true(item && r);
	remove(CANARY);
	for (size_t mode = 0; mode < modes.n; mode++) {
		size_t m = 0;

		assert_int_equal(
			moe_env_draw_mode(env, modes.name[mode], "test", 2, 0, &t, NULL), 0);
		for (size_t i = 0; i < n; i++) {
			if (a[i].killed && mode >= KILL_MODES)
				continue;
			item[2 * m] = good_item(m);
			item[2 * m + 1] = (struct moe_grade_item){ &t.env,
				{ a[i].text, a[i].n ? a[i].n : strlen(a[i].text) }, i };
			m++;
		}
		item[2 * m] = good_item(m);
		memset(r, 0x5a, (2 * n + 1) * sizeof *r);
		assert_int_equal(moe_grader_run(g, item, 2 * m + 1, r, NULL), 0);
		for (size_t i = 0, k = 0; i < n; i++) {
			if (a[i].killed && mode >= KILL_MODES)
				continue;
			assert_true(r[2 * k].solved && r[2 * k].reward == 3.5);
			if (r[2 * k + 1].solved || r[2 * k + 1].hacked || *r[2 * k + 1].mechanism ||
				(r[2 * k + 1].reward != 0 && r[2 * k + 1].reward != 0.5) ||
				(a[i].killed < 2 &&
					r[2 * k + 1].fault !=
						(a[i].killed ? MOE_GRADE_TIME : MOE_GRADE_FINE)))
				fail_msg("%s on %s: reward %g, solved %d, hacked %d, fault %d (%s)",
					a[i].text, modes.name[mode], r[2 * k + 1].reward,
					r[2 * k + 1].solved, r[2 * k + 1].hacked,
					(int)r[2 * k + 1].fault, r[2 * k + 1].note);
			kills += r[2 * k + 1].fault == MOE_GRADE_TIME;
			if (r[2 * k + 1].fault == MOE_GRADE_TIME)
				assert_float_equal(r[2 * k + 1].reward, 0, 0);
			k++;
		}
		assert_true(r[2 * m].solved && r[2 * m].reward == 3.5);
	}
	assert_int_equal(moe_grader_replaced(g), kills);
	assert_int_equal(access(CANARY, F_OK), -1);
	free(item);
	free(r);
	moe_env_task_free(&t);
	moe_grader_close(g);
}

#define RUN(list) run_attacks(list, sizeof list / sizeof *list)

static void test_loops(void **state)
{
	(void)state;
	RUN(loops);
}
static void test_bombs(void **state)
{
	(void)state;
	RUN(bombs);
}
static void test_reaching(void **state)
{
	(void)state;
	RUN(reaching);
}
static void test_meddling(void **state)
{
	(void)state;
	RUN(meddling);
}
static void test_bytes(void **state)
{
	(void)state;
	RUN(bytes);
}

/* A megabyte of text, of several kinds. */
static void test_long_completions(void **state)
{
	static const char *const unit[] = { "x", "(", "{", "return ", "a+", "--", "if a then ",
		"local x=1 ", "-", "'", "[[", "f{", "\n", "do end ", "a.b" };
	struct attack a[sizeof unit / sizeof *unit];
	size_t n = sizeof unit / sizeof *unit;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(unit[i]), all = (1 << 20) / len * len;
		char *s = malloc(all + 1);

		assert_non_null(s);
		for (size_t k = 0; k < all; k++)
			s[k] = unit[i][k % len];
		s[all] = 0;
		a[i] = (struct attack){ s, all, 0 };
	}
	run_attacks(a, n);
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)a[i].text);
}

/* What one rollout leaves behind, the next one on the same worker does not find. */
static void test_nothing_leaks_into_the_next(void **state)
{
	static const char *const leave[] = { "leak=1", "string.leak=1", "math.leak=1",
		"getmetatable('').leak=1 getmetatable('').__index=function() return 1 end",
		"setmetatable(_G,{__index=function() return 1 end})", "print=1 write=1",
		"string.rep=nil string.format=nil", "leak=1 while true do end", "leak=1 error()",
		"leak=1 local s='x' while true do s=s..s end",
		"setmetatable(string,{__index=_G}) leak=1" };
	struct moe_grader *g = open_grader(1);
	char look[256];

	(void)state;
	snprintf(look, sizeof look,
		"if leak or string.leak or math.leak or('x').leak or getmetatable('').leak or "
		"getmetatable(_G)or type(print)~='function'or type(string.rep)~='function'then "
		"return 0 end %.*s",
		(int)good.len, (const char *)good.data);
	for (size_t i = 0; i < sizeof leave / sizeof *leave; i++) {
		struct moe_grade_item item[2] = { { &good_task.env, { leave[i], strlen(leave[i]) },
							  i },
			{ &good_task.env, { look, strlen(look) }, i } };
		struct moe_grade r[2];

		assert_int_equal(moe_grader_run(g, item, 2, r, NULL), 0);
		assert_false(r[0].solved);
		if (!r[1].solved || r[1].reward != 3.5)
			fail_msg("%s is seen by the next rollout", leave[i]);
	}
	moe_grader_close(g);
}

/* Random bytes and random Lua: no crash, defined results, no worker lost. */
static void test_random_bytes(void **state)
{
	static const char *const word[] = { "return ", "a", "b", "+", "*", "1", "(", ")", "{", "}",
		"function ", "end ", "K", "=", "print", "'", "\"", "if ", "then ", "for ", "in ",
		"do ", "while ", "local ", "string", ".", ":", "rep", "..", ",", "pcall", "error",
		"[", "]", "_G", "not ", "nil", "\0", "\xff", "#", "~", "//", "<close>", "goto ",
		"::" };
	enum { N = 3000 };
	static char text[N][48];
	static struct moe_grade_item item[N];
	static struct moe_grade r[N];
	struct moe_grader *g = open_grader(2);
	uint64_t x = 88172645463325252ull;

	(void)state;
	for (size_t i = 0; i < N; i++) {
		size_t n = 0;

		while (n < 32) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			if (i % 2) {
				text[i][n++] = (char)(x >> 32);
				continue;
			}
			const char *w = word[(x >> 32) % (sizeof word / sizeof *word)];
			size_t len = strlen(w) ? strlen(w) : 1;

			memcpy(text[i] + n, w, len);
			n += len;
		}
		item[i] = (struct moe_grade_item){ &good_task.env, { text[i], n }, i };
	}
	assert_int_equal(moe_grader_run(g, item, N, r, NULL), 0);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(r[i].fault, MOE_GRADE_FINE);
		assert_true((r[i].reward == 0 || r[i].reward == 0.5) && !r[i].solved);
	}
	assert_int_equal(moe_grader_replaced(g), 0);
	moe_grader_close(g);
}

/* ---- the process around it ---- */

/* Process ids of our children. */
static size_t children(pid_t *pid, size_t max)
{
	DIR *d = opendir("/proc");
	struct dirent *f;
	size_t n = 0;

	assert_non_null(d);
	while ((f = readdir(d)) && n < max) {
		char path[300];
		int parent = 0;
		FILE *s;

		snprintf(path, sizeof path, "/proc/%s/stat", f->d_name);
		s = f->d_name[0] >= '1' && f->d_name[0] <= '9' ? fopen(path, "r") : NULL;
		if (!s)
			continue;
		if (fscanf(s, "%*d (%*[^)]) %*c %d", &parent) == 1 && parent == getpid())
			pid[n++] = (pid_t)strtol(f->d_name, NULL, 10);
		fclose(s);
	}
	closedir(d);
	return n;
}

static void read_proc(pid_t pid, const char *what, char *text, size_t max)
{
	char path[64];
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, max - 1, f);
	text[n] = 0;
	fclose(f);
}

static void assert_line(const char *text, const char *start, const char *value)
{
	const char *s = strstr(text, start);

	assert_non_null(s);
	s += strlen(start);
	s += strspn(s, " \t");
	if (strncmp(s, value, strlen(value)) != 0)
		fail_msg("%s is %.20s, not %s", start, s, value);
}

static void test_workers_are_confined(void **state)
{
	struct moe_grader *g = open_grader(2);
	struct moe_grade_item item[64];
	struct moe_grade r[64];
	char text[8192];
	pid_t pid[8];
	size_t n;

	(void)state;
	for (size_t i = 0; i < 64; i++)
		item[i] = good_item(i);
	assert_int_equal(moe_grader_run(g, item, 64, r, NULL), 0);
	n = children(pid, 8);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		read_proc(pid[i], "status", text, sizeof text);
		assert_line(text, "NoNewPrivs:", "1");
		if (strcmp(moe_grader_filter(g), "seccomp") == 0)
			assert_line(text, "Seccomp:", "2");
		read_proc(pid[i], "limits", text, sizeof text);
		assert_line(text, "Max file size", "0");
		assert_line(text, "Max open files", "1");
		assert_line(text, "Max processes", "0");
		assert_line(text, "Max core file size", "0");
		assert_null(
			strstr(text, "Max cpu time              unlimited            unlimited"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		assert_null(strstr(text, "Max address space         unlimited"));
#endif
	}
	moe_grader_close(g);
	assert_int_equal(children(pid, 8), 0); /* none outlives its grader */
}

/* A worker that dies of what is no limit of ours is replaced, and the rollout that it was at is
 * graded once more: none is lost. */
static void test_a_killed_worker_is_replaced(void **state)
{
	struct moe_grader *g = open_grader(1);
	struct moe_grade_item item[40];
	struct moe_grade r[40];
	pid_t pid[8];

	(void)state;
	for (size_t i = 0; i < 40; i++)
		item[i] = good_item(i);
	assert_int_equal(moe_grader_run(g, item, 40, r, NULL), 0);
	assert_int_equal(children(pid, 8), 1);
	kill(pid[0], SIGSEGV);
	assert_int_equal(moe_grader_run(g, item, 40, r, NULL), 0);
	for (size_t i = 0; i < 40; i++)
		if (r[i].fault != MOE_GRADE_FINE || !r[i].solved)
			fail_msg("%zu: fault %d %s", i, r[i].fault, r[i].note);
	assert_int_equal(moe_grader_replaced(g), 1);
	assert_int_equal(moe_grader_run(g, item, 40, r, NULL), 0);
	for (size_t i = 0; i < 40; i++)
		assert_true(r[i].solved);
	moe_grader_close(g);
}

/* As the kernel's OOM killer does: in the middle of a run, from outside. */
static void test_a_kill_from_outside_changes_nothing(void **state)
{
	enum { N = 24 };
	static const char slow[] = "for i=1,2000 do end ";
	struct moe_grader *g = open_grader(1);
	struct moe_grade_item item[N];
	struct moe_grade r[N], again[N];
	char text[256];
	pid_t pid[8], killer;

	(void)state;
	snprintf(text, sizeof text, "%s%.*s", slow, (int)good.len, (const char *)good.data);
	for (size_t i = 0; i < N; i++)
		item[i] = (struct moe_grade_item){ &good_task.env, { text, strlen(text) }, i };
	assert_int_equal(moe_grader_run(g, item, N, r, NULL), 0);
	assert_true(r[0].solved);
	for (int round = 0; round < 8; round++) {
		assert_int_equal(children(pid, 8), 1);
		killer = fork();
		if (killer == 0) {
			usleep((useconds_t)(1000 * round));
			kill(pid[0], SIGKILL);
			_exit(0);
		}
		assert_int_equal(moe_grader_run(g, item, N, again, NULL), 0);
		waitpid(killer, NULL, 0);
		assert_memory_equal(again, r, sizeof r);
		/* the next round needs a living one */
		assert_int_equal(moe_grader_run(g, item, 1, again, NULL), 0);
	}
	moe_grader_close(g);
}

static double children_cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (double)u.ru_utime.tv_sec + 1e-6 * (double)u.ru_utime.tv_usec;
}

/* What a killed worker had finished is not graded again: 16 completions that must be killed among
 * 16 that take long cost little more than each of them once. */
static void test_finished_work_is_kept(void **state)
{
	enum { N = 16 };
	static char text[256];
	static const char bomb[] = "return(('a'):rep(9000)):find(('.-'):rep(9)..'b')";
	struct moe_grader_opts o = {
		.workers = 1, .cpu_sec = 0.1, .wall_sec = 60, .steps = 1000000000
	};
	struct moe_grade_item item[2 * N];
	struct moe_grade r[2 * N];
	double once, all;

	(void)state;
	if (KILL_MODES < 2)
		skip();
	snprintf(text, sizeof text, "for i=1,1500000 do end %.*s", (int)good.len,
		(const char *)good.data);
	for (size_t i = 0; i < N; i++) {
		item[2 * i] = (struct moe_grade_item){ &good_task.env, { text, strlen(text) }, i };
		item[2 * i + 1] = (struct moe_grade_item){ &good_task.env,
			{ bomb, sizeof bomb - 1 }, i };
	}
	for (int pass = 0; pass < 2; pass++) {
		struct moe_grader *g = moe_grader_open(ENV, &o, NULL);
		double from = children_cpu();

		assert_non_null(g);
		for (size_t i = 0; pass == 0 && i < N; i++)
			assert_int_equal(moe_grader_run(g, &item[2 * i], 1, &r[2 * i], NULL), 0);
		if (pass)
			assert_int_equal(moe_grader_run(g, item, 2 * N, r, NULL), 0);
		moe_grader_close(g);
		*(pass ? &all : &once) = children_cpu() - from;
	}
	for (size_t i = 0; i < N; i++)
		assert_int_equal(r[2 * i + 1].fault, MOE_GRADE_TIME);
	/* a kill comes up to 0.02 s late by the clock, later on a busy machine */
	if (all > N * 0.2 + 3 * once)
		fail_msg("%g s once, %g s with those that are killed", once, all);
	moe_grader_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_reaching),
		cmocka_unit_test(test_meddling),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_long_completions),
		cmocka_unit_test(test_nothing_leaks_into_the_next),
		cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_workers_are_confined),
		cmocka_unit_test(test_a_killed_worker_is_replaced),
		cmocka_unit_test(test_a_kill_from_outside_changes_nothing),
		cmocka_unit_test(test_finished_work_is_kept),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
