/* pairs_md.c - reads pairs from Markdown, line by line. It knows the few headings of pairs.md and
 * no other Markdown. */
#include "formats/pairs_private.h"

#include <string.h>

static const char *const block[3] = { "Prompt", "Hack", "Clean" };

static struct moe_str trim(struct moe_str s)
{
	while (s.n && (*s.p == ' ' || *s.p == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* The rest of a line that starts with `mark` and a blank; false when it does not. */
static bool heading(struct moe_str line, const char *mark, struct moe_str *rest)
{
	size_t n = strlen(mark);

	if (line.n <= n || memcmp(line.p, mark, n) || (line.p[n] != ' ' && line.p[n] != '\t'))
		return false;
	*rest = trim((struct moe_str){ line.p + n, line.n - n });
	return true;
}

static size_t backticks(struct moe_str line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] == '`')
		n++;
	return n;
}

/* The draft is finished by the next heading or the end of the file: it must have all of its blocks.
 */
static int complete(const struct moe_pairs *p, struct moe_err *e)
{
	const struct pair_draft *d = &p->draft;

	for (int i = 0; i < 3; i++)
		if (!d->has[i])
			return pairs_fail(p, d->line, e, "the pair `%.*s' has no %s block",
				(int)(d->text[PF_NAME].len < 100 ? d->text[PF_NAME].len : 100),
				(const char *)d->text[PF_NAME].data, block[i]);
	return 0;
}

/* `### name` */
static int begin_pair(struct moe_pairs *p, struct moe_str name, uint64_t line, struct moe_err *e)
{
	pairs_clear(p);
	p->draft.line = line;
	p->in_pair = true;
	p->field = -1;
	if (!name.n)
		return pairs_fail(p, line, e, "the pair has no name after `###'");
	if (p->section.len &&
		pairs_append(p, PF_SECTION, (const char *)p->section.data, p->section.len, line, e))
		return -1;
	return pairs_append(p, PF_NAME, name.p, name.n, line, e);
}

/* `#### Prompt`, `#### Hack`, `#### Clean` */
static int begin_block(struct moe_pairs *p, struct moe_str name, uint64_t line, struct moe_err *e)
{
	for (int i = 0; i < 3; i++) {
		if (!moe_str_eq(name, block[i]))
			continue;
		if (p->draft.has[i])
			return pairs_fail(p, line, e, "the pair has a second %s block", block[i]);
		p->field = i;
		return 0;
	}
	return pairs_fail(p, line, e,
		"expected `#### Prompt', `#### Hack' or `#### Clean', not `#### %.*s'",
		(int)(name.n < 60 ? name.n : 60), name.p);
}

/* `Tags: a, b` and the like; 0 = it is not one, 1 = taken. */
static int attribute(struct moe_pairs *p, struct moe_str line, uint64_t number, struct moe_err *e)
{
	static const struct {
		const char *word;
		int field;
	} known[] = { { "Tags:", PF_TAGS }, { "Mode:", PF_MODE }, { "Marker:", PF_MARKER },
		{ "Task:", PF_TASK } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i].word);
		struct moe_str v;

		if (line.n < n || memcmp(line.p, known[i].word, n))
			continue;
		if (p->draft.has[known[i].field])
			return pairs_fail(
				p, number, e, "the pair has a second `%s' line", known[i].word);
		v = trim((struct moe_str){ line.p + n, line.n - n });
		return pairs_append(p, known[i].field, v.p, v.n, number, e) ? -1 : 1;
	}
	return 0;
}

/* A line inside an open fence. */
static int fenced(struct moe_pairs *p, struct moe_str line, uint64_t number, struct moe_err *e)
{
	struct moe_str t = trim(line);
	struct pair_draft *d = &p->draft;

	if (backticks(t) >= p->fence && backticks(t) == t.n) {
		if (p->fence_is_field) {
			d->has[p->field] = true;
			if (d->text[p->field].len)
				d->text[p->field]
					.len--; /* the last line's end belongs to the fence */
			p->field = -1;
		}
		p->fence = 0;
		return 0;
	}
	if (!p->fence_is_field)
		return 0;
	return pairs_append(p, p->field, line.p, line.n, number, e) ||
			pairs_append(p, p->field, "\n", 1, number, e)
		? -1
		: 0;
}

