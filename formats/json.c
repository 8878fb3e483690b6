/* json.c - JSON texts on json-c, and the mapping between JSON and MessagePack values
 * (formats/stream.md, "JSON"). It does not read JSON Lines: formats/input.h has the lines. */
#include "formats/json.h"
#include "formats/mp.h"
#include "formats/tensor_view.h"
#include "util/base64.h"
#include "util/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#define DEPTH        32
#define DEPTH_OTHERS 1000
#define MEM_MAX      ((size_t)1 << 30)

/* struct moe_json is never defined: a pointer to it is a json_object. */
static struct json_object *node(const struct moe_json *j)
{
	return (struct json_object *)(uintptr_t)j;
}

static const struct moe_json *wrap(const struct json_object *o)
{
	return (const struct moe_json *)o;
}

struct moe_json_doc {
	struct json_object *root;
};

static int fail_at(const char *name, const char *p, size_t at, const char *why, struct moe_err *e)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < at; i++) {
		column++;
		if (p[i] == '\n') {
			line++;
			column = 1;
		}
	}
	return moe_fail(e, MOE_DATA, "%s: line %zu, column %zu: %s", name, line, column, why);
}

static struct moe_json_doc *parse(
	const char *p, size_t n, int depth, const char *name, struct moe_err *e)
{
	struct json_tokener *t = json_tokener_new_ex(depth);
	struct moe_json_doc *d = calloc(1, sizeof(*d));
	enum json_tokener_error why;
	size_t at;

	if (!t || !d || n > INT32_MAX - 1) {
		if (t && d)
			moe_fail(e, MOE_DATA, "%s: a JSON text of %zu bytes; the limit is 2^31-2",
				name, n);
		else
			moe_fail(e, MOE_SYSTEM, "%s: out of memory for a JSON text", name);
		goto fail;
	}
	json_tokener_set_flags(t,
		JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS |
			JSON_TOKENER_VALIDATE_UTF8);
	d->root = json_tokener_parse_ex(t, p, (int)n);
	why = json_tokener_get_error(t);
	at = json_tokener_get_parse_end(t);
	if (why == json_tokener_continue) { /* a number at the very end, or a text cut off: a final
					       NUL tells */
		d->root = json_tokener_parse_ex(t, "", 1);
		why = json_tokener_get_error(t);
		at = n;
	}
	if (why != json_tokener_success) {
		fail_at(name, p, at < n ? at : n,
			why == json_tokener_continue || why == json_tokener_error_parse_eof
				? "the JSON text is cut off"
				: json_tokener_error_desc(why),
			e);
		goto fail;
	}
	while (at < n && strchr(" \t\r\n", p[at]) && p[at])
		at++;
	if (at < n) {
		fail_at(name, p, at, "more text after the JSON value", e);
		goto fail;
	}
	json_tokener_free(t);
	return d;
fail:
	if (t)
		json_tokener_free(t);
	moe_json_free(d);
	return NULL;
}

/* What json-c takes for the text: a node for each value, however short. */
static size_t cost(const char *p, size_t n)
{
	size_t nodes = 1;
	bool in = false;

	for (size_t i = 0; i < n; i++) {
		if (in && p[i] == '\\')
			i++;
		else if (p[i] == '"')
			in = !in;
		else if (!in && (p[i] == ',' || p[i] == '[' || p[i] == '{'))
			nodes++;
	}
	return n + 128 * nodes;
}

struct moe_json_doc *moe_json_parse_within(
	const char *p, size_t n, size_t max_mem, const char *name, struct moe_err *e)
{
	if (cost(p, n) <= max_mem)
		return parse(p, n, DEPTH, name, e);
	moe_fail(e, MOE_DATA,
		"%s: a record that needs at least %zu bytes of memory; --max-mem allows %zu", name,
		cost(p, n), max_mem);
	return NULL;
}

