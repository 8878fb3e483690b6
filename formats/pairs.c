/* pairs.c - selects, checks and hands out pairs as records. The notations are read by pairs_md.c,
 * pairs_json.c and pairs_stream.c. */
#include "formats/pairs_private.h"
#include "formats/seal.h"
#include "util/rng.h"
#include "util/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const field_name[PF_COUNT] = { "Prompt", "Hack", "Clean", "name", "section",
	"Tags", "Mode", "Marker", "Task" };

struct moe_pairs *moe_pairs_open(
	struct moe_source *src, const struct moe_pairs_opts *o, struct moe_err *e)
{
	struct moe_pairs *p = calloc(1, sizeof(*p));

	if (!p) {
		moe_fail(e, MOE_SYSTEM, "out of memory for reading pairs");
		return NULL;
	}
	p->src = src;
	p->o = o;
	p->format = o->format;
	p->field = -1;
	p->names = o->names ? o->names : &p->own_names;
	return p;
}

void moe_pairs_names_free(struct moe_pairs_names *n)
{
	free(n->hash);
	free(n->line);
	memset(n, 0, sizeof(*n));
}

void moe_pairs_close(struct moe_pairs *p)
{
	if (!p)
		return;
	for (int i = 0; i < PF_COUNT; i++)
		moe_buf_free(&p->draft.text[i]);
	moe_buf_free(&p->draft.messages);
	moe_buf_free(&p->section);
	moe_buf_free(&p->pending);
	moe_pairs_names_free(&p->own_names);
	moe_reader_close(p->reader);
	moe_rec_free(&p->rec);
	free(p);
}

uint64_t moe_pairs_seen(const struct moe_pairs *p)
{
	return p->pairs;
}

bool moe_pairs_section_seen(const struct moe_pairs *p)
{
	return p->section_seen;
}

enum moe_labels moe_pairs_labels(const struct moe_pairs *p)
{
	return p->labels;
}

int pairs_labels(struct moe_pairs *p, enum moe_labels l, struct moe_err *e)
{
	p->labels = l > p->labels ? l : p->labels;
	return l < MOE_LABELS_ORACLE
		? 0
		: moe_fail(e, MOE_DATA,
			  "%s: these pairs carry the labels 'oracle': sealed findings of rollouts "
			  "were opened to make them, and pairs are written by hand",
			  p->src->name);
}

