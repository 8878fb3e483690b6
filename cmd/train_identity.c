/* train_identity.c - warns of rollouts that were sampled or routed by others than one would think;
 * what is refused and counted is rl/identity.c's. */
#include "cmd/train_identity.h"

#include "cmd/train_opts.h"

#include <stdio.h>
#include <string.h>

static const char *const sampled_by[MOE_SAMPLERS] = {
	[MOE_BY_EARLIER] =
		"this adapter as it was several steps ago (is moe-rollout --follow missing?)",
	[MOE_BY_OTHER] = "another adapter than the one that is trained (another seed's, another "
			 "method's, or under other options)",
	[MOE_BY_BASE] = "the plain base, without the adapter"
};

void train_identity_check(
	struct moe_identity *d, const struct moe_rollout_step *s, const struct moe_trainer *t)
{
	struct moe_identity was = *d;
	struct moe_err e;

	if (moe_identity_step(
		    d, s, t->a, t->m->digest, train_args.any_base, train_args.allow_oracle, &e))
		moe_die(&e);
	for (int i = 0; i < MOE_SAMPLERS; i++)
		if (sampled_by[i] && d->by[i] && !was.by[i])
			moe_warn("step %lld: %llu of %zu rollouts were sampled by %s",
				(long long)s->step, (unsigned long long)d->by[i], s->n,
				sampled_by[i]);
	for (int i = was.routers; i < d->routers; i++)
		if (strcmp(d->router[i], t->a->method) != 0)
			moe_warn("step %lld: %llu of %zu rollouts were routed by '%s', and the "
				 "adapter's method is '%s'; the report will call the result '%s'",
				(long long)s->step, (unsigned long long)d->routed[i], s->n,
				d->router[i], t->a->method, moe_adapter_reported(t->a));
	if (d->mixed && !was.mixed)
		moe_warn("step %lld: groups hold rollouts of several prompts (%llu of %zu): their "
			 "rewards are compared all the same",
			(long long)s->step, (unsigned long long)d->mixed, s->n);
	if (d->repeat && !was.repeat)
		moe_warn("step %lld: %llu of %zu rollouts stand there twice", (long long)s->step,
			(unsigned long long)d->repeat, s->n);
}

/* Only where not all is as it should be: on policy (or a step behind), routed by the method. */
void train_identity_report(const struct moe_identity *d, const struct moe_adapter *a)
{
	char text[512] = "";
	size_t n = 0;
	uint64_t odd = 0;

	for (int i = 0; i < MOE_SAMPLERS; i++) {
		odd += sampled_by[i] ? d->by[i] : 0;
		if (d->by[i] && n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %llu",
				n ? ", " : "", moe_sampler_names[i], (unsigned long long)d->by[i]);
	}
	if (odd)
		moe_warn("%llu of %llu rollouts were not sampled by the adapter that they trained "
			 "(%s): off policy; the counts are in its lineage",
			(unsigned long long)odd, (unsigned long long)d->rollouts, text);
	if (a->decided_by[0])
		moe_warn("the report will call this adapter '%s', not '%s', by who routed its "
			 "rollouts",
			a->decided_by, a->method);
}
