/* vector.c - routes per rollout by a direction in pooled states, or in a completion's gradient
 * (gradient): the mean difference of the pairs (vector), the same over its standard error (tstat),
 * or one drawn evenly from the sphere (haar, gradient-haar), their placebo. No logistic fit, no
 * token by token.
 *
 * score = 1/2 + (x - middle).v / gap: the pairs' clean sides lie around 0, their hacks around 1.
 *
 * States and gradients are of the frozen base; with `refresh` of the policy without its quarantine,
 * and v, middle and gap are of the policy at the last refresh: at the first steps, where the
 * experts add nothing, the very same.
 */
#include "moe/methods/rows.h"

#include "moe/features.h"
#include "moe/heldout.h"
#include "moe/probe.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SET_LO, SET_HI, SET_FOLDS };
/* What every row has, and behind it its own. */
#define COMMON                                                                                     \
	[SET_LO] = { "lo", 0.4, -100, 100, NULL, "a rollout that scores less is kept" },           \
	[SET_HI] = { "hi", 0.6, -100, 100, NULL, "a rollout that scores more is routed" },         \
	[SET_FOLDS] = { "folds", 5, 2, 1000, NULL, "held-out folds of whole pairs" },              \
	MOE_SETTINGS_THRESHOLDS
#define PROBE                                                                                      \
	{                                                                                          \
		"probe", 4, 1, 64, NULL, "rank of the frozen probe: features of each Linear"       \
	}
static const struct moe_setting settings[] = { COMMON, MOE_SETTING_REFRESH, { 0 } };
static const struct moe_setting gradient_settings[] = { COMMON, PROBE, MOE_SETTING_REFRESH, { 0 } };
enum kind { MEAN, TSTAT, HAAR, GRADIENT, GRADIENT_HAAR };

static bool by_chance(enum kind k)
{
	return k == HAAR || k == GRADIENT_HAAR;
}

/* Features of one row: pooled states (probe 0), or gradients under a probe of that rank. */
static size_t dim(const struct moe_engine *g, int probe)
{
	return (size_t)(probe ? moe_probe_dim(&g->m->config, probe)
			      : moe_features_dim(&g->m->config));
}

static int features(const struct moe_engine *g, const struct moe_seen *s, size_t n, int probe,
	float *x, struct moe_err *e)
{
	return probe ? moe_probe_features(g, s, n, probe, x, e)
		     : moe_features_pooled(g, s, n, x, e);
}

#define T_MAX 3 /* |mean / standard error| of a feature counts no more */

/* Pooled states x [2 n_pair, d] of the pairs, hack then clean; pairs of fold `out` are left out. */
struct sides {
	const float *x;
	size_t n, d;
	const struct moe_held *held; /* NULL: all are in */
	uint32_t out;                /* held->folds: none */
	int probe;                   /* rank, of gradients; else 0 */
	uint64_t draw;               /* of a direction by chance */
};

static bool is_in(const struct sides *s, size_t i)
{
	return !s->held || !moe_held_is_out(s->held, i, s->out);
}

/* Gradients: v of each Linear at unit length, as vGROUT's, since their sizes differ by far. */
static void unit_blocks(const struct sides *s, float *v)
{
	size_t r = (size_t)s->probe;

	for (size_t k = 0; r && k < s->d; k += r) {
		double norm = 0;

		for (size_t i = k; i < k + r; i++)
			norm += (double)v[i] * (double)v[i];
		for (size_t i = k; norm > 0 && i < k + r; i++)
			v[i] = (float)((double)v[i] / sqrt(norm));
	}
}

