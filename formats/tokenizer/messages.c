/* messages.c - takes chat messages out of JSON for the chat template. It does not know any
 * template. */
#include "formats/tokenizer/messages.h"
#include "formats/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int moe_messages_format(const struct moe_json *j, const char *chat_template, bool generation_prompt,
	struct moe_buf *out, struct moe_err *e)
{
	size_t n = moe_json_len(j), used = 0;
	struct moe_chat_msg *msg;
	char **owned;
	int rc = -1;

	if (moe_json_kind(j) != MOE_J_ARRAY || !n)
		return moe_fail(
			e, MOE_DATA, "messages must be an array of at least one {role, content}");
	msg = calloc(n, sizeof(*msg));
	owned = calloc(n * 2, sizeof(*owned));
	if (!msg || !owned) {
		moe_fail(e, MOE_SYSTEM, "out of memory for %zu messages", n);
		goto done;
	}
	for (size_t i = 0; i < n; i++) {
		struct moe_str role = moe_json_str(moe_json_get(moe_json_at(j, i), "role")),
			       content = moe_json_str(moe_json_get(moe_json_at(j, i), "content"));

		if (!role.p || !content.p) {
			moe_fail(e, MOE_DATA,
				"message %zu has no role and content that are strings", i + 1);
			goto done;
		}
		for (int k = 0; k < 2; k++) {
			owned[used] = moe_str_dup(k ? content : role, e);
			if (!owned[used++])
				goto done;
		}
		msg[i] = (struct moe_chat_msg){ owned[used - 2], owned[used - 1] };
	}
	rc = moe_chat_format(chat_template, msg, n, generation_prompt, out, e);
done:
	for (size_t i = 0; i < used; i++)
		free(owned[i]);
	free(owned);
	free(msg);
	return rc;
}
