/* logistic.c - a logistic regression on hidden states, fitted on the pairs alone: those of the
 * frozen base, or with `refresh` of the policy without its quarantine, fitted anew as it changes.
 *
 * The score of a completion is the mean probability over its tokens, or that of its mean state;
 * whole pairs are held out, fold by fold, to say how well it does on pairs that it has not seen,
 * and a score made of the length alone says how much of that needs no hidden states at all. */
#include "moe/methods/rows.h"

#include "moe/features.h"
#include "moe/heldout.h"
#include "moe/logreg.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>

#define TOKENS_MAX 20000 /* of all completions together */

enum { SET_LO, SET_HI, SET_L2, SET_FOLDS };
const struct moe_setting moe_logistic_settings[] = {
	[SET_LO] = { "lo", 0.4, 0, 1, NULL, "a rollout that scores less is kept" },
	[SET_HI] = { "hi", 0.6, 0, 1, NULL, "a rollout that scores more is routed" },
	[SET_L2] = { "l2", 1e-3, 0, 1e6, NULL, "L2 penalty of the fit, l2/2 |w|^2" },
	[SET_FOLDS] = { "folds", 5, 2, 1000, NULL, "held-out folds of whole pairs" },
	MOE_SETTINGS_THRESHOLDS,
	{ "features", 0, 0, 0, "tokens|pooled", "each completion token's states, or their mean" },
	MOE_SETTING_REFRESH,
	{ 0 },
};

struct fit_opts {
	double l2, lo, hi, folds; /* whole pairs are held out fold by fold */
	bool pooled;              /* a row of the table is a completion, not a token */
};

struct table {
	struct moe_logreg_data d; /* tokens of all completions, pair by pair, hack then clean */
	float *x;
	uint8_t *y;
	double *wt;
	size_t *first;         /* [2 n_pair + 1] first token of each completion */
	struct moe_seen *seen; /* [2 n_pair] */
	int stride; /* every so many tokens of a completion count: 1 unless there are very many */
	struct moe_pool *pool;
	size_t n_seq;
	const struct moe_config *c;
};

static void table_free(struct table *t)
{
	free(t->x);
	free(t->y);
	free(t->wt);
	free(t->first);
	free(t->seen);
}

static int collect(void *ctx, size_t seq, const struct moe_feature_rows *rows, struct moe_err *e)
{
	struct table *t = ctx;

	(void)e;
	for (int k = 0; k < rows->n; k += t->stride)
		moe_features_row(
			rows, k, t->x + (t->first[seq] + (size_t)(k / t->stride)) * t->d.d);
	return 0;
}

/* Tokens of each completion that count; very many are thinned out evenly, since neighbours tell
 * almost the same. */
static void count_tokens(struct table *t)
{
	size_t all = 0;

	for (size_t i = 0; i < t->n_seq; i++)
		all += (size_t)moe_features_tokens(t->c, &t->seen[i]);
	t->stride = (int)(all / TOKENS_MAX) + 1;
	for (size_t i = 0; i < t->n_seq; i++)
		t->first[i + 1] = t->first[i] +
			((size_t)moe_features_tokens(t->c, &t->seen[i]) + (size_t)t->stride - 1) /
				(size_t)t->stride;
}

static int table_make(struct table *t, const struct moe_engine *g, const struct moe_pairs *p,
	bool pooled, struct moe_err *e)
{
	size_t bytes, n = p->n;

	t->c = &g->m->config;
	t->pool = g->pool;
	t->n_seq = 2 * n;
	t->seen = moe_alloc(2 * n, sizeof(*t->seen), e);
	t->first = moe_alloc(2 * n + 1, sizeof(*t->first), e);
	if (!t->seen || !t->first)
		return -1;
	for (size_t i = 0; i < 2 * n; i++)
		t->seen[i] = moe_pair_seen(&p->pair[i / 2], i % 2 == 0);
	count_tokens(t);
	for (size_t i = 0; pooled && i <= 2 * n; i++)
		t->first[i] = i;
	t->d.n = t->first[2 * n];
	t->d.d = (size_t)moe_features_dim(t->c);
	if (!moe_mul(t->d.n, t->d.d, &bytes))
		return moe_fail(e, MOE_SYSTEM, "the pairs' hidden states do not fit in memory");
	t->x = moe_alloc(bytes, sizeof(*t->x), e);
	t->y = moe_alloc(t->d.n, sizeof(*t->y), e);
	t->wt = moe_alloc(t->d.n, sizeof(*t->wt), e);
	if (!t->x || !t->y || !t->wt)
		return -1;
	t->d.x = t->x;
	t->d.y = t->y;
	t->d.wt = t->wt;
	return pooled ? moe_features_pooled(g, t->seen, 2 * n, t->x, e)
		      : moe_features_run(g, t->seen, 2 * n, collect, t, e);
}

