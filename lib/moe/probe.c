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

/* The policy's experts into x, which has one more behind them: values, presence and the slots that
 * are off. */
static void copy_policy(struct moe_experts *x, const struct moe_experts *from)
{
	for (int i = 0; i < from->E; i++)
		x->present[i] = from->present[i];
	for (size_t cell = 0; cell < (size_t)x->config.L * MOE_LINEARS; cell++) {
		memcpy(x->alive + cell * (size_t)x->R, from->alive + cell * (size_t)from->R,
			(size_t)from->R * sizeof(*x->alive));
		for (int ab = 0; ab < 2; ab++) {
			enum moe_role role = ab ? MOE_ROLE_B : MOE_ROLE_A;
			const struct moe_view *v = moe_view_of(from, cell, role),
					      *to = moe_view_of(x, cell, role);

			for (int i = 0; v && i < from->E; i++) { /* not adapted: 0 */
				struct moe_part p = moe_view_part(from, v, i),
						q = moe_view_part(x, to, i);

				for (size_t r = 0; r < p.rows; r++)
					memcpy(x->param + q.off + r * q.ld,
						from->param + p.off + r * p.ld,
						p.cols * sizeof(*x->param));
			}
		}
	}
}

int moe_probe_make(const struct moe_engine *g, int rank, struct moe_experts *x, moe_real **b,
	struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(PROBE_SEED, "probe");
	int last = g->x ? g->x->E : 0;

	*b = NULL;
	*x = (struct moe_experts){ .E = last + 1, .scale = g->x ? g->x->scale : 1 };
	if (x->E > MOE_EXPERTS_MAX)
		return moe_fail(e, MOE_DATA, "%d experts leave no room for the probe's", last);
	for (int i = 0; i < last; i++) {
		x->rank[i] = g->x->rank[i];
		x->bank[i] = g->x->bank[i];
		memcpy(x->name[i], g->x->name[i], sizeof(x->name[i]));
	}
	x->rank[last] = rank;
	x->bank[last] = MOE_BANK_CLEAN;
	snprintf(x->name[last], sizeof(x->name[last]), "the probe");
	for (int l = 0; l < MOE_LINEARS; l++)
		x->target[l] = true;
	if (moe_experts_init(x, &g->m->config, e))
		return -1;
	if (!(*b = moe_alloc(x->n_param, sizeof(**b), e))) {
		moe_experts_free(x);
		return -1;
	}
	if (g->x)
		copy_policy(x, g->x);
	/* the probe's own B stays 0: it changes nothing */
	for (size_t i = 0; i < x->n_view; i++) {
		const struct moe_view *v = &x->view[i];
		struct moe_part p = moe_view_part(x, v, last);
		moe_real *to = v->role == MOE_ROLE_A ? x->param : *b;
		double sd = v->role == MOE_ROLE_A ? 1 / sqrt((double)v->cols)
						  : 1 / sqrt(2.0 * rank);

		for (size_t k = 0; k < p.rows * p.cols; k++)
			to[p.off + k / p.cols * p.ld + k % p.cols] = (moe_real)(float)(sd *
				moe_rng_normal(key, i, k));
	}
	return 0;
}

int moe_probe_features(const struct moe_engine *g, const struct moe_seen *s, size_t n, int rank,
	float *out, struct moe_err *e)
{
	moe_real one[MOE_EXPERTS_MAX], probe[MOE_EXPERTS_MAX] = { 0 };
	const struct moe_nll_opts o = { .outer = one, .mask = probe };
	size_t d = (size_t)moe_probe_dim(&g->m->config, rank);
	struct moe_experts x;
	moe_real *b, *grad;
	double loss;
	int rc;

	memset(out, 0, n * d * sizeof(*out));
	if (moe_probe_make(g, rank, &x, &b, e))
		return -1;
	for (int i = 0; i < x.E; i++)
		one[i] = 1;
	probe[x.E - 1] = 1; /* nobody else's gradient is wanted */
	grad = moe_alloc(x.n_param, sizeof(*grad), e);
	rc = grad ? 0 : -1;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		float *f = out + i * d;

		if (s[i].n_completion == 0)
			continue;
		rc = moe_nll_gradient(g, &x, &s[i], 1, &o, grad, &loss, e);
		/* dB[o,k] = scale sum_t delta_t[o] (A x_t)_k, so that
		 * sum_o B[o,k] dB[o,k] / scale is d NLL / d c_k */
		for (size_t q = 0; rc == 0 && q < x.n_view; q++) {
			const struct moe_view *v = &x.view[q];
			struct moe_part p = moe_view_part(&x, v, x.E - 1);
			float *c = f + (size_t)(v->layer * MOE_LINEARS + v->linear) * (size_t)rank;

			for (size_t k = 0; v->role == MOE_ROLE_B && k < p.rows * p.cols; k++) {
				size_t at = p.off + k / p.cols * p.ld + k % p.cols;

				c[k % p.cols] += (float)(b[at] * grad[at] / (moe_real)x.scale);
			}
		}
	}
	free(grad);
	free(b);
	moe_experts_free(&x);
	return rc;
}
