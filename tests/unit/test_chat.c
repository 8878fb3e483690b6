/* test_chat.c - the known forms of conversation against what transformers wrote with the models'
 * own templates (tests/interop/chat_compare.py --golden), and how a template is recognised. */
#include "formats/json.h"
#include "formats/source.h"
#include "formats/tokenizer/chat.h"
#include "formats/tokenizer/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void must(bool ok, const struct moe_err *e)
{
	if (!ok)
		fail_msg("%s", e->msg);
}

/* {form, messages, text}; text null: transformers refuses it. */
static void one(const struct moe_json *j, struct moe_str line)
{
	struct moe_str form = moe_json_str(moe_json_get(j, "form")),
		       want = moe_json_str(moe_json_get(j, "text"));
	struct moe_buf out = { 0 };
	struct moe_err e = { 0 };
	char name[32];
	struct moe_chat *c;

	snprintf(name, sizeof(name), "%.*s", (int)form.n, form.p);
	c = moe_chat_known(name, &e);
	must(c != NULL, &e);
	if (moe_messages_format(moe_json_get(j, "messages"), c, true, &out, &e)) {
		if (want.p || e.code != MOE_DATA)
			fail_msg("%.*s: %s", (int)line.n, line.p, e.msg);
	} else if (!want.p || out.len != want.n || memcmp(out.data, want.p, want.n) != 0) {
		fail_msg("%.*s\ngives\n%.*s", (int)line.n, line.p, (int)out.len,
			(const char *)out.data);
	}
	moe_buf_free(&out);
	moe_chat_free(c);
}

static void golden(void **state)
{
	struct moe_err e = { 0 };
	struct moe_input *in = moe_input_open("tests/golden/chat.jsonl", &e);
	struct moe_source src;
	struct moe_str line;
	uint64_t number;
	int r, n = 0;

	(void)state;
	must(in && moe_input_next(in, &e) == 1, &e);
	moe_source_from_input(&src, in, 0);
	while ((r = moe_source_line(&src, &line, &number, &e)) == 1) {
		struct moe_json_doc *d = moe_json_parse(line.p, line.n, "chat.jsonl", &e);

		must(d != NULL, &e);
		one(moe_json_root(d), line);
		moe_json_free(d);
		n++;
	}
	must(r == 0, &e);
	assert_true(n > 150);
	moe_source_free(&src);
	moe_input_close(in);
}

#define BEFORE                                                                                     \
	"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "  \
	"'<|im_start|>system\\n"
#define AFTER                                                                                      \
	"<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + "                \
	"message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ " \
	"'<|im_start|>assistant\\n' }}{% endif %}"

static void writes(struct moe_chat *c, const char *want)
{
	const struct moe_chat_msg msg[] = { { "user", "hi" } };
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };

	must(!moe_chat_format(c, msg, 1, true, &b, &e), &e);
	assert_string_equal(moe_buf_cstr(&b, &e), want);
	moe_buf_free(&b);
}

static void recognised(void **state)
{
	struct moe_err e = { 0 };
	struct moe_chat *c = moe_chat_parse(BEFORE "Be kind." AFTER "\n", NULL, NULL, "t", &e);

	(void)state;
	must(c != NULL, &e);
	writes(c,
		"<|im_start|>system\nBe "
		"kind.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
	moe_chat_free(c);
	assert_null(moe_chat_parse(BEFORE "It\\'s" AFTER, NULL, NULL, "t", &e));
	assert_null(moe_chat_parse(
		"{% for m in messages %}{{ m.content }}{% endfor %}", NULL, NULL, "t", &e));
	assert_int_equal(e.code, MOE_DATA);
	assert_non_null(strstr(e.msg, "t: this Jinja template is not one of those that are known"));
	assert_non_null(strstr(e.msg, "mistral-v3"));
	assert_null(moe_chat_known("vicuna", &e));
	assert_non_null(strstr(e.msg, "'vicuna' is not known"));
}

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void drop_file(const char *dir, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(unlink(path), 0);
}

/* A model's directory: its tokens, the file that wins, no template, an unknown one. */
static void directories(void **state)
{
	char dir[] = "/tmp/moe-chat-XXXXXX";
	const struct moe_chat_msg msg[] = { { "user", "hi" } };
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	struct moe_chat *c;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_null(moe_chat_open(dir, &e));
	assert_non_null(strstr(e.msg, "has no chat template"));
	must(!moe_chat_of_model(dir, &c, &e), &e);
	assert_null(c);
	put_file(dir, "tokenizer_config.json",
		"{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"{{x}}\"},{\"name\":\"default\",\"template\":\"{% "
		"for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
		"message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if "
		"add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif "
		"%}\"}],\"bos_token\":{\"content\":\"<b>\"}}");
	c = moe_chat_open(dir, &e);
	must(c != NULL, &e);
	writes(c, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
	moe_chat_free(c);
	put_file(dir, "chat_template.jinja", "{{ messages }}");
	must(!moe_chat_of_model(dir, &c, &e), &e);
	assert_int_equal(moe_chat_format(c, msg, 1, true, &b, &e), -1);
	assert_non_null(strstr(e.msg, "is not one of those that are known"));
	moe_chat_free(c);
	drop_file(dir, "chat_template.jinja");
	drop_file(dir, "tokenizer_config.json");
	rmdir(dir);
	moe_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden),
		cmocka_unit_test(recognised),
		cmocka_unit_test(directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
