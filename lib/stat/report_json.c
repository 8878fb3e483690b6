/* report_json.c - the report as one JSON object; numbers that are not defined are null. */
#include "stat/report.h"

#include "formats/json.h"

#include <math.h>
#include <string.h>

static void str(struct moe_text *t, const char *key, const char *v)
{
	if (key)
		moe_text_f(t, "\"%s\":", key);
	if (!t->bad)
		t->bad = moe_json_quote(t->b, v, strlen(v), t->e);
}

static void num(struct moe_text *t, const char *key, double v)
{
	if (key)
		moe_text_f(t, "\"%s\":", key);
	if (isfinite(v))
		moe_text_f(t, "%.10g", v);
	else
		moe_text_f(t, "null");
}

static void nums(struct moe_text *t, const char *key, const double *v, size_t n)
{
	moe_text_f(t, "\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		if (i)
			moe_text_f(t, ",");
		num(t, NULL, v[i]);
	}
	moe_text_f(t, "]");
}

static void est(struct moe_text *t, const char *key, const struct moe_estimate *x)
{
	moe_text_f(t, "\"%s\":{", key);
	num(t, "value", x->value);
	moe_text_f(t, ",");
	nums(t, "interval", (const double[]){ x->ci.lo, x->ci.hi }, 2);
	moe_text_f(t, ",");
	nums(t, "bootstrap", (const double[]){ x->boot.lo, x->boot.hi }, 2);
	moe_text_f(t, ",");
	nums(t, "t_over_seeds", (const double[]){ x->t.lo, x->t.hi }, 2);
	moe_text_f(t, ",");
	num(t, "level", x->level);
	moe_text_f(t, ",");
	num(t, "se", x->se);
	moe_text_f(t, ",");
	num(t, "se_prompts", x->se_prompt);
	moe_text_f(t, ",\"seeds\":[");
	for (size_t i = 0; i < x->n_seed; i++)
		moe_text_f(t, "%s%lld", i ? "," : "", (long long)x->seed[i]);
	moe_text_f(t, "],");
	nums(t, "by_seed", x->per_seed, x->n_seed);
	moe_text_f(t, "}");
}

static void rate(struct moe_text *t, const char *key, const struct moe_rate *x, size_t n_seed)
{
	moe_text_f(t, "\"%s\":{", key);
	num(t, "rate", x->value);
	moe_text_f(t, ",");
	nums(t, "wilson", (const double[]){ x->ci.lo, x->ci.hi }, 2);
	moe_text_f(t, ",");
	nums(t, "over_seeds", (const double[]){ x->seeds.lo, x->seeds.hi }, 2);
	moe_text_f(t, ",\"outcomes\":%zu,", x->n_obs);
	nums(t, "by_seed", x->per_seed, n_seed);
	moe_text_f(t, "}");
}

static void arms(struct moe_text *t, const struct moe_arm_row *row, size_t n, size_t n_seed)
{
	moe_text_f(t, "\"arms\":[");
	for (size_t i = 0; i < n; i++) {
		moe_text_f(t, "%s{", i ? "," : "");
		str(t, "arm", moe_row_key(&row[i]));
		moe_text_f(t, ",\"arms\":%zu,\"prompts\":%zu,", row[i].n_arms, row[i].n_prompt);
		rate(t, "hack", &row[i].rate[MOE_HACK], n_seed);
		moe_text_f(t, ",");
		rate(t, "solve", &row[i].rate[MOE_SOLVE], n_seed);
		moe_text_f(t, "}");
	}
	moe_text_f(t, "]");
}

