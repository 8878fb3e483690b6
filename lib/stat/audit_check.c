/* audit_check.c - the checks of the audit, on what audit.c has read. */
#include "stat/audit.h"
#include "util/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct audit_out {
	struct moe_audit *a;
	struct moe_err *e;
	int bad;
	const char *excludes; /* by the next check that holds */
};

#define say(o, group, state, ...)                                                                  \
	((o)->bad = (o)->bad ||                                                                    \
			moe_audit_say((o)->a, (o)->e, group, state, (o)->excludes, __VA_ARGS__))

int moe_audit_say(struct moe_audit *a, struct moe_err *e, const char *group,
	enum moe_check_state state, const char *excludes, const char *fmt, ...)
{
	char whole[2 * sizeof a->check->text];
	va_list ap;

	if (moe_grow((void **)&a->check, a->n_check, &a->cap_check, sizeof *a->check, e))
		return -1;
	struct moe_check *c = &a->check[a->n_check++];
	c->group = group;
	c->state = state;
	c->excludes = excludes;
	va_start(ap, fmt);
	vsnprintf(whole, sizeof whole, fmt, ap);
	va_end(ap);
	moe_text_fit(c->text, sizeof c->text, whole, 0, SIZE_MAX);
	return 0;
}

static const struct moe_audit_arm *find_arm(const struct moe_audit *a, const char *digest)
{
	for (size_t i = 0; i < a->n_arm; i++)
		if (digest[0] && strcmp(a->arm[i].digest, digest) == 0 && !a->arm[i].flipped)
			return &a->arm[i];
	return NULL;
}

/* The same with the arm's name, where several arms act alike. */
static const struct moe_audit_arm *find_named(
	const struct moe_audit *a, const char *digest, const char *arm)
{
	const struct moe_audit_arm *first = find_arm(a, digest);

	for (size_t i = 0; first && i < a->n_arm; i++)
		if (strcmp(a->arm[i].digest, digest) == 0 && !a->arm[i].flipped &&
			!strcmp(a->arm[i].arm, arm))
			return &a->arm[i];
	return first;
}

static bool listed(const struct moe_digests *d, const char *digest)
{
	return moe_digests_find(d, digest) != SIZE_MAX;
}

/* Every evaluated arm to an adapter, by the digest of its content. */
static void policies(struct audit_out *o)
{
	const struct moe_audit *a = o->a;
	size_t found = 0, base = 0;

	o->excludes = "an evaluation of another adapter, arm, method or seed than its records say";
	if (!a->n_policy) {
		say(o, "lineage", MOE_CHECK_SKIPPED, "no evaluation rollouts were given");
		return;
	}
	if (!a->n_arm) {
		say(o, "lineage", MOE_CHECK_SKIPPED,
			"no adapters were given, so the policies of the rollouts lead nowhere");
		return;
	}
	for (size_t i = 0; i < a->n_policy; i++) {
		const struct moe_audit_policy *p = &a->policy[i];
		const struct moe_audit_arm *x = find_named(a, p->digest, p->arm);
		if (!p->digest[0]) {
			base++;
		} else if (!x) {
			say(o, "lineage", MOE_CHECK_FAILED,
				"%s: arm %s of %s, seed %lld, was sampled by %.16s, which is none "
				"of the adapters given",
				p->path, p->arm, p->method, (long long)p->seed, p->digest);
			return;
		} else if (strcmp(x->arm, p->arm) != 0) {
			say(o, "lineage", MOE_CHECK_FAILED,
				"%s: rollouts say that the arm %s of %s, seed %lld, sampled them; "
				"that adapter is the arm %s: arms were swapped or renamed",
				p->path, p->arm, p->method, (long long)p->seed, x->arm);
			return;
		} else if (x->method != p->method || x->seed != p->seed) {
			say(o, "lineage", MOE_CHECK_FAILED,
				"%s: rollouts say %s, seed %lld; the adapter that sampled them "
				"says %s, seed %lld",
				p->path, p->method, (long long)p->seed, x->method,
				(long long)x->seed);
			return;
		} else {
			found++;
		}
	}
	say(o, "lineage", MOE_CHECK_HELD,
		"%zu evaluated arm%s sampled by adapters among the files (by content digest)%s",
		found, found == 1 ? " was" : "s were", base ? "; the plain base needs none" : "");
}

