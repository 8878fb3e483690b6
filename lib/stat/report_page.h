/* report_page.h - the report's page between its files: style, first screen, samples. No tables
 * (report_html.c has them). */
#ifndef MOE_STAT_REPORT_PAGE_H
#define MOE_STAT_REPORT_PAGE_H

#include "stat/report.h"

/* s with the five characters that HTML reads as its own written out. */
void moe_page_esc(struct moe_text *t, const char *s);
/* Doctype, style and <main>. Light and dark, by what the reader's system says. */
void moe_page_head(struct moe_text *t, const struct moe_report *r);
/* Question, verdict, and one picture of the two numbers: hack left and uplift (or solve) kept. */
void moe_page_first(struct moe_text *t, const struct moe_report *r);
/* A few rollouts of each arm and mode, folded up. */
void moe_page_samples(struct moe_text *t, const struct moe_report *r);

#endif
