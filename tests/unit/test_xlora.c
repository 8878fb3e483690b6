/* test_xlora.c - the two passes of X-LoRA through a whole model against PEFT's
 * (tests/golden/make_xlora_golden.py): log-probabilities, and the gradients of experts and router.
 */
#include "model/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/st_golden.h"
#include "tests/unit/tiny.h"

enum { T = 16, SEQ = 2 };

/* Two experts under the row xlora, with PEFT's parameters. */
static void lay_out(struct moe_adapter *a, const struct moe_model *m, const struct moe_st *st)
{
	char scale[48];

	snprintf(scale, sizeof(scale), "logit_scale=%s", moe_st_meta(st, "logit_scale"));
	tiny_layout(a, m, "xlora", (const char *const[]){ scale, NULL },
		(const char *const[]){ "clean:2", "quarantine:2", NULL });
	a->x.scale = atof(moe_st_meta(st, "scale"));
	golden_params(st, &a->x);
}

static void test_two_passes(void **state)
{
	moe_real mask[2 * T];
	struct moe_gates g = { .mask = mask };
	int32_t ids[T], row_of[T], target[T];
	struct moe_seg seg[SEQ];
	struct moe_batch b = { T, ids, SEQ, seg };
	struct moe_acts acts = { .keep = true };
	struct moe_adapter a = { 0 };
	struct moe_model m;
	struct moe_err e = { 0 };
	struct moe_st *st = moe_st_open(DIR "xlora.safetensors", &e);
	moe_real logp[T], *dx;
	float *weight, *want;
	double far;
	int n = 0;

	(void)state;
	assert_non_null(st);
	assert_int_equal(moe_model_load(&m, DIR "llama", &e), 0);
	lay_out(&a, &m, st);
	for (int i = 0; i < 2 * T; i++)
		mask[i] = 1;
	memcpy(ids, moe_st_find(st, "ids")->data, sizeof(ids));
	for (int s = 0, at = 0; s < SEQ; s++) {
		int32_t len = ((const int32_t *)moe_st_find(st, "lens")->data)[s];

		seg[s] = (struct moe_seg){ at, len, -1, 0 };
		for (int k = 0; k + 1 < len; k++) {
			row_of[n] = at + k;
			target[n++] = ids[at + k + 1];
		}
		at += len;
	}
	if (moe_forward(&m, &a.x, &g, &b, &acts, &e) ||
		moe_head_logp(&m, &b, &acts, n, row_of, target, 1, logp, NULL, &e))
		fail_msg("%s", e.msg);
	want = golden(st, "logp", (size_t)n);
	far = apart("logp", logp, want, (size_t)n);
	weight = golden(st, "weight", (size_t)n);
	dx = calloc(a.x.n_param, sizeof(*dx));
	assert_int_equal(
		moe_backward(&m, &a.x, &g, &b, &acts, n, row_of, target, 1, weight, dx, NULL, &e),
		0);
	far = fmax(far, golden_grads(st, "grad", &a.x, dx));
	print_message("# X-LoRA: largest relative difference from PEFT %.2g\n", far);
	free(want);
	free(weight);
	free(dx);
	moe_acts_free(&acts);
	moe_adapter_free(&a);
	moe_model_free(&m);
	moe_st_close(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_two_passes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
