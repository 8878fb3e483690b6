/* messages.c - takes chat messages out of JSON for the chat template. It does not know any
 * template. */
#include "formats/tokenizer/messages.h"
#include "formats/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

bool moe_messages_are(const struct moe_json *j)
{
	return moe_json_kind(j) == MOE_J_ARRAY ||
		(moe_json_kind(j) == MOE_J_OBJECT && moe_json_get(j, "role"));
}

static size_t count(const struct moe_json *j)
{
	return moe_json_kind(j) == MOE_J_ARRAY ? moe_json_len(j) : 1;
}

static const struct moe_json *at(const struct moe_json *j, size_t i)
{
	return moe_json_kind(j) == MOE_J_ARRAY ? moe_json_at(j, i) : j;
}

static bool is_empty(const struct moe_json *j)
{
	enum moe_json_kind k = moe_json_kind(j);

	return k == MOE_J_NULL || (k == MOE_J_STR && !moe_json_str(j).n) ||
		((k == MOE_J_ARRAY || k == MOE_J_OBJECT) && !moe_json_len(j));
}

/* A part of a content: text, or {type, text}. */
static int add_part(const struct moe_json *j, size_t i, struct moe_buf *out, struct moe_err *e)
{
	struct moe_str type = moe_json_str(moe_json_get(j, "type")),
		       text = moe_json_kind(j) == MOE_J_STR ? moe_json_str(j)
							    : moe_json_str(moe_json_get(j, "text"));

	if (type.p && !moe_str_eq(type, "text") && !moe_str_eq(type, "input_text") &&
		!moe_str_eq(type, "output_text"))
		return moe_fail(e, MOE_DATA,
			"message %zu has a part of the type '%.*s' in its content: only text is "
			"read",
			i + 1, type.n > 40 ? 40 : (int)type.n, type.p);
	if (!text.p)
		return moe_fail(e, MOE_DATA, "message %zu has a part without text", i + 1);
	return moe_buf_add(out, text.p, text.n, e);
}

/* Appends the text of message i. */
static int add_content(const struct moe_json *msg, size_t i, struct moe_buf *out, struct moe_err *e)
{
	static const char *const lost[] = { "tool_calls", "function_call", "reasoning_content",
		"reasoning", "thinking", "audio" };
	const struct moe_json *c = moe_json_get(msg, "content");

	for (size_t k = 0; k < sizeof(lost) / sizeof(*lost); k++)
		if (!is_empty(moe_json_get(msg, lost[k])))
			return moe_fail(e, MOE_DATA,
				"message %zu has '%s', which is not part of its content: write it "
				"into the content as the model writes it, or give token ids",
				i + 1, lost[k]);
	if (moe_json_kind(c) == MOE_J_STR)
		return moe_buf_add(out, moe_json_str(c).p, moe_json_str(c).n, e);
	if (moe_json_kind(c) != MOE_J_ARRAY)
		return moe_fail(e, MOE_DATA,
			"message %zu has no content that is a string or parts of text", i + 1);
	for (size_t k = 0; k < moe_json_len(c); k++)
		if (add_part(moe_json_at(c, k), i, out, e))
			return -1;
	return 0;
}

/* A string of its own, without NUL. */
static char *own_text(struct moe_buf *b, size_t i, struct moe_err *e)
{
	if (b->len && memchr(b->data, 0, b->len)) {
		moe_fail(e, MOE_DATA, "message %zu has a NUL in it", i + 1);
		return NULL;
	}
	return moe_str_dup((struct moe_str){ b->len ? (const char *)b->data : "", b->len }, e);
}

static int take(const struct moe_json *j, size_t i, char *own[2], struct moe_err *e)
{
	struct moe_str role = moe_json_str(moe_json_get(j, "role"));
	struct moe_buf b = { 0 };
	int rc = -1;

	if (!role.p)
		return moe_fail(e, MOE_DATA, "message %zu has no role that is a string", i + 1);
	if (!moe_buf_add(&b, role.p, role.n, e) && (own[0] = own_text(&b, i, e))) {
		b.len = 0;
		if (!add_content(j, i, &b, e) && (own[1] = own_text(&b, i, e)))
			rc = 0;
	}
	moe_buf_free(&b);
	return rc;
}

int moe_messages_format(const struct moe_json *j, const struct moe_chat *chat, bool to_answer,
	struct moe_buf *out, struct moe_err *e)
{
	size_t n = count(j);
	struct moe_chat_msg *msg;
	char *(*own)[2];
	int rc = -1;

	if (!moe_messages_are(j) || !n)
		return moe_fail(
			e, MOE_DATA, "messages must be an array of at least one {role, content}");
	msg = calloc(n, sizeof(*msg));
	own = calloc(n, sizeof(*own));
	if (!msg || !own) {
		moe_fail(e, MOE_SYSTEM, "out of memory for %zu messages", n);
		goto done;
	}
	for (size_t i = 0; i < n; i++) {
		if (take(at(j, i), i, own[i], e))
			goto done;
		msg[i] = (struct moe_chat_msg){ own[i][0], own[i][1] };
	}
	rc = moe_chat_format(chat, msg, n, to_answer, out, e);
done:
	for (size_t i = 0; own && i < n; i++) {
		free(own[i][0]);
		free(own[i][1]);
	}
	free(own);
	free(msg);
	return rc;
}

int moe_messages_completion(const struct moe_json *j, struct moe_buf *out, struct moe_err *e)
{
	struct moe_str role = moe_json_str(moe_json_get(at(j, 0), "role"));

	if (!moe_messages_are(j) || count(j) != 1)
		return moe_fail(e, MOE_DATA,
			"a completion given as messages must be one message of the assistant, not "
			"%zu: of several turns, give the text or the token ids",
			moe_messages_are(j) ? count(j) : 0);
	if (role.p && !moe_str_eq(role, "assistant"))
		return moe_fail(e, MOE_DATA,
			"a completion given as messages is the assistant's, not of the role '%.*s'",
			role.n > 40 ? 40 : (int)role.n, role.p);
	return add_content(at(j, 0), 0, out, e);
}
