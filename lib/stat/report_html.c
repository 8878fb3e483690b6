/* report_html.c - the report as one self-contained page: no script, nothing loaded, every text from
 * data escaped. */
#include "stat/report_page.h"
#include "stat/report_plot.h"
#include "util/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void num(struct moe_text *t, double v, int digits)
{
	v = moe_report_round(v, digits);
	if (isnan(v))
		moe_text_f(t, "&ndash;");
	else
		moe_text_f(t, "%s%.*f", v < 0 ? "&minus;" : "", digits, fabs(v));
}

static void cell(struct moe_text *t, double v, int digits)
{
	moe_text_f(t, "<td>");
	num(t, v, digits);
	moe_text_f(t, "</td>");
}

static void text_cell(struct moe_text *t, const char *s)
{
	moe_text_f(t, "<td class=l>");
	moe_page_esc(t, s);
	moe_text_f(t, "</td>");
}

static void interval(struct moe_text *t, double v, struct moe_ci ci)
{
	moe_text_f(t, "<td>");
	if (!isnan(v) || isnan(ci.lo))
		num(t, v, 3);
	if (!isnan(ci.lo)) {
		moe_text_f(t, "%s<span class=ci>[", isnan(v) ? "" : " ");
		num(t, ci.lo, 3);
		moe_text_f(t, ", ");
		num(t, ci.hi, 3);
		moe_text_f(t, "]</span>");
	}
	moe_text_f(t, "</td>");
}

static void by_seed(struct moe_text *t, const double *v, size_t n)
{
	moe_text_f(t, "<td class=ci>");
	for (size_t i = 0; i < n; i++) {
		moe_text_f(t, i ? "&ensp;" : "");
		num(t, v[i], 3);
	}
	moe_text_f(t, "</td>");
}

static void setting(struct moe_text *t, const struct moe_report *r)
{
	const struct moe_analysis *a = &r->a;

	moe_text_f(t, "<dl class=set><dt>tested</dt><dd>");
	moe_page_esc(t, a->uat.method);
	moe_text_f(t, ", placebo%s", a->uat.n_placebo ? "" : " none named");
	for (size_t i = 0; i < a->uat.n_placebo; i++) {
		moe_text_f(t, i ? ", " : " ");
		moe_page_esc(t, a->uat.placebo[i]);
	}
	moe_text_f(t, "</dd><dt>training seeds</dt><dd>");
	for (size_t i = 0; i < a->n_evidence; i++)
		moe_text_f(t, "%s%lld", i ? ", " : "", (long long)a->evidence[i].seed);
	moe_text_f(t, "; looked at");
	for (size_t i = 0; i < a->n_look; i++)
		moe_text_f(t, "%s %zu", i ? "," : "", a->look[i].n);
	moe_text_f(t, " seeds, at most %zu allowed", moe_uat_max_seeds(&a->uat));
	if (a->refused + a->unlisted)
		moe_text_f(t, "; %zu given do not count", a->refused + a->unlisted);
	moe_text_f(t,
		"</dd><dt>prompts</dt><dd>%zu, up to %zu sample%s each, the same in every "
		"arm</dd><dt>pinned modes</dt><dd>",
		a->n_prompt, a->n_sample_max, a->n_sample_max == 1 ? "" : "s");
	for (size_t i = 0; i < a->uat.n_pinned; i++) {
		moe_text_f(t, i ? ", " : "");
		moe_page_esc(t, a->uat.pinned[i]);
	}
	moe_text_f(t, "%s</dd><dt>fixed beforehand</dt><dd>", a->uat.n_pinned ? "" : "not said");
	moe_text_f(t,
		"alpha %.3g; solve margin %.3g; effect worth having %.3g; at least %zu prompts, "
		"%zu seeds, %zu random ablations; endpoint %s; ",
		a->uat.alpha, a->uat.margin, a->uat.effect, a->uat.min_prompts, a->uat.min_seeds,
		a->uat.min_random, a->uat.endpoint);
	if (a->uat.digest[0])
		moe_text_f(t, "SHA-256 of the file <code>%.16s&hellip;</code>", a->uat.digest);
	else
		moe_text_f(t, "built-in defaults, no file was given");
	if (r->registered.date) {
		moe_text_f(t, "; registered ");
		moe_page_esc(t, r->registered.date);
		moe_text_f(t, " by the user's clock, named by %zu of %zu evaluations%s",
			r->registered.named, r->registered.evaluations,
			r->registered.changed ? ". <b class=failed>CONDITIONS CHANGED since</b>"
					      : "");
	}
	moe_text_f(t,
		"</dd><dt>paid, neither solved nor by a known mechanism</dt><dd>%zu of %zu graded "
		"rollouts</dd></dl>\n",
		r->n_other, r->n_graded);
}