static void mode(struct moe_text *t, const struct moe_mode_row *x, bool alone, size_t n_seed)
{
	moe_text_f(t, "{");
	str(t, "mode", x->mode);
	moe_text_f(t, ",\"summary\":%s,\"pinned\":%s,\"prompts\":%zu,",
		x->summary ? "true" : "false", x->pinned ? "true" : "false", x->n_prompt);
	if (!x->summary) {
		arms(t, x->arm, x->n_arm, n_seed);
		moe_text_f(t, alone ? "" : ",");
	}
	if (!alone) {
		nums(t, "hack_on_off", (const double[]){ x->on[MOE_HACK], x->off[MOE_HACK] }, 2);
		moe_text_f(t, ",");
		nums(t, "solve_on_off", (const double[]){ x->on[MOE_SOLVE], x->off[MOE_SOLVE] }, 2);
	}
	if (x->summary) {
		moe_text_f(t, ",");
		est(t, "drop", &x->drop);
	}
	moe_text_f(t, "}");
}

/* Rates alone (nothing is tested) leave out every change and contrast. */
static void method(struct moe_text *t, const struct moe_method_result *m, bool alone)
{
	moe_text_f(t, "{");
	str(t, "method", m->method);
	moe_text_f(t,
		",\"tested\":%s,\"placebo\":%s,\"vanilla\":%s,\"bound\":%s,\"oracle\":%s,\"seeds\":[",
		m->tested ? "true" : "false", m->placebo ? "true" : "false",
		m->vanilla ? "true" : "false", m->skyline ? "true" : "false",
		m->oracle ? "true" : "false");
	for (size_t i = 0; i < m->n_seed; i++)
		moe_text_f(t, "%s%lld", i ? "," : "", (long long)m->seed[i]);
	moe_text_f(t, "],");
	arms(t, m->row, m->n_row, m->n_seed);
	moe_text_f(t, ",\"modes\":[");
	for (size_t i = 0; i < m->n_mode; i++) {
		moe_text_f(t, i ? "," : "");
		mode(t, &m->mode[i], alone, m->n_seed);
	}
	if (alone) {
		moe_text_f(t, "]}");
		return;
	}
	moe_text_f(t, "],");
	const struct {
		const char *key;
		const struct moe_estimate *x;
	} e[] = { { "drop_hack", &m->drop_hack }, { "drop_solve", &m->drop_solve },
		{ "did_clean", &m->did_clean }, { "did_random", &m->did_random },
		{ "leak", &m->leak }, { "solve_minus_base", &m->solve_base },
		{ "selectivity", &m->selectivity } };
	for (size_t i = 0; i < sizeof e / sizeof *e; i++) {
		est(t, e[i].key, e[i].x);
		moe_text_f(t, ",");
	}
	nums(t, "random_drops", m->random_drop, m->n_random);
	moe_text_f(t, ",");
	num(t, "rank_p", m->rank_p);
	moe_text_f(t, ",\"lost\":%zu,\"gained\":%zu,", m->lost, m->gained);
	num(t, "mcnemar_p", m->mcnemar);
	moe_text_f(t, "}");
}

static void criteria(struct moe_text *t, const struct moe_analysis *a)
{
	moe_text_f(t, ",\"criteria\":[");
	for (size_t i = 0; i < a->n_crit; i++) {
		const struct moe_criterion *c = &a->crit[i];
		moe_text_f(t, "%s{\"number\":%d,", i ? "," : "", c->number);
		str(t, "claim", c->claim);
		moe_text_f(t, ",");
		str(t, "state", moe_state_names[c->state]);
		moe_text_f(t, ",");
		est(t, "estimate", &c->est);
		moe_text_f(t, ",");
		num(t, "lower_bound", c->bound);
		moe_text_f(t, ",");
		num(t, "asked_above", c->threshold);
		moe_text_f(t, ",");
		num(t, "fails_below", c->fail_below);
		moe_text_f(t, ",");
		num(t, "p_fails", c->p_fail);
		moe_text_f(t, ",\"need_prompts\":%zu,\"need_seeds\":%zu,\"need_new_study\":%zu,",
			c->need_prompts, c->need_seeds, c->need_new);
		num(t, "chance", c->chance);
		moe_text_f(t, ",");
		str(t, "note", c->note);
		moe_text_f(t, "}");
	}
	moe_text_f(t, "]");
}

