/* layout.c - makes a fresh adapter for a base; it reads no pairs. */
#include "moe/layout.h"

#include "util/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int moe_layout_expert(struct moe_experts *x, const char *text, struct moe_err *e)
{
	const char *c1 = strchr(text, ':'), *c2;
	size_t n = c1 ? (size_t)(c1 - text) : 0, k = 0;
	char *end = NULL;
	long rank = c1 ? strtol(c1 + 1, &end, 10) : 0;
	int b = moe_bank_find(text, n);

	if (!c1 || b < 0 || end == c1 + 1 || (*end && *end != ':') || rank < 1 || rank > 4096)
		return moe_fail(e, MOE_USAGE,
			"'%s' is not an expert: BANK:RANK[:NAME] is, with BANK one of shared, "
			"clean, quarantine",
			text);
	if (x->E == MOE_EXPERTS_MAX)
		return moe_fail(e, MOE_USAGE, "more than %d experts", MOE_EXPERTS_MAX);
	c2 = *end ? end + 1 : NULL;
	for (int i = 0; i < x->E; i++)
		k += x->bank[i] == (enum moe_bank)b;
	if (c2 ? strlen(c2) >= sizeof(x->name[0]) || !*c2 : 0)
		return moe_fail(e, MOE_USAGE, "'%s': an expert's name has 1 to %zu bytes", text,
			sizeof(x->name[0]) - 1);
	if (c2)
		snprintf(x->name[x->E], sizeof(x->name[0]), "%s", c2);
	else
		snprintf(x->name[x->E], sizeof(x->name[0]), k ? "%s%zu" : "%s", moe_bank_names[b],
			k);
	x->bank[x->E] = (enum moe_bank)b;
	x->rank[x->E++] = (int)rank;
	return 0;
}

int moe_layout_banks(struct moe_experts *x, const struct moe_method *method, int clean,
	int quarantine, struct moe_err *e)
{
	int parts = method->fine > 1 ? method->fine : 1;
	char text[64];

	parts = parts < quarantine ? parts : quarantine;
	snprintf(text, sizeof(text), "clean:%d", clean);
	if (clean > 0 && moe_layout_expert(x, text, e))
		return -1;
	for (int i = 0; i < parts; i++) {
		snprintf(text, sizeof(text), "quarantine:%d",
			quarantine / parts + (i < quarantine % parts));
		if (moe_layout_expert(x, text, e))
			return -1;
	}
	return 0;
}

/* `all`, or names with commas between. */
int moe_layout_targets(struct moe_experts *x, const char *text, struct moe_err *e)
{
	const char *p = text;

	for (int j = 0; j < MOE_LINEARS; j++)
		x->target[j] = !strcmp(text, "all");
	if (!strcmp(text, "all"))
		return 0;
	for (;;) {
		size_t n = strcspn(p, ",");
		int j = 0;

		while (j < MOE_LINEARS &&
			!(strlen(moe_linear_names[j]) == n && !memcmp(p, moe_linear_names[j], n)))
			j++;
		if (j == MOE_LINEARS)
			return moe_fail(e, MOE_USAGE,
				"'%.*s' is not a target: q, k, v, o, gate, up, down and all are",
				(int)n, p);
		x->target[j] = true;
		if (!p[n])
			return 0;
		p += n + 1;
	}
}

/* A setting of the method whose word is one of names: its index there; def when the method has no
 * setting of that name. -1 when it has, and the word is not known. */
static int setting_word(const struct moe_method *m, const double *set, const char *name,
	const char *const *names, int n, int def)
{
	char word[32];

	for (size_t k = 0; k < moe_setting_count(m->settings); k++) {
		if (strcmp(m->settings[k].name, name) != 0)
			continue;
		moe_setting_text(&m->settings[k], set[k], word);
		for (int i = 0; i < n; i++)
			if (!strcmp(names[i], word))
				return i;
		return -1;
	}
	return def;
}

/* The router of the method, where its sites are, and what becomes of freed gates. */
static int set_router(struct moe_adapter *a, const struct moe_method *m, struct moe_err *e)
{
	int place, deploy;

	if (!m->router)
		return 0;
	if (moe_method_settings(m, a, a->x.set, e))
		return -1;
	place = setting_word(
		m, a->x.set, "placement", moe_placement_names, MOE_PLACEMENTS, (int)m->placement);
	deploy = setting_word(
		m, a->x.set, "deploy", moe_deploy_names, MOE_DEPLOYS, MOE_DEPLOY_DROP);
	if (place < 0 || deploy < 0)
		return moe_fail(e, MOE_DATA,
			"the method '%s' has a placement or a deploy that the engine does not know",
			m->name);
	a->x.router = m->router;
	a->x.placement = (enum moe_placement)place;
	a->x.deploy = (enum moe_deploy)deploy;
	return 0;
}

int moe_layout_make(struct moe_adapter *a, const struct moe_model *m,
	const struct moe_method *method, uint64_t seed, struct moe_err *e)
{
	struct moe_experts *x = &a->x;
	struct moe_rng key = moe_rng_key(seed, "init");
	double set[MOE_ROUTER_SETTINGS];

	if (method->tune || method->anchored || method->shift)
		if (moe_method_settings(method, a, set, e))
			return -1;
	x->form = method->form;
	x->shift = method->shift ? method->shift(set, &m->config) : 0;
	for (int i = 0; method->anchored && method->anchored(set) && i < x->E; i++) {
		x->fixed[i] = x->rank[i];
		x->rank[i] *= 2;
	}
	if (set_router(a, method, e) || moe_experts_init(x, &m->config, e))
		return -1;
	/* A [R, d_in] ~ N(0, 1 / d_in), each number by (seed, Linear, index) alone; B stays 0, so
	 * that the adapter changes nothing before its first step. Routers are the method's init's
	 */
	for (size_t i = 0; i < x->n_view; i++) {
		const struct moe_view *v = &x->view[i];

		if (v->role != MOE_ROLE_A)
			continue;
		for (size_t k = 0; k < v->n; k++)
			x->param[v->off + k] =
				(moe_real)(float)(moe_rng_normal(key,
							  (uint64_t)v->layer * MOE_LINEARS +
								  (uint64_t)v->linear,
							  k) /
					sqrt((double)v->cols));
	}
	snprintf(a->arm, sizeof(a->arm), "on");
	snprintf(a->method, sizeof(a->method), "%s", method->name);
	snprintf(a->base, sizeof(a->base), "%s", m->digest);
	a->train_seed = seed;
	a->step = 0;
	method->plan(&a->plan);
	if (method->tune)
		method->tune(set, &a->plan);
	return 0;
}
