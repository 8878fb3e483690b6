/* adapter_layout.c - the layout record of an arm and back (formats/records.md, "adapter"). Tensors
 * and the digest are adapter_io.c's.
 *
 * Writing and reading are pairs of functions (write_plan, read_plan). A key that not every arm has
 * is written only where its value is not the default, and reading puts the default back, so that
 * arms of older versions keep their bytes and their digests. Whoever reads an arm treats it as
 * hostile: every number is bounded before memory is sized by it. */
#include "moe/adapter_priv.h"
#include "moe/method.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The dimensions that shapes of A, B and the router follow from; reading checks nothing else of the
 * base. */
static int write_config(const struct moe_config *c, struct moe_rec *to, struct moe_err *e)
{
	struct moe_rec m = { 0 };
	int rc = 0;

	rc |= moe_rec_set_int(&m, "layers", c->L, e);
	rc |= moe_rec_set_int(&m, "hidden", c->D, e);
	rc |= moe_rec_set_int(&m, "heads", c->H, e);
	rc |= moe_rec_set_int(&m, "kv_heads", c->K, e);
	rc |= moe_rec_set_int(&m, "head_dim", c->hd, e);
	rc |= moe_rec_set_int(&m, "ffn", c->F, e);
	if (rc == 0)
		rc = moe_rec_set_map(to, "config", &m, e);
	moe_rec_free(&m);
	return rc;
}

/* Keys that another program wrote and this one does not know. */
static int write_unknown(const struct moe_rec *more, struct moe_rec *to, struct moe_err *e)
{
	char key[256];

	/* values are copied as the bytes they are, so that types unknown here survive too */
	for (size_t i = 0; i < more->n_field; i++) {
		struct moe_str k = more->field[i].key, raw;

		if (k.n >= sizeof(key))
			continue; /* refused when it was read */
		memcpy(key, k.p, k.n);
		key[k.n] = 0;
		if (moe_rec_raw(more, key, &raw) && moe_rec_set_raw(to, key, raw.p, raw.n, e))
			return -1;
	}
	return 0;
}

/* What another program wrote of expert i: expert_more is a map from "i" to a map of such keys. */
static int write_unknown_of(
	const struct moe_rec *expert_more, int i, struct moe_rec *to, struct moe_err *e)
{
	struct moe_rec more = { 0 };
	char key[16];
	int rc;

	snprintf(key, sizeof(key), "%d", i);
	rc = moe_rec_map(expert_more, key, &more) ? write_unknown(&more, to, e) : 0;
	moe_rec_free(&more);
	return rc;
}

/* Name, bank and rank of each; presence and fixed ranks where they are not the default. */
static int write_experts(const struct moe_adapter *a, struct moe_rec *to, struct moe_err *e)
{
	const struct moe_experts *x = &a->x;
	struct moe_rec m[MOE_EXPERTS_MAX] = { 0 }; /* [E] a map for each expert */
	struct moe_str target[MOE_LINEARS];
	size_t n_target = 0;
	int rc = 0;

	for (int i = 0; i < x->E && rc == 0; i++) {
		rc |= moe_rec_set_str(&m[i], "name", x->name[i], e);
		rc |= moe_rec_set_str(&m[i], "bank", moe_bank_names[x->bank[i]], e);
		rc |= moe_rec_set_int(&m[i], "rank", x->rank[i], e);
		/* defaults are left out: no constant slot, wholly present */
		if (x->fixed[i])
			rc |= moe_rec_set_int(&m[i], "fixed", x->fixed[i], e);
		if (x->present[i] != 1)
			rc |= moe_rec_set_f64(&m[i], "present", x->present[i], e);
		rc = rc ? rc : write_unknown_of(&a->expert_more, i, &m[i], e);
	}
	if (rc == 0)
		rc = moe_rec_set_maps(to, "experts", m, (size_t)x->E, e);
	for (int i = 0; i < x->E; i++)
		moe_rec_free(&m[i]);
	/* targets in the order of the enum, which is also that of the tensors */
	for (int j = 0; j < MOE_LINEARS; j++)
		if (x->target[j])
			target[n_target++] = (struct moe_str){ moe_linear_names[j],
				strlen(moe_linear_names[j]) };
	return rc ? -1 : moe_rec_set_strs(to, "targets", target, n_target, e);
}

/* The decision table: decision -> bank -> [gate, mask], all nine written; and "sample" -> bank ->
 * gate while sampling. */
