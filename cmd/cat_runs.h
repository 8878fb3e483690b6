/* cat_runs.h - moe-cat's looks at runs of training: metrics in the forms of others, completions,
 * and runs under way. Each reads the operands (standard input without any) and may end the program.
 */
#ifndef MOE_CMD_CAT_RUNS_H
#define MOE_CMD_CAT_RUNS_H

#include "inspect/show.h"

/* --metrics: one table of all inputs. Appends to o->out; its descriptor must be set. */
void cat_metrics(struct moe_show *o, const char *form, int n, char **path);
/* --completions; html: as a page. */
void cat_completions(struct moe_show *o, bool html, bool colour, int n, char **path);
/* --watch: until all runs have ended. A table that is drawn anew on a terminal, else lines. */
void cat_watch(int fd, bool colour, int64_t steps, int n, char **path);

#endif
