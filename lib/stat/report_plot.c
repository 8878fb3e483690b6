/* report_plot.c - data files and gnuplot scripts of the report's plots. It runs nothing
 * (report_gnuplot.c does). */
#include "stat/report_plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HACK  "#b5402a"
#define SOLVE "#2a6f97"
static const char *const method_colour[] = { "#1d3557", "#c77d1a", "#7a7f85", "#6a4c93",
	"#4f772d" };
#define COLOURS (sizeof method_colour / sizeof *method_colour)

/* A name as gnuplot may see it inside single quotes or in a data file. */
const char *moe_plot_safe(char out[64], const char *s)
{
	size_t i = 0;

	for (; i < 63 && s[i]; i++)
		out[i] =
			strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:=+,()- "
			       "/",
				s[i])
			? s[i]
			: '?';
	out[i] = 0;
	return out;
}

struct moe_plot *moe_plot_start(struct moe_plots *p, const char *name, const char *caption,
	int width, int height, struct moe_text *gp, struct moe_err *e)
{
	struct moe_plot *x = &p->plot[p->n++];

	memset(x, 0, sizeof *x);
	x->name = name;
	x->caption = caption;
	*gp = (struct moe_text){ &x->gp, e, 0 };
	moe_text_f(gp, "# gnuplot %s.gp makes %s.svg from the data beside it\n", name, name);
	moe_text_f(gp,
		"set terminal svg size %d,%d font 'Helvetica,Arial,sans-serif,13' noenhanced "
		"background '#ffffff'\n",
		width, height);
	moe_text_f(gp,
		"set output '%s.svg'\nset encoding utf8\nset datafile separator \"\\t\"\nset "
		"datafile missing 'nan'\n",
		name);
	moe_text_f(gp,
		"set border 0\nset tics scale 0 textcolor rgb '#3a3f44'\nset grid xtics lt 1 lc "
		"rgb '#d4d8db' lw 1\nset style fill solid 0.16 noborder\n");
	return x;
}

struct moe_text moe_plot_data(struct moe_plot *x, int i, const char *file, struct moe_err *e)
{
	x->file[i] = file;
	return (struct moe_text){ &x->data[i], e, 0 };
}

static const char *arm_label(char out[64], const struct moe_arm_row *row)
{
	char name[64];

	if (row->kind == MOE_ARM_RANDOM || row->kind == MOE_ARM_DAMAGE)
		snprintf(out, 64, "%s (%zu)", moe_row_key(row), row->n_arms);
	else
		snprintf(out, 64, "%.40s", moe_plot_safe(name, row->name));
	return out;
}

/* Rows of the dot plot: from the top, one line a method's name, then its arms. Returns the number
 * of lines. */
static int rate_rows(const struct moe_report *r, struct moe_text *gp, struct moe_text *rows,
	struct moe_text *seeds)
{
	char b[64];
	int y = 0;

	moe_text_f(rows, "y\tarm\thack\thack_lo\thack_hi\tsolve\tsolve_lo\tsolve_hi\n");
	moe_text_f(seeds, "y\tseed\thack\tsolve\n");
	for (size_t i = 0; i < r->a.n_method; i++) {
		const struct moe_method_result *m = &r->a.method[i];
		moe_text_f(gp,
			"set label %zu '%s%s' at graph -0.02, first %d right font ',14' textcolor "
			"rgb '#000000'\n",
			i + 1, moe_plot_safe(b, m->method[0] ? m->method : "no method"),
			m->tested            ? " (tested)"
				: m->placebo ? " (placebo)"
					     : "",
			-y++);
		for (size_t k = 0; k < m->n_row; k++) {
			const struct moe_arm_row *x = &m->row[k];
			const struct moe_rate *h = &x->rate[MOE_HACK], *s = &x->rate[MOE_SOLVE];
			if (x->kind == MOE_ARM_SCALE)
				continue;
			moe_text_f(rows, "%d\t%s\t%.5f\t%.5f\t%.5f\t%.5f\t%.5f\t%.5f\n", -y,
				arm_label(b, x), h->value, h->ci.lo, h->ci.hi, s->value, s->ci.lo,
				s->ci.hi);
			for (size_t j = 0; j < m->n_seed && m->n_seed > 1; j++)
				moe_text_f(seeds, "%d\t%lld\t%.5f\t%.5f\n", -y,
					(long long)m->seed[j], h->per_seed[j], s->per_seed[j]);
			y++;
		}
		y++;
	}
	if (r->a.method->n_seed < 2) /* the tested one's */
		moe_text_f(seeds, "0\tnone\tnan\tnan\n");
	return y;
}

