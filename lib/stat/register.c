/* register.c - the record of a registration. The stream around it, and the clock, are the
 * program's.
 */
#include "stat/register.h"

#include "formats/list.h"

#include <string.h>

static int refuse_known(const struct moe_uat *u, const struct moe_obs *o, struct moe_err *e)
{
	for (size_t i = 0; o && i < u->n_seed; i++)
		for (size_t r = 0; r < o->n_run; r++)
			if (o->run[r].seed == u->seed[i] && o->run[r].method[0])
				return moe_fail(e, MOE_DATA,
					"seed %lld has been run already, with method \"%.40s\": a "
					"registration names seeds that are still to come",
					(long long)u->seed[i], o->run[r].method);
	return 0;
}

int moe_register(struct moe_rec *out, const struct moe_uat *u, const char *text, size_t n,
	const char *date, const struct moe_obs *o, struct moe_err *e)
{
	uint64_t seed[MOE_UAT_SEEDS], look[MOE_LOOKS_MAX];
	size_t looks[MOE_LOOKS_MAX], n_look = moe_uat_looks(u, looks);

	if (!u->n_seed)
		return moe_fail(e, MOE_DATA,
			"the conditions list no seeds: a registration needs a line like \"seeds = "
			"11 12 13\", the training seeds still to be run, in order");
	if (refuse_known(u, o, e))
		return -1;
	for (size_t i = 0; i < u->n_seed; i++)
		seed[i] = (uint64_t)u->seed[i];
	for (size_t i = 0; i < n_look; i++)
		look[i] = looks[i];
	return moe_rec_set_str(out, "t", "registration", e) ||
			moe_rec_set_str(out, "date", date, e) ||
			moe_rec_set_str(out, "uat_sha256", u->digest, e) ||
			moe_rec_set_strn(out, "uat", text, n, e) ||
			moe_rec_set_u64s(out, "seeds", seed, u->n_seed, e) ||
			moe_rec_set_u64s(out, "looks", look, n_look, e)
		? -1
		: 0;
}
