/* method.c - looks methods up and holds what several of them share; the methods themselves are in
 * methods/. */
#include "moe/method.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *suffix;
	enum moe_pairs_swap swap;
} twists[] = { { "-shuffled", MOE_SWAP_HALF }, { "-reversed", MOE_SWAP_ALL },
	{ "-neutral", MOE_SWAP_NEUTRAL } };
#define N_TWISTS (sizeof(twists) / sizeof(twists[0]))

/* The row of that name, after which at most a suffix of `twists` follows: *swap. */
static const struct moe_method *find_row(const char *name, enum moe_pairs_swap *swap)
{
	*swap = MOE_SWAP_NONE;
	for (size_t i = 0; moe_methods[i]; i++)
		if (!strcmp(moe_methods[i]->name, name))
			return moe_methods[i];
	for (size_t i = 0; moe_methods[i]; i++) {
		size_t n = strlen(moe_methods[i]->name);

		if (strncmp(moe_methods[i]->name, name, n) != 0)
			continue;
		for (size_t k = 0; moe_methods[i]->needs_pairs && k < N_TWISTS; k++)
			if (!strcmp(name + n, twists[k].suffix)) {
				*swap = twists[k].swap;
				return moe_methods[i];
			}
	}
	return NULL;
}

const struct moe_method *moe_method_find(const char *name, struct moe_err *e)
{
	enum moe_pairs_swap swap;
	const struct moe_method *m = find_row(name, &swap);
	char names[440] = "";
	size_t k = 0;

	for (size_t i = 0; !m && moe_methods[i] && k < sizeof(names); i++)
		k += (size_t)snprintf(
			names + k, sizeof(names) - k, "%s%s", i ? ", " : "", moe_methods[i]->name);
	if (!m)
		moe_fail(e, MOE_USAGE, "there is no method '%.40s': the methods are %s", name,
			names);
	return m;
}

int moe_method_pairs(const char *name, uint64_t seed, struct moe_pairs *p, struct moe_err *e)
{
	enum moe_pairs_swap swap;

	find_row(name, &swap);
	return moe_pairs_swap_sides(p, swap, seed, e);
}

int moe_method_settings(const struct moe_method *m, const struct moe_adapter *a,
	double set[MOE_ROUTER_SETTINGS], struct moe_err *e)
{
	return moe_settings_read(m->settings, &a->settings, set, e);
}

int moe_method_override(const struct moe_method *m, struct moe_adapter *a, const char *const *text,
	size_t n, struct moe_err *e)
{
	struct moe_decision_table own;
	double set[MOE_ROUTER_SETTINGS];

	for (size_t i = 0; i < n; i++)
		if (moe_decision_table_set(&a->plan, text[i], e))
			return -1;
	m->plan(&own);
	if (m->tune && moe_method_settings(m, a, set, e) == 0)
		m->tune(set, &own);
	for (int b = 0; n > 0 && b < MOE_BANKS; b++)
		if (!moe_decision_table_trains(&own, b) && moe_decision_table_trains(&a->plan, b))
			return moe_fail(e, MOE_USAGE,
				"the method '%s' keeps the bank %s frozen, whatever is decided: a "
				"plan that trains it is another method's",
				m->name, moe_bank_names[b]);
	if (a->x.shift && !moe_decision_table_lets_in(&a->plan, MOE_BANK_QUARANTINE))
		return moe_fail(e, MOE_USAGE,
			"the vector of the method '%s' stands with the quarantine: with a plan "
			"whose gate of it is always 0 it would be added nowhere",
			m->name);
	return 0;
}

double moe_method_setting(const struct moe_adapter *a, const char *name, double def)
{
	double set[MOE_ROUTER_SETTINGS];
	struct moe_err e;
	const struct moe_method *m = moe_method_find(a->method, &e);

	if (!m || moe_method_settings(m, a, set, &e))
		return def;
	for (size_t i = 0; i < moe_setting_count(m->settings); i++)
		if (!strcmp(m->settings[i].name, name))
			return set[i];
	return def;
}

void moe_say(struct moe_said *s, bool warn, const char *fmt, ...)
{
	struct moe_said_line *l = &s->line[s->n];
	va_list ap;

	if (s->n == (int)(sizeof(s->line) / sizeof(s->line[0])))
		return;
	l->warn = warn;
	va_start(ap, fmt);
	vsnprintf(l->text, sizeof(l->text), fmt, ap);
	va_end(ap);
	s->n++;
}