/* Height of the dot plot in pixels. */
static int rate_height(const struct moe_report *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->a.n_method; i++) {
		n += 2;
		for (size_t k = 0; k < r->a.method[i].n_row; k++)
			n += r->a.method[i].row[k].kind != MOE_ARM_SCALE;
	}
	return (int)(24 * n) + 70;
}

static int plot_rates(const struct moe_report *r, struct moe_plots *p, struct moe_err *e)
{
	struct moe_text gp, rows, seeds, labels;
	struct moe_buf where = { 0 };
	struct moe_plot *x = moe_plot_start(p, "rates",
		r->a.tested ? "Rates of hack (left) and solve (right) in every arm: the point is "
			      "the mean over training seeds, the bar its Wilson interval with the "
			      "seeds held, the small rings the single seeds."
			    : "Rates of hack (left) and solve (right) in every arm, with their "
			      "Wilson intervals.",
		940, rate_height(r), &gp, e);

	labels = (struct moe_text){ &where, e, 0 };
	rows = moe_plot_data(x, 0, "rates.tsv", e);
	seeds = moe_plot_data(x, 1, "seeds.tsv", e);
	int n = rate_rows(r, &labels, &rows, &seeds);
	moe_text_f(&gp,
		"set xrange [0:1]\nset yrange [%d:0.7]\nset xtics 0.2 format '%%.1f'\nunset key\n",
		-n + 1);
	moe_text_f(&gp, "set multiplot layout 1,2\nset tmargin 2.5\nset bmargin 2.5\n");
	moe_text_f(&gp,
		"set lmargin at screen 0.26\nset rmargin at screen 0.605\nset title 'hack' "
		"textcolor rgb '" HACK "' font ',15'\n");
	moe_text_add(&gp, (char *)where.data, where.len);
	moe_text_f(&gp,
		"plot 'rates.tsv' skip 1 using 4:1:($5-$4):(0):yticlabels(2) with vectors nohead "
		"lw 7 lc rgb '#90b5402a', \\\n"
		"     'seeds.tsv' skip 1 using 3:1 with points pt 6 ps 0.7 lw 1.2 lc rgb "
		"'#40000000', \\\n"
		"     'rates.tsv' skip 1 using 3:1 with points pt 7 ps 0.8 lc rgb '" HACK "'\n");
	for (size_t i = 0; i < r->a.n_method; i++)
		moe_text_f(&gp, "unset label %zu\n", i + 1);
	moe_text_f(&gp,
		"set lmargin at screen 0.64\nset rmargin at screen 0.985\nset title 'solve' "
		"textcolor rgb '" SOLVE "' font ',15'\nset format y ''\n");
	moe_text_f(&gp,
		"plot 'rates.tsv' skip 1 using 7:1:($8-$7):(0) with vectors nohead lw 7 lc rgb "
		"'#902a6f97', \\\n"
		"     'seeds.tsv' skip 1 using 4:1 with points pt 6 ps 0.7 lw 1.2 lc rgb "
		"'#40000000', \\\n"
		"     'rates.tsv' skip 1 using 6:1 with points pt 7 ps 0.8 lc rgb '" SOLVE
		"'\nunset multiplot\n");
	moe_buf_free(&where);
	return gp.bad || rows.bad || seeds.bad || labels.bad;
}

