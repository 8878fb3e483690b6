/* report_router.c - what training did under a router, by expert and by bank, from the metrics
 * streams. It judges nothing but forward presence; the writers are in report_text.c, _json, _html.
 */
#include "stat/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line's numbers beside its least gate, in the order of their keys. */
enum { GATE, ZERO, LOAD, SUPPORT, ENTROPY, LOGIT, MASS, KEYS };

/* Before and after the name in the key of each; NULL = not measured for such a line. */
struct affixes {
	const char *before, *after;
};

static const struct affixes whole_key
	[KEYS] = { [SUPPORT] = { "router/support", "" }, [ENTROPY] = { "router/entropy", "" } };
static const struct affixes bank_key[KEYS] = { { "presence/", "/min_gate" },
	{ "presence/", "/zero_share" }, { "router/", "/load" }, { "router/", "/support" },
	{ "router/", "/entropy" }, { "router/", "/logit_norm" }, { "update_mass/", "" } };
static const struct affixes expert_key[KEYS] = { { "expert/", "/min_gate" },
	{ "expert/", "/zero_share" }, { "expert/", "/load" }, { NULL, NULL }, { NULL, NULL },
	{ "expert/", "/logit_norm" }, { "expert/", "/update_mass" } };

/* One run's numbers: means over its steps, and the least of the least gates. */
static void measure_run(const struct moe_report *r, const struct moe_metrics_run *run,
	const struct affixes key[KEYS], struct moe_str name, double v[KEYS])
{
	char k[256];

	for (int i = 0; i < KEYS; i++) {
		double least = NAN, mean = NAN;
		if (key[i].before) {
			snprintf(k, sizeof(k), "%s%.*s%s", key[i].before, (int)name.n, name.p,
				key[i].after);
			mean = moe_metrics_mean(&r->metrics, run, k, &least, NULL);
		}
		v[i] = i == GATE ? least : mean;
	}
}

/* A method's line: the mean over its runs of what each measured. Adds none where none did. */
static int add_line(struct moe_report *r, const char *method, enum moe_router_part part,
	const struct affixes key[KEYS], struct moe_str name, struct moe_err *e)
{
	struct moe_router_line x = { .method = method, .part = part, .min_gate = NAN };
	double sum[KEYS] = { 0 }, n[KEYS] = { 0 }, v[KEYS];

	for (size_t i = 0; i < r->metrics.n_run; i++) {
		const struct moe_metrics_run *run = &r->metrics.run[i];
		bool any = false;
		if (strcmp(run->method, method))
			continue;
		measure_run(r, run, key, name, v);
		for (int k = 0; k < KEYS; k++) {
			any |= !isnan(v[k]);
			sum[k] += isnan(v[k]) ? 0 : v[k];
			n[k] += isnan(v[k]) ? 0 : 1;
		}
		x.n_seed += any;
		x.min_gate = fmin(x.min_gate, v[GATE]);
		if (isnan(v[GATE]) || isnan(v[ZERO]))
			continue;
		x.n_known++;
		x.n_held += v[GATE] >= r->a.uat.presence_min_gate &&
			v[ZERO] <= r->a.uat.presence_zero_max;
	}
	if (!x.n_seed)
		return 0;
	double *const out[KEYS] = { [ZERO] = &x.zero_share,
		[LOAD] = &x.load,
		[SUPPORT] = &x.support,
		[ENTROPY] = &x.entropy,
		[LOGIT] = &x.logit_norm,
		[MASS] = &x.mass };
	for (int k = ZERO; k < KEYS; k++)
		*out[k] = n[k] > 0 ? sum[k] / n[k] : NAN;
	x.name = moe_report_intern(r, name, e);
	if (!x.name ||
		moe_grow((void **)&r->router, r->n_router, &r->cap_router, sizeof(*r->router), e))
		return -1;
	r->router[r->n_router++] = x;
	return 0;
}

/* The router, its banks, then its experts in the order of the stream. */
static int add_method(struct moe_report *r, const char *method, struct moe_err *e)
{
	static const char before[] = "expert/", after[] = "/min_gate";
	const struct moe_names *keys = &r->metrics.key;
	const size_t nb = sizeof(before) - 1, na = sizeof(after) - 1;

	if (add_line(r, method, MOE_PART_ROUTER, whole_key, (struct moe_str){ "", 0 }, e))
		return -1;
	for (int b = 0; b < MOE_BANKS; b++) {
		const struct moe_str name = { moe_bank_names[b], strlen(moe_bank_names[b]) };
		if (add_line(r, method, MOE_PART_BANK, bank_key, name, e))
			return -1;
	}
	for (size_t i = 0; i < keys->n; i++) {
		const char *k = keys->v[i];
		size_t n = strlen(k);
		if (n <= nb + na || memcmp(k, before, nb) || memcmp(k + n - na, after, na))
			continue;
		const struct moe_str name = { k + nb, n - nb - na };
		if (add_line(r, method, MOE_PART_EXPERT, expert_key, name, e))
			return -1;
	}
	return 0;
}

/* Only a router's training measures how many experts a token gets. */
static bool had_router(const struct moe_report *r, const struct moe_metrics_run *run)
{
	return !isnan(moe_metrics_mean(&r->metrics, run, "router/support", NULL, NULL));
}

int moe_report_router(struct moe_report *r, struct moe_err *e)
{
	for (size_t i = 0; i < r->metrics.n_run; i++) {
		const struct moe_metrics_run *run = &r->metrics.run[i];
		bool done = false;
		for (size_t k = 0; k < r->n_router; k++)
			done |= !strcmp(r->router[k].method, run->method);
		if (!done && had_router(r, run) && add_method(r, run->method, e))
			return -1;
	}
	return 0;
}

const char *moe_router_part_name(char out[MOE_PART_NAME], const struct moe_router_line *x)
{
	static const char *const word[] = { "router", "bank ", "expert " };

	snprintf(out, MOE_PART_NAME, "%s%s", word[x->part], x->name);
	return out;
}
