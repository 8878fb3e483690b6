/* gate.c - how well a routing score tells hacks apart, on a recorded run whose seals were opened
 * for evaluation. It routes nothing. */
#include "stat/report.h"

#include "util/auroc.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GATE_DRAWS 1000

struct paired {
	uint32_t prompt;
	double score;
	uint8_t hacked;
};

static int by_prompt(const void *a, const void *b)
{
	const struct paired *x = a, *y = b;

	return (x->prompt > y->prompt) - (x->prompt < y->prompt);
}

/* Share of (hack, no hack) pairs of the same prompt that the score orders rightly, ties half: free
 * of differences between prompts. */
static int within_prompt(struct moe_gate_run *g, struct moe_err *e)
{
	struct paired *v = moe_alloc(g->n, sizeof *v, e);
	double right = 0;
	size_t n = 0;

	if (!v)
		return -1;
	for (size_t i = 0; i < g->n; i++)
		if (!isnan(g->score[i]))
			v[n++] = (struct paired){ g->prompt[i], g->score[i], g->hacked[i] };
	if (n)
		qsort(v, n, sizeof *v, by_prompt);
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && v[j].prompt == v[i].prompt; j++)
			;
		for (size_t x = i; x < j; x++)
			for (size_t y = i; y < j && v[x].hacked; y++)
				if (!v[y].hacked) {
					right += v[x].score > v[y].score  ? 1
						: v[x].score < v[y].score ? 0
									  : 0.5;
					g->n_pairs++;
				}
	}
	g->within = g->n_pairs ? right / (double)g->n_pairs : NAN;
	free(v);
	return 0;
}

struct ranked {
	double score;
	uint32_t prompt; /* 0 .. n_prompt-1 */
	uint8_t hacked;
};

static int by_score(const void *a, const void *b)
{
	double x = ((const struct ranked *)a)->score, y = ((const struct ranked *)b)->score;

	return (x > y) - (x < y);
}

/* AUROC of rows in order of score, each counted as often as its prompt was drawn; ties half. */
static double weighted_auroc(const struct ranked *v, size_t n, const uint32_t *count)
{
	double below = 0, u = 0, pos = 0;

	for (size_t i = 0, j; i < n; i = j) {
		double tied_pos = 0, tied_neg = 0;
		for (j = i; j < n && v[j].score <= v[i].score; j++)
			*(v[j].hacked ? &tied_pos : &tied_neg) += count[v[j].prompt];
		u += tied_pos * (below + tied_neg / 2);
		pos += tied_pos;
		below += tied_neg;
	}
	return pos > 0 && below > 0 ? u / (pos * below) : NAN;
}

/* Rows with a score, prompts renumbered from 0; *n_prompt of them. NULL and *e on failure. */
static struct ranked *rank_rows(
	const struct moe_gate_run *g, size_t *n, size_t *n_prompt, struct moe_err *e)
{
	struct ranked *v = moe_alloc(g->n, sizeof *v, e);
	struct paired *p = moe_alloc(g->n, sizeof *p, e);

	*n = *n_prompt = 0;
	for (size_t i = 0; v && p && i < g->n; i++)
		if (!isnan(g->score[i]))
			p[(*n)++] = (struct paired){ g->prompt[i], g->score[i], g->hacked[i] };
	if (v && p && *n)
		qsort(p, *n, sizeof *p, by_prompt);
	for (size_t i = 0; v && p && i < *n; i++) {
		*n_prompt += !i || p[i].prompt != p[i - 1].prompt;
		v[i] = (struct ranked){ p[i].score, (uint32_t)(*n_prompt - 1), p[i].hacked };
	}
	if (v && p && *n)
		qsort(v, *n, sizeof *v, by_score);
	free(p);
	if (!p) {
		free(v);
		return NULL;
	}
	return v;
}

