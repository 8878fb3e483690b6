/* merge.c - W + s B (g .* A) for each adapted Linear. It reads and writes no files. */
#include "moe/merge.h"
#include "model/prep.h"
#include "util/mem.h"

#include <stdlib.h>

/* Gate, presence and life of a rank slot of block i. */
static double slot_weight(const struct moe_experts *x, const moe_real *gate, size_t i, int slot)
{
	int expert = 0;

	while (expert + 1 < x->E && slot >= x->first[expert + 1])
		expert++;
	return (double)x->alive[i * (size_t)x->R + (size_t)slot] * x->present[expert] *
		(double)gate[expert];
}

/* One Linear [out, in] of block i, row by row: the sum over slots in double, one rounding. */
static int merge_one(const struct moe_weight *w, const struct moe_experts *x, const moe_real *gate,
	size_t i, float *to, struct moe_err *e)
{
	const moe_real *A = x->param + moe_view_of(x, i, MOE_ROLE_A)->off,
		       *B = x->param + moe_view_of(x, i, MOE_ROLE_B)->off;
	size_t in = (size_t)w->cols, R = (size_t)x->R;
	moe_real *row = moe_alloc(in, sizeof(*row), e);
	double *sum = row ? moe_alloc(in, sizeof(*sum), e) : NULL;

	for (int o = 0; sum && o < w->rows; o++) {
		moe_weight_widen(w, o, 1, row);
		for (size_t j = 0; j < in; j++)
			sum[j] = (double)row[j];
		for (size_t k = 0; k < R; k++) {
			double b = x->scale * slot_weight(x, gate, i, (int)k) *
				(double)B[(size_t)o * R + k];

			for (size_t j = 0; b != 0 && j < in; j++)
				sum[j] += b * (double)A[k * in + j];
		}
		for (size_t j = 0; j < in; j++)
			to[(size_t)o * in + j] = (float)sum[j];
	}
	free(row);
	free(sum);
	return sum ? 0 : -1;
}

int moe_experts_merge(struct moe_model *m, const struct moe_experts *x, const moe_real *gate,
	float **block, struct moe_err *e)
{
	size_t n = 0, at = 0;

	if (x->router)
		return moe_fail(e, MOE_DATA,
			"an arm with a router weighs its experts token by token and cannot be "
			"merged into the base");
	if (moe_experts_shifts(x))
		return moe_fail(e, MOE_DATA,
			"an arm whose passes add a vector to a layer's output cannot be merged "
			"into the base: delete the quarantine first");
	for (int i = 0; i < m->config.L; i++)
		for (int l = 0; l < MOE_LINEARS; l++)
			if (x->target[l])
				n += (size_t)m->layer[i].w[l].rows * (size_t)m->layer[i].w[l].cols;
	moe_model_drop_ready(m); /* its products must be with the new weights */
	*block = moe_alloc(n, sizeof(**block), e);
	if (!*block)
		return -1;
	for (int i = 0; i < m->config.L; i++)
		for (int l = 0; l < MOE_LINEARS; l++) {
			struct moe_weight *w = &m->layer[i].w[l];

			if (!x->target[l])
				continue;
			if (merge_one(w, x, gate, (size_t)i * MOE_LINEARS + (size_t)l, *block + at,
				    e))
				return -1;
			w->data = *block + at;
			w->dtype = MOE_F32;
			at += (size_t)w->rows * (size_t)w->cols;
		}
	return 0;
}
