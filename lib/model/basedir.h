/* basedir.h - whole model directories: a fresh one, the tokenizer's files beside the weights, a
 * description, a check.
 *
 * Not thread-safe on the same directory.
 */
#ifndef MOE_MODEL_BASEDIR_H
#define MOE_MODEL_BASEDIR_H

#include "formats/tokenizer/tokenizer.h"
#include "model/model.h"
#include "util/buf.h"

/* Shape of a new model: the name of a preset, or the path of a config.json (with a '/' or a '.' in
 * it). */
int moe_base_config(const char *preset_or_path, struct moe_config *c, struct moe_err *e);
/* Writes the weights and config.json, and a tokenizer: `tokenizer` (a tokenizer.json) when given,
 * else the embedded byte-level one when the vocabulary is its 259, else none (*has_tokenizer
 * false). */
int moe_base_write(const struct moe_model *m, const char *dir, const char *tokenizer,
	bool *has_tokenizer, struct moe_err *e);
/* Copies the tokenizer's and the generation's files that `from` has: tokenizer.json,
 * tokenizer_config.json, special_tokens_map.json, generation_config.json, chat_template.jinja,
 * vocab.json, merges.txt. */
int moe_base_copy_extras(const char *from, const char *to, struct moe_err *e);

/* Appends lines "name\tvalue" that describe the model. */
int moe_base_describe(const struct moe_model *m, struct moe_buf *out, struct moe_err *e);
/* Looks for NaN and infinities in all weights, and runs a short batch; MOE_NUMERIC or MOE_DATA says
 * what is wrong. t may be NULL. */
int moe_base_check(const struct moe_model *m, const struct moe_tokenizer *t, struct moe_err *e);
size_t moe_model_count(const struct moe_model *m); /* parameters; a tied head counts once */

#endif
