/* report_curves.c - the plots of training curves: each run's numbers step by step, and smoothed. It
 * runs nothing (report_gnuplot.c does). */
#include "stat/report_plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *run_name(char b[64], const struct moe_metrics_run *run)
{
	return moe_plot_safe(b, run->method[0] ? run->method : "unnamed");
}

/* The run's points of a key, in the order of the stream: out[run->n] steps and values. */
static size_t points_of(const struct moe_metrics *m, const struct moe_metrics_run *run,
	const char *key, struct moe_point *out)
{
	int64_t k = moe_names_find(&m->key, key);
	size_t n = 0;

	for (size_t j = 0; k >= 0 && j < run->n; j++)
		if (run->point[j].key == (uint32_t)k && isfinite(run->point[j].value))
			out[n++] = run->point[j];
	return n;
}

/* Mean over a twentieth of the points to each side, as far as there are points. */
static double smooth(const struct moe_point *x, size_t n, size_t i)
{
	size_t half = n / 20, from = i < half ? 0 : i - half, to = i + half < n ? i + half : n - 1;
	double sum = 0;

	for (size_t k = from; k <= to; k++)
		sum += x[k].value;
	return sum / (double)(to - from + 1);
}

/* One block of a series: lines "run seed step value smoothed", blocks apart by two blank lines as
 * gnuplot's index wants. A run without the key has a block with a point that is not drawn. */
static int series(const struct moe_metrics *m, const struct moe_metrics_run *run, const char *key,
	struct moe_text *t)
{
	struct moe_point *x = moe_alloc(run->n + 1, sizeof *x, t->e);
	char b[64];

	if (!x)
		return t->bad = -1;
	size_t n = points_of(m, run, key, x);
	for (size_t i = 0; i < n; i++)
		moe_text_f(t, "%s\t%lld\t%lld\t%.5g\t%.4g\n", run_name(b, run),
			(long long)run->seed, (long long)x[i].step, x[i].value, smooth(x, n, i));
	moe_text_f(t, "%s\n\n", n ? "" : "none\t0\tnan\tnan\tnan\n");
	free(x);
	return t->bad;
}

static bool has_key(const struct moe_metrics *m, const char *key)
{
	for (size_t i = 0; i < m->n_run; i++)
		if (!isnan(moe_metrics_mean(m, &m->run[i], key, NULL, NULL)))
			return true;
	return false;
}

/* A panel: if asked for, the steps of each run thin and pale; the smoothed curve over them. Blocks
 * of the file begin at `from`. */
static void panel(
	struct moe_text *gp, const struct moe_report *r, const char *file, size_t from, bool steps)
{
	moe_text_f(gp, "plot ");
	for (size_t i = 0; i < r->metrics.n_run && steps; i++)
		moe_text_f(gp,
			"%s'%s' index %zu using 3:4 with lines lw 0.8 lc rgb '#d0%s' notitle",
			i ? ", \\\n     " : "", file, from + i,
			moe_plot_colour(r, r->metrics.run[i].method) + 1);
	for (size_t i = 0; i < r->metrics.n_run; i++)
		moe_text_f(gp, "%s'%s' index %zu using 3:5 with lines lw 1.6 lc rgb '%s' notitle",
			steps || i ? ", \\\n     " : "", file, from + i,
			moe_plot_colour(r, r->metrics.run[i].method));
	moe_text_f(gp, "\n");
}

static void frame(struct moe_text *gp, const char *title, double left, double right, double bottom,
	double top, const char *yrange)
{
	moe_text_f(gp,
		"set lmargin at screen %.3f\nset rmargin at screen %.3f\nset bmargin at screen "
		"%.3f\nset tmargin at screen %.3f\nset title '%s' font ',14' textcolor rgb "
		"'#222222' offset 0,-0.5\nset yrange [%s]\n",
		left, right, bottom, top, title, yrange);
}

