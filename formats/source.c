/* source.c - finds lines and JSON values in a sequence of bytes. It does not parse JSON: it only
 * finds where a value ends. */
#include "formats/source.h"

#include <string.h>

#define CHUNK ((size_t)64 << 10)

static ssize_t from_input(void *ctx, void *p, size_t n, struct moe_err *e)
{
	return moe_input_read(ctx, p, n, e);
}

void moe_source_from_input(struct moe_source *s, struct moe_input *in, size_t max_bytes)
{
	memset(s, 0, sizeof(*s));
	s->read = from_input;
	s->ctx = in;
	s->name = moe_input_member(in);
	s->max_bytes = max_bytes;
}

void moe_source_free(struct moe_source *s)
{
	moe_buf_free(&s->win);
	memset(s, 0, sizeof(*s));
}

static size_t limit(const struct moe_source *s)
{
	return s->max_bytes ? s->max_bytes : (size_t)64 << 20;
}

/* More bytes into the window: 1, 0 at the end, -1. Drops what was given out already, so offsets
 * from `at` stay valid. */
static int fill(struct moe_source *s, struct moe_err *e)
{
	ssize_t got;

	if (s->end)
		return 0;
	if (s->at) {
		moe_buf_drop(&s->win, s->at);
		s->at = 0;
	}
	if (moe_buf_reserve(&s->win, CHUNK, e))
		return -1;
	got = s->read(s->ctx, s->win.data + s->win.len, CHUNK, e);
	if (got < 0)
		return -1;
	s->win.len += (size_t)got;
	if (!got)
		s->end = true;
	if (!s->begun && (s->win.len >= 3 || s->end)) {
		s->begun = true;
		if (s->win.len >= 3 && !memcmp(s->win.data, "\xEF\xBB\xBF", 3))
			s->at = 3;
	}
	return got > 0;
}

ssize_t moe_source_read(void *source, void *p, size_t n, struct moe_err *e)
{
	struct moe_source *s = source;
	size_t have = s->win.len - s->at;

	if (!have) /* what was peeked at is used up: nothing is held back any more */
		return s->end ? 0 : s->read(s->ctx, p, n, e);
	n = n < have ? n : have;
	memcpy(p, s->win.data + s->at, n);
	s->at += n;
	return (ssize_t)n;
}

int moe_source_peek(struct moe_source *s, char *c, struct moe_err *e)
{
	for (;;) {
		for (; s->begun && s->at < s->win.len; s->at++) {
			uint8_t b = s->win.data[s->at];

			if (b == '\n')
				s->line++;
			else if (b != ' ' && b != '\t' && b != '\r') {
				*c = (char)b;
				return 1;
			}
		}
		int rc = fill(s, e);

		if (rc < 0 || (!rc && s->at >= s->win.len))
			return rc;
	}
}

int moe_source_line(struct moe_source *s, struct moe_str *line, uint64_t *number, struct moe_err *e)
{
	size_t seen = 0;

	for (;;) {
		size_t left = s->begun ? s->win.len - s->at : 0;
		const uint8_t *from = left ? s->win.data + s->at : NULL;
		const uint8_t *nl = left > seen ? memchr(from + seen, '\n', left - seen) : NULL;
		size_t n = nl ? (size_t)(nl - from) : left;
		int rc;

		if (n > limit(s))
			return moe_fail(e, MOE_DATA, "%s:%llu: the line is longer than %zu bytes",
				s->name, (unsigned long long)s->line + 1, limit(s));
		if (nl || (s->end && n)) {
			*line = (struct moe_str){ (const char *)from, n };
			if (n && from[n - 1] == '\r')
				line->n--;
			*number = ++s->line;
			s->at += n + (nl ? 1 : 0);
			return 1;
		}
		if (s->end)
			return 0;
		seen = left;
		rc = fill(s, e);
		if (rc < 0)
			return -1;
	}
}

/* Where the scan of one value stands. */
struct scan {
	size_t n; /* bytes looked at */
	int depth;
	bool string, escape, scalar, done;
	uint64_t lines;
};

/* One byte of a value; sets done when the value is complete. False when the byte does not belong to
 * the value any more. */
