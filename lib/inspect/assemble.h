/* assemble.h - puts chunked tensors together again: chunks must follow one another in order, as
 * writers send them.
 *
 * Zero-initialise; moe_assemble_free accepts a zeroed struct. Not thread-safe.
 */
#ifndef MOE_INSPECT_ASSEMBLE_H
#define MOE_INSPECT_ASSEMBLE_H

#include "formats/rec.h"

struct moe_assemble {
	struct moe_buf data;
	struct moe_tensor whole; /* dtype, rank, shape of the tensor at hand */
	struct moe_buf name;
	size_t bytes, have; /* of the whole tensor, and so far */
	bool open;
	bool no_data; /* set by the caller: chunks are only checked, data stays empty and
			 whole.bytes counts all */
};

/* One t="tensor" record: 1 = the tensor is complete (a->whole with its data, a->name), 0 = more
 * chunks are to come, -1. A tensor of more than max bytes is MOE_DATA naming --max-mem. */
int moe_assemble_chunk(
	struct moe_assemble *a, const struct moe_rec *r, size_t max, struct moe_err *e);
/* Fails when a tensor is still incomplete: call for every record of another type and at the
 * segment's end. */
int moe_assemble_closed(const struct moe_assemble *a, struct moe_err *e);
void moe_assemble_free(struct moe_assemble *a);

#endif
