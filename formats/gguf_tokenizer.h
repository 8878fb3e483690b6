/* gguf_tokenizer.h - the tokenizer that a GGUF file carries, as the files of a Hugging Face
 * directory (gguf.md says what is read). Thread-safe. */
#ifndef MOE_FORMATS_GGUF_TOKENIZER_H
#define MOE_FORMATS_GGUF_TOKENIZER_H

#include "formats/gguf.h"
#include "util/buf.h"

#define MOE_GGUF_ENDS 4

/* Ids of the special tokens; -1 = none. end[] holds eos, eot and eom, each once. */
struct moe_gguf_ids {
	int64_t bos, pad, end[MOE_GGUF_ENDS];
	int n_end;
};
/* vocab is the number of rows of the embedding, which bounds the ids. */
int moe_gguf_ids(
	const struct moe_gguf *g, uint64_t vocab, struct moe_gguf_ids *out, struct moe_err *e);

/* Appends the text of tokenizer.json. MOE_DATA names what is not supported: a model that is not
 * byte-level BPE, a pre-tokenizer whose regular expression is not known, types of tokens. The text
 * is not yet held to be loadable: moe_tokenizer_parse does that. */
int moe_gguf_tokenizer_json(
	const struct moe_gguf *g, uint64_t vocab, struct moe_buf *out, struct moe_err *e);
/* Appends the text of tokenizer_config.json: names of the special tokens, and the chat template as
 * the file has it. */
int moe_gguf_tokenizer_config(const struct moe_gguf *g, const struct moe_gguf_ids *ids,
	struct moe_buf *out, struct moe_err *e);

#endif
