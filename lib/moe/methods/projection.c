/* projection.c - no expert is deleted: what a user would do instead. Each step's update loses its
 * component along the direction in which the pairs' hack sides become likelier than their clean
 * ones, tensor by tensor. Not the gradient: AdamW's moments would bring the component back. */
#include "moe/methods/rows.h"

#include "util/rng.h"

enum { SET_SIDES };
static const struct moe_setting settings[] = {
	[SET_SIDES] = { "sides", 0, 0, 0, "one|always|reversed",
		"what is removed: motion toward the hack, any along it, or twice that" },
	{ 0 },
};
enum { ONE, ALWAYS, REVERSED };

/* c = u.v / v.v;  u -= max(c, 0) v (one), c v (always), 2 c v (reversed: pushed away as far) */
static void remove_along(int sides, size_t n, moe_real *u, const moe_real *v)
{
	double dot = 0, norm2 = 0, c;

	for (size_t i = 0; i < n; i++) {
		dot += (double)u[i] * (double)v[i];
		norm2 += (double)v[i] * (double)v[i];
	}
	if (!(norm2 > 0))
		return;
	c = dot / norm2;
	if (sides == ONE && c < 0)
		return;
	if (sides == REVERSED)
		c *= 2;
	for (size_t i = 0; i < n; i++)
		u[i] -= (moe_real)(c * (double)v[i]);
}

static void project(const struct moe_adapter *a, const struct moe_view *w, moe_real *update,
	const moe_real *toward)
{
	remove_along((int)moe_method_setting(a, "sides", 0), w->n, update, toward);
}

/* The same along a direction that is drawn evenly from the sphere, anew in each step as the pairs'
 * direction is. It is written over `update' number by number, so that it needs no memory. */
static void project_haar(const struct moe_adapter *a, const struct moe_view *w, moe_real *update,
	const moe_real *toward)
{
	struct moe_rng key = moe_rng_key(a->train_seed, "haar update");
	int sides = (int)moe_method_setting(a, "sides", 0);
	uint64_t at = (uint64_t)a->step * (uint64_t)a->x.n_param + (uint64_t)w->off;
	double dot = 0, norm2 = 0, c;

	(void)toward;
	for (size_t i = 0; i < w->n; i++) {
		double v = moe_rng_normal(key, at, i);

		dot += (double)update[i] * v;
		norm2 += v * v;
	}
	c = sides == ONE && dot < 0 ? 0 : dot / norm2 * (sides == REVERSED ? 2 : 1);
	for (size_t i = 0; i < w->n; i++)
		update[i] -= (moe_real)(c * moe_rng_normal(key, at, i));
}

/* The rows differ in where the direction comes from. */
#define ROW                                                                                        \
	.presence = "no quarantine takes part: the deployed state is the trained one",             \
	.settings = settings, .plan = moe_decision_table_alone

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
		 "projected updates as in 2605.25189",
	.supports = "hack .719 to .588 over 20 steps and four seeds there, gone at 60 steps",
	.placebo = "projection-haar",
	.needs_pairs = true,
	.pins = true,
	.init = init,
	.project = project,
	ROW,
};

const struct moe_method moe_method_projection_haar = {
	.name = "projection-haar",
	.purpose = "placebo of projection: along a random direction, drawn anew in each step",
	.cites = "vGROUT's Haar placebo, on updates",
	.supports = "what removing any one direction does: of a large tensor nearly nothing; "
		    "projection-shuffled removes one that is made of the same texts",
	.project = project_haar,
	ROW,
};
