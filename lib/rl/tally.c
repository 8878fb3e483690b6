/* tally.c - sums for people; nothing trains on them. */
#include "rl/tally.h"

#include "util/elementary.h"

#include <math.h>

/* One token's ratio as it is, before any clip or truncation. */
static void add_ratio(struct moe_tally *y, double w)
{
	y->ratio += w;
	y->ratio2 += w * w;
	y->ratio_min = y->n ? fmin(y->ratio_min, w) : w;
	y->ratio_max = y->n ? fmax(y->ratio_max, w) : w;
}

void moe_tally_measure(struct moe_tally *y, const struct moe_loss_in *in, const moe_real *entropy)
{
	const moe_real *was = in->old && in->old != in->sampled ? in->old : in->logp;

	for (size_t t = 0; t < in->n; t++) {
		double d = fabs((double)was[t] - (double)in->sampled[t]);
		bool kept = !in->keep || in->keep[t];

		y->entropy += (double)entropy[t];
		y->kept_entropy += kept ? (double)entropy[t] : 0;
		y->kept += kept;
		y->diff += d;
		y->diff_max = fmax(y->diff_max, d);
		add_ratio(y, moe_exp((double)in->logp[t] - (double)in->sampled[t]));
		y->n++;
	}
}

void moe_tally_sum(const struct moe_tally *y, size_t n, struct moe_tally *all)
{
	*all = (struct moe_tally){ .ratio_min = INFINITY };
	for (size_t i = 0; i < n; i++, y++) {
		all->loss += y->loss;
		all->kl += y->kl;
		all->entropy += y->entropy;
		all->kept_entropy += y->kept_entropy;
		all->diff += y->diff;
		all->diff_max = fmax(all->diff_max, y->diff_max);
		all->low += y->low;
		all->high += y->high;
		all->counted += y->counted;
		all->kept += y->kept;
		all->ratio += y->ratio;
		all->ratio2 += y->ratio2;
		all->ratio_min = y->n ? fmin(all->ratio_min, y->ratio_min) : all->ratio_min;
		all->ratio_max = fmax(all->ratio_max, y->ratio_max);
		all->n += y->n;
	}
}

void moe_tally_rows(
	const moe_real *v, size_t width, size_t from, const int32_t *row, int n, double *sum)
{
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < width; k++)
			sum[k] += (double)v[(from + (size_t)row[i]) * width + k];
}

void moe_tally_add(size_t n, size_t cells, const double *sum, const moe_real *per,
	const double *weight, double *to)
{
	for (size_t k = 0; k < cells; k++) {
		double all = 0;

		for (size_t i = 0; i < n; i++)
			all += per ? (double)per[i * cells + k] * weight[i] : sum[i * cells + k];
		to[k] += all;
	}
}
