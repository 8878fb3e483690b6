/* model_in.c - a base model with its warnings; the reading is lib/model's. */
#include "cmd/model_in.h"
#include "cmd/opt.h"
#include "util/ranks.h"

void moe_model_in(struct moe_model *m, const char *dir)
{
	struct moe_err e;

	if (moe_model_load(m, dir, &e) || moe_ranks_same("base", m->digest, &e))
		moe_die(&e);
	if (m->note[0])
		moe_warn("%s: %s", dir, m->note);
}
