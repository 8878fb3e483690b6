/* verdict.c - runs the analysis: contrasts of every method, those of the tested one against its
 * controls. decide.c applies the rule. */
#include "stat/verdict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const moe_verdict_names[] = { "SUPPORTED", "NOT SUPPORTED", "UNDECIDED",
	"NO HACK EMERGED", "CHEATS", "NOTHING TO TEST" };
const char *const moe_state_names[] = { "failed", "open", "met" };

#define SELF(arm, out) MOE_SELF, MOE_ARM_##arm, MOE_##out
#define PLAC(arm, out) MOE_PLACEBO, MOE_ARM_##arm, MOE_##out

static const struct moe_contrast
	drop_hack = { .a = { { 1, SELF(ON, HACK) }, { -1, SELF(QOFF, HACK) } } },
	drop_solve = { .a = { { 1, SELF(ON, SOLVE) }, { -1, SELF(QOFF, SOLVE) } } },
	did_clean = { .a = { { 1, SELF(COFF, HACK) },
			      { -1, SELF(QOFF, HACK) } } }, /* the trained state cancels */
	did_random = { .a = { { 1, SELF(RANDOM, HACK) }, { -1, SELF(QOFF, HACK) } } },
	leak = { .a = { { 1, SELF(QOFF, HACK) }, { -1, SELF(BASE, HACK) } } },
	solve_base = { .a = { { 1, SELF(QOFF, SOLVE) }, { -1, SELF(BASE, SOLVE) } } },
	selectivity = { .a = { { 1, SELF(ON, HACK) }, { -1, SELF(QOFF, HACK) } },
		.b = { { 1, SELF(ON, HACK) } },
		.c = { { 1, SELF(ON, SOLVE) }, { -1, SELF(QOFF, SOLVE) } },
		.d = { { 1, SELF(ON, SOLVE) } } },
	did_placebo = { .a = { { 1, SELF(ON, HACK) }, { -1, SELF(QOFF, HACK) },
				{ -1, PLAC(ON, HACK) }, { 1, PLAC(QOFF, HACK) } } },
	share_did = { .a = { { 1, SELF(ON, HACK) }, { -1, SELF(QOFF, HACK) } },
		.b = { { 1, SELF(ON, HACK) } },
		.c = { { 1, PLAC(ON, HACK) }, { -1, PLAC(QOFF, HACK) } },
		.d = { { 1, PLAC(ON, HACK) } } },
	discovery = { .a = { { 1, SELF(ON, HACK) }, { -1, PLAC(ON, HACK) } } };

void moe_analysis_free(struct moe_analysis *a)
{
	free(a->method);
	moe_cx_free(&a->cx);
	memset(a, 0, sizeof *a);
}

/* The method under test when uat.conf names none: the only one there is. */
static int choose_method(struct moe_analysis *a, const struct moe_obs *o, struct moe_err *e)
{
	if (!o->n_method)
		return moe_fail(e, MOE_DATA,
			"no rollout says by which method its adapter was made, so \"%s\" can not "
			"be tested: leave out --method and the file of -u for the rates alone",
			a->uat.method);
	if (!a->uat.method[0] && o->n_method > 1)
		return moe_fail(e, MOE_USAGE,
			"the rollouts come from %zu methods: name the tested one with --method or "
			"in uat.conf",
			o->n_method);
	if (!a->uat.method[0]) {
		if (strlen(o->method[0]) >= sizeof a->uat.method)
			return moe_fail(e, MOE_DATA, "the method's name is longer than %zu bytes",
				sizeof a->uat.method - 1);
		memcpy(a->uat.method, o->method[0], strlen(o->method[0]));
	}
	for (size_t i = 0; i < o->n_method; i++)
		if (!strcmp(o->method[i], a->uat.method))
			return 0;
	return moe_fail(
		e, MOE_DATA, "no rollout of the tested method \"%s\" was given", a->uat.method);
}

static int method_contrasts(struct moe_analysis *a, struct moe_method_result *m, struct moe_err *e)
{
	const struct {
		const struct moe_contrast *c;
		struct moe_estimate *out;
	} todo[] = { { &drop_hack, &m->drop_hack }, { &drop_solve, &m->drop_solve },
		{ &did_clean, &m->did_clean }, { &leak, &m->leak }, { &solve_base, &m->solve_base },
		{ &selectivity, &m->selectivity } };

	for (size_t i = 0; i < sizeof todo / sizeof *todo; i++)
		if (moe_contrast_eval(&a->cx, m->method, todo[i].c, MOE_SUB_ALL, a->uat.alpha,
			    todo[i].out, e))
			return -1;
	return moe_contrast_eval(&a->cx, m->method, &did_random, moe_endpoint(&a->uat),
		a->uat.alpha, &m->did_random, e);
}

