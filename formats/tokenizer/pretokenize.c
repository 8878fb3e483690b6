/* pretokenize.c - cuts normalised text into pieces by regular expressions (PCRE2, UTF and UCP,
 * JIT). Knows no vocabulary and no JSON.
 *
 * The files' patterns are written for Oniguruma. Where PCRE2 reads the same text differently the
 * pattern is rewritten or refused. */
#include "formats/tokenizer/tok.h"
#include "formats/tokenizer/unicode_new.h"

#include <stdlib.h>
#include <string.h>

const char moe_gpt2_pattern[] =
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* White_Space of Unicode. PCRE2's \s has U+180E besides, which Unicode took out of the set in
 * version 6.3. */
static const char spaces[] =
	"\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

void moe_cutter_free(struct moe_cutter *c)
{
	for (int i = 0; i < c->n; i++)
		pcre2_code_free(c->step[i].re);
	memset(c, 0, sizeof(*c));
}

void moe_cut_work_free(struct moe_cut_work *w)
{
	moe_buf_free(&w->text);
	free(w->a.v);
	free(w->b.v);
	free(w->found.v);
	pcre2_match_data_free(w->md);
	pcre2_match_context_free(w->mc);
	pcre2_jit_stack_free(w->stack);
	memset(w, 0, sizeof(*w));
}

/* Word characters: alphabetic ones, marks, decimal digits, connectors. PCRE2's \w has letters, all
 * numbers and the underscore. */
static const char *const word_sets[] = { "L", "M", "Nd", "Nl", "Pc" };
static const char word_more[] =
	"\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";

/* \p{NAME} with the characters that PCRE2 does not know yet, as part of a class. */
static int add_category(const char *name, size_t n, struct moe_buf *o, struct moe_err *e)
{
	if (moe_buf_addf(o, e, "\\p{%.*s}", (int)n, name))
		return -1;
	for (size_t i = 0; i < sizeof(unicode_new) / sizeof(unicode_new[0]); i++)
		if (strlen(unicode_new[i].name) == n && !memcmp(name, unicode_new[i].name, n))
			return moe_buf_addf(o, e, "%s", unicode_new[i].chars);
	return 0;
}

static int add_words(struct moe_buf *o, struct moe_err *e)
{
	for (size_t i = 0; i < sizeof(word_sets) / sizeof(word_sets[0]); i++)
		if (add_category(word_sets[i], strlen(word_sets[i]), o, e))
			return -1;
	return moe_buf_addf(o, e, "%s", word_more);
}

/* p[0..n) is \p{NAME} or \P{NAME}. */
static int translate_property(
	const char *p, size_t n, bool in_class, struct moe_buf *o, struct moe_err *e)
{
	if (p[1] == 'P' && in_class)
		return moe_fail(e, MOE_DATA, "\\P inside of a character class is not supported");
	if (p[3] == '^')
		return moe_fail(e, MOE_DATA, "\\p{^...} is not supported");
	if (!in_class && moe_buf_addf(o, e, p[1] == 'P' ? "[^" : "["))
		return -1;
	if (add_category(p + 3, n - 4, o, e))
		return -1;
	return in_class ? 0 : moe_buf_add(o, "]", 1, e);
}

/* One escape p[0] == '\\', p[1]; inside or outside of a class. */
static int translate_escape(const char *p, bool in_class, struct moe_buf *o, struct moe_err *e)
{
	bool space = p[1] == 's' || p[1] == 'S', negated = p[1] == 'S' || p[1] == 'W';

	switch (p[1]) {
	case 's':
	case 'w':
	case 'S':
	case 'W':
		if (in_class && negated)
			return moe_fail(e, MOE_DATA,
				"\\%c inside of a character class is not supported", p[1]);
		if (!in_class && moe_buf_addf(o, e, negated ? "[^" : "["))
			return -1;
		if (space ? moe_buf_addf(o, e, "%s", spaces) : add_words(o, e))
			return -1;
		return in_class ? 0 : moe_buf_add(o, "]", 1, e);
	case 'b':
	case 'B':
	case 'h':
	case 'H':
	case 'R':
	case 'X':
	case 'O':
	case 'K':
	case 'G':
	case 'y':
	case 'Y':
	case 'Z':
		return moe_fail(e, MOE_DATA, "the escape \\%c is not supported", p[1]);
	default:
		return moe_buf_add(o, p, 2, e);
	}
}

