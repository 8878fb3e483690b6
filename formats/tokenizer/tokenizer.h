/* tokenizer.h - tokenizer.json of the byte-level BPE families (Llama 3, SmolLM2, Qwen2, Qwen3) and
 * the embedded byte-level one.
 *
 * Exact in both directions on arbitrary bytes that are UTF-8; unknown component types are refused
 * loudly. Thread-safe after opening.
 */
#ifndef MOE_FORMATS_TOKENIZER_H
#define MOE_FORMATS_TOKENIZER_H

#include "util/buf.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moe_tokenizer;
/* dir/tokenizer.json. */
struct moe_tokenizer *moe_tokenizer_open(const char *dir, struct moe_err *e);
void moe_tokenizer_free(struct moe_tokenizer *t);
/* Appends ids to *ids (malloc'ed, owned by the caller; *n counts). Bytes that are not UTF-8
 * are merged as they are; MOE_DATA when one of them has no token. Bytes of UTF-8 without a token
 * are the unknown token or nothing, as in the reference. add_special: apply the post-processor's
 * template (bos ...). */
int moe_tokenizer_encode(const struct moe_tokenizer *t, const char *text, size_t len,
	bool add_special, int32_t **ids, size_t *n, struct moe_err *e);
/* Appends the bytes of the ids; special tokens are written out unless skip_special. Ids without a
 * token (a model's vocabulary is often padded) stand for nothing, as in the reference; a negative
 * id is MOE_DATA. The bytes need not be UTF-8. */
int moe_tokenizer_decode(const struct moe_tokenizer *t, const int32_t *ids, size_t n,
	bool skip_special, struct moe_buf *out, struct moe_err *e);
int moe_tokenizer_vocab(const struct moe_tokenizer *t);
int32_t moe_tokenizer_id(const struct moe_tokenizer *t, const char *token); /* -1 when absent */
/* The tokenizer.json text of the embedded byte-level tokenizer: 256 byte tokens (id = byte value),
 * then <|pad|> 256, <|bos|> 257, <|eos|> 258; vocabulary 259. */
int moe_tokenizer_bytes_json(struct moe_buf *out, struct moe_err *e);

#endif