static void figure(struct moe_text *t, const struct moe_plots *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct moe_plot *x = &p->plot[i];
		if (strcmp(x->name, name))
			continue;
		moe_text_f(t, "<figure>");
		if (x->svg.len) {
			moe_text_f(t, "<div class=\"wide plot\" role=img aria-label=\"");
			moe_page_esc(t, x->caption);
			moe_text_f(t, "\">");
			moe_text_add(t, (char *)x->svg.data, x->svg.len);
			moe_text_f(t, "</div>");
		} else
			moe_text_f(t, "<p>%s The data of the plot are below.</p>",
				p->no_gnuplot
					? "gnuplot is not installed, so there is no drawing here."
					: "gnuplot failed on this plot.");
		moe_text_f(t, "<figcaption>");
		moe_page_esc(t, x->caption);
		moe_text_f(t,
			"</figcaption><details%s><summary>data and script of this plot</summary>\n",
			x->svg.len ? "" : " open");
		for (int k = 0; k < MOE_PLOT_FILES && x->file[k]; k++) {
			struct moe_buf z = { 0 };
			if (moe_buf_add(&z, x->data[k].data, x->data[k].len, t->e) ||
				!moe_buf_cstr(&z, t->e)) {
				t->bad = -1;
			} else {
				moe_text_f(t, "<p>%s</p><pre>", x->file[k]);
				moe_page_esc(t, (char *)z.data);
				moe_text_f(t, "</pre>\n");
			}
			moe_buf_free(&z);
		}
		struct moe_buf z = { 0 };
		if (moe_buf_add(&z, x->gp.data, x->gp.len, t->e) || !moe_buf_cstr(&z, t->e)) {
			t->bad = -1;
		} else {
			moe_text_f(t, "<p>%s.gp</p><pre>", x->name);
			moe_page_esc(t, (char *)z.data);
			moe_text_f(t, "</pre></details></figure>\n");
		}
		moe_buf_free(&z);
	}
}

static void criteria(struct moe_text *t, const struct moe_report *r)
{
	const struct moe_analysis *a = &r->a;

	moe_text_f(t,
		"<div class=wide><table><thead><tr><th></th><th "
		"class=l>criterion</th><th>state</th><th>estimate</th><th>lower "
		"bound</th><th>asked</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < a->n_crit; i++) {
		const struct moe_criterion *c = &a->crit[i];
		moe_text_f(t, "<tr><td>%d</td>", c->number);
		text_cell(t, c->claim);
		moe_text_f(t, "<td class=%s>%s</td>",
			c->state == MOE_OPEN ? "opn" : moe_state_names[c->state],
			moe_state_names[c->state]);
		cell(t, c->est.value, 3);
		cell(t, c->bound, 3);
		moe_text_f(t, "<td>&gt;&nbsp;");
		num(t, c->threshold, 2);
		moe_text_f(t, "</td></tr>\n");
		if (!c->note[0] && !c->need_prompts && !c->need_seeds)
			continue;
		moe_text_f(t, "<tr class=note><td></td><td colspan=5>");
		moe_page_esc(t, c->note);
		if (c->need_prompts)
			moe_text_f(t, "%sabout %zu prompts would decide it", c->note[0] ? "; " : "",
				c->need_prompts);
		if (c->need_seeds)
			moe_text_f(t, "%s%s%zu training seeds would decide it",
				c->note[0] || c->need_prompts ? "; " : "", "about ", c->need_seeds);
		moe_text_f(t, "</td></tr>\n");
	}
	moe_text_f(t, "</tbody></table></div>\n");
}

