/* heldout.c - measures scores of held-out pairs, and what needs no score. It fits no method's
 * score. */
#include "moe/heldout.h"

#include "util/auroc.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAIR, SIDE, AUROC, MARGIN, MEASURES };
static const char *const measure_name[MEASURES] = { "pair_accuracy", "accuracy", "auroc",
	"margin" };

int moe_held_begin(struct moe_held *h, size_t n, double folds, uint64_t seed, struct moe_err *e)
{
	*h = (struct moe_held){ .n = n, .folds = (uint32_t)fmin(folds, (double)n) };
	h->fold = moe_alloc(n, sizeof(*h->fold), e);
	h->score = moe_alloc(2 * n, sizeof(*h->score), e);
	if (!h->fold || !h->score)
		return -1;
	moe_rng_permute(moe_rng_key(seed, "folds"), 0, n, h->fold);
	return 0;
}

void moe_held_free(struct moe_held *h)
{
	free(h->fold);
	free(h->score);
	*h = (struct moe_held){ 0 };
}

/* The four numbers of score [2 n]. */
static int measure(const double *score, size_t n, double m[MEASURES], struct moe_err *e)
{
	uint8_t *hack = moe_alloc(2 * n, 1, e);
	double sum = 0, sum2 = 0, mean, var;
	int rc;

	if (!hack)
		return -1;
	m[PAIR] = m[SIDE] = 0;
	for (size_t i = 0; i < n; i++) {
		double h = score[2 * i], c = score[2 * i + 1];

		hack[2 * i] = 1;
		m[PAIR] += (h > c ? 1 : h == c ? 0.5 : 0) / (double)n;
		m[SIDE] += (0.5 * (h > 0.5) + 0.5 * (c < 0.5)) / (double)n;
		sum += h - c;
	}
	mean = sum / (double)n;
	for (size_t i = 0; i < n; i++) {
		double off = score[2 * i] - score[2 * i + 1] - mean;

		sum2 += off * off;
	}
	var = n > 1 ? sum2 / (double)(n - 1) : 0;
	m[MARGIN] = var > 0 ? mean / sqrt(var) : 0;
	rc = moe_auroc(score, hack, 2 * n, &m[AUROC], e);
	free(hack);
	return rc;
}

/* Held-out scores of one feature f [2 n]: which side is above and where the border lies, the other
 * folds tell.  score = 1/2 + sign(gap) (f - middle) / spread,  gap = mean of hacks - mean of clean
 * sides, middle = mean of both, spread = standard deviation of both. */
static void one_feature(const struct moe_held *h, const double *f, double *score)
{
	for (uint32_t out = 0; out < h->folds; out++) {
		double sum[2] = { 0, 0 }, sum2 = 0, n = 0, middle, spread, sign;

		for (size_t i = 0; i < 2 * h->n; i++) {
			if (moe_held_is_out(h, i / 2, out))
				continue;
			sum[i % 2] += f[i];
			n++;
		}
		middle = (sum[0] + sum[1]) / n;
		for (size_t i = 0; i < 2 * h->n; i++)
			if (!moe_held_is_out(h, i / 2, out))
				sum2 += (f[i] - middle) * (f[i] - middle);
		spread = sqrt(sum2 / n);
		sign = sum[0] > sum[1] ? 1 : sum[0] < sum[1] ? -1 : 0;
		for (size_t i = 0; i < 2 * h->n; i++)
			if (moe_held_is_out(h, i / 2, out))
				score[i] = spread > 0 ? 0.5 + sign * (f[i] - middle) / spread : 0.5;
	}
}

static int store_measures(struct moe_rec *to, const char *prefix, const char *suffix,
	const double *m, struct moe_err *e)
{
	char key[64];

	for (int k = 0; k < MEASURES; k++) {
		snprintf(key, sizeof(key), "%s%s%s", prefix, measure_name[k], suffix);
		if (moe_rec_set_f64(to, key, m[k], e))
			return -1;
	}
	return 0;
}

/* ---- random directions ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Projections of the standardised x [2 n, d] on directions drawn from the sphere, p [HAAR, 2 n]. A
 * direction's length does not matter to one_feature, so it is not made 1. */
