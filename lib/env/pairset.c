/* pairset.c - joins the two sources of pairs, an environment and files, filters them, and makes the
 * placebos. It does not fit anything. */
#include "env/pairset.h"
#include "env/env.h"
#include "data/members.h"
#include "util/names.h"
#include "util/rng.h"

#include <stdlib.h>
#include <string.h>

struct moe_pairset {
	const struct moe_pairset_opts *o;
	uint64_t read, limit; /* pairs past the filters, and how many of them are wanted */
	struct moe_pairset_counts n;
	const char *split; /* of the environment */
	enum moe_labels labels;
	/* what the streams among the files say of themselves; a mixture is refused */
	bool shuffled, was_neutral, opened;
	/* neutral: the first pair, which comes last, and the clean side of the one before */
	struct moe_rec first;
	struct moe_buf clean_before;
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
	uint64_t *text; /* [cap_text] hashes of prompt, hack and clean, open addressing; 0 = free */
	size_t n_text, cap_text;
};

static const char *const ending[] = { ".md", ".json", ".jsonl", ".moes", NULL };

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
	s->split = o->split ? o->split : "train";
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
	moe_rec_free(&s->first);
	moe_buf_free(&s->clean_before);
	free(s->text);
	free(s);
}

/* ---- from an environment ---- */