static struct moe_json_doc *parse_file(
	const char *p, size_t n, int depth, const char *name, struct moe_err *e)
{
	if (n >= 3 && !memcmp(p, "\xEF\xBB\xBF", 3)) { /* a file's byte order mark */
		p += 3;
		n -= 3;
	}
	if (cost(p, n) <= MEM_MAX)
		return parse(p, n, depth, name, e);
	moe_fail(e, MOE_DATA,
		"%s: a JSON text that needs at least %zu bytes of memory; the limit is %zu", name,
		cost(p, n), MEM_MAX);
	return NULL;
}

struct moe_json_doc *moe_json_parse(const char *p, size_t n, const char *name, struct moe_err *e)
{
	return parse_file(p, n, DEPTH, name, e);
}

struct moe_json_doc *moe_json_parse_exact(
	const char *p, size_t n, const char *name, struct moe_err *e)
{
	struct moe_json_doc *d = parse_file(p, n, DEPTH_OTHERS, name, e);

	if (d && moe_json_exact(d, p, n, name, e)) {
		moe_json_free(d);
		return NULL;
	}
	return d;
}

void moe_json_free(struct moe_json_doc *d)
{
	if (!d)
		return;
	json_object_put(d->root);
	free(d);
}

const struct moe_json *moe_json_root(const struct moe_json_doc *d)
{
	return wrap(d->root);
}

/* ---- looking ---- */

enum moe_json_kind moe_json_kind(const struct moe_json *j)
{
	switch (json_object_get_type(node(j))) {
	case json_type_boolean:
		return MOE_J_BOOL;
	case json_type_int:
		return MOE_J_INT;
	case json_type_double:
		return MOE_J_FLOAT;
	case json_type_string:
		return MOE_J_STR;
	case json_type_array:
		return MOE_J_ARRAY;
	case json_type_object:
		return MOE_J_OBJECT;
	default:
		return MOE_J_NULL;
	}
}

const struct moe_json *moe_json_get(const struct moe_json *j, const char *key)
{
	struct json_object *v = NULL;

	if (moe_json_kind(j) == MOE_J_OBJECT)
		json_object_object_get_ex(node(j), key, &v);
	return wrap(v);
}

const struct moe_json *moe_json_path(const struct moe_json *j, const char *dotted)
{
	while (j && *dotted) {
		size_t n = strcspn(dotted, ".");
		char key[256];

		if (n >= sizeof(key))
			return NULL;
		memcpy(key, dotted, n);
		key[n] = 0;
		if (moe_json_kind(j) == MOE_J_ARRAY) {
			char *end;
			unsigned long i = strtoul(key, &end, 10);

			j = n && !*end && key[0] >= '0' && key[0] <= '9' ? moe_json_at(j, i) : NULL;
		} else {
			j = moe_json_get(j, key);
		}
		dotted += n;
		if (*dotted == '.')
			dotted++;
	}
	return j;
}

size_t moe_json_len(const struct moe_json *j)
{
	if (moe_json_kind(j) == MOE_J_ARRAY)
		return json_object_array_length(node(j));
	return moe_json_kind(j) == MOE_J_OBJECT ? (size_t)json_object_object_length(node(j)) : 0;
}

const struct moe_json *moe_json_at(const struct moe_json *j, size_t i)
{
	return moe_json_kind(j) == MOE_J_ARRAY && i < moe_json_len(j)
		? wrap(json_object_array_get_idx(node(j), i))
		: NULL;
}

struct moe_str moe_json_str(const struct moe_json *j)
{
	struct moe_str s = { NULL, 0 };

	if (moe_json_kind(j) == MOE_J_STR) {
		s.p = json_object_get_string(node(j));
		s.n = (size_t)json_object_get_string_len(node(j));
	}
	return s;
}

/* Above INT64_MAX json-c keeps an unsigned number, which its signed getter clamps. */
static bool is_unsigned(const struct moe_json *j)
{
	return json_object_get_int64(node(j)) == INT64_MAX &&
		json_object_get_uint64(node(j)) > INT64_MAX;
}

