/* deploy.c - what adapters do with a deleted expert's gate, and which random ablations are controls
 * then. The ablations themselves are lib/moe/ablate.c's. */
#include "stat/report.h"

#include "moe/method.h"

#include <string.h>

int moe_report_deploy(
	struct moe_report *r, const char *method, struct moe_str deploy, struct moe_err *e)
{
	for (int d = 0; d < MOE_DEPLOYS; d++)
		if (deploy.n ? moe_str_eq(deploy, moe_deploy_names[d]) : d == MOE_DEPLOY_DROP)
			return moe_names_add(&r->deploy[d], &r->arena, method, strlen(method), e) <
					0
				? -1
				: 0;
	return moe_fail(e, MOE_DATA,
		"an adapter of \"%.40s\" has a deploy that this version does not know", method);
}

bool moe_report_deploy_unknown(const struct moe_report *r, const char *method)
{
	const struct moe_method *row = moe_method_find(method, NULL);
	bool router = row && row->router;

	for (size_t i = 0; i < r->n_router; i++)
		router |= !strcmp(r->router[i].method, method);
	for (int d = 0; d < MOE_DEPLOYS; d++)
		if (moe_names_find(&r->deploy[d], method) >= 0)
			return false;
	return router;
}

const char *moe_handed_on(const struct moe_uat *u, const char *method)
{
	for (int d = 0; u->deploy && d < MOE_DEPLOYS; d++)
		if (d != MOE_DEPLOY_DROP && moe_names_find(&u->deploy[d], method) >= 0)
			return moe_deploy_names[d];
	return NULL;
}

void moe_report_unmatched(struct moe_report *r, const struct moe_uat *u)
{
	for (size_t i = 0; i < r->obs.n_run; i++)
		for (size_t k = 0; k < r->obs.run[i].n_arm; k++) {
			struct moe_obs_arm *arm = &r->obs.run[i].arm[k];
			if (moe_handed_on(u, r->obs.run[i].method) && arm->kind == MOE_ARM_RANDOM &&
				strncmp(arm->name, "experts-off", 11))
				arm->kind = MOE_ARM_OTHER;
		}
}