static int from_env(struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e)
{
	const struct moe_env_task *t = &s->task;

	if (moe_env_pair(s->env, &s->modes, s->split, s->o->seed, s->read, &s->task, &s->hack,
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

/* Whether a stream's header says that its pairs are a placebo; all must say the same. */
static int note_header(struct moe_pairset *s, const struct moe_rec *h, struct moe_err *e)
{
	bool shuffled = false, neutral = false;

	if (h) {
		moe_rec_bool(h, "shuffled", &shuffled);
		moe_rec_bool(h, "neutral", &neutral);
	}
	if (s->opened && (shuffled != s->shuffled || neutral != s->was_neutral))
		return moe_fail(e, MOE_DATA,
			"%s: a placebo (shuffled or neutral pairs) and other pairs can not be one "
			"stream",
			moe_members_name(&s->members));
	s->shuffled = shuffled;
	s->was_neutral = neutral;
	s->opened = true;
	return 0;
}

/* Opens the next member: 1, 0 when there is none, -1. */
static int next_member(struct moe_pairset *s, struct moe_err *e)
{
	const struct moe_rec *header = NULL;
	int rc = moe_members_next(&s->members, e);

	if (rc <= 0)
		return rc;
	s->pairs = moe_pairs_open(&s->members.src, &s->file, e);
	if (!s->pairs || moe_pairs_header(s->pairs, &header, e) < 0)
		return -1;
	return note_header(s, header, e) ? -1 : 1;
}

static void end_member(struct moe_pairset *s)
{
	s->seen += moe_pairs_seen(s->pairs);
	s->section_seen |= moe_pairs_section_seen(s->pairs);
	s->labels = moe_pairs_labels(s->pairs) > s->labels ? moe_pairs_labels(s->pairs) : s->labels;
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
		"%s%s: none of the %llu pairs is selected by --section, --prefix, --tag, --modes, "
		"--split and --match-length",
		first, more, (unsigned long long)s->seen);
}

static int from_files(struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e)
{
	for (;;) {
		int rc = s->pairs ? 1 : next_member(s, e);

		if (rc < 0)
			return -1;
		if (!rc)
			return s->read ? 0 : nothing(s, e);
		rc = moe_pairs_next(s->pairs, rec, e);
		if (rc)
			return rc;
		end_member(s);
	}
}

/* ---- filters ---- */

/* Adds the bytes that are no white space; a run of white space counts as one blank. */
static int squeeze(struct moe_buf *b, struct moe_str t, struct moe_err *e)
{
	bool gap = false;

	for (size_t i = 0; i < t.n; i++) {
		bool blank = t.p[i] == ' ' || (t.p[i] >= '\t' && t.p[i] <= '\r');

		if (!blank && ((gap && moe_buf_add(b, " ", 1, e)) || moe_buf_add(b, t.p + i, 1, e)))
			return -1;
		gap = blank && b->len;
	}
	return moe_buf_add(b, "", 1, e); /* a NUL, so that texts do not run into each other */
}

static int text_hash(const struct moe_rec *rec, bool loose, uint64_t *hash, struct moe_err *e)
{
	static const char *const part[] = { "prompt", "hack", "clean" };
	struct moe_buf b = { 0 };
	struct moe_str t;
	int rc = 0;

	for (int i = 0; i < 3 && rc == 0; i++)
		if (moe_rec_str(rec, part[i], &t))
			rc = loose ? squeeze(&b, t, e)
				   : moe_buf_add(&b, t.p, t.n, e) || moe_buf_add(&b, "", 1, e);
	*hash = moe_hash64(b.data, b.len);
	*hash += !*hash; /* 0 marks a free slot */
	moe_buf_free(&b);
	return rc ? -1 : 0;
}

static size_t text_slot(const uint64_t *text, size_t cap, uint64_t h)
{
	size_t i = (size_t)h & (cap - 1);

	while (text[i] && text[i] != h)
		i = (i + 1) & (cap - 1);
	return i;
}

/* Copies of one pair count as one when a score is fitted and held out, but not in a count. 1 = it
 * is one. */
static int is_copy(struct moe_pairset *s, const struct moe_rec *rec, struct moe_err *e)
{
	uint64_t h;

	if (text_hash(rec, s->o->dedupe, &h, e))
		return -1;
	if (2 * s->n_text >= s->cap_text) {
		size_t cap = s->cap_text ? 2 * s->cap_text : 128;
		uint64_t *to = calloc(cap, sizeof(*to));

		if (!to)
			return moe_fail(e, MOE_SYSTEM, "out of memory for %zu pairs", cap);
		for (size_t i = 0; i < s->cap_text; i++)
			if (s->text[i])
				to[text_slot(to, cap, s->text[i])] = s->text[i];
		free(s->text);
		s->text = to;
		s->cap_text = cap;
	}
	size_t at = text_slot(s->text, s->cap_text, h);
	if (s->text[at])
		return 1;
	s->text[at] = h;
	s->n_text++;
	return 0;
}

/* The part that a pair of a file belongs to: by its task, else its prompt, and by nothing else, so
 * that no pair is in two parts whatever else was asked for. */
static const char *part_of(const struct moe_rec *rec)
{
	struct moe_rng key = moe_rng_key(1, "split of pairs");
	struct moe_str s = { "", 0 };
	double u;

	if (!moe_rec_str(rec, "task", &s) || !s.n)
		moe_rec_str(rec, "prompt", &s);
	u = moe_rng_uniform(key, moe_hash64(s.p, s.n), 0);
	return u < 0.6 ? "train" : u < 0.8 ? "validation" : "test";
}

/* Whether the sides are about as long as each other: 1, 0, -1. */
static int alike(const struct moe_pairset *s, const struct moe_rec *rec, struct moe_err *e)
{
	struct moe_str hack, clean;
	size_t h, c;

	if (moe_rec_str_req(rec, "hack", &hack, e) || moe_rec_str_req(rec, "clean", &clean, e) ||
		moe_pair_length(s->o->tok, hack, &h, e) || moe_pair_length(s->o->tok, clean, &c, e))
		return -1;
	return (double)(h > c ? h : c) <= s->o->length_ratio * (double)(h > c ? c : h);
}

/* The next pair past the filters: 1, 0, -1. */
static int filtered(struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e)
{
	for (;;) {
		int rc;

		if (s->read == s->limit)
			return s->pairs ? moe_pairs_rest(s->pairs, e) : 0;
		rc = s->env ? from_env(s, rec, e) : from_files(s, rec, e);
		if (rc <= 0)
			return rc;
		if (!s->env && s->o->split && strcmp(part_of(rec), s->o->split) != 0) {
			s->n.other++;
			continue;
		}
		rc = s->o->length_ratio > 0 ? alike(s, rec, e) : 1;
		if (rc < 0)
			return -1;
		s->read += rc > 0 ||
			s->env; /* an environment's draws are counted, not what is kept */
		if (!rc) {
			s->n.unlike++;
			continue;
		}
		rc = is_copy(s, rec, e);
		if (rc < 0)
			return -1;
		s->n.copies += (uint64_t)rc;
		if (rc && s->o->dedupe) {
			s->read -= !s->env;
			continue;
		}
		return 1;
	}
}

/* ---- placebos ---- */

/* The sides of a record; what it lends does not survive a change of it, so they are copied first.
 */
static int set_sides(
	struct moe_rec *rec, struct moe_str hack, struct moe_str clean, struct moe_err *e)
{
	struct moe_buf keep = { 0 };
	size_t cut = hack.n;
	int rc = moe_buf_add(&keep, hack.p, hack.n, e) || moe_buf_add(&keep, clean.p, clean.n, e) ||
			moe_rec_set_strn(rec, "hack", keep.data, cut, e) ||
			moe_rec_set_strn(rec, "clean", keep.data + cut, keep.len - cut, e)
		? -1
		: 0;

	moe_buf_free(&keep);
	return rc;
}

/* Of every two successive pairs one is swapped, which one by chance, so that half of all labels are
 * wrong. */
static int shuffle(const struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e)
{
	struct moe_rng key = moe_rng_key(s->o->seed, "shuffle-labels");
	struct moe_str hack, clean;

	if ((moe_rng_u64(key, s->n.given / 2, 0) & 1) != (s->n.given & 1))
		return 0;
	return moe_rec_str_req(rec, "hack", &hack, e) || moe_rec_str_req(rec, "clean", &clean, e) ||
			set_sides(rec, clean, hack, e)
		? -1
		: 0;
}

/* The pair's own clean side against another's: which is called hack, chance says, and in every
 * BLOCK of pairs it is the own one in half (a text stands in two successive pairs: were one of
 * every two swapped, as in shuffle, its label would mostly be the same in both). 1, or 0 when they
 * are one text; other then becomes the pair's own. */
static int neutralise(
	struct moe_pairset *s, struct moe_rec *rec, struct moe_buf *other, struct moe_err *e)
{
	enum { BLOCK = 16 };
	struct moe_rng key = moe_rng_key(s->o->seed, "neutral");
	uint32_t order[BLOCK];
	struct moe_str own, else_;
	struct moe_buf keep = { 0 };
	int rc = -1;

	moe_rng_permute(key, s->n.given / BLOCK, BLOCK, order);
	if (moe_rec_str_req(rec, "clean", &own, e) || moe_buf_add(&keep, own.p, own.n, e))
		return -1;
	own = (struct moe_str){ (const char *)keep.data, keep.len };
	else_ = (struct moe_str){ (const char *)other->data, other->len };
	if (own.n == else_.n && !memcmp(own.p, else_.p, own.n))
		rc = 0;
	else if (order[s->n.given % BLOCK] < BLOCK / 2)
		rc = set_sides(rec, else_, own, e) ? -1 : 1;
	else
		rc = set_sides(rec, own, else_, e) ? -1 : 1;
	s->n.same += rc == 0;
	moe_buf_free(other);
	*other = keep;
	return rc;
}

/* Each pair takes the clean side of the one before it; the first, which has none, waits for the end
 * and takes the last one's. */
static int next_neutral(struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e)
{
	struct moe_str clean;
	int rc;

	while ((rc = filtered(s, rec, e)) > 0) {
		if (!s->first.n_field) {
			if (moe_rec_copy(&s->first, rec, e) ||
				moe_rec_str_req(rec, "clean", &clean, e) ||
				moe_buf_add(&s->clean_before, clean.p, clean.n, e))
				return -1;
			continue;
		}
		rc = neutralise(s, rec, &s->clean_before, e);
		if (rc)
			return rc;
	}
	if (rc < 0 || !s->first.n_field)
		return rc;
	rc = moe_rec_copy(rec, &s->first, e) ? -1 : neutralise(s, rec, &s->clean_before, e);
	moe_rec_clear(&s->first);
	if (rc == 0 && !s->n.given)
		return moe_fail(e, MOE_DATA,
			"neutral pairs need clean sides that differ, and there are no two");
	return rc;
}

int moe_pairset_next(struct moe_pairset *s, struct moe_rec *rec, struct moe_err *e)
{
	int rc = s->o->neutral ? next_neutral(s, rec, e) : filtered(s, rec, e);

	if (rc == 0 && !s->n.given)
		return moe_fail(e, MOE_DATA, "all %llu pairs were left out",
			(unsigned long long)(s->n.unlike + s->n.copies + s->n.same));
	if (rc <= 0)
		return rc;
	if ((s->o->shuffle_labels && shuffle(s, rec, e)) ||
		(s->o->leak && moe_pairleak_check(s->o->leak, rec, e)))
		return -1;
	s->n.given++;
	return 1;
}

/* ---- what is said of them ---- */

int moe_pairset_header(struct moe_pairset *s, struct moe_rec *out, struct moe_err *e)
{
	/* a stream among the files may be a placebo already; later files are held to what the first
	 * is */
	if (!s->env && !s->pairs && next_member(s, e) < 0)
		return -1;
	moe_rec_clear(out);
	if (moe_rec_set_bool(out, "shuffled", s->o->shuffle_labels || s->shuffled, e) ||
		((s->o->neutral || s->was_neutral) && moe_rec_set_bool(out, "neutral", true, e)) ||
		((s->env || s->o->split) &&
			moe_rec_set_str(out, "split", s->env ? s->split : s->o->split, e)))
		return -1;
	return s->env ? moe_rec_set_str(out, "env", moe_env_name(s->env), e)
		      : moe_rec_set_str(out, "source", s->members.path[0], e);
}

const struct moe_pairset_counts *moe_pairset_counts(const struct moe_pairset *s)
{
	return &s->n;
}

enum moe_labels moe_pairset_labels(const struct moe_pairset *s)
{
	enum moe_labels l = s->pairs ? moe_pairs_labels(s->pairs) : MOE_LABELS_NONE;

	return l > s->labels ? l : s->labels;
}

int moe_pairset_sources(const struct moe_pairset *s, struct moe_writer *w, struct moe_err *e)
{
	return s->env ? moe_writer_from(w, moe_env_digest(s->env), e)
		      : moe_members_sources(&s->members, w, e);
}
