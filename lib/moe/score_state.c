/* score_state.c - a score's tensors and numbers to and from a map; what they mean is the method's.
 */
#include "moe/score_state.h"

#include <stdlib.h>
#include <string.h>

static const char *const numbers[] = { "bias", "gap" };
#define N_NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

int moe_score_state_get(const struct moe_adapter *a, struct moe_rec *to, struct moe_err *e)
{
	double v;

	for (size_t i = 0; i < a->n_tensor; i++)
		if (moe_rec_set_f32s(to, a->tensor[i].name, a->tensor[i].data, a->tensor[i].n, e))
			return -1;
	for (size_t i = 0; i < N_NUMBERS; i++)
		if (moe_rec_f64(&a->score, numbers[i], &v) && moe_rec_set_f64(to, numbers[i], v, e))
			return -1;
	return 0;
}

int moe_score_state_set(struct moe_adapter *a, const struct moe_rec *from, struct moe_err *e)
{
	double v;

	for (size_t i = 0; i < a->n_tensor; i++) {
		struct moe_score_tensor *t = &a->tensor[i];
		float *data;
		size_t n;

		if (moe_rec_f32s(from, t->name, &data, &n, e))
			return moe_err_prefix(e, "the score on record");
		if (n == t->n)
			memcpy(t->data, data, n * sizeof(*data));
		free(data);
		if (n != t->n)
			return moe_fail(e, MOE_DATA,
				"the score on record: '%s' has %zu numbers, the adapter's has %zu",
				t->name, n, t->n);
	}
	for (size_t i = 0; i < N_NUMBERS; i++)
		if (moe_rec_f64(&a->score, numbers[i], &v) &&
			(moe_rec_f64_req(from, numbers[i], &v, e) ||
				moe_rec_set_f64(&a->score, numbers[i], v, e)))
			return moe_err_prefix(e, "the score on record");
	return 0;
}