static int write_plan(const struct moe_decision_table *p, struct moe_rec *to, struct moe_err *e)
{
	struct moe_rec plan = { 0 }, row = { 0 };
	int rc = 0;

	for (int d = 0; d < MOE_DECISIONS && rc == 0; d++) {
		moe_rec_clear(&row);
		for (int b = 0; b < MOE_BANKS; b++)
			rc |= moe_rec_set_f64s(&row, moe_bank_names[b],
				(double[]){ p->gate[d][b], p->mask[d][b] }, 2, e);
		if (rc == 0)
			rc = moe_rec_set_map(&plan, moe_decision_names[d], &row, e);
	}
	moe_rec_clear(&row);
	for (int b = 0; b < MOE_BANKS && rc == 0; b++)
		rc = moe_rec_set_f64(&row, moe_bank_names[b], p->sample[b], e);
	if (rc == 0)
		rc = moe_rec_set_map(&plan, "sample", &row, e);
	if (rc == 0)
		rc = moe_rec_set_map(to, "plan", &plan, e);
	moe_rec_free(&row);
	moe_rec_free(&plan);
	return rc;
}

/* What a reader must understand, or refuse the arm: each changes what A and B compute (present,
 * deploy, router, shift) or how they train (fixed, form). Sorted as they are written: `needs` is
 * digested in this order. */
static const char *const needs_known[] = { "deploy", "fixed", "form", "present", "router",
	"shift" };
enum { N_NEEDS = sizeof(needs_known) / sizeof(*needs_known) };

static int write_needs(const struct moe_experts *x, struct moe_rec *to, struct moe_err *e)
{
	struct moe_str need[N_NEEDS];
	bool present = false, fixed = false;
	size_t n = 0;

	/* one expert that needs it is enough; the array stands in needs_known's order */
	for (int i = 0; i < x->E; i++) {
		present |= x->present[i] != 1;
		fixed |= x->fixed[i] != 0;
	}
	const bool want[N_NEEDS] = { x->deploy != MOE_DEPLOY_DROP, fixed, x->form != NULL, present,
		x->router != NULL, x->shift > 0 };
	for (int i = 0; i < N_NEEDS; i++)
		if (want[i])
			need[n++] = (struct moe_str){ needs_known[i], strlen(needs_known[i]) };
	if (n == 0) /* minor version 0 is not written: absent = 0 */
		return 0;
	return moe_rec_set_int(to, "minor", 1, e) || moe_rec_set_strs(to, "needs", need, n, e) ? -1
											       : 0;
}

/* Where the router's sites are; its numbers are the method's settings. */
static int write_router(const struct moe_adapter *a, struct moe_rec *to, struct moe_err *e)
{
	struct moe_rec router = { 0 };
	int rc = moe_rec_set_str(&router, "placement", moe_placement_names[a->x.placement], e) ||
			moe_rec_set_map(to, "router", &router, e)
		? -1
		: 0;

	moe_rec_free(&router);
	return rc;
}

/* The keys set here, less arm, train_seed, step and lineage, are what the digest of an arm covers
 * beside its tensors (adapter_io.c). It is taken of the canonical form, "t" first and then keys in
 * byte order, so the order below is for readers alone. A key that is added must be left out where
 * it has its default, so that old arms keep their digests. */
int moe_adapter_layout(const struct moe_adapter *a, struct moe_rec *r, struct moe_err *e)
{
	int rc = 0;

	moe_rec_clear(r);
	/* who it is and where it comes from; base and scale belong to what it computes */
	rc |= moe_rec_set_str(r, "t", "layout", e);
	rc |= moe_rec_set_str(r, "arm", a->arm, e);
	rc |= moe_rec_set_str(r, "method", a->method, e);
	if (a->name[0])
		rc |= moe_rec_set_str(r, "name", a->name, e);
	if (a->decided_by[0])
		rc |= moe_rec_set_str(r, "decided_by", a->decided_by, e);
	rc |= moe_rec_set_int(r, "train_seed", (int64_t)a->train_seed, e);
	rc |= moe_rec_set_int(r, "step", a->step, e);
	rc |= moe_rec_set_str(r, "base", a->base, e);
	rc |= moe_rec_set_f64(r, "scale", a->x.scale, e);
	/* what the engine needs to know of A and B, then the method's own records */
	if (rc || write_config(&a->x.config, r, e) || write_experts(a, r, e) ||
		write_plan(&a->plan, r, e) || write_needs(&a->x, r, e) ||
		(a->x.router && write_router(a, r, e)) ||
		(a->x.form && moe_rec_set_str(r, "form", a->x.form->name, e)) ||
		(a->x.shift && moe_rec_set_int(r, "shift", a->x.shift, e)) ||
		write_unknown(&a->more, r, e))
		return -1;
	if (a->x.deploy != MOE_DEPLOY_DROP &&
		moe_rec_set_str(r, "deploy", moe_deploy_names[a->x.deploy], e))
		return -1;
	/* what the method, its score and ablations have to say: maps of their own, if any */
	if (a->settings.n_field && moe_rec_set_map(r, "settings", &a->settings, e))
		return -1;
	if (a->score.n_field && moe_rec_set_map(r, "score", &a->score, e))
		return -1;
	if (a->match.n_field && moe_rec_set_map(r, "match", &a->match, e))
		return -1;
	return a->lineage.n_field ? moe_rec_set_map(r, "lineage", &a->lineage, e) : 0;
}

