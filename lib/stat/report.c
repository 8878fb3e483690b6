/* report.c - the analysis behind the report: verdict, presence, gate quality, and what the numbers
 * do not show. Writers are in report_*.c. */
#include "stat/report.h"

#include "model/experts.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void moe_text_add(struct moe_text *t, const char *p, size_t n)
{
	if (!t->bad)
		t->bad = moe_buf_add(t->b, p, n, t->e);
}

void moe_text_f(struct moe_text *t, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof line) {
		moe_text_add(t, line, (size_t)n);
		return;
	}
	char *big = n < 0 ? NULL : malloc((size_t)n + 1);
	if (!big) {
		t->bad = t->bad
			? t->bad
			: moe_fail(t->e, MOE_SYSTEM, "out of memory for a line of the report");
		return;
	}
	va_start(ap, fmt);
	vsnprintf(big, (size_t)n + 1, fmt, ap);
	va_end(ap);
	moe_text_add(t, big, (size_t)n);
	free(big);
}

const struct moe_arm_row *moe_report_row(const struct moe_method_result *m, enum moe_arm_kind k)
{
	for (size_t i = 0; m && i < m->n_row; i++)
		if (m->row[i].kind == k)
			return &m->row[i];
	return NULL;
}

const char *moe_report_role(const struct moe_method_result *m)
{
	return m->skyline                 ? " (BOUND: paid by the oracle; no evidence)"
		: m->tested && m->oracle  ? " (tested)  CHEATS: oracle labels"
		: m->tested               ? " (tested)"
		: m->placebo && m->oracle ? " (placebo)  CHEATS: oracle labels"
		: m->placebo              ? " (placebo)"
		: m->oracle               ? "  CHEATS: oracle labels"
		: m->vanilla              ? " (vanilla twin)"
					  : "";
}

struct moe_ci moe_report_ci(const struct moe_rate *x)
{
	return isnan(x->seeds.lo) ? x->ci : x->seeds;
}

double moe_report_mode_rate(
	const struct moe_mode_row *x, const struct moe_arm_row *like, enum moe_outcome o)
{
	for (size_t i = 0; i < x->n_arm; i++)
		if (x->arm[i].kind == like->kind && !strcmp(x->arm[i].name, like->name))
			return x->arm[i].rate[o].value;
	return NAN;
}

double moe_report_round(double v, int digits)
{
	return fabs(v) < 0.5 * pow(10, -digits) ? 0 : v;
}

struct moe_presence moe_report_presence(
	const struct moe_report *r, const struct moe_metrics_run *run)
{
	const struct moe_metrics *m = &r->metrics;
	struct moe_presence p = { .min_gate = NAN, .zero_share = NAN };
	char key[64];

	moe_metrics_mean(m, run, "presence/quarantine/min_gate", &p.min_gate, NULL);
	p.zero_share = moe_metrics_mean(m, run, "presence/quarantine/zero_share", NULL, NULL);
	for (int b = 0; b < MOE_BANKS; b++) {
		snprintf(key, sizeof key, "update_mass/%s", moe_bank_names[b]);
		p.mass[b] = moe_metrics_mean(m, run, key, NULL, NULL);
	}
	p.keep = moe_metrics_mean(m, run, "route/keep", NULL, NULL);
	p.absorb = moe_metrics_mean(m, run, "route/absorb", NULL, NULL);
	p.route = moe_metrics_mean(m, run, "route/route", NULL, NULL);
	int64_t k = moe_names_find(&m->key, "reward"), last = 0;
	for (size_t i = 0; run && i < run->n; i++)
		last = run->point[i].step > last ? run->point[i].step : last;
	double sum[2] = { 0, 0 }, n[2] = { 0, 0 }; /* first and last tenth of the steps */
	for (size_t i = 0; run && k >= 0 && i < run->n; i++) {
		double at = (double)run->point[i].step / (double)(last ? last : 1),
		       v = run->point[i].value;
		int end = at >= 0.9;
		if (run->point[i].key != (uint32_t)k || isnan(v) || (at > 0.1 && !end))
			continue;
		sum[end] += v;
		n[end]++;
	}
	p.reward_first = n[0] > 0 ? sum[0] / n[0] : NAN;
	p.reward_last = n[1] > 0 ? sum[1] / n[1] : NAN;
	p.known = !isnan(p.min_gate) && !isnan(p.zero_share);
	p.held = p.known && p.min_gate >= r->a.uat.presence_min_gate &&
		p.zero_share <= r->a.uat.presence_zero_max;
	return p;
}

struct moe_match moe_report_match(const struct moe_report *r)
{
	struct moe_match x = { 0, NAN, NAN, 0 };

	for (size_t i = 0; i < r->n_fact; i++) {
		const struct moe_fact *f = &r->fact[i];
		double scale;
		if (strcmp(f->group, "match") || strcmp(f->method, r->a.uat.method) ||
			moe_arm_kind(f->arm, &scale) != MOE_ARM_RANDOM ||
			(moe_handed_on(&r->a.uat, f->method) && strncmp(f->arm, "experts-off", 11)))
			continue;
		if (!strcmp(f->key, "ratio")) {
			x.least = fmin(x.least, f->value);
			x.most = fmax(x.most, f->value);
			x.n++;
		} else if (!strcmp(f->key, "overlap")) {
			x.overlap += f->value;
		}
	}
	x.overlap = x.n ? x.overlap / (double)x.n : NAN;
	return x;
}

