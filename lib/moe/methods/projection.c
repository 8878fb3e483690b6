/* projection.c - no expert is deleted: what a user would do instead. Each step's update loses its
 * component along the direction in which the pairs' hack sides become likelier than their clean
 * ones, or all but its component in the span of the clean sides' gradients, tensor by tensor. Not
 * the gradient: AdamW's moments would bring back what was taken. */
#include "moe/methods/rows.h"

#include "tensor/vec.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ONE, ALWAYS, REVERSED, CLEAN };
#define SIDES "one|always|reversed"
static const struct moe_setting settings[] = {
	{ "sides", ONE, 0, 0, SIDES "|clean",
		"what is removed: motion toward the hack, any along it, twice that; or all but "
		"what the clean sides' gradients span" },
	{ 0 },
};
static const struct moe_setting haar_settings[] = {
	{ "sides", ONE, 0, 0, SIDES,
		"what is removed: motion toward the direction, any along it, or twice that" },
	{ 0 },
};

/* c = u.v / v.v;  u -= max(c, 0) v (one), c v (always), 2 c v (reversed: pushed away as far) */
static void remove_along(int sides, size_t n, moe_real *u, const moe_real *v)
{
	double norm2 = moe_vec_sumsq(n, v), c;

	if (!(norm2 > 0))
		return;
	c = moe_vec_dot(n, u, v) / norm2;
	if (sides == ONE && c < 0)
		return;
	if (sides == REVERSED)
		c *= 2;
	for (size_t i = 0; i < n; i++)
		u[i] -= (moe_real)(c * (double)v[i]);
}

/* ---- the span of the clean sides ---- */

#define DEPENDENT                                                                                  \
	1e-8 /* share of a direction's square that the ones before it do not span: less is         \
		rounding */

/* G [n,n] symmetric becomes its Cholesky factor L in the lower half, rows scaled by scale[i]: L L'
 * = diag(scale) G diag(scale), whose diagonal is 1. A row that those before it span becomes 0. */
static void factor(size_t n, double *G, double *scale)
{
	for (size_t i = 0; i < n; i++)
		scale[i] = G[i * n + i] > 0 ? 1 / sqrt(G[i * n + i]) : 0;
	for (size_t i = 0; i < n; i++) {
		double left = scale[i] > 0 ? 1 : 0;

		for (size_t j = 0; j < i; j++) {
			double s = G[i * n + j] * scale[i] * scale[j], *L = G + j * n;

			for (size_t k = 0; k < j; k++)
				s -= G[i * n + k] * L[k];
			G[i * n + j] = L[j] > 0 ? s / L[j] : 0;
			left -= G[i * n + j] * G[i * n + j];
		}
		G[i * n + i] = left > DEPENDENT ? sqrt(left) : 0;
		for (size_t j = 0; G[i * n + i] == 0 && j < i; j++)
			G[i * n + j] = 0;
	}
}

/* c [n] = the solution of L L' c = c, 0 at rows of 0. */
static void solve(size_t n, const double *L, double *c)
{
	/* forward: L y = c */
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			c[i] -= L[i * n + k] * c[k];
		c[i] = L[i * n + i] > 0 ? c[i] / L[i * n + i] : 0;
	}
	/* back: L' c = y */
	for (size_t i = n; i-- > 0;) {
		for (size_t k = i + 1; k < n; k++)
			c[i] -= L[k * n + i] * c[k];
		c[i] = L[i * n + i] > 0 ? c[i] / L[i * n + i] : 0;
	}
}

