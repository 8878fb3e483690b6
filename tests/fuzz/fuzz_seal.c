/* fuzz_seal.c - any bytes as a seal; what opens seals again to what opens to the same. And any bytes as an external grader's answer. */
#include "fuzz.h"

#include "env/exec.h"
#include "formats/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moe_seal a, b;
	struct moe_buf out = {0};
	struct moe_rec r = {0};
	struct moe_err e = {0};

	if (!moe_seal_open(data, size, &a, &e)) {
		if (moe_seal_make(&a, &out, &e))
			abort();
		if (moe_seal_open(out.data, out.len, &b, &e) || a.solved != b.solved || a.hacked != b.hacked || a.solved_unknown != b.solved_unknown ||
		    a.hacked_unknown != b.hacked_unknown || strcmp(a.mechanism, b.mechanism) != 0 || a.foreign.n_field != b.foreign.n_field)
			abort();
		moe_seal_free(&a);
		moe_seal_free(&b);
	}
	if (moe_rec_set_str(&r, "id", "x", &e) || moe_rec_set_str(&r, "mode", "m", &e))
		abort();
	if (!moe_exec_answer((const char *)data, size, &r, &e)) {
		double reward;

		if (!moe_rec_f64(&r, "reward", &reward) || !(reward - reward == 0) || moe_seal_get(&r, &a, &e) != 1)
			abort(); /* an answer taken gives a finite reward and a seal that opens */
		moe_seal_free(&a);
	}
	moe_rec_free(&r);
	moe_buf_free(&out);
	return 0;
}
