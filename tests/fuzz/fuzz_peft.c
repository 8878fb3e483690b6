/* fuzz_peft.c - a text as adapter_config.json and bytes as adapter_model.safetensors: refused, or
 * pairs of matrices that fit together, which a small base takes or refuses. */
#include "fuzz.h"

#include "formats/peft.h"
#include "moe/peft.h"

#include <math.h>

static struct fuzz_dir dir;
static int config, weights;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	config = fuzz_add(&dir, "adapter_config.json");
	weights = fuzz_add(&dir, "adapter_model.safetensors");
	return 0;
}

static void check(const struct moe_peft *p)
{
	MUST(p->n > 0 && p->base);
	for (size_t i = 0; i < p->n; i++) {
		const struct moe_peft_pair *x = &p->pair[i];

		MUST(x->module && x->module[0] && x->r > 0 && x->in > 0 && x->out > 0 &&
			!isnan(x->scale));
		for (size_t k = i + 1; k < p->n; k++)
			MUST(strcmp(x->module, p->pair[k].module) != 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct moe_config base = { .family = MOE_LLAMA,
		.V = 16,
		.D = 4,
		.L = 2,
		.H = 2,
		.K = 1,
		.hd = 2,
		.F = 6,
		.max_pos = 32 };
	const uint8_t *part;
	struct moe_experts x;
	struct moe_peft peft;
	struct moe_err e = { 0 };
	size_t k = fuzz_part(&p, &n, &part);

	fuzz_set(config, part, k);
	fuzz_set(weights, p, n);
	if (moe_peft_open(&peft, dir.dir, &e)) {
		MUST(e.msg[0]);
		return 0;
	}
	check(&peft);
	if (!moe_experts_from_peft(&x, &base, dir.dir, MOE_BANK_CLEAN, "one", NULL, &e)) {
		for (size_t i = 0, pairs = 0; i < (size_t)base.L * MOE_LINEARS; i++) {
			pairs += moe_view_of(&x, (size_t)i, MOE_ROLE_A) != NULL;
			MUST(i + 1 < (size_t)base.L * MOE_LINEARS ||
				pairs >= peft.n); /* every pair has a place of its own */
		}
		moe_experts_free(&x);
	} else
		MUST(e.msg[0]);
	moe_peft_close(&peft);
	return 0;
}