/* What all panels share; the legend goes with the first of them. */
static void begin(struct moe_text *gp, const struct moe_report *r, int height)
{
	moe_text_f(gp,
		"set grid ytics lt 1 lc rgb '#d4d8db'\nset xlabel 'step' offset 0,0.6\nunset "
		"key\n");
	moe_plot_legend(gp, r, false, 1 - 16.0 / height);
	moe_text_f(gp, "set multiplot\n");
}

int moe_plot_training(const struct moe_report *r, struct moe_plots *p, struct moe_err *e)
{
	const struct moe_metrics *m = &r->metrics;
	struct moe_text gp, reward, route;
	bool shares = has_key(m, "route/route");

	if (!m->n_run || !has_key(m, "reward"))
		return 0;
	struct moe_plot *x = moe_plot_start(p, "training",
		"Training: mean reward of a step's rollouts, and the share of them that was routed "
		"to the quarantine; one line a run, smoothed over a tenth of the steps, the steps "
		"themselves pale behind it. The reward can be gamed: its rise is hacking as well "
		"as solving.",
		940, 340, &gp, e);
	reward = moe_plot_data(x, 0, "reward.tsv", e);
	for (size_t i = 0; i < m->n_run; i++)
		series(m, &m->run[i], "reward", &reward);
	begin(&gp, r, 340);
	frame(&gp, "reward", 0.06, shares ? 0.48 : 0.985, 0.15, 0.84, "*:*");
	panel(&gp, r, "reward.tsv", 0, true);
	route = (struct moe_text){ 0 };
	if (shares) {
		route = moe_plot_data(x, 1, "routed.tsv", e);
		for (size_t i = 0; i < m->n_run; i++)
			series(m, &m->run[i], "route/route", &route);
		moe_text_f(&gp, "unset label\n");
		frame(&gp, "share routed", 0.555, 0.985, 0.15, 0.84, "0:1");
		panel(&gp, r, "routed.tsv", 0, true);
	}
	moe_text_f(&gp, "unset multiplot\n");
	return gp.bad || reward.bad || route.bad;
}

static const struct {
	const char *key, *title, *yrange;
} curve[] = { { "kl", "KL to the reference", "*:*" }, { "entropy", "entropy of a token", "*:*" },
	{ "completions/mean_length", "length of completions, tokens", "*:*" },
	{ "update_mass/quarantine", "update mass of the quarantine", "0:1" },
	{ "presence/quarantine/min_gate", "presence: least gate of the quarantine", "0:1" },
	{ "presence/quarantine/zero_share", "presence: share of tokens at zero", "0:1" } };
#define CURVES (sizeof curve / sizeof *curve)

/* What else the metrics tell of each run, two panels a row: those that they have. */
int moe_plot_curves(const struct moe_report *r, struct moe_plots *p, struct moe_err *e)
{
	const struct moe_metrics *m = &r->metrics;
	struct moe_text gp, rows;
	size_t n = 0, at = 0;

	for (size_t k = 0; k < CURVES; k++)
		n += has_key(m, curve[k].key);
	if (!n)
		return 0;
	int lines = (int)(n + 1) / 2, height = 230 * lines + 50;
	struct moe_plot *x = moe_plot_start(p, "curves",
		"Divergence, entropy and length over training, how much of the update the "
		"quarantine took, and whether it was there in the forward pass; one line a run, "
		"smoothed over a tenth of the steps.",
		940, height, &gp, e);
	rows = moe_plot_data(x, 0, "curves.tsv", e);
	begin(&gp, r, height);
	for (size_t k = 0; k < CURVES; k++) {
		if (!has_key(m, curve[k].key))
			continue;
		double top = 1 - (75.0 + 230 * (double)(at / 2)) / height;
		for (size_t i = 0; i < m->n_run; i++)
			series(m, &m->run[i], curve[k].key, &rows);
		frame(&gp, curve[k].title, at % 2 ? 0.57 : 0.07, at % 2 ? 0.985 : 0.485,
			top - 155.0 / height, top, curve[k].yrange);
		panel(&gp, r, "curves.tsv", at * m->n_run, false);
		moe_text_f(&gp, "unset label\n");
		at++;
	}
	moe_text_f(&gp, "unset multiplot\n");
	return gp.bad || rows.bad;
}
