/* tally.c - sums for people; nothing trains on them. */
#include "rl/tally.h"
#include "rl/order.h"

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

/* Sums over a completion's tokens: the entropy; |log-probability that the policy gives when asked
 * anew
 * - the sampler's|, the sampling/training gap; and the ratio exp(logp - sampled). */
void moe_tally_measure(struct moe_tally *y, const struct moe_loss_in *in, const moe_real *entropy)
{
	/* the gap is between equal weights: the policy before its first update of the step (old),
	 * where that was kept */
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

void moe_tally_loss(struct moe_tally *y, const struct moe_loss_out *out)
{
	y->kl = out->kl;
	y->low = out->low;
	y->high = out->high;
	y->counted = out->counted;
	y->phi = out->phi;
	y->c = out->c;
	y->c_min = out->c_min;
	y->c_max = out->c_max;
	y->n_c = out->n_c;
}

/* Shares of a rollout's tokens, and what the correction for the sampler did to it. */
static void add_clips(struct moe_tally *all, const struct moe_tally *y)
{
	all->low += y->low;
	all->high += y->high;
	all->counted += y->counted;
	if (y->counted) {
		all->low_min = fmin(all->low_min, (double)y->low / (double)y->counted);
		all->high_max = fmax(all->high_max, (double)y->high / (double)y->counted);
	}
	all->phi += y->phi;
	all->c += y->c;
	all->c_min = fmin(all->c_min, y->c_min);
	all->c_max = fmax(all->c_max, y->c_max);
	all->n_c += y->n_c;
	all->rollouts++;
}

void moe_tally_sum(const struct moe_tally *y, size_t n, struct moe_tally *all)
{
	*all = (struct moe_tally){
		.ratio_min = INFINITY, .low_min = INFINITY, .c_min = INFINITY, .c_max = -INFINITY
	};
	for (size_t i = 0; i < n; i++, y++) {
		add_clips(all, y);
		all->loss += y->loss;
		all->kl += y->kl;
		all->entropy += y->entropy;
		all->kept_entropy += y->kept_entropy;
		all->diff += y->diff;
		all->diff_max = fmax(all->diff_max, y->diff_max);
		all->kept += y->kept;
		all->ratio += y->ratio;
		all->ratio2 += y->ratio2;
		all->ratio_min = y->n ? fmin(all->ratio_min, y->ratio_min) : all->ratio_min;
		all->ratio_max = fmax(all->ratio_max, y->ratio_max);
		all->n += y->n;
	}
}

/* sum [width] += rows from + row[i] of v [.., width]. */
void moe_tally_rows(
	const moe_real *v, size_t width, size_t from, const int32_t *row, int n, double *sum)
{
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < width; k++)
			sum[k] += (double)v[(from + (size_t)row[i]) * width + k];
}

/* to[k] += sum_i sum[i, k], or with `per` sum_i weight[i] per[i, k]; both [n, cells]. */
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

/* Shares that a clip cut are over all tokens in the loss, as TRL's: of a rollout that was not run,
 * as its advantage is 0, it cuts none. */
void moe_tally_clips(const struct moe_tally *all, const struct moe_loss_opts *o,
	const struct moe_update *u, struct moe_train_stats *st)
{
	bool clips = (o->ratio == MOE_RATIO_CLIP || u->store) && all->counted;
	size_t n = 0, rollouts = 0;
	double of;

	/* n: tokens in the loss of all rollouts of the update, run or not (or rollouts, where the
	 * ratio is one number for each); rollouts: those that have any */
	for (size_t i = u->from; i < u->to; i++) {
		size_t m = moe_batch_tokens(o, &u->s->r[u->pick[i]]);

		n += o->level == MOE_LEVEL_TOKEN ? m : 1;
		rollouts += o->level == MOE_LEVEL_TOKEN ? m > 0 : 1;
	}
	st->n_counted = n;
	of = clips && moe_loss_clips(o->type) ? (double)n : NAN;
	st->clip_low = (double)all->low / of;
	st->clip_high = (double)all->high / of;
	st->clip_low_min = isnan(of) ? NAN : rollouts > all->rollouts ? 0 : all->low_min;
	st->clip_high_max = isnan(of) ? NAN : all->high_max;
	st->cispo_clip = clips && o->type == MOE_CISPO ? (double)all->high / (double)n : NAN;
	st->phi = o->type == MOE_VESPO && all->rollouts ? all->phi / (double)all->rollouts : NAN;
	st->n_c = all->n_c;
	st->c_mean = all->n_c ? all->c / (double)all->n_c : NAN;
	st->c_min = all->n_c ? all->c_min : NAN;
	st->c_max = all->n_c ? all->c_max : NAN;
}
