/* corpus.h - texts as tokens, and batches packed from them without padding.
 *
 * A text is prompt + text + end token (formats/tokenizer/special.h), cut at max_len. Every token
 * but the first is predicted; its loss weight is the record's prompt_weight in the prompt and its
 * weight after it. Zero-initialise; the free functions accept zeroed structs. Not thread-safe while
 * texts are added.
 */
#ifndef MOE_MODEL_CORPUS_H
#define MOE_MODEL_CORPUS_H

#include "formats/rec.h"
#include "formats/tokenizer/tokenizer.h"
#include "model/model.h"

struct moe_doc {
	size_t off;      /* first token in ids */
	int n, n_prompt; /* tokens; how many of them are prompt */
	float weight, prompt_weight;
	uint64_t key; /* moe_hash64 of the id */
};

struct moe_corpus {
	int32_t *ids; /* owned */
	size_t n_ids, cap_ids;
	struct moe_doc *doc; /* owned */
	size_t n, cap;
	size_t cut;   /* texts that were cut at max_len */
	size_t empty; /* texts left out since they had nothing to predict */
};

/* Adds a "text" record (formats/records.md), with the ends of m behind it (special.h). 1 = added,
 * 0 = left out and counted: fewer than two tokens, nothing to predict; MOE_DATA for a key of a
 * wrong type. */
int moe_corpus_add(struct moe_corpus *c, const struct moe_rec *r, const struct moe_tokenizer *t,
	const struct moe_config *m, int max_len, struct moe_err *e);
/* Adds tokens as they are (a rollout): weight 0 for the prompt. */
int moe_corpus_add_ids(struct moe_corpus *c, const int32_t *prompt, size_t n_prompt,
	const int32_t *rest, size_t n_rest, uint64_t key, struct moe_err *e);
/* Keeps the memory, drops the texts. */
void moe_corpus_clear(struct moe_corpus *c);
void moe_corpus_free(struct moe_corpus *c);

/* A packed batch of some texts and the predictions in it. */
struct moe_docs_batch {
	struct moe_batch b;
	int32_t *ids, *row, *target; /* owned */
	struct moe_seg *seg;
	moe_real *weight; /* [n] loss weights of the predictions; those of weight 0 are left out */
	int n;
	double weight_sum;
	int cap_t, cap_seg;
};
int moe_docs_pack(struct moe_docs_batch *p, const struct moe_corpus *c, const uint32_t *doc,
	size_t n, struct moe_err *e);
void moe_docs_batch_free(struct moe_docs_batch *p);
/* Cuts doc[n] into runs of at most `tokens` tokens (a longer text is a run of its own): cut[i] is
 * where run i begins, cut[*n_run] = n. cut [n + 1]. The cuts depend on the texts alone. */
void moe_docs_cut(const struct moe_corpus *c, const uint32_t *doc, size_t n, size_t tokens,
	size_t *cut, size_t *n_run);

#endif