bool moe_json_int(const struct moe_json *j, int64_t *out)
{
	if (moe_json_kind(j) != MOE_J_INT || is_unsigned(j))
		return false;
	*out = json_object_get_int64(node(j));
	return true;
}

bool moe_json_f64(const struct moe_json *j, double *out)
{
	if (moe_json_kind(j) == MOE_J_INT)
		*out = is_unsigned(j) ? (double)json_object_get_uint64(node(j))
				      : (double)json_object_get_int64(node(j));
	else if (moe_json_kind(j) == MOE_J_FLOAT)
		*out = json_object_get_double(node(j));
	else
		return false;
	return true;
}

bool moe_json_bool(const struct moe_json *j, bool *out)
{
	if (moe_json_kind(j) != MOE_J_BOOL)
		return false;
	*out = json_object_get_boolean(node(j));
	return true;
}

/* ---- JSON to MessagePack ---- */

static int escaped(const char *key, struct moe_str v, struct moe_buf *out, struct moe_err *e)
{
	struct moe_buf bytes = { 0 };
	int rc;

	if (!strcmp(key, "$float")) {
		double f = moe_str_eq(v, "NaN")     ? (double)NAN
			: moe_str_eq(v, "Infinity") ? (double)INFINITY
						    : -(double)INFINITY;

		if (isinf(f) && f < 0 && !moe_str_eq(v, "-Infinity"))
			return moe_fail(
				e, MOE_DATA, "\"$float\" is none of NaN, Infinity and -Infinity");
		return moe_mp_float(out, f, e);
	}
	rc = moe_base64_decode(v.p, v.n, &bytes, e);
	if (!rc)
		rc = !strcmp(key, "$bin") ? moe_mp_bin(out, bytes.data, bytes.len, e)
					  : moe_mp_str(out, bytes.data, bytes.len, e);
	moe_buf_free(&bytes);
	return rc;
}

static int too_deep(struct moe_err *e)
{
	return moe_fail(e, MOE_DATA, "values nested deeper than %d levels", MOE_MP_DEPTH);
}

static int object_to(const struct moe_json *j, int depth, struct moe_buf *out, struct moe_err *e);

static int value_to(const struct moe_json *j, int depth, struct moe_buf *out, struct moe_err *e)
{
	struct moe_str s;
	bool b = false;
	double f = 0;
	int64_t i;

	switch (moe_json_kind(j)) {
	case MOE_J_BOOL:
		moe_json_bool(j, &b);
		return moe_mp_bool(out, b, e);
	case MOE_J_INT:
		return moe_json_int(j, &i) ? moe_mp_int(out, i, e)
					   : moe_mp_uint(out, json_object_get_uint64(node(j)), e);
	case MOE_J_FLOAT:
		moe_json_f64(j, &f);
		return moe_mp_float(out, f, e);
	case MOE_J_STR:
		s = moe_json_str(j);
		return moe_mp_str(out, s.p, s.n, e);
	case MOE_J_ARRAY:
	case MOE_J_OBJECT:
		break;
	default:
		return moe_mp_nil(out, e);
	}
	if (moe_json_kind(j) == MOE_J_OBJECT)
		return object_to(j, depth, out, e);
	if (depth >= MOE_MP_DEPTH)
		return too_deep(e);
	if (moe_mp_array(out, moe_json_len(j), e))
		return -1;
	for (size_t k = 0; k < moe_json_len(j); k++)
		if (value_to(moe_json_at(j, k), depth + 1, out, e))
			return -1;
	return 0;
}

