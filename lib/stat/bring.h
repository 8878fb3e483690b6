/* bring.h - outcomes of experiments that others ran, from their JSON: what `moe-report --from`
 * reads.
 *
 * A field mapping (formats/fieldmap.h) says where in a row is what. Keys: prompt (its id), hack,
 * solve, arm, method, train_seed, mode, sample, task, marker; text, completion and reward for the
 * samples; rows, the array that holds the rows of a larger object; arm.NAME, what they call our arm
 * NAME; only.FIELD, the value that FIELD of a row must have. Beside paths and `=TEXT`, a path may
 * be @file or @dir (the row's file without its endings, its folder); hack and solve may end with
 * >NUMBER or >=NUMBER; and `*` in a path is the only field of its object.
 */
#ifndef MOE_STAT_BRING_H
#define MOE_STAT_BRING_H

#include "stat/report.h"

struct moe_bring {
	const char *const *path; /* [n_path] as lib/data/members.h reads them */
	size_t n_path;
	const char *const *name; /* [n_path] the same, as the report names them */
	const char *const *map;  /* [n_map] KEY=PATH,... or a preset: trl, lm-eval, inspect */
	size_t n_map;
	size_t max_bytes; /* of one row; 0 = 64 MiB */
};

/* Adds all rows to the report's outcomes. Errors name file and line (MOE_DATA, MOE_USAGE). */
int moe_report_bring(struct moe_report *r, const struct moe_bring *b, struct moe_err *e);

#endif
