/* adam.c - AdamW on the rows of A and the columns of B that belong to each expert. */
#include "rl/adam.h"

#include "util/mem.h"

#include <math.h>
#include <stdlib.h>

int moe_adam_init(struct moe_adam *o, const struct moe_experts *x, struct moe_err *e)
{
	o->n = x->n_param;
	o->m = moe_alloc(x->n_param, sizeof(*o->m), e);
	o->v = o->m ? moe_alloc(x->n_param, sizeof(*o->v), e) : NULL;
	for (int i = 0; i < MOE_EXPERTS_MAX; i++)
		o->t[i] = 0;
	return o->v ? 0 : -1;
}

void moe_adam_free(struct moe_adam *o)
{
	free(o->m);
	free(o->v);
	o->m = o->v = NULL;
}

struct rule {
	moe_real b1, b2, scale, lr, eps, decay, c1, c2; /* c = 1 / (1 - b^t) */
};

static void block(const struct rule *r, moe_real *p, const moe_real *g, moe_real *m, moe_real *v, size_t rows, size_t cols, size_t ld)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t k = i * ld; k < i * ld + cols; k++) {
			moe_real d = g[k] * r->scale;

			m[k] = r->b1 * m[k] + (1 - r->b1) * d;
			v[k] = r->b2 * v[k] + (1 - r->b2) * d * d;
			p[k] -= r->lr * (m[k] * r->c1 / ((moe_real)sqrt((double)(v[k] * r->c2)) + r->eps) + r->decay * p[k]);
		}
}

static struct rule make_rule(const struct moe_adam *o, int64_t t, double grad_scale, double lr)
{
	return (struct rule){ (moe_real)o->beta1, (moe_real)o->beta2, (moe_real)grad_scale, (moe_real)lr, (moe_real)o->eps, (moe_real)o->decay,
		(moe_real)(1 / (1 - pow(o->beta1, (double)t))), (moe_real)(1 / (1 - pow(o->beta2, (double)t))) };
}

void moe_adam_step(struct moe_adam *o, struct moe_experts *x, const moe_real *grad, double grad_scale, double lr, const bool *frozen)
{
	size_t cells = (size_t)x->config.L * MOE_LINEARS;

	for (int i = 0; i < x->E; i++) {
		struct rule r;

		if (frozen && frozen[i])
			continue;
		r = make_rule(o, ++o->t[i], grad_scale, lr);
		for (size_t c = 0; c < cells; c++) {
			int d_in, d_out;
			size_t a, b;

			if (!x->target[c % MOE_LINEARS])
				continue;
			moe_linear_shape(&x->config, (enum moe_linear)(c % MOE_LINEARS), &d_in, &d_out);
			a = x->a_off[c] + (size_t)x->first[i] * (size_t)d_in;
			b = x->b_off[c] + (size_t)x->first[i];
			block(&r, x->param + a, grad + a, o->m + a, o->v + a, (size_t)x->rank[i], (size_t)d_in, (size_t)d_in);
			block(&r, x->param + b, grad + b, o->m + b, o->v + b, (size_t)d_out, (size_t)x->rank[i], (size_t)x->R);
		}
	}
}