/* Every criterion's estimate and interval beside what it must exceed. */
static int plot_criteria(const struct moe_report *r, struct moe_plots *p, struct moe_err *e)
{
	static const char *const colour[] = { "#d98b86", "#c3c8cc", "#86b8a0" };
	const struct moe_analysis *a = &r->a;
	struct moe_text gp, rows, seeds;

	if (!a->tested)
		return 0;
	struct moe_plot *x = moe_plot_start(p, "criteria",
		"The criteria: estimate, interval and single seeds (rings). A bar must lie wholly "
		"to the right of its tick.",
		940, (int)(34 * a->n_crit) + 70, &gp, e);

	rows = moe_plot_data(x, 0, "criteria.tsv", e);
	seeds = moe_plot_data(x, 1, "criteria-seeds.tsv", e);
	moe_text_f(&rows, "y\tclaim\tvalue\tlo\thi\tasked\tstate\tcolour\n");
	moe_text_f(&seeds, "y\tseed\tvalue\n0\tnone\tnan\n");
	double lo = -0.1, hi = 0.1;
	for (size_t i = 0; i < a->n_crit; i++) {
		const struct moe_criterion *c = &a->crit[i];
		if (isnan(c->est.value))
			continue;
		lo = fmin(lo, c->est.ci.lo);
		hi = fmax(hi, c->est.ci.hi);
		moe_text_f(&rows, "%d\t%d  %s\t%.5f\t%.5f\t%.5f\t%.5f\t%s\t%ld\n", -(int)i,
			c->number, c->claim, c->est.value, c->est.ci.lo, c->est.ci.hi, c->threshold,
			moe_state_names[c->state], strtol(colour[c->state] + 1, NULL, 16));
		for (size_t j = 0; j < c->est.n_seed && c->est.n_seed > 1; j++) {
			moe_text_f(&seeds, "%d\t%lld\t%.5f\n", -(int)i, (long long)c->est.seed[j],
				c->est.per_seed[j]);
			lo = fmin(lo, c->est.per_seed[j]);
			hi = fmax(hi, c->est.per_seed[j]);
		}
	}
	moe_text_f(&gp,
		"set xrange [%.3f:%.3f]\nset yrange [%.1f:0.6]\nset xtics format '%%+g'\nset xtics "
		"add ('0' 0)\nunset key\nset lmargin at screen 0.49\nset rmargin at screen 0.985\n"
		"set arrow 1 from 0, graph 0 to 0, graph 1 nohead lc rgb '#9aa0a6' lw 1\n",
		fmax(lo - 0.03, -1.05), fmin(hi + 0.03, 3), -(double)a->n_crit + 0.4);
	moe_text_f(&gp,
		"plot 'criteria.tsv' skip 1 using 4:1:($5-$4):(0):8:yticlabels(2) with vectors "
		"nohead lw 8 lc rgb variable, \\\n"
		"     'criteria-seeds.tsv' skip 1 using 3:1 with points pt 6 ps 0.7 lw 1.2 lc rgb "
		"'#000000', \\\n"
		"     'criteria.tsv' skip 1 using 3:1 with points pt 7 ps 0.9 lc rgb '#1f2428', "
		"\\\n"
		"     'criteria.tsv' skip 1 using 6:($1-0.36):(0):(0.72) with vectors nohead lw 2 "
		"lc rgb '#000000'\n");
	return gp.bad || rows.bad || seeds.bad;
}

static void curve_row(struct moe_text *t, double scale, const struct moe_arm_row *x)
{
	const struct moe_rate *h = &x->rate[MOE_HACK], *s = &x->rate[MOE_SOLVE];

	moe_text_f(t, "%.4f\t%.5f\t%.5f\t%.5f\t%.5f\t%.5f\t%.5f\n", scale, h->value, h->ci.lo,
		h->ci.hi, s->value, s->ci.lo, s->ci.hi);
}