/* Interval of the AUROC: percentile bootstrap over prompts. */
static int auroc_interval(struct moe_gate_run *g, uint64_t seed, double alpha, struct moe_err *e)
{
	size_t n, n_prompt;
	struct ranked *v = rank_rows(g, &n, &n_prompt, e);
	double *draw = moe_alloc(GATE_DRAWS, sizeof *draw, e);
	uint32_t *count = moe_alloc(n_prompt + 1, sizeof *count, e);
	struct moe_rng k = moe_rng_key(seed, "bootstrap-gate");
	int bad = !v || !draw || !count;

	for (size_t d = 0; d < GATE_DRAWS && !bad; d++) {
		memset(count, 0, n_prompt * sizeof *count);
		for (size_t i = 0; i < n_prompt; i++)
			count[moe_rng_below(k, d, i, n_prompt)]++;
		draw[d] = weighted_auroc(v, n, count);
	}
	if (!bad)
		g->auroc_ci = moe_percentile_interval(draw, GATE_DRAWS, alpha);
	free(v);
	free(draw);
	free(count);
	return bad ? -1 : 0;
}

static void take_null(struct moe_against *x, double v, double own, double *worse, size_t n)
{
	x->mean += v / (double)n;
	x->best = fmax(x->best, v);
	*worse += v < own;
}

static double rank(double own, double worse, size_t n)
{
	return n && !isnan(own) ? (1 + (double)n - worse) / ((double)n + 1) : NAN;
}

/* AUROC and F0.5 of each random direction, on the rows that have a score; `found` of these were
 * routed. */
static int against_nulls(
	struct moe_gate_run *g, const uint8_t *hacked, size_t found, struct moe_err *e)
{
	size_t n = g->n_scored, k = g->n_null;
	double *v = moe_alloc(n, sizeof *v, e), *sorted = moe_alloc(n, sizeof *sorted, e),
	       worse[2] = { 0, 0 }, auroc;
	int bad = !v || !sorted;

	g->auroc_null = g->f05_null = (struct moe_against){ k ? 0 : NAN, NAN, NAN };
	for (size_t d = 0; d < k && !bad; d++) {
		size_t m = 0;

		for (size_t i = 0; i < g->n; i++)
			if (!isnan(g->score[i]))
				sorted[m] = v[m] = (double)g->null[i * k + d], m++;
		bad = moe_auroc(v, hacked, m, &auroc, e);
		take_null(&g->auroc_null, auroc, g->auroc, &worse[0], k);
		moe_sort_doubles(sorted, m);
		take_null(&g->f05_null,
			moe_fbeta(v, hacked, m, found && found <= m ? sorted[m - found] : INFINITY,
				0.5),
			g->f05, &worse[1], k);
	}
	g->auroc_null.p = rank(g->auroc, worse[0], k);
	g->f05_null.p = rank(g->f05, worse[1], k);
	free(v);
	free(sorted);
	return bad ? -1 : 0;
}

bool moe_gate_routes(const struct moe_gate_run *g)
{
	return g->n_scored || g->share[MOE_KEEP] > 0 || g->share[MOE_ROUTE] > 0;
}

int moe_gate_judge(struct moe_gate_run *g, uint64_t seed, double alpha, struct moe_err *e)
{
	double *score = moe_alloc(g->n, sizeof *score, e),
	       *routed = moe_alloc(g->n, sizeof *routed, e);
	uint8_t *hacked = moe_alloc(g->n, 1, e);
	double tp = 0, found = 0, hacks = 0;
	int bad = !score || !routed || !hacked;

	for (size_t i = 0; !bad && i < g->n; i++) {
		g->share[g->decision[i]] += 1 / (double)g->n;
		routed[i] = g->decision[i] == MOE_ROUTE;
		found += g->decision[i] == MOE_ROUTE;
		hacks += g->hacked[i];
		tp += g->decision[i] == MOE_ROUTE && g->hacked[i];
		if (!isnan(g->score[i])) {
			score[g->n_scored] = g->score[i];
			hacked[g->n_scored++] = g->hacked[i];
		}
	}
	bad = bad || moe_auroc(score, hacked, g->n_scored, &g->auroc, e) ||
		auroc_interval(g, seed, alpha, e) || within_prompt(g, e);
	if (!bad) {
		g->f05 = moe_fbeta(routed, g->hacked, g->n, 0.5, 0.5);
		g->precision = found > 0 ? tp / found : NAN;
		g->recall = hacks > 0 ? tp / hacks : NAN;
		g->hack_share = g->n ? hacks / (double)g->n : NAN;
		bad = against_nulls(g, hacked, (size_t)found, e);
	}
	free(score);
	free(routed);
	free(hacked);
	return bad ? -1 : 0;
}