static int object_to(const struct moe_json *j, int depth, struct moe_buf *out, struct moe_err *e)
{
	const struct moe_json *value = NULL;
	const void *cursor = NULL;
	size_t n = moe_json_len(j);
	const char *key = "";

	if (n == 1 && moe_json_next(j, &cursor, &key, &value) && *key == '$') {
		struct moe_str s = moe_json_str(value);

		if (s.p && (!strcmp(key, "$bin") || !strcmp(key, "$str") || !strcmp(key, "$float")))
			return escaped(key, s, out, e); /* a scalar: no level of its own */
	}
	if (depth >= MOE_MP_DEPTH)
		return too_deep(e);
	if (moe_mp_map(out, n, e))
		return -1;
	for (cursor = NULL; moe_json_next(j, &cursor, &key, &value);) {
		if (n == 1 && key[0] == '$' && key[1] == '$')
			key++;
		if (moe_mp_str(out, key, strlen(key), e) || value_to(value, depth + 1, out, e))
			return -1;
	}
	return 0;
}

int moe_json_to_msgpack(const struct moe_json *j, struct moe_buf *out, struct moe_err *e)
{
	return value_to(j, 0, out, e);
}

/* ---- MessagePack to JSON ---- */

/* The escape of the UTF-8 sequence p[len] (len 0: an invalid byte) into esc; NULL when it needs
 * none. What a terminal would obey is escaped too, so that the text of a model can be looked at. */
static const char *escape_of(const char *p, size_t len, char esc[8])
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	unsigned c = len ? moe_utf8_decode(p, len) : 0;
	const char *named = c && c < 0x80 ? strchr(from, (int)c) : NULL;

	if (!len)
		return "\xef\xbf\xbd"; /* U+FFFD */
	if (!named && !moe_text_hostile(c))
		return NULL;
	if (named)
		snprintf(esc, 8, "\\%c", to[named - from]);
	else
		snprintf(esc, 8, "\\u%04x", c & 0xffffU);
	return esc;
}

int moe_json_quote(struct moe_buf *out, const char *p, size_t n, struct moe_err *e)
{
	size_t plain = 0;

	if (moe_buf_add(out, "\"", 1, e))
		return -1;
	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char)p[i];
		size_t len = c < 0x80 ? 1 : moe_utf8_len(p + i, n - i);
		char room[8];
		const char *esc = c >= 0x20 && c < 0x7f && c != '"' && c != '\\'
			? NULL
			: escape_of(p + i, len, room);

		if (!len)
			len = 1;
		if (esc) {
			if (moe_buf_add(out, p + plain, i - plain, e) ||
				moe_buf_add(out, esc, strlen(esc), e))
				return -1;
			plain = i + len;
		}
		i += len;
	}
	return moe_buf_add(out, p + plain, n - plain, e) || moe_buf_add(out, "\"", 1, e) ? -1 : 0;
}

static int float_json(double f, struct moe_buf *out, struct moe_err *e)
{
	char s[40];

	if (isnan(f) || isinf(f))
		return moe_buf_addf(out, e, "{\"$float\":\"%s\"}",
			isnan(f)        ? "NaN"
				: f > 0 ? "Infinity"
					: "-Infinity");
	for (int digits = 15; digits <= 17;
		digits++) { /* the shortest of these that reads back exactly */
		snprintf(s, sizeof(s), "%.*g", digits, f);
		if (strtod(s, NULL) == f)
			break;
	}
	/* a number without point or exponent would come back as an integer */
	return moe_buf_addf(out, e, "%s%s", s, strpbrk(s, ".e") ? "" : ".0");
}

static int base64_json(
	const char *key, const struct moe_mp_tok *t, struct moe_buf *out, struct moe_err *e)
{
	return moe_buf_addf(out, e, "{\"%s\":\"", key) || moe_base64_encode(t->p, t->n, out, e) ||
			moe_buf_add(out, "\"}", 2, e)
		? -1
		: 0;
}

/* A lone key that begins with "$" gets another one, so that it is not taken for an escape of ours.
 */
