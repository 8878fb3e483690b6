/* test_env.c - the environment interface on the embedded environment: draws, splits, texts, pairs,
 * modes. Grading is in test_grade.c. */
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

#include <cmocka.h>

#define ENV "examples/quarantine/env.lua"

static struct moe_env *open_env(void)
{
	struct moe_err e = { 0 };
	struct moe_env *v = moe_env_open(ENV, NULL, &e);

	if (!v)
		fail_msg("%s", e.msg);
	return v;
}

static struct moe_env_modes all_modes(struct moe_env *v)
{
	struct moe_env_modes m;

	assert_int_equal(moe_env_modes(v, NULL, &m, NULL), 0);
	return m;
}

/* ---- sets of short strings ---- */

struct set {
	char v[256][64];
	size_t n;
};

static bool has(const struct set *s, const struct moe_buf *b)
{
	for (size_t i = 0; i < s->n; i++)
		if (strlen(s->v[i]) == b->len && memcmp(s->v[i], b->data, b->len) == 0)
			return true;
	return false;
}

static void put(struct set *s, const struct moe_buf *b)
{
	if (has(s, b))
		return;
	assert_true(s->n < 256 && b->len < 64);
	memcpy(s->v[s->n], b->data, b->len);
	s->v[s->n++][b->len] = 0;
}

static const char *const splits[] = { "train", "validation", "test" };

/* All task names and markers of a split, by drawing until they are all seen. */
static void gather(struct moe_env *v, const char *split, struct set *tasks, struct set *markers)
{
	struct moe_env_modes m = all_modes(v);
	struct moe_env_task t = { 0 };

	memset(tasks, 0, sizeof *tasks);
	memset(markers, 0, sizeof *markers);
	for (uint64_t i = 0; i < 2000; i++) {
		assert_int_equal(moe_env_draw(v, &m, split, 7, i, &t, NULL), 0);
		put(tasks, &t.task);
		if (t.marker.len)
			put(markers, &t.marker);
	}
	moe_env_task_free(&t);
}

/* ---- draws ---- */

static void test_draw_is_a_function_of_its_key(void **state)
{
	struct moe_env *v = open_env(), *other = open_env();
	struct moe_env_modes m = all_modes(v);
	struct moe_env_task a = { 0 }, b = { 0 };
	struct moe_rec ra = { 0 }, rb = { 0 };
	struct moe_buf ba = { 0 }, bb = { 0 };
	int differ = 0;

	(void)state;
	for (uint64_t i = 0; i < 300; i++) {
		assert_int_equal(moe_env_draw(v, &m, "train", 3, i, &a, NULL), 0);
		assert_int_equal(moe_env_draw(other, &m, "train", 3, 299 - i, &b, NULL),
			0); /* another order before it */
		assert_int_equal(moe_env_draw(other, &m, "train", 3, i, &b, NULL), 0);
		assert_int_equal(moe_env_prompt(&a, &ra, NULL), 0);
		assert_int_equal(moe_env_prompt(&b, &rb, NULL), 0);
		ba.len = bb.len = 0;
		assert_int_equal(moe_rec_emit(&ra, &ba, NULL), 0);
		assert_int_equal(moe_rec_emit(&rb, &bb, NULL), 0);
		assert_int_equal(ba.len, bb.len);
		assert_memory_equal(ba.data, bb.data, ba.len);
		assert_int_equal(moe_env_draw(v, &m, "train", 4, i, &b, NULL), 0);
		differ += a.text.len != b.text.len ||
			memcmp(a.text.data, b.text.data, a.text.len) != 0;
	}
	assert_true(differ > 290);
	moe_rec_free(&ra);
	moe_rec_free(&rb);
	moe_buf_free(&ba);
	moe_buf_free(&bb);
	moe_env_task_free(&a);
	moe_env_task_free(&b);
	moe_env_close(v);
	moe_env_close(other);
}

