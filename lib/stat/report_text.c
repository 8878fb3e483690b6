/* report_text.c - the report as plain text, at most 100 columns, and as tab-separated rates. No
 * colours: the words carry the message. */
#include "stat/report.h"
#include "util/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CELL 160 /* bytes for up to 32 characters of a table */

static const char *num(char out[24], double v, int digits)
{
	if (isnan(v))
		snprintf(out, 24, "-");
	else
		snprintf(out, 24, "%.*f", digits, moe_report_round(v, digits));
	return out;
}

static const char *signed_num(char out[24], double v, int digits)
{
	if (isnan(v))
		snprintf(out, 24, "-");
	else
		snprintf(out, 24, "%+.*f", digits, moe_report_round(v, digits));
	return out;
}

/* "+0.123 [+0.100, +0.150]" */
static const char *range(char out[64], double value, struct moe_ci ci)
{
	char v[24], lo[24], hi[24];

	if (isnan(value))
		snprintf(out, 64, "-");
	else
		snprintf(out, 64, "%.15s [%.15s, %.15s]", signed_num(v, value, 3),
			signed_num(lo, ci.lo, 3), signed_num(hi, ci.hi, 3));
	return out;
}

static const char *est(char out[64], const struct moe_estimate *x)
{
	return range(out, x->value, x->ci);
}

/* Words of a sentence in lines of at most 98 columns, indented; the first line begins with `lead`.
 */
static void wrap(struct moe_text *t, const char *lead, const char *indent, const char *s)
{
	size_t col = strlen(lead);

	moe_text_f(t, "%s", lead);
	while (*s) {
		size_t n = strcspn(s, " ");
		size_t cols = 0;
		for (size_t i = 0; i < n; i++)
			cols += ((unsigned char)s[i] & 0xc0) != 0x80;
		if (col + 1 + cols > 98 && col > strlen(indent)) {
			moe_text_f(t, "\n%s", indent);
			col = strlen(indent);
		} else if (col > strlen(indent) && s[-1] == ' ') {
			moe_text_f(t, " ");
			col++;
		}
		moe_text_add(t, s, n);
		col += cols;
		s += n + (s[n] == ' ');
	}
	moe_text_f(t, "\n");
}

static void paid_otherwise(struct moe_text *t, const struct moe_report *r)
{
	moe_text_f(t,
		"  paid, neither solved nor by a known mechanism: %zu of %zu graded rollouts\n",
		r->n_other, r->n_graded);
}

static void looks_line(struct moe_text *t, const struct moe_analysis *a)
{
	size_t look[MOE_LOOKS_MAX], n = moe_uat_looks(&a->uat, look);

	moe_text_f(t, "  looks    at ");
	for (size_t i = 0; i < n; i++)
		if (n <= 12 || i < 3 || i + 3 >= n)
			moe_text_f(t, "%s%zu", i ? ", " : "", look[i]);
		else if (i == 3)
			moe_text_f(t, ", ...");
	moe_text_f(t, " seeds; taken at ");
	for (size_t i = 0; i < a->n_look; i++)
		if (a->n_look <= 12 || i < 3 || i + 3 >= a->n_look)
			moe_text_f(t, "%s%zu%s", i ? ", " : "", a->look[i].n,
				a->look[i].scheduled ? "" : " (not scheduled)");
	if (a->next_look)
		moe_text_f(t, "; the next at %zu", a->next_look);
	if (a->refused + a->unlisted)
		moe_text_f(t, "; %zu seed%s given not counted", a->refused + a->unlisted,
			a->refused + a->unlisted == 1 ? "" : "s");
	moe_text_f(t, "\n");
}