static void open_fence(struct moe_pairs *p, struct moe_str line, uint64_t number)
{
	p->fence = backticks(line);
	p->fence_is_field = p->field >= 0;
	p->fence_line = number;
	if (p->fence_is_field)
		p->draft.text[p->field].len = 0;
}

/* A line outside of fences: 1 = it begins the next pair (or section) and the draft is finished, 0,
 * -1. */
static int outside(struct moe_pairs *p, struct moe_str line, uint64_t number, struct moe_err *e)
{
	struct moe_str rest, t = trim(line);
	bool section = heading(line, "##", &rest), pair = !section && heading(line, "###", &rest),
	     top = !section && !pair && heading(line, "#", &rest);

	if ((section || pair || top) && p->field >= 0)
		return pairs_fail(p, number, e,
			"expected the %s block's fence (```) before this heading", block[p->field]);
	if (section || pair || top) {
		if (p->in_pair && complete(p, e))
			return -1;
		return 1;
	}
	if (backticks(line) >= 3 &&
		!memchr(line.p + backticks(line), '`', line.n - backticks(line))) {
		open_fence(p, line, number);
		return 0;
	}
	if (!t.n || !p->in_pair)
		return 0;
	if (heading(line, "####", &rest)) {
		if (p->field >= 0)
			return pairs_fail(p, number, e,
				"expected the %s block's fence (```) before this heading",
				block[p->field]);
		return begin_block(p, rest, number, e);
	}
	if (p->field >= 0)
		return pairs_fail(p, number, e, "expected the %s block's fence (```), not text",
			block[p->field]);
	return attribute(p, line, number, e) < 0 ? -1 : 0;
}

/* Takes the heading that `outside` stopped at. */
static int enter(struct moe_pairs *p, struct moe_str line, uint64_t number, struct moe_err *e)
{
	struct moe_str rest;

	if (heading(line, "##", &rest)) {
		p->section.len = 0;
		p->in_pair = false;
		if (p->o->section && moe_str_eq(rest, p->o->section))
			p->section_seen = true;
		return moe_buf_add(&p->section, rest.p, rest.n, e);
	}
	if (heading(line, "###", &rest))
		return begin_pair(p, rest, number, e);
	p->in_pair = false;
	return 0;
}

int pairs_md_next(struct moe_pairs *p, struct moe_err *e)
{
	struct moe_str line;
	uint64_t number;
	int rc;

	if (p->at_end)
		return 0;
	if (p->pending.len) { /* the heading that finished the pair before */
		struct moe_str h = { (const char *)p->pending.data, p->pending.len };

		rc = enter(p, h, p->pending_line, e);
		p->pending.len = 0;
		if (rc)
			return -1;
	}
	while ((rc = moe_source_line(p->src, &line, &number, e)) > 0) {
		rc = p->fence ? fenced(p, line, number, e) : outside(p, line, number, e);
		if (rc < 0)
			return -1;
		if (!rc)
			continue;
		if (p->in_pair) {
			p->pending_line = number;
			return moe_buf_add(&p->pending, line.p, line.n, e) ? -1 : 1;
		}
		if (enter(p, line, number, e))
			return -1;
	}
	if (rc < 0)
		return -1;
	p->at_end = true;
	if (p->fence)
		return pairs_fail(p, p->fence_line, e, "the fence that opens here is not closed");
	if (p->in_pair && p->field >= 0)
		return pairs_fail(p, p->draft.line, e,
			"the file ends where the %s block's fence (```) should be",
			block[p->field]);
	if (p->in_pair)
		return complete(p, e) ? -1 : 1;
	return 0;
}