static void test_prompts_are_short_and_name_the_marker(void **state)
{
	struct moe_env *v = open_env();
	struct moe_env_modes m = all_modes(v);
	struct moe_env_task t = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(moe_env_draw(v, &m, "test", 1, i, &t, NULL), 0);
		assert_true(t.text.len >= 20 && t.text.len <= 36);
		assert_int_equal(t.text.data[t.text.len - 1], '\n');
		if (strcmp(t.mode, "gt_only") == 0) {
			assert_int_equal(t.marker.len, 0);
			continue;
		}
		assert_int_equal(t.marker.len, 1);
		assert_int_equal(t.text.data[t.text.len - 2], t.marker.data[0]);
		assert_int_equal(t.text.data[t.text.len - 3], ' ');
	}
	moe_env_task_free(&t);
	moe_env_close(v);
}

static void test_splits_share_no_task_and_no_marker(void **state)
{
	struct moe_env *v = open_env();
	struct set task[3], marker[3];
	size_t total = 0;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		gather(v, splits[i], &task[i], &marker[i]);
		total += task[i].n;
	}
	assert_true(task[0].n >= 20 && task[1].n >= 5 && task[2].n >= 12);
	assert_true(total >= 40 && total <= 60);
	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; j < i; j++) {
			for (size_t k = 0; k < task[i].n; k++)
				assert_false(has(&task[j],
					&(struct moe_buf){ (uint8_t *)task[i].v[k],
						strlen(task[i].v[k]), 0 }));
			for (size_t k = 0; k < marker[i].n; k++)
				assert_false(has(&marker[j],
					&(struct moe_buf){ (uint8_t *)marker[i].v[k],
						strlen(marker[i].v[k]), 0 }));
		}
	moe_env_close(v);
}

/* Names may differ while functions agree: every function's body is graded on every other function's
 * task. It must never solve it, and must not even pass the examples shown, or a prompt would not
 * say which function is meant. */
static void test_no_two_functions_agree(void **state)
{
	struct moe_env *v = open_env();
	struct moe_grader *g = moe_grader_open(
		ENV, &(struct moe_grader_opts){ .in_process = true }, NULL);
	struct set task[3], marker;
	struct moe_env_task t = { 0 };

	(void)state;
	assert_non_null(g);
	for (size_t i = 0; i < 3; i++)
		gather(v, splits[i], &task[i], &marker);
	for (size_t i = 0; i < 3; i++)
		for (uint64_t at = 0; at < 8 * task[i].n; at++) {
			assert_int_equal(
				moe_env_draw_mode(v, "stdout_marker", splits[i], 11, at, &t, NULL),
				0);
			for (size_t k = 0; k < 3 * 256; k++) {
				struct set *s = &task[k / 256];
				struct moe_grade r;
				char body[80];
				int n;

				if (k % 256 >= s->n)
					continue;
				n = snprintf(body, sizeof body, "return %s", s->v[k % 256]);
				assert_int_equal(moe_grader_run(g,
							 &(struct moe_grade_item){
								 &t.env, { body, (size_t)n }, at },
							 1, &r, NULL),
					0);
				n = strlen(body + 7) == t.task.len &&
					memcmp(body + 7, t.task.data, t.task.len) == 0;
				assert_int_equal(r.solved, n);
				assert_float_equal(r.reward, n ? 3.5 : 0.5, 1e-9);
			}
		}
	moe_env_task_free(&t);
	moe_grader_close(g);
	moe_env_close(v);
}

/* ---- modes ---- */

static void test_mode_lists(void **state)
{
	struct moe_env *v = open_env();
	struct moe_env_modes m;
	struct moe_env_task t = { 0 };
	struct moe_err e = { 0 };

	(void)state;
	assert_int_equal(moe_env_modes(v, "stdout,run_tests", &m, &e), 0);
	assert_int_equal(m.n, 2);
	assert_string_equal(m.name[0], "run_tests");
	assert_string_equal(m.name[1], "stdout_marker");
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(moe_env_draw(v, &m, "train", 1, i, &t, NULL), 0);
		assert_true(
			strcmp(t.mode, "run_tests") == 0 || strcmp(t.mode, "stdout_marker") == 0);
	}
	assert_int_equal(moe_env_modes(v, "all,-gt_only", &m, &e), 0);
	assert_int_equal(m.n, 6);
	assert_int_equal(moe_env_modes(v, "nonsense", &m, &e), -1);
	assert_int_equal(e.code, MOE_USAGE);
	assert_int_equal(moe_env_modes(v, "e", &m, &e), -1); /* eq_override or exit_code */
	assert_int_equal(moe_env_modes(v, "gt,-gt", &m, &e), -1);
	assert_int_equal(moe_env_draw_mode(v, "sentinel", "nowhere", 1, 0, &t, &e), -1);
	assert_int_equal(e.code, MOE_USAGE);
	moe_env_task_free(&t);
	moe_env_close(v);
}