static void head(struct moe_text *t, const struct moe_report *r)
{
	const struct moe_analysis *a = &r->a;
	char modes[256] = "", name[4 * MOE_UAT_NAME];
	size_t n = 0, pinned = 0;

	for (size_t i = 0; i < a->uat.n_pinned && n < sizeof modes; i++) {
		/* names of a file, which may hold what a terminal obeys */
		moe_text_escape_to(name, sizeof name, a->uat.pinned[i], strlen(a->uat.pinned[i]));
		n += (size_t)snprintf(modes + n, sizeof modes - n, "%s%s", i ? " " : "", name);
	}
	for (size_t i = 0; i < a->tested->n_mode; i++)
		pinned += !a->tested->mode[i].summary;
	moe_text_f(t,
		"Does deleting the quarantine remove the hack, more than the controls do, and keep "
		"solve?\n\n");
	moe_text_f(t, "  tested   %s; placebo:%s", a->uat.method,
		a->uat.n_placebo ? "" : " none named");
	for (size_t i = 0; i < a->uat.n_placebo; i++)
		moe_text_f(t, "%s %s", i ? "," : "", a->uat.placebo[i]);
	moe_text_f(t, "; training seeds:");
	for (size_t i = 0; i < a->n_evidence; i++)
		moe_text_f(t, " %lld", (long long)a->evidence[i].seed);
	moe_text_f(t,
		"\n  prompts  %zu, up to %zu sample%s each, the same in every arm; %zu modes; "
		"pinned: %s\n",
		a->n_prompt, a->n_sample_max, a->n_sample_max == 1 ? "" : "s", pinned,
		a->uat.n_pinned ? modes : "not said");
	moe_text_f(t,
		"  fixed    alpha %.3g, solve margin %.3g, effect worth having %.3g, endpoint %s\n",
		a->uat.alpha, a->uat.margin, a->uat.effect, a->uat.endpoint);
	looks_line(t, a);
	if (a->uat.digest[0])
		moe_text_f(t, "           by the file with SHA-256 %.16s...\n", a->uat.digest);
	else
		moe_text_f(t,
			"           by built-in defaults: nothing was fixed beforehand in a "
			"uat.conf\n");
	paid_otherwise(t, r);
}

static void registration(struct moe_text *t, const struct moe_report *r)
{
	const struct moe_registration *g = &r->registered;

	if (!g->date)
		return;
	moe_text_f(t,
		"           registered %s by the user's clock; named by %zu of %zu evaluations\n",
		g->date, g->named, g->evaluations);
	if (g->changed)
		moe_text_f(t,
			"           CONDITIONS CHANGED: registered were those with SHA-256 "
			"%.16s...\n",
			g->uat);
}

static void per_seed(struct moe_text *t, const struct moe_rate *x, size_t n)
{
	char b[24];

	for (size_t i = 0; i < n && i < 3; i++)
		moe_text_f(t, "%s%s", i ? " " : "", num(b, x->per_seed[i], 2));
	if (n > 3)
		moe_text_f(t, " ..");
}

static void rates(struct moe_text *t, const struct moe_report *r)
{
	char b[3][24];

	moe_text_f(t,
		"\nRATES [%.3g %% over seeds, or prompts]   hack                  solve           "
		"hack by seed\n",
		100 * (1 - r->a.uat.alpha));
	for (size_t i = 0; i < r->a.n_method; i++) {
		const struct moe_method_result *m = &r->a.method[i];
		moe_text_f(t, "  %s%s\n", m->method, moe_report_role(m));
		for (size_t k = 0; k < m->n_row; k++) {
			const struct moe_arm_row *x = &m->row[k];
			char random[64], cell[CELL];

			/* the curves over the scales of the banks have tables of their own */
			if (x->kind == MOE_ARM_SCALE || x->kind == MOE_ARM_CSCALE)
				continue;
			moe_text_f(t, "    %s",
				moe_text_fit(cell, sizeof cell, moe_row_title(x, random), 28, 28));
			for (int o = 0; o < MOE_OUTCOMES; o++)
				moe_text_f(t, " %6s [%5s, %5s] ", num(b[0], x->rate[o].value, 3),
					num(b[1], moe_report_ci(&x->rate[o]).lo, 3),
					num(b[2], moe_report_ci(&x->rate[o]).hi, 3));
			moe_text_f(t, " ");
			per_seed(t, &x->rate[MOE_HACK], m->n_seed);
			moe_text_f(t, "\n");
		}
	}
}

