/* rollout_opts.h - moe-rollout's options and their variables. */
#ifndef MOE_CMD_ROLLOUT_OPTS_H
#define MOE_CMD_ROLLOUT_OPTS_H

#include "cmd/opt.h"

struct rollout_args {
	const char *base_dir, *adapters, *follow_path, *resume_path, *teacher_path, *off_text,
		*partition, *template_path;
	int64_t group, per_step, steps, max_new, top_k, lag, teacher_until, wait_sec, limit;
	double temperature, top_p, teacher_ratio;
	struct moe_opt_list scales, stops, from, map;
	bool any_base, skip_bad, teacher_logp;
};
extern struct rollout_args rollout_args;
extern const struct moe_opt rollout_options[];

/* A usage error for options that exclude or need each other. */
void rollout_check_options(void);

#endif
