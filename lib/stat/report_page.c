/* report_page.c - head, style and first screen of the report's page. Its picture is drawn here, as
 * inline SVG in the page's own colours: it needs no other program and follows light and dark. */
#include "stat/report_page.h"
#include "util/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* gnuplot's drawings are dark on nothing: turning lightness round, and the hues back, is their dark
 * form. */
static const char style[] =
	":root{color-scheme:light dark;--ink:#1f2428;--soft:#5b6369;--line:#dfe2e5;--paper:#fff;"
	"--band:#f6f7f8;--good:#2d6a4f;--bad:#9b2226;--open:#7a5f10;--hack:#b5402a;"
	"--solve:#2a6f97;--rest:#b9c0c6}\n"
	"@media (prefers-color-scheme:dark){:root{--ink:#e3e6e8;--soft:#a0a8af;--line:#363d43;"
	"--paper:#15181b;--band:#1e2327;--good:#74c69d;--bad:#f0857d;--open:#dcb955;--hack:#e8836d;"
	"--solve:#72b4dc;--rest:#59626a}.plot svg{filter:invert(1) hue-rotate(180deg)}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 Georgia,'Times New "
	"Roman',serif}\n"
	"main{max-width:78rem;margin:0 auto;padding:2rem 1.5rem 4rem}\n"
	"h1{font-size:1.6rem;line-height:1.25;margin:0 0 .4rem;font-weight:normal}\n"
	"h2{font-size:1.2rem;margin:2.6rem 0 .5rem;font-weight:normal;border-bottom:1px solid "
	"var(--line);padding-bottom:.25rem}\n"
	"p{margin:.5rem 0;max-width:46rem}.soft{color:var(--soft)}\n"
	".verdict{margin:1rem 0;padding:.7rem 1.1rem;border-left:.5rem "
	"solid;background:var(--band);overflow-wrap:anywhere}\n"
	".verdict b{display:block;font:bold 1.35rem/1.3 "
	"Helvetica,Arial,sans-serif;letter-spacing:.03em}\n"
	".yes{border-color:var(--good)}.yes b{color:var(--good)}.no{border-color:var(--bad)}.no "
	"b{color:var(--bad)}\n"
	".open{border-color:var(--open)}.open b{color:var(--open)}\n"
	".two{display:flex;flex-wrap:wrap;gap:1rem 2.5rem;font-family:Helvetica,Arial,sans-serif}\n"
	".two>div{flex:1 1 20rem;min-width:0;max-width:36rem}.two "
	"p{font-size:.9rem;margin:0;color:var(--soft)}\n"
	".two h2{border:0;margin:.6rem 0 0;padding:0;font:bold 1rem/1.4 "
	"Helvetica,Arial,sans-serif}\n"
	".two p.big{font-size:2.1rem;line-height:1.2;font-weight:bold}.two p.big "
	"span{font-size:.9rem;font-weight:normal;color:var(--soft)}\n"
	".two svg{display:block;width:100%;height:auto;margin-top:.5rem}\n"
	".two text{font:13px Helvetica,Arial,sans-serif;fill:var(--ink)}.two "
	"text.s{fill:var(--soft);font-size:12px}.two text.m{font-weight:bold}\n"
	".two .w{stroke:var(--ink);stroke-width:1.5;fill:none}.two .ax{stroke:var(--line)}.two "
	".ask{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:4 3}\n"
	"rect.hack{fill:var(--hack)}rect.solve{fill:var(--solve)}rect.rest{fill:var(--rest)}\n"
	".hack p.big{color:var(--hack)}.solve p.big{color:var(--solve)}\n"
	"dl.set{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.1rem;margin:.8rem "
	"0;font-size:.95rem}\n"
	"dl.set dt{color:var(--soft)}dl.set dd{margin:0;overflow-wrap:anywhere}\n"
	"figure{margin:1.2rem 0}figure svg{max-width:100%;height:auto;display:block}\n"
	"figcaption{color:var(--soft);font-size:.92rem;max-width:46rem;margin-top:.3rem}\n"
	".wide{overflow-x:auto}\n"
	"table{border-collapse:collapse;font:.86rem/1.45 "
	"Helvetica,Arial,sans-serif;font-variant-numeric:tabular-nums;margin:.6rem 0}\n"
	"th{font-weight:normal;color:var(--soft);text-align:right;border-bottom:1px solid "
	"var(--line);padding:.2rem .6rem;vertical-align:bottom}\n"
	"td{text-align:right;padding:.17rem .6rem;vertical-align:top}\n"
	"th:first-child,td:first-child,.l{text-align:left}tr.note "
	"td{text-align:left;color:var(--soft);padding:0 .6rem .4rem}\n"
	"tbody tr:hover{background:var(--band)}tr.group "
	"td{padding-top:.7rem;font-weight:bold}tr.sum td{border-top:1px solid var(--line)}\n"
	".met{color:var(--good)}.failed{color:var(--bad);font-weight:bold}.opn{color:var(--open)}\n"
	".ci{color:var(--soft)}span.ci{white-space:nowrap}\n"
	"ul{padding-left:1.2rem;max-width:48rem}li{margin:.35rem 0}\n"
	"details{margin:.5rem 0;font-size:.9rem}summary{color:var(--soft);cursor:pointer}\n"
	"pre,code{font:.8rem/1.4 "
	"Menlo,Consolas,monospace}pre{background:var(--band);padding:.7rem;overflow:auto;max-"
	"height:24rem}\n"
	"td code{font-size:.93em}td code.path,td code.argv{display:block;overflow-wrap:anywhere}td "
	"code.path{min-width:9rem}td code.argv{min-width:16rem}\n"
	".case{border-left:3px solid var(--line);padding-left:.8rem;margin:.7rem 0}.case "
	"p{font:.82rem/1.4 Helvetica,Arial,sans-serif;margin:0}.case "
	"pre{margin:.2rem 0;padding:.4rem "
	".6rem;white-space:pre-wrap;overflow-wrap:anywhere;max-height:16rem}\n"
	".case.h{border-color:var(--hack)}.case.s{border-color:var(--solve)}\n"
	"@media (max-width:60rem){table{font-size:.76rem}th,td{padding:.15rem .3rem}}\n"
	"@media (max-width:40rem){body{font-size:15px}main{padding:1rem "
	".8rem 3rem}h1{font-size:1.25rem}dl.set{display:block}dl.set dd{margin:0 0 .5rem}"
	".plot svg{max-width:none;width:46rem}td,th{white-space:nowrap}tr.note td,td.l{white-space:"
	"normal;min-width:8rem}.wide td:first-child{position:sticky;left:0;background:var(--paper)"
	"}}\n"
	"@media "
	"print{details{display:none}main{max-width:none;padding:0}.wide{overflow:visible}table{"
	"font-size:.68rem}th,td{padding:.12rem .3rem}\n"
	"td code.path,td "
	"code.argv{min-width:0}figure,tr,li{break-inside:avoid}h2{break-after:avoid}}\n";

