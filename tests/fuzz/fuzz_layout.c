/* fuzz_layout.c - any bytes as the layout of an adapter; what is taken is written to what is taken
 * again, with the same digest. And arrays in records. */
#include "fuzz_records.h"

static void arrays(const struct moe_rec *r)
{
	struct moe_rec m = { 0 };
	struct moe_list l;
	uint64_t u[16];
	double d[16];
	size_t n;
	struct moe_err e;

	for (size_t f = 0; f < r->n_field && f < 8; f++) {
		char key[32] = "";

		if (r->field[f].key.n >= sizeof(key) ||
			memchr(r->field[f].key.p, 0, r->field[f].key.n))
			continue;
		memcpy(key, r->field[f].key.p, r->field[f].key.n);
		if (moe_rec_u64s(r, key, u, 16, &n, &e) == 0 && moe_rec_f64s(r, key, d, 16, &n, &e))
			abort(); /* integers are numbers */
		moe_list_open(r, key, &l);
		for (size_t i = 0; i < 3 && moe_list_next_map(&l, &m, &e) == 1; i++)
			;
	}
	moe_rec_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moe_adapter a = { 0 }, b = { 0 };
	struct moe_rec r = { 0 }, again = { 0 };
	struct moe_err e;

	if (moe_rec_parse(&r, data, size, &e) == 0) {
		arrays(&r);
		if (fuzz_modest(&r) && moe_adapter_from_layout(&r, &a, &e) == 0) {
			if (moe_adapter_layout(&a, &again, &e) ||
				moe_adapter_from_layout(&again, &b, &e))
				abort();
			if (moe_adapter_digest(&a, &e) == 0 &&
				(moe_adapter_digest(&b, &e) || strcmp(a.digest, b.digest) != 0))
				abort();
		}
	}
	moe_adapter_free(&a);
	moe_adapter_free(&b);
	moe_rec_free(&r);
	moe_rec_free(&again);
	return 0;
}