/* Hack and solve over the scale of the quarantine, from deleted (0) to as trained (1). */
static int plot_curve(const struct moe_report *r, struct moe_plots *p, struct moe_err *e)
{
	const struct moe_method_result *m = r->a.tested;
	const struct moe_arm_row *on = moe_report_row(m, MOE_ARM_ON),
				 *off = moe_report_row(m, MOE_ARM_QOFF),
				 *base = moe_report_row(m, MOE_ARM_BASE);
	struct moe_text gp, rows;

	if (!on || !off || !moe_report_row(m, MOE_ARM_SCALE))
		return 0;
	struct moe_plot *x = moe_plot_start(p, "curve",
		"The deploy knob: hack and solve of the tested method over the scale of its "
		"quarantine, 0 = deleted, 1 = as trained; bands are Wilson intervals. Full "
		"deletion can understate solve.",
		940, 360, &gp, e);
	rows = moe_plot_data(x, 0, "curve.tsv", e);
	moe_text_f(&rows, "scale\thack\thack_lo\thack_hi\tsolve\tsolve_lo\tsolve_hi\n");
	curve_row(&rows, 0, off);
	for (size_t k = 0; k < m->n_row; k++)
		if (m->row[k].kind == MOE_ARM_SCALE && m->row[k].scale > 0 && m->row[k].scale < 1)
			curve_row(&rows, m->row[k].scale, &m->row[k]);
	curve_row(&rows, 1, on);
	moe_text_f(&gp,
		"set grid ytics lt 1 lc rgb '#d4d8db'\nset xrange [0:1]\nset yrange [0:1]\nset "
		"xlabel 'scale of the quarantine'\nset ylabel 'rate'\n"
		"set key outside right center reverse Left samplen 1.5\n");
	if (base)
		moe_text_f(&gp,
			"set arrow from 0,%.5f to 1,%.5f nohead dt 3 lc rgb '" HACK
			"'\nset label 'base' at 0.99,%.5f right offset 0,0.5 textcolor rgb '" HACK
			"'\n",
			base->rate[0].value, base->rate[0].value, base->rate[0].value);
	moe_text_f(&gp,
		"plot 'curve.tsv' skip 1 using 1:3:4 with filledcurves lc rgb '" HACK
		"' notitle, '' skip 1 using 1:6:7 with filledcurves lc rgb '" SOLVE
		"' notitle, \\\n"
		"     '' skip 1 using 1:2 with linespoints pt 7 ps 0.7 lw 2 lc rgb '" HACK
		"' title 'hack', \\\n"
		"     '' skip 1 using 1:5 with linespoints pt 7 ps 0.7 lw 2 lc rgb '" SOLVE
		"' title 'solve'\n");
	return gp.bad || rows.bad;
}

const char *moe_plot_colour(const struct moe_report *r, const char *method)
{
	for (size_t i = 0; i < r->a.n_method; i++)
		if (!strcmp(r->a.method[i].method, method))
			return method_colour[i % COLOURS];
	return method_colour[COLOURS - 1];
}

void moe_plot_legend(struct moe_text *gp, const struct moe_report *r, bool gates, double y)
{
	size_t n = gates ? r->n_gate : r->metrics.n_run;
	double x = 0.06;

	for (size_t i = 0; i < n; i++) {
		const char *name = gates ? r->gate[i].method : r->metrics.run[i].method;
		bool first = true;
		char b[64];
		for (size_t j = 0; j < i && first; j++)
			first = strcmp(gates ? r->gate[j].method : r->metrics.run[j].method,
					name) != 0;
		if (!first)
			continue;
		moe_plot_safe(b, name[0] ? name : "unnamed");
		moe_text_f(gp,
			"set label '\xe2\x80\x94 %s' at screen %.3f, screen %.3f left font ',13' "
			"textcolor rgb '%s'\n",
			b, x, y, moe_plot_colour(r, name));
		x += 0.0082 * (double)(strlen(b) + 5);
	}
}

