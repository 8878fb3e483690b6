/* report_plot.h - the report's plots: data and gnuplot scripts, and the run of gnuplot itself.
 *
 * Names that come from data reach gnuplot only as columns of a data file or as single-quoted text
 * from a small set of characters, so that no name can be a command. Between files of the report
 * only.
 */
#ifndef MOE_STAT_REPORT_PLOT_H
#define MOE_STAT_REPORT_PLOT_H

#include "stat/report.h"

#define MOE_PLOTS_MAX  6
#define MOE_PLOT_FILES 3

struct moe_plot {
	const char *name, *caption;       /* file stem; what is seen */
	struct moe_buf gp;                /* the script: reads the data files, writes NAME.svg */
	const char *file[MOE_PLOT_FILES]; /* names of the data files; NULL = fewer */
	struct moe_buf data[MOE_PLOT_FILES];
	struct moe_buf svg; /* after moe_plots_run; empty when gnuplot is missing or failed */
};

struct moe_plots {
	struct moe_plot plot[MOE_PLOTS_MAX];
	size_t n;
	bool no_gnuplot;
};

/* ---- between report_plot.c and report_curves.c ---- */
/* A name as gnuplot may see it inside single quotes or in a data file. */
const char *moe_plot_safe(char out[64], const char *s);
/* A method's colour, the same in every plot: "#rrggbb". */
const char *moe_plot_colour(const struct moe_report *r, const char *method);
/* The methods of the training curves, or of the recorded runs, in their colours, in a line at the
 * height y of the drawing. */
void moe_plot_legend(struct moe_text *gp, const struct moe_report *r, bool gates, double y);
/* Begins a plot and its script; its i-th data file. */
struct moe_plot *moe_plot_start(struct moe_plots *p, const char *name, const char *caption,
	int width, int height, struct moe_text *gp, struct moe_err *e);
struct moe_text moe_plot_data(struct moe_plot *x, int i, const char *file, struct moe_err *e);
int moe_plot_training(const struct moe_report *r, struct moe_plots *p, struct moe_err *e);
int moe_plot_curves(const struct moe_report *r, struct moe_plots *p, struct moe_err *e);

/* The plots that the data allow. */
int moe_plots_make(const struct moe_report *r, struct moe_plots *p, struct moe_err *e);
/* Writes scripts and data into dir (or a temporary directory when NULL, removed again), runs
 * gnuplot there, and reads the SVGs. A missing or failing gnuplot is no error: svg stays empty. */
int moe_plots_run(struct moe_plots *p, const char *dir, struct moe_err *e);
void moe_plots_free(struct moe_plots *p);

#endif