static int translate(const char *p, size_t n, struct moe_buf *o, struct moe_err *e)
{
	bool in_class = false;
	const char *brace;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\\') {
			if (i + 1 == n)
				return moe_fail(e, MOE_DATA, "it ends in a backslash");
			brace = i + 2 < n && p[i + 2] == '{' ? memchr(p + i, '}', n - i) : NULL;
			if (brace && (p[i + 1] == 'p' || p[i + 1] == 'P')) {
				if (translate_property(
					    p + i, (size_t)(brace - (p + i)) + 1, in_class, o, e))
					return -1;
				i = (size_t)(brace - p);
			} else if (brace && p[i + 1] == 'x') {
				if (moe_buf_add(o, p + i, (size_t)(brace - (p + i)) + 1, e))
					return -1;
				i = (size_t)(brace - p);
			} else if (translate_escape(p + i++, in_class, o, e)) {
				return -1;
			}
			continue;
		}
		if (in_class && (p[i] == '[' || (p[i] == '&' && i + 1 < n && p[i + 1] == '&')))
			return moe_fail(e, MOE_DATA,
				"nested and intersected character classes are not supported");
		/* a{1,3}+ repeats the repetition for Oniguruma and is possessive for PCRE2 */
		if (!in_class && p[i] == '}' && i + 1 < n && p[i + 1] == '+')
			return moe_fail(e, MOE_DATA, "an interval followed by + is not supported");
		in_class = in_class ? p[i] != ']' : p[i] == '[';
		if (moe_buf_add(o, p + i, 1, e))
			return -1;
	}
	return 0;
}

static pcre2_code *compile(const char *pattern, size_t n, bool literal, struct moe_err *e)
{
	struct moe_buf t = { 0 };
	pcre2_code *re = NULL;
	PCRE2_UCHAR why[160];
	PCRE2_SIZE at;
	int err;

	if (!(literal ? moe_buf_add(&t, pattern, n, e) : translate(pattern, n, &t, e)) &&
		moe_buf_cstr(&t, e)) {
		re = pcre2_compile(t.data, t.len,
			literal ? PCRE2_UTF | PCRE2_LITERAL
				: PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE,
			&err, &at, NULL);
		if (!re) {
			pcre2_get_error_message(err, why, sizeof(why));
			moe_fail(e, MOE_DATA, "%s at its byte %zu", (char *)why, (size_t)at);
		} else {
			pcre2_jit_compile(
				re, PCRE2_JIT_COMPLETE); /* without JIT the interpreter is used:
							    slower, the same matches */
		}
	}
	moe_buf_free(&t);
	return re;
}

int moe_cutter_add(struct moe_cutter *c, const char *pattern, size_t n, bool literal,
	enum moe_cut_how how, bool invert, struct moe_err *e)
{
	struct moe_cut_step *s = &c->step[c->n];

	if (c->n == MOE_CUT_STEPS)
		return moe_fail(e, MOE_DATA, "more than %d pre-tokenizer steps", MOE_CUT_STEPS);
	memset(s, 0, sizeof(*s));
	s->how = how;
	s->invert = invert;
	if (pattern) {
		s->re = compile(pattern, n, literal, e);
		if (!s->re)
			return moe_err_prefix(e, "the pattern '%.*s' cannot be used",
				n > 200 ? 200 : (int)n, pattern);
	}
	c->n++;
	return 0;
}

static int add(struct moe_pieces *p, size_t off, size_t len, bool match, struct moe_err *e)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 256;
		struct moe_piece *q = realloc(p->v, cap * sizeof(*q));
		if (!q)
			return moe_fail(e, MOE_SYSTEM, "out of memory in the tokenizer");
		p->v = q;
		p->cap = cap;
	}
	p->v[p->n++] = (struct moe_piece){ off, len, match };
	return 0;
}