static int project(const struct moe_held *h, const float *x, size_t d, uint64_t seed, double *p,
	struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(seed, "haar of held-out pairs");
	size_t n = 2 * h->n;
	double *u = moe_alloc(MOE_HELD_HAAR, sizeof(*u), e);

	for (size_t k = 0; u && k < d; k++) {
		double mean = 0, var = 0, inv;

		for (size_t i = 0; i < n; i++)
			mean += (double)x[i * d + k] / (double)n;
		for (size_t i = 0; i < n; i++) {
			double off = (double)x[i * d + k] - mean;

			var += off * off / (double)n;
		}
		if (!(var > 0))
			continue; /* a feature that does not vary says nothing */
		inv = 1 / sqrt(var);
		moe_rng_normals(key, k, 0, MOE_HELD_HAAR, u);
		for (size_t i = 0; i < n; i++) {
			double z = ((double)x[i * d + k] - mean) * inv;

			for (size_t r = 0; r < MOE_HELD_HAAR; r++)
				p[r * n + i] += z * u[r];
		}
	}
	free(u);
	return u ? 0 : -1;
}

/* Mean of each measure over the directions, its 95th percentile, and the score's rank. */
static int store_haar(const struct moe_held *h, const float *x, size_t d, double auroc,
	struct moe_adapter *a, struct moe_err *e)
{
	size_t n = 2 * h->n, above = 0;
	double *p = moe_alloc((MOE_HELD_HAAR + 1) * n, sizeof(*p), e), m[MEASURES],
	       mean[MEASURES] = { 0 }, top[MEASURES], all[MEASURES][MOE_HELD_HAAR];
	int rc = p ? project(h, x, d, a->train_seed, p, e) : -1;

	for (size_t r = 0; rc == 0 && r < MOE_HELD_HAAR; r++) {
		double *score = p + MOE_HELD_HAAR * n;

		one_feature(h, p + r * n, score);
		rc = measure(score, h->n, m, e);
		for (int k = 0; k < MEASURES; k++) {
			mean[k] += m[k] / MOE_HELD_HAAR;
			all[k][r] = m[k];
		}
		above += m[AUROC] >= auroc;
	}
	for (int k = 0; rc == 0 && k < MEASURES; k++) {
		qsort(all[k], MOE_HELD_HAAR, sizeof(**all), by_value);
		top[k] = all[k][MOE_HELD_HAAR * 95 / 100];
	}
	free(p);
	return rc || store_measures(&a->score, "haar_", "", mean, e) ||
			store_measures(&a->score, "haar_", "_95", top, e) ||
			moe_rec_set_int(&a->score, "haar", MOE_HELD_HAAR, e) ||
			moe_rec_set_f64(
				&a->score, "haar_p", (double)(1 + above) / (MOE_HELD_HAAR + 1), e)
		? -1
		: 0;
}

/* ---- all of it ---- */

/* Shares of clean sides below lo, of hacks above hi. */
static int store_shares(
	const struct moe_held *h, double lo, double hi, struct moe_rec *to, struct moe_err *e)
{
	double kept = 0, routed = 0;

	for (size_t i = 0; i < h->n; i++) {
		routed += (h->score[2 * i] > hi) / (double)h->n;
		kept += (h->score[2 * i + 1] < lo) / (double)h->n;
	}
	return moe_rec_set_f64(to, "clean_kept", kept, e) ||
			moe_rec_set_f64(to, "hack_routed", routed, e)
		? -1
		: 0;
}

static int store_length(
	const struct moe_held *h, const float *length, struct moe_rec *to, struct moe_err *e)
{
	double *f = moe_alloc(4 * h->n, sizeof(*f), e), m[MEASURES];
	int rc = f ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < 2 * h->n; i++)
		f[i] = (double)length[i];
	if (rc == 0) {
		one_feature(h, f, f + 2 * h->n);
		rc = measure(f + 2 * h->n, h->n, m, e) || store_measures(to, "length_", "", m, e)
			? -1
			: 0;
	}
	free(f);
	return rc;
}