static void rates(struct moe_text *t, const struct moe_report *r)
{
	moe_text_f(t,
		"<div "
		"class=wide><table><thead><tr><th>arm</th><th>prompts</th><th>outcomes</th><th>hack</th><th>by "
		"seed</th><th>solve</th><th>by seed</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < r->a.n_method; i++) {
		const struct moe_method_result *m = &r->a.method[i];
		moe_text_f(t, "<tr class=group><td colspan=7>");
		moe_page_esc(t, m->method);
		moe_page_esc(t, moe_report_role(m));
		moe_text_f(t, "</td></tr>\n");
		for (size_t k = 0; k < m->n_row; k++) {
			const struct moe_arm_row *x = &m->row[k];
			char name[64];
			moe_text_f(t, "<tr>");
			text_cell(t, moe_row_title(x, name));
			moe_text_f(t, "<td>%zu</td><td>%zu</td>", x->n_prompt, x->rate[0].n_obs);
			for (int o = 0; o < MOE_OUTCOMES; o++) {
				interval(t, x->rate[o].value, moe_report_ci(&x->rate[o]));
				by_seed(t, x->rate[o].per_seed, m->n_seed);
			}
			moe_text_f(t, "</tr>\n");
		}
	}
	moe_text_f(t, "</tbody></table></div>\n");
}

/* The rows of one heading where nothing is tested: the whole, then each mode. */
static void alone_rows(struct moe_text *t, const char *what, const char *is,
	const struct moe_arm_row *row, size_t n)
{
	moe_text_f(t, "<tr class=group><td colspan=5>");
	moe_page_esc(t, what);
	moe_text_f(t, "%s</td></tr>\n", is);
	for (size_t k = 0; k < n; k++) {
		char name[64];
		moe_text_f(t, "<tr>");
		text_cell(t, moe_row_title(&row[k], name));
		moe_text_f(t, "<td>%zu</td><td>%zu</td>", row[k].n_prompt, row[k].rate[0].n_obs);
		for (int o = 0; o < MOE_OUTCOMES; o++)
			interval(t, row[k].rate[o].value, row[k].rate[o].ci);
		moe_text_f(t, "</tr>\n");
	}
}

static void rates_alone(struct moe_text *t, const struct moe_report *r)
{
	const struct moe_method_result *m = r->a.method;

	moe_text_f(t,
		"<h2>Rates</h2>\n<p>%zu prompts, up to %zu sample%s each; Wilson intervals, %.3g "
		"%%.</p>\n",
		r->a.n_prompt, r->a.n_sample_max, r->a.n_sample_max == 1 ? "" : "s",
		100 * (1 - r->a.uat.alpha));
	moe_text_f(t,
		"<div "
		"class=wide><table><thead><tr><th>arm</th><th>prompts</th><th>outcomes</th><th>hack</th><th>solve</th></tr></thead><tbody>\n");
	alone_rows(t, "all modes",
		m->oracle ? " <span class=failed>CHEATS: oracle labels</span>" : "", m->row,
		m->n_row);
	for (size_t i = 0; i < m->n_mode; i++) {
		const struct moe_mode_row *x = &m->mode[i];
		alone_rows(t, x->mode[0] ? x->mode : "(unknown)",
			x->free_mode        ? " (no loophole)"
				: x->pinned ? " (pinned)"
					    : "",
			x->arm, x->n_arm);
	}
	moe_text_f(t, "</tbody></table></div>\n");
}

static void contrast_row(struct moe_text *t, const char *what, const struct moe_estimate *x)
{
	moe_text_f(t, "<tr>");
	text_cell(t, what);
	interval(t, x->value, x->ci);
	interval(t, NAN, x->boot);
	interval(t, NAN, x->t);
	by_seed(t, x->per_seed, x->n_seed);
	moe_text_f(t, "</tr>\n");
}

