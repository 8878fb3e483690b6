/* report_files.h - what moe-report reads and writes beside the report: conditions and
 * their registration. Both end the program on failure. */
#ifndef MOE_CMD_REPORT_FILES_H
#define MOE_CMD_REPORT_FILES_H

#include "cmd/opt.h"
#include "stat/uat.h"

/* Conditions from path over the built-in ones; text (NULL allowed) gets the file itself. */
void moe_read_uat(struct moe_uat *u, const char *path, struct moe_buf *text);
/* Registers the conditions in uat; path[n] are evaluations made so far. */
void moe_write_registration(const char *uat, int n, char **path);
#endif