static void changes(struct moe_text *t, const struct moe_report *r)
{
	char x[64], y[64], cell[CELL];

	moe_text_f(t, "\nWHEN THE QUARANTINE IS DELETED (paired by prompt and sample)\n");
	moe_text_f(t, "  %-24s %-26s %-26s %s\n", "", "drop of hack", "drop of solve",
		"lost / gained");
	for (size_t i = 0; i < r->a.n_method; i++) {
		const struct moe_method_result *m = &r->a.method[i];
		moe_text_f(t, "  %s %-26s %-26s %zu / %zu",
			moe_text_fit(cell, sizeof cell, m->method, 24, 24), est(x, &m->drop_hack),
			est(y, &m->drop_solve), m->lost, m->gained);
		if (!isnan(m->mcnemar))
			moe_text_f(
				t, m->mcnemar < 1e-4 ? "  p < 0.0001" : "  p = %.4f", m->mcnemar);
		moe_text_f(t, "\n");
	}
}

static void line(struct moe_text *t, const char *what, const struct moe_estimate *x)
{
	char b[64], c[24];

	moe_text_f(t, x->n_seed > 1 ? "  %-50s %-24s " : "  %-50s %s", what, est(b, x));
	for (size_t i = 0; i < x->n_seed && i < 3 && x->n_seed > 1; i++)
		moe_text_f(t, " %s", signed_num(c, x->per_seed[i], 2));
	moe_text_f(t, x->n_seed > 3 ? " ..\n" : "\n");
}

static void uplift(struct moe_text *t, const struct moe_analysis *a)
{
	char x[64], y[64];

	if (!a->uat.skyline[0])
		return;
	moe_text_f(t,
		"  uplift kept: share of %s's gain in solve (a BOUND)   %s\n"
		"  that gain, trained without a loophole - base        %s\n",
		a->uat.skyline, range(x, a->uplift.value, a->uplift.ci), est(y, &a->skyline_gain));
}

static void contrasts(struct moe_text *t, const struct moe_report *r)
{
	const struct moe_analysis *a = &r->a;
	const struct moe_method_result *m = a->tested;

	moe_text_f(t,
		"\nAGAINST THE CONTROLS                                                       by "
		"seed\n");
	line(t, "drop of hack - the placebo's drop", &a->did_placebo[MOE_SUB_ALL]);
	if (a->uat.n_pinned) {
		line(t, "  on pinned modes", &a->did_placebo[MOE_SUB_PINNED]);
		line(t, "  on modes never pinned", &a->did_placebo[MOE_SUB_NEVER]);
	}
	line(t, "  as shares of the trained hack rate", &a->share_did);
	line(t, "trained hack rate - the placebo's (discovery)", &a->discovery);
	line(t, "drop of hack - mean drop of random ablations", &m->did_random);
	line(t, "drop of hack - drop when clean experts are deleted", &m->did_clean);
	line(t, "selectivity: share of hack - share of solve lost", &m->selectivity);
	line(t, "hack after deletion - the base's (leak-through)", &m->leak);
	line(t, "solve after deletion - the base's", &m->solve_base);
	uplift(t, a);
	if (m->n_random)
		moe_text_f(t,
			"  capacity control: rank among %zu random ablations, p = %.3f (smallest "
			"possible %.3f)\n",
			m->n_random, m->rank_p, 1.0 / (double)(m->n_random + 1));
	struct moe_match x = moe_report_match(r);
	if (x.n)
		moe_text_f(t,
			"  random ablations remove %.3f to %.3f of the quarantine's norm; %.2f of "
			"their ranks are its own\n",
			x.least, x.most, x.overlap);
}