/* A refusal with the record's number and the byte at which it begins. */
static int refuse(const struct moe_rec *r, struct moe_err *e, const char *what)
{
	return moe_fail(e, MOE_DATA,
		"record %" PRIu64 " (byte %" PRIu64 "): layout of an adapter: %s", r->number,
		r->byte, what);
}

/* A text into out[size], NUL-terminated; longer ones are refused, never cut. */
static int read_text(
	const struct moe_rec *r, const char *key, char *out, size_t size, struct moe_err *e)
{
	struct moe_str s;

	if (moe_rec_str_req(r, key, &s, e))
		return -1;
	/* a NUL inside would end it early for everyone who compares or prints it */
	if (s.n >= size || memchr(s.p, 0, s.n))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 ": key '%s' is longer than %zu bytes or holds a NUL",
			r->number, key, size - 1);
	memcpy(out, s.p, s.n);
	out[s.n] = 0;
	return 0;
}

/* A dimension in 1..max. */
static int read_dim(const struct moe_rec *m, const char *key, int max, int *out, struct moe_err *e)
{
	int64_t v;

	if (moe_rec_int_req(m, key, &v, e))
		return -1;
	if (v < 1 || v > max)
		return moe_fail(e, MOE_DATA,
			"layout of an adapter: %s = %" PRId64 " is outside of 1..%d", key, v, max);
	*out = (int)v;
	return 0;
}

/* Sizes are bounded before anything is allocated by them: the stream may be hostile. */
static int read_config(const struct moe_rec *r, struct moe_config *c, struct moe_err *e)
{
	struct moe_rec m = { 0 };
	int rc;

	if (!moe_rec_map(r, "config", &m))
		return refuse(r, e, "'config' must be a map");
	rc = read_dim(&m, "layers", 4096, &c->L, e) || read_dim(&m, "hidden", 1 << 20, &c->D, e) ||
			read_dim(&m, "heads", 1 << 16, &c->H, e) ||
			read_dim(&m, "kv_heads", 1 << 16, &c->K, e) ||
			read_dim(&m, "head_dim", 1 << 16, &c->hd, e) ||
			read_dim(&m, "ffn", 1 << 20, &c->F, e)
		? -1
		: 0;
	moe_rec_free(&m);
	/* H / K query heads share a key/value head; H hd is the width of q and of o's input */
	if (rc == 0 && (c->H % c->K || (int64_t)c->H * c->hd > 1 << 20))
		return refuse(
			r, e, "kv_heads does not divide heads, or heads x head_dim is too big");
	return rc;
}

/* The place of s in names[n], or -1. */
static int find_name(const char *const *names, int n, struct moe_str s)
{
	for (int i = 0; i < n; i++)
		if (moe_str_eq(s, names[i]))
			return i;
	return -1;
}

/* Keeps the keys that are not ours, so that they are written back and stay in the digest: a copy of
 * the record less ours[n]. */