static int key_json(const struct moe_mp_tok *k, bool alone, struct moe_buf *out, struct moe_err *e)
{
	struct moe_buf longer = { 0 };
	int rc;

	if (!alone || !k->n || k->p[0] != '$')
		return moe_json_quote(out, (const char *)k->p, k->n, e);
	rc = moe_buf_add(&longer, "$", 1, e) || moe_buf_add(&longer, k->p, k->n, e) ||
		moe_json_quote(out, (const char *)longer.data, longer.len, e);
	moe_buf_free(&longer);
	return rc ? -1 : 0;
}

static int value_from(
	const uint8_t *p, size_t n, bool values, struct moe_buf *out, struct moe_err *e);

/* Nested arrays of numbers, from element *at on. An empty tensor is [] whatever its shape, which
 * may have huge dimensions. */
static int tensor_from(
	const struct moe_tensor *t, int dim, size_t *at, struct moe_buf *out, struct moe_err *e)
{
	uint8_t one[9];
	int rc;

	if (!t->bytes)
		return moe_buf_add(out, "[]", 2, e);
	if (dim == t->rank)
		return value_from(one, moe_tensor_element(t, (*at)++, one), false, out, e);
	rc = moe_buf_add(out, "[", 1, e);
	for (uint64_t i = 0; !rc && i < t->shape[dim]; i++)
		rc = (i && moe_buf_add(out, ",", 1, e)) || tensor_from(t, dim + 1, at, out, e) ? -1
											       : 0;
	return rc || moe_buf_add(out, "]", 1, e) ? -1 : 0;
}

static int container_from(const uint8_t *p, size_t n, const struct moe_mp_tok *c, bool values,
	struct moe_buf *out, struct moe_err *e)
{
	bool map = c->kind == MOE_MP_MAP;
	size_t at = c->size, size = 0;

	if (moe_buf_add(out, map ? "{" : "[", 1, e))
		return -1;
	for (size_t i = 0; i < c->n; i++) {
		struct moe_mp_tok k;

		if (i && moe_buf_add(out, ",", 1, e))
			return -1;
		if (map) {
			if (moe_mp_token(p + at, n - at, &k, e) != 1)
				return -1;
			if (key_json(&k, c->n == 1, out, e))
				return -1;
			if (moe_buf_add(out, ":", 1, e))
				return -1;
			at += k.size;
		}
		if (moe_mp_size(p + at, n - at, &size, e) ||
			value_from(p + at, size, values, out, e))
			return -1;
		at += size;
	}
	return moe_buf_add(out, map ? "}" : "]", 1, e);
}

static int value_from(
	const uint8_t *p, size_t n, bool values, struct moe_buf *out, struct moe_err *e)
{
	struct moe_tensor tensor;
	struct moe_mp_tok t;
	size_t at = 0;

	if (moe_mp_token(p, n, &t, e) != 1)
		return -1;
	switch (t.kind) {
	case MOE_MP_NIL:
		return moe_buf_add(out, "null", 4, e);
	case MOE_MP_BOOL:
		return moe_buf_addf(out, e, "%s", t.b ? "true" : "false");
	case MOE_MP_INT:
		return moe_buf_addf(out, e, "%lld", (long long)t.i);
	case MOE_MP_UINT:
		return moe_buf_addf(out, e, "%llu", (unsigned long long)t.u);
	case MOE_MP_FLOAT:
		return float_json(t.f, out, e);
	case MOE_MP_STR:
		if (!moe_utf8_valid((const char *)t.p, t.n))
			return base64_json("$str", &t, out, e);
		return moe_json_quote(out, (const char *)t.p, t.n, e);
	case MOE_MP_BIN:
		return base64_json("$bin", &t, out, e);
	default:
		if (values && t.kind == MOE_MP_MAP && moe_tensor_parse(p, n, &tensor))
			return tensor_from(&tensor, 0, &at, out, e);
		return container_from(p, n, &t, values, out, e);
	}
}

int moe_json_from_msgpack(
	const void *p, size_t n, bool values, struct moe_buf *out, struct moe_err *e)
{
	if (moe_mp_check(p, n, 0, e))
		return -1;
	return value_from(p, n, values, out, e);
}