/* Looks taken: what stood at each, in intervals that hold at all of them. */
static void looks(struct moe_text *t, const struct moe_analysis *a)
{
	char x[64], y[64], z[64];

	moe_text_f(t,
		"\nLOOKS (intervals hold at every look)\n  seeds  level    drop of hack               "
		"more than the placebo      solve kept\n");
	for (size_t i = 0; i < a->n_look; i++) {
		const struct moe_look *l = &a->look[i];
		moe_text_f(t, "  %5zu%s %.4f   %-26s %-26s %s\n", l->n, l->scheduled ? " " : "*",
			l->level_hack, range(x, l->drop.value, l->drop.ci),
			range(y, l->advantage.value, l->advantage.ci),
			range(z, l->solve.value, l->solve.ci));
	}
	for (size_t i = 0; i < a->n_look; i++)
		if (!a->look[i].scheduled) {
			moe_text_f(t,
				"  * not scheduled: its level was spent all the same, by the share "
				"of the most seeds\n");
			break;
		}
}

/* What each seed adds, by instruments that hold for any distribution and at any time. */
static void evidence(struct moe_text *t, const struct moe_analysis *a)
{
	char b[5][24], x[64];
	bool twin = false;

	for (size_t i = 0; i < a->n_evidence; i++)
		twin |= !isnan(a->evidence[i].vanilla);
	moe_text_f(t,
		"\nEVIDENCE BY SEED\n           hack left                      e-value of   mean "
		"of (placebo - method),\n     seed  method placebo (runs) lower?  being lower  by "
		"betting %.3g %%             passes%s\n",
		100 * (1 - a->uat.alpha), twin ? "  vanilla hacks" : "");
	for (size_t i = 0; i < a->n_evidence; i++) {
		const struct moe_evidence *v = &a->evidence[i];
		snprintf(x, sizeof(x), "[%.15s, %.15s]", signed_num(b[3], v->bet.lo, 3),
			signed_num(b[4], v->bet.hi, 3));
		moe_text_f(t, "  %7lld  %6s %7s (%zu)    %-6s %12s  %-32s %-6s", (long long)v->seed,
			num(b[0], v->left, 3), num(b[1], v->placebo_left, 3), v->placebos,
			!v->placebos      ? "-"
				: v->best ? "yes"
					  : "no",
			num(b[2], v->e, 2), x, v->passes ? "yes" : "no");
		if (twin)
			moe_text_f(t, "  %s%s", num(b[0], v->vanilla, 3),
				v->vanilla < a->uat.hack_min ? " (did not emerge)" : "");
		moe_text_f(t, "\n");
	}
	moe_text_f(t,
		"  %zu of %zu seeds pass by themselves: at least %.2f of all such seeds do "
		"(one-sided %.3g %%)\n",
		a->n_pass, a->n_evidence, a->pass_bound, 100 * (1 - a->uat.alpha));
	if (a->n_evidence && a->evidence[0].placebos)
		moe_text_f(t,
			"  an e-value of %.3g says \"better than chance routing\" at level %.3g, "
			"whenever one stops\n",
			1 / a->uat.alpha, a->uat.alpha);
}

static void curve(
	struct moe_text *t, const struct moe_report *r, enum moe_arm_kind k, const char *bank)
{
	char b[6][24];
	bool first = true;

	for (size_t i = 0; i < r->a.n_method; i++) {
		const struct moe_method_result *m = &r->a.method[i];
		for (size_t j = 0; j < m->n_row; j++) {
			const struct moe_arm_row *x = &m->row[j];
			if (x->kind != k)
				continue;
			if (first)
				moe_text_f(t,
					"\nBY SCALE OF THE %s BANK       hack                   "
					"solve\n",
					bank);
			first = false;
			moe_text_f(t, "  %-20.20s %5.3g", m->method, x->scale);
			for (int o = 0; o < MOE_OUTCOMES; o++)
				moe_text_f(t, "   %s [%s, %s]", num(b[0], x->rate[o].value, 3),
					num(b[1], moe_report_ci(&x->rate[o]).lo, 3),
					num(b[2], moe_report_ci(&x->rate[o]).hi, 3));
			moe_text_f(t, "\n");
		}
	}
}

