/* identity.c - compares rollouts with the adapter that they train; it trains nothing and warns
 * nobody. */
#include "rl/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const moe_sampler_names[MOE_SAMPLERS] = { "by_itself", "by_last", "by_earlier",
	"by_other", "by_base", "by_teacher", "by_unknown" };

static void copy_digest(char to[65], const char *from)
{
	snprintf(to, 65, "%s", from);
}

void moe_identity_begin(struct moe_identity *d, const struct moe_adapter *a,
	const struct moe_method *method, const char *given)
{
	memset(d, 0, sizeof(*d));
	d->method = method;
	d->last = INT64_MIN;
	copy_digest(d->start[0], given);
	copy_digest(d->start[1], a->digest);
	copy_digest(d->recent[0], a->digest);
}

/* ---- what is refused ---- */

/* A group is what rewards are compared in, and what one reads the baseline from: rollouts of two
 * conditions in it would be paid for their condition. */
static int check_groups(struct moe_identity *d, const struct moe_rollout_step *s, struct moe_err *e)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct moe_rollout *r = &s->r[i], *first = NULL;

		for (size_t k = 0; k <= i && !first; k++)
			if (s->r[k].group == r->group)
				first = &s->r[k];
		if (strcmp(r->from.arm, first->from.arm) != 0)
			return moe_fail(e, MOE_DATA,
				"step %" PRId64 ": group %" PRId64
				" mixes the arms '%s' and '%s': rewards are compared within a "
				"group, so one arm at a time trains (moe-cat -s -w arm=%s)",
				s->step, r->group, first->from.arm, r->from.arm, first->from.arm);
		d->mixed += r->from.prompt != first->from.prompt;
	}
	return 0;
}

static int check_steps(
	const struct moe_identity *d, const struct moe_rollout_step *s, struct moe_err *e)
{
	if (s->step <= d->last)
		return moe_fail(e, MOE_DATA,
			"step %" PRId64 " comes after step %" PRId64
			": the steps of a training run ascend, and --resume goes by their numbers. "
			"Were two recordings joined? Train on one after the other, each from the "
			"adapter that the one before it made",
			s->step, d->last);
	for (size_t i = 0; i < s->n; i++)
		if (s->r[i].from.step != s->step)
			return moe_fail(e, MOE_DATA,
				"rollouts of step %" PRId64 " and of step %" PRId64
				" stand together: the `step' record between them is missing",
				s->r[i].from.step, s->step);
	return 0;
}

static int check_base(const struct moe_rollout_step *s, const char *base, struct moe_err *e)
{
	size_t n = 0;
	const char *other = "";

	for (size_t i = 0; i < s->n; i++)
		if (s->r[i].from.base[0] && strcmp(s->r[i].from.base, base) != 0) {
			other = s->r[i].from.base;
			n++;
		}
	return n ? moe_fail(e, MOE_DATA,
			   "step %" PRId64 ": %zu of %zu rollouts were sampled with another base "
			   "(%.12s, not %.12s): sample with the base that is trained, or "
			   "--any-base",
			   s->step, n, s->n, other, base)
		 : 0;
}

/* ---- what is counted ---- */

static enum moe_sampler who_sampled(const struct moe_identity *d, const struct moe_rollout *r)
{
	int64_t back = d->steps < MOE_IDENTITY_RECENT ? d->steps : MOE_IDENTITY_RECENT - 1;

	if (r->from.teacher)
		return MOE_BY_TEACHER;
	if (!r->from.has_policy)
		return MOE_BY_UNKNOWN;
	if (!r->policy[0])
		return MOE_BY_BASE;
	for (int64_t k = 0; k <= back; k++)
		if (!strcmp(d->recent[(d->steps - k) % MOE_IDENTITY_RECENT], r->policy))
			return k == 0 ? MOE_BY_ITSELF : k == 1 ? MOE_BY_LAST : MOE_BY_EARLIER;
	if (!strcmp(d->start[0], r->policy) || !strcmp(d->start[1], r->policy))
		return d->steps == 0 ? MOE_BY_ITSELF : d->steps == 1 ? MOE_BY_LAST : MOE_BY_EARLIER;
	return MOE_BY_OTHER;
}

/* A user's own router may call itself anything: what is no letter, digit or one of _.- becomes _.
 */
static void safe_name(char to[64], const char *from)
{
	snprintf(to, 64, "%s", *from ? from : "unnamed");
	for (char *p = to; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-",
			    *p))
			*p = '_';
}