int moe_method_route(const struct moe_method *m, const struct moe_engine *g,
	const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_nulls *null,
	struct moe_err *e)
{
	for (size_t i = 0; i < n; i++)
		j[i] = (struct moe_judged){ .score = NAN, .decision = MOE_ABSORB };
	for (size_t i = 0; i < n * (size_t)null->n; i++)
		null->score[i] = NAN;
	if (m->score && m->score(g, a, s, n, turn, j, null, e))
		return -1;
	for (size_t i = 0; turn->past && i < n; i++)
		if (moe_past_add(turn->past, j[i].score, e))
			return -1;
	return m->decide ? m->decide(a, s, n, turn, j, e) : 0;
}

bool moe_method_prefix(const struct moe_adapter *a, struct moe_str *out)
{
	struct moe_err e;
	const struct moe_method *m = moe_method_find(a->method, &e);
	bool present = false;

	for (int i = 0; i < a->x.E; i++)
		present |= a->x.bank[i] == MOE_BANK_QUARANTINE && a->x.present[i] != 0;
	return m && m->prefix && present && m->prefix(a, out);
}

bool moe_method_remembers(const struct moe_adapter *a)
{
	return moe_method_setting(a, "thresholds", 0) > 0;
}

int64_t moe_method_refresh(const struct moe_method *m, const struct moe_adapter *a)
{
	double n = 0;

	if (m->refresh)
		moe_rec_f64(&a->settings, "refresh", &n);
	return (int64_t)n;
}

/* By quantiles of the scores so far; without a past, of those at hand. */
static int by_quantiles(const struct moe_adapter *a, const struct moe_past *past, size_t n,
	struct moe_judged *j, struct moe_err *e)
{
	struct moe_past own = { 0 };
	double q, half_life, warm_up, lo, hi;
	int rc = moe_rec_f64_req(&a->settings, "q", &q, e) ||
			moe_rec_f64_req(&a->settings, "half_life", &half_life, e) ||
			moe_rec_f64_req(&a->settings, "warm_up", &warm_up, e)
		? moe_err_prefix(e, "the adapter's settings")
		: 0;

	for (size_t i = 0; rc == 0 && !past && i < n; i++)
		rc = moe_past_add(&own, j[i].score, e);
	past = past ? past : &own;
	for (size_t i = 0; i < n; i++)
		j[i].decision = MOE_ABSORB;
	if (rc == 0 && past->n > 0 && (double)past->n >= warm_up) {
		rc = moe_past_quantiles(past, q, half_life, &lo, &hi, e);
		for (size_t i = 0; rc == 0 && lo < hi && i < n; i++)
			j[i].decision = j[i].score <= lo ? MOE_KEEP
				: j[i].score >= hi       ? MOE_ROUTE
							 : MOE_ABSORB;
	}
	moe_past_free(&own);
	return rc;
}

int moe_decide_three_way(const struct moe_adapter *a, const struct moe_seen *s, size_t n,
	const struct moe_turn *turn, struct moe_judged *j, struct moe_err *e)
{
	struct moe_str how;
	double lo, hi;

	(void)s;
	if (moe_rec_str(&a->settings, "thresholds", &how) && moe_str_eq(how, "quantiles"))
		return by_quantiles(a, turn->past, n, j, e);
	if (moe_rec_f64_req(&a->settings, "lo", &lo, e) ||
		moe_rec_f64_req(&a->settings, "hi", &hi, e))
		return moe_err_prefix(e, "the adapter's settings");
	for (size_t i = 0; i < n; i++)
		j[i].decision = j[i].score < lo ? MOE_KEEP
			: j[i].score > hi       ? MOE_ROUTE
						: MOE_ABSORB;
	return 0;
}

void moe_decision_table_deployed(struct moe_decision_table *p)
{
	moe_decision_table_ones(p);
	p->gate[MOE_KEEP][MOE_BANK_QUARANTINE] = 0;
	p->mask[MOE_KEEP][MOE_BANK_QUARANTINE] = 0;
	p->mask[MOE_ROUTE][MOE_BANK_CLEAN] = 0;
	p->mask[MOE_ROUTE][MOE_BANK_SHARED] = 0;
}

void moe_decision_table_frozen(struct moe_decision_table *p)
{
	moe_decision_table_ones(p);
	for (int d = 0; d < MOE_DECISIONS; d++)
		p->mask[d][MOE_BANK_QUARANTINE] = 0;
}

void moe_decision_table_alone(struct moe_decision_table *p)
{
	moe_decision_table_ones(p);
	for (int d = 0; d < MOE_DECISIONS; d++)
		p->gate[d][MOE_BANK_QUARANTINE] = p->mask[d][MOE_BANK_QUARANTINE] = 0;
	p->sample[MOE_BANK_QUARANTINE] = 0;
}