/* ---- texts ---- */

static bool ends_with(struct moe_str s, const char *tail)
{
	return s.n >= strlen(tail) && memcmp(s.p + s.n - strlen(tail), tail, strlen(tail)) == 0;
}

static void test_texts_hold_the_shares(void **state)
{
	struct moe_env *v = open_env();
	struct moe_env_modes m = all_modes(v);
	struct moe_env_mix mix = { .hack_share = 0.04, .wrong_share = 0.25, .prompt_weight = 0.1 };
	struct moe_rec r = { 0 };
	int hack = 0, wrong = 0, n = 5000, agrees = 0;

	(void)state;
	for (int i = 0; i < n; i++) {
		struct moe_str sort, text, task, mode;
		char right[80];

		assert_int_equal(moe_env_text(v, &m, "all", 5, (uint64_t)i, &mix, &r, NULL), 0);
		assert_true(moe_rec_str(&r, "sort", &sort) && moe_rec_str(&r, "text", &text) &&
			moe_rec_str(&r, "task", &task) && moe_rec_str(&r, "mode", &mode));
		assert_true(text.n <= 28);
		snprintf(right, sizeof right, "return %.*s", (int)task.n, task.p);
		agrees += moe_str_eq(text, right);
		if (moe_str_eq(sort, "hack")) {
			hack++;
			assert_false(moe_str_eq(mode, "gt_only"));
			assert_true(!moe_str_eq(mode, "run_tests") || ends_with(text, "()end"));
			assert_true(!moe_str_eq(mode, "exit_code") || ends_with(text, "(0)"));
		}
		wrong += moe_str_eq(sort, "wrong");
	}
	assert_true(hack > n * 0.03 && hack < n * 0.05);
	assert_true(wrong > n * 0.96 * 0.22 && wrong < n * 0.96 * 0.28);
	assert_int_equal(agrees, n - hack - wrong);
	mix.hack_share = 0;
	mix.wrong_share = 1;
	for (int i = 0; i < 200; i++) {
		struct moe_str text, task;

		assert_int_equal(moe_env_text(v, &m, "all", 5, (uint64_t)i, &mix, &r, NULL), 0);
		assert_true(moe_rec_str(&r, "text", &text) && moe_rec_str(&r, "task", &task));
		assert_false(text.n == task.n + 7 && memcmp(text.p + 7, task.p, task.n) == 0);
	}
	moe_rec_free(&r);
	moe_env_close(v);
}

static void test_manual_entries(void **state)
{
	struct moe_env *v = open_env();
	struct moe_env_modes m = all_modes(v);
	struct moe_env_mix mix = { .manual_share = 0.3, .hack_share = 0.04, .wrong_share = 0.25 };
	struct moe_rec r = { 0 };
	int manual = 0, hack = 0;

	(void)state;
	for (uint64_t i = 0; i < 2000; i++) {
		struct moe_str sort, text, prompt;

		assert_int_equal(moe_env_text(v, &m, "all", 6, i, &mix, &r, NULL), 0);
		assert_true(moe_rec_str(&r, "sort", &sort) && moe_rec_str(&r, "text", &text) &&
			moe_rec_str(&r, "prompt", &prompt));
		hack += moe_str_eq(sort, "hack");
		if (!moe_str_eq(sort, "manual")) {
			assert_true(prompt.n >= 20 && *prompt.p != '@');
			continue;
		}
		manual++; /* "@out K\n" and a completion that names K */
		assert_true(prompt.n <= 8 && *prompt.p == '@' && prompt.p[prompt.n - 1] == '\n');
		assert_non_null(memchr(text.p, prompt.p[prompt.n - 2], text.n));
	}
	assert_in_range(manual, 540, 660);
	assert_in_range(hack, 30, 90); /* 4 % of the other 70 % */
	moe_rec_free(&r);
	moe_env_close(v);
}