static int router_number(struct moe_identity *d, const char *called)
{
	char name[64];

	safe_name(name, called);
	for (int i = 0; i < d->routers; i++)
		if (!strcmp(d->router[i], name))
			return i;
	if (d->routers == MOE_IDENTITY_ROUTERS)
		return MOE_IDENTITY_ROUTERS - 1;
	snprintf(d->router[d->routers], sizeof(d->router[0]), "%s", name);
	return d->routers++;
}

/* A row of the table that opens seals. */
static bool is_cheat(const char *name)
{
	for (size_t i = 0; moe_methods[i]; i++)
		if (!strcmp(moe_methods[i]->name, name))
			return moe_methods[i]->cheats;
	return false;
}

static int count_routes(struct moe_identity *d, const struct moe_rollout_step *s, bool allow_oracle,
	struct moe_err *e)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct moe_rollout *r = &s->r[i];

		if (!r->routed) {
			d->unrouted++;
			continue;
		}
		d->routed[router_number(d, r->from.router)]++;
		if (!is_cheat(r->from.router))
			continue;
		d->cheated = true;
		if (!allow_oracle)
			return moe_fail(e, MOE_DATA,
				"step %" PRId64 ": the method '%s' routed a rollout, and it opens "
				"seals: --allow-oracle trains on it all the same, and the result "
				"is marked",
				s->step, r->from.router);
	}
	return 0;
}

static int by_value(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return (a > b) - (a < b);
}

static int count_repeats(
	struct moe_identity *d, const struct moe_rollout_step *s, struct moe_err *e)
{
	uint64_t *id = moe_alloc(s->n, sizeof(*id), e);
	size_t n = 0;

	if (!id)
		return -1;
	for (size_t i = 0; i < s->n; i++)
		if (s->r[i].from.id)
			id[n++] = s->r[i].from.id;
	qsort(id, n, sizeof(*id), by_value);
	for (size_t i = 1; i < n; i++)
		d->repeat += id[i] == id[i - 1];
	free(id);
	return 0;
}

/* Does it matter to this adapter what a rollout's decision is? */
static bool decisions_matter(const struct moe_method *m, const struct moe_decision_table *p)
{
	bool differ = m->decide != NULL;

	for (int d = 1; d < MOE_DECISIONS; d++)
		for (int b = 0; b < MOE_BANKS; b++)
			differ |= p->gate[d][b] != p->gate[0][b] || p->mask[d][b] != p->mask[0][b];
	return differ;
}

static bool has_part(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = list; (at = strstr(at, name)); at++)
		if ((at == list || at[-1] == '+') && (!at[n] || at[n] == '+'))
			return true;
	return false;
}

/* The name under which the report meets what was trained: all that ever routed for it, joined by
 * "+"; "" when that is the adapter's own method alone. */
static void name_router(const struct moe_identity *d, struct moe_adapter *a)
{
	char list[sizeof(a->decided_by)];
	size_t n;

	if (!decisions_matter(d->method, &a->plan))
		return;
	snprintf(list, sizeof(list), "%s",
		a->decided_by[0]  ? a->decided_by
			: a->step ? a->method
				  : "");
	for (int i = 0; i < d->routers; i++) {
		n = strlen(list);
		if (!has_part(list, d->router[i]) && n + strlen(d->router[i]) + 2 <= sizeof(list))
			snprintf(list + n, sizeof(list) - n, "%s%s", n ? "+" : "", d->router[i]);
	}
	snprintf(a->decided_by, sizeof(a->decided_by), "%s", strcmp(list, a->method) ? list : "");
}

int moe_identity_step(struct moe_identity *d, const struct moe_rollout_step *s,
	struct moe_adapter *a, const char *base_digest, bool any_base, bool allow_oracle,
	struct moe_err *e)
{
	if (check_steps(d, s, e) || check_groups(d, s, e) ||
		(!any_base && check_base(s, base_digest, e)) ||
		count_routes(d, s, allow_oracle, e) || count_repeats(d, s, e))
		return -1;
	d->rollouts += s->n;
	for (size_t i = 0; i < s->n; i++)
		d->by[who_sampled(d, &s->r[i])]++;
	name_router(d, a);
	return 0;
}

int moe_identity_skip(struct moe_identity *d, const struct moe_rollout_step *s, struct moe_err *e)
{
	if (check_steps(d, s, e))
		return -1;
	d->last = s->step;
	return 0;
}

void moe_identity_trained(struct moe_identity *d, int64_t step, const char *digest)
{
	d->last = step;
	d->steps++;
	copy_digest(d->recent[d->steps % MOE_IDENTITY_RECENT], digest);
}

/* ---- to the lineage, and to a checkpoint and back ---- */

