/* peft.h - experts as PEFT adapters and back.
 *
 * An expert alone, at gate 1, is a plain LoRA: its rows of A, its columns of B times alive, scale
 * s. So every expert that was trained here loads in Python, and a LoRA that was trained there
 * becomes an expert. A router has no place in PEFT's format: an arm that has one is refused. In the
 * float64 build parameters are rounded to f32. Errors: MOE_DATA for directories that do not fit,
 * MOE_SYSTEM.
 */
#ifndef MOE_MOE_PEFT_H
#define MOE_MOE_PEFT_H

#include "formats/peft.h"
#include "moe/adapter.h"

/* Fails unless an arm is one LoRA: no router, no vector that it adds. format: what has no place for
 * them. */
int moe_adapter_is_lora(const struct moe_adapter *a, const char *format, struct moe_err *e);
/* Block i of x (layer * MOE_LINEARS + linear), its slots first .. first+r, as a pair. Its module,
 * a and b are the caller's to free, on failure too. */
int moe_experts_pair(const struct moe_experts *x, int i, int first, int r, struct moe_peft_pair *p,
	struct moe_err *e);
/* Writes expert `expert` of x (all experts as one LoRA when it is -1) to dir; base: its
 * base_model_name_or_path or NULL. */
int moe_experts_to_peft(const struct moe_experts *x, int expert, const char *base,
	const struct moe_peft_origin *from, const char *dir, struct moe_err *e);
/* An adapter's arm: dir itself is a PEFT adapter of all its experts at gate 1 (those that are
 * deleted add nothing), dir/expert_00, dir/expert_01 ... are each expert alone; dir/moe.json says
 * which is which and which labels they have seen, as each expert's own files do;
 * dir/router.safetensors holds the tensors of the fitted score when there are any. */
int moe_adapter_to_peft(const struct moe_adapter *a, const char *base, enum moe_labels labels,
	const char *dir, struct moe_err *e);
/* One expert from a PEFT directory, for a base of this shape. x need not be initialised; the caller
 * frees it. Modules of other ranks than the largest are padded with zeros; Linears that the adapter
 * leaves out in some layers are zero there. *from (may be NULL): where it comes from. */
int moe_experts_from_peft(struct moe_experts *x, const struct moe_config *c, const char *dir,
	enum moe_bank bank, const char *name, struct moe_peft_origin *from, struct moe_err *e);

#endif
