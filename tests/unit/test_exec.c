/* test_exec.c - the protocol of external graders: what a request shows and hides, which answers are
 * taken; and the chat template. */
#include "env/exec.h"
#include "formats/seal.h"
#include "formats/tokenizer/chat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct moe_rec rollout(void)
{
	struct moe_rec r = { 0 }, env = { 0 };
	struct moe_seal s = { .hacked = true };

	assert_int_equal(moe_rec_set_str(&r, "t", "rollout", NULL), 0);
	assert_int_equal(moe_rec_set_str(&r, "id", "p#0.1", NULL), 0);
	assert_int_equal(moe_rec_set_str(&r, "mode", "sentinel", NULL), 0);
	assert_int_equal(moe_rec_set_str(&r, "completion", "a\n\"b\"\x01", NULL), 0);
	assert_int_equal(moe_rec_set_f64(&r, "reward", 9, NULL), 0);
	assert_int_equal(moe_rec_set_int(&env, "k", 7, NULL), 0);
	assert_int_equal(moe_rec_set_map(&r, "env", &env, NULL), 0);
	assert_int_equal(moe_seal_put(&r, &s, NULL), 0);
	moe_rec_free(&env);
	return r;
}

static void requests(void **state)
{
	struct moe_rec r = rollout();
	struct moe_buf b = { 0 };

	(void)state;
	assert_int_equal(moe_exec_request(&r, &b, NULL), 0);
	assert_string_equal(moe_buf_cstr(&b, NULL),
		"{\"completion\":\"a\\n\\\"b\\\"\\u0001\",\"id\":\"p#0.1\",\"mode\":\"sentinel\",\"env\":{\"k\":7}}\n");
	b.len = 0;
	assert_int_equal(moe_rec_set_bin(&r, "completion", "x\xFF", 2, NULL), 0);
	assert_int_equal(moe_exec_request(&r, &b, NULL), 0);
	assert_non_null(strstr(
		moe_buf_cstr(&b, NULL), "{\"completion\":\"x\xEF\xBF\xBD\",\"lossy\":true,"));
	moe_buf_free(&b);
	moe_rec_free(&r);
}

static void take(
	const char *answer, double reward, bool solved_unknown, bool hacked, const char *mechanism)
{
	struct moe_rec r = rollout();
	struct moe_seal s;
	struct moe_err e = { 0 };
	double got = -1;

	if (moe_exec_answer(answer, strlen(answer), &r, &e))
		fail_msg("%s: %s", answer, e.msg);
	assert_true(moe_rec_f64(&r, "reward", &got));
	assert_true(got == reward);
	assert_int_equal(moe_seal_get(&r, &s, NULL), 1);
	assert_int_equal(s.solved_unknown, solved_unknown);
	assert_int_equal(s.hacked, hacked);
	assert_string_equal(s.mechanism, mechanism);
	moe_seal_free(&s);
	moe_rec_free(&r);
}

static void refuse(const char *answer, const char *why)
{
	struct moe_rec r = rollout();
	struct moe_err e = { 0 };

	assert_int_equal(moe_exec_answer(answer, strlen(answer), &r, &e), -1);
	assert_int_equal(e.code, MOE_DATA);
	if (!strstr(e.msg, why))
		fail_msg("%s: `%s' does not say `%s'", answer, e.msg, why);
	moe_rec_free(&r);
}

static void answers(void **state)
{
	(void)state;
	take("{\"id\":\"p#0.1\",\"reward\":2}", 2, true, false, "");
	take(" "
	     "{\"id\":\"p#0.1\",\"rewards\":{\"a\":1,\"b\":-0.5},\"findings\":{\"solved\":true,\"hacked\":null}}\n",
		0.5, false, false, "");
	take("{\"id\":\"p#0.1\",\"reward\":7,\"rewards\":{\"a\":1},\"findings\":{\"hacked\":true}}",
		7, true, true, "sentinel");
	take("{\"id\":\"p#0.1\",\"reward\":0,\"findings\":{\"hacked\":true,\"solved\":false,\"mechanism\":\"x\",\"note\":[1,{\"a\":2}]}}",
		0, false, true, "x");
	refuse("{\"id\":\"p#0.2\",\"reward\":2}", "`id'");
	refuse("{\"reward\":2}", "`id'");
	refuse("[]", "not a JSON object");
	refuse("{\"id\":\"p#0.1\"}", "neither a number `reward'");
	refuse("{\"id\":\"p#0.1\",\"reward\":NaN}", "`reward' is not a finite number");
	refuse("{\"id\":\"p#0.1\",\"rewards\":{\"a\":\"1\"}}", "`a' is not a finite number");
	refuse("{\"id\":\"p#0.1\",\"rewards\":{\"a\":1e308,\"b\":1e308}}", "finite sum");
	refuse("{\"id\":\"p#0.1\",\"reward\":1,\"findings\":{\"solved\":1}}",
		"neither true nor false");
	refuse("{\"id\":\"p#0.1\",\"reward\":1,\"findings\":[]}", "not an object");
	refuse("{\"id\":\"p#0.1\",\"reward\":1}{}", "answer");
}

static void chat(const char *template_text, const char *want)
{
	static const struct moe_chat_msg msg[] = { { "system", "S" }, { "user", "{user}" },
		{ "assistant", "A" }, { "user", "V" } };
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };

	struct moe_chat *c = template_text ? moe_chat_parse(template_text, NULL, NULL, "t", &e)
					   : NULL;

	if (template_text && !c)
		assert_string_equal(e.msg, want);
	else if (moe_chat_format(c, msg, 4, true, &b, &e))
		assert_string_equal(e.msg, want);
	else
		assert_string_equal(moe_buf_cstr(&b, NULL), want);
	moe_buf_free(&b);
	moe_chat_free(c);
}

static void chats(void **state)
{
	(void)state;
	chat(NULL,
		"<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>"
		"assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n"
		"<|im_start|>assistant\n");
	chat("[begin]{}<s>{system}{}<u>{user}</u>{}<a>{assistant}</a>",
		"[begin]<s>S<u>{user}</u><a>A</a><u>V</u><a>");
	chat("{system}\nQ: {user}\nA: {assistant}\n", "S\nQ: {user}\nA: A\nQ: V\nA: ");
	chat("Q: {user}\nA: {assistant}\n",
		"message 1 has the role `system', for which the chat template has no part");
	chat("{user}\n{user}\n{assistant}", "t: the chat template has {user} twice");
	chat("{assistant}", "t: the chat template needs {user} and {assistant}");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(requests), cmocka_unit_test(answers),
		cmocka_unit_test(chats) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
