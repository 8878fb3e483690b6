/* json_exact.c - finds what json-c changes without a word in a text that it accepted: numbers
 * beyond its types are clamped, of a key that comes twice the last value stays, a key ends at its
 * first NUL. It does not parse: json.c does. */
#include "formats/json.h"
#include "util/names.h"
#include "util/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH        64  /* json.c parses half as many */
#define FLOAT_DIGITS 300 /* a number of fewer digits and without an exponent is finite */

/* A text, and the place in it. */
struct text {
	const char *p, *name;
	size_t n, at;
};

static struct moe_str span(const struct text *x, size_t from)
{
	return (struct moe_str){ x->p + from, x->at - from };
}

static int refuse(const struct text *x, const char *what, struct moe_str s, const char *why,
	struct moe_err *e)
{
	char seen[80];

	moe_text_escape_to(seen, sizeof(seen), s.p, s.n);
	return moe_fail(e, MOE_DATA, "%s: %s %s%s", x->name, what, seen, why);
}

/* Over the string that begins here. *nul: there is an escaped NUL in it. */
static void over_string(struct text *x, bool *nul)
{
	*nul = false;
	for (x->at++; x->at < x->n && x->p[x->at] != '"'; x->at++)
		if (x->p[x->at] == '\\') {
			if (x->n - x->at > 5 && !memcmp(x->p + x->at, "\\u0000", 6))
				*nul = true;
			x->at++;
		}
	if (x->at < x->n)
		x->at++;
}

/* Whether the string that ended here is a key. */
static bool is_key(struct text *x)
{
	while (x->at < x->n && strchr(" \t\r\n", x->p[x->at]) && x->p[x->at])
		x->at++;
	return x->at < x->n && x->p[x->at] == ':';
}

static int over_number(struct text *x, struct moe_err *e)
{
	size_t from = x->at;
	bool negative = x->p[x->at] == '-', exponent = false, whole = true, finite;
	const char *max = negative ? "9223372036854775808" : "18446744073709551615";
	struct moe_buf copy = { 0 };
	struct moe_str digits;

	for (x->at += negative;
		x->at < x->n && x->p[x->at] && strchr("0123456789.eE+-", x->p[x->at]); x->at++) {
		exponent = exponent || x->p[x->at] == 'e' || x->p[x->at] == 'E';
		whole = whole && x->p[x->at] != '.' && !exponent;
	}
	digits = span(x, from + negative);
	if (whole &&
		(digits.n > strlen(max) ||
			(digits.n == strlen(max) && memcmp(digits.p, max, digits.n) > 0)))
		return refuse(x, "the integer", span(x, from), " does not fit into 64 bits", e);
	if (whole || (!exponent && digits.n < FLOAT_DIGITS))
		return 0;
	if (moe_buf_add(&copy, digits.p, digits.n, e) || !moe_buf_cstr(&copy, e)) {
		moe_buf_free(&copy);
		return -1;
	}
	finite = isfinite(strtod((const char *)copy.data, NULL));
	moe_buf_free(&copy);
	return finite ? 0
		      : refuse(x, "the number", span(x, from),
				" is beyond the range of 64-bit floats", e);
}

/* Over one token of the text. *key is the literal of a key with its quotes, or empty. */
static int token(struct text *x, struct moe_str *key, struct moe_err *e)
{
	size_t from = x->at;
	char c = x->p[x->at];
	bool nul;

	key->n = 0;
	if (c == '"') {
		over_string(x, &nul);
		*key = span(x, from);
		if (!is_key(x))
			key->n = 0;
		else if (nul)
			return refuse(x, "the key", *key, " has a NUL in it", e);
		return 0;
	}
	if (c == '\'')
		return moe_fail(e, MOE_DATA, "%s: a key in single quotes", x->name);
	if ((c >= '0' && c <= '9') || c == '-')
		return over_number(x, e);
	x->at++;
	return 0;
}

static size_t members(const struct moe_json *j)
{
	const struct moe_json *value;
	const void *cursor = NULL;
	const char *key;
	size_t n = moe_json_kind(j) == MOE_J_OBJECT ? moe_json_len(j) : 0;

	while (moe_json_next(j, &cursor, &key, &value))
		n += members(value);
	for (size_t i = 0; moe_json_kind(j) == MOE_J_ARRAY && i < moe_json_len(j); i++)
		n += members(moe_json_at(j, i));
	return n;
}

/* Adds the key to those of its object: 1 = it was there, 0, -1. */
static int add_key(
	struct moe_names *keys, struct moe_arena *a, struct moe_str literal, struct moe_err *e)
{
	struct moe_json_doc *d = moe_json_parse(
		literal.p, literal.n, "key", e); /* without its escapes */
	size_t before = keys->n;
	int64_t i = d ? moe_names_add(keys, a, moe_json_str(moe_json_root(d)).p,
				moe_json_str(moe_json_root(d)).n, e)
		      : -1;

	moe_json_free(d);
	return i < 0 ? -1 : (size_t)i < before;
}

/* Some key comes twice: which. Always fails. */
static int name_double(struct text x, struct moe_err *e)
{
	struct moe_names keys[DEPTH] = { { 0 } }; /* of the objects around this place */
	struct moe_arena a = { 0 };
	struct moe_str key = { "", 0 };
	size_t depth = 0;
	int rc = 0;

	for (x.at = 0; !rc && x.at < x.n;) {
		char c = x.p[x.at];

		if ((c == '{' || c == '[') && depth + 1 < DEPTH)
			moe_names_free(&keys[++depth]);
		else if ((c == '}' || c == ']') && depth)
			depth--;
		rc = token(&x, &key, e);
		if (!rc && key.n && (rc = add_key(&keys[depth], &a, key, e)) == 1)
			refuse(&x, "the same key twice in one object:", key, "", e);
	}
	for (size_t i = 0; i < DEPTH; i++)
		moe_names_free(&keys[i]);
	moe_arena_free(&a);
	return rc ? -1 : moe_fail(e, MOE_DATA, "%s: the same key twice in one object", x.name);
}

int moe_json_exact(
	const struct moe_json_doc *d, const char *p, size_t n, const char *name, struct moe_err *e)
{
	struct text x = { .p = p, .n = n, .name = name };
	struct moe_str key = { "", 0 };
	size_t keys = 0;

	while (x.at < n) {
		if (token(&x, &key, e))
			return -1;
		keys += key.n > 0;
	}
	return keys == members(moe_json_root(d)) ? 0 : name_double(x, e);
}
