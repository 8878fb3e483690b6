/* chat.c - writes chat messages by a literal template. It is no template language: there are no
 * conditions and no loops. Known forms are chat_known.c's.
 *
 * A template holds one part for each role, and `{}` between parts. A part is literal text around
 * {system}, {user} or {assistant}; a part without any of these, before the first, is written once
 * at the start. Where `{}` is not used at all, a part ends with the line on which its placeholder
 * stands. The generation prompt is the assistant's part up to its placeholder. A part before the
 * first that holds the system's header is a default system message: a conversation with a system
 * message of its own has no use for it, and goes without. */
#include "formats/tokenizer/chat_priv.h"

#include <string.h>

static const char *const role_name[3] = { "system", "user", "assistant" };
static const char *const hole[3] = { "{system}", "{user}", "{assistant}" };

static const char *find(const char *p, const char *end, const char *what)
{
	size_t n = strlen(what);

	for (; p + n <= end; p++)
		if (!memcmp(p, what, n))
			return p;
	return NULL;
}

/* Where the part that begins at p ends, and where the next begins. */
static const char *part_end(const char *p, const char *end, bool separated, const char **next)
{
	const char *cut = separated ? find(p, end, "{}") : NULL, *at = NULL;

	if (separated) {
		*next = cut ? cut + 2 : end;
		return cut ? cut : end;
	}
	for (int i = 0; i < 3; i++) {
		const char *h = find(p, end, hole[i]);

		if (h && (!at || h < at))
			at = h;
	}
	cut = at ? memchr(at, '\n', (size_t)(end - at)) : NULL;
	*next = cut ? cut + 1 : end;
	return *next;
}

int moe_chat_literal(struct moe_chat *t, const char *text, struct moe_err *e)
{
	const char *end = text + strlen(text), *p = text, *next;
	bool separated = find(text, end, "{}") != NULL;

	for (; p < end; p = next) {
		const char *stop = part_end(p, end, separated, &next), *h = NULL;
		int role = -1;

		for (int i = 0; i < 3 && role < 0; i++)
			if ((h = find(p, stop, hole[i])))
				role = i;
		if (role < 0 && p == text) {
			t->preamble = p;
			t->n_preamble = (size_t)(stop - p);
			continue;
		}
		if (role < 0)
			return moe_fail(e, MOE_DATA,
				"the chat template has a part without {system}, {user} or "
				"{assistant}");
		if (t->role[role].before)
			return moe_fail(e, MOE_DATA, "the chat template has %s twice", hole[role]);
		t->role[role] = (struct moe_chat_part){ p, h + strlen(hole[role]), (size_t)(h - p),
			(size_t)(stop - h) - strlen(hole[role]) };
	}
	if (!t->role[1].before || !t->role[2].before)
		return moe_fail(e, MOE_DATA, "the chat template needs {user} and {assistant}");
	return 0;
}

/* Bytes of the preamble for these messages: of one with a default system message, what stands
 * before its header when they bring their own. */
static size_t preamble_len(const struct moe_chat *t, const struct moe_chat_msg *msg, size_t n)
{
	const struct moe_chat_part *p = &t->role[0];
	const char *end = t->preamble ? t->preamble + t->n_preamble : NULL;

	if (!end || !n || strcmp(msg[0].role, "system") != 0 || !p->before || !p->n_before)
		return t->n_preamble;
	for (const char *at = t->preamble; at + p->n_before <= end; at++)
		if (!memcmp(at, p->before, p->n_before))
			return (size_t)(at - t->preamble);
	return t->n_preamble;
}

static int write_literal(const struct moe_chat *t, const struct moe_chat_msg *msg, size_t n,
	bool to_answer, struct moe_buf *out, struct moe_err *e)
{
	bool open = to_answer && n && !strcmp(msg[n - 1].role, "assistant");

	if (moe_buf_add(out, t->preamble, preamble_len(t, msg, n), e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		const struct moe_chat_part *p;
		int role = 0;

		while (role < 3 && strcmp(msg[i].role, role_name[role]) != 0)
			role++;
		if (role == 3 || !t->role[role].before)
			return moe_fail(e, MOE_DATA,
				"message %zu has the role `%.40s', for which the chat template has "
				"no part",
				i + 1, msg[i].role);
		p = &t->role[role];
		if (moe_buf_add(out, p->before, p->n_before, e) ||
			moe_buf_add(out, msg[i].content, strlen(msg[i].content), e) ||
			(!(open && i + 1 == n) && moe_buf_add(out, p->after, p->n_after, e)))
			return -1;
	}
	return to_answer && !open ? moe_buf_add(out, t->role[2].before, t->role[2].n_before, e) : 0;
}

int moe_chat_format(const struct moe_chat *c, const struct moe_chat_msg *msg, size_t n,
	bool to_answer, struct moe_buf *out, struct moe_err *e)
{
	struct moe_chat def = { 0 };
	int rc;

	if (c && c->refusal)
		return moe_fail(e, MOE_DATA, "%s", c->refusal);
	if (c && !c->form)
		return write_literal(c, msg, n, to_answer, out, e);
	if (c)
		return moe_chat_write_known(c, msg, n, to_answer, out, e);
	rc = moe_chat_by_name(&def, "chatml", e);
	return rc == 1 ? moe_chat_write_known(&def, msg, n, to_answer, out, e) : -1;
}
