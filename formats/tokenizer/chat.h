/* chat.h - chat messages as the text that a model reads: how a conversation is written.
 *
 * Jinja is not run. A form of conversation is a literal template (tokenizer.md), or one of the
 * known forms, which a model's Jinja template is recognised as by the digest of its text. What is
 * not known is refused (MOE_DATA) with what to do: a conversation that is nearly right is read by
 * the model as something else without a word. A form is read-only after opening, and thread-safe.
 */
#ifndef MOE_FORMATS_TOKENIZER_CHAT_H
#define MOE_FORMATS_TOKENIZER_CHAT_H

#include "util/buf.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>

struct moe_chat_msg {
	const char *role, *content;
};

struct moe_chat;
/* What a user names: a known form (chatml, llama3, ...), a file with a literal or a Jinja template,
 * or a model's directory, of which chat_template.jinja or tokenizer_config.json has the template.
 */
struct moe_chat *moe_chat_open(const char *what, struct moe_err *e);
/* From the text of a template of either sort. bos, eos: texts of the model's tokens, NULL where
 * they are not known; `name` is for messages. */
struct moe_chat *moe_chat_parse(
	const char *text, const char *bos, const char *eos, const char *name, struct moe_err *e);
/* A known form by its name; NULL and MOE_DATA for another. */
struct moe_chat *moe_chat_known(const char *name, struct moe_err *e);
/* That of a model's directory where nothing is named: NULL in *c when it has no template (then it
 * is ChatML), and a form that refuses every message, with the reason, when it is not known. */
int moe_chat_of_model(const char *dir, struct moe_chat **c, struct moe_err *e);
void moe_chat_free(struct moe_chat *c); /* NULL is accepted */

/* Appends the messages; c NULL = ChatML. to_answer: a completion follows, so that the assistant's
 * turn is opened, or left open when the last message is the assistant's. */
int moe_chat_format(const struct moe_chat *c, const struct moe_chat_msg *msg, size_t n,
	bool to_answer, struct moe_buf *out, struct moe_err *e);

#endif
