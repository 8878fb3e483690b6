/* nll.c - passes over packed sequences, and an optimiser of their own. */
#include "moe/nll.h"

#include "model/regions.h"
#include "moe/features.h"
#include "moe/pack.h"
#include "nn/adamw.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_TOK 1024 /* tokens of one packed pass */

struct job {
	const struct moe_engine *g;
	struct moe_experts *x;
	const struct moe_nll_opts *o;
	struct moe_seq *seq; /* [n] */
	size_t *cut, n, n_tok;
	struct moe_acts *acts; /* [threads] */
	moe_real **part;       /* [threads] -> [n_param] */
	moe_real *grad;
	double *loss; /* [n] sums of each chunk's tokens, by its first sequence */
};

/* Rows and targets of a chunk's completion tokens; returns how many. */
static int targets_of(const struct job *j, size_t a, size_t b, const struct moe_packed *p,
	int32_t *row, int32_t *target)
{
	int n = 0;

	for (size_t i = a; i < b; i++)
		for (int t = 0; t < j->seq[i].n_completion + 1; t++) {
			row[n] = p->seg[p->own[i - a]].start + t; /* the decision row first */
			target[n++] = j->seq[i].completion[t];
		}
	return n;
}

static int pass(struct job *j, size_t k, int worker, const struct moe_packed *p, struct moe_err *e)
{
	size_t a = j->cut[k], b = j->cut[k + 1], T = (size_t)p->T, E = (size_t)j->x->E;
	struct moe_acts *acts = &j->acts[worker];
	struct moe_batch batch = { p->T, p->ids, p->n_seg, p->seg };
	moe_real *gate = moe_alloc((2 * E + 2) * T, sizeof(*gate), e);
	int32_t *row = gate ? moe_alloc(2 * T, sizeof(*row), e) : NULL;
	moe_real *mask = gate ? gate + E * T : NULL, *logp = gate ? mask + E * T : NULL,
		 *d = gate ? logp + T : NULL;
	struct moe_gates g = { .outer = gate, .mask = mask };
	int rc = -1, n;

	if (row) {
		for (size_t i = 0; i < E * T; i++) {
			gate[i] = j->o->outer[i % E];
			mask[i] = j->o->mask[i % E];
		}
		n = targets_of(j, a, b, p, row, row + T);
		acts->keep = true;
		rc = moe_forward(j->g->m, j->x, &g, &batch, acts, e) ||
				moe_head_logp(
					j->g->m, &batch, acts, n, row, row + T, 1, logp, NULL, e)
			? -1
			: 0;
		for (int i = 0; rc == 0 && i < n; i++) {
			j->loss[a] -= (double)logp[i];
			d[i] = (moe_real)(-1 / (double)j->n_tok);
		}
		memset(j->part[worker], 0, j->x->n_param * sizeof(**j->part));
		if (rc == 0)
			rc = moe_backward(j->g->m, j->x, &g, &batch, acts, n, row, row + T, 1, d,
				j->part[worker], NULL, e);
	}
	free(gate);
	free(row);
	return rc;
}

static int task(void *ctx, size_t k, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	struct moe_packed p = { 0 };
	int rc = moe_pack(j->seq + j->cut[k], j->cut[k + 1] - j->cut[k], &p, e);

	if (rc == 0)
		rc = pass(j, k, worker, &p, e);
	moe_packed_free(&p);
	if (rc == 0) {
		moe_pool_turn(j->g->pool, k);
		for (size_t i = 0; i < j->x->n_param; i++)
			j->grad[i] += j->part[worker][i];
		moe_pool_turn_end(j->g->pool, k);
	}
	return rc;
}

/* The loss, and its gradient in j->grad. */
static int gradient(struct job *j, double *loss, struct moe_err *e)
{
	memset(j->grad, 0, j->x->n_param * sizeof(*j->grad));
	memset(j->loss, 0, j->n * sizeof(*j->loss));
	if (moe_pool_run(j->g->pool, moe_pack_cut(j->seq, j->n, CHUNK_TOK, j->cut), task, j, e))
		return -1;
	*loss = 0;
	for (size_t i = 0; i < j->n; i++)
		*loss += j->loss[i] / (double)j->n_tok;
	moe_experts_chain(j->x, j->grad);
	return isfinite(*loss) ? 0
			       : moe_fail(e, MOE_NUMERIC,
					 "training on the pairs diverged: the loss is not finite");
}

