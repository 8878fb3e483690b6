/* regions.c - who owns which stretch of a flat parameter block. */
#include "model/regions.h"

int moe_experts_regions(
	const struct moe_experts *x, struct moe_region **out, size_t *n, struct moe_err *e)
{
	size_t cells = (size_t)x->config.L * MOE_LINEARS;
	struct moe_region *r = moe_alloc(cells * 2 * (size_t)x->E, sizeof(*r), e);

	if (!r)
		return -1;
	*out = r;
	*n = 0;
	for (size_t i = 0; i < cells; i++) {
		int in, o;

		if (x->a_off[i] == SIZE_MAX)
			continue;
		moe_linear_shape(&x->config, (enum moe_linear)(i % MOE_LINEARS), &in, &o);
		for (int k = 0; k < x->E; k++) {
			size_t first = (size_t)x->first[k], rank = (size_t)x->rank[k],
			       R = (size_t)x->R;

			r[(*n)++] = (struct moe_region){ x->a_off[i] + first * (size_t)in, 1,
				rank * (size_t)in, rank * (size_t)in, k, 1, 1 };
			r[(*n)++] = (struct moe_region){ x->b_off[i] + first, (size_t)o, rank, R, k,
				1, 1 };
		}
	}
	return 0;
}

static void add(struct moe_region *r, size_t *n, const struct moe_weight *w)
{
	size_t size = (size_t)w->rows * (size_t)w->cols;

	if (w->rows)
		r[(*n)++] = (struct moe_region){ w->off, 1, size, size, 0, w->rows > 1 ? 1 : 0, 1 };
}

int moe_model_regions(
	const struct moe_model *m, struct moe_region **out, size_t *n, struct moe_err *e)
{
	struct moe_region *r;

	if (!m->param)
		return moe_fail(e, MOE_USAGE, "the model is not trainable");
	r = moe_alloc((size_t)m->config.L * (2 * MOE_LINEARS + 4) + 3, sizeof(*r), e);
	if (!r)
		return -1;
	*out = r;
	*n = 0;
	add(r, n, &m->embed);
	add(r, n, &m->norm);
	if (!m->config.tied)
		add(r, n, &m->head);
	for (int i = 0; i < m->config.L; i++) {
		const struct moe_layer *y = &m->layer[i];

		for (int l = 0; l < MOE_LINEARS; l++) {
			add(r, n, &y->w[l]);
			add(r, n, &y->bias[l]);
		}
		add(r, n, &y->norm1);
		add(r, n, &y->norm2);
		add(r, n, &y->qnorm);
		add(r, n, &y->knorm);
	}
	return 0;
}