static void brief(struct moe_text *t, const char *key, const struct moe_brief *x)
{
	nums(t, key, (const double[]){ x->value, x->ci.lo, x->ci.hi }, 3);
}

/* Looks and evidence: what a plot over seeds is drawn from. */
static void course(struct moe_text *t, const struct moe_analysis *a)
{
	size_t look[MOE_LOOKS_MAX], n = moe_uat_looks(&a->uat, look);

	moe_text_f(t, ",\"schedule\":[");
	for (size_t i = 0; i < n; i++)
		moe_text_f(t, "%s%zu", i ? "," : "", look[i]);
	moe_text_f(t,
		"],\"next_look\":%zu,\"seeds_refused\":%zu,\"seeds_unlisted\":%zu,\"looks\":[",
		a->next_look, a->refused, a->unlisted);
	for (size_t i = 0; i < a->n_look; i++) {
		const struct moe_look *l = &a->look[i];
		moe_text_f(t, "%s{\"seeds\":%zu,\"scheduled\":%s,", i ? "," : "", l->n,
			l->scheduled ? "true" : "false");
		nums(t, "levels", (const double[]){ l->level_hack, l->level_solve }, 2);
		moe_text_f(t, ",");
		brief(t, "drop", &l->drop);
		moe_text_f(t, ",");
		brief(t, "advantage", &l->advantage);
		moe_text_f(t, ",");
		brief(t, "solve_off_on", &l->solve);
		moe_text_f(t, ",");
		brief(t, "uplift_over_asked", &l->uplift);
		moe_text_f(t, ",");
		str(t, "verdict", moe_verdict_names[l->kind]);
		moe_text_f(t, "}");
	}
	moe_text_f(t, "],\"evidence\":[");
	for (size_t i = 0; i < a->n_evidence; i++) {
		const struct moe_evidence *v = &a->evidence[i];
		moe_text_f(t, "%s{\"seed\":%lld,\"placebos\":%zu,\"best\":%s,\"passes\":%s,",
			i ? "," : "", (long long)v->seed, v->placebos, v->best ? "true" : "false",
			v->passes ? "true" : "false");
		nums(t, "hack_left_placebo", (const double[]){ v->left, v->placebo_left }, 2);
		moe_text_f(t, ",");
		num(t, "e_value", v->e);
		moe_text_f(t, ",");
		nums(t, "betting", (const double[]){ v->bet.lo, v->bet.hi }, 2);
		moe_text_f(t, ",");
		num(t, "vanilla_hack", v->vanilla);
		moe_text_f(t, "}");
	}
	moe_text_f(t, "],\"seeds_pass\":%zu,", a->n_pass);
	num(t, "seeds_pass_bound", a->pass_bound);
	moe_text_f(t, ",");
	brief(t, "uplift_kept", &a->uplift);
	moe_text_f(t, ",");
	est(t, "skyline_gain", &a->skyline_gain);
	moe_text_f(t, ",\"like_base\":%s", a->like_base ? "true" : "false");
}