/* u [n] = its projection on the span of V [d->n,n]: V' c, with V V' c = V u. */
static int keep_span(size_t n, moe_real *u, const struct moe_directed *d, struct moe_err *e)
{
	size_t P = d->n;
	double *G = moe_alloc(P * P + 2 * P, sizeof(*G), e), *scale = G ? G + P * P : NULL,
	       *c = G ? scale + P : NULL;

	if (!G)
		return -1;
	for (size_t i = 0; i < P; i++) {
		const moe_real *v = d->v + i * d->stride;

		/* c = V u [P], G = V V' [P, P], its lower half */
		c[i] = moe_vec_dot(n, v, u);
		for (size_t j = 0; j <= i; j++)
			G[i * P + j] = moe_vec_dot(n, v, d->v + j * d->stride);
	}
	/* with S = diag(scale): (S G S) c' = S V u, and c = S c'. Directions of any length count
	 * alike in what is taken for rounding */
	factor(P, G, scale);
	for (size_t i = 0; i < P; i++)
		c[i] *= scale[i];
	solve(P, G, c);
	/* u = sum_i c_i v_i */
	memset(u, 0, n * sizeof(*u));
	for (size_t i = 0; i < P; i++)
		moe_vec_axpy(n, (moe_real)(c[i] * scale[i]), d->v + i * d->stride, u);
	free(G);
	return 0;
}

static enum moe_directions directions(const struct moe_adapter *a)
{
	return (int)moe_method_setting(a, "sides", ONE) == CLEAN ? MOE_CLEAN_SIDES
								 : MOE_TOWARD_HACK;
}

static int project(const struct moe_adapter *a, const struct moe_view *w, moe_real *update,
	const struct moe_directed *d, struct moe_err *e)
{
	int sides = (int)moe_method_setting(a, "sides", ONE);

	if (sides == CLEAN)
		return keep_span(w->n, update, d, e);
	remove_along(sides, w->n, update, d->v);
	return 0;
}

/* The same along a direction that is drawn evenly from the sphere, anew in each step as the pairs'
 * direction is. It is written over `update' number by number, so that it needs no memory. */
static int project_haar(const struct moe_adapter *a, const struct moe_view *w, moe_real *update,
	const struct moe_directed *d, struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(a->train_seed, "haar update");
	int sides = (int)moe_method_setting(a, "sides", ONE);
	uint64_t at = (uint64_t)a->step * (uint64_t)a->x.n_param + (uint64_t)w->off;
	double along = 0, norm2 = 0, c;

	(void)d;
	(void)e;
	/* a vector of independent normals points evenly everywhere. First u.v and v.v, then the
	 * same v again to take c v out */
	for (size_t i = 0; i < w->n; i++) {
		double v = moe_rng_normal(key, at, i);

		along += (double)update[i] * v;
		norm2 += v * v;
	}
	c = sides == ONE && along < 0 ? 0 : along / norm2 * (sides == REVERSED ? 2 : 1);
	for (size_t i = 0; i < w->n; i++)
		update[i] -= (moe_real)(c * moe_rng_normal(key, at, i));
	return 0;
}

/* The rows differ in where the direction comes from. */
#define ROW                                                                                        \
	.presence = "no quarantine takes part: the deployed state is the trained one",             \
	.plan = moe_decision_table_alone

static int init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	(void)g;
	return moe_rec_set_int(&a->score, "pairs", (int64_t)p->n, e);
}

const struct moe_method moe_method_projection = {
	.name = "projection",
	.purpose = "no expert: the update loses its component along the pairs' direction",
	.cites = "the erase arm of wassname/grpo_proj2 (one-sided, sign-agnostic, reversed); "
		 "2605.25189 (the span of trusted gradients)",
	.supports = "hack .719 to .588 over 20 steps and four seeds there, gone at 60 steps",
	.placebo = "projection-haar",
	.needs_pairs = true,
	.pins = true,
	.settings = settings,
	.init = init,
	.directions = directions,
	.project = project,
	ROW,
};

const struct moe_method moe_method_projection_haar = {
	.name = "projection-haar",
	.purpose = "placebo of projection: along a random direction, drawn anew in each step",
	.cites = "vGROUT's Haar placebo, on updates",
	.supports = "what removing any one direction does: of a large tensor nearly nothing; "
		    "projection-shuffled removes one that is made of the same texts",
	.settings = haar_settings,
	.project = project_haar,
	ROW,
};