static int prepare(struct moe_cut_work *w, struct moe_err *e)
{
	if (w->md)
		return 0;
	w->md = pcre2_match_data_create(1, NULL);
	w->mc = pcre2_match_context_create(NULL);
	w->stack = pcre2_jit_stack_create((size_t)32 << 10, (size_t)8 << 20, NULL);
	if (!w->md || !w->mc || !w->stack)
		return moe_fail(e, MOE_SYSTEM, "out of memory in the tokenizer");
	pcre2_jit_stack_assign(w->mc, NULL, w->stack);
	return 0;
}

/* Covers p[n] (at offset off of the text) with matches and gaps, in w->found. */
static int find(const struct moe_cut_step *s, struct moe_cut_work *w, size_t off, size_t n,
	struct moe_err *e)
{
	const char *p = (const char *)w->text.data + off;
	size_t at = 0, from = 0;

	w->found.n = 0;
	while (from < n) {
		const PCRE2_SIZE *v;
		int r = pcre2_match(
			s->re, (PCRE2_SPTR)p, n, from, PCRE2_NO_UTF_CHECK, w->md, w->mc);

		if (r == PCRE2_ERROR_NOMATCH)
			break;
		if (r < 0)
			return moe_fail(e, MOE_DATA,
				"the pre-tokenizer's pattern gave up on a text (PCRE2 error %d)",
				r);
		v = pcre2_get_ovector_pointer(w->md);
		if (v[1] <=
			v[0]) { /* an empty match cuts nothing: go on behind the next character */
			uint32_t c;
			if (v[0] >= n)
				break;
			from = v[0] + moe_utf8_get(p + v[0], &c);
			continue;
		}
		if (v[0] > at && add(&w->found, off + at, v[0] - at, s->invert, e))
			return -1;
		if (add(&w->found, off + v[0], v[1] - v[0], !s->invert, e))
			return -1;
		at = from = v[1];
	}
	return at < n ? add(&w->found, off + at, n - at, s->invert, e) : 0;
}

/* w->found to pieces, as the step's behaviour says. */
static int deliver(const struct moe_cut_step *s, struct moe_cut_work *w, struct moe_err *e)
{
	const struct moe_pieces *f = &w->found;
	size_t first = w->b.n;
	bool before = false;

	for (size_t i = 0; i < f->n; i++) {
		const struct moe_piece *x = &f->v[i];
		bool join = false, mine = w->b.n > first;

		if (s->how == MOE_CUT_REMOVED && x->match)
			continue;
		if (s->how == MOE_CUT_PREVIOUS)
			join = x->match && !before && mine;
		else if (s->how == MOE_CUT_CONTIGUOUS)
			join = x->match == before && mine;
		else if (s->how == MOE_CUT_NEXT) /* a match waits for what follows, unless that is a
						    match too */
			join = mine && f->v[i - 1].match && !x->match;
		before = x->match;
		if (join)
			w->b.v[w->b.n - 1].len += x->len;
		else if (add(&w->b, x->off, x->len, x->match, e))
			return -1;
	}
	return 0;
}

static int step(const struct moe_cut_step *s, struct moe_cut_work *w, struct moe_err *e)
{
	struct moe_pieces t;

	w->b.n = 0;
	for (size_t i = 0; i < w->a.n; i++) {
		struct moe_piece x = w->a.v[i];

		if (s->prefix_space && x.len && w->text.data[x.off] != ' ') {
			size_t to = w->text.len;
			if (moe_buf_reserve(&w->text, x.len + 1, e))
				return -1;
			w->text.data[to] = ' ';
			memcpy(w->text.data + to + 1, w->text.data + x.off, x.len);
			w->text.len += x.len + 1;
			x = (struct moe_piece){ to, x.len + 1, false };
		}
		if (!s->re) {
			if (add(&w->b, x.off, x.len, false, e))
				return -1;
		} else if (find(s, w, x.off, x.len, e) || deliver(s, w, e)) {
			return -1;
		}
	}
	t = w->a;
	w->a = w->b;
	w->b = t;
	return 0;
}

int moe_cutter_run(const struct moe_cutter *c, struct moe_cut_work *w, struct moe_err *e)
{
	w->a.n = 0;
	if (prepare(w, e) || (w->text.len && add(&w->a, 0, w->text.len, false, e)))
		return -1;
	for (int i = 0; i < c->n; i++)
		if (step(&c->step[i], w, e))
			return -1;
	return 0;
}