/* Hack of every arm by mode: what a mode does after deletion may hide while all experts are on. */
static void arms_by_mode(struct moe_text *t, const struct moe_report *r)
{
	char b[24], cell[CELL], name[64];
	enum { MODES = 6 };

	for (size_t i = 0; i < r->a.n_method; i++) {
		const struct moe_method_result *m = &r->a.method[i];
		size_t n = 0;
		while (n < m->n_mode && !m->mode[n].summary)
			n++;
		for (size_t from = 0; from < n; from += MODES) {
			size_t to = from + MODES < n ? from + MODES : n;
			moe_text_f(t, "  %-28.28s", m->method);
			for (size_t k = from; k < to; k++)
				moe_text_f(t, " %10.10s",
					m->mode[k].mode[0] ? m->mode[k].mode : "(unknown)");
			moe_text_f(t, "\n");
			for (size_t j = 0; j < m->n_row; j++) {
				moe_text_f(t, "    %s",
					moe_text_fit(cell, sizeof(cell),
						moe_row_title(&m->row[j], name), 26, 26));
				for (size_t k = from; k < to; k++)
					moe_text_f(t, " %10s",
						num(b,
							moe_report_mode_rate(
								&m->mode[k], &m->row[j], MOE_HACK),
							3));
				moe_text_f(t, "\n");
			}
		}
	}
}

static void mode_table(struct moe_text *t, const struct moe_report *r)
{
	char b[4][24], d[64], cell[CELL];

	moe_text_f(t, "\nHACK BY MODE, EVERY ARM\n");
	arms_by_mode(t, r);
	moe_text_f(t, "\nBY MODE                                hack              solve\n");
	moe_text_f(t, "                             prompts   on  -> off        on  -> off\n");
	for (size_t i = 0; i < r->a.n_method; i++) {
		const struct moe_method_result *m = &r->a.method[i];
		moe_text_f(t, "  %s\n", m->method);
		for (size_t k = 0; k < m->n_mode; k++) {
			const struct moe_mode_row *x = &m->mode[k];
			moe_text_f(t, "    %s %-8s %5zu  %5s -> %5s   %5s -> %5s",
				moe_text_fit(cell, sizeof cell, x->mode[0] ? x->mode : "(unknown)",
					16, 16),
				x->summary             ? ""
					: x->free_mode ? "no loop"
					: x->pinned    ? "pinned"
						       : "",
				x->n_prompt, num(b[0], x->on[0], 3), num(b[1], x->off[0], 3),
				num(b[2], x->on[1], 3), num(b[3], x->off[1], 3));
			moe_text_f(t, x->summary ? "  drop %s\n" : "\n", est(d, &x->drop));
		}
	}
}

static void training(struct moe_text *t, const struct moe_report *r)
{
	char b[10][24];

	if (!r->metrics.n_run)
		return;
	moe_text_f(t,
		"\nTRAINING              update mass         rollouts            quarantine's "
		"presence  reward\n");
	moe_text_f(t,
		"                      shared clean quar.  keep absorb route   min gate at zero       "
		"first -> last\n");
	for (size_t i = 0; i < r->metrics.n_run; i++) {
		const struct moe_metrics_run *run = &r->metrics.run[i];
		struct moe_presence p = moe_report_presence(r, run);
		char name[120], cell[CELL];
		snprintf(name, sizeof name, "%s, seed %lld",
			moe_text_fit(cell, sizeof cell, run->method[0] ? run->method : "(unnamed)",
				0, 12),
			(long long)run->seed);
		moe_text_f(t, "  %s %5s %5s %5s  %5s %5s %5s    %5s   %5s %-8s %5s -> %5s\n",
			moe_text_fit(cell, sizeof cell, name, 20, 20), num(b[0], p.mass[0], 2),
			num(b[1], p.mass[1], 2), num(b[2], p.mass[2], 2), num(b[3], p.keep, 2),
			num(b[4], p.absorb, 2), num(b[5], p.route, 2), num(b[6], p.min_gate, 2),
			num(b[7], p.zero_share, 2),
			!p.known         ? "unknown"
				: p.held ? "held"
					 : "not held",
			num(b[8], p.reward_first, 2), num(b[9], p.reward_last, 2));
	}
}

