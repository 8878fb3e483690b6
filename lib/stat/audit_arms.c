/* audit_arms.c - adapters made anew: their digests from their tensors, and every ablated arm from
 * the adapter that it says it was made of. It trains nothing. */
#include "formats/list.h"
#include "moe/ablate.h"
#include "stat/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The adapters that arms are made of, as read from the files. */
struct whole {
	struct moe_adapter *v;
	size_t n, cap;
};

struct tally {
	size_t read, made, unknown;
	bool failed;
};

static const char GROUP[] = "made anew";

static int keep(struct whole *w, const struct moe_adapter *x, struct moe_err *e)
{
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->v[i].digest, x->digest))
			return 0;
	if (moe_grow((void **)&w->v, w->n, &w->cap, sizeof *w->v, e))
		return -1;
	memset(&w->v[w->n], 0, sizeof *w->v);
	return moe_adapter_copy(&w->v[w->n++], x, e);
}

static const struct moe_adapter *parent_of(const struct whole *w, const struct moe_adapter *x)
{
	struct moe_list parents;
	struct moe_str s, last = { "", 0 };

	moe_list_open(&x->lineage, "parents", &parents);
	while (moe_list_next_str(&parents, &s))
		last = s;
	for (size_t i = 0; i < w->n; i++)
		if (moe_str_eq(last, w->v[i].digest))
			return &w->v[i];
	return NULL;
}

/* An arm's name promises what was done to its parent: do it again. */
static int remake(struct moe_audit *a, const char *path, const struct moe_adapter *x, uint64_t seed,
	const struct whole *w, struct tally *t, struct moe_err *e)
{
	const struct moe_adapter *from = parent_of(w, x);
	struct moe_adapter made = { 0 };
	struct moe_err why;
	int rc = 0;

	if (!from) {
		t->unknown++;
		return 0;
	}
	if (moe_ablate_make(&made, from, x->arm, seed, NULL, &why)) {
		t->unknown++; /* a name that moe-ablate does not know promises nothing */
		return why.code == MOE_USAGE ? 0 : moe_fail(e, why.code, "%s", why.msg);
	}
	rc = moe_adapter_digest(&made, e);
	if (!rc && strcmp(made.digest, x->digest) != 0) {
		t->failed = true;
		rc = moe_audit_say(a, e, GROUP, MOE_CHECK_FAILED, "",
			"%s: the arm %s of seed %" PRIu64 " is %.16s; made anew from %.16s it is "
			"%.16s: arms were swapped or edited (or another version of moe-ablate made "
			"it)",
			path, x->arm, x->train_seed, x->digest, from->digest, made.digest);
	}
	t->made++;
	moe_adapter_free(&made);
	return rc;
}

/* One file: its whole adapters into w (first), or its other arms made anew. */
static int walk(struct moe_audit *a, const struct moe_audit_file *f, bool first, size_t max_mem,
	struct whole *w, struct tally *t, struct moe_err *e)
{
	const struct moe_reader_opts o = { .max_mem = max_mem };
	struct moe_reader *in = moe_reader_open_path(f->path, &o, e);
	struct moe_adapter x = { 0 };
	struct moe_err why;
	int64_t seed = 0;
	int got = in ? 1 : -1;

	while (got > 0 && !t->failed) {
		if ((got = moe_adapter_read(in, false, &x, &why)) < 0 && why.code == MOE_DATA) {
			/* the stream itself was read to its end before: what is wrong is the arm */
			t->failed = true;
			got = moe_audit_say(
				a, e, GROUP, MOE_CHECK_FAILED, "", "%s: %s", f->path, why.msg);
			break;
		}
		if (got < 0)
			*e = why;
		if (got <= 0)
			break;
		t->read += first;
		if (first && !strcmp(x.arm, "on") && keep(w, &x, e))
			got = -1;
		seed = f->seed;
		moe_rec_int(moe_reader_header(in), "seed", &seed);
		if (!first && strcmp(x.arm, "on") != 0 &&
			remake(a, f->path, &x, (uint64_t)seed, w, t, e))
			got = -1;
	}
	moe_adapter_free(&x);
	if (in)
		moe_reader_close(in);
	return got < 0 ? -1 : 0;
}

int moe_audit_arms(struct moe_audit *a, size_t max_mem, struct moe_err *e)
{
	struct whole w = { 0 };
	struct tally t = { 0 };
	int rc = 0;

	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; !rc && !t.failed && i < a->n_file; i++)
			if (!strcmp(a->file[i].kind, "adapter"))
				rc = walk(a, &a->file[i], pass == 0, max_mem, &w, &t, e);
	for (size_t i = 0; i < w.n; i++)
		moe_adapter_free(&w.v[i]);
	free(w.v);
	if (rc || t.failed)
		return rc;
	if (t.read)
		rc = moe_audit_say(a, e, GROUP, MOE_CHECK_HELD,
			"tensors, layouts or scores that were edited under an old digest",
			"the digests of %zu adapter%s are those of their tensors", t.read,
			t.read == 1 ? "" : "s");
	if (!rc && t.made)
		rc = moe_audit_say(a, e, GROUP, MOE_CHECK_HELD,
			"arms that were swapped, renamed, or ablated otherwise than their names "
			"say",
			"%zu ablated arms came out the same when they were made anew from their "
			"parents",
			t.made);
	if (!rc && t.unknown)
		rc = moe_audit_say(a, e, GROUP, MOE_CHECK_SKIPPED, "",
			"%zu ablated arms could not be made anew: their parents are not among the "
			"files, no arm of moe-ablate has their name, or they are made with a base "
			"or a trajectory (damage-off, pairs-out, trajectory-out)",
			t.unknown);
	return rc;
}