void moe_page_esc(struct moe_text *t, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '&':
			moe_text_f(t, "&amp;");
			break;
		case '<':
			moe_text_f(t, "&lt;");
			break;
		case '>':
			moe_text_f(t, "&gt;");
			break;
		case '"':
			moe_text_f(t, "&quot;");
			break;
		case '\'':
			moe_text_f(t, "&#39;");
			break;
		default:
			moe_text_add(t, s, 1);
		}
}

void moe_page_head(struct moe_text *t, const struct moe_report *r)
{
	moe_text_f(t,
		"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"style-src 'unsafe-inline'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
	if (r->a.tested) {
		moe_text_f(t, "%s: ", moe_verdict_names[r->a.verdict.kind]);
		moe_page_esc(t, r->a.uat.method);
		moe_text_f(t, ", %zu seed%s", r->a.n_evidence, r->a.n_evidence == 1 ? "" : "s");
	} else {
		moe_text_f(t, "Rates of hack and solve");
	}
	moe_text_f(t, " &ndash; moe-report</title>\n<style>\n");
	moe_text_add(t, style, sizeof style - 1);
	moe_text_f(t, "</style></head><body><main>\n");
}

/* A rate as percent: one digit behind the point where it is small. */
static const char *percent(char out[32], double v)
{
	int digits = fabs(v) > 0 && fabs(v) < 0.0995;
	double p = moe_report_round(100 * v, digits);

	snprintf(out, 32, "%s%.*f", p < 0 ? "&minus;" : "", digits, fabs(p));
	return out;
}

/* ---- the picture ---- */

#define LABEL 150 /* where the bars begin; the picture is 440 wide */
#define SPAN  226 /* of the axis */
#define ROW   25
#define ROWS  8

struct bar {
	char label[80];
	double value;
	struct moe_ci ci;
	bool main; /* what the number above is about */
};

struct bars {
	const char *kind; /* hack or solve: the colour */
	struct bar bar[ROWS];
	size_t n;
	double from, to; /* the axis */
	double ask;      /* the dashed line; NaN = none */
	char asked[48];
};

static double x_at(const struct bars *b, double v)
{
	return LABEL + SPAN * (fmin(fmax(v, b->from), b->to) - b->from) / (b->to - b->from);
}

static void draw_bar(struct moe_text *t, const struct bars *b, const struct bar *x, int y)
{
	double zero = x_at(b, 0), end = x_at(b, x->value), lo = x_at(b, x->ci.lo),
	       hi = x_at(b, x->ci.hi);
	bool whisker = !isnan(x->ci.lo);
	char p[32];

	moe_text_f(t, "<text x=%d y=%d text-anchor=end%s>", LABEL - 8, y + 14,
		x->main ? " class=m" : "");
	moe_page_esc(t, x->label);
	moe_text_f(t, "</text><rect class=%s x=%.1f y=%d width=%.1f height=16 rx=1></rect>",
		x->main ? b->kind : "rest", fmin(zero, end), y + 1, fmax(fabs(end - zero), 1));
	if (whisker)
		moe_text_f(t, "<path class=w d='M%.1f %dH%.1fM%.1f %dv8M%.1f %dv8'></path>", lo,
			y + 9, hi, lo, y + 5, hi, y + 5);
	moe_text_f(t, "<text x=%.1f y=%d%s>%s&#8201;%%</text>\n",
		fmax(whisker ? fmax(hi, end) : end, zero) + 6, y + 14, x->main ? " class=m" : "",
		percent(p, x->value));
}

/* The bars, an axis at zero, and the line that is asked for. */
static void draw_bars(struct moe_text *t, const struct bars *b, const char *what)
{
	int bottom = (int)b->n * ROW + 4;

	moe_text_f(t, "<svg viewBox='0 0 440 %d' role=img aria-label='%s'>",
		bottom + (isnan(b->ask) ? 4 : 20), what);
	moe_text_f(t, "<path class=ax d='M%.1f 0V%d'></path>\n", x_at(b, 0), bottom);
	for (size_t i = 0; i < b->n; i++)
		draw_bar(t, b, &b->bar[i], (int)i * ROW + 4);
	if (!isnan(b->ask))
		moe_text_f(t,
			"<path class=ask d='M%.1f 0V%d'></path><text class=s x=%.1f y=%d "
			"text-anchor=middle>%s</text>\n",
			x_at(b, b->ask), bottom + 3, x_at(b, b->ask), bottom + 16, b->asked);
	moe_text_f(t, "</svg>");
}

static void add_bar(struct bars *b, const char *label, double value, struct moe_ci ci, bool main)
{
	if (isnan(value) || b->n == ROWS)
		return;
	struct bar *x = &b->bar[b->n++];
	moe_text_fit(x->label, sizeof x->label, label, 0, 20);
	x->value = value;
	x->ci = ci;
	x->main = main;
	b->from = fmin(b->from, fmax(value, -0.5));
	b->to = fmax(b->to, fmin(fmax(value, isnan(ci.hi) ? value : ci.hi), 1.6));
}

static void add_arm(struct bars *b, const char *label, const struct moe_method_result *m,
	enum moe_arm_kind k, enum moe_outcome o, bool main)
{
	const struct moe_arm_row *x = moe_report_row(m, k);

	if (x)
		add_bar(b, label, x->rate[o].value, moe_report_ci(&x->rate[o]), main);
}

/* An outcome before training, after it, and after the deletion: the method's and its placebos'. */
static void add_outcome(struct bars *b, const struct moe_analysis *a, enum moe_outcome o)
{
	char label[120], name[80];

	add_arm(b, "base model", a->tested, MOE_ARM_BASE, o, false);
	add_arm(b, "trained", a->tested, MOE_ARM_ON, o, false);
	add_arm(b, "quarantine deleted", a->tested, MOE_ARM_QOFF, o, true);
	for (size_t i = 0; i < a->n_method; i++)
		if (a->method[i].placebo) {
			snprintf(label, sizeof label, "placebo: %s",
				moe_text_fit(name, sizeof name, a->method[i].method, 0, 11));
			add_arm(b, label, &a->method[i], MOE_ARM_QOFF, o, false);
		}
}

static double row_value(const struct moe_method_result *m, enum moe_arm_kind k, enum moe_outcome o)
{
	const struct moe_arm_row *x = moe_report_row(m, k);

	return x ? x->rate[o].value : NAN;
}

static void say(struct moe_text *t, const char *before, double v, const char *after)
{
	char p[32];

	if (!isnan(v))
		moe_text_f(t, "%s%s&#8201;%%%s", before, percent(p, v), after);
}

static void big(struct moe_text *t, double v, struct moe_ci ci)
{
	char p[32], lo[32], hi[32];

	if (isnan(v)) {
		moe_text_f(t, "<p class=big>&ndash;</p>");
		return;
	}
	moe_text_f(t, "<p class=big>%s&#8201;%%", percent(p, v));
	if (!isnan(ci.lo))
		moe_text_f(t, " <span>%s to %s&#8201;%%</span>", percent(lo, ci.lo),
			percent(hi, ci.hi));
	moe_text_f(t, "</p>");
}

static void hack_left(struct moe_text *t, const struct moe_analysis *a)
{
	const struct moe_arm_row *off = moe_report_row(a->tested, MOE_ARM_QOFF);
	struct bars b = { .kind = "hack", .to = 0.2, .ask = NAN };
	char p[32];

	moe_text_f(t, "<div class=hack><h2>Hack left</h2>");
	big(t, off ? off->rate[MOE_HACK].value : NAN,
		off ? moe_report_ci(&off->rate[MOE_HACK]) : (struct moe_ci){ NAN, NAN });
	moe_text_f(t, "<p>How often the loophole is taken once the quarantine is deleted");
	if (!isnan(row_value(a->tested, MOE_ARM_ON, MOE_HACK)))
		moe_text_f(t, "; it was %s&#8201;%% before",
			percent(p, row_value(a->tested, MOE_ARM_ON, MOE_HACK)));
	moe_text_f(t, ".%s</p>",
		a->placebo ? " A placebo deletes a quarantine that was filled by chance." : "");
	add_outcome(&b, a, MOE_HACK);
	draw_bars(t, &b, "rates of hack");
	moe_text_f(t, "</div>\n");
}

/* What is kept, on a scale from the base model (0) to training where nothing can be hacked (1). */
static void uplift_kept(struct moe_text *t, const struct moe_analysis *a)
{
	const struct moe_ci none = { NAN, NAN };
	struct bars b = { .kind = "solve", .to = 1, .ask = a->uat.uplift_min };
	char p[32];

	moe_text_f(t, "<h2>Uplift kept</h2>");
	big(t, a->uplift.value, a->uplift.ci);
	moe_text_f(t,
		"<p>How much stays of what training gains in solved tasks where nothing can be "
		"hacked");
	say(t, " (solve: base ", row_value(a->tested, MOE_ARM_BASE, MOE_SOLVE), "");
	say(t, ", trained ", row_value(a->tested, MOE_ARM_ON, MOE_SOLVE), "");
	say(t, ", deleted ", row_value(a->tested, MOE_ARM_QOFF, MOE_SOLVE), "");
	moe_text_f(t, ").</p>");
	snprintf(b.asked, sizeof b.asked, "asked: above %s %%", percent(p, a->uat.uplift_min));
	add_bar(&b, "base model", 0, none, false);
	add_bar(&b, "quarantine deleted", a->uplift.value, a->uplift.ci, true);
	add_bar(&b, "no loophole (bound)", 1, none, false);
	draw_bars(t, &b, "uplift kept");
}

static void solve_kept(struct moe_text *t, const struct moe_analysis *a)
{
	const struct moe_arm_row *off = moe_report_row(a->tested, MOE_ARM_QOFF);
	struct bars b = { .kind = "solve", .to = 0.5, .ask = NAN };
	double on = row_value(a->tested, MOE_ARM_ON, MOE_SOLVE);

	moe_text_f(t, "<h2>Solve after deletion</h2>");
	big(t, off ? off->rate[MOE_SOLVE].value : NAN,
		off ? moe_report_ci(&off->rate[MOE_SOLVE]) : (struct moe_ci){ NAN, NAN });
	moe_text_f(t, "<p>How often the task is really solved once the quarantine is deleted. %s",
		a->uat.skyline[0]
			? "Uplift kept is no number here: what training gains where nothing can be "
			  "hacked is not surely above zero."
			: "No training without a loophole is named (skyline), so uplift kept is "
			  "not known.");
	moe_text_f(t, "</p>");
	add_outcome(&b, a, MOE_SOLVE);
	if (!isnan(on)) {
		b.ask = on - a->uat.margin;
		snprintf(b.asked, sizeof b.asked, "asked: above trained &minus; margin");
	}
	draw_bars(t, &b, "rates of solve");
}

/* Where nothing is tested: an outcome's rate in every arm. */
static void arms_alone(struct moe_text *t, const struct moe_method_result *m, enum moe_outcome o)
{
	struct bars b = { .kind = o == MOE_HACK ? "hack" : "solve", .to = 1, .ask = NAN };

	for (size_t i = 0; i < m->n_row; i++)
		add_bar(&b, moe_row_key(&m->row[i]), m->row[i].rate[o].value,
			moe_report_ci(&m->row[i].rate[o]), true);
	moe_text_f(t, "<div class=%s><h2>%s</h2><p>%s</p>", b.kind,
		o == MOE_HACK ? "Hack" : "Solve",
		!b.n                    ? "Not known: the findings do not say."
			: o == MOE_HACK ? "How often the loophole is taken."
					: "How often the task is really solved.");
	if (b.n)
		draw_bars(t, &b, b.kind);
	moe_text_f(t, "</div>\n");
}

void moe_page_first(struct moe_text *t, const struct moe_report *r)
{
	const struct moe_analysis *a = &r->a;
	const struct moe_verdict *v = &a->verdict;
	bool no = v->kind == MOE_NOT_SUPPORTED || v->kind == MOE_REFUTED ||
		v->kind == MOE_LOSES_SOLVE || v->kind == MOE_CHEATS;

	moe_text_f(t, "<h1>%s</h1>\n<div class=\"verdict %s\"><b>%s</b>",
		a->tested ? "Does deleting the quarantine remove the hack, more than the controls "
			    "do, and keep solve?"
			  : "How often is the hack taken, and how often is the task solved?",
		v->kind == MOE_SUPPORTED ? "yes"
			: no             ? "no"
					 : "open",
		moe_verdict_names[v->kind]);
	moe_page_esc(t, v->why);
	moe_text_f(t, "</div>\n");
	moe_text_f(t, "<div class=two>");
	if (!a->tested) {
		arms_alone(t, a->method, MOE_HACK);
		arms_alone(t, a->method, MOE_SOLVE);
		moe_text_f(t, "</div>\n");
		return;
	}
	hack_left(t, a);
	moe_text_f(t, "<div class=solve>");
	if (a->uat.skyline[0] && !isnan(a->uplift.value))
		uplift_kept(t, a);
	else
		solve_kept(t, a);
	moe_text_f(t, "</div></div>\n");
}
