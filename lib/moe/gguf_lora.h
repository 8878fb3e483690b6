/* gguf_lora.h - an arm as a LoRA for llama.cpp: one GGUF file, of the layout that its
 * convert_lora_to_gguf.py writes (formats/gguf.md).
 *
 * All experts at gate 1 as one LoRA, those that are deleted adding nothing, as in
 * moe_adapter_to_peft.
 */
#ifndef MOE_MOE_GGUF_LORA_H
#define MOE_MOE_GGUF_LORA_H

#include "formats/stream.h"
#include "moe/adapter.h"
#include "util/buf.h"

/* Appends the file to an empty buffer. c is the base's: an adapter does not know its family, which
 * decides on names and on the order of rows. MOE_DATA when the arm is no LoRA, or is made for
 * another shape. */
int moe_adapter_to_gguf(const struct moe_adapter *a, const struct moe_config *c,
	enum moe_labels labels, struct moe_buf *out, struct moe_err *e);

#endif