/* Both classes weigh the same however long their completions are. Pairs of fold `out` weigh nothing
 * (out = folds: all count). */
static void weigh(struct table *t, const struct moe_held *h, uint32_t out)
{
	double n[2] = { 0, 0 };

	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < t->n_seq; i++)
			for (size_t k = t->first[i]; k < t->first[i + 1]; k++) {
				bool in = out == h->folds || !moe_held_is_out(h, i / 2, out);

				t->y[k] = i % 2 == 0;
				if (pass == 0)
					n[t->y[k]] += in;
				else
					t->wt[k] = in ? 0.5 / n[t->y[k]] : 0;
			}
}

static double mean_prob(const struct table *t, size_t seq, const double *w, double b)
{
	double sum = 0;
	size_t n = t->first[seq + 1] - t->first[seq];

	for (size_t k = t->first[seq]; k < t->first[seq + 1]; k++) {
		sum += moe_sigmoid(b + moe_logreg_dot(w, t->x + k * t->d.d, t->d.d));
	}
	return n ? sum / (double)n : 0.5;
}

/* Fold by fold: weights from the other pairs, the score of these. Each fold's search starts where
 * the last one ended: the minimum is the same from anywhere. */
static int cross_validate(
	struct table *t, struct moe_held *h, double l2, double *w, struct moe_err *e)
{
	double b = 0;

	for (uint32_t f = 0; f < h->folds; f++) {
		weigh(t, h, f);
		if (moe_logreg(&t->d, l2, f > 0, t->pool, w, &b, NULL, e))
			return -1;
		for (size_t i = 0; i < t->n_seq; i++)
			if (moe_held_is_out(h, i / 2, f))
				h->score[i] = mean_prob(t, i, w, b);
	}
	return 0;
}

/* What is held against the score: states averaged over the tokens of a side, and their number. */
static int store_quality(const struct table *t, const struct moe_held *h, const struct fit_opts *o,
	struct moe_adapter *a, struct moe_err *e)
{
	float *x = moe_alloc(t->n_seq * (t->d.d + 1), sizeof(*x), e),
	      *length = x ? x + t->n_seq * t->d.d : NULL;
	int rc = x ? 0 : -1;

	for (size_t i = 0; x && i < t->n_seq; i++) {
		size_t n = t->first[i + 1] - t->first[i];

		length[i] = (float)moe_features_tokens(t->c, &t->seen[i]);
		for (size_t k = 0; n && k < t->d.d; k++) {
			double sum = 0;

			for (size_t j = t->first[i]; j < t->first[i + 1]; j++)
				sum += (double)t->x[j * t->d.d + k];
			x[i * t->d.d + k] = (float)(sum / (double)n);
		}
	}
	rc = rc || moe_held_store(h, x, t->d.d, length, o->lo, o->hi, a, e) ? -1 : 0;
	free(x);
	return rc;
}

/* Makes the tensor, or overwrites it. */
static int store_tensor(
	struct moe_adapter *a, const char *name, const double *v, size_t n, struct moe_err *e)
{
	uint64_t shape[1] = { n };
	const struct moe_score_tensor *st = moe_adapter_tensor(a, name);

	if (!st)
		st = moe_adapter_add_tensor(a, name, 1, shape, e);
	else if (st->n != n)
		return moe_fail(
			e, MOE_DATA, "the adapter holds no score that fits this base (%s)", name);
	for (size_t f = 0; st && f < n; f++)
		st->data[f] = (float)v[f];
	return st ? 0 : -1;
}

/* The weights, and the standardisation in which directions are drawn that the score is held
 * against. */
