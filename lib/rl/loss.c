/* loss.c - pure functions of one rollout's tokens; batches and models are elsewhere. */
#include "rl/loss.h"

#include "util/elementary.h"
#include "util/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */

/* One token, or at sequences what all tokens share but logp. */
struct point {
	double w, logp, adv;
	double phi; /* vespo's weight of the rollout */
};
/* l and its two partial derivatives, with respect to w and to the logp that stands in it. */
struct value {
	double l, dw, dlogp;
	int clipped; /* -1 below with A < 0, +1 above with A > 0 */
};

/* l = -min(min(w, delta) A, clip(w, 1-eps_low, 1+eps_high) A): the pessimistic of two, so a change
 * that would gain beyond the clip gains nothing (Schulman et al. 1707.06347); delta bounds what A <
 * 0 can cost, which the clip leaves open (INTELLECT-2, 2505.07291). */
static struct value clipped(const struct moe_loss_opts *o, const struct point *p)
{
	double lo = 1 - o->eps_low, hi = 1 + o->eps_high, A = p->adv, w1 = p->w, d1 = 1, w2 = p->w,
	       d2 = 1;
	struct value v = { 0 };

	if (o->delta > 0 && w1 > o->delta) {
		w1 = o->delta;
		d1 = 0;
	}
	if (w2 < lo || w2 > hi) {
		w2 = w2 < lo ? lo : hi;
		d2 = 0;
	}
	v.clipped = w1 < lo && A < 0 ? -1 : w1 > hi && A > 0 ? 1 : 0;
	v.l = -fmin(w1 * A, w2 * A);
	/* the gradient is that of the smaller; of equals, half of each */
	v.dw = -A * (w1 * A < w2 * A ? d1 : w1 * A > w2 * A ? d2 : (d1 + d2) / 2);
	return v;
}

/* l = -sg(min(w, eps_high)) A logp: the weight is clipped, not the token; every token teaches. */
static struct value cispo(const struct moe_loss_opts *o, const struct point *p)
{
	double c = fmin(p->w, o->eps_high);

	return (struct value){ .l = -c * p->adv * p->logp,
		.dlogp = -c * p->adv,
		.clipped = p->w > o->eps_high && p->adv > 0 };
}

/* l = -A sigma(tau (w - 1)) 4 / tau: a soft gate, of slope A at w = 1;
 * dl/dw = -A 4 sigma (1 - sigma). */
static struct value sapo(const struct moe_loss_opts *o, const struct point *p)
{
	double tau = p->adv > 0 ? o->tau_pos : o->tau_neg, s = 1 / (1 + moe_exp(-tau * (p->w - 1)));

	return (struct value){ .l = -p->adv * s * 4 / tau, .dw = -p->adv * 4 * s * (1 - s) };
}

/* l = -sg(phi) A logp */
static struct value vespo(const struct moe_loss_opts *o, const struct point *p)
{
	(void)o;
	return (struct value){ .l = -p->phi * p->adv * p->logp, .dlogp = -p->phi * p->adv };
}

/* What the sum over rollouts divides by. */
enum sum { BY_ROLLOUT_TOKENS, BY_ROLLOUT, BY_CONSTANT, BY_LOCAL_TOKENS, BY_ALL_TOKENS };

static const struct loss_row {
	const char *name;
	struct value (*token)(const struct moe_loss_opts *o, const struct point *p);
	enum sum sum;
	bool phi; /* needs the rollout's phi, which holds the correction already */
} rows[MOE_LOSSES] = {
	[MOE_DR_GRPO] = { "dr_grpo", clipped, BY_CONSTANT, false },
	[MOE_GRPO] = { "grpo", clipped, BY_ROLLOUT_TOKENS, false },
	[MOE_BNPO] = { "bnpo", clipped, BY_LOCAL_TOKENS, false },
	[MOE_DAPO] = { "dapo", clipped, BY_ALL_TOKENS, false },
	[MOE_LUSPO] = { "luspo", clipped, BY_ROLLOUT, false },
	[MOE_CISPO] = { "cispo", cispo, BY_ALL_TOKENS, false },
	[MOE_SAPO] = { "sapo", sapo, BY_ROLLOUT_TOKENS, false },
	[MOE_VESPO] = { "vespo", vespo, BY_ALL_TOKENS, true },
};

