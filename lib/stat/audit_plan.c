/* audit_plan.c - what was planned beforehand (uat.conf) against what was run: seeds, steps,
 * prompts, and the conditions that the files' headers name. It judges no outcome. */
#include "stat/audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SAY(state, excludes, ...) moe_audit_say(a, e, "plan", state, excludes, __VA_ARGS__)
#define HELD                      MOE_CHECK_HELD
#define FAILED                    MOE_CHECK_FAILED
#define SKIPPED                   MOE_CHECK_SKIPPED

/* ---- the digest of a set of prompts ---- */

int moe_audit_prompt(struct moe_digests *d, const struct moe_rec *r, struct moe_err *e)
{
	bool rollout = moe_rec_is(r, "rollout");
	struct moe_str id = { "", 0 }, text = { "", 0 };
	struct moe_sha256 sha;
	char hex[MOE_SHA256_HEX];

	moe_rec_str(r, rollout ? "prompt_id" : "id", &id);
	moe_rec_str(r, rollout ? "prompt" : "text", &text);
	moe_sha256_init(&sha);
	moe_sha256_add(&sha, id.p, id.n);
	moe_sha256_add(&sha, "\n", 1);
	moe_sha256_add(&sha, text.p, text.n);
	moe_sha256_hex(&sha, hex);
	return moe_digests_find(d, hex) == SIZE_MAX ? moe_digests_add(d, hex, e) : 0;
}

static int by_text(const void *x, const void *y)
{
	return memcmp(x, y, MOE_SHA256_HEX);
}

/* Over the sorted digests, so that order and repetition do not count. A copy is sorted: the table
 * of d goes by its order. */
int moe_audit_prompts_digest(const struct moe_digests *d, char hex[65], struct moe_err *e)
{
	char(*v)[MOE_SHA256_HEX] = moe_alloc(d->n, sizeof *v, e);
	struct moe_sha256 sha;

	if (!v)
		return -1;
	if (d->n)
		memcpy(v, d->v, d->n * sizeof *v);
	qsort(v, d->n, sizeof *v, by_text);
	moe_sha256_init(&sha);
	for (size_t i = 0; i < d->n; i++)
		moe_sha256_add(&sha, v[i], MOE_SHA256_HEX - 1);
	moe_sha256_hex(&sha, hex);
	free(v);
	return 0;
}

/* ---- the checks ---- */

static int check_headers(struct moe_audit *a, struct moe_err *e)
{
	size_t same = 0, none = 0;

	for (size_t i = 0; i < a->n_file; i++) {
		const struct moe_audit_file *f = &a->file[i];
		if (strcmp(f->kind, "adapter") != 0 && strcmp(f->kind, "rollouts") != 0)
			continue;
		if (!f->uat[0])
			none++;
		else if (!strcmp(f->uat, a->uat->digest))
			same++;
		else
			return SAY(FAILED, "",
				"%s was made under other conditions (%.16s) than those given "
				"(%.16s)",
				f->path, f->uat, a->uat->digest);
	}
	if (none)
		return SAY(SKIPPED, "",
			"%zu of %zu files name no conditions (moe-pin --uat): whether they were "
			"fixed before is not known from here",
			none, same + none);
	return SAY(HELD, "conditions that were changed after the pins were made",
		"all %zu adapters and rollouts name these conditions (%.16s), from moe-pin on",
		same, a->uat->digest);
}

static bool evaluated(const struct moe_audit *a, const char *method, int64_t seed)
{
	for (size_t i = 0; i < a->n_policy; i++)
		if (a->policy[i].seed == seed && !strcmp(a->policy[i].method, method))
			return true;
	return false;
}

static bool planned(const struct moe_uat *u, int64_t seed)
{
	for (size_t i = 0; i < u->n_seed; i++)
		if (u->seed[i] == seed)
			return true;
	return false;
}

/* Seeds count in the order of the plan: those that were run are its first, or some were left out.
 */
static int check_method_seeds(
	struct moe_audit *a, const char *method, size_t *n, bool *failed, struct moe_err *e)
{
	const struct moe_uat *u = a->uat;
	size_t last = 0;