/* The ancestors of every sampled adapter, and the pairs at their root. */
static void ancestors(struct audit_out *o)
{
	const struct moe_audit *a = o->a;
	size_t chains = 0, links = 0, no_pins = 0, unknown_pins = 0;

	o->excludes = "an adapter that came from another run, or from other pairs than are shown";
	for (size_t i = 0; i < a->n_policy; i++) {
		const struct moe_audit_arm *x = find_arm(a, a->policy[i].digest);
		if (!x)
			continue;
		chains++;
		for (size_t k = 0; k < x->parent.n; k++) {
			if (!find_arm(a, x->parent.v[k])) {
				say(o, "lineage", MOE_CHECK_SKIPPED,
					"%s: arm %s comes from adapter %.16s, which is none of the "
					"files given",
					x->path, x->arm, x->parent.v[k]);
				return;
			}
			links++;
		}
		no_pins += !x->pins[0];
		unknown_pins += x->pins[0] && !listed(&a->pairs_digest, x->pins);
	}
	if (!chains)
		return;
	say(o, "lineage", MOE_CHECK_HELD,
		"%zu link%s from these adapters to their ancestors %s among the files", links,
		links == 1 ? "" : "s", links == 1 ? "is" : "are all");
	if (!a->pairs_digest.n)
		say(o, "lineage", MOE_CHECK_SKIPPED,
			"no pairs were given, so the root of the lineage is not checked");
	else if (unknown_pins)
		say(o, "lineage", MOE_CHECK_FAILED,
			"%zu sampled adapter%s pairs that are not the file given", unknown_pins,
			unknown_pins == 1 ? " names" : "s name");
	else if (no_pins == chains)
		say(o, "lineage", MOE_CHECK_SKIPPED,
			"no adapter names the pairs that it was made from");
	else
		say(o, "lineage", MOE_CHECK_HELD,
			"the lineage of %zu of %zu sampled adapters ends at the pairs given (by "
			"digest); %zu were made without pairs",
			chains - no_pins, chains, no_pins);
}

/* The recording that an adapter's file names as its input. */
static const struct moe_audit_run *find_run(
	const struct moe_audit *a, const struct moe_audit_arm *x)
{
	for (size_t i = 0; i < a->n_run; i++)
		if (listed(&x->from, a->run[i].digest))
			return &a->run[i];
	return NULL;
}

/* A trained adapter names the recorded run that trained it. */
static void recordings(struct audit_out *o)
{
	const struct moe_audit *a = o->a;
	size_t trained = 0, named = 0;

	o->excludes = "an adapter that was trained on other rollouts than are shown";
	if (!a->n_run) {
		say(o, "lineage", MOE_CHECK_SKIPPED, "no recorded training run was given (--run)");
		return;
	}
	for (size_t i = 0; i < a->n_arm; i++) {
		const struct moe_audit_arm *x = &a->arm[i];
		if (x->flipped || !x->step || strcmp(x->arm, "on"))
			continue;
		trained++;
		named += find_run(a, x) != NULL;
	}
	if (named)
		say(o, "lineage", MOE_CHECK_HELD,
			"%zu adapter%s one of the %zu recorded run%s as what trained %s", named,
			named == 1 ? " names" : "s name", a->n_run, a->n_run == 1 ? "" : "s",
			named == 1 ? "it" : "them");
	else if (trained)
		say(o, "lineage", MOE_CHECK_FAILED,
			"none of the %zu trained adapters names a recorded run that was given",
			trained);
	else
		say(o, "lineage", MOE_CHECK_SKIPPED,
			"no trained adapter was given to compare with the recorded runs");
}

static void disjoint(struct audit_out *o, const char *one, const struct moe_names *x,
	const char *x_name, const struct moe_names *y, const char *y_name)
{
	size_t shared = 0;
	const char *example = "";
	char shown[4 * 60 + 1];

	o->excludes = "a test on what was pinned or trained on";
	if (!x->n || !y->n) {
		say(o, "disjoint", MOE_CHECK_SKIPPED, "%ss: there are none in the %s", one,
			x->n ? y_name : x_name);
		return;
	}
	for (size_t i = 0; i < x->n; i++)
		if (moe_names_find(y, x->v[i]) >= 0) {
			shared++;
			example = x->v[i];
		}
	if (shared)
		say(o, "disjoint", MOE_CHECK_FAILED,
			"%zu of %zu %ss of the %s occur in the %s, for example \"%s\"", shared,
			x->n, one, x_name, y_name,
			moe_text_fit(shown, sizeof shown, example, 0, 60));
	else
		say(o, "disjoint", MOE_CHECK_HELD,
			"no %s is shared by the %s (%zu) and the %s (%zu)", one, x_name, x->n,
			y_name, y->n);
}

