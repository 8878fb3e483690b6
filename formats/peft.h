/* peft.h - LoRA adapter directories of Hugging Face PEFT: adapter_config.json and
 * adapter_model.safetensors (peft.md).
 *
 * An adapter is a list of pairs, one a Linear: W x becomes W x + scale * B (A x), A [r, in], B
 * [out, r], scale = alpha / r, or alpha / sqrt(r) with use_rslora; ranks and alphas may differ by
 * module (rank_pattern, alpha_pattern). Whatever else PEFT can express and would change the
 * computation (DoRA, trained biases, other modules saved, base weights altered at the start) is
 * refused by name. Source: peft, docs checkpoint.md, save_and_load.py, lora/config.py. Not
 * thread-safe on the same directory.
 */
#ifndef MOE_FORMATS_PEFT_H
#define MOE_FORMATS_PEFT_H

#include "formats/safetensors.h"
#include "formats/stream.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>

struct moe_peft_pair {
	const char *module; /* "model.layers.0.self_attn.q_proj" */
	int r, in, out;
	double scale;
	float *a, *b; /* [r, in], [out, r] */
};

/* What no configuration of PEFT has: kept as "moe.labels" and "moe.base" in the metadata of the
 * tensors, where strangers have nothing. */
struct moe_peft_origin {
	enum moe_labels labels; /* label taint */
	bool told;              /* the labels were there */
	char base[65];          /* digest of the base model, or "" */
};

struct moe_peft {
	struct moe_peft_pair *pair; /* [n], sorted by module; all owned */
	size_t n;
	char *base; /* base_model_name_or_path, "" when null */
	int r;      /* as the configuration says: the rank of most */
	double alpha;
	struct moe_peft_origin origin;
};

/* Reads a directory. MOE_DATA names file and reason. */
int moe_peft_open(struct moe_peft *p, const char *dir, struct moe_err *e);
void moe_peft_close(struct moe_peft *p); /* accepts a zeroed struct */
/* Writes one (pairs borrowed, all of rank p->r; alpha = p->alpha; base may be NULL), making dir
 * when it is missing. Each file is replaced atomically. The same input gives the same bytes. */
int moe_peft_write(const struct moe_peft *p, const char *dir, struct moe_err *e);

#endif
