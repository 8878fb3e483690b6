/* messages.h - chat messages in JSON, [{role, content}, ...], written as the model reads them
 * (moe_chat_format). Thread-safe. */
#ifndef MOE_FORMATS_TOKENIZER_MESSAGES_H
#define MOE_FORMATS_TOKENIZER_MESSAGES_H

#include "formats/json.h"

/* Appends the conversation j to out; template NULL = ChatML. generation_prompt opens the
 * assistant's turn. j must be an array of messages whose role and content are strings without NUL
 * (MOE_DATA otherwise; the message does not name a file). */
int moe_messages_format(const struct moe_json *j, const char *chat_template, bool generation_prompt,
	struct moe_buf *out, struct moe_err *e);

#endif
