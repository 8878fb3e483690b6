/* audit.c - reads an experiment's files and compares digests and names. It opens no seal and
 * computes no statistics. */
#include "stat/audit.h"

#include "formats/list.h"
#include "moe/adapter.h"
#include "util/rng.h"
#include "formats/rollout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_set(struct moe_audit_set *s)
{
	moe_names_free(&s->prompt);
	moe_names_free(&s->task);
	moe_names_free(&s->marker);
}

void moe_audit_free(struct moe_audit *a)
{
	free_set(&a->pairs);
	free_set(&a->eval);
	free_set(&a->train);
	moe_digests_free(&a->pairs_digest);
	moe_digests_free(&a->prompts);
	for (size_t i = 0; i < a->n_arm; i++) {
		moe_digests_free(&a->arm[i].parent);
		moe_digests_free(&a->arm[i].from);
	}
	free(a->arm);
	for (size_t i = 0; i < a->n_policy; i++)
		free(a->policy[i].cell);
	free(a->policy);
	for (size_t i = 0; i < a->n_run; i++) {
		free(a->run[i].seal);
		free(a->run[i].said);
		moe_names_free(&a->run[i].router);
	}
	free(a->file);
	free(a->pair_text.v);
	free(a->run);
	free(a->check);
	moe_names_free(&a->text);
	moe_arena_free(&a->arena);
	memset(a, 0, sizeof *a);
}

/* Adds a text, which may be printed; an empty one only where its number is wanted (out). -1 on
 * failure. */
static int add_name(struct moe_audit *a, struct moe_names *t, struct moe_str s, const char **out,
	struct moe_err *e)
{
	int64_t at = s.n || out ? moe_names_add_text(t, &a->arena, s.p, s.n, e) : 0;

	if (at >= 0 && out)
		*out = t->v[at];
	return at < 0 ? -1 : 0;
}

static int add_str(struct moe_audit *a, struct moe_names *t, const struct moe_rec *r,
	const char *key, const char **out, struct moe_err *e)
{
	struct moe_str s = { "", 0 };

	moe_rec_str(r, key, &s);
	return add_name(a, t, s, out, e);
}

/* The digests listed under key, which may be printed. */
static int add_digests(struct moe_audit *a, struct moe_digests *d, const struct moe_rec *r,
	const char *key, struct moe_err *e)
{
	struct moe_list list;
	struct moe_str s;
	const char *kept;

	moe_list_open(r, key, &list);
	while (moe_list_next_str(&list, &s))
		if (add_name(a, &a->text, s, &kept, e) || moe_digests_add(d, kept, e))
			return -1;
	return 0;
}

static int add_set(
	struct moe_audit *a, struct moe_audit_set *s, const struct moe_rec *r, struct moe_err *e)
{
	s->records++;
	return add_str(a, &s->prompt, r, "prompt", NULL, e) ||
		add_str(a, &s->task, r, "task", NULL, e) ||
		add_str(a, &s->marker, r, "marker", NULL, e);
}

/* Of a prompt with what was written below it. */
static uint64_t hash_text(const struct moe_rec *r, const char *completion)
{
	struct moe_str p = { "", 0 }, c = { "", 0 };

	moe_rec_str(r, "prompt", &p);
	if (!moe_rec_bin(r, completion, &c))
		moe_rec_str(r, completion, &c);
	return moe_hash64(p.p, p.n) * 31 + moe_hash64(c.p, c.n);
}

static int add_hash(uint64_t **v, size_t *n, size_t *cap, uint64_t hash, struct moe_err *e)
{
	if (moe_grow((void **)v, *n, cap, sizeof **v, e))
		return -1;
	(*v)[(*n)++] = hash;
	return 0;
}

static int add_cell(struct moe_audit_policy *p, const struct moe_rec *r, struct moe_err *e)
{
	struct moe_audit_cell c = { 0 };
	struct moe_str id = { "", 0 };
	int64_t sample = 0;

	if (moe_grow((void **)&p->cell, p->n, &p->cap, sizeof c, e))
		return -1;
	moe_rec_str(r, MOE_ROLLOUT_PROMPT_ID, &id);
	moe_rec_int(r, "sample", &sample);
	c.prompt = moe_hash64(id.p, id.n);
	c.key = c.prompt * 31 + (uint64_t)sample;
	c.text = hash_text(r, MOE_ROLLOUT_COMPLETION);
	p->cell[p->n++] = c;
	return 0;
}