int moe_identity_lineage(const struct moe_identity *d, struct moe_adapter *a, struct moe_err *e)
{
	struct moe_rec m = { 0 }, routes = { 0 };
	int rc = moe_rec_set_int(&m, "rollouts", (int64_t)d->rollouts, e);

	for (int i = 0; rc == 0 && i < MOE_SAMPLERS; i++)
		if (d->by[i])
			rc = moe_rec_set_int(&m, moe_sampler_names[i], (int64_t)d->by[i], e);
	for (int i = 0; rc == 0 && i < d->routers; i++)
		rc = moe_rec_set_int(&routes, d->router[i], (int64_t)d->routed[i], e);
	rc = rc || (d->routers && moe_rec_set_map(&m, "routes", &routes, e)) ||
		(d->unrouted && moe_rec_set_int(&m, "unrouted", (int64_t)d->unrouted, e)) ||
		(d->mixed && moe_rec_set_int(&m, "mixed", (int64_t)d->mixed, e)) ||
		(d->repeat && moe_rec_set_int(&m, "repeated", (int64_t)d->repeat, e)) ||
		moe_rec_set_map(&a->lineage, "trained", &m, e);
	moe_rec_free(&m);
	moe_rec_free(&routes);
	return rc ? -1 : 0;
}

void moe_identity_save(const struct moe_identity *d, char text[MOE_IDENTITY_TEXT])
{
	size_t n = 0, cap = MOE_IDENTITY_TEXT;
	int64_t back = d->steps < MOE_IDENTITY_RECENT ? d->steps : MOE_IDENTITY_RECENT - 1;

#define ADD(...) n += n < cap ? (size_t)snprintf(text + n, cap - n, __VA_ARGS__) : 0
	ADD("steps %" PRId64 " rollouts %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %d by",
		d->steps, d->rollouts, d->unrouted, d->mixed, d->repeat, d->cheated);
	for (int i = 0; i < MOE_SAMPLERS; i++)
		ADD(" %" PRIu64, d->by[i]);
	for (int64_t k = back; k >= 0; k--)
		ADD(" before %s", d->recent[(d->steps - k) % MOE_IDENTITY_RECENT]);
	for (int i = 0; i < d->routers; i++)
		ADD(" router %" PRIu64 " %s", d->routed[i], d->router[i]);
#undef ADD
}

static bool next_number(const char **p, uint64_t *v)
{
	char *end;

	*v = strtoull(*p, &end, 10);
	if (end == *p)
		return false;
	*p = end;
	return true;
}

static bool next_word(const char **p, const char *word)
{
	size_t n = strlen(word);

	while (**p == ' ')
		++*p;
	if (strncmp(*p, word, n) != 0)
		return false;
	*p += n;
	return true;
}

static bool load_router(struct moe_identity *d, const char **p)
{
	uint64_t n;
	size_t len;

	if (d->routers == MOE_IDENTITY_ROUTERS || !next_number(p, &n) || **p != ' ')
		return false;
	len = strcspn(++*p, " ");
	if (!len || len >= sizeof(d->router[0]))
		return false;
	memcpy(d->router[d->routers], *p, len);
	d->router[d->routers][len] = 0;
	d->routed[d->routers++] = n;
	*p += len;
	return true;
}

int moe_identity_load(struct moe_identity *d, const char *text, struct moe_err *e)
{
	const char *p = text;
	uint64_t v[6];
	bool good = next_word(&p, "steps ") && next_number(&p, &v[0]) && next_word(&p, "rollouts ");
	int64_t back;

	for (int i = 1; good && i < 6; i++)
		good = next_number(&p, &v[i]);
	good = good && next_word(&p, "by ");
	for (int i = 0; good && i < MOE_SAMPLERS; i++)
		good = next_number(&p, &d->by[i]);
	if (!good)
		return moe_fail(
			e, MOE_DATA, "the counts of who sampled and routed can not be read");
	d->steps = (int64_t)v[0];
	d->rollouts = v[1];
	d->unrouted = v[2];
	d->mixed = v[3];
	d->repeat = v[4];
	d->cheated = v[5] != 0;
	back = d->steps < MOE_IDENTITY_RECENT ? d->steps : MOE_IDENTITY_RECENT - 1;
	for (; good && back >= 0; back--) {
		char *to = d->recent[(d->steps - back) % MOE_IDENTITY_RECENT];

		good = next_word(&p, "before ") && strlen(p) >= 64;
		if (good)
			memcpy(to, p, 64);
		to[64] = 0;
		p += good ? 64 : 0;
	}
	d->routers = 0;
	while (good && next_word(&p, "router "))
		good = load_router(d, &p);
	return good ? 0 : moe_fail(e, MOE_DATA, "the counts of who routed can not be read");
}
