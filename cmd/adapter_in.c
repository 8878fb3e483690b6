/* adapter_in.c - reads the one arm of an adapter stream; programs that compare arms read them by
 * themselves. */
#include "cmd/adapter_in.h"

#include "cmd/opt.h"

#include <string.h>

struct moe_reader *moe_adapter_in(
	struct moe_adapter *a, const char *path, const struct moe_model *m, bool any_base)
{
	struct moe_reader *r = moe_in_open(path, "adapter");
	struct moe_adapter second = { 0 };
	struct moe_err e;
	int got = moe_adapter_read(r, false, a, &e);

	if (got == 0)
		moe_fail(&e, MOE_DATA, "%s holds no adapter", path);
	if (got != 1 || moe_adapter_check(a, &m->config, m->digest, any_base, &e))
		moe_die(&e);
	got = moe_adapter_read(r, false, &second, &e);
	if (got == 1)
		moe_fail(&e, MOE_DATA,
			"%s holds several arms, '%s' and '%s' first: take one out with moe-cat -s "
			"-w arm=%s",
			path, a->arm, second.arm, a->arm);
	if (got)
		moe_die(&e);
	if (strcmp(a->arm, "on") != 0)
		moe_warn("%s is the arm '%s', not 'on': some of its experts are switched off or "
			 "scaled",
			path, a->arm);
	return r;
}
