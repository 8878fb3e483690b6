/* pairs_opts.h - moe-pairs' options and their variables. */
#ifndef MOE_CMD_PAIRS_OPTS_H
#define MOE_CMD_PAIRS_OPTS_H

#include "cmd/opt.h"
#include "env/pairset.h"

struct pairs_args {
	const char *env_path, *modes, *split, *section, *prefix, *format, *template_path,
		*tokenizer;
	struct moe_opt_list tags, maps, against;
	int64_t number;
	double length_ratio;
	bool shuffle, neutral, dedupe, look;
};
extern struct pairs_args pairs_args;
extern const struct moe_opt pairs_options[];

/* Refuses options that do not fit together, and fills what a pair set wants to know; dies on
 * failure. What o points to lives until pairs_opts_free. path [operands]: the files given. */
void pairs_configure(struct moe_pairset_opts *o, const char *const *path, int operands);
void pairs_opts_free(void);

#endif
