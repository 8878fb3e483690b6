/* fuzz_safetensors.c - any bytes as a safetensors file: it is refused, or every tensor lies within the bytes and can be read. */
#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_err e = { 0 };
	struct moe_st *s = moe_st_parse(p, n, "fuzz", &e);
	unsigned sum = 0;

	for (size_t i = 0; s && i < moe_st_count(s); i++) {
		const struct moe_st_tensor *t = moe_st_at(s, i);
		const uint8_t *d = t->data;
		float f;

		if (d < p || t->bytes > (size_t)(p + n - d) || moe_st_find(s, t->name) != t)
			abort();
		for (size_t k = 0; k < t->bytes; k++)
			sum += d[k];
		if (t->bytes >= 8)
			moe_st_floats(t, 0, 1, &f, &e);
	}
	moe_st_close(s);
	return sum == 0xffffffffu ? -1 : 0;
}