static int store(struct moe_adapter *a, const struct table *t, bool pooled, const double *w,
	double b, struct moe_err *e)
{
	double *mean = moe_alloc(2 * t->d.d, sizeof(*mean), e), *inv = mean ? mean + t->d.d : NULL;
	struct moe_rec *r = &a->score;
	int rc = mean ? moe_logreg_standard(&t->d, mean, inv, e) : -1;

	rc = rc || store_tensor(a, "score.weight", w, t->d.d, e) ||
			store_tensor(a, "score.mean", mean, t->d.d, e) ||
			store_tensor(a, "score.inverse_sd", inv, t->d.d, e)
		? -1
		: 0;
	free(mean);
	return rc || moe_rec_set_f64(r, "bias", b, e) ||
			moe_rec_set_str(r, "features", pooled ? "pooled" : "hidden", e) ||
			moe_rec_set_int(r, "pairs", (int64_t)(t->n_seq / 2), e) ||
			moe_rec_set_int(r, "tokens", (int64_t)t->d.n, e)
		? -1
		: 0;
}

static int fit(const struct moe_engine *g, const struct moe_pairs *p, const struct fit_opts *o,
	struct moe_adapter *a, struct moe_err *e)
{
	struct moe_held h = { 0 };
	struct table t = { 0 };
	double *w = NULL, b = 0;
	int rc = table_make(&t, g, p, o->pooled, e) ||
			moe_held_begin(&h, p->n, o->folds, a->train_seed, e)
		? -1
		: 0;

	if (rc == 0)
		rc = (w = moe_alloc(t.d.d, sizeof(*w), e)) ? 0 : -1;
	if (rc == 0 && h.folds >= 2)
		rc = cross_validate(&t, &h, o->l2, w, e) || store_quality(&t, &h, o, a, e) ? -1 : 0;
	if (rc == 0) {
		weigh(&t, &h, h.folds);
		rc = moe_logreg(&t.d, o->l2, false, t.pool, w, &b, NULL, e) ||
				store(a, &t, o->pooled, w, b, e)
			? -1
			: 0;
	}
	free(w);
	moe_held_free(&h);
	table_free(&t);
	return rc;
}

/* The fit alone: what is held out told at moe-pin how good it is. The search starts at 0, so that
 * what comes out depends on the policy and not on what was fitted before. */
int moe_logistic_refresh(const struct moe_engine *g, const struct moe_pairs *p, int64_t nth,
	struct moe_adapter *a, struct moe_err *e)
{
	struct moe_held all = { .n = p->n }; /* of no folds: all count */
	struct moe_str features = { "", 0 };
	struct table t = { 0 };
	double *w = NULL, b = 0, l2;
	bool pooled = moe_rec_str(&a->score, "features", &features) &&
		moe_str_eq(features, "pooled");
	int rc = moe_rec_f64_req(&a->settings, "l2", &l2, e) || table_make(&t, g, p, pooled, e) ? -1
												: 0;

	(void)nth;
	if (rc == 0)
		rc = (w = moe_alloc(t.d.d, sizeof(*w), e)) ? 0 : -1;
	if (rc == 0) {
		weigh(&t, &all, 0);
		rc = moe_logreg(&t.d, l2, false, t.pool, w, &b, NULL, e) ||
				store(a, &t, pooled, w, b, e)
			? -1
			: 0;
	}
	free(w);
	table_free(&t);
	return rc;
}

int moe_logistic_init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	struct fit_opts o = { .lo = NAN, .hi = NAN };
	struct moe_str features;

	/* of any row that has these settings; thresholds are its own business */
	if (moe_rec_f64_req(&a->settings, "l2", &o.l2, e) ||
		moe_rec_f64_req(&a->settings, "folds", &o.folds, e) ||
		moe_rec_str_req(&a->settings, "features", &features, e))
		return moe_err_prefix(e, "the adapter's settings");
	o.pooled = moe_str_eq(features, "pooled");
	moe_rec_f64(&a->settings, "lo", &o.lo);
	moe_rec_f64(&a->settings, "hi", &o.hi);
	return fit(g, p, &o, a, e);
}

int moe_logistic_check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	(void)x;
	return set[SET_LO] > set[SET_HI]
		? moe_fail(e, MOE_USAGE, "lo=%g is above hi=%g", set[SET_LO], set[SET_HI])
		: 0;
}

