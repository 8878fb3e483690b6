/* report_bring.h - moe-report --from: files of others, Parquet among them. It dies on failure. */
#ifndef MOE_CMD_REPORT_BRING_H
#define MOE_CMD_REPORT_BRING_H

#include "cmd/opt.h"
#include "stat/bring.h"

/* Reads the files of `from`, mapped by `map`, into the report. */
void report_bring(
	struct moe_report *r, const struct moe_opt_list *from, const struct moe_opt_list *map);

#endif