bool moe_loss_clips(enum moe_loss_type type)
{
	return rows[type].token == clipped;
}

double moe_loss_weight(const struct moe_loss_opts *o, const struct moe_loss_counts *c, size_t m)
{
	double n = c->n ? (double)c->n : 1;

	switch (rows[o->type].sum) {
	case BY_ROLLOUT_TOKENS:
		return 1 / (n * (m ? (double)m : 1));
	case BY_ROLLOUT:
		return 1 / n;
	case BY_CONSTANT:
		return 1 / (n * (c->max_completion ? (double)c->max_completion : 1));
	case BY_LOCAL_TOKENS:
		return 1 / fmax(c->local, 1);
	case BY_ALL_TOKENS:
		break;
	}
	return 1 / (c->items > 0 ? c->items : 1);
}

/* ---- names ---- */

static int parse(const char *what, const char *const *names, int n, const char *s, int *out,
	struct moe_err *e)
{
	char list[160] = "";
	size_t k = 0;

	for (int i = 0; i < n; i++)
		if (!strcmp(names[i], s)) {
			*out = i;
			return 0;
		}
	for (int i = 0; i < n; i++)
		k += (size_t)snprintf(list + k, sizeof(list) - k, "%s%s",
			i == 0               ? ""
				: i + 1 == n ? " and "
					     : ", ",
			names[i]);
	return moe_fail(e, MOE_USAGE, "'%.40s' is not a %s: %s are", s, what, list);
}

int moe_loss_type_parse(const char *s, enum moe_loss_type *out, struct moe_err *e)
{
	const char *names[MOE_LOSSES];
	int i = 0;

	for (int k = 0; k < MOE_LOSSES; k++)
		names[k] = rows[k].name;
	if (parse("loss", names, MOE_LOSSES, s, &i, e))
		return -1;
	*out = (enum moe_loss_type)i;
	return 0;
}

int moe_ratio_parse(const char *s, enum moe_ratio *out, struct moe_err *e)
{
	static const char *const names[] = { "min", "clip", "none" };
	int i = 0;

	if (parse("ratio", names, 3, s, &i, e))
		return -1;
	*out = (enum moe_ratio)i;
	return 0;
}

int moe_level_parse(const char *s, enum moe_level *out, struct moe_err *e)
{
	static const char *const names[] = { "token", "sequence" };
	int i = 0;

	if (parse("level of importance ratios", names, 2, s, &i, e))
		return -1;
	*out = (enum moe_level)i;
	return 0;
}

int moe_correction_parse(const char *s, enum moe_correction *out, struct moe_err *e)
{
	static const char *const names[] = { "token_truncate", "token_mask", "sequence_truncate",
		"sequence_mask" };
	int i = 0;

	if (parse("correction for the sampler", names, 4, s, &i, e))
		return -1;
	*out = (enum moe_correction)i;
	return 0;
}

/* ---- one rollout ---- */

static double old_of(const struct moe_loss_in *in, size_t t)
{
	return (double)(in->old ? in->old : in->logp)[t];
}

static double sampled_of(const struct moe_loss_in *in, size_t t)
{
	return in->sampled ? (double)in->sampled[t] : old_of(in, t);
}

/* The sum over the tokens of old - sampled: log of the sequence's weight toward its sampler. */
static double sum_to_sampler(const struct moe_loss_in *in)
{
	double s = 0;

	for (size_t t = 0; t < in->n; t++)
		s += old_of(in, t) - sampled_of(in, t);
	return s;
}