/* ---- scoring rollouts ---- */

struct scoring {
	bool pooled; /* fitted on states averaged over the completion */
	const float *w;
	size_t d;
	double b;
	struct moe_judged *j;   /* NULL = not wanted */
	struct moe_nulls *null; /* NULL = not wanted */
	float *const *token;    /* [n] each token's score; NULL = not wanted */
	double *dir,
		*dir_b; /* [null->n, d], [null->n] random weights of raw features, their biases */
};

/* Directions drawn evenly (Haar) from the sphere in standardised features, as long as the fitted
 * one and with its intercept: the same machinery that has not seen the pairs' contrast. */
static int draw_directions(struct scoring *s, const struct moe_adapter *a, struct moe_err *e)
{
	const struct moe_score_tensor *mean = moe_adapter_tensor(a, "score.mean"),
				      *inv = moe_adapter_tensor(a, "score.inverse_sd");
	struct moe_rng key = moe_rng_key(s->null->seed, "haar");
	double norm = 0, at_mean = s->b;

	if (!mean || !inv || mean->n != s->d || inv->n != s->d)
		return moe_fail(e, MOE_DATA,
			"the adapter's score has no standardisation (score.mean, score.inverse_sd) "
			"to draw random directions in: pin it anew, or ask for none");
	s->dir = moe_alloc((s->d + 1) * (size_t)s->null->n, sizeof(*s->dir), e);
	if (!s->dir)
		return -1;
	s->dir_b = s->dir + s->d * (size_t)s->null->n;
	for (size_t f = 0; f < s->d; f++) {
		double theta = inv->data[f] > 0 ? (double)s->w[f] / (double)inv->data[f] : 0;

		norm += theta * theta;
		at_mean += (double)s->w[f] * (double)mean->data[f];
	}
	for (size_t k = 0; k < (size_t)s->null->n; k++) {
		double *v = s->dir + k * s->d, len = 0;

		for (size_t f = 0; f < s->d; f++) {
			v[f] = inv->data[f] > 0 ? moe_rng_normal(key, k, f) : 0;
			len += v[f] * v[f];
		}
		s->dir_b[k] = at_mean;
		for (size_t f = 0; f < s->d; f++) {
			v[f] *= len > 0 ? sqrt(norm / len) * (double)inv->data[f] : 0;
			s->dir_b[k] -= v[f] * (double)mean->data[f];
		}
	}
	return 0;
}

/* out [d] = the states averaged over the rows. */
static void pool_rows(const struct scoring *s, const struct moe_feature_rows *rows, float *out)
{
	for (size_t k = 0; k < s->d; k++) {
		size_t D = (size_t)rows->D;
		const moe_real *x = rows->block[k / D] + (size_t)rows->first * D + k % D;
		double sum = 0;

		for (int t = 0; t < rows->n; t++)
			sum += (double)x[(size_t)t * D];
		out[k] = (float)(sum / rows->n);
	}
}

static int score_nulls(
	const struct scoring *s, size_t seq, const struct moe_feature_rows *rows, struct moe_err *e)
{
	size_t n = (size_t)s->null->n;
	float *x = moe_alloc(s->d, sizeof(*x), e);
	double *sum = x ? moe_alloc(n, sizeof(*sum), e) : NULL;
	int of = s->pooled ? 1 : rows->n; /* what the score is a mean of */

	for (int t = 0; sum && t < of; t++) {
		if (s->pooled)
			pool_rows(s, rows, x);
		else
			moe_features_row(rows, t, x);
		for (size_t k = 0; k < n; k++)
			sum[k] += moe_sigmoid(
				s->dir_b[k] + moe_logreg_dot(s->dir + k * s->d, x, s->d));
	}
	for (size_t k = 0; sum && k < n; k++)
		s->null->score[seq * n + k] = (float)(sum[k] / of);
	free(x);
	free(sum);
	return sum ? 0 : -1;
}

/* sigmoid(b + w . x) of token t; x are the blocks' rows, one after the other. */
static double score_token(const struct scoring *s, const struct moe_feature_rows *rows, int t)
{
	double z = s->b;

	for (int l = 0; l < rows->layers; l++) {
		const moe_real *x = rows->block[l] + (size_t)(rows->first + t) * (size_t)rows->D;
		const float *w = s->w + (size_t)l * (size_t)rows->D;

		for (int k = 0; k < rows->D; k++)
			z += (double)w[k] * (double)x[k];
	}
	return moe_sigmoid(z);
}

