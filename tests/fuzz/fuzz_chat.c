/* fuzz_chat.c - the first part is a chat template, each further part a message (the role up to the
 * first blank, then the text): refused, or written with all texts in their order. */
#include "fuzz.h"

#include "formats/tokenizer/chat.h"

#define MESSAGES 4

static char *text_of(const uint8_t *p, size_t n)
{
	char *s = malloc(n + 1);

	MUST(s);
	memcpy(s, p, n);
	s[n] = 0;
	return s;
}

static void check(const struct moe_buf *out, const struct moe_chat_msg *msg, size_t n)
{
	const uint8_t *at = out->data;

	for (size_t i = 0; i < n; i++) {
		size_t k = strlen(msg[i].content);

		if (!k)
			continue;
		at = memmem(at, out->len - (size_t)(at - out->data), msg[i].content, k);
		MUST(at);
		at += k;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_chat_msg msg[MESSAGES];
	struct moe_buf out = { 0 }, longer = { 0 };
	struct moe_err e = { 0 };
	struct moe_chat *chat = NULL;
	bool known;
	const uint8_t *part;
	size_t k = fuzz_part(&p, &n, &part), count = 0;
	char *form = text_of(part, k), *own[MESSAGES];

	while (n && count < MESSAGES) {
		char *blank;

		k = fuzz_part(&p, &n, &part);
		own[count] = text_of(part, k);
		blank = strchr(own[count], ' ');
		if (blank)
			*blank = 0;
		msg[count] = (struct moe_chat_msg){ own[count], blank ? blank + 1 : "" };
		count++;
	}
	if (form[0] == '=') /* a known form */
		chat = moe_chat_known(form + 1, &e);
	else if (form[0])
		chat = moe_chat_parse(form, "<s>", NULL, "form", &e);
	known = form[0] == '=' || strstr(form, "{%") || strstr(form, "{{");
	if (form[0] && !chat) {
		MUST(e.code == MOE_DATA && e.msg[0]);
	} else if (moe_chat_format(chat, msg, count, false, &out, &e)) {
		MUST(e.code == MOE_DATA && e.msg[0]);
	} else if (known) { /* which trim, drop thoughts, and move the system message */
		MUST(!moe_chat_format(chat, msg, count, true, &longer, &e));
	} else {
		check(&out, msg, count);
		MUST(!moe_chat_format(chat, msg, count, true, &longer, &e));
		/* longer by the generation prompt; or shorter, when an answer is left open */
		k = longer.len < out.len ? longer.len : out.len;
		MUST(!k || !memcmp(longer.data, out.data, k));
		MUST(longer.len >= out.len || (count && !strcmp(msg[count - 1].role, "assistant")));
	}
	for (size_t i = 0; i < count; i++)
		free(own[i]);
	free(form);
	moe_chat_free(chat);
	moe_buf_free(&out);
	moe_buf_free(&longer);
	return 0;
}