static void training(struct moe_text *t, const struct moe_report *r)
{
	moe_text_f(t, ",\"training\":[");
	for (size_t i = 0; i < r->metrics.n_run; i++) {
		const struct moe_metrics_run *run = &r->metrics.run[i];
		struct moe_presence p = moe_report_presence(r, run);
		moe_text_f(t, "%s{", i ? "," : "");
		str(t, "method", run->method);
		moe_text_f(t, ",\"seed\":%lld,\"presence_known\":%s,\"presence_held\":%s,",
			(long long)run->seed, p.known ? "true" : "false",
			p.held ? "true" : "false");
		num(t, "min_gate", p.min_gate);
		moe_text_f(t, ",");
		num(t, "zero_share", p.zero_share);
		moe_text_f(t, ",");
		nums(t, "update_mass", p.mass, MOE_BANKS);
		moe_text_f(t, ",");
		nums(t, "keep_absorb_route", (const double[]){ p.keep, p.absorb, p.route }, 3);
		moe_text_f(t, ",");
		nums(t, "reward_first_last", (const double[]){ p.reward_first, p.reward_last }, 2);
		moe_text_f(t, "}");
	}
	moe_text_f(t, "],\"gate\":[");
	for (size_t i = 0; i < r->n_gate; i++) {
		const struct moe_gate_run *g = &r->gate[i];
		moe_text_f(t, "%s{", i ? "," : "");
		str(t, "method", g->method);
		moe_text_f(t, ",\"seed\":%lld,\"rollouts\":%zu,", (long long)g->seed, g->n);
		num(t, "hack_share", g->hack_share);
		moe_text_f(t, ",");
		num(t, "auroc", g->auroc);
		moe_text_f(t, ",");
		nums(t, "auroc_interval", (const double[]){ g->auroc_ci.lo, g->auroc_ci.hi }, 2);
		moe_text_f(t, ",");
		num(t, "within_prompt", g->within);
		moe_text_f(t, ",");
		num(t, "f05", g->f05);
		moe_text_f(t, ",");
		num(t, "precision", g->precision);
		moe_text_f(t, ",");
		num(t, "recall", g->recall);
		moe_text_f(t, ",\"random_directions\":%zu,", g->n_null);
		nums(t, "auroc_random_mean_best_p",
			(const double[]){ g->auroc_null.mean, g->auroc_null.best, g->auroc_null.p },
			3);
		moe_text_f(t, ",");
		nums(t, "f05_random_mean_best_p",
			(const double[]){ g->f05_null.mean, g->f05_null.best, g->f05_null.p }, 3);
		moe_text_f(t, "}");
	}
	moe_text_f(t, "]");
}

/* What training did under a router; left out where no run had one. */
static void router(struct moe_text *t, const struct moe_report *r)
{
	static const char *const part[] = { "router", "bank", "expert" };

	if (!r->n_router)
		return;
	moe_text_f(t, ",\"router\":[");
	for (size_t i = 0; i < r->n_router; i++) {
		const struct moe_router_line *x = &r->router[i];
		const struct {
			const char *key;
			double v;
		} v[] = { { "min_gate", x->min_gate }, { "zero_share", x->zero_share },
			{ "load", x->load }, { "support", x->support }, { "entropy", x->entropy },
			{ "logit_norm", x->logit_norm }, { "update_mass", x->mass } };
		moe_text_f(t, "%s{", i ? "," : "");
		str(t, "method", x->method);
		moe_text_f(t, ",");
		str(t, "of", part[x->part]);
		moe_text_f(t, ",");
		str(t, "name", x->name);
		moe_text_f(t, ",\"seeds\":%zu,\"presence_known\":%zu,\"presence_held\":%zu",
			x->n_seed, x->n_known, x->n_held);
		for (size_t k = 0; k < sizeof v / sizeof *v; k++) {
			moe_text_f(t, ",");
			num(t, v[k].key, v[k].v);
		}
		moe_text_f(t, "}");
	}
	moe_text_f(t, "]");
}

static void sources(struct moe_text *t, const struct moe_report *r)
{
	moe_text_f(t, ",\"inputs\":[");
	for (size_t i = 0; i < r->n_source; i++) {
		const struct moe_origin *s = &r->source[i];
		moe_text_f(t, "%s{", i ? "," : "");
		str(t, "file", s->path);
		moe_text_f(t, ",");
		str(t, "kind", s->kind);
		moe_text_f(t, ",");
		str(t, "sha256", s->digest);
		moe_text_f(t, ",");
		str(t, "labels", moe_labels_name(s->labels));
		moe_text_f(t, ",\"records\":%llu,\"seed\":%llu,", (unsigned long long)s->records,
			(unsigned long long)s->seed);
		str(t, "argv", s->argv);
		moe_text_f(t, "}");
	}
	moe_text_f(t, "],\"notes\":[");
	for (size_t i = 0; i < r->n_note; i++) {
		moe_text_f(t, "%s", i ? "," : "");
		str(t, NULL, r->note[i]);
	}
	moe_text_f(t, "],\"graded\":%zu,\"paid_otherwise\":%zu", r->n_graded, r->n_other);
}