static int add_policy(
	struct moe_audit *a, const char *path, const struct moe_rec *r, struct moe_err *e)
{
	struct moe_audit_policy p = { .path = path, .seed = -1 };

	moe_rec_int(r, "train_seed", &p.seed);
	if (add_str(a, &a->text, r, "arm", &p.arm, e) ||
		add_str(a, &a->text, r, "method", &p.method, e) ||
		add_str(a, &a->text, r, MOE_ROLLOUT_POLICY, &p.digest, e))
		return -1;
	for (size_t i = a->n_policy; i-- > 0;) { /* interned: equal strings are one pointer */
		struct moe_audit_policy *q = &a->policy[i];
		if (q->arm == p.arm && q->method == p.method && q->digest == p.digest &&
			q->seed == p.seed)
			return add_cell(q, r, e);
	}
	if (moe_grow((void **)&a->policy, a->n_policy, &a->cap_policy, sizeof p, e))
		return -1;
	a->policy[a->n_policy++] = p;
	return add_cell(&a->policy[a->n_policy - 1], r, e);
}

/* lineage.trained, as moe-train wrote it. */
static int add_trained(struct moe_audit *a, struct moe_audit_trained *t,
	const struct moe_rec *lineage, struct moe_err *e)
{
	struct moe_rec m = { 0 }, routes = { 0 };
	struct moe_buf b = { 0 };
	int64_t last = 0, n;
	int rc = 0;

	t->routes = "";
	if (!moe_rec_map(lineage, "trained", &m))
		return 0;
	t->known = true;
	moe_rec_int(&m, "rollouts", &t->rollouts);
	moe_rec_int(&m, "by_itself", &t->on_policy);
	moe_rec_int(&m, "by_last", &last);
	moe_rec_int(&m, "by_earlier", &t->by_earlier);
	moe_rec_int(&m, "by_other", &t->by_other);
	moe_rec_int(&m, "by_base", &t->by_base);
	moe_rec_int(&m, "by_unknown", &t->by_unknown);
	moe_rec_int(&m, "repeated", &t->repeated);
	t->on_policy += last;
	if (moe_rec_map(&m, "routes", &routes))
		for (size_t i = 0; !rc && i < routes.n_field; i++) {
			char key[64];
			struct moe_str k = routes.field[i].key;

			n = 0;
			snprintf(key, sizeof key, "%.*s", (int)(k.n < 63 ? k.n : 63), k.p);
			moe_rec_int(&routes, key, &n);
			rc = moe_buf_addf(&b, e, "%s%.*s %lld", i ? ", " : "",
				(int)routes.field[i].key.n, routes.field[i].key.p, (long long)n);
		}
	rc = rc ||
		add_name(a, &a->text, (struct moe_str){ b.len ? (const char *)b.data : "", b.len },
			&t->routes, e);
	moe_buf_free(&b);
	moe_rec_free(&m);
	moe_rec_free(&routes);
	return rc ? -1 : 0;
}

static int add_layout(
	struct moe_audit *a, const char *path, const struct moe_rec *r, struct moe_err *e)
{
	struct moe_rec lineage = { 0 };
	struct moe_audit_arm *x;
	int bad;

	if (moe_grow((void **)&a->arm, a->n_arm, &a->cap_arm, sizeof *a->arm, e))
		return -1;
	x = &a->arm[a->n_arm];
	memset(x, 0, sizeof *x);
	x->path = path;
	x->seed = -1;
	moe_rec_int(r, "train_seed", &x->seed);
	moe_rec_int(r, "step", &x->step);
	moe_rec_map(r, "lineage", &lineage);
	bad = add_str(a, &a->text, r, "arm", &x->arm, e) ||
		add_str(a, &a->text, r, moe_layout_reported_key(r), &x->method, e) ||
		add_str(a, &a->text, r, "base", &x->base, e) ||
		add_trained(a, &x->trained, &lineage, e) ||
		add_str(a, &a->text, &lineage, "pins", &x->pins, e) ||
		add_digests(a, &x->parent, &lineage, "parents", e);
	moe_rec_free(&lineage);
	x->digest = "";
	a->n_arm++;
	return bad ? -1 : 0;
}

