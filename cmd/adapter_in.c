/* adapter_in.c - reads the first arm of an adapter stream; programs that compare arms read them by themselves. */
#include "cmd/adapter_in.h"

#include "cmd/opt.h"

struct moe_reader *moe_adapter_in(struct moe_adapter *a, const char *path, const struct moe_model *m, bool any_base)
{
	struct moe_reader *r = moe_in_open(path, "adapter");
	struct moe_err e;
	int got = moe_adapter_read(r, false, a, &e);

	if (got == 0)
		moe_fail(&e, MOE_DATA, "%s holds no adapter", path);
	if (got != 1 || moe_adapter_check(a, &m->config, m->digest, any_base, &e))
		moe_die(&e);
	moe_in_rest(r);
	return r;
}