static void tests(struct moe_text *t, const struct moe_analysis *a)
{
	moe_text_f(t, ",");
	str(t, "tested", a->uat.method);
	moe_text_f(t, ",");
	str(t, "placebo", a->uat.n_placebo ? a->uat.placebo[0] : "");
	moe_text_f(t, ",\"placebos\":[");
	for (size_t i = 0; i < a->uat.n_placebo; i++) {
		moe_text_f(t, i ? "," : "");
		str(t, NULL, a->uat.placebo[i]);
	}
	moe_text_f(t, "],");
	str(t, "skyline", a->uat.skyline);
	moe_text_f(t, ",");
	str(t, "vanilla", a->uat.vanilla);
	moe_text_f(t, ",");
	str(t, "uat_sha256", a->uat.digest);
	moe_text_f(t, ",\"prompts\":%zu,\"left_out\":%zu,", a->n_prompt, a->cx.dropped);
	nums(t, "alpha_margin_effect",
		(const double[]){ a->uat.alpha, a->uat.margin, a->uat.effect }, 3);
	criteria(t, a);
	moe_text_f(t, ",");
	est(t, "did_placebo", &a->did_placebo[MOE_SUB_ALL]);
	moe_text_f(t, ",");
	est(t, "did_placebo_pinned", &a->did_placebo[MOE_SUB_PINNED]);
	moe_text_f(t, ",");
	est(t, "did_placebo_never_pinned", &a->did_placebo[MOE_SUB_NEVER]);
	moe_text_f(t, ",");
	est(t, "share_did_placebo", &a->share_did);
	moe_text_f(t, ",");
	est(t, "discovery", &a->discovery);
	moe_text_f(t, ",\"tasks\":%zu,", a->task_did.n_task);
	nums(t, "did_placebo_se_by_prompt_by_task",
		(const double[]){ a->task_did.se_prompt, a->task_did.se_task }, 2);
	course(t, a);
}

static void registration(struct moe_text *t, const struct moe_registration *g)
{
	if (!g->date)
		return;
	moe_text_f(t, ",\"registration\":{");
	str(t, "sha256", g->digest);
	moe_text_f(t, ",");
	str(t, "uat_sha256", g->uat);
	moe_text_f(t, ",");
	str(t, "date", g->date);
	moe_text_f(t, ",\"evaluations\":%zu,\"named_by\":%zu,\"conditions_changed\":%s}",
		g->evaluations, g->named, g->changed ? "true" : "false");
}

int moe_report_json(const struct moe_report *r, struct moe_buf *out, struct moe_err *e)
{
	struct moe_text t = { out, e, 0 };
	const struct moe_analysis *a = &r->a;

	moe_text_f(&t, "{");
	if (a->tested)
		str(&t, "verdict", moe_verdict_names[a->verdict.kind]);
	else
		moe_text_f(&t, "\"verdict\":null");
	moe_text_f(&t, ",");
	str(&t, "why", a->verdict.why);
	if (a->tested)
		tests(&t, a);
	else
		moe_text_f(&t, ",\"prompts\":%zu,\"alpha\":%.10g", a->n_prompt, a->uat.alpha);
	moe_text_f(&t, ",\"methods\":[");
	for (size_t i = 0; i < a->n_method; i++) {
		moe_text_f(&t, i ? "," : "");
		method(&t, &a->method[i], !a->tested);
	}
	moe_text_f(&t, "]");
	registration(&t, &r->registered);
	training(&t, r);
	router(&t, r);
	sources(&t, r);
	moe_text_f(&t, "}\n");
	return t.bad;
}