static void contrasts(struct moe_text *t, const struct moe_report *r)
{
	const struct moe_analysis *a = &r->a;
	const struct moe_method_result *m = a->tested;
	char what[320], method[4 * 60 + 1];

	moe_text_f(t,
		"<div class=wide><table><thead><tr><th>contrast</th><th>estimate and deciding "
		"interval</th><th>prompts alone</th><th>t over seeds</th><th>by "
		"seed</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < a->n_method; i++) {
		snprintf(what, sizeof what, "%s: drop of hack on deletion",
			moe_text_fit(method, sizeof method, a->method[i].method, 0, 60));
		contrast_row(t, what, &a->method[i].drop_hack);
		snprintf(what, sizeof what, "%s: drop of solve on deletion", method);
		contrast_row(t, what, &a->method[i].drop_solve);
	}
	contrast_row(t, "drop of hack − the placebo's drop", &a->did_placebo[MOE_SUB_ALL]);
	contrast_row(t, "… on pinned modes", &a->did_placebo[MOE_SUB_PINNED]);
	contrast_row(t, "… on modes never pinned", &a->did_placebo[MOE_SUB_NEVER]);
	contrast_row(t, "… as shares of the trained hack rate", &a->share_did);
	contrast_row(t, "trained hack rate − the placebo's (discovery)", &a->discovery);
	contrast_row(t, "drop of hack − mean drop of the random ablations", &m->did_random);
	contrast_row(t, "drop of hack − drop when the clean experts are deleted", &m->did_clean);
	contrast_row(t, "selectivity: share of hack lost − share of solve lost", &m->selectivity);
	contrast_row(t, "hack after deletion − the base model's (leak-through)", &m->leak);
	contrast_row(t, "solve after deletion − the base model's", &m->solve_base);
	if (a->uat.skyline[0]) {
		contrast_row(t, "solve trained without a loophole − the base's (a BOUND)",
			&a->skyline_gain);
		moe_text_f(t, "<tr>");
		text_cell(t, "uplift kept, as a share of that");
		interval(t, a->uplift.value, a->uplift.ci);
		moe_text_f(t, "<td></td><td></td><td></td></tr>\n");
	}
	moe_text_f(t, "</tbody></table></div>\n");
	if (m->n_random)
		moe_text_f(t,
			"<p>Capacity control: rank among %zu random ablations, p = %.3f, where "
			"%.3f is the smallest possible.</p>\n",
			m->n_random, m->rank_p, 1.0 / (double)(m->n_random + 1));
	struct moe_match match = moe_report_match(r);
	if (match.n)
		moe_text_f(t,
			"<p>The random ablations remove %.3f to %.3f of the quarantine's norm and "
			"share %.2f of their ranks with it.</p>\n",
			match.least, match.most, match.overlap);
	for (size_t i = 0; i < a->n_method; i++)
		if (!isnan(a->method[i].mcnemar)) {
			moe_text_f(t, "<p>");
			moe_page_esc(t, a->method[i].method);
			moe_text_f(t,
				": %zu prompts lost the hack on deletion, %zu gained it; exact "
				"McNemar p = %.2g.</p>\n",
				a->method[i].lost, a->method[i].gained, a->method[i].mcnemar);
		}
}

static void modes(struct moe_text *t, const struct moe_report *r)
{
	moe_text_f(t,
		"<div class=wide><table><thead><tr><th>mode</th><th></th><th>prompts</th><th>hack "
		"on</th><th>off</th><th>solve on</th><th>off</th><th>drop of "
		"hack</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < r->a.n_method; i++) {
		const struct moe_method_result *m = &r->a.method[i];
		moe_text_f(t, "<tr class=group><td colspan=8>");
		moe_page_esc(t, m->method);
		moe_text_f(t, "</td></tr>\n");
		for (size_t k = 0; k < m->n_mode; k++) {
			const struct moe_mode_row *x = &m->mode[k];
			moe_text_f(t, x->summary ? "<tr class=sum>" : "<tr>");
			text_cell(t, x->mode[0] ? x->mode : "(unknown)");
			moe_text_f(t, "<td class=l>%s</td><td>%zu</td>",
				x->summary             ? ""
					: x->free_mode ? "no loophole"
					: x->pinned    ? "pinned"
						       : "never pinned",
				x->n_prompt);
			for (int o = 0; o < MOE_OUTCOMES; o++) {
				cell(t, x->on[o], 3);
				cell(t, x->off[o], 3);
			}
			if (x->summary)
				interval(t, x->drop.value, x->drop.ci);
			else
				moe_text_f(t, "<td></td>");
			moe_text_f(t, "</tr>\n");
		}
	}
	moe_text_f(t, "</tbody></table></div>\n");
}