int moe_held_store(const struct moe_held *h, const float *x, size_t d, const float *length,
	double lo, double hi, struct moe_adapter *a, struct moe_err *e)
{
	double m[MEASURES];

	if (h->folds < 2)
		return 0;
	return moe_rec_set_int(&a->score, "folds", h->folds, e) || measure(h->score, h->n, m, e) ||
			store_measures(&a->score, "", "", m, e) ||
			(!isnan(lo) && store_shares(h, lo, hi, &a->score, e)) ||
			store_length(h, length, &a->score, e) ||
			(d && store_haar(h, x, d, m[AUROC], a, e))
		? -1
		: 0;
}

static double number(const struct moe_rec *r, const char *key)
{
	double v = NAN;

	moe_rec_f64(r, key, &v);
	return v;
}

/* Length separates the sides from here on; either number alone can hide it. */
#define LENGTH_ACCURACY 0.65
#define LENGTH_AUROC    0.75

static void warn(const struct moe_rec *s, struct moe_said *out)
{
	double length = number(s, "length_accuracy"), auroc = number(s, "length_auroc");

	if (number(s, "accuracy") < 0.65)
		moe_say(out, true,
			"on held-out pairs the score is little better than chance: it does not "
			"know the hacks of these pairs");
	if (number(s, "haar_p") > 0.05)
		moe_say(out, true,
			"random directions do about as well on held-out pairs (p = %.2f): what the "
			"score knows of them is not told apart from chance",
			number(s, "haar_p"));
	if (length >= LENGTH_ACCURACY && length >= number(s, "accuracy") - 0.05)
		moe_say(out, true,
			"the length of a completion explains the score: hack and clean differ in "
			"length throughout the pairs, and the score may know no more than that");
	else if (length >= LENGTH_ACCURACY || auroc >= LENGTH_AUROC)
		moe_say(out, true,
			"the length of a completion alone separates hack from clean: the score "
			"does better, but may lean on it (moe-pairs --match-length evens pairs "
			"out)");
}

void moe_held_report(const struct moe_adapter *a, size_t n_pair, struct moe_said *out)
{
	const struct moe_rec *s = &a->score;

	if (!moe_rec_has(s, "pair_accuracy")) {
		moe_say(out, true,
			"%zu pair(s): too few to hold any out, so how good the score is remains "
			"unknown",
			n_pair);
		return;
	}
	moe_say(out, false,
		"score fitted on %zu pairs; held out, fold by fold: hack above clean in %.3f of "
		"the pairs, right side of 1/2 for %.3f of the completions, AUROC %.3f, margin %.2f",
		n_pair, number(s, "pair_accuracy"), number(s, "accuracy"), number(s, "auroc"),
		number(s, "margin"));
	if (moe_rec_has(s, "clean_kept"))
		moe_say(out, false,
			"%.3f of the clean ones kept (< %g), %.3f of the hacks routed (> %g)",
			number(s, "clean_kept"), number(&a->settings, "lo"),
			number(s, "hack_routed"), number(&a->settings, "hi"));
	if (moe_method_remembers(a))
		moe_say(out, false,
			"thresholds are quantiles of the run's own scores: about %g of the "
			"rollouts are kept and %g routed whether anything in them is a hack or not",
			number(&a->settings, "q"), number(&a->settings, "q"));
	moe_say(out, false,
		"the completion's length alone: hack above clean in %.3f of the pairs, right side "
		"for %.3f, AUROC %.3f, margin %.2f",
		number(s, "length_pair_accuracy"), number(s, "length_accuracy"),
		number(s, "length_auroc"), number(s, "length_margin"));
	if (moe_rec_has(s, "haar_p"))
		moe_say(out, false,
			"%g random directions, mean (95 %% of them below): hack above clean in "
			"%.3f (%.3f), right side for %.3f (%.3f), AUROC %.3f (%.3f), margin %.2f "
			"(%.2f); p = %.2f",
			number(s, "haar"), number(s, "haar_pair_accuracy"),
			number(s, "haar_pair_accuracy_95"), number(s, "haar_accuracy"),
			number(s, "haar_accuracy_95"), number(s, "haar_auroc"),
			number(s, "haar_auroc_95"), number(s, "haar_margin"),
			number(s, "haar_margin_95"), number(s, "haar_p"));
	warn(s, out);
}