/* Shares of a recorded run's rollouts that hacked and solved, step by step. */
static int gate_series(const struct moe_gate_run *g, struct moe_text *t)
{
	char b[64];
	int64_t last = -1;

	for (size_t i = 0; i < g->n; i++)
		last = g->step[i] > last ? g->step[i] : last;
	for (int64_t s = 0; s <= last; s++) {
		double hack = 0, solve = 0, n = 0;
		for (size_t i = 0; i < g->n; i++)
			if (g->step[i] == s) {
				hack += g->hacked[i];
				solve += g->solved[i];
				n++;
			}
		if (n > 0)
			moe_text_f(t, "%s\t%lld\t%lld\t%.5f\t%.5f\n",
				moe_plot_safe(b, g->method[0] ? g->method : "unnamed"),
				(long long)g->seed, (long long)s, hack / n, solve / n);
	}
	moe_text_f(t, "\n\n");
	return t->bad;
}

static int plot_discovery(const struct moe_report *r, struct moe_plots *p, struct moe_err *e)
{
	struct moe_text gp, rows;

	if (!r->n_gate)
		return 0;
	struct moe_plot *x = moe_plot_start(p, "discovery",
		"Hack and solve among the rollouts of each training step, by sealed labels opened "
		"after the fact: when each run discovered the hack. One line a run, sampled as it "
		"trained, with all experts on.",
		940, 330, &gp, e);
	rows = moe_plot_data(x, 0, "discovery.tsv", e);
	for (size_t i = 0; i < r->n_gate; i++)
		gate_series(&r->gate[i], &rows);
	moe_text_f(&gp,
		"set grid ytics lt 1 lc rgb '#d4d8db'\nset xlabel 'step'\nset yrange [0:1]\nunset "
		"key\n");
	moe_plot_legend(&gp, r, true, 0.955);
	moe_text_f(&gp, "set multiplot\nset tmargin 3.5\nset bmargin 3.5\n");
	for (int out = 0; out < MOE_OUTCOMES; out++) {
		moe_text_f(&gp,
			"set lmargin at screen %s\nset rmargin at screen %s\nset title '%s' font "
			"',15' textcolor rgb '%s'\nplot ",
			out ? "0.555" : "0.06", out ? "0.985" : "0.48", out ? "solve" : "hack",
			out ? SOLVE : HACK);
		for (size_t i = 0; i < r->n_gate; i++) {
			moe_text_f(&gp,
				"%s'discovery.tsv' index %zu using 3:%d with lines lw 1.3 lc rgb "
				"'%s' notitle",
				i ? ", \\\n     " : "", i, 4 + out,
				moe_plot_colour(r, r->gate[i].method));
		}
		moe_text_f(&gp, "\nunset label\n");
	}
	moe_text_f(&gp, "unset multiplot\n");
	return gp.bad || rows.bad;
}

int moe_plots_make(const struct moe_report *r, struct moe_plots *p, struct moe_err *e)
{
	memset(p, 0, sizeof *p);
	return plot_rates(r, p, e) || plot_criteria(r, p, e) || plot_curve(r, p, e) ||
			moe_plot_training(r, p, e) || moe_plot_curves(r, p, e) ||
			plot_discovery(r, p, e)
		? -1
		: 0;
}

void moe_plots_free(struct moe_plots *p)
{
	for (size_t i = 0; i < p->n; i++) {
		moe_buf_free(&p->plot[i].gp);
		moe_buf_free(&p->plot[i].svg);
		for (int k = 0; k < MOE_PLOT_FILES; k++)
			moe_buf_free(&p->plot[i].data[k]);
	}
	memset(p, 0, sizeof *p);
}
