/* absorb.c - nothing is decided: every rollout trains both banks, and where the experts begin is
 * all that may tell them apart (absorb, by its setting init; scorda and its reverse, seeded by the
 * pairs).
 *
 * An expert that begins at A0, B0 computes B A x - B0 A0 x: nothing at first (moe/inits.h). Rows of
 * A0 and columns of B0 have length 1, but for the Gaussian. */
#include "moe/methods/rows.h"

#include "moe/inits.h"
#include "util/rng.h"

#include <math.h>

enum { INIT_ZERO, INIT_GAUSSIAN, INIT_PISSA, INIT_CORDA };
enum { SET_INIT };
static const struct moe_setting settings[] = {
	[SET_INIT] = { "init", 0, 0, 0, "zero|gaussian|pissa|corda",
		"where A and B begin: B at 0, both at chance, on directions of W, of W and the "
		"pairs" },
	{ 0 },
};

static bool anchored(const double *set)
{
	return set[SET_INIT] != INIT_ZERO;
}

static bool always_anchored(const double *set)
{
	(void)set;
	return true;
}

/* A0 ~ N(0, 1/in), B0 ~ N(0, 1/n), n ranks in all. */
static int begin_gaussian(const struct moe_adapter *a, const struct moe_begin *q, struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(a->train_seed, "gaussian init");
	size_t na = (size_t)q->n * (size_t)q->in, nb = (size_t)q->n * (size_t)q->out;

	(void)e;
	for (size_t i = 0; i < na; i++)
		q->a[i] = moe_rng_normal(key, 2 * q->cell, i) / sqrt(q->in);
	for (size_t i = 0; i < nb; i++)
		q->b[i] = moe_rng_normal(key, 2 * q->cell + 1, i) / sqrt(q->n);
	return 0;
}

static int begin_directions(
	const struct moe_adapter *a, const struct moe_begin *q, struct moe_err *e)
{
	(void)a;
	return moe_begin_dealt(q, true, e);
}

static int begin_scorda(const struct moe_adapter *a, const struct moe_begin *q, struct moe_err *e)
{
	(void)a;
	return moe_begin_seeded(q, q->n_deployed, e);
}

static int begin_reverse(const struct moe_adapter *a, const struct moe_begin *q, struct moe_err *e)
{
	(void)a;
	return moe_begin_seeded(q, 0, e);
}

static int init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	switch ((int)moe_method_setting(a, "init", INIT_ZERO)) {
	case INIT_GAUSSIAN:
		return moe_begin_at(g, NULL, a, begin_gaussian, e);
	case INIT_PISSA:
		return moe_begin_at(g, NULL, a, begin_directions, e);
	case INIT_CORDA:
		return moe_begin_at(g, p, a, begin_directions, e);
	}
	return 0;
}

static int init_scorda(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	return moe_begin_at(g, p, a, begin_scorda, e);
}

static int init_reverse(const struct moe_engine *g, const struct moe_pairs *p,
	struct moe_adapter *a, struct moe_err *e)
{
	return moe_begin_at(g, p, a, begin_reverse, e);
}

/* Seeding needs a slot to be seeded, and one that is not. */
static int check_banks(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	int of[2] = { 0, 0 };

	(void)set;
	for (int i = 0; i < x->E; i++)
		of[x->bank[i] == MOE_BANK_QUARANTINE]++;
	return of[0] && of[1]
		? 0
		: moe_fail(e, MOE_USAGE,
			  "the directions are dealt to a quarantine and to experts outside of it: "
			  "one of the two is missing");
}

const struct moe_method moe_method_absorb = {
	.name = "absorb",
	.purpose = "every rollout trains both banks; where they begin tells them apart",
	.cites = "vGROUT's routing without routes; PiSSA (Meng et al. 2404.02948), CorDA (Yang et "
		 "al. 2406.05223) with the pairs' contrast as inputs",
	.supports = "PiSSA and CorDA support faster fine-tuning and keeping of knowledge, nothing "
		    "about where a behaviour lands",
	.presence = "yes: every gate is 1",
	.placebo = "vanilla",
	.needs_pairs = true,
	.settings = settings,
	.plan = moe_decision_table_ones,
	.anchored = anchored,
	.check = check_banks,
	.init = init,
};

/* The two differ in which bank has the seed. */
#define SEEDED                                                                                     \
	.presence = "yes: every gate is 1", .needs_pairs = true, .plan = moe_decision_table_ones,  \
	.anchored = always_anchored, .check = check_banks

const struct moe_method moe_method_scorda = {
	.name = "scorda",
	.purpose = "absorb, the quarantine seeded with the pairs' signed direction in each Linear",
	.cites = "vGROUT's signed CorDA; its headline is one seed with 14 against 13 of 87 solved",
	.supports = "a hypothesis: that the easiest way for a hack to be learned is where its "
		    "direction lies",
	.placebo = "scorda_rev",
	.init = init_scorda,
	SEEDED,
};

const struct moe_method moe_method_scorda_rev = {
	.name = "scorda_rev",
	.purpose = "control of scorda: the seed in the clean bank, the quarantine without it",
	.cites = "vGROUT's reverse of signed CorDA",
	.supports = "if the seed decides, deleting the quarantine removes less here than in scorda",
	.init = init_reverse,
	SEEDED,
};
