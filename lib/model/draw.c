/* draw.c - from a row of logits to one token and its log-probability. No random numbers are made
 * here, and no model is known. */
#include "model/draw.h"
#include "util/elementary.h"

#include "nn/loss.h"
#include "tensor/vec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 64

/* a is the better candidate: higher logit, then lower id. */
static bool better(const struct moe_draw_cand *a, const struct moe_draw_cand *b)
{
	return a->l > b->l || (a->l == b->l && a->id < b->id);
}

/* Restores the heap below i; the root is the best (best) or the worst candidate. */
static void sift(struct moe_draw_cand *c, int n, int i, bool best)
{
	for (;;) {
		int k = 2 * i + 1;
		struct moe_draw_cand t;

		if (k >= n)
			return;
		if (k + 1 < n && better(&c[k + 1], &c[k]) == best)
			k++;
		if (better(&c[k], &c[i]) != best)
			return;
		t = c[i];
		c[i] = c[k];
		c[k] = t;
		i = k;
	}
}

static void heapify(struct moe_draw_cand *c, int n, bool best)
{
	for (int i = n / 2 - 1; i >= 0; i--)
		sift(c, n, i, best);
}

/* The k best of a row into c; returns how many. */
static int top_k(const moe_real *l, const moe_real *p, int V, int k, struct moe_draw_cand *c)
{
	if (k > V)
		k = V;
	for (int i = 0; i < k; i++)
		c[i] = (struct moe_draw_cand){ l[i], p[i], i };
	heapify(c, k, false);
	for (int i = k; i < V; i++)
		if (l[i] > c[0].l) {
			c[0] = (struct moe_draw_cand){ l[i], p[i], i };
			sift(c, k, 0, false);
		}
	return k;
}

/* Keeps the smallest set of best candidates whose share of `total` reaches top_p; returns its size.
 * The kept ones move to c[0..]. */
static int top_p(struct moe_draw_cand *c, int n, double share, double total)
{
	double sum = 0.0;
	int kept = 0, left = n;

	heapify(c, n, true);
	while (left > 0 && (kept == 0 || sum < share * total)) {
		struct moe_draw_cand t = c[0];

		sum += t.p;
		kept++;
		c[0] = c[--left];
		sift(c, left, 0, true);
		c[left] = t;
	}
	memmove(c, c + left, (size_t)kept * sizeof(*c));
	return kept;
}

static int by_id(const void *a, const void *b)
{
	const struct moe_draw_cand *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* A draw from the truncated distribution. */
static void draw_truncated(const moe_real *l, int V, const struct moe_sample_opts *o, double u,
	struct moe_draw_work *w, struct moe_draw *out)
{
	struct moe_draw_cand *c = w->cand;
	double kept = 0.0, cum = 0.0, sum = moe_vec_sum((size_t)V, w->p);
	int n = 0, pick;

	if (o->top_k > 0 && o->top_k < V) {
		n = top_k(l, w->p, V, o->top_k, c);
		sum = 0.0;
		for (int i = 0; i < n; i++)
			sum += c[i].p;
	} else {
		/* tokens below this line weigh less than 1 - top_p together, so none of them can be
		 * in the nucleus */
		double line = (1.0 - o->top_p) / V * sum;

		for (int i = 0; i < V; i++)
			if (w->p[i] >= line)
				c[n++] = (struct moe_draw_cand){ l[i], w->p[i], i };
	}
	if (o->top_p < 1.0)
		n = top_p(c, n, o->top_p, sum);
	qsort(c, (size_t)n, sizeof(*c), by_id);
	for (int i = 0; i < n; i++)
		kept += c[i].p;
	for (pick = 0; pick < n - 1; pick++) {
		cum += c[pick].p;
		if (cum > u * kept)
			break;
	}
	while (pick > 0 && c[pick].p <= 0)
		pick--;
	out->id = c[pick].id;
	out->logp = (float)moe_log((double)c[pick].p / kept);
}

/* The best token; ties go to the lower id. */
static int32_t best(const moe_real *l, int V)
{
	moe_real top = moe_vec_max((size_t)V, l);
	int32_t i = 0;

	while (l[i] < top)
		i++;
	return i;
}

/* A draw from the whole vocabulary: blocks first, then tokens. */
static int32_t draw_full(const moe_real *p, int V, double u, double sum)
{
	double target = u * sum, cum = 0.0;
	int32_t last = 0;

	for (int b = 0; b < V; b += BLOCK) {
		int m = V - b < BLOCK ? V - b : BLOCK;
		double block = 0.0;

		for (int i = 0; i < m; i++)
			block += p[b + i];
		if (cum + block <= target) {
			if (block > 0.0)
				last = b;
			cum += block;
			continue;
		}
		for (int i = 0; i < m; i++) {
			cum += p[b + i];
			if (p[b + i] > 0)
				last = b + i;
			if (cum > target)
				return last;
		}
		return last;
	}
	/* rounding left u at the very end: the last token that has any probability */
	for (int i = V - 1; i > last; i--)
		if (p[i] > 0)
			return i;
	return last;
}

int moe_draw_token(const moe_real *logits, int V, const struct moe_sample_opts *o, double u,
	struct moe_draw_work *w, struct moe_draw *out, struct moe_err *e)
{
	bool greedy = o->temperature < MOE_GREEDY,
	     truncated = !greedy && (o->top_p < 1.0 || (o->top_k > 0 && o->top_k < V));
	double inv_temp = greedy ? 1.0 : 1.0 / o->temperature;
	/* as the training pass has it (head.c), so that both give the same bits; w->p becomes
	 * exp((logit - best) / temperature) */
	double lse = moe_logsumexp((size_t)V, logits, inv_temp, w->p);

	if (!isfinite(lse))
		return moe_fail(e, MOE_NUMERIC,
			"a logit is NaN or infinite: the model or its adapter has diverged");
	if (truncated) {
		draw_truncated(logits, V, o, u, w, out);
	} else {
		out->id = greedy ? best(logits, V)
				 : draw_full(w->p, V, u, moe_vec_sum((size_t)V, w->p));
	}
	out->full_logp = (float)((double)logits[out->id] * inv_temp - lse);
	if (!truncated)
		out->logp = out->full_logp;
	out->model_logp = out->full_logp;
	if (inv_temp != 1.0 && o->want_model_logp)
		out->model_logp = (float)((double)logits[out->id] -
			moe_logsumexp((size_t)V, logits, 1.0, w->p));
	return 0;
}