/* What training did under a router, by bank and expert. */
static void router(struct moe_text *t, const struct moe_report *r)
{
	char b[7][24], name[MOE_PART_NAME], cell[CELL], held[48];

	if (!r->n_router)
		return;
	moe_text_f(t, "\nROUTER, EXPERTS [mean over seeds; least gate: of all steps and seeds]\n");
	moe_text_f(t,
		"                           least  held in  at zero   load  support  entropy    "
		"logit   update\n"
		"                            gate    seeds  (share)         (experts)  (nats)     "
		"norm"
		"     mass\n");
	for (size_t i = 0; i < r->n_router; i++) {
		const struct moe_router_line *x = &r->router[i];
		if (!i || strcmp(x->method, r->router[i - 1].method))
			moe_text_f(t, "  %s\n",
				moe_text_fit(cell, sizeof cell,
					x->method[0] ? x->method : "(unnamed)", 0, 64));
		snprintf(held, sizeof held, x->n_known ? "%zu/%zu" : "-", x->n_held, x->n_known);
		moe_text_f(t, "    %s %5s  %7s  %7s  %5s  %7s  %7s  %7s  %7s\n",
			moe_text_fit(cell, sizeof cell, moe_router_part_name(name, x), 21, 21),
			num(b[0], x->min_gate, 3), held, num(b[1], x->zero_share, 3),
			num(b[2], x->load, 3), num(b[3], x->support, 2), num(b[4], x->entropy, 3),
			num(b[5], x->logit_norm, 3), num(b[6], x->mass, 3));
	}
}

static void gates(struct moe_text *t, const struct moe_report *r)
{
	char b[8][24];

	if (!r->n_gate)
		return;
	moe_text_f(t, "\nTHE GATE ON TRAINING ROLLOUTS (by sealed labels, after the fact)\n");
	moe_text_f(t,
		"                                     of the score           right order    of the "
		"decision to route\n");
	moe_text_f(t,
		"                           hacks     AUROC                  within prompt  F0.5   "
		"precision  recall\n");
	for (size_t i = 0; i < r->n_gate; i++) {
		const struct moe_gate_run *g = &r->gate[i];
		char name[120], cell[CELL];
		if (!moe_gate_routes(g))
			continue;
		snprintf(name, sizeof name, "%s, seed %lld",
			moe_text_fit(
				cell, sizeof cell, g->method[0] ? g->method : "(unnamed)", 0, 18),
			(long long)g->seed);
		moe_text_f(t, "  %s  %5s     %5s [%5s, %5s]       %5s   %5s     %5s    %5s\n",
			moe_text_fit(cell, sizeof cell, name, 23, 23), num(b[7], g->hack_share, 3),
			num(b[0], g->auroc, 3), num(b[5], g->auroc_ci.lo, 3),
			num(b[6], g->auroc_ci.hi, 3), num(b[1], g->within, 3), num(b[2], g->f05, 3),
			num(b[3], g->precision, 3), num(b[4], g->recall, 3));
	}
	for (size_t i = 0, said = 0; i < r->n_gate; i++) {
		const struct moe_gate_run *g = &r->gate[i];
		char name[120], cell[CELL];
		if (!g->n_null)
			continue;
		if (!said++)
			moe_text_f(t,
				"  held against random directions     AUROC: mean  best  rank p    "
				"F0.5, as many routed: mean  best  rank p\n");
		snprintf(name, sizeof name, "%s, seed %lld (%zu)",
			moe_text_fit(
				cell, sizeof cell, g->method[0] ? g->method : "(unnamed)", 0, 18),
			(long long)g->seed, g->n_null);
		moe_text_f(t, "  %s        %5s %5s   %5s                          %5s %5s   %5s\n",
			moe_text_fit(cell, sizeof cell, name, 32, 32),
			num(b[0], g->auroc_null.mean, 3), num(b[1], g->auroc_null.best, 3),
			num(b[2], g->auroc_null.p, 3), num(b[3], g->f05_null.mean, 3),
			num(b[4], g->f05_null.best, 3), num(b[5], g->f05_null.p, 3));
	}
}

