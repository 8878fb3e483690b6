/* load.h - Hugging Face model directories: config.json and safetensors, in and out.
 *
 * Reading: moe_model_load (model.h) maps the weights; nothing is copied unless a tensor is
 * misaligned in its file. Everything that this engine does not compute (other architectures,
 * activations, sliding windows, quantised weights, unknown rope types, tensors that no part of the
 * model uses) is refused with a sentence that names it, since a model that loads and computes
 * something else is worse. Writing: config.json and model.safetensors in f32, in the form that
 * transformers 4 and 5 both load. Formulas of the rope types: transformers, modeling_rope_utils.py.
 * Not thread-safe on the same directory.
 */
#ifndef MOE_MODEL_LOAD_H
#define MOE_MODEL_LOAD_H

#include "formats/tokenizer/special.h"
#include "model/config.h"
#include "model/model.h"
#include "util/buf.h"

/* Reads a config.json file (for yarn, rope_high and rope_low are beta_fast and beta_slow). MOE_DATA
 * names file and key. */
int moe_config_read(const char *path, struct moe_config *c, struct moe_err *e);
/* The same from text; `name` is for messages. */
int moe_config_parse(
	const char *p, size_t n, const char *name, struct moe_config *c, struct moe_err *e);
/* Takes over a directory's ends and its first token. */
void moe_config_special(struct moe_config *c, const struct moe_special *s);
/* Appends config.json's text. */
int moe_config_write(const struct moe_config *c, struct moe_buf *out, struct moe_err *e);

/* Makes dir if it is missing and replaces config.json and model.safetensors in it, one after the
 * other, each atomically. Index files of an earlier sharded model in dir are left alone;
 * transformers and moe_model_load prefer model.safetensors. */
int moe_model_save(const struct moe_model *m, const char *dir, struct moe_err *e);
/* The first step of that: makes dir and fails when it can not be written to. For those who have
 * much to do before they save. */
int moe_model_dir(const char *dir, struct moe_err *e);
/* Releases what moe_model_load attached to m->map (mappings, aligned copies). For moe_model_free; a
 * zeroed model is accepted. */
void moe_model_unmap(struct moe_model *m);

#endif
