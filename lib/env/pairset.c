/* pairset.c - joins the two sources of pairs, an environment and files, and swaps labels for the
 * placebo. It does not fit anything. */
#include "env/pairset.h"
#include "env/env.h"
#include "data/members.h"
#include "util/rng.h"

#include <stdlib.h>
#include <string.h>

struct moe_pairset {
	const struct moe_pairset_opts *o;
	uint64_t count, limit;
	/* an environment */
	struct moe_env *env;
	struct moe_env_modes modes;
	struct moe_env_task task;
	struct moe_buf hack, clean;
	/* files */
	struct moe_members members;
	struct moe_pairs_names names;
	struct moe_pairs *pairs;
	struct moe_pairs_opts file;
	const char **mode; /* o->modes, cut at its commas */
	char *mode_text;
	uint64_t seen; /* pairs read, selected or not */
	bool section_seen;
	uint64_t *text; /* [count] hashes of prompt, hack and clean */
	size_t cap_text;
	uint64_t copies;
};

static const char *const ending[] = { ".md", ".json", ".jsonl", NULL };

/* "a,b" -> the reader's array of modes. */
static int split_modes(struct moe_pairset *s, const char *list, struct moe_err *e)
{
	size_t n = 1;

	if (!list || !*list || !strcmp(list, "all"))
		return 0;
	for (const char *c = list; *c; c++)
		n += *c == ',';
	s->mode_text = strdup(list);
	s->mode = calloc(n, sizeof(*s->mode));
	if (!s->mode_text || !s->mode)
		return moe_fail(e, MOE_SYSTEM, "out of memory for a list of %zu modes", n);
	s->mode[0] = s->mode_text;
	n = 1;
	for (char *c = s->mode_text; *c; c++)
		if (*c == ',') {
			*c = 0;
			s->mode[n++] = c + 1;
		}
	s->file.mode = s->mode;
	s->file.n_mode = n;
	return 0;
}

struct moe_pairset *moe_pairset_open(
	const struct moe_pairset_opts *o, const char *const *path, size_t n, struct moe_err *e)
{
	struct moe_pairset *s = calloc(1, sizeof(*s));

	if (!s) {
		moe_fail(e, MOE_SYSTEM, "out of memory for reading pairs");
		return NULL;
	}
	s->o = o;
	s->limit = o->number ? o->number : o->env_path ? 48 : UINT64_MAX;
	moe_members_init(&s->members, path, n, ending, o->max_mem);
	s->file = o->file;
	s->file.names = &s->names;
	if (o->env_path) {
		s->env = moe_env_open(o->env_path, NULL, e);
		if (!s->env || moe_env_modes(s->env, o->modes, &s->modes, e))
			goto fail;
	} else if (split_modes(s, o->modes, e)) {
		goto fail;
	}
	return s;
fail:
	moe_pairset_close(s);
	return NULL;
}

void moe_pairset_close(struct moe_pairset *s)
{
	if (!s)
		return;
	moe_env_close(s->env);
	moe_env_task_free(&s->task);
	moe_buf_free(&s->hack);
	moe_buf_free(&s->clean);
	moe_pairs_close(s->pairs);
	moe_members_free(&s->members);
	moe_pairs_names_free(&s->names);
	free(s->mode);
	free(s->mode_text);
	free(s->text);
	free(s);
}

int moe_pairset_header(const struct moe_pairset *s, struct moe_rec *out, struct moe_err *e)
{
	moe_rec_clear(out);
	if (moe_rec_set_bool(out, "shuffled", s->o->shuffle_labels, e))
		return -1;
	if (s->env)
		return moe_rec_set_str(out, "env", moe_env_name(s->env), e) ||
				moe_rec_set_str(out, "split", s->o->split, e)
			? -1
			: 0;
	return moe_rec_set_str(out, "source", s->members.path[0], e);
}

/* ---- from an environment ---- */

static int from_env(struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e)
{
	const struct moe_env_task *t = &s->task;

	if (moe_env_pair(s->env, &s->modes, s->o->split, s->o->seed, s->count, &s->task, &s->hack,
		    &s->clean, e))
		return -1;
	moe_rec_clear(rec);
	if (moe_rec_set_str(rec, "t", "pair", e) || moe_rec_set_str(rec, "id", t->id, e) ||
		moe_rec_set_str(rec, "mode", t->mode, e) ||
		moe_rec_set_strn(rec, "prompt", t->text.data, t->text.len, e) ||
		moe_rec_set_strn(rec, "hack", s->hack.data, s->hack.len, e) ||
		moe_rec_set_strn(rec, "clean", s->clean.data, s->clean.len, e) ||
		(t->task.len && moe_rec_set_strn(rec, "task", t->task.data, t->task.len, e)) ||
		(t->marker.len &&
			moe_rec_set_strn(rec, "marker", t->marker.data, t->marker.len, e)))
		return -1;
	return 1;
}

