/* special.h - the one place that decides which special tokens a text gets: what stands before a
 * prompt, what ends a completion, and which ids those are in a model's directory.
 *
 * Sampling, scoring, pretraining, pins, pairs and imports all make their tokens here, so that a
 * text is the same tokens wherever it goes. Thread-safe.
 */
#ifndef MOE_FORMATS_TOKENIZER_SPECIAL_H
#define MOE_FORMATS_TOKENIZER_SPECIAL_H

#include "formats/json.h"
#include "formats/tokenizer/tokenizer.h"

#define MOE_ENDS_MAX 512

struct moe_special {
	int32_t bos; /* what an empty prompt begins with; -1 = nothing */
	int n_end;
	int32_t end[MOE_ENDS_MAX]; /* a text ends at any of them; end[0] is written behind one */
	int n_outside;             /* ids named as ends that the vocabulary does not have */
	int64_t outside;           /* the first of these */
	char note[400];            /* what a user should be told about the ends, or "" */
};

/* Reads dir's config.json, generation_config.json and tokenizer_config.json. The ends are the union
 * of `eos_token_id` in the first two, which a model stops at in transformers; the one that the
 * tokenizer calls its `eos_token` is end[0]. Where they name none that the vocabulary has, the
 * tokenizer's `eos_token` (or its "<|eos|>") is the only end, and the note says so. Files that are
 * not there are passed over; MOE_DATA for an `eos_token_id` that is neither an id nor a list. */
int moe_special_read(const char *dir, struct moe_special *s, struct moe_err *e);
/* Adds the `eos_token_id` of a configuration to s; ids outside of [0, vocab) are counted. */
int moe_special_take(const struct moe_json *root, const char *name, int64_t vocab,
	struct moe_special *s, struct moe_err *e);
bool moe_special_ends(const struct moe_special *s, int32_t id);

/* Appends a prompt's tokens. What the tokenizer's template puts before a text (bos ...) is put
 * before it once: not when the text begins with it, and not when `chat` (it was written from
 * messages, and a chat template writes all special tokens itself). What the template puts behind a
 * text is left out, since a completion follows. An empty prompt is bos (-1: it has no tokens). */
int moe_prompt_tokens(const struct moe_tokenizer *t, int32_t bos, struct moe_str text, bool chat,
	int32_t **ids, size_t *n, struct moe_err *e);
/* Appends a completion's tokens, and end[0] behind them unless they end in one of end[n_end]
 * already (n_end 0: nothing is put there). */
int moe_completion_tokens(const struct moe_tokenizer *t, const int32_t *end, int n_end,
	struct moe_str text, int32_t **ids, size_t *n, struct moe_err *e);

#endif
