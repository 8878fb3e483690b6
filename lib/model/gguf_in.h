/* gguf_in.h - a model in a GGUF file, as a Hugging Face directory (formats/gguf.md says what is
 * read).
 *
 * llama, qwen2 and qwen3. Everything that this engine does not compute is refused with a sentence
 * that names it, as with config.json: keys of the architecture that are not known, too, since each
 * may change the computation. Not thread-safe on the same directory.
 */
#ifndef MOE_MODEL_GGUF_IN_H
#define MOE_MODEL_GGUF_IN_H

#include "formats/gguf.h"
#include "formats/gguf_tokenizer.h"
#include "model/config.h"
#include "util/buf.h"

/* The shape of the model; ids are its special tokens. */
int moe_gguf_config(const struct moe_gguf *g, struct moe_config *c, struct moe_gguf_ids *ids,
	struct moe_err *e);
/* Writes config.json, generation_config.json, tokenizer.json, tokenizer_config.json and
 * model.safetensors into dir, which is made if it is missing; each file is replaced as a whole,
 * config.json last. F32, F16 and BF16 stay what they are, other types become F32. Memory: the
 * header, the tokenizer's text and 1 MiB of weights (or one row). */
int moe_gguf_to_dir(
	const struct moe_gguf *g, const char *dir, struct moe_config *c, struct moe_err *e);
/* The parts of that: the weights to a path, and generation_config.json's text. */
int moe_gguf_weights(
	const struct moe_gguf *g, const struct moe_config *c, const char *path, struct moe_err *e);
int moe_gguf_generation(const struct moe_gguf_ids *ids, struct moe_buf *out, struct moe_err *e);

/* What the format calls the Linears: "attn_q", in "blk.0.attn_q.weight". */
extern const char *const moe_gguf_linears[MOE_LINEARS];
/* Its name of the architecture: Mistral is a llama there. */
const char *moe_gguf_arch(const struct moe_config *c);
/* llama.cpp rotates neighbouring pairs in its architecture llama, and the rows of q and k are
 * stored permuted for that; in the Qwen ones it rotates halves, as Hugging Face does everywhere.
 * Where row r of Hugging Face's Linear l lies in the file: in each head the pairs (j, j + hd/2) are
 * side by side there, so row 2j + s of a head is row s hd/2 + j of Hugging Face. */
uint64_t moe_gguf_row(const struct moe_config *c, enum moe_linear l, uint64_t r);

#endif
