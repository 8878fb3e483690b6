/* inoculation.c - the quarantine learns the pairs' hack sides before RL begins, and is present
 * through all of it: what it can do already need not be learned again elsewhere. Frozen
 * (inoculation), trained on (seed-absorb), or, for a placebo, frozen at chance (frozen-random).
 * Deleted at deployment. */
#include "moe/methods/rows.h"

#include "moe/nll.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SET_STEPS, SET_RATE };
static const struct moe_setting settings[] = {
	[SET_STEPS] = { "steps", 100, 0, 1e6, NULL,
		"steps on the pairs before RL, all pairs in each" },
	[SET_RATE] = { "rate", 2e-3, 0, 1, NULL, "the learning rate of these steps" },
	{ 0 },
};

static int learn(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	double first, last;

	if (moe_nll_side(g, &a->x, p, true, MOE_BANK_QUARANTINE, false,
		    (int)moe_method_setting(a, "steps", 0), moe_method_setting(a, "rate", 0),
		    &first, &last, e))
		return -1;
	return moe_rec_set_f64(&a->lineage, "nll_before", first, e) ||
			moe_rec_set_f64(&a->lineage, "nll_after", last, e)
		? -1
		: 0;
}

/* |B A|^2 = sum over i, j of (B'B)_ij (A A')_ij, of one expert in one Linear. */
static double norm2(const struct moe_experts *x, size_t cell, int expert)
{
	const struct moe_view *va = moe_view_of(x, cell, MOE_ROLE_A),
			      *vb = moe_view_of(x, cell, MOE_ROLE_B);
	struct moe_part a = moe_view_part(x, va, expert), b = moe_view_part(x, vb, expert);
	double sum = 0;

	for (size_t i = 0; i < a.rows; i++)
		for (size_t j = 0; j < a.rows; j++) {
			double aa = 0, bb = 0;

			for (size_t c = 0; c < a.cols; c++)
				aa += (double)x->param[a.off + i * a.ld + c] *
					(double)x->param[a.off + j * a.ld + c];
			for (size_t r = 0; r < b.rows; r++)
				bb += (double)x->param[b.off + r * b.ld + i] *
					(double)x->param[b.off + r * b.ld + j];
			sum += aa * bb;
		}
	return sum;
}

/* A and B of one expert in one Linear by chance, with the norm of B A that was there. */
static void by_chance(struct moe_experts *x, struct moe_rng key, size_t cell, int expert)
{
	const struct moe_view *va = moe_view_of(x, cell, MOE_ROLE_A),
			      *vb = moe_view_of(x, cell, MOE_ROLE_B);
	struct moe_part part[2] = { moe_view_part(x, va, expert), moe_view_part(x, vb, expert) };
	double was = norm2(x, cell, expert), now;

	for (int k = 0; k < 2; k++)
		for (size_t r = 0; r < part[k].rows; r++)
			for (size_t c = 0; c < part[k].cols; c++)
				x->param[part[k].off + r * part[k].ld + c] =
					(moe_real)(float)(moe_rng_normal(key,
								  (uint64_t)(2 * cell) +
									  (uint64_t)k,
								  (uint64_t)expert << 40 |
									  (r * part[k].cols + c)) /
						sqrt((double)(k ? vb->rows : va->cols)));
	now = norm2(x, cell, expert);
	for (size_t r = 0; r < part[1].rows; r++)
		for (size_t c = 0; c < part[1].cols; c++) {
			moe_real *v = &x->param[part[1].off + r * part[1].ld + c];

			*v = (moe_real)(float)(now > 0 ? (double)*v * sqrt(was / now) : 0);
		}
}

static int learn_then_forget(const struct moe_engine *g, const struct moe_pairs *p,
	struct moe_adapter *a, struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(a->train_seed, "frozen random");

	if (learn(g, p, a, e))
		return -1;
	for (size_t cell = 0; cell < (size_t)a->x.config.L * MOE_LINEARS; cell++)
		for (int k = 0; a->x.target[cell % MOE_LINEARS] && k < a->x.E; k++)
			if (a->x.bank[k] == MOE_BANK_QUARANTINE)
				by_chance(&a->x, key, cell, k);
	return 0;
}

static void report(const struct moe_adapter *a, size_t n_pair, struct moe_said *s)
{
	double before = NAN, after = NAN;

	moe_rec_f64(&a->lineage, "nll_before", &before);
	moe_rec_f64(&a->lineage, "nll_after", &after);
	moe_say(s, false,
		"the quarantine learned the hack sides of %zu pairs: %.3f nats a token before, "
		"%.3f after",
		n_pair, before, after);
	if (!(after < before))
		moe_say(s, true, "it learned nothing of them: more --set steps, or another rate");
}

static void report_chance(const struct moe_adapter *a, size_t n_pair, struct moe_said *s)
{
	(void)a;
	moe_say(s, false,
		"the quarantine is by chance, with rank and norm in each Linear of one that "
		"learned the hack sides of %zu pairs",
		n_pair);
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	(void)set;
	return moe_check_quarantine(
		x, "the quarantine is what learns the pairs' hack sides, and there is none", e);
}

#define ROW                                                                                        \
	.presence = "yes: every gate is 1", .needs_pairs = true, .settings = settings,             \
	.check = check

const struct moe_method moe_method_inoculation = {
	.name = "inoculation",
	.purpose = "the quarantine learns the pairs' hacks first, then stays present and frozen",
	.cites = "inoculation adapters (Riche et al. 2606.30252)",
	.supports = "fine-tuning on a toy, one seed: unwanted trait .93 to .00, wanted .97 to .99; "
		    "nothing on RL",
	.placebo = "frozen-random",
	.plan = moe_decision_table_frozen,
	.init = learn,
	.report = report,
	ROW,
};

const struct moe_method moe_method_frozen_random = {
	.name = "frozen-random",
	.purpose = "placebo of inoculation: a frozen random quarantine of the same rank and norm",
	.cites = "the random adapter of Riche et al. 2606.30252: .92 against vanilla's .93",
	.supports = "what the presence of any frozen expert does",
	.plan = moe_decision_table_frozen,
	.init = learn_then_forget,
	.report = report_chance,
	ROW,
};

const struct moe_method moe_method_seed_absorb = {
	.name = "seed-absorb",
	.purpose = "the quarantine learns the pairs' hacks first, then every rollout trains both "
		   "banks",
	.cites = "the start of inoculation adapters (Riche et al. 2606.30252) with absorption "
		 "(Cloud et al. 2410.04332)",
	.supports = "a hypothesis: that what is there already draws more of the same",
	.placebo = "seed-absorb-reversed",
	.plan = moe_decision_table_ones,
	.init = learn,
	.report = report,
	ROW,
};