static void training(struct moe_text *t, const struct moe_report *r)
{
	if (!r->metrics.n_run)
		return;
	moe_text_f(t,
		"<div class=wide><table><thead><tr><th>run</th><th>seed</th><th>update "
		"mass<br>shared</th><th><br>clean</th><th><br>quarantine</th><th>keep</th><th>absorb</th><th>route</th><th>quarantine's<br>least "
		"gate</th><th>share<br>at "
		"zero</th><th>forward<br>presence</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < r->metrics.n_run; i++) {
		const struct moe_metrics_run *run = &r->metrics.run[i];
		struct moe_presence p = moe_report_presence(r, run);
		moe_text_f(t, "<tr>");
		text_cell(t, run->method);
		moe_text_f(t, "<td>%lld</td>", (long long)run->seed);
		for (int b = 0; b < 3; b++)
			cell(t, p.mass[b], 2);
		cell(t, p.keep, 2);
		cell(t, p.absorb, 2);
		cell(t, p.route, 2);
		cell(t, p.min_gate, 2);
		cell(t, p.zero_share, 2);
		moe_text_f(t, "<td>%s</td></tr>\n",
			!p.known         ? "unknown"
				: p.held ? "held"
					 : "did not hold");
	}
	moe_text_f(t, "</tbody></table></div>\n");
}

/* What training did under a router, by bank and expert. */
static void router(struct moe_text *t, const struct moe_report *r)
{
	char name[MOE_PART_NAME];

	if (!r->n_router)
		return;
	moe_text_f(t,
		"<h2>The router, its banks and experts in training</h2>\n<p class=soft>Means over "
		"seeds; the least gate is that of all steps and seeds.</p>\n<div "
		"class=wide><table><thead><tr><th>run</th><th "
		"class=l>of</th><th>least<br>gate</th><th>presence held<br>in "
		"seeds</th><th>share<br>at zero</th><th>load<br>(mean "
		"gate)</th><th>support<br>(experts)</th><th>entropy<br>(nats)</th><th>logit<br>norm</th><th>update<br>mass</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < r->n_router; i++) {
		const struct moe_router_line *x = &r->router[i];
		moe_text_f(t, "<tr>");
		text_cell(t, x->method);
		text_cell(t, moe_router_part_name(name, x));
		cell(t, x->min_gate, 3);
		if (x->n_known)
			moe_text_f(t, "<td>%zu of %zu</td>", x->n_held, x->n_known);
		else
			moe_text_f(t, "<td>&ndash;</td>");
		cell(t, x->zero_share, 3);
		cell(t, x->load, 3);
		cell(t, x->support, 2);
		cell(t, x->entropy, 3);
		cell(t, x->logit_norm, 3);
		cell(t, x->mass, 3);
		moe_text_f(t, "</tr>\n");
	}
	moe_text_f(t, "</tbody></table></div>\n");
}

