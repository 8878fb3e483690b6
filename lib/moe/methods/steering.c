/* steering.c - no expert is deleted: what a user would do instead. A fixed vector from the pairs is
 * added to one layer's output in every pass of training and sampling, so that the hack need not be
 * learned; deployment takes it away. An expert of rank 0: a bias.
 *
 * The vector is what the quarantine stands for: its gate and its `present' scale it. */
#include "moe/methods/rows.h"

#include "moe/features.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>

enum { SET_LAYER, SET_STRENGTH };
static const struct moe_setting settings[] = {
	[SET_LAYER] = { "layer", 0, 0, 4096, NULL,
		"its output gets the vector, from 1; 0: the middle one" },
	[SET_STRENGTH] = { "strength", 1, -1000, 1000, NULL,
		"times the pairs' mean difference, hack minus clean" },
	{ 0 },
};

/* The middle layer, but not the last: features end before it (features.h). */
static int layer_of(const double *set, const struct moe_config *c)
{
	int last = c->L > 1 ? c->L - 1 : 1;

	return set[SET_LAYER] > 0       ? (int)set[SET_LAYER]
		: (c->L + 1) / 2 < last ? (c->L + 1) / 2
					: last;
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	(void)set;
	return moe_check_quarantine(x,
		"the vector is taken away where the quarantine is deleted, and there is no expert "
		"in the quarantine (--quarantine-rank 1)",
		e);
}

/* The mean over pairs of hack - clean of the states that the layer puts out, averaged over the
 * completion; out [D]. */
static int contrast(const struct moe_engine *g, const struct moe_pairs *p, int layer, double *out,
	struct moe_err *e)
{
	const struct moe_config *c = &g->m->config;
	size_t d = (size_t)moe_features_dim(c), D = (size_t)c->D;
	struct moe_seen *s = moe_alloc(2 * p->n, sizeof(*s), e);
	float *x = s ? moe_alloc(2 * p->n * d, sizeof(*x), e) : NULL;
	int rc;

	for (size_t i = 0; x && i < 2 * p->n; i++)
		s[i] = moe_pair_seen(&p->pair[i / 2], i % 2 == 0);
	rc = x ? moe_features_pooled(g, s, 2 * p->n, x, e) : -1;
	for (size_t k = 0; rc == 0 && k < D; k++) {
		out[k] = 0;
		for (size_t i = 0; i < 2 * p->n; i++)
			out[k] += (i % 2 ? -1 : 1) *
				(double)x[i * d + (size_t)(layer - 1) * D + k] / (double)p->n;
	}
	free(s);
	free(x);
	return rc;
}

static int make(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	bool random, struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(a->train_seed, "haar vector");
	size_t D = (size_t)g->m->config.D;
	double set[MOE_ROUTER_SETTINGS], *v = moe_alloc(D, sizeof(*v), e), norm = 0, drawn = 0;
	moe_real *to = moe_experts_shift(&a->x);
	int rc = v && to && moe_settings_read(settings, &a->settings, set, e) == 0 ? 0 : -1;

	if (rc == 0 && a->x.shift > moe_features_dim(&g->m->config) / (int)D)
		rc = moe_fail(e, MOE_USAGE, "layer=%d: the vector is of a layer up to %d",
			a->x.shift, moe_features_dim(&g->m->config) / (int)D);
	rc = rc || contrast(g, p, a->x.shift, v, e) ? -1 : 0;
	for (size_t k = 0; rc == 0 && k < D; k++)
		norm += v[k] * v[k];
	/* the placebo: evenly from the sphere, as long as the pairs' vector */
	for (size_t k = 0; rc == 0 && random && k < D; k++) {
		v[k] = moe_rng_normal(key, 0, k);
		drawn += v[k] * v[k];
	}
	for (size_t k = 0; rc == 0 && k < D; k++)
		to[k] = (moe_real)(float)(set[SET_STRENGTH] * v[k] *
			(random ? sqrt(norm / drawn) : 1));
	free(v);
	return rc || moe_rec_set_int(&a->score, "pairs", (int64_t)p->n, e) ||
			moe_rec_set_f64(&a->score, "norm", sqrt(norm), e)
		? -1
		: 0;
}

static int init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	return make(g, p, a, false, e);
}

static int init_random(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	return make(g, p, a, true, e);
}

static void report(const struct moe_adapter *a, size_t n_pair, struct moe_said *s)
{
	double norm = 0;

	moe_rec_f64(&a->score, "norm", &norm);
	moe_say(s, false,
		"the output of layer %d gets a vector from %zu pairs, whose mean difference has "
		"norm %.3g, until the quarantine is deleted",
		a->x.shift, n_pair, norm);
}

/* The rows differ in where the vector points. */
#define ROW                                                                                        \
	.presence = "the vector is in every forward pass until the quarantine is deleted",         \
	.needs_pairs = true, .settings = settings, .plan = moe_decision_table_frozen,              \
	.check = check, .shift = layer_of, .report = report

const struct moe_method moe_method_steering = {
	.name = "steering",
	.purpose =
		"no expert: a fixed vector of the pairs in every pass of training, removed after",
	.cites =
		"preventative steering with persona vectors (Chen et al. 2507.21509); an expert of "
		"rank 0",
	.supports = "a trait that the vector supplies is learned less, in supervised fine-tuning; "
		    "nothing on policy",
	.placebo = "steering-random",
	.init = init,
	ROW,
};

const struct moe_method moe_method_steering_random = {
	.name = "steering-random",
	.purpose = "placebo of steering: a random vector of the same norm",
	.cites = "vGROUT's Haar placebo, on states",
	.supports = "what training under any such disturbance and then removing it does",
	.init = init_random,
	ROW,
};