/* v [d] at unit length, its middle [d], and the gap of the sides' mean projections. */
static double direction(
	const struct sides *s, enum kind kind, struct moe_rng key, float *v, float *middle)
{
	double norm = 0, at[2] = { 0, 0 }, m = 0, square = 0;

	for (size_t i = 0; i < s->n; i++)
		m += is_in(s, i);
	for (size_t k = 0; k < s->d; k++) {
		double sum = 0, sum2 = 0, both = 0, mean, se;

		for (size_t i = 0; i < s->n; i++) {
			double h = (double)s->x[2 * i * s->d + k],
			       c = (double)s->x[(2 * i + 1) * s->d + k];

			if (!is_in(s, i))
				continue;
			sum += h - c;
			sum2 += (h - c) * (h - c);
			both += h + c;
		}
		mean = sum / m;
		se = sqrt(fmax(sum2 / m - mean * mean, 0) / m);
		middle[k] = (float)(both / (2 * m));
		if (kind == TSTAT)
			mean = se > 0 ? fmax(-T_MAX, fmin(T_MAX, mean / se)) : 0;
		v[k] = (float)(by_chance(kind) ? moe_rng_normal(key, s->draw, k) : mean);
	}
	unit_blocks(s, v);
	for (size_t k = 0; k < s->d; k++)
		norm += (double)v[k] * (double)v[k];
	for (size_t k = 0; k < s->d; k++)
		v[k] = norm > 0 ? (float)((double)v[k] / sqrt(norm)) : 0;
	for (size_t i = 0; i < 2 * s->n; i++) {
		double p = 0;

		for (size_t k = 0; is_in(s, i / 2) && k < s->d; k++)
			p += (double)v[k] * ((double)s->x[i * s->d + k] - (double)middle[k]);
		at[i % 2] += p / m;
		square += p * p / (2 * m);
	}
	/* a direction that knows nothing of the sides has their spread for a unit */
	return by_chance(kind) ? 2 * sqrt(square) : at[0] - at[1];
}

static double score_of(const float *x, const float *v, const float *middle, double gap, size_t d)
{
	double p = 0;

	for (size_t k = 0; k < d; k++)
		p += (double)v[k] * ((double)x[k] - (double)middle[k]);
	return gap > 0 ? 0.5 + p / gap : 0.5;
}

/* Fold by fold: a direction from the other pairs, the score of these. */
static void held_out(
	struct sides s, enum kind kind, struct moe_rng key, double *score, float *v, float *middle)
{
	for (s.out = 0; s.out < s.held->folds; s.out++) {
		double gap = direction(&s, kind, key, v, middle);

		for (size_t i = 0; i < 2 * s.n; i++)
			if (!is_in(&s, i / 2))
				score[i] = score_of(s.x + i * s.d, v, middle, gap, s.d);
	}
}

static int probe_of(const struct moe_adapter *a)
{
	double v = 0;

	moe_rec_f64(&a->settings, "probe", &v);
	return (int)v;
}

/* Everything that init allocates. */
struct work {
	struct moe_seen *seen; /* [2 n] */
	float *x, *len;        /* [2 n, d], [2 n] */
	struct moe_held held;
};

static int fit(const struct moe_engine *g, size_t n, enum kind kind, struct moe_adapter *a,
	struct work *w, struct moe_err *e)
{
	int probe = probe_of(a);
	uint64_t d = (uint64_t)dim(g, probe);
	struct moe_score_tensor *v = moe_adapter_add_tensor(a, "score.direction", 1, &d, e), *m;
	struct moe_rng key = moe_rng_key(a->train_seed, "haar direction");
	double set[MOE_ROUTER_SETTINGS], gap;
	struct sides s = { w->x, n, (size_t)d, &w->held, 0, probe, 0 };
	float *direct = v ? v->data : NULL;

	/* adding the second tensor may move the first's struct, not its data */
	m = v ? moe_adapter_add_tensor(a, "score.middle", 1, &d, e) : NULL;
	if (!m || moe_settings_read(settings, &a->settings, set, e) ||
		moe_held_begin(&w->held, n, set[SET_FOLDS], a->train_seed, e) ||
		features(g, w->seen, 2 * n, probe, w->x, e))
		return -1;
	for (size_t i = 0; i < 2 * n; i++)
		w->len[i] = (float)moe_features_tokens(&g->m->config, &w->seen[i]);
	if (w->held.folds >= 2)
		held_out(s, kind, key, w->held.score, direct, m->data);
	if (moe_held_store(&w->held, w->x, (size_t)d, w->len, set[SET_LO], set[SET_HI], a, e))
		return -1;
	s.out = w->held.folds;
	gap = direction(&s, kind, key, direct, m->data);
	if (!(gap > 0) || !isfinite(gap))
		return moe_fail(e, MOE_DATA,
			"the pairs' sides do not differ in the states that are scored: they give "
			"no direction");
	return moe_rec_set_f64(&a->score, "gap", gap, e) ||
			moe_rec_set_str(&a->score, "features", probe ? "gradient" : "pooled", e) ||
			moe_rec_set_int(&a->score, "pairs", (int64_t)n, e)
		? -1
		: 0;
}