	for (size_t i = 0; i < u->n_seed; i++)
		if (evaluated(a, method, u->seed[i]))
			last = i + 1;
	*n = last;
	*failed = true;
	for (size_t i = 0; i < last; i++)
		if (!evaluated(a, method, u->seed[i]))
			return SAY(FAILED, "",
				"%s: seed %" PRId64 " stands in the plan before seed %" PRId64
				", and there is no evaluation of it: it was left out",
				method, u->seed[i], u->seed[last - 1]);
	for (size_t i = 0; i < a->n_policy; i++)
		if (a->policy[i].seed >= 0 && !strcmp(a->policy[i].method, method) &&
			!planned(u, a->policy[i].seed))
			return SAY(FAILED, "", "%s: seed %" PRId64 " was not planned", method,
				a->policy[i].seed);
	*failed = false;
	return 0;
}

static int check_planned_seeds(struct moe_audit *a, struct moe_err *e)
{
	size_t least = SIZE_MAX, n;
	bool failed;

	if (!a->n_policy)
		return 0;
	if (!a->uat->n_seed)
		return SAY(SKIPPED, "",
			"the conditions plan no seeds (seeds = ...): seeds that were left out can "
			"not be told");
	for (size_t i = 0; i < a->n_policy; i++) {
		bool first = true;
		for (size_t k = 0; k < i && first; k++)
			first = a->policy[k].method != a->policy[i].method;
		if (!first || !a->policy[i].method[0])
			continue;
		if (check_method_seeds(a, a->policy[i].method, &n, &failed, e))
			return -1;
		if (failed)
			return 0;
		least = n < least ? n : least;
	}
	return SAY(HELD,
		"seeds that were left out since they did not fit, and seeds that were added",
		"of each method the first %zu or more of the %zu planned seeds were evaluated, "
		"none left out before them",
		least == SIZE_MAX ? 0 : least, a->uat->n_seed);
}

static int check_planned_steps(struct moe_audit *a, struct moe_err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_arm; i++) {
		const struct moe_audit_arm *x = &a->arm[i];
		if (!x->step || strcmp(x->arm, "on") != 0)
			continue;
		n++;
		if (a->uat->steps && x->step != (int64_t)a->uat->steps)
			return SAY(FAILED, "",
				"%s was trained for %" PRId64 " steps; %zu were planned", x->path,
				x->step, a->uat->steps);
	}
	if (!n)
		return 0;
	return a->uat->steps
		? SAY(HELD, "training that was stopped, or gone on with, where it looked best",
			  "all %zu trained adapters have made the %zu planned steps", n,
			  a->uat->steps)
		: SAY(SKIPPED, "", "the conditions plan no number of steps (steps = ...)");
}

static int check_planned_prompts(struct moe_audit *a, struct moe_err *e)
{
	char hex[MOE_SHA256_HEX];

	if (!a->prompts.n)
		return 0;
	if (moe_audit_prompts_digest(&a->prompts, hex, e))
		return -1;
	if (!a->uat->prompts[0])
		return SAY(SKIPPED, "",
			"the conditions name no prompts; these %zu would be: prompts = %s",
			a->prompts.n, hex);
	if (strcmp(hex, a->uat->prompts) != 0)
		return SAY(FAILED, "",
			"the evaluation's %zu prompts (%zu different texts) are not those planned: "
			"their digest is %.16s, planned was %.16s: some were left out, doubled or "
			"exchanged",
			a->prompts.n, a->eval.prompt.n, hex, a->uat->prompts);
	return SAY(HELD, "prompts of the evaluation that were left out, doubled or exchanged",
		"the evaluation's %zu prompts (%zu different texts) are those planned",
		a->prompts.n, a->eval.prompt.n);
}

int moe_audit_plan(struct moe_audit *a, struct moe_err *e)
{
	for (size_t i = 0; !a->uat && i < a->n_file; i++)
		if (a->file[i].uat[0])
			return SAY(SKIPPED, "",
				"the files name conditions (%.16s) that were not given: -u FILE",
				a->file[i].uat);
	if (!a->uat)
		return 0;
	return check_headers(a, e) || check_planned_seeds(a, e) || check_planned_steps(a, e) ||
			check_planned_prompts(a, e)
		? -1
		: 0;
}