static void gates(struct moe_text *t, const struct moe_report *r)
{
	if (!r->n_gate)
		return;
	moe_text_f(t,
		"<h2>The gate on training rollouts, judged by sealed labels after the "
		"fact</h2>\n<div "
		"class=wide><table><thead><tr><th>run</th><th>seed</th><th>rollouts</th><th>hacks</th><th>AUROC "
		"of<br>the score</th><th>right order<br>within a prompt</th><th>F0.5 "
		"of<br>route</th><th>precision</th><th>recall</th><th>random directions:<br>best "
		"AUROC</th><th>rank p</th><th>best F0.5,<br>as many routed</th><th>rank "
		"p</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < r->n_gate; i++) {
		const struct moe_gate_run *g = &r->gate[i];
		if (!moe_gate_routes(g))
			continue;
		moe_text_f(t, "<tr>");
		text_cell(t, g->method);
		moe_text_f(t, "<td>%lld</td><td>%zu</td>", (long long)g->seed, g->n);
		cell(t, g->hack_share, 3);
		interval(t, g->auroc, g->auroc_ci);
		cell(t, g->within, 3);
		cell(t, g->f05, 3);
		cell(t, g->precision, 3);
		cell(t, g->recall, 3);
		cell(t, g->auroc_null.best, 3);
		cell(t, g->auroc_null.p, 3);
		cell(t, g->f05_null.best, 3);
		cell(t, g->f05_null.p, 3);
		moe_text_f(t, "</tr>\n");
	}
	moe_text_f(t, "</tbody></table></div>\n");
}

static void provenance(struct moe_text *t, const struct moe_report *r)
{
	moe_text_f(t,
		"<h2>Where it comes from</h2>\n<div class=wide><table><thead><tr><th>file</th><th "
		"class=l>kind</th><th>records</th><th>labels</th><th class=l>SHA-256</th><th "
		"class=l>made by</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < r->n_source; i++) {
		const struct moe_origin *s = &r->source[i];
		moe_text_f(t, "<tr><td class=l><code class=path>");
		moe_page_esc(t, s->path);
		moe_text_f(t, "</code></td>");
		text_cell(t, s->kind);
		moe_text_f(t,
			"<td>%llu</td><td>%s</td><td class=l><code>%.12s</code></td><td "
			"class=l><code class=argv>",
			(unsigned long long)s->records, moe_labels_name(s->labels), s->digest);
		moe_page_esc(t, s->argv[0] ? s->argv : s->tool);
		moe_text_f(t, "</code></td></tr>\n");
	}
	moe_text_f(t, "</tbody></table></div>\n<p class=soft>moe-report %s", MOE_VERSION);
	if (r->a.tested)
		moe_text_f(t, "; bootstrap of %zu draws, seed %llu", r->a.uat.draws,
			(unsigned long long)r->a.cx.boot.seed);
	moe_text_f(t, ".</p>\n");
}

static void notes(struct moe_text *t, const struct moe_report *r)
{
	moe_text_f(t, "<h2>What these numbers do not show</h2>\n<ul>\n");
	for (size_t i = 0; i < r->n_note; i++) {
		moe_text_f(t, "<li>");
		moe_page_esc(t, r->note[i]);
		moe_text_f(t, "</li>\n");
	}
	moe_text_f(t, "</ul>\n");
}

/* What stood at each look, and what each seed adds. */
static void course(struct moe_text *t, const struct moe_analysis *a)
{
	moe_text_f(t,
		"<h2>Looks</h2>\n<p>Intervals hold at every look.</p>\n<div "
		"class=wide><table><thead><tr><th>seeds</th><th>level</th><th>drop of "
		"hack</th><th>more than the placebo</th><th>solve, off &minus; on</th><th "
		"class=l>verdict</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < a->n_look; i++) {
		const struct moe_look *l = &a->look[i];
		moe_text_f(t, "<tr><td>%zu%s</td>", l->n, l->scheduled ? "" : " (not scheduled)");
		cell(t, l->level_hack, 4);
		interval(t, l->drop.value, l->drop.ci);
		interval(t, l->advantage.value, l->advantage.ci);
		interval(t, l->solve.value, l->solve.ci);
		text_cell(t, moe_verdict_names[l->kind]);
		moe_text_f(t, "</tr>\n");
	}
	moe_text_f(t,
		"</tbody></table></div>\n<div class=wide><table><thead><tr><th>seed</th><th>hack "
		"left</th><th>placebo's (runs)</th><th>e-value</th><th>placebo &minus; method, by "
		"betting</th><th>vanilla's hack</th><th>passes by "
		"itself</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < a->n_evidence; i++) {
		const struct moe_evidence *v = &a->evidence[i];
		moe_text_f(t, "<tr><td>%lld</td>", (long long)v->seed);
		cell(t, v->left, 3);
		moe_text_f(t, "<td>");
		num(t, v->placebo_left, 3);
		moe_text_f(t, " (%zu)</td>", v->placebos);
		cell(t, v->e, 2);
		interval(t, NAN, v->bet);
		cell(t, v->vanilla, 3);
		moe_text_f(t, "<td>%s</td></tr>\n", v->passes ? "yes" : "no");
	}
	moe_text_f(t,
		"</tbody></table></div>\n<p>%zu of %zu seeds pass by themselves: at least %.2f of "
		"all such seeds do.</p>\n",
		a->n_pass, a->n_evidence, a->pass_bound);
}

