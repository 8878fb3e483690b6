/* placeholder */
#include "stat/report.h"
int moe_report_html(const struct moe_report *r, struct moe_buf *out, struct moe_err *e){(void)r;(void)out;(void)e;return 0;}
int moe_report_plots(const struct moe_report *r, const char *dir, struct moe_err *e){(void)r;(void)dir;(void)e;return 0;}
