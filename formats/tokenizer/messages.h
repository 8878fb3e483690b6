/* messages.h - chat messages in JSON, [{role, content}, ...] or one such object, written as the
 * model reads them (moe_chat_format). Thread-safe.
 *
 * A content is a string, or an array of parts of text. What would be lost is refused by name
 * (MOE_DATA; the message does not name a file): tool calls, thoughts beside the content, images.
 */
#ifndef MOE_FORMATS_TOKENIZER_MESSAGES_H
#define MOE_FORMATS_TOKENIZER_MESSAGES_H

#include "formats/json.h"
#include "formats/tokenizer/chat.h"

/* Whether j is an array, or an object with a role: then it is messages and not a text. */
bool moe_messages_are(const struct moe_json *j);
/* Appends the conversation j to out; chat NULL = ChatML. to_answer: a completion follows, so
 * that the assistant's turn is opened, or, where the last message is the assistant's, left open
 * (its text is the beginning of the completion's turn). */
int moe_messages_format(const struct moe_json *j, const struct moe_chat *chat, bool to_answer,
	struct moe_buf *out, struct moe_err *e);
/* Appends the content of j, which is one message of the assistant: a completion as others record
 * it. */
int moe_messages_completion(const struct moe_json *j, struct moe_buf *out, struct moe_err *e);

#endif
