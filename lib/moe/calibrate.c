/* calibrate.c - logits of the pairs' sides from one forward pass a side, then a convex fit of the
 * bias on them. The model is not touched. */
#include "moe/calibrate.h"

#include "model/prep.h"
#include "moe/features.h"
#include "moe/pack.h"
#include "nn/adamw.h"
#include "nn/loss.h"
#include "tensor/gemm.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* All tokens of all sides, in order. */
struct tokens {
	size_t n, V;
	moe_real *z;     /* [n, V] logits */
	int32_t *target; /* [n] */
	uint32_t *side;  /* [n] index into nll */
};

/* z [n, V] of the rows of one side: the states that predict its tokens, times the head. */
static int side_logits(const struct moe_engine *g, const struct moe_experts *x,
	const moe_real *gate, const struct moe_seen *s, const moe_real *head, struct moe_acts *acts,
	moe_real *z, struct moe_err *e)
{
	/* the last token predicts nothing */
	const struct moe_seq seq = { s->prompt, s->completion, s->n_prompt, s->n_completion - 1,
		0 };
	int D = g->m->config.D, V = g->m->config.V, rc;
	size_t E = x ? (size_t)x->E : 0;
	struct moe_packed p = { 0 };
	moe_real *outer = NULL;

	if (moe_pack(&seq, 1, &p, e))
		return -1;
	outer = moe_alloc((E ? E : 1) * (size_t)p.T, sizeof(*outer), e);
	rc = outer ? 0 : -1;
	for (size_t i = 0; rc == 0 && i < E * (size_t)p.T; i++)
		outer[i] = gate[i % E];
	if (rc == 0) {
		const struct moe_batch b = { p.T, p.ids, p.n_seg, p.seg };
		const struct moe_gates q = { .outer = x ? outer : NULL };

		rc = moe_forward(g->m, x, &q, &b, acts, e);
	}
	/* the decision row is the first of the side's own segment */
	if (rc == 0)
		moe_gemm(false, true, s->n_completion, V, D, 1,
			acts->out + (size_t)p.seg[p.own[0]].start * (size_t)D, D, head, D, 0, z, V);
	free(outer);
	moe_packed_free(&p);
	return rc;
}

static int all_logits(const struct moe_engine *g, const struct moe_experts *x, const moe_real *gate,
	const struct moe_pairs *p, struct tokens *t, struct moe_err *e)
{
	struct moe_acts acts = { 0 };
	struct moe_arena wide = { 0 };
	const moe_real *head;
	int rc = moe_weight_get(&g->m->head, &wide, &head, e);
	size_t at = 0;

	for (size_t i = 0; rc == 0 && i < 2 * p->n; i++) {
		struct moe_seen s = moe_pair_seen(&p->pair[i / 2], i % 2 == 0);

		rc = side_logits(g, x, gate, &s, head, &acts, t->z + at * t->V, e);
		for (int k = 0; rc == 0 && k < s.n_completion; k++, at++) {
			t->target[at] = s.completion[k];
			t->side[at] = (uint32_t)i;
		}
	}
	moe_acts_free(&acts);
	moe_arena_free(&wide);
	return rc;
}

/* Pairs are dealt to two folds in turn. */
static uint32_t fold_of(uint32_t side)
{
	return side / 2 % 2;
}

/* -log softmax(z + b)[target] of token i; row [V] becomes the softmax. */
static double loss_of(const struct tokens *t, size_t i, const moe_real *b, moe_real *row)
{
	const moe_real *z = t->z + i * t->V;
	double at_target;

	for (size_t v = 0; v < t->V; v++)
		row[v] = z[v] + b[v];
	at_target = (double)row[t->target[i]];
	return moe_softmax_row(t->V, row, 1, NULL) - at_target;
}

/* grad [V] of L(b) on the tokens that are not of the fold: sum_t w_t (softmax_t - onehot_t). */
static void slope(const struct tokens *t, uint32_t fold, const moe_real *b, moe_real *row,
	double *sum, moe_real *grad)
{
	double n[2] = { 0, 0 };

	for (size_t i = 0; i < t->n; i++)
		n[t->side[i] % 2] += fold_of(t->side[i]) != fold;
	memset(sum, 0, t->V * sizeof(*sum));
	for (size_t i = 0; i < t->n; i++) {
		bool retain = t->side[i] % 2;
		double w = (retain ? MOE_CALIBRATE_RETAIN : 1) / n[retain];

		if (fold_of(t->side[i]) == fold)
			continue;
		loss_of(t, i, b, row);
		for (size_t v = 0; v < t->V; v++)
			sum[v] += w * (double)row[v];
		sum[t->target[i]] -= w;
	}
	for (size_t v = 0; v < t->V; v++)
		grad[v] = (moe_real)sum[v];
}

/* b [V] = the bias that the other fold gives. */
static int fit(const struct tokens *t, uint32_t fold, const struct moe_calibrate_opts *o,
	moe_real *b, moe_real *row, moe_real *grad, struct moe_err *e)
{
	const struct moe_region all = { 0, 1, t->V, t->V, 0, 0, 1 };
	double *sum = moe_alloc(t->V, sizeof(*sum), e);
	struct moe_adamw opt = { 0 };
	int rc = sum ? moe_adamw_init(&opt, t->V, &all, 1, 1, e) : -1;

	memset(b, 0, t->V * sizeof(*b));
	for (int k = 0; rc == 0 && k < o->steps; k++) {
		slope(t, fold, b, row, sum, grad);
		moe_adamw_step(&opt, b, grad, NULL, o->lr);
	}
	moe_adamw_free(&opt);
	free(sum);
	return rc;
}

/* nll += of the tokens of one fold (2: of both) under b. */
static void measure(
	const struct tokens *t, uint32_t fold, const moe_real *b, moe_real *row, double *nll)
{
	for (size_t i = 0; i < t->n; i++)
		if (fold == 2 || fold_of(t->side[i]) == fold)
			nll[t->side[i]] += loss_of(t, i, b, row);
}

int moe_calibrate(const struct moe_engine *g, const struct moe_experts *x, const moe_real *gate,
	const struct moe_pairs *p, const struct moe_calibrate_opts *o, double *nll, double *after,
	int *tokens, struct moe_err *e)
{
	struct tokens t = { .V = (size_t)g->m->config.V };
	moe_real *b = moe_alloc(3 * t.V, sizeof(*b), e), *row = b ? b + t.V : NULL,
		 *grad = b ? row + t.V : NULL;
	int rc;

	for (size_t i = 0; i < 2 * p->n; i++) {
		tokens[i] = i % 2 ? p->pair[i / 2].n_clean : p->pair[i / 2].n_hack;
		t.n += (size_t)tokens[i];
		nll[i] = 0;
		after[i] = p->n < 2 ? NAN : 0;
	}
	t.z = b ? moe_alloc(t.n * t.V, sizeof(*t.z), e) : NULL;
	t.target = t.z ? moe_alloc(t.n, sizeof(*t.target), e) : NULL;
	t.side = t.target ? moe_alloc(t.n, sizeof(*t.side), e) : NULL;
	rc = t.side ? all_logits(g, x, gate, p, &t, e) : -1;
	if (rc == 0) {
		memset(b, 0, t.V * sizeof(*b));
		measure(&t, 2, b, row, nll);
	}
	for (uint32_t fold = 0; rc == 0 && p->n > 1 && fold < 2; fold++) {
		rc = fit(&t, fold, o, b, row, grad, e);
		if (rc == 0)
			measure(&t, fold, b, row, after);
	}
	free(b);
	free(t.z);
	free(t.target);
	free(t.side);
	return rc;
}