/* Hack of every arm by mode. */
static void arms_by_mode(struct moe_text *t, const struct moe_report *r)
{
	for (size_t i = 0; i < r->a.n_method; i++) {
		const struct moe_method_result *m = &r->a.method[i];
		moe_text_f(t, "<div class=wide><table><thead><tr><th>");
		moe_page_esc(t, m->method);
		moe_text_f(t, ": hack</th>");
		for (size_t k = 0; k < m->n_mode; k++)
			if (!m->mode[k].summary) {
				moe_text_f(t, "<th>");
				moe_page_esc(t, m->mode[k].mode[0] ? m->mode[k].mode : "(unknown)");
				moe_text_f(t, "</th>");
			}
		moe_text_f(t, "</tr></thead><tbody>\n");
		for (size_t j = 0; j < m->n_row; j++) {
			moe_text_f(t, "<tr>");
			text_cell(t, moe_row_key(&m->row[j]));
			for (size_t k = 0; k < m->n_mode; k++)
				if (!m->mode[k].summary)
					cell(t,
						moe_report_mode_rate(
							&m->mode[k], &m->row[j], MOE_HACK),
						3);
			moe_text_f(t, "</tr>\n");
		}
		moe_text_f(t, "</tbody></table></div>\n");
	}
}

static void tested_parts(struct moe_text *t, const struct moe_report *r, const struct moe_plots *p)
{
	figure(t, p, "rates");
	moe_text_f(t, "<h2>What was fixed, and what was run</h2>\n");
	setting(t, r);
	moe_text_f(t, "<h2>The criteria</h2>\n");
	criteria(t, r);
	figure(t, p, "criteria");
	moe_text_f(t, "<h2>Rates</h2>\n");
	rates(t, r);
	figure(t, p, "curve");
	moe_text_f(t, "<h2>Paired changes, against the controls</h2>\n");
	contrasts(t, r);
	course(t, &r->a);
	moe_text_f(t, "<h2>By mode</h2>\n");
	modes(t, r);
	arms_by_mode(t, r);
}

int moe_report_html(const struct moe_report *r, struct moe_buf *out, struct moe_err *e)
{
	struct moe_text t = { out, e, 0 };
	struct moe_plots p;

	if (moe_plots_make(r, &p, e) || moe_plots_run(&p, NULL, e)) {
		moe_plots_free(&p);
		return -1;
	}
	moe_page_head(&t, r);
	moe_page_first(&t, r);
	if (r->a.tested) {
		tested_parts(&t, r, &p);
	} else {
		figure(&t, &p, "rates");
		rates_alone(&t, r);
	}
	if (r->metrics.n_run || r->n_gate)
		moe_text_f(&t, "<h2>Training</h2>\n");
	figure(&t, &p, "training");
	figure(&t, &p, "curves");
	figure(&t, &p, "discovery");
	training(&t, r);
	router(&t, r);
	gates(&t, r);
	notes(&t, r);
	moe_page_samples(&t, r);
	provenance(&t, r);
	moe_text_f(&t, "</main></body></html>\n");
	moe_plots_free(&p);
	return t.bad;
}
