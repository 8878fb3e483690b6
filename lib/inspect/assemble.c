/* assemble.c - chunks of tensors, joined. It trusts neither their order nor their sizes. */
#include "inspect/assemble.h"
#include "formats/tensor_view.h"

#include <inttypes.h>
#include <string.h>

static bool same_tensor(
	const struct moe_assemble *a, const struct moe_tensor *t, struct moe_str name)
{
	return name.n == a->name.len && !memcmp(name.p, a->name.data, name.n) &&
		!strcmp(t->dtype, a->whole.dtype) && t->rank == a->whole.rank &&
		!memcmp(t->shape, a->whole.shape, sizeof(t->shape));
}

int moe_assemble_chunk(
	struct moe_assemble *a, const struct moe_rec *r, size_t max, struct moe_err *e)
{
	struct moe_tensor t;
	struct moe_str name;
	int64_t offset;

	if (!moe_tensor_chunk(r, &t, &offset) || !moe_rec_str(r, "name", &name))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 " (byte %" PRIu64 "): not a well-formed tensor record",
			r->number, r->byte);
	if (!a->open) {
		a->data.len = a->name.len = a->have = 0;
		a->whole = t;
		moe_tensor_bytes(&t, &a->bytes);
		if (a->bytes > max)
			return moe_fail(e, MOE_DATA,
				"record %" PRIu64 ": a tensor of %zu bytes; --max-mem allows %zu",
				r->number, a->bytes, max);
		if (moe_buf_add(&a->name, name.p, name.n, e) || !moe_buf_cstr(&a->name, e))
			return -1;
	}
	if ((a->open && !same_tensor(a, &t, name)) || (size_t)offset != a->have)
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 " (byte %" PRIu64 "): a chunk of a tensor out of order",
			r->number, r->byte);
	if (!a->no_data && moe_buf_add(&a->data, t.data, t.bytes, e))
		return -1;
	a->have += t.bytes;
	a->open = a->have < a->bytes;
	a->whole.data = a->data.data;
	a->whole.bytes = a->have;
	return !a->open;
}

int moe_assemble_closed(const struct moe_assemble *a, struct moe_err *e)
{
	return a->open ? moe_fail(e, MOE_DATA, "tensor \"%s\" lacks its last %zu bytes",
				 (const char *)a->name.data, a->bytes - a->have)
		       : 0;
}

void moe_assemble_free(struct moe_assemble *a)
{
	moe_buf_free(&a->data);
	moe_buf_free(&a->name);
	memset(a, 0, sizeof(*a));
}
