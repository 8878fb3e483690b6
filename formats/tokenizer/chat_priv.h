/* chat_priv.h - a form of conversation from the inside: for chat.c, chat_known.c and chat_open.c.
 */
#ifndef MOE_FORMATS_TOKENIZER_CHAT_PRIV_H
#define MOE_FORMATS_TOKENIZER_CHAT_PRIV_H

#include "formats/tokenizer/chat.h"

/* One turn of a literal template. */
struct moe_chat_part {
	const char *before, *after;
	size_t n_before, n_after;
};

struct moe_chat_form; /* a row of the table in chat_known.c */

struct moe_chat {
	const struct moe_chat_form *form; /* NULL = literal */
	char *text;                       /* of a literal template */
	struct moe_chat_part role[3];     /* system, user, assistant; before NULL = none */
	const char *preamble;
	size_t n_preamble;
	char *system; /* of a known form: the default system message, or NULL */
	char *bos, *eos;
	char *refusal; /* why no message can be written, or NULL */
};

/* Fills the parts of a literal template, which text stays the owner of. */
int moe_chat_literal(struct moe_chat *t, const char *text, struct moe_err *e);
/* The text of a Jinja template is one of a known form's: fills c. 1, 0 when it is none, -1. */
int moe_chat_recognise(struct moe_chat *c, const char *jinja, struct moe_err *e);
/* c becomes the form of this name, with its usual bos and eos where it has none: 1, 0, -1. */
int moe_chat_by_name(struct moe_chat *c, const char *name, struct moe_err *e);
const char *moe_chat_names(void); /* "chatml, llama3, ..." */
int moe_chat_write_known(const struct moe_chat *c, const struct moe_chat_msg *msg, size_t n,
	bool to_answer, struct moe_buf *out, struct moe_err *e);

#endif