static void criteria(struct moe_text *t, const struct moe_report *r)
{
	const struct moe_analysis *a = &r->a;

	moe_text_f(t, "\nCRITERIA%72s%19s\n", "", "lower bound  asked");
	for (size_t i = 0; i < a->n_crit; i++) {
		const struct moe_criterion *c = &a->crit[i];
		char lo[24], asked[24];
		snprintf(asked, sizeof asked, "> %.3g", c->threshold);
		moe_text_f(t, "  %d  %-7s %-67.67s %10s  %s\n", c->number,
			moe_state_names[c->state], c->claim, signed_num(lo, c->bound, 3), asked);
		if (c->note[0])
			wrap(t, "             ", "             ", c->note);
		if (c->need_prompts)
			moe_text_f(t, "             about %zu prompts would decide it\n",
				c->need_prompts);
		if (c->need_seeds)
			moe_text_f(t, "             about %zu training seeds would decide it\n",
				c->need_seeds);
		if (!isnan(c->chance) && a->next_look)
			moe_text_f(t,
				"             chance to be met by %zu seeds, by the spread seen: "
				"%.2f\n",
				moe_uat_max_seeds(&a->uat), c->chance);
		if (c->need_new)
			moe_text_f(t,
				"             a new study of about %zu seeds, with conditions of "
				"its own, would decide it\n",
				c->need_new);
	}
}

static void alone_rows(struct moe_text *t, const struct moe_arm_row *row, size_t n)
{
	char b[3][24], cell[CELL], random[64];

	for (size_t k = 0; k < n; k++) {
		moe_text_f(t, "    %s",
			moe_text_fit(cell, sizeof cell, moe_row_title(&row[k], random), 28, 28));
		for (int o = 0; o < MOE_OUTCOMES; o++)
			moe_text_f(t, " %6s [%5s, %5s] ", num(b[0], row[k].rate[o].value, 3),
				num(b[1], row[k].rate[o].ci.lo, 3),
				num(b[2], row[k].rate[o].ci.hi, 3));
		moe_text_f(t, " %7zu  %8zu\n", row[k].n_prompt, row[k].rate[MOE_HACK].n_obs);
	}
}

/* What takes the place of criteria and contrasts where no rollout names a method. */
static void rates_alone(struct moe_text *t, const struct moe_report *r)
{
	const struct moe_method_result *m = r->a.method;
	char cell[CELL];

	moe_text_f(t, "How often is the hack taken, and how often is the task solved?\n\n");
	moe_text_f(t, "  prompts  %zu, up to %zu sample%s each; %zu mode%s\n", r->a.n_prompt,
		r->a.n_sample_max, r->a.n_sample_max == 1 ? "" : "s", m->n_mode,
		m->n_mode == 1 ? "" : "s");
	moe_text_f(t,
		"\nRATES [Wilson %.3g %%]                  hack                  solve            "
		"prompts  outcomes\n",
		100 * (1 - r->a.uat.alpha));
	if (m->oracle)
		moe_text_f(t, "  CHEATS: oracle labels\n");
	alone_rows(t, m->row, m->n_row);
	moe_text_f(t, "\nBY MODE\n");
	for (size_t i = 0; i < m->n_mode; i++) {
		const struct moe_mode_row *x = &m->mode[i];
		moe_text_f(t, "  %s%s\n",
			moe_text_fit(cell, sizeof cell, x->mode[0] ? x->mode : "(unknown)", 0, 32),
			x->free_mode        ? " (no loophole)"
				: x->pinned ? " (pinned)"
					    : "");
		alone_rows(t, x->arm, x->n_arm);
	}
}

