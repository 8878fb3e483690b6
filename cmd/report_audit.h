/* report_audit.h - moe-report --audit and --flip-seals. */
#ifndef MOE_CMD_REPORT_AUDIT_H
#define MOE_CMD_REPORT_AUDIT_H

#include "cmd/opt.h"
#include "stat/uat.h"

struct audit_args {
	const char *base, *env;
	struct moe_opt_list flipped, *runs;
	int64_t every;
	struct moe_uat uat; /* with a digest when a file was given */
};
int report_audit(const struct audit_args *o, int n, char **path);
/* Prints the digest of the evaluation's prompts, as a line of uat.conf. */
int report_prompts(int n, char **path);
/* Copies a stream of rollouts with its seals negated and its routes taken out. */
int report_flip(int n, char **path);

#endif