/* Who routed it, and what it says. */
static int add_run_facts(
	struct moe_audit *a, struct moe_audit_run *run, const struct moe_rec *r, struct moe_err *e)
{
	struct moe_rec route = { 0 };
	struct moe_str by = { "", 0 };
	uint64_t text = hash_text(r, MOE_ROLLOUT_COMPLETION);
	int64_t at = -1;
	int rc = 0;

	run->rollouts++;
	run->text = (run->text ^ text) * 0x9E3779B97F4A7C15u + 1;
	if (moe_rec_map(r, MOE_ROLLOUT_ROUTE, &route)) {
		moe_rec_str(&route, "method", &by);
		at = moe_names_add_text(&run->router, &a->arena, by.p, by.n, e);
		rc = at < 0;
		if (!rc)
			run->routed[at < 8 ? at : 7]++;
	}
	moe_rec_free(&route);
	return rc || add_hash(&run->said, &run->n_said, &run->cap_said, text, e) ? -1 : 0;
}

/* A training record into the run's two fingerprints: its seal, and everything else. */
static int add_run_record(struct moe_audit_run *run, struct moe_rec *r, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	struct moe_str seal;

	if (moe_rec_bin(r, MOE_ROLLOUT_SEAL, &seal)) {
		if (moe_grow((void **)&run->seal, run->n, &run->cap, sizeof *run->seal, e))
			return -1;
		run->seal[run->n++] = moe_hash64(seal.p, seal.n);
		moe_rec_unset(r, MOE_ROLLOUT_SEAL);
	}
	int bad = moe_rec_emit(r, &b, e);
	if (!bad)
		sha256_update(&run->sha, b.len, b.data);
	moe_buf_free(&b);
	return bad;
}

static int begin_run(struct moe_audit *a, const char *path, struct moe_err *e)
{
	if (moe_grow((void **)&a->run, a->n_run, &a->cap_run, sizeof *a->run, e))
		return -1;
	memset(&a->run[a->n_run], 0, sizeof *a->run);
	a->run[a->n_run].path = path;
	a->run[a->n_run].digest = a->run[a->n_run].tool = "";
	sha256_init(&a->run[a->n_run++].sha);
	return 0;
}

enum role { ROLE_ANY, ROLE_RUN, ROLE_FLIPPED };

static int take(struct moe_audit *a, enum role role, const char *path, struct moe_str kind,
	struct moe_rec *r, struct moe_err *e)
{
	if (role == ROLE_RUN && !moe_str_eq(kind, "rollouts"))
		return moe_fail(e, MOE_DATA,
			"%s: a recorded training run is a stream of rollouts, not of %.*s", path,
			(int)kind.n, kind.p);
	if (role == ROLE_FLIPPED && !moe_str_eq(kind, "adapter"))
		return moe_fail(e, MOE_DATA, "%s: --flipped wants an adapter, not %.*s", path,
			(int)kind.n, kind.p);
	if (role == ROLE_RUN)
		return (moe_rec_is(r, "rollout") &&
			       (add_set(a, &a->train, r, e) ||
				       add_run_facts(a, &a->run[a->n_run - 1], r, e))) ||
				add_run_record(&a->run[a->n_run - 1], r, e)
			? -1
			: 0;
	if (moe_rec_is(r, "rollout"))
		return add_set(a, &a->eval, r, e) || add_policy(a, path, r, e) ||
				moe_audit_prompt(&a->prompts, r, e)
			? -1
			: 0;
	if (moe_rec_is(r, "pair"))
		return add_set(a, &a->pairs, r, e) ||
				add_hash(&a->pair_text.v, &a->pair_text.n, &a->pair_text.cap,
					hash_text(r, "hack"), e) ||
				add_hash(&a->pair_text.v, &a->pair_text.n, &a->pair_text.cap,
					hash_text(r, "clean"), e)
			? -1
			: 0;
	if (moe_rec_is(r, "layout"))
		return add_layout(a, path, r, e);
	if (moe_rec_is(r, "arm-end") && a->n_arm && moe_str_eq(kind, "adapter")) {
		a->arm[a->n_arm - 1].flipped = role == ROLE_FLIPPED;
		return add_str(a, &a->text, r, "digest", &a->arm[a->n_arm - 1].digest, e);
	}
	return 0;
}