/* c of token t; seq: the sum above. Constants to the gradient. */
static double correction(
	const struct moe_loss_opts *o, const struct moe_loss_in *in, size_t t, double seq)
{
	bool whole = o->correction == MOE_SEQUENCE_TRUNCATE || o->correction == MOE_SEQUENCE_MASK,
	     cut = o->correction == MOE_TOKEN_MASK || o->correction == MOE_SEQUENCE_MASK;
	double s;

	if (o->ratio != MOE_RATIO_MIN)
		return 1;
	s = moe_exp(whole ? seq : old_of(in, t) - sampled_of(in, t));
	if (cut)
		return s < o->c_min || s > o->c_max ? 0 : s;
	return fmin(fmax(s, o->c_min), o->c_max);
}

static double bound(double v, double lo, double hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* vespo's phi(W) = exp(lambda + k log W - lambda W), at most 1, and 1 at W = 1. Each token's r is
 * held within +-20, and log W, with the corrections in it, within [log 1e-8, 20], as in the
 * published code. */
static double gamma_weight(const struct moe_loss_opts *o, const struct moe_loss_in *in, double seq)
{
	static const double floor = -18.420680743952367; /* log 1e-8 */
	bool whole = o->correction == MOE_SEQUENCE_TRUNCATE || o->correction == MOE_SEQUENCE_MASK;
	double log_w = 0, corrected = 0, k = in->adv >= 0 ? o->k_pos : o->k_neg,
	       lambda = fmax(in->adv >= 0 ? o->lambda_pos : o->lambda_neg, 1e-4);

	for (size_t t = 0; t < in->n; t++)
		log_w += bound((double)in->logp[t] - old_of(in, t), -20, 20);
	for (size_t t = 0; o->ratio == MOE_RATIO_MIN && t < (whole ? 1 : in->n); t++) {
		double c = correction(o, in, t, seq);

		corrected += bound(c > 0 ? moe_log(c) : floor, floor, 20);
	}
	log_w = bound(log_w + corrected, floor, 20);
	return moe_exp(lambda + k * log_w - lambda * moe_exp(log_w));
}

/* Has a rollout that did worse than its group drifted too far from what sampled it? */
static bool too_far(const struct moe_loss_opts *o, const struct moe_loss_in *in)
{
	double s = 0;

	if (!(o->off_policy > 0) || in->adv >= 0)
		return false;
	for (size_t t = 0; t < in->n; t++)
		s += sampled_of(in, t) - (double)in->logp[t];
	return s / (in->n ? (double)in->n : 1) > o->off_policy;
}

/* k_t and its derivatives. With the bias correction k3 is multiplied by w, through which the
 * gradient flows as well: to its own token, or through the mean to every one. */
static void kl_part(const struct moe_loss_opts *o, const struct moe_loss_in *in, double w_seq,
	struct moe_loss_out *out)
{
	bool seq = o->level == MOE_LEVEL_SEQUENCE;

	for (size_t t = 0; t < in->n; t++) {
		double d = (double)in->ref[t] - (double)in->logp[t], ed = moe_exp(d),
		       k = ed - d - 1, w = 1;

		/* k3 >= 0, an unbiased estimate of KL(policy | reference) over the policy's tokens
		 */
		if (o->kl_bias)
			w = seq ? w_seq : moe_exp((double)in->logp[t] - old_of(in, t));
		out->kl += k * w;
		out->dkl[t] = o->beta * (1 - ed) * w;
		if (o->kl_bias && !seq)
			out->dkl[t] += o->beta * k * w;
	}
	/* dw/dlogp_s = w / n for every token s of the sequence, and out->kl = w sum of k3 */
	for (size_t t = 0; o->kl_bias && seq && t < in->n; t++)
		out->dkl[t] += o->beta * out->kl / (double)in->n;
}

/* What the correction for the sampler comes to. */
static void measure_correction(const struct moe_loss_opts *o, const struct moe_loss_in *in,
	double seq, struct moe_loss_out *out)
{
	bool whole = o->correction == MOE_SEQUENCE_TRUNCATE || o->correction == MOE_SEQUENCE_MASK;

	out->c = 0;
	out->c_min = INFINITY;
	out->c_max = -INFINITY;
	out->n_c = o->ratio != MOE_RATIO_MIN ? 0 : whole ? 1 : in->n;
	for (size_t t = 0; t < out->n_c; t++) {
		double c = correction(o, in, t, seq);

		out->c += c;
		out->c_min = fmin(out->c_min, c);
		out->c_max = fmax(out->c_max, c);
	}
}

void moe_rollout_loss(
	const struct moe_loss_opts *o, const struct moe_loss_in *in, struct moe_loss_out *out)
{
	const struct loss_row *row = &rows[o->type];
	bool seq = o->level == MOE_LEVEL_SEQUENCE, far = too_far(o, in);
	double mean = 0, to_sampler = sum_to_sampler(in), through_w = 0;
	struct point p = { .w = 1, .adv = in->adv };

	out->policy = out->kl = 0;
	out->low = out->high = out->counted = 0;
	if (seq && in->old)
		for (size_t t = 0; t < in->n; t++)
			mean += ((double)in->logp[t] - (double)in->old[t]) / (double)in->n;
	p.w = seq ? moe_exp(mean) : 1;
	if (row->phi)
		p.phi = gamma_weight(o, in, to_sampler);
	out->phi = p.phi;
	measure_correction(o, in, to_sampler, out);
	for (size_t t = 0; t < in->n; t++) {
		double c = row->phi ? 1 : correction(o, in, t, to_sampler);
		struct value v;

		if (in->old && !seq)
			p.w = moe_exp((double)in->logp[t] - (double)in->old[t]);
		p.logp = (double)in->logp[t];
		v = row->token(o, &p);
		if (far || (in->keep && !in->keep[t]))
			c = 0;
		out->policy += c * v.l;
		/* dw/dlogp_t = w at tokens; at sequences w / n, for each token of the sequence */
		out->dpolicy[t] = c * v.dlogp + (seq ? 0 : c * v.dw * p.w);
		through_w += c * v.dw;
		if (!seq || t == 0) {
			out->low += v.clipped < 0;
			out->high += v.clipped > 0;
			out->counted++;
		}
	}
	for (size_t t = 0; seq && t < in->n; t++)
		out->dpolicy[t] += through_w * p.w / (double)in->n;
	if (o->beta > 0)
		kl_part(o, in, p.w, out);
}

/* ---- entropy ---- */

static int by_size(const void *x, const void *y)
{
	moe_real a = *(const moe_real *)x, b = *(const moe_real *)y;

	return (a > b) - (a < b);
}

int moe_top_entropy(
	double top, size_t n, const moe_real *entropy, unsigned char *keep, struct moe_err *e)
{
	moe_real *v = moe_alloc(n ? n : 1, sizeof(*v), e);
	double at, low, cut;
	size_t k;

	if (!v)
		return -1;
	memcpy(v, entropy, n * sizeof(*v));
	qsort(v, n, sizeof(*v), by_size);
	/* the quantile q lies at q (n - 1) among the sorted */
	at = n ? (1 - top) * (double)(n - 1) : 0;
	k = (size_t)at;
	low = n ? (double)v[k] : 0;
	cut = k + 1 < n ? low + (at - (double)k) * ((double)v[k + 1] - low) : low;
	for (size_t i = 0; i < n; i++)
		keep[i] = (double)entropy[i] >= cut;
	free(v);
	return 0;
}

double moe_entropy_adapt(const struct moe_loss_opts *o, double coef, double measured)
{
	if (!o->adaptive)
		return coef;
	return measured <= o->entropy_target ? fmin(coef + o->entropy_step, o->entropy_max)
					     : fmax(coef - o->entropy_step, o->entropy_min);
}