static int init_kind(const struct moe_engine *g, const struct moe_pairs *p, enum kind kind,
	struct moe_adapter *a, struct moe_err *e)
{
	size_t n = p->n, d = dim(g, probe_of(a));
	struct work w = { moe_alloc(2 * n, sizeof(*w.seen), e), NULL, NULL, { 0 } };
	int rc;

	w.x = w.seen ? moe_alloc(2 * n * d, sizeof(*w.x), e) : NULL;
	w.len = w.x ? moe_alloc(2 * n, sizeof(*w.len), e) : NULL;
	for (size_t i = 0; w.len && i < 2 * n; i++)
		w.seen[i] = moe_pair_seen(&p->pair[i / 2], i % 2 == 0);
	rc = w.len ? fit(g, n, kind, a, &w, e) : -1;
	free(w.seen);
	free(w.x);
	free(w.len);
	moe_held_free(&w.held);
	return rc;
}

/* Direction, middle and gap of all pairs, by the features that they have under g->x now. */
static int refresh_kind(const struct moe_engine *g, const struct moe_pairs *p, enum kind kind,
	int64_t nth, struct moe_adapter *a, struct moe_err *e)
{
	const struct moe_score_tensor *v = moe_adapter_tensor(a, "score.direction"),
				      *m = moe_adapter_tensor(a, "score.middle");
	int probe = probe_of(a);
	size_t d = dim(g, probe);
	struct moe_seen *seen = moe_alloc(2 * p->n, sizeof(*seen), e);
	float *x = seen ? moe_alloc(2 * p->n * d, sizeof(*x), e) : NULL;
	struct sides s = { .x = x, .n = p->n, .d = d, .probe = probe, .draw = (uint64_t)nth };
	int rc = x && v && m && v->n == d && m->n == d ? 0 : -1;

	if (x && rc)
		moe_fail(e, MOE_DATA,
			"the adapter holds no direction that fits this base (score.direction)");
	for (size_t i = 0; x && i < 2 * p->n; i++)
		seen[i] = moe_pair_seen(&p->pair[i / 2], i % 2 == 0);
	rc = rc ? rc : features(g, seen, 2 * p->n, probe, x, e);
	if (rc == 0) {
		double gap = direction(
			&s, kind, moe_rng_key(a->train_seed, "haar direction"), v->data, m->data);

		rc = gap > 0 && isfinite(gap)
			? moe_rec_set_f64(&a->score, "gap", gap, e)
			: moe_fail(e, MOE_DATA,
				  "the pairs' sides do not differ under the policy: they give no "
				  "direction");
	}
	free(seen);
	free(x);
	return rc;
}

/* What the rows call: the same for each kind. */
#define KIND(name, kind)                                                                           \
	static int init_##name(const struct moe_engine *g, const struct moe_pairs *p,              \
		struct moe_adapter *a, struct moe_err *e)                                          \
	{                                                                                          \
		return init_kind(g, p, kind, a, e);                                                \
	}                                                                                          \
	static int refresh_##name(const struct moe_engine *g, const struct moe_pairs *p,           \
		int64_t nth, struct moe_adapter *a, struct moe_err *e)                             \
	{                                                                                          \
		return refresh_kind(g, p, kind, nth, a, e);                                        \
	}

KIND(mean, MEAN)
KIND(tstat, TSTAT)
KIND(haar, HAAR)
KIND(gradient, GRADIENT)
KIND(gradient_haar, GRADIENT_HAAR)

