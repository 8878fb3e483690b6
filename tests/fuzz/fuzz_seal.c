/* fuzz_seal.c - any bytes as a seal; what opens seals again to what opens to the same. */
#include "fuzz.h"

#include "formats/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moe_seal a, b;
	struct moe_buf out = { 0 };
	struct moe_err e = { 0 };

	if (!moe_seal_open(data, size, &a, &e)) {
		if (moe_seal_make(&a, &out, &e))
			abort();
		if (moe_seal_open(out.data, out.len, &b, &e) || a.solved != b.solved ||
			a.hacked != b.hacked || a.solved_unknown != b.solved_unknown ||
			a.hacked_unknown != b.hacked_unknown ||
			strcmp(a.mechanism, b.mechanism) != 0 ||
			a.foreign.n_field != b.foreign.n_field)
			abort();
		moe_seal_free(&a);
		moe_seal_free(&b);
	}
	moe_buf_free(&out);
	return 0;
}