static bool scan_byte(struct scan *v, uint8_t b)
{
	if (b == '\n')
		v->lines++;
	if (v->string) {
		if (v->escape)
			v->escape = false;
		else if (b == '\\')
			v->escape = true;
		else if (b == '"') {
			v->string = false;
			v->done = !v->depth;
		}
		return true;
	}
	if (v->scalar) {
		if (b != ',' && b != ']' && b != '}' && b != '[' && b != '{' && b != '"' &&
			b != ' ' && b != '\t' && b != '\r' && b != '\n')
			return true;
		if (b == '\n')
			v->lines--;
		v->done = true;
		return false;
	}
	if (b == '"')
		v->string = true;
	else if (b == '{' || b == '[')
		v->depth++;
	else if (b == '}' || b == ']')
		v->done = --v->depth <= 0;
	else if (!v->depth)
		v->scalar = true;
	return true;
}

static int value(struct moe_source *s, struct moe_str *text, uint64_t *number, struct moe_err *e)
{
	struct scan v = { 0 };

	*number = s->line + 1;
	while (!v.done) {
		while (!v.done && s->at + v.n < s->win.len)
			if (scan_byte(&v, s->win.data[s->at + v.n]))
				v.n++;
		if (v.done)
			break;
		if (v.n > limit(s))
			return moe_fail(e, MOE_DATA,
				"%s:%llu: the JSON value that starts here is longer than %zu bytes",
				s->name, (unsigned long long)*number, limit(s));
		int rc = fill(s, e);

		if (rc < 0)
			return -1;
		if (!rc && v.scalar)
			break;
		if (!rc)
			return moe_fail(e, MOE_DATA,
				"%s:%llu: the JSON value that starts here is not finished at the "
				"end of the file",
				s->name, (unsigned long long)*number);
	}
	*text = (struct moe_str){ (const char *)s->win.data + s->at, v.n };
	s->at += v.n;
	s->line += v.lines;
	return 1;
}

static int stray(const struct moe_source *s, const char *expected, struct moe_err *e)
{
	return moe_fail(e, MOE_DATA, "%s:%llu: expected %s", s->name,
		(unsigned long long)s->line + 1, expected);
}

/* In an array: the comma or bracket before the next element. 1 = an element follows, 0 = the array
 * ended, -1. */
static int separator(struct moe_source *s, char c, struct moe_err *e)
{
	int rc;

	if (c == ']') {
		s->at++;
		s->array_done = true;
		return 0;
	}
	if (!s->first_done) {
		s->first_done = true;
		return c == ',' ? stray(s, "a JSON value instead of `,'", e) : 1;
	}
	if (c != ',')
		return stray(s, "`,' or `]' after an element of the array", e);
	s->at++;
	rc = moe_source_peek(s, &c, e);
	if (rc < 0)
		return -1;
	return !rc || c == ']' || c == ',' ? stray(s, "a JSON value after `,'", e) : 1;
}

int moe_source_json(struct moe_source *s, struct moe_str *text, uint64_t *number, struct moe_err *e)
{
	bool opened = s->array;
	char c = 0;
	int rc = moe_source_peek(s, &c, e);

	if (rc <= 0)
		return rc == 0 && s->array && !s->array_done
			? stray(s, "`]' at the end of the array", e)
			: rc;
	if (!opened && !s->first_done && c == '[') {
		s->array = true;
		s->at++;
		rc = moe_source_peek(s, &c, e);
		if (rc <= 0)
			return rc < 0 ? -1 : stray(s, "`]' at the end of the array", e);
	}
	if (s->array && s->array_done)
		return stray(s, "nothing after the array", e);
	if (s->array) {
		rc = separator(s, c, e);
		if (rc < 0)
			return -1;
		if (!rc) {
			rc = moe_source_peek(s, &c, e);
			return rc <= 0 ? rc : stray(s, "nothing after the array", e);
		}
		return value(s, text, number, e);
	}
	s->first_done = true;
	if (c == ']' || c == '}' || c == ',')
		return stray(s, "a JSON value", e);
	return value(s, text, number, e);
}