int pairs_fail(const struct moe_pairs *p, uint64_t line, struct moe_err *e, const char *fmt, ...)
{
	char msg[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return moe_fail(e, MOE_DATA, "%s:%llu: %s", p->src->name, (unsigned long long)line, msg);
}

bool pairs_finding(const char *key)
{
	return moe_finding_name(key) || !strcmp(key, "seal");
}

int pairs_refuse_finding(
	const struct moe_pairs *p, uint64_t line, const char *key, struct moe_err *e)
{
	return pairs_fail(p, line, e,
		"the pair carries `%s', which is what an oracle or a detector found in a rollout: "
		"pairs are written by hand, and no finding may choose them",
		key);
}

void pairs_clear(struct moe_pairs *p)
{
	for (int i = 0; i < PF_COUNT; i++) {
		p->draft.text[i].len = 0;
		p->draft.has[i] = false;
	}
	p->draft.messages.len = 0;
}

int pairs_append(
	struct moe_pairs *p, int field, const char *s, size_t n, uint64_t line, struct moe_err *e)
{
	size_t max = p->o->max_bytes ? p->o->max_bytes : (size_t)16 << 20, used = n;

	for (int i = 0; i < PF_COUNT; i++)
		used += p->draft.text[i].len;
	if (used > max)
		return pairs_fail(p, line, e,
			"the pair that starts on line %llu is longer than %zu bytes",
			(unsigned long long)p->draft.line, max);
	p->draft.has[field] = true;
	return moe_buf_add(&p->draft.text[field], s, n, e);
}

static struct moe_str text_of(const struct pair_draft *d, int field)
{
	return (struct moe_str){ d->text[field].len ? (const char *)d->text[field].data : "",
		d->text[field].len };
}

static bool same(struct moe_str a, struct moe_str b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* The next tag in a comma-separated text, trimmed; false at the end. */
static bool next_tag(struct moe_str *rest, struct moe_str *tag)
{
	while (rest->n) {
		const char *comma = memchr(rest->p, ',', rest->n);
		size_t n = comma ? (size_t)(comma - rest->p) : rest->n;

		*tag = (struct moe_str){ rest->p, n };
		rest->p += comma ? n + 1 : n;
		rest->n -= comma ? n + 1 : n;
		while (tag->n && (*tag->p == ' ' || *tag->p == '\t'))
			tag->p++, tag->n--;
		while (tag->n && (tag->p[tag->n - 1] == ' ' || tag->p[tag->n - 1] == '\t'))
			tag->n--;
		if (tag->n)
			return true;
	}
	return false;
}

static bool has_tag(const struct pair_draft *d, const char *want)
{
	struct moe_str rest = text_of(d, PF_TAGS), tag;

	while (next_tag(&rest, &tag))
		if (moe_str_eq(tag, want))
			return true;
	return false;
}

static bool selected(const struct moe_pairs *p)
{
	const struct moe_pairs_opts *o = p->o;
	const struct pair_draft *d = &p->draft;
	struct moe_str name = text_of(d, PF_NAME), mode = text_of(d, PF_MODE);

	if (o->section && !moe_str_eq(text_of(d, PF_SECTION), o->section))
		return false;
	if (o->prefix &&
		(name.n < strlen(o->prefix) || memcmp(name.p, o->prefix, strlen(o->prefix))))
		return false;
	for (size_t i = 0; i < o->n_tag; i++)
		if (!has_tag(d, o->tag[i]))
			return false;
	if (!o->n_mode)
		return true;
	for (size_t i = 0; i < o->n_mode; i++)
		if (moe_str_eq(mode, o->mode[i]))
			return true;
	return false;
}

/* A draft must be a contrast: texts in UTF-8, a hack and a clean completion that differ. */
static int check(const struct moe_pairs *p, struct moe_err *e)
{
	const struct pair_draft *d = &p->draft;

	for (int i = 0; i < PF_COUNT; i++)
		if (!moe_utf8_valid(text_of(d, i).p, text_of(d, i).n))
			return pairs_fail(
				p, d->line, e, "the pair's %s is not UTF-8", field_name[i]);
	for (int i = PF_HACK; i <= PF_CLEAN; i++)
		if (!d->text[i].len)
			return pairs_fail(p, d->line, e, "the pair's %s is empty", field_name[i]);
	if (same(text_of(d, PF_HACK), text_of(d, PF_CLEAN)))
		return pairs_fail(p, d->line, e,
			"the pair's Hack and Clean are the same text: there is no contrast to "
			"learn");
	return 0;
}

/* The slot of a hash in the open-addressed table of names: its own or a free one (line 0). */
static size_t slot(const uint64_t *hash, const uint64_t *line, size_t cap, uint64_t h)
{
	size_t i = (size_t)h & (cap - 1);

	while (line[i] && hash[i] != h)
		i = (i + 1) & (cap - 1);
	return i;
}

static int grow_names(struct moe_pairs_names *n, struct moe_err *e)
{
	struct moe_pairs_names to = { .n = n->n, .cap = n->cap ? n->cap * 2 : 256 };

	to.hash = calloc(to.cap, sizeof(*to.hash));
	to.line = calloc(to.cap, sizeof(*to.line));
	if (!to.hash || !to.line) {
		moe_pairs_names_free(&to);
		return moe_fail(e, MOE_SYSTEM, "out of memory for the names of %zu pairs", n->n);
	}
	for (size_t i = 0; i < n->cap; i++)
		if (n->line[i]) {
			size_t at = slot(to.hash, to.line, to.cap, n->hash[i]);

			to.hash[at] = n->hash[i];
			to.line[at] = n->line[i];
		}
	moe_pairs_names_free(n);
	*n = to;
	return 0;
}

/* Names given out must differ: they key the pairs in audits. */
static int remember(struct moe_pairs *p, struct moe_err *e)
{
	struct moe_str name = text_of(&p->draft, PF_NAME);
	struct moe_pairs_names *n = p->names;
	uint64_t h = moe_hash64(name.p, name.n);
	size_t at;

	if (2 * n->n >= n->cap && grow_names(n, e))
		return -1;
	at = slot(n->hash, n->line, n->cap, h);
	if (n->line[at])
		return pairs_fail(p, p->draft.line, e,
			"the name `%.*s' was used on line %llu%s already; names must differ (or "
			"choose one with --section)",
			(int)(name.n < 100 ? name.n : 100), name.p, (unsigned long long)n->line[at],
			n == &p->own_names ? "" : " (of this file or one before it)");
	n->hash[at] = h;
	n->line[at] = p->draft.line;
	n->n++;
	return 0;
}

static int set_tags(const struct pair_draft *d, struct moe_rec *rec, struct moe_err *e)
{
	struct moe_str rest = text_of(d, PF_TAGS), tag, *all;
	size_t n = 0;
	int rc;

	while (next_tag(&rest, &tag))
		n++;
	if (!n)
		return 0;
	all = calloc(n, sizeof(*all));
	if (!all)
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu tags", n);
	rest = text_of(d, PF_TAGS);
	for (n = 0; next_tag(&rest, &tag);)
		all[n++] = tag;
	rc = moe_rec_set_strs(rec, "tags", all, n, e);
	free(all);
	return rc;
}

static int emit(const struct moe_pairs *p, struct moe_rec *rec, struct moe_err *e)
{
	static const struct {
		int field;
		const char *key;
		bool always;
	} map[] = { { PF_NAME, "id", true }, { PF_PROMPT, "prompt", true },
		{ PF_HACK, "hack", true }, { PF_CLEAN, "clean", true },
		{ PF_SECTION, "section", false }, { PF_MODE, "mode", false },
		{ PF_MARKER, "marker", false }, { PF_TASK, "task", false } };
	const struct pair_draft *d = &p->draft;

	moe_rec_clear(rec);
	if (p->format == MOE_PAIRS_STREAM) /* with keys that are not known here */
		return moe_rec_copy(rec, &p->rec, e);
	if (moe_rec_set_str(rec, "t", "pair", e) ||
		(d->messages.len &&
			moe_rec_set_raw(rec, "messages", d->messages.data, d->messages.len, e)))
		return -1;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		struct moe_str s = text_of(d, map[i].field);

		if ((map[i].always || s.n) && moe_rec_set_strn(rec, map[i].key, s.p, s.n, e))
			return -1;
	}
	return set_tags(d, rec, e);
}

/* JSON or Markdown, by the first byte. */
static int detect(struct moe_pairs *p, struct moe_err *e)
{
	char c = 0;
	int rc = moe_source_peek(p->src, &c, e);

	if (rc > 0)
		p->format = c == '[' || c == '{'   ? MOE_PAIRS_JSON
			: c == MOE_STREAM_MAGIC[0] ? MOE_PAIRS_STREAM
						   : MOE_PAIRS_MARKDOWN;
	return rc;
}

int moe_pairs_header(struct moe_pairs *p, const struct moe_rec **header, struct moe_err *e)
{
	int rc = p->format == MOE_PAIRS_AUTO ? detect(p, e) : 1;

	*header = NULL;
	if (rc <= 0 || p->format != MOE_PAIRS_STREAM)
		return rc < 0 ? -1 : 0;
	rc = pairs_stream_open(p, e);
	*header = rc > 0 ? moe_reader_header(p->reader) : NULL;
	return rc;
}

int moe_pairs_next(struct moe_pairs *p, struct moe_rec *rec, struct moe_err *e)
{
	int rc = 1;

	if (p->format == MOE_PAIRS_AUTO)
		rc = detect(p, e);
	if (rc <= 0)
		return rc;
	for (;;) {
		rc = p->format == MOE_PAIRS_JSON        ? pairs_json_next(p, e)
			: p->format == MOE_PAIRS_STREAM ? pairs_stream_next(p, e)
							: pairs_md_next(p, e);
		if (rc <= 0)
			return rc;
		p->pairs++;
		if (p->o->section && moe_str_eq(text_of(&p->draft, PF_SECTION), p->o->section))
			p->section_seen = true;
		if (check(p, e))
			return -1;
		if (!selected(p))
			continue;
		if (remember(p, e) || emit(p, rec, e))
			return -1;
		return 1;
	}
}

int moe_pairs_rest(struct moe_pairs *p, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int rc = p->format == MOE_PAIRS_STREAM || p->stream_lines ? 1 : 0;

	while (rc > 0)
		rc = moe_pairs_next(p, &rec, e);
	moe_rec_free(&rec);
	return rc;
}
