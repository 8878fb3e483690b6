/* gates.c - counts gates. No gate is made or changed here. */
#include "rl/gates.h"
#include "util/elementary.h"

#include <math.h>
#include <string.h>

/* Sum of -p log p, with p = gate / sum of gates; 0 when the sum is. */
static double entropy_of(const double *gate, int n)
{
	double sum = 0, h = 0;

	for (int i = 0; i < n; i++)
		sum += gate[i];
	for (int i = 0; i < n && sum > 0; i++)
		h -= gate[i] > 0 ? gate[i] / sum * moe_log(gate[i] / sum) : 0;
	return h;
}

/* One bank at one token and site. Its presence is the largest gate of its experts: the bank is
 * there when one of them is. */
static void tally_bank(
	struct moe_gate_tally *y, const struct moe_experts *x, int bank, const moe_real *gate)
{
	double g[MOE_EXPERTS_MAX], most = 0;
	int n = 0, on = 0;

	for (int e = 0; e < x->E; e++)
		if (x->bank[e] == (enum moe_bank)bank) {
			g[n] = (double)gate[e];
			most = fmax(most, g[n]);
			on += g[n++] != 0;
		}
	y->bank_min[bank] = fmin(y->bank_min[bank], most);
	y->bank_zero[bank] += on == 0;
	y->bank_support[bank] += on;
	y->bank_entropy[bank] += entropy_of(g, n);
}

/* One token at one site: gate [E], logit [n_routed] or NULL. */
static void tally_cell(struct moe_gate_tally *y, const struct moe_experts *x, const moe_real *gate,
	const moe_real *logit)
{
	double g[MOE_EXPERTS_MAX];

	for (int e = 0; e < x->E; e++) {
		double v = (double)gate[e];

		y->min[e] = fmin(y->min[e], v);
		y->zero[e] += v == 0;
		y->sum[e] += v;
	}
	for (int b = 0; b < MOE_BANKS; b++)
		tally_bank(y, x, b, gate);
	for (int i = 0; i < x->n_routed; i++) {
		g[i] = (double)gate[x->routed[i]];
		y->support += g[i] != 0;
		if (logit)
			y->logit2[x->routed[i]] += (double)logit[i] * (double)logit[i];
	}
	y->entropy += entropy_of(g, x->n_routed);
	y->cells++;
}

/* A tally begins as zeros; least gates begin above every gate. */
static void begin_minima(struct moe_gate_tally *y, const struct moe_experts *x)
{
	if (y->cells > 0)
		return;
	for (int e = 0; e < x->E; e++)
		y->min[e] = INFINITY;
	for (int b = 0; b < MOE_BANKS; b++)
		y->bank_min[b] = INFINITY;
}

void moe_gate_tally_rows(struct moe_gate_tally *y, const struct moe_experts *x, int S, int T,
	const moe_real *gate, const moe_real *logit, const int32_t *row, int n)
{
	begin_minima(y, x);
	for (int s = 0; s < S; s++)
		for (int i = 0; i < n; i++) {
			size_t cell = (size_t)s * (size_t)T + (size_t)row[i];

			tally_cell(y, x, gate + cell * (size_t)x->E,
				logit ? logit + cell * (size_t)x->n_routed : NULL);
		}
}

void moe_gate_tally_trained(struct moe_gate_tally *y, const struct moe_experts *x, int S, int T,
	const moe_real *gate, const moe_real *mask, int from, int n)
{
	size_t E = (size_t)x->E;

	/* an expert gets a gradient where its gate and its mask are both not 0, at one token at
	 * least */
	for (size_t s = 0; s < (size_t)S; s++)
		for (size_t t = (size_t)from; t < (size_t)(from + n); t++)
			for (size_t e = 0; e < E; e++)
				y->trained[e] |= gate[(s * (size_t)T + t) * E + e] != 0 &&
					mask[t * E + e] != 0;
}

static void add_tally(struct moe_gate_tally *to, const struct moe_gate_tally *y, int E)
{
	to->cells += y->cells;
	for (int e = 0; e < E; e++) {
		to->min[e] = fmin(to->min[e], y->min[e]);
		to->zero[e] += y->zero[e];
		to->sum[e] += y->sum[e];
		to->logit2[e] += y->logit2[e];
	}
	for (int b = 0; b < MOE_BANKS; b++) {
		to->bank_min[b] = fmin(to->bank_min[b], y->bank_min[b]);
		to->bank_zero[b] += y->bank_zero[b];
		to->bank_support[b] += y->bank_support[b];
		to->bank_entropy[b] += y->bank_entropy[b];
	}
	to->support += y->support;
	to->entropy += y->entropy;
}

void moe_gate_tally_add(struct moe_gate_tally *to, const struct moe_experts *x,
	const struct moe_gate_tally *y, size_t n, const bool *use)
{
	begin_minima(to, x);
	for (size_t i = 0; i < n; i++)
		if (use[i] && y[i].cells > 0)
			add_tally(to, &y[i], x->E);
}

/* Means of a bank over its experts. */
static void bank_means(struct moe_gate_stats *st, const struct moe_experts *x,
	const struct moe_gate_tally *y, int b)
{
	double sum = 0, logit2 = 0;
	int n = 0;

	for (int e = 0; e < x->E; e++)
		if (x->bank[e] == (enum moe_bank)b) {
			sum += y->sum[e];
			logit2 += y->logit2[e];
			n++;
		}
	if (n == 0)
		return;
	st->bank_min[b] = y->bank_min[b];
	st->bank_zero[b] = y->bank_zero[b] / y->cells;
	st->bank_mean[b] = sum / (n * y->cells);
	st->bank_support[b] = y->bank_support[b] / y->cells;
	st->bank_entropy[b] = y->bank_entropy[b] / y->cells;
	st->bank_logit[b] = b == MOE_BANK_SHARED ? NAN : sqrt(logit2 / (n * y->cells));
}

void moe_gate_stats_of(
	struct moe_gate_stats *st, const struct moe_experts *x, const struct moe_gate_tally *all)
{
	/* what no cell was counted for is not measured: NaN, never 0 */
	*st = (struct moe_gate_stats){ .E = x->E, .pass = x->router != NULL };
	for (int e = 0; e < x->E; e++)
		st->min[e] = st->zero[e] = st->mean[e] = st->logit[e] = NAN;
	for (int b = 0; b < MOE_BANKS; b++)
		st->bank_min[b] = st->bank_zero[b] = st->bank_mean[b] = st->bank_support[b] =
			st->bank_entropy[b] = st->bank_logit[b] = NAN;
	st->support = st->entropy = NAN;
	if (all->cells == 0)
		return;
	/* sums to means over the cells (tokens x sites); of logits the root mean square */
	for (int e = 0; e < x->E; e++) {
		st->min[e] = all->min[e];
		st->zero[e] = all->zero[e] / all->cells;
		st->mean[e] = all->sum[e] / all->cells;
		st->logit[e] = x->bank[e] == MOE_BANK_SHARED ? NAN
							     : sqrt(all->logit2[e] / all->cells);
	}
	for (int b = 0; b < MOE_BANKS; b++)
		bank_means(st, x, all, b);
	st->support = all->support / all->cells;
	st->entropy = all->entropy / all->cells;
}
