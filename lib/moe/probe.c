/* probe.c - gradients of single completions, projected by a frozen random adapter. Nothing is
 * trained and nothing decided. */
#include "moe/probe.h"

#include "moe/nll.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_SEED 1 /* the same probe for every adapter of a base */

int moe_probe_dim(const struct moe_config *c, int rank)
{
	return c->L * MOE_LINEARS * rank;
}

int moe_probe_make(const struct moe_engine *g, int rank, struct moe_experts *x, moe_real **b,
	struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(PROBE_SEED, "probe");

	*x = (struct moe_experts){ .E = 1, .scale = 1 };
	*b = NULL;
	x->rank[0] = rank;
	x->bank[0] = MOE_BANK_CLEAN;
	snprintf(x->name[0], sizeof(x->name[0]), "probe");
	for (int l = 0; l < MOE_LINEARS; l++)
		x->target[l] = true;
	if (moe_experts_init(x, &g->m->config, e))
		return -1;
	if (!(*b = moe_alloc(x->n_param, sizeof(**b), e))) {
		moe_experts_free(x);
		return -1;
	}
	/* the adapter's own B stays 0: it is the base */
	for (size_t i = 0; i < x->n_view; i++) {
		const struct moe_view *v = &x->view[i];
		moe_real *to = v->role == MOE_ROLE_A ? x->param : *b;
		double sd = v->role == MOE_ROLE_A ? 1 / sqrt((double)v->cols)
						  : 1 / sqrt(2.0 * rank);

		for (size_t k = 0; k < v->n; k++)
			to[v->off + k] = (moe_real)(float)(sd * moe_rng_normal(key, i, k));
	}
	return 0;
}

int moe_probe_features(const struct moe_engine *g, const struct moe_seen *s, size_t n, int rank,
	float *out, struct moe_err *e)
{
	static const moe_real one[1] = { 1 };
	const struct moe_nll_opts o = { .outer = one, .mask = one };
	size_t d = (size_t)moe_probe_dim(&g->m->config, rank);
	struct moe_experts x;
	moe_real *b, *grad;
	double loss;
	int rc;

	memset(out, 0, n * d * sizeof(*out));
	if (moe_probe_make(g, rank, &x, &b, e))
		return -1;
	grad = moe_alloc(x.n_param, sizeof(*grad), e);
	rc = grad ? 0 : -1;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		float *f = out + i * d;

		if (s[i].n_completion == 0)
			continue;
		rc = moe_nll_gradient(g, &x, &s[i], 1, &o, grad, &loss, e);
		/* dB[o,k] = sum_t delta_t[o] (A x_t)_k, so sum_o B[o,k] dB[o,k] is d NLL / d c_k */
		for (size_t q = 0; rc == 0 && q < x.n_view; q++) {
			const struct moe_view *v = &x.view[q];

			for (size_t k = 0; v->role == MOE_ROLE_B && k < v->n; k++)
				f[(size_t)(v->layer * MOE_LINEARS + v->linear) * (size_t)rank +
					k % (size_t)rank] += (float)(b[v->off + k] *
					grad[v->off + k]);
		}
	}
	free(grad);
	free(b);
	moe_experts_free(&x);
	return rc;
}