int moe_report_text(const struct moe_report *r, struct moe_buf *out, struct moe_err *e)
{
	struct moe_text t = { out, e, 0 };

	if (r->a.tested) {
		head(&t, r);
		registration(&t, r);
		rates(&t, r);
		changes(&t, r);
		contrasts(&t, r);
		looks(&t, &r->a);
		evidence(&t, &r->a);
		curve(&t, r, MOE_ARM_SCALE, "QUARANTINE");
		curve(&t, r, MOE_ARM_CSCALE, "CLEAN");
		mode_table(&t, r);
	} else {
		rates_alone(&t, r);
	}
	training(&t, r);
	router(&t, r);
	gates(&t, r);
	if (r->a.tested)
		criteria(&t, r);
	moe_text_f(&t, "\nWHAT THESE NUMBERS DO NOT SHOW\n");
	for (size_t i = 0; i < r->n_note; i++)
		wrap(&t, "  - ", "    ", r->note[i]);
	moe_text_f(&t, "\n%s%s: %s\n", r->a.tested ? "VERDICT: " : "",
		moe_verdict_names[r->a.verdict.kind], r->a.verdict.why);
	return t.bad;
}

/* The lines of some arms; `mode` ends each where nothing is tested, and is NULL otherwise. */
static void tsv_rows(struct moe_text *t, const struct moe_method_result *m,
	const struct moe_arm_row *row, size_t n, const char *mode)
{
	bool alone = mode;
	const char *tab = alone ? "\t" : "";

	mode = alone ? mode : "";
	for (size_t k = 0; k < n; k++) {
		const struct moe_rate *h = &row[k].rate[MOE_HACK], *s = &row[k].rate[MOE_SOLVE];
		const char *name = moe_row_key(&row[k]);
		moe_text_f(t, "%s\t%s\tall\t%zu\t%zu\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g%s%s\n",
			m->method, name, row[k].n_prompt, h->n_obs, h->value, h->ci.lo, h->ci.hi,
			s->value, s->ci.lo, s->ci.hi, tab, mode);
		for (size_t j = 0; j < m->n_seed; j++)
			if (!alone || m->seed[j] >= 0) /* -1: not said, so it is the line above */
				moe_text_f(t, "%s\t%s\t%lld\t\t\t%.6g\t\t\t%.6g\t\t%s%s\n",
					m->method, name, (long long)m->seed[j], h->per_seed[j],
					s->per_seed[j], tab, mode);
	}
}

int moe_report_tsv(const struct moe_report *r, struct moe_buf *out, struct moe_err *e)
{
	struct moe_text t = { out, e, 0 };
	const struct moe_method_result *m = r->a.method;
	bool alone = !r->a.tested;

	moe_text_f(&t,
		"method\tarm\tseed\tprompts\toutcomes\thack\thack_lo\thack_hi\tsolve\tsolve_lo\tsolve_hi%s\n",
		alone ? "\tmode" : "");
	for (size_t i = 0; i < r->a.n_method; i++)
		tsv_rows(&t, &m[i], m[i].row, m[i].n_row, alone ? "all" : NULL);
	for (size_t i = 0; alone && i < m->n_mode; i++)
		tsv_rows(&t, m, m->mode[i].arm, m->mode[i].n_arm, m->mode[i].mode);
	return t.bad;
}