static int score(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seen *seen, size_t n, const struct moe_turn *turn, struct moe_judged *j,
	struct moe_nulls *null, struct moe_err *e)
{
	const struct moe_score_tensor *v = moe_adapter_tensor(a, "score.direction"),
				      *m = moe_adapter_tensor(a, "score.middle");
	int probe = probe_of(a);
	size_t d = dim(g, probe), nulls = (size_t)null->n;
	struct moe_rng key = moe_rng_key(null->seed, "haar");
	float *x, *u;
	double gap;
	int rc;

	(void)turn;
	if (!v || !m || v->n != d || m->n != d)
		return moe_fail(e, MOE_DATA,
			"the adapter holds no direction that fits this base (score.direction)");
	if (moe_rec_f64_req(&a->score, "gap", &gap, e))
		return moe_err_prefix(e, "the adapter's score");
	x = moe_alloc(n * d + d, sizeof(*x), e);
	u = x ? x + n * d : NULL;
	rc = x ? features(g, seen, n, probe, x, e) : -1;
	for (size_t i = 0; rc == 0 && i < n; i++)
		j[i].score = moe_features_tokens(&g->m->config, &seen[i])
			? score_of(x + i * d, v->data, m->data, gap, d)
			: 0.5;
	for (size_t k = 0; rc == 0 && k < nulls; k++) {
		for (size_t f = 0; f < d; f++)
			u[f] = (float)(moe_rng_normal(key, k, f) / sqrt((double)d));
		for (size_t i = 0; i < n; i++)
			null->score[i * nulls + k] = (float)score_of(x + i * d, u, m->data, gap, d);
	}
	free(x);
	return rc;
}

/* The rows differ in their names and in where the direction comes from. */
#define ROW                                                                                        \
	.presence = "no: as logistic", .needs_pairs = true, .plan = moe_decision_table_deployed,   \
	.check = moe_logistic_check, .report = moe_held_report, .score = score,                    \
	.decide = moe_decide_three_way

const struct moe_method moe_method_vector = {
	.name = "vector",
	.purpose = "three-way by the pairs' mean difference in pooled states",
	.cites = "vGROUT's v_act (difference of means of activations), here of the residual stream",
	.supports =
		"a vector fitted on synthetic pairs alone is allowed to route; in a prototype it "
		"missed a mode entirely",
	.placebo = "haar",
	.settings = settings,
	.init = init_mean,
	.refresh = refresh_mean,
	ROW,
};

const struct moe_method moe_method_tstat = {
	.name = "tstat",
	.purpose = "three-way by the mean difference over its standard error, clamped to 3",
	.cites = "vGROUT's t-statistic direction",
	.supports =
		"as vector: features that differ reliably count more than those that differ much",
	.placebo = "haar",
	.settings = settings,
	.init = init_tstat,
	.refresh = refresh_tstat,
	ROW,
};

const struct moe_method moe_method_haar = {
	.name = "haar",
	.purpose = "placebo of vector and tstat: the same rule along a random direction",
	.cites = "vGROUT's Haar placebo",
	.supports = "what routing along any direction does",
	.settings = settings,
	.init = init_haar,
	.refresh = refresh_haar,
	ROW,
};

const struct moe_method moe_method_gradient = {
	.name = "gradient",
	.purpose = "three-way by the pairs' mean difference in completions' gradients",
	.cites = "vGROUT's v_grad (routeV): the c-probe gradient of the mean completion NLL, here "
		 "under a frozen random probe, of the base or (refresh) of the policy",
	.supports = "F0.5 .352 against .337 of its placebo there; no direction beat chance by much",
	.placebo = "gradient-haar",
	.settings = gradient_settings,
	.init = init_gradient,
	.refresh = refresh_gradient,
	ROW,
};

const struct moe_method moe_method_gradient_haar = {
	.name = "gradient-haar",
	.purpose = "placebo of gradient: the same rule along a random direction",
	.cites = "vGROUT's Haar placebo",
	.supports = "what routing along any direction does",
	.settings = gradient_settings,
	.init = init_gradient_haar,
	.refresh = refresh_gradient_haar,
	ROW,
};
