/* cat_opts.h - moe-cat's options and their variables. */
#ifndef MOE_CMD_CAT_OPTS_H
#define MOE_CMD_CAT_OPTS_H

#include "cmd/opt.h"

struct cat_args {
	bool head, json, values, check, lineage, stream, from_json, numpy, to_st, from_st, pack,
		unbuffered, truncated, samples, completions, html, watch, gguf_lora;
	const char *metrics, *kind, *unpack, *peft, *from_peft, *base, *bank;
	int64_t limit; /* -1 = not given */
	struct moe_opt_list where;
};
extern struct cat_args cat_args;
extern const struct moe_opt cat_options[];

/* An option that would do nothing is refused: whoever gave it expects something. */
void cat_check_options(bool operands);

#endif
