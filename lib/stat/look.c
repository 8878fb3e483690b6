/* look.c - the looks at a growing number of training seeds. What one look says is decide.c's
 * matter, how levels are spread over looks sequence.c's. */
#include "stat/verdict.h"

#include <math.h>
#include <string.h>

double moe_level_at(const struct moe_analysis *a, double alpha)
{
	double level[MOE_LOOKS_MAX];
	size_t most = moe_uat_max_seeds(&a->uat);

	moe_look_levels(a->schedule, a->at + 1, most, alpha, level);
	return level[a->at];
}

/* Scheduled looks, and one at the seeds that are there where none is scheduled: then also at each
 * number since the last scheduled one, since whoever looks between looks looked there, too. */
static void make_schedule(struct moe_analysis *a, size_t has)
{
	size_t fixed[MOE_LOOKS_MAX], n = moe_uat_looks(&a->uat, fixed), before = 0, k = 0;
	bool scheduled = false;

	for (size_t i = 0; i < n; i++) {
		scheduled |= fixed[i] == has;
		before = fixed[i] < has ? fixed[i] : before;
	}
	for (size_t i = 0; i < n && fixed[i] < has; i++)
		a->schedule[k++] = fixed[i];
	before = before < a->uat.min_seeds ? a->uat.min_seeds - 1 : before;
	if (!scheduled && has <= before) /* too few seeds for any decision: shown all the same */
		a->schedule[k++] = has;
	for (size_t s = before + 1; !scheduled && s <= has && k < MOE_LOOKS_MAX; s++)
		a->schedule[k++] = s;
	for (size_t i = 0; i < n && k < MOE_LOOKS_MAX; i++)
		if (fixed[i] >= has)
			a->schedule[k++] = fixed[i];
	a->n_schedule = k;
}

static bool is_scheduled(const struct moe_analysis *a, size_t n)
{
	size_t fixed[MOE_LOOKS_MAX], k = moe_uat_looks(&a->uat, fixed);

	for (size_t i = 0; i < k; i++)
		if (fixed[i] == n)
			return true;
	return false;
}

int moe_take_looks(struct moe_analysis *a, struct moe_err *e)
{
	size_t all = a->cx.n_order, most = moe_uat_max_seeds(&a->uat);
	size_t has = all < most ? all : most;

	a->unlisted = a->tested->n_seed - all;
	if (!all)
		return moe_fail(e, MOE_DATA,
			"seed %lld, the first that the conditions list, has no run of \"%s\"; "
			"seeds count in the order fixed beforehand",
			(long long)a->uat.seed[0], a->uat.method);
	make_schedule(a, has);
	moe_look_levels(a->schedule, a->n_schedule, most, a->uat.alpha / 2, a->level_hack);
	moe_look_levels(a->schedule, a->n_schedule, most, a->uat.alpha, a->level_solve);
	a->look = moe_arena_get(&a->cx.arena, a->n_schedule + 1, sizeof(*a->look), e);
	if (!a->look)
		return -1;
	for (a->at = 0; a->at < a->n_schedule && a->schedule[a->at] <= has; a->at++) {
		struct moe_look *l = &a->look[a->n_look++];

		*l = (struct moe_look){ .n = a->schedule[a->at],
			.scheduled = is_scheduled(a, a->schedule[a->at]),
			.level_hack = 2 * a->level_hack[a->at],
			.level_solve = 2 * a->level_solve[a->at] };
		if (moe_judge_look(a, l, e))
			return -1;
		if (l->kind != MOE_UNDECIDED && l->kind != MOE_CHEATS)
			break;
	}
	if (a->at == a->n_schedule || a->schedule[a->at] > has)
		a->at = a->n_look - 1; /* the last look that was judged */
	const struct moe_look *last = &a->look[a->n_look - 1];
	a->refused = all - last->n;
	for (size_t i = a->n_schedule; i > 0 && last->kind == MOE_UNDECIDED; i--)
		if (a->schedule[i - 1] > last->n)
			a->next_look = a->schedule[i - 1];
	a->cx.use = last->n;
	return 0;
}