/* What is held against another: its prompts, tasks and markers, and what is said when there is none
 * of it. */
struct group {
	const struct moe_audit_set *set;
	const char *name, *missing;
};

static void disjoint_sets(struct audit_out *o, const struct group *x, const struct group *y)
{
	if (!x->set->records || !y->set->records) {
		say(o, "disjoint", MOE_CHECK_SKIPPED, "%s against %s: %s", x->name, y->name,
			x->set->records ? y->missing : x->missing);
		return;
	}
	disjoint(o, "prompt", &x->set->prompt, x->name, &y->set->prompt, y->name);
	disjoint(o, "task", &x->set->task, x->name, &y->set->task, y->name);
	disjoint(o, "marker", &x->set->marker, x->name, &y->set->marker, y->name);
}

static bool same_from(const struct moe_audit_arm *x, const struct moe_audit_arm *y)
{
	if (x->from.n != y->from.n)
		return false;
	for (size_t i = 0; i < x->from.n; i++)
		if (!listed(&y->from, x->from.v[i]))
			return false;
	return true;
}

/* What the two recordings of a flip test differ in. NULL = in every seal and nothing else. */
static const char *compare_runs(const struct moe_audit_run *x, const struct moe_audit_run *y)
{
	if (x->n != y->n || memcmp(x->body, y->body, sizeof x->body))
		return "the recordings differ in more than their seals";
	if (!x->n)
		return "the recordings hold no seals";
	for (size_t i = 0; i < x->n; i++)
		if (x->seal[i] == y->seal[i])
			return "some seals of the two recordings are the same";
	return NULL;
}

/* Both adapters are known, equal and trained from two streams: was that a flip test? */
static void flip_equal(
	struct audit_out *o, const struct moe_audit_arm *x, const struct moe_audit_arm *y)
{
	const struct moe_audit_run *a = find_run(o->a, x), *b = find_run(o->a, y);
	const char *why = a && b ? compare_runs(a, b) : NULL;

	if (listed(&y->parent, y->digest))
		say(o, "flip test", MOE_CHECK_SKIPPED,
			"%s is what it was before training: nothing was learned that labels could "
			"have reached",
			y->path);
	else if (why)
		say(o, "flip test", MOE_CHECK_FAILED, "%s and %s: %s: that is no flip test",
			a->path, b->path, why);
	else
		say(o, "flip test", MOE_CHECK_HELD,
			"%s and %s are the same, bit for bit (%.16s); %s", x->path, y->path,
			x->digest,
			a && b ? "their recordings differ in every seal and in nothing else"
			       : "that their recordings differ in seals alone was not checked "
				 "(give both with --run)");
}

/* A trained adapter stands alone in its file; what moe-ablate copied from it stands among other
 * arms. */
static bool alone(const struct moe_audit *a, size_t k)
{
	for (size_t i = 0; i < a->n_arm; i++)
		if (i != k && a->arm[i].path == a->arm[k].path)
			return false;
	return true;
}

/* The adapter trained from flipped seals is the one trained from the true ones, bit for bit. */
static void flip(struct audit_out *o)
{
	const struct moe_audit *a = o->a;
	size_t n = 0;

	o->excludes = "sealed findings that reach training through rewards, routes or the "
		      "rollouts' order";
	for (size_t i = 0; i < a->n_arm; i++) {
		const struct moe_audit_arm *x = &a->arm[i], *y = NULL;
		if (!x->flipped)
			continue;
		n++;
		for (size_t k = 0; k < a->n_arm; k++)
			if (!a->arm[k].flipped && a->arm[k].method == x->method &&
				a->arm[k].seed == x->seed && a->arm[k].step == x->step &&
				!strcmp(a->arm[k].arm, "on") && a->arm[k].parent.n == x->parent.n &&
				alone(a, k))
				y = !y || y->digest != x->digest
					? &a->arm[k]
					: y; /* a replay by the same program counts as well as the
						original */
		if (!y)
			say(o, "flip test", MOE_CHECK_SKIPPED,
				"%s: no adapter of %s, seed %lld, step %lld to compare with was "
				"given",
				x->path, x->method, (long long)x->seed, (long long)x->step);
		else if (!x->from.n || same_from(x, y))
			say(o, "flip test", MOE_CHECK_FAILED,
				"%s was trained from the same stream as %s: that is no flip test",
				x->path, y->path);
		else if (x->digest != y->digest)
			say(o, "flip test", MOE_CHECK_FAILED,
				"%s differs from %s: what was sealed reached the training, or "
				"another program or other options made one of them (replay the "
				"recording itself to tell)",
				x->path, y->path);
		else
			flip_equal(o, x, y);
	}
	if (!n)
		say(o, "flip test", MOE_CHECK_SKIPPED,
			"no adapter trained from flipped seals was given: make one with "
			"--flip-seals and moe-train, then --flipped");
}

