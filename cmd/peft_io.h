/* peft_io.h - moe-cat's way to and from the LoRA of others: PEFT's directories, llama.cpp's files.
 * Functions die on failure. */
#ifndef MOE_CMD_PEFT_IO_H
#define MOE_CMD_PEFT_IO_H

#include "cmd/opt.h"

/* The first arm of the stream in (NULL or "-" = standard input) to dir, an adapter directory for
 * each expert. base: what they say they adapt, or NULL. */
void moe_peft_out(const char *in, const char *base, const char *dir);
/* The same arm as a GGUF LoRA for the base model in the directory base, to out. */
void moe_gguf_lora_out(const char *in, const char *base, struct moe_out *out);
/* The adapter directory dir, for the base model in the directory base, as an adapter stream of one
 * expert of that bank to the file of -o. */
void moe_peft_in(const char *dir, const char *base, const char *bank);

#endif