static int read_unknown(const struct moe_rec *r, const char *const *ours, size_t n,
	struct moe_rec *more, struct moe_err *e)
{
	if (moe_rec_copy(more, r, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		moe_rec_unset(more, ours[i]);
	/* write_unknown looks keys up by a NUL-terminated copy in 256 bytes */
	for (size_t i = 0; i < more->n_field; i++)
		if (more->field[i].key.n >= 256)
			return refuse(r, e, "a key has more than 255 bytes");
	return 0;
}

/* All keys that moe_adapter_layout can set, and all that write_experts can. */
static const char *const layout_keys[] = { "t", "arm", "method", "train_seed", "step", "base",
	"name", "decided_by", "scale", "config", "experts", "targets", "plan", "settings", "score",
	"match", "lineage", "minor", "needs", "deploy", "router", "form", "shift" };
static const char *const expert_keys[] = { "name", "bank", "rank", "present", "fixed" };

/* What expert i has beside, if anything. */
static int read_unknown_of(
	const struct moe_rec *m, int i, struct moe_rec *expert_more, struct moe_err *e)
{
	struct moe_rec more = { 0 };
	char key[16];
	int rc = read_unknown(m, expert_keys, sizeof(expert_keys) / sizeof(*expert_keys), &more, e);

	snprintf(key, sizeof(key), "%d", i);
	if (rc == 0 && more.n_field)
		rc = moe_rec_set_map(expert_more, key, &more, e);
	moe_rec_free(&more);
	return rc;
}

/* The experts' names, banks and ranks, and the targets. Ranks add up to R <= 4096, of which A [R,
 * d_in] and B [d_out, R] get their rows and columns. present goes to an array of its own, since
 * moe_experts_alloc sets x->present to 1. */
static int read_experts(const struct moe_rec *r, struct moe_adapter *a,
	double present[MOE_EXPERTS_MAX], struct moe_err *e)
{
	struct moe_experts *x = &a->x;
	struct moe_rec m = { 0 };
	struct moe_str s;
	struct moe_list experts, targets;
	int total = 0, got, j;

	/* experts in their order: it is the order of their slots in A and B */
	moe_list_open(r, "experts", &experts);
	for (x->E = 0; (got = moe_list_next_map(&experts, &m, e)) == 1; x->E++) {
		int i = x->E;
		int64_t fixed = 0;

		if (i == MOE_EXPERTS_MAX || !moe_rec_str(&m, "bank", &s) ||
			(j = find_name(moe_bank_names, MOE_BANKS, s)) < 0 ||
			read_text(&m, "name", x->name[i], sizeof(x->name[i]), e) ||
			read_dim(&m, "rank", MOE_RANKS_MAX, &x->rank[i], e) ||
			(total += x->rank[i]) > MOE_RANKS_MAX) {
			moe_rec_free(&m);
			return refuse(r, e,
				"an expert needs a name, a bank (shared, clean, quarantine) and a "
				"rank; at most 64 experts and 4096 ranks are allowed");
		}
		x->bank[i] = (enum moe_bank)j;
		/* defaults of what may be absent: wholly present, no slot constant */
		present[i] = 1;
		moe_rec_f64(&m, "present", &present[i]);
		moe_rec_int(&m, "fixed", &fixed);
		if (!isfinite(present[i]) || fixed < 0 || fixed >= x->rank[i]) {
			moe_rec_free(&m);
			return refuse(r, e,
				"the presence of an expert is not finite, or as many of its ranks "
				"are fixed as it has");
		}
		x->fixed[i] = (int)fixed;
		if (read_unknown_of(&m, i, &a->expert_more, e)) {
			moe_rec_free(&m);
			return -1;
		}
		moe_rec_free(&m);
		m = (struct moe_rec){ 0 };
	}
	moe_rec_free(&m); /* an element that is no map leaves its bytes here */
	if (got < 0)
		return -1;
	moe_list_open(r, "targets", &targets);
	if (x->E == 0 || targets.left == 0)
		return refuse(r, e, "it has no experts or no targets");
	/* a set: the order of the names does not matter, that of tensors is the enum's */
	while (targets.left) {
		if (!moe_list_next_str(&targets, &s) ||
			(j = find_name(moe_linear_names, MOE_LINEARS, s)) < 0)
			return refuse(r, e,
				"'targets' must name Linears among q, k, v, o, gate, up, down");
		x->target[j] = true;
	}
	return 0;
}

/* The decision table. What it lacks stays 1; names that are not known are passed over. */
static int read_plan(const struct moe_rec *r, struct moe_decision_table *p, struct moe_err *e)
{
	struct moe_rec plan = { 0 }, row = { 0 };
	double v[2];
	size_t n;
	int rc = 0;

	/* what the table does not name is 1: takes part, and trains */
	moe_decision_table_ones(p);
	if (!moe_rec_map(r, "plan", &plan))
		return refuse(r, e, "'plan' must be a map");
	for (int d = 0; d < MOE_DECISIONS && rc == 0; d++) {
		if (!moe_rec_map(&plan, moe_decision_names[d], &row))
			continue;
		/* [gate, mask] of each bank that this decision names */
		for (int b = 0; b < MOE_BANKS && rc == 0; b++) {
			if (!moe_rec_has(&row, moe_bank_names[b]))
				continue;
			rc = moe_rec_f64s(&row, moe_bank_names[b], v, 2, &n, e);
			if (rc == 0 && n != 2)
				rc = refuse(r, e, "a plan's entry must be [gate, mask]");
			p->gate[d][b] = rc ? 0 : v[0];
			p->mask[d][b] = rc ? 0 : v[1];
		}
		moe_rec_free(&row);
		row = (struct moe_rec){ 0 };
	}
	/* one gate a bank: nothing is learned while sampling */
	if (rc == 0 && moe_rec_map(&plan, "sample", &row))
		for (int b = 0; b < MOE_BANKS; b++)
			moe_rec_f64(&row, moe_bank_names[b], &p->sample[b]);
	moe_rec_free(&row);
	moe_rec_free(&plan);
	return rc;
}

/* A need that is not known here would be obeyed by nobody: the arm is refused. */
static int read_needs(const struct moe_rec *r, struct moe_err *e)
{
	struct moe_list needs;
	struct moe_str s;

	if (moe_rec_has(r, "needs") == MOE_V_MISSING)
		return 0;
	if (moe_rec_has(r, "needs") != MOE_V_ARRAY)
		return refuse(r, e, "'needs' must be an array of names");
	/* every one of them must be in needs_known; whether the keys are there is not asked */
	for (moe_list_open(r, "needs", &needs); needs.left;) {
		if (!moe_list_next_str(&needs, &s))
			return refuse(r, e, "'needs' must be an array of names");
		if (find_name(needs_known, N_NEEDS, s) < 0)
			return moe_fail(e, MOE_DATA,
				"record %" PRIu64 " (byte %" PRIu64
				"): this adapter needs '%.*s' of whoever runs it, which this "
				"version does not understand: a newer moetools does",
				r->number, r->byte, (int)(s.n < 60 ? s.n : 60), s.p);
	}
	return 0;
}

/* One of a list of names under a key; absent = the first. */
static int read_choice(const struct moe_rec *r, const char *key, const char *const *names, int n,
	int *out, struct moe_err *e)
{
	struct moe_str s;

	*out = 0;
	if (moe_rec_has(r, key) == MOE_V_MISSING)
		return 0;
	if (moe_rec_str(r, key, &s) && (*out = find_name(names, n, s)) >= 0)
		return 0;
	return moe_fail(e, MOE_DATA,
		"record %" PRIu64 " (byte %" PRIu64 "): layout of an adapter: '%s' is not known",
		r->number, r->byte, key);
}

/* The settings that the router's functions get. One that this program does not know would be
 * obeyed by nobody. */
static int read_settings(const struct moe_rec *r, const struct moe_method *m, struct moe_adapter *a,
	struct moe_err *e)
{
	/* more settings than the method has: one of them at least is not known */
	if (a->settings.n_field > moe_setting_count(m->settings))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64
			": the router has a setting that the method '%s' of this version does not "
			"know",
			r->number, a->method);
	return moe_method_settings(m, a, a->x.set, e)
		? moe_err_prefix(e, "record %" PRIu64 ": the adapter's router", r->number)
		: 0;
}

/* The method's row has the router's functions; where they run is in the stream. */
static int read_router(const struct moe_rec *r, struct moe_adapter *a, struct moe_err *e)
{
	const struct moe_method *m;
	struct moe_rec router = { 0 };
	int place = 0, rc;

	if (moe_rec_has(r, "router") == MOE_V_MISSING)
		return 0;
	if (!moe_rec_map(r, "router", &router))
		return refuse(r, e, "'router' must be a map");
	m = moe_method_find(a->method, e);
	rc = m && m->router
		? read_choice(&router, "placement", moe_placement_names, MOE_PLACEMENTS, &place, e)
		: moe_fail(e, MOE_DATA,
			  "record %" PRIu64
			  ": the adapter has a router of the method '%s', which is not a method "
			  "with a router here",
			  r->number, a->method);
	if (rc == 0) {
		a->x.router = m->router;
		a->x.placement = (enum moe_placement)place;
		rc = read_settings(r, m, a, e);
	}
	moe_rec_free(&router);
	return rc;
}

/* What A and B are made from, by the method's row. */
static int read_form(const struct moe_rec *r, struct moe_adapter *a, struct moe_err *e)
{
	const struct moe_method *m;
	struct moe_str s;

	if (moe_rec_has(r, "form") == MOE_V_MISSING)
		return 0;
	/* the form's functions are code: the name in the stream must be that of the method's row */
	m = moe_method_find(a->method, e);
	if (!m || !m->form || !moe_rec_str(r, "form", &s) || !moe_str_eq(s, m->form->name))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64
			": the adapter's experts have a form that the method '%s' of this version "
			"does not know",
			r->number, a->method);
	a->x.form = m->form;
	return 0;
}