static void labels(struct audit_out *o)
{
	const struct moe_audit *a = o->a;
	size_t n[MOE_LABELS_LEVELS] = { 0 };
	const struct moe_audit_arm *of[MOE_LABELS_LEVELS] = { NULL };

	o->excludes = "a program of this toolkit that opened seals on the way to the adapters";
	for (size_t i = 0; i < a->n_arm; i++) {
		n[a->arm[i].labels]++;
		of[a->arm[i].labels] = &a->arm[i];
	}
	if (!a->n_arm)
		return;
	if (n[MOE_LABELS_ORACLE])
		say(o, "labels", MOE_CHECK_FAILED,
			"%zu of %zu adapters carry oracle labels, for example %s (%s)",
			n[MOE_LABELS_ORACLE], a->n_arm, of[MOE_LABELS_ORACLE]->path,
			of[MOE_LABELS_ORACLE]->method);
	else if (n[MOE_LABELS_UNKNOWN])
		say(o, "labels", MOE_CHECK_SKIPPED,
			"%zu of %zu adapters do not know whether sealed labels touched them, for "
			"example %s: a text without its header line was made a stream before them",
			n[MOE_LABELS_UNKNOWN], a->n_arm, of[MOE_LABELS_UNKNOWN]->path);
	else
		say(o, "labels", MOE_CHECK_HELD, "none of the %zu adapters carries oracle labels",
			a->n_arm);
}

int moe_audit_check(struct moe_audit *a, bool *passed, struct moe_err *e)
{
	struct audit_out o = { a, e, 0, "" };
	const struct group pairs = { &a->pairs, "pairs", "no pairs were given" };
	const struct group train = { &a->train, "training",
		"no recorded training run was given (--run)" };
	const struct group eval = { &a->eval, "evaluation", "no evaluation rollouts were given" };
	size_t n[3] = { 0, 0, 0 };

	policies(&o);
	ancestors(&o);
	recordings(&o);
	disjoint_sets(&o, &pairs, &eval);
	disjoint_sets(&o, &train, &eval);
	o.bad = o.bad || moe_audit_identity(a, e) || moe_audit_plan(a, e);
	labels(&o);
	flip(&o);
	/* that a file is in order by itself leads nowhere: something must lead from file to file */
	for (size_t i = 0; i < a->n_check; i++)
		if (strcmp(a->check[i].group, "identity") != 0 ||
			a->check[i].state == MOE_CHECK_FAILED)
			n[a->check[i].state]++;
	*passed = n[MOE_CHECK_HELD] && !n[MOE_CHECK_FAILED];
	return o.bad;
}

int moe_audit_text(const struct moe_audit *a, struct moe_buf *out, struct moe_err *e)
{
	static const char *const word[] = { "FAILED", "not done", "held" };
	size_t n[3] = { 0, 0, 0 };

	for (size_t i = 0; i < a->n_check; i++) {
		const struct moe_check *c = &a->check[i];
		n[c->state]++;
		if (moe_buf_addf(out, e, "%-9s  %-9s  %s\n", c->group, word[c->state], c->text) ||
			(c->state == MOE_CHECK_HELD && c->excludes[0] &&
				moe_buf_addf(out, e, "%22sexcludes: %s\n", "", c->excludes)))
			return -1;
	}
	if (moe_buf_addf(out, e,
		    "Whoever owns the machine owns every key, clock and program: only a "
		    "registration with somebody else beforehand\nand a rerun by somebody else "
		    "(moe-report --rerun) decide. What each check proves and what it cannot: "
		    "moe-audit(7).\n"))
		return -1;
	return moe_buf_addf(out, e, "AUDIT: %zu checks held, %zu failed, %zu not done\n",
		n[MOE_CHECK_HELD], n[MOE_CHECK_FAILED], n[MOE_CHECK_SKIPPED]);
}