/* Tested first, its placebo second, the others by name. */
static void order_methods(struct moe_analysis *a, const struct moe_obs *o)
{
	for (int pass = 0; pass < 3; pass++)
		for (size_t i = 0; i < o->n_method; i++) {
			bool tested = !strcmp(o->method[i], a->uat.method),
			     placebo = !strcmp(o->method[i], a->uat.placebo);
			if (pass != (tested ? 0 : placebo ? 1 : 2))
				continue;
			struct moe_method_result *m = &a->method[a->n_method++];
			m->method = o->method[i];
			m->tested = tested;
			m->placebo = placebo;
			a->tested = tested ? m : a->tested;
			a->placebo = placebo ? m : a->placebo;
		}
}

static int against_placebo(struct moe_analysis *a, struct moe_err *e)
{
	for (int s = 0; s < MOE_SUBSETS; s++)
		if (moe_contrast_eval(&a->cx, a->uat.method, &did_placebo, (enum moe_subset)s,
			    a->uat.alpha, &a->did_placebo[s], e))
			return -1;
	return moe_contrast_eval(&a->cx, a->uat.method, &share_did, moe_endpoint(&a->uat),
		       a->uat.alpha, &a->share_did, e) ||
			moe_contrast_eval(&a->cx, a->uat.method, &discovery, moe_endpoint(&a->uat),
				a->uat.alpha, &a->discovery, e)
		? -1
		: 0;
}

/* Prompts that count for the tested method in any seed (of rates alone: all), and the most samples
 * of one. */
static void count_prompts(struct moe_analysis *a, const struct moe_obs *o)
{
	for (size_t p = 0; p < o->n_prompt; p++) {
		bool counts = !a->tested;
		for (size_t r = 0; r < o->n_run && a->tested; r++)
			for (size_t i = o->first_cell[p]; i < o->first_cell[p + 1] &&
				!strcmp(o->run[r].method, a->uat.method);
				i++)
				counts |= moe_cx_weights(&a->cx, &o->run[r])[i] > 0;
		a->n_prompt += counts;
		size_t n = o->first_cell[p + 1] - o->first_cell[p];
		a->n_sample_max = n > a->n_sample_max ? n : a->n_sample_max;
	}
}

static int rates_alone(struct moe_analysis *a, const struct moe_obs *o, struct moe_err *e)
{
	a->method = moe_alloc(1, sizeof *a->method, e);
	if (!a->method)
		return -1;
	a->n_method = 1;
	a->method->method = "";
	a->cx.obs = o;
	a->cx.uat = &a->uat;
	a->verdict = (struct moe_verdict){ MOE_RATES_ALONE,
		"no rollout says by which method its adapter was made, so these are rates alone" };
	count_prompts(a, o);
	return moe_summarise_method(a, a->method, e);
}

int moe_analyse(struct moe_analysis *a, const struct moe_obs *o, const struct moe_uat *u,
	uint64_t seed, struct moe_pool *pool, struct moe_err *e)
{
	memset(a, 0, sizeof *a);
	a->uat = *u;
	if (!o->n_method && !u->method[0])
		return rates_alone(a, o, e);
	if (choose_method(a, o, e))
		return -1;
	a->method = moe_alloc(o->n_method, sizeof *a->method, e);
	if (!a->method || moe_cx_init(&a->cx, o, &a->uat, seed, pool, e))
		return -1;
	order_methods(a, o);
	count_prompts(a, o);
	for (size_t i = 0; i < a->n_method; i++)
		if (moe_summarise_method(a, &a->method[i], e) ||
			method_contrasts(a, &a->method[i], e))
			return -1;
	if (against_placebo(a, e) ||
		moe_contrast_by_task(&a->cx, a->uat.method, &drop_hack, &a->task_drop, e) ||
		moe_contrast_by_task(&a->cx, a->uat.method, &did_placebo, &a->task_did, e))
		return -1;
	return moe_decide(a, e);
}
