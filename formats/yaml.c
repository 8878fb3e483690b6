/* yaml.c - reads flat YAML line by line; what a key means is the caller's. */
#include "formats/yaml.h"

#include "formats/json.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the lines after a key without a value made of it. */
enum open { CLOSED, PENDING, LIST, MAP };

struct yaml {
	const char *name;
	struct moe_buf *out;
	size_t line;
	bool any; /* the object has a member */
	enum open open;
	bool any_inner;
};

static int bad(const struct yaml *y, struct moe_err *e, const char *what)
{
	return moe_fail(e, MOE_DATA, "%s: line %zu: %s", y->name, y->line, what);
}

static int add(struct yaml *y, const char *s, struct moe_err *e)
{
	return moe_buf_add(y->out, s, strlen(s), e);
}

static bool is(const char *p, size_t n, const char *word)
{
	return n == strlen(word) && !memcmp(p, word, n);
}

/* Cuts the comment and the spaces of both ends. Quotes hide a #. */
static void trim(const char **p, size_t *n)
{
	char quote = 0;

	for (size_t i = 0; i < *n; i++) {
		char c = (*p)[i];

		if (quote)
			quote = c == quote ? 0 : quote;
		else if ((c == '"' || c == '\'') && (i == 0 || strchr(" [,:", (*p)[i - 1])))
			quote = c;
		else if (c == '#' && (i == 0 || (*p)[i - 1] == ' ')) {
			*n = i;
			break;
		}
	}
	while (*n && ((*p)[*n - 1] == ' ' || (*p)[*n - 1] == '\r'))
		--*n;
	while (*n && **p == ' ') {
		++*p;
		--*n;
	}
}

/* A number as JSON writes it; false when the text is none. */
static bool number(const char *p, size_t n, char out[64])
{
	static const char *const special[][2] = { { ".inf", "Infinity" }, { "+.inf", "Infinity" },
		{ "-.inf", "-Infinity" }, { ".nan", "NaN" } };
	char text[40], *end;
	double v;

	for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++)
		if (is(p, n, special[i][0])) {
			snprintf(out, 64, "%s", special[i][1]);
			return true;
		}
	if (n == 0 || n >= sizeof(text) || strspn(p, "0123456789+-.eE") < n)
		return false;
	memcpy(text, p, n);
	text[n] = 0;
	v = strtod(text, &end);
	if (*end || end == text)
		return false;
	if (strspn(text, "0123456789-") == n && (text[0] != '0' || n == 1))
		snprintf(out, 64, "%s", text);
	else
		snprintf(out, 64, "%.17g", v);
	return true;
}

static int text_value(struct yaml *y, const char *p, size_t n, struct moe_err *e)
{
	char q = *p;

	if (q != '"' && q != '\'')
		return strchr("&*!|>{%@`", q) || (n > 1 && q == '-' && p[1] == ' ')
			? bad(y, e, "this form of YAML is not read here (formats/yaml.md)")
			: moe_json_quote(y->out, p, n, e);
	if (n < 2 || p[n - 1] != q || memchr(p + 1, q, n - 2) || memchr(p + 1, '\\', n - 2))
		return bad(y, e, "a quoted text without escapes was expected");
	return moe_json_quote(y->out, p + 1, n - 2, e);
}

static int scalar(struct yaml *y, const char *p, size_t n, struct moe_err *e)
{
	char text[64];

	if (n == 0 || is(p, n, "null") || is(p, n, "Null") || is(p, n, "~"))
		return add(y, "null", e);
	if (is(p, n, "true") || is(p, n, "True"))
		return add(y, "true", e);
	if (is(p, n, "false") || is(p, n, "False"))
		return add(y, "false", e);
	return number(p, n, text) ? add(y, text, e) : text_value(y, p, n, e);
}

