/* ablate_in.h - what moe-ablate reads beside the adapter: the base, pairs, texts, a trajectory. It
 * dies on failure. */
#ifndef MOE_CMD_ABLATE_IN_H
#define MOE_CMD_ABLATE_IN_H

#include "cmd/opt.h"
#include "moe/ablate.h"

struct ablate_args {
	const char *arms, *base, *pairs, *texts;
	struct moe_opt_list trajectory;
	bool any_base;
};
extern struct ablate_args ablate_args;
extern const struct moe_opt ablate_options[];

/* Refuses what the n arms `name` need and is not given, and what is given and none needs. input:
 * the adapter's file. */
void ablate_check_aids(char *const *name, size_t n, const char *input);
/* Reads all that is given. The output names it among its inputs, and carries its labels. */
void ablate_read_aids(struct moe_out *out);
/* For the adapter that arms are to be made of: checked against the base, run over the texts.
 * Borrowed until the next call. */
const struct moe_ablate_aids *ablate_aids_for(const struct moe_adapter *a);
void ablate_free_aids(void);

#endif
