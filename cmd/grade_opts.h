/* grade_opts.h - moe-grade's options and their variables, its external grader, and its words about
 * what could not be graded. */
#ifndef MOE_CMD_GRADE_OPTS_H
#define MOE_CMD_GRADE_OPTS_H

#include "cmd/opt.h"
#include "env/exec.h"
#include "env/grade.h"

#define BATCH_MAX 4096

struct grade_args {
	const char *env_path, *registration, *pay, *exec_box;
	int64_t batch, steps;
	size_t memory;
	double cpu_sec, wall_sec;
	bool in_process, pays_oracle;
	struct moe_exec_opts exec_opts;
	struct moe_opt_list exec_env;
};
extern struct grade_args grade_args;
extern const struct moe_opt grade_options[];

/* Starts --exec in its box, or dies. Owned by the caller. */
struct moe_exec *grade_open_exec(void);
/* After the last rollout: dies when nothing was graded, before the end record, so that who reads
 * the output stops too; warns of what got 0 for want of a grade, and of grades that depended on
 * time. g or exec is NULL. */
void grade_check(const struct moe_grader *g, const struct moe_exec *exec, uint64_t count,
	const uint64_t faults[MOE_GRADE_FAULTS]);

#endif