/* The score of a completion's mean state, [rows->n] times: score_one takes a mean. */
static int score_pooled(const struct scoring *s, const struct moe_feature_rows *rows, double *sum,
	struct moe_err *e)
{
	float *x = moe_alloc(s->d, sizeof(*x), e);

	if (!x)
		return -1;
	pool_rows(s, rows, x);
	*sum = s->b;
	for (size_t k = 0; k < s->d; k++)
		*sum += (double)s->w[k] * (double)x[k];
	*sum = moe_sigmoid(*sum) * rows->n;
	free(x);
	return 0;
}

static int score_one(void *ctx, size_t seq, const struct moe_feature_rows *rows, struct moe_err *e)
{
	struct scoring *s = ctx;
	double sum = 0;

	for (int t = 0; t < rows->n; t++) {
		double p = score_token(s, rows, t);

		if (s->token)
			s->token[seq][t] = (float)p;
		sum += p;
	}
	if (s->pooled && score_pooled(s, rows, &sum, e))
		return -1;
	if (!isfinite(sum))
		return moe_fail(e, MOE_NUMERIC, "the score of rollout %zu is not finite", seq);
	if (s->j)
		s->j[seq].score = sum / rows->n;
	return s->null && s->null->n ? score_nulls(s, seq, rows, e) : 0;
}

/* The fitted weights of the adapter. */
static int read_weights(struct scoring *s, const struct moe_engine *g, const struct moe_adapter *a,
	struct moe_err *e)
{
	const struct moe_score_tensor *t = moe_adapter_tensor(a, "score.weight");
	struct moe_str features;

	if (!t || t->n != (size_t)moe_features_dim(&g->m->config))
		return moe_fail(e, MOE_DATA,
			"the adapter holds no score that fits this base (score.weight)");
	if (moe_rec_f64_req(&a->score, "bias", &s->b, e))
		return moe_err_prefix(e, "the adapter's score");
	s->pooled = moe_rec_str(&a->score, "features", &features) && moe_str_eq(features, "pooled");
	s->w = t->data;
	s->d = t->n;
	return 0;
}

int moe_logistic_score(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seen *seen, size_t n, const struct moe_turn *turn, struct moe_judged *j,
	struct moe_nulls *null, struct moe_err *e)
{
	struct scoring s = { .j = j, .null = null };
	int rc;

	(void)turn;
	if (read_weights(&s, g, a, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		j[i].score = 0.5; /* a rollout without tokens says nothing */
	for (size_t i = 0; i < n * (size_t)null->n; i++)
		null->score[i] = 0.5f;
	rc = (null->n && draw_directions(&s, a, e)) ||
			moe_features_run(g, seen, n, score_one, &s, e)
		? -1
		: 0;
	free(s.dir);
	return rc;
}

int moe_logistic_token_score(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seen *seen, size_t n, float *const *token, struct moe_err *e)
{
	struct scoring s = { .token = token };

	return read_weights(&s, g, a, e) ? -1 : moe_features_run(g, seen, n, score_one, &s, e);
}

const struct moe_method moe_method_logistic = {
	.name = "logistic",
	.purpose = "three-way by a logistic score on the base's hidden states, fitted on the pairs",
	.cites = "per-token logistic probe of the frozen base, mean probability over the "
		 "completion; routing into a deletable block as in Gradient Routing (Cloud et al. "
		 "2410.04332) and vGROUT",
	.supports = "a score fitted on synthetic pairs alone is allowed to route; that what it "
		    "routes is absorbed is what the report tests, not what the literature shows",
	.presence =
		"no: the quarantine is absent on rollouts judged clean (plan keep.quarantine=1/0 "
		"keeps it)",
	.placebo = "random",
	.needs_pairs = true,
	.settings = moe_logistic_settings,
	.plan = moe_decision_table_deployed,
	.check = moe_logistic_check,
	.init = moe_logistic_init,
	.refresh = moe_logistic_refresh,
	.report = moe_held_report,
	.score = moe_logistic_score,
	.token_score = moe_logistic_token_score,
	.decide = moe_decide_three_way,
};
