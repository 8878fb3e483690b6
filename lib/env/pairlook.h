/* pairlook.h - what tells the sides of pairs apart at a glance: their lengths, and single words (or
 * tokens) that stand in one side only.
 *
 * A score that is fitted to such pairs may know no more than that. A word is a run of letters,
 * digits, underscores and bytes beyond ASCII, or one other character that is no white space; with a
 * tokenizer, one of its tokens. Memory grows with the number of different words. Not thread-safe.
 */
#ifndef MOE_ENV_PAIRLOOK_H
#define MOE_ENV_PAIRLOOK_H

#include "formats/rec.h"
#include "formats/tokenizer/tokenizer.h"

/* The next word at *rest, which moves behind it; false at the end. */
bool moe_pair_word(struct moe_str *rest, struct moe_str *word);
/* How long a text is, in tokens; in words when t is NULL. */
int moe_pair_length(
	const struct moe_tokenizer *t, struct moe_str text, size_t *length, struct moe_err *e);

struct moe_pairlook;
/* t is borrowed; NULL = words. */
struct moe_pairlook *moe_pairlook_new(const struct moe_tokenizer *t, struct moe_err *e);
void moe_pairlook_free(struct moe_pairlook *l);
int moe_pairlook_add(struct moe_pairlook *l, const struct moe_rec *pair, struct moe_err *e);
/* All of it as text for people, ended by a line feed. */
int moe_pairlook_text(const struct moe_pairlook *l, struct moe_buf *out, struct moe_err *e);

#endif