static int run(struct job *j, double *first, double *last, struct moe_err *e)
{
	struct moe_adamw opt = { 0 };
	struct moe_region *r = NULL;
	size_t n_region = 0;
	int owners = 0, rc = moe_experts_regions(j->x, 1, &r, &n_region, &owners, e);

	if (rc == 0)
		rc = moe_adamw_init(&opt, j->x->n_param, r, n_region, owners, e);
	free(r);
	opt.beta2 = 0.95;
	for (int i = 0; rc == 0 && i < owners; i++)
		opt.frozen[i] = i >= j->x->E || j->o->mask[i] == 0;
	for (int step = 0; rc == 0 && step <= j->o->steps; step++) {
		rc = gradient(j, step ? last : first, e);
		if (rc || step == j->o->steps)
			break;
		moe_grad_clip(j->x->n_param, j->grad, moe_grad_norm(j->x->n_param, j->grad), 1);
		moe_adamw_step(&opt, j->x->param, j->grad, NULL, j->o->lr);
		moe_experts_form(j->x);
	}
	if (rc == 0 && j->o->steps == 0)
		*last = *first;
	if (opt.region)
		moe_adamw_free(&opt);
	return rc;
}

static int buffers(struct job *j, size_t n, struct moe_err *e)
{
	size_t threads = (size_t)moe_pool_threads(j->g->pool);

	j->seq = moe_alloc(n, sizeof(*j->seq), e);
	j->cut = moe_alloc(n + 1, sizeof(*j->cut), e);
	j->loss = moe_alloc(n, sizeof(*j->loss), e);
	j->acts = moe_alloc(threads, sizeof(*j->acts), e);
	j->part = moe_alloc(threads, sizeof(*j->part), e);
	j->grad = moe_alloc(j->x->n_param, sizeof(*j->grad), e);
	if (!j->seq || !j->cut || !j->loss || !j->acts || !j->part || !j->grad)
		return -1;
	for (size_t i = 0; i < threads; i++)
		if (!(j->part[i] = moe_alloc(j->x->n_param, sizeof(**j->part), e)))
			return -1;
	return 0;
}

static int begin(struct job *j, const struct moe_seen *s, size_t n, struct moe_err *e)
{
	int rc = buffers(j, n, e);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (s[i].n_completion == 0)
			continue;
		j->n_tok += (size_t)s[i].n_completion;
		/* the last token predicts nothing */
		j->seq[j->n++] = (struct moe_seq){ s[i].prompt, s[i].completion, s[i].n_prompt,
			s[i].n_completion - 1, 0 };
	}
	return rc || j->n ? rc : moe_fail(e, MOE_DATA, "there is no completion to learn from");
}

static void end(struct job *j)
{
	for (int i = 0; i < moe_pool_threads(j->g->pool); i++) {
		if (j->acts)
			moe_acts_free(&j->acts[i]);
		if (j->part)
			free(j->part[i]);
	}
	free(j->seq);
	free(j->cut);
	free(j->loss);
	free(j->acts);
	free(j->part);
	free(j->grad);
}

int moe_nll_train(const struct moe_engine *g, struct moe_experts *x, const struct moe_seen *s,
	size_t n, const struct moe_nll_opts *o, double *first, double *last, struct moe_err *e)
{
	struct job j = { .g = g, .x = x, .o = o };
	int rc = begin(&j, s, n, e) || run(&j, first, last, e) ? -1 : 0;

	end(&j);
	return rc;
}

int moe_nll_gradient(const struct moe_engine *g, struct moe_experts *x, const struct moe_seen *s,
	size_t n, const struct moe_nll_opts *o, moe_real *grad, double *loss, struct moe_err *e)
{
	struct job j = { .g = g, .x = x, .o = o };
	int rc = begin(&j, s, n, e) || gradient(&j, loss, e) ? -1 : 0;

	if (rc == 0)
		memcpy(grad, j.grad, x->n_param * sizeof(*grad));
	end(&j);
	return rc;
}

int moe_nll_side(const struct moe_engine *g, struct moe_experts *x, const struct moe_pairs *p,
	bool hack, enum moe_bank bank, bool deployed, int steps, double lr, double *first,
	double *last, struct moe_err *e)
{
	moe_real outer[MOE_EXPERTS_MAX], mask[MOE_EXPERTS_MAX];
	struct moe_nll_opts o = { steps, lr, outer, mask };
	struct moe_seen *s = moe_alloc(p->n, sizeof(*s), e);
	int rc;

	for (int i = 0; i < x->E; i++) {
		mask[i] = x->bank[i] == bank;
		outer[i] = !(deployed && x->bank[i] == MOE_BANK_QUARANTINE);
	}
	for (size_t i = 0; s && i < p->n; i++)
		s[i] = moe_pair_seen(&p->pair[i], hack);
	rc = s ? moe_nll_train(g, x, s, p->n, &o, first, last, e) : -1;
	free(s);
	return rc;
}
