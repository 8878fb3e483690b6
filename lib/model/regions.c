/* regions.c - who owns which stretch of a flat parameter block. */
#include "model/regions.h"

int moe_experts_regions(const struct moe_experts *x, double router_lr, struct moe_region **out,
	size_t *n, int *n_owner, struct moe_err *e)
{
	struct moe_region *r = moe_alloc(x->n_view * (size_t)x->E, sizeof(*r), e);

	if (!r)
		return -1;
	*out = r;
	*n = 0;
	*n_owner = x->E + (x->router != NULL);
	for (size_t i = 0; i < x->n_view; i++) {
		const struct moe_view *v = &x->view[i];

		if (v->role == MOE_ROLE_ROUTER)
			r[(*n)++] = (struct moe_region){ v->off, 1, v->n, v->n, x->E, 1,
				router_lr };
		if (v->role == MOE_ROLE_ROUTER || v->role == MOE_ROLE_STATE ||
			(x->form && v->role != MOE_ROLE_FORM))
			continue;
		for (int k = 0; k < x->E; k++) {
			struct moe_part p = moe_view_part(x, v, k);
			size_t fixed = v->role == MOE_ROLE_FORM ? 0 : (size_t)x->fixed[k];

			p.rows -= v->role == MOE_ROLE_A ? fixed : 0;
			p.cols -= v->role == MOE_ROLE_B ? fixed : 0;
			r[(*n)++] = (struct moe_region){ p.off, p.rows, p.cols, p.ld, k, 1,
				v->role == MOE_ROLE_FORM ? router_lr : 1 };
		}
	}
	return 0;
}

static void add_weight(struct moe_region *r, size_t *n, const struct moe_weight *w)
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
	add_weight(r, n, &m->embed);
	add_weight(r, n, &m->norm);
	if (!m->config.tied)
		add_weight(r, n, &m->head);
	for (int i = 0; i < m->config.L; i++) {
		const struct moe_layer *y = &m->layer[i];

		for (int l = 0; l < MOE_LINEARS; l++) {
			add_weight(r, n, &y->w[l]);
			add_weight(r, n, &y->bias[l]);
		}
		add_weight(r, n, &y->norm1);
		add_weight(r, n, &y->norm2);
		add_weight(r, n, &y->qnorm);
		add_weight(r, n, &y->knorm);
	}
	return 0;
}