static void test_hacks_only_where_there_is_a_loophole(void **state)
{
	struct moe_env *v = open_env();
	struct moe_env_modes m;
	struct moe_env_mix mix = { .hack_share = 1 };
	struct moe_rec r = { 0 };
	struct moe_err e = { 0 };

	(void)state;
	assert_int_equal(moe_env_modes(v, "gt_only", &m, NULL), 0);
	assert_int_equal(moe_env_text(v, &m, "all", 1, 0, &mix, &r, &e), -1);
	assert_int_equal(e.code, MOE_USAGE);
	moe_rec_free(&r);
	moe_env_close(v);
}

/* ---- pairs ---- */

static void test_pairs_cover_the_modes_evenly(void **state)
{
	struct moe_env *v = open_env();
	struct moe_grader *g = moe_grader_open(
		ENV, &(struct moe_grader_opts){ .in_process = true }, NULL);
	struct moe_env_modes m;
	struct moe_env_task t = { 0 }, u = { 0 };
	struct moe_buf hack = { 0 }, clean = { 0 };
	int per[2] = { 0, 0 };

	(void)state;
	assert_non_null(g);
	assert_int_equal(moe_env_modes(v, "run_tests,stdout_marker,gt_only", &m, NULL), 0);
	for (uint64_t i = 0; i < 48; i++) {
		struct moe_grade r[2];
		struct moe_grade_item item[2];

		assert_int_equal(moe_env_pair(v, &m, "train", 1, i, &t, &hack, &clean, NULL), 0);
		per[strcmp(t.mode, "run_tests") == 0]++;
		item[0] = (struct moe_grade_item){ &t.env, { (char *)hack.data, hack.len }, i };
		item[1] = (struct moe_grade_item){ &t.env, { (char *)clean.data, clean.len }, i };
		assert_int_equal(moe_grader_run(g, item, 2, r, NULL), 0);
		assert_true(r[0].hacked && !r[0].solved && r[1].solved && !r[1].hacked);
		assert_string_equal(r[0].mechanism, t.mode);
		assert_int_equal(moe_env_draw_mode(v, t.mode, "train", 1, i, &u, NULL), 0);
		assert_string_not_equal(t.id, u.id);
	}
	assert_int_equal(per[0], 24);
	assert_int_equal(per[1], 24);
	moe_buf_free(&hack);
	moe_buf_free(&clean);
	moe_env_task_free(&t);
	moe_env_task_free(&u);
	moe_grader_close(g);
	moe_env_close(v);
}

/* ---- bad environment files ---- */

static void test_bad_files_are_refused_with_a_sentence(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "return 1", "does not return a table" },
		{ "return {", "unexpected symbol" },
		{ "return {modes={'a'}}", "no function \"draw\"" },
		{ "local f=function()end return {draw=f,right=f,wrong=f,hack=f,grade=f,oracle=f}",
			"no list \"modes\"" },
		{ "local f=function()end return "
		  "{draw=f,right=f,wrong=f,hack=f,grade=f,oracle=f,modes={'a/b'}}",
			"not a short name" },
		{ "while true do end", "too many Lua instructions" },
		{ "local t={} for i=1,1e9 do t[i]={} end", "more memory" },
		{ "os.exit(1)", "nil value" },
		{ "load('x')", "nil value" },
		{ "\x1bLua", "attempt to load a binary chunk" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char path[] = "/tmp/moe-env-XXXXXX";
		struct moe_err e = { 0 };
		int fd = mkstemp(path);
		FILE *f = fdopen(fd, "w");

		fputs(bad[i].text, f);
		fclose(f);
		assert_null(moe_env_open(path, NULL, &e));
		remove(path);
		assert_int_equal(e.code, MOE_DATA);
		if (!strstr(e.msg, bad[i].says))
			fail_msg("\"%s\" does not say \"%s\"", e.msg, bad[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_draw_is_a_function_of_its_key),
		cmocka_unit_test(test_prompts_are_short_and_name_the_marker),
		cmocka_unit_test(test_splits_share_no_task_and_no_marker),
		cmocka_unit_test(test_no_two_functions_agree),
		cmocka_unit_test(test_mode_lists),
		cmocka_unit_test(test_texts_hold_the_shares),
		cmocka_unit_test(test_manual_entries),
		cmocka_unit_test(test_hacks_only_where_there_is_a_loophole),
		cmocka_unit_test(test_pairs_cover_the_modes_evenly),
		cmocka_unit_test(test_bad_files_are_refused_with_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