/* Which layer gets a constant, from 1; its upper bound, L, is checked when the experts are laid out
 * (experts.c). It is multiplied by the quarantine's gates, so that gates of 0 everywhere would make
 * it do nothing. */
static int read_shift(const struct moe_rec *r, struct moe_adapter *a, struct moe_err *e)
{
	int64_t layer;

	if (moe_rec_has(r, "shift") == MOE_V_MISSING)
		return 0;
	if (moe_rec_int_req(r, "shift", &layer, e))
		return -1;
	if (layer < 1 || layer > INT32_MAX)
		return refuse(r, e, "'shift' must be a layer's number, from 1");
	a->x.shift = (int)layer;
	return moe_decision_table_lets_in(&a->plan, MOE_BANK_QUARANTINE)
		? 0
		: refuse(r, e,
			  "its vector stands with the quarantine, whose gate is 0 whatever is "
			  "decided, so that it would be added nowhere; make the adapter anew");
}

/* The layout record into a, with param and alive laid out and zero; tensors follow (adapter_io.c).
 * Settings come before the router, which reads them; the decision table before the shift, which
 * looks at its gates; memory last, since experts, form, router and shift decide how much it is. */
int moe_adapter_from_layout(const struct moe_rec *r, struct moe_adapter *a, struct moe_err *e)
{
	struct moe_config c = { 0 };
	double present[MOE_EXPERTS_MAX];
	int64_t seed;
	int deploy;

	if (!moe_rec_is(r, "layout"))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 " (byte %" PRIu64
			"): an adapter must begin with a layout record",
			r->number, r->byte);
	if (read_text(r, "arm", a->arm, sizeof(a->arm), e) ||
		read_text(r, "method", a->method, sizeof(a->method), e) ||
		read_text(r, "base", a->base, sizeof(a->base), e) ||
		moe_rec_int_req(r, "train_seed", &seed, e) ||
		moe_rec_int_req(r, "step", &a->step, e) ||
		moe_rec_f64_req(r, "scale", &a->x.scale, e))
		return -1;
	if (moe_rec_has(r, "name") && read_text(r, "name", a->name, sizeof(a->name), e))
		return -1;
	if (!moe_adapter_name_good(a))
		return refuse(r, e,
			"its name is not its method, a hyphen and a number, as in 'random-2'");
	if (moe_rec_has(r, "decided_by") &&
		read_text(r, "decided_by", a->decided_by, sizeof(a->decided_by), e))
		return -1;
	a->train_seed = (uint64_t)seed; /* the format has signed numbers: the same 64 bits */
	moe_rec_map(r, "settings", &a->settings);
	if (read_needs(r, e) || read_config(r, &c, e) || read_experts(r, a, present, e) ||
		read_plan(r, &a->plan, e) || read_router(r, a, e) || read_form(r, a, e) ||
		read_shift(r, a, e) ||
		read_choice(r, "deploy", moe_deploy_names, MOE_DEPLOYS, &deploy, e) ||
		read_unknown(
			r, layout_keys, sizeof(layout_keys) / sizeof(*layout_keys), &a->more, e))
		return -1;
	a->x.deploy = (enum moe_deploy)deploy;
	moe_rec_map(r, "score", &a->score);
	moe_rec_map(r, "match", &a->match);
	moe_rec_map(r, "lineage", &a->lineage);
	if (moe_experts_alloc(&a->x, &c, e))
		return moe_err_prefix(e, "layout of an adapter");
	/* [E] used; the layout has just set all of them to 1 */
	memcpy(a->x.present, present, sizeof(present));
	return 0;
}