/* ---- from files ---- */

/* Opens the next member: 1, 0 when there is none, -1. */
static int next_member(struct moe_pairset *s, struct moe_err *e)
{
	int rc = moe_members_next(&s->members, e);

	if (rc <= 0)
		return rc;
	s->pairs = moe_pairs_open(&s->members.src, &s->file, e);
	return s->pairs ? 1 : -1;
}

static void end_member(struct moe_pairset *s)
{
	s->seen += moe_pairs_seen(s->pairs);
	s->section_seen |= moe_pairs_section_seen(s->pairs);
	moe_pairs_close(s->pairs);
	s->pairs = NULL;
}

static int nothing(const struct moe_pairset *s, struct moe_err *e)
{
	const char *first = s->members.path[0],
		   *more = s->members.n_path > 1 ? " and the other files" : "";

	if (!s->seen)
		return moe_fail(e, MOE_DATA, "%s%s: there is no pair in it", first, more);
	if (s->o->file.section && !s->section_seen)
		return moe_fail(e, MOE_DATA, "%s%s: there is no section `%s'", first, more,
			s->o->file.section);
	return moe_fail(e, MOE_DATA,
		"%s%s: none of the %llu pairs is selected by --section, --prefix, --tag and "
		"--modes",
		first, more, (unsigned long long)s->seen);
}

static int from_files(struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e)
{
	for (;;) {
		int rc = s->pairs ? 1 : next_member(s, e);

		if (rc < 0)
			return -1;
		if (!rc)
			return s->count ? 0 : nothing(s, e);
		rc = moe_pairs_next(s->pairs, rec, e);
		if (rc)
			return rc;
		end_member(s);
	}
}

/* ---- both ---- */

/* The placebo: of every two successive pairs one is swapped, which one by chance, so that half of
 * all labels are wrong. */
static int shuffle(const struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(s->o->seed, "shuffle-labels");
	struct moe_str hack, clean;
	struct moe_buf keep = { 0 };
	size_t cut;
	int rc = -1;

	if ((moe_rng_u64(key, s->count / 2, 0) & 1) != (s->count & 1))
		return 0;
	if (moe_rec_str_req(rec, "hack", &hack, e) || moe_rec_str_req(rec, "clean", &clean, e))
		return -1;
	cut = hack.n; /* copies first: what a record lends does not survive a change of it */
	if (!moe_buf_add(&keep, hack.p, hack.n, e) && !moe_buf_add(&keep, clean.p, clean.n, e))
		rc = moe_rec_set_strn(rec, "hack", keep.data + cut, keep.len - cut, e) ||
				moe_rec_set_strn(rec, "clean", keep.data, cut, e)
			? -1
			: 0;
	moe_buf_free(&keep);
	return rc;
}

/* Copies of one pair count as one when a score is fitted and held out, but not in a count. */
static int count_copy(struct moe_pairset *s, const struct moe_rec *rec, struct moe_err *e)
{
	static const char *const part[] = { "prompt", "hack", "clean" };
	uint64_t h[3] = { 0 }, all;
	struct moe_str t;

	for (int i = 0; i < 3; i++)
		if (moe_rec_str(rec, part[i], &t))
			h[i] = moe_hash64(t.p, t.n);
	all = moe_hash64(h, sizeof(h));
	if (s->count == s->cap_text) {
		size_t cap = s->cap_text ? 2 * s->cap_text : 64;
		uint64_t *p = realloc(s->text, cap * sizeof(*p));

		if (!p)
			return moe_fail(e, MOE_SYSTEM, "out of memory for %zu pairs", cap);
		s->text = p;
		s->cap_text = cap;
	}
	for (size_t i = 0; i < s->count; i++)
		if (s->text[i] == all) {
			s->copies++;
			break;
		}
	s->text[s->count] = all;
	return 0;
}

int moe_pairset_next(struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e)
{
	int rc;

	if (s->count == s->limit)
		return 0;
	rc = s->env ? from_env(s, rec, e) : from_files(s, rec, e);
	if (rc <= 0)
		return rc;
	if (count_copy(s, rec, e) || (s->o->shuffle_labels && shuffle(s, rec, e)))
		return -1;
	s->count++;
	return 1;
}

uint64_t moe_pairset_count(const struct moe_pairset *s)
{
	return s->count;
}

uint64_t moe_pairset_copies(const struct moe_pairset *s)
{
	return s->copies;
}

int moe_pairset_sources(const struct moe_pairset *s, struct moe_writer *w, struct moe_err *e)
{
	return s->env ? moe_writer_from(w, moe_env_digest(s->env), e)
		      : moe_members_sources(&s->members, w, e);
}