static int by_gate(const void *a, const void *b)
{
	const struct moe_gate_run *x = a, *y = b;
	int c = strcmp(x->method, y->method);

	return c ? c : (x->seed > y->seed) - (x->seed < y->seed);
}

/* Which evaluations name the registration, and whether the conditions are still those. */
static void check_registration(struct moe_report *r)
{
	struct moe_registration *g = &r->registered;

	g->changed = strcmp(g->uat, r->a.uat.digest) != 0;
	for (size_t i = 0; i < r->n_source; i++) {
		bool named = false;
		if (strcmp(r->source[i].kind, "rollouts"))
			continue;
		for (size_t k = 0; k < r->source[i].n_from; k++)
			named |= g->digest[0] && !strcmp(r->source[i].from[k], g->digest);
		g->evaluations++;
		g->named += named;
	}
}

static void forget(struct moe_arm_row *row, size_t n, int o, size_t n_seed)
{
	const struct moe_ci none = { NAN, NAN };

	for (size_t i = 0; i < n; i++) {
		struct moe_rate *x = &row[i].rate[o];
		x->value = NAN;
		x->ci = x->seeds = none;
		for (size_t k = 0; k < n_seed; k++)
			x->per_seed[k] = NAN;
	}
}

/* Nothing is tested where a finding is not known: every run's arms then stand side by side, under
 * the name of the method and theirs. */
static int fold_methods(struct moe_obs *o, struct moe_err *e)
{
	for (size_t i = 0; i < o->n_run; i++) {
		struct moe_obs_run *run = &o->run[i];
		for (size_t k = 0; k < run->n_arm && run->method[0]; k++) {
			struct moe_buf b = { 0 };
			int bad = moe_buf_addf(&b, e, "%s, %s", run->method, run->arm[k].name);
			if (!bad)
				run->arm[k].name = moe_arena_str(
					&o->arena, (char *)b.data, b.len, e);
			moe_buf_free(&b);
			if (bad || !run->arm[k].name)
				return -1;
			run->arm[k].kind = MOE_ARM_OTHER;
		}
		run->method = "";
	}
	return 0;
}

/* An outcome that no rollout tells has no rate. */
static void forget_unknown(struct moe_report *r)
{
	struct moe_method_result *m = r->a.method;

	for (int o = 0; o < MOE_OUTCOMES; o++) {
		if (!r->unknown[o])
			continue;
		forget(m->row, m->n_row, o, m->n_seed);
		for (size_t i = 0; i < m->n_mode; i++)
			forget(m->mode[i].arm, m->mode[i].n_arm, o, m->n_seed);
	}
	snprintf(r->a.verdict.why, sizeof r->a.verdict.why,
		"the findings do not say whether a rollout %s, so these are rates of %s alone",
		r->unknown[MOE_HACK] ? "hacked" : "solved",
		r->unknown[MOE_HACK] ? "solve" : "hack");
}

/* The conditions, with what the data say where these do not. */
static int complete_uat(struct moe_report *r, struct moe_uat *u, struct moe_err *e)
{
	for (int o = 0; o < MOE_OUTCOMES; o++)
		if (r->unknown[o] && r->unknown[o] < r->n_graded)
			return moe_fail(e, MOE_DATA,
				"%zu of %zu rollouts do not say whether they %s, and the others "
				"do: give the two kinds apart",
				r->unknown[o], r->n_graded, o == MOE_HACK ? "hacked" : "solved");
	if (u->n_pinned)
		return 0;
	for (size_t i = 0; i < r->pinned.n && u->n_pinned < MOE_UAT_MODES; i++)
		if (strlen(r->pinned.v[i]) < MOE_UAT_NAME)
			memcpy(u->pinned[u->n_pinned++], r->pinned.v[i],
				strlen(r->pinned.v[i]) + 1);
	return 0;
}

int moe_report_analyse(struct moe_report *r, const struct moe_uat *uat, uint64_t seed,
	struct moe_pool *pool, struct moe_err *e)
{
	struct moe_uat u = *uat;

	if (!r->obs.n_run)
		return moe_fail(e, MOE_DATA, "no graded rollouts were given");
	u.alone = r->unknown[MOE_HACK] || r->unknown[MOE_SOLVE];
	u.deploy = r->deploy;
	if (!u.alone)
		moe_report_unmatched(r, &u);
	if (complete_uat(r, &u, e) || (u.alone && fold_methods(&r->obs, e)) ||
		moe_obs_finish(&r->obs, e) || moe_analyse(&r->a, &r->obs, &u, seed, pool, e))
		return -1;
	if (u.alone)
		forget_unknown(r);
	moe_report_samples_sort(r);
	for (size_t i = 0; i < r->n_gate; i++)
		if (moe_gate_judge(&r->gate[i], seed, u.alpha, e))
			return -1;
	if (r->n_gate)
		qsort(r->gate, r->n_gate, sizeof *r->gate, by_gate);
	if (r->registered.date)
		check_registration(r);
	r->has_base = moe_report_row(r->a.tested, MOE_ARM_BASE) != NULL;
	return moe_report_router(r, e) || moe_report_notes(r, e) ? -1 : 0;
}