/* After the last record: the file's own digests, what it names as inputs, its taint. */
static int finish(struct moe_audit *a, enum role role, size_t first_arm, struct moe_reader *in,
	bool pairs, struct moe_err *e)
{
	const struct moe_rec *end = moe_reader_end_record(in);

	for (size_t i = 0; i < moe_reader_digests(in); i++) {
		const char *d = moe_reader_digest(in, i), *kept;
		if (!d || !d[0])
			continue;
		if (add_name(a, &a->text, (struct moe_str){ d, strlen(d) }, &kept, e))
			return -1;
		if (pairs && moe_digests_add(&a->pairs_digest, kept, e))
			return -1;
		if (role == ROLE_RUN)
			a->run[a->n_run - 1].digest = kept;
	}
	if (role == ROLE_RUN)
		sha256_digest(
			&a->run[a->n_run - 1].sha, SHA256_DIGEST_SIZE, a->run[a->n_run - 1].body);
	for (size_t k = first_arm; k < a->n_arm; k++) {
		a->arm[k].labels = moe_reader_labels(in);
		if (add_digests(a, &a->arm[k].from, end, "from", e))
			return -1;
	}
	return 0;
}

/* What the file says of itself. */
static int add_file(struct moe_audit *a, enum role role, const char *path,
	const struct moe_reader *in, struct moe_err *e)
{
	const struct moe_rec *h = moe_reader_header(in);
	struct moe_audit_file f = { .path = path,
		.run = role == ROLE_RUN,
		.flipped = role == ROLE_FLIPPED,
		.edited = moe_reader_edited(in),
		.unbound = moe_reader_unbound(in) };

	moe_rec_int(h, "seed", &f.seed);
	if (add_str(a, &a->text, h, "kind", &f.kind, e) ||
		add_str(a, &a->text, h, "tool", &f.tool, e) ||
		add_str(a, &a->text, h, "uat", &f.uat, e) ||
		moe_grow((void **)&a->file, a->n_file, &a->cap_file, sizeof f, e))
		return -1;
	a->file[a->n_file++] = f;
	if (role == ROLE_RUN) {
		a->run[a->n_run - 1].seed = f.seed;
		a->run[a->n_run - 1].tool = f.tool;
	}
	return 0;
}

static int load(
	struct moe_audit *a, enum role role, const char *path, size_t max_mem, struct moe_err *e)
{
	const struct moe_reader_opts o = { .max_mem = max_mem };
	struct moe_reader *in = moe_reader_open_path(path, &o, e);
	struct moe_rec r = { 0 };
	size_t first_arm = a->n_arm;
	const char *name = NULL;
	bool pairs = false;
	int got = in && !add_name(a, &a->text, (struct moe_str){ path, strlen(path) }, &name, e)
		? 1
		: -1;

	if (got > 0 && role == ROLE_RUN && begin_run(a, name, e))
		got = -1;
	while (got > 0 && (got = moe_reader_next(in, &r, e)) > 0) {
		pairs |= moe_rec_is(&r, "pair");
		if (take(a, role, name, moe_reader_kind(in), &r, e))
			got = -1;
	}
	if (!got)
		got = finish(a, role, first_arm, in, pairs, e) || add_file(a, role, name, in, e)
			? -1
			: 0;
	moe_rec_free(&r);
	if (in)
		moe_reader_close(in);
	return got;
}

int moe_audit_load(struct moe_audit *a, const char *path, size_t max_mem, struct moe_err *e)
{
	return load(a, ROLE_ANY, path, max_mem, e);
}

int moe_audit_run(struct moe_audit *a, const char *path, size_t max_mem, struct moe_err *e)
{
	return load(a, ROLE_RUN, path, max_mem, e);
}

int moe_audit_flipped(struct moe_audit *a, const char *path, size_t max_mem, struct moe_err *e)
{
	return load(a, ROLE_FLIPPED, path, max_mem, e);
}