/* A scalar, or a list of them in brackets. */
static int value(struct yaml *y, const char *p, size_t n, struct moe_err *e)
{
	bool first = true;

	if (n == 0 || *p != '[')
		return scalar(y, p, n, e);
	if (p[n - 1] != ']')
		return bad(y, e, "a list that ends with ] on its line was expected");
	p++;
	n -= 2;
	if (add(y, "[", e))
		return -1;
	while (n || !first) {
		size_t k = 0, m;
		const char *item = p;

		while (k < n && p[k] != ',')
			k++;
		m = k;
		trim(&item, &m);
		if (m == 0 || *item == '[')
			return bad(y, e, "a list of plain values was expected");
		if ((!first && add(y, ",", e)) || scalar(y, item, m, e))
			return -1;
		first = false;
		if (k == n)
			break;
		p += k + 1;
		n -= k + 1;
	}
	return add(y, "]", e);
}

/* Ends what a key without a value began. */
static int close_open(struct yaml *y, struct moe_err *e)
{
	static const char *const end[] = {
		[CLOSED] = "", [PENDING] = "null", [LIST] = "]", [MAP] = "}"
	};
	int rc = add(y, end[y->open], e);

	y->open = CLOSED;
	return rc;
}

/* key ":" of a line; the rest is its value. */
static int key(struct yaml *y, const char **p, size_t *n, struct moe_err *e)
{
	size_t k = 0;

	while (k < *n && (*p)[k] != ':' && (*p)[k] != ' ')
		k++;
	if (k == 0 || k > 255 || k == *n || (*p)[k] != ':' || (k + 1 < *n && (*p)[k + 1] != ' '))
		return bad(y, e, "a line `name: value' was expected");
	if (moe_json_quote(y->out, *p, k, e) || add(y, ":", e))
		return -1;
	*p += k + 1;
	*n -= k + 1;
	trim(p, n);
	return 0;
}

/* A line below a key that has no value of its own. */
static int inner(struct yaml *y, const char *p, size_t n, enum open kind, struct moe_err *e)
{
	if (y->open == PENDING) {
		y->any_inner = false;
		if (add(y, kind == LIST ? "[" : "{", e))
			return -1;
		y->open = kind;
	}
	if (y->open != kind)
		return bad(y, e, "neither a list nor a mapping is open at this line");
	if (y->any_inner && add(y, ",", e))
		return -1;
	y->any_inner = true;
	if (kind == MAP && key(y, &p, &n, e))
		return -1;
	return value(y, p, n, e);
}

static int one_line(struct yaml *y, const char *p, size_t n, struct moe_err *e)
{
	bool indented = n && *p == ' ';

	trim(&p, &n);
	if (n == 0 || (is(p, n, "---") && !y->any))
		return 0;
	if (*p == '\t' || memchr(p, 0, n))
		return bad(y, e, "a tab or a zero byte stands where a name was expected");
	if (*p == '-' && (n == 1 || p[1] == ' ')) {
		p++;
		n--;
		trim(&p, &n);
		return inner(y, p, n, LIST, e);
	}
	if (indented)
		return inner(y, p, n, MAP, e);
	if (close_open(y, e) || (y->any && add(y, ",", e)) || key(y, &p, &n, e))
		return -1;
	y->any = true;
	if (n == 0) {
		y->open = PENDING;
		return 0;
	}
	return value(y, p, n, e);
}

int moe_yaml_to_json(
	const char *p, size_t n, const char *name, struct moe_buf *out, struct moe_err *e)
{
	struct yaml y = { .name = name, .out = out };

	if (n > (size_t)1 << 20)
		return moe_fail(
			e, MOE_DATA, "%s: %zu bytes of settings: at most 1 MiB is read", name, n);
	if (add(&y, "{", e))
		return -1;
	while (n) {
		const char *end = memchr(p, '\n', n);
		size_t k = end ? (size_t)(end - p) : n;

		y.line++;
		if (one_line(&y, p, k, e))
			return -1;
		p += end ? k + 1 : k;
		n -= end ? k + 1 : k;
	}
	return close_open(&y, e) || add(&y, "}", e) ? -1 : 0;
}
