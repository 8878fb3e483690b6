/* summary.c - statistics over the keys of records. It knows tensors, but no kind's meaning. */
#include "inspect/summary.h"
#include "formats/mp.h"
#include "formats/tensor_view.h"
#include "util/names.h"
#include "util/rng.h"
#include "util/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX     4096 /* an adapter of 48 layers has 700 tensors */
#define SLOTS        (2 * KEYS_MAX)
#define TYPES_SHOWN  64
#define TYPES_MAX    65536
#define TEXTS_MAX    12
#define TEXT_LEN     64 /* a digest */
#define TEXT_OF_MANY 40 /* the longest that is shown beside others */
#define PATH_LEN     128

struct range {
	uint64_t n, nan;
	double min, max, sum;
};

static void range_add(struct range *g, double v)
{
	if (isnan(v)) {
		g->nan++;
		return;
	}
	if (!g->n || v < g->min)
		g->min = v;
	if (!g->n || v > g->max)
		g->max = v;
	g->sum += v;
	g->n++;
}

struct text {
	char s[TEXT_LEN];
	size_t n;
	uint64_t seen;
};

struct key {
	char type[32], path[PATH_LEN];
	uint64_t kinds[9]; /* by enum moe_mp_kind */
	uint64_t tensors, seen;
	char dtype[8], shape[64]; /* of the first tensor; shape "" when they differ */
	bool shapes_differ;
	struct range number, length, element;
	struct text text[TEXTS_MAX];
	size_t n_text;
	bool many,
		wide; /* more texts than fit, or too long ones; one is longer than TEXT_OF_MANY */
};

struct moe_summary {
	struct key *key;
	size_t n_key, cap_key;
	uint16_t slot[SLOTS]; /* open addressing by type and path: index + 1, 0 = free */
	uint64_t left_out;
	struct moe_names types; /* of which the first are shown, the others only counted */
	struct moe_arena arena;
	uint64_t type_n[TYPES_SHOWN];
	bool types_full;
};

struct moe_summary *moe_summary_new(struct moe_err *e)
{
	struct moe_summary *s = calloc(1, sizeof(*s));

	if (!s)
		moe_fail(e, MOE_SYSTEM, "out of memory for a summary");
	return s;
}

void moe_summary_free(struct moe_summary *s)
{
	if (!s)
		return;
	free(s->key);
	moe_names_free(&s->types);
	moe_arena_free(&s->arena);
	free(s);
}

/* The statistics of a key; NULL and no error when there are too many keys already. */
static int key_of(struct moe_summary *s, const char *type, const char *path, struct key **out,
	struct moe_err *e)
{
	size_t at = (size_t)(moe_hash64(type, strlen(type)) ^ 3 * moe_hash64(path, strlen(path))) &
		(SLOTS - 1);
	struct key *k;

	for (; s->slot[at]; at = (at + 1) & (SLOTS - 1)) {
		*out = &s->key[s->slot[at] - 1];
		if (!strcmp((*out)->path, path) && !strcmp((*out)->type, type))
			return 0;
	}
	*out = NULL;
	if (s->n_key == KEYS_MAX) {
		s->left_out++;
		return 0;
	}
	if (s->n_key == s->cap_key) {
		size_t cap = s->cap_key ? 2 * s->cap_key : 32;
		struct key *p = realloc(s->key, cap * sizeof(*p));

		if (!p)
			return moe_fail(
				e, MOE_SYSTEM, "out of memory for a summary of %zu keys", cap);
		s->key = p;
		s->cap_key = cap;
	}
	k = *out = &s->key[s->n_key++];
	s->slot[at] = (uint16_t)s->n_key;
	memset(k, 0, sizeof(*k));
	snprintf(k->type, sizeof(k->type), "%s", type);
	snprintf(k->path, sizeof(k->path), "%s", path);
	return 0;
}

static void add_text(struct key *k, const struct moe_mp_tok *t)
{
	range_add(&k->length, (double)t->n);
	if (t->n > TEXT_LEN || k->many) {
		k->many = true;
		return;
	}
	for (size_t i = 0; i < k->n_text; i++)
		if (k->text[i].n == t->n && !memcmp(k->text[i].s, t->p, t->n)) {
			k->text[i].seen++;
			return;
		}
	if (k->n_text == TEXTS_MAX) {
		k->many = true;
		return;
	}
	k->wide |= t->n > TEXT_OF_MANY;
	memcpy(k->text[k->n_text].s, t->p, t->n);
	k->text[k->n_text].n = t->n;
	k->text[k->n_text++].seen = 1;
}

static void shape_text(const struct moe_tensor *t, char *out, size_t cap)
{
	size_t at = (size_t)snprintf(out, cap, "[");

	for (int i = 0; i < t->rank && at < cap; i++)
		at += (size_t)snprintf(out + at, cap - at, "%s%" PRIu64, i ? "," : "", t->shape[i]);
	if (at < cap)
		snprintf(out + at, cap - at, "]");
}

static void add_elements(struct range *g, const struct moe_tensor *t)
{
	size_t each = moe_dtype_bytes(t->dtype);

	for (size_t i = 0; each && i < t->bytes / each; i++)
		range_add(g, moe_tensor_value(t, i));
}

static void add_tensor(struct key *k, const struct moe_tensor *t)
{
	size_t each = moe_dtype_bytes(t->dtype);
	char shape[64];

	shape_text(t, shape, sizeof(shape));
	if (k->tensors++ == 0) {
		memcpy(k->dtype, t->dtype, sizeof(k->dtype));
		memcpy(k->shape, shape, sizeof(k->shape));
	} else if (strcmp(k->shape, shape) != 0 || strcmp(k->dtype, t->dtype) != 0) {
		k->shapes_differ = true;
	}
	range_add(&k->length, (double)(each ? t->bytes / each : 0));
	add_elements(&k->element, t);
}

static int add_value(struct moe_summary *s, const char *type, const char *path,
	const struct moe_rec *r, const struct moe_rec_field *f, int depth, struct moe_err *e);

static int add_map(struct moe_summary *s, const char *type, const char *path,
	const struct moe_str *raw, int depth, struct moe_err *e)
{
	struct moe_rec m = { 0 };
	int rc = moe_rec_parse(&m, raw->p, raw->n, e);

	for (size_t i = 0; !rc && i < m.n_field; i++) {
		char sub[PATH_LEN], parent[61], name[64];

		moe_text_escape_to(name, sizeof(name), m.field[i].key.p, m.field[i].key.n);
		snprintf(sub, sizeof(sub), "%s.%s",
			moe_text_fit(parent, sizeof(parent), path, 0, SIZE_MAX), name);
		rc = add_value(s, type, sub, &m, &m.field[i], depth + 1, e);
	}
	moe_rec_free(&m);
	return rc;
}

static int add_value(struct moe_summary *s, const char *type, const char *path,
	const struct moe_rec *r, const struct moe_rec_field *f, int depth, struct moe_err *e)
{
	struct moe_str raw = { (const char *)r->bytes.data + f->off, f->len };
	struct moe_tensor tensor;
	struct moe_mp_tok t;
	struct key *k;

	if (key_of(s, type, path, &k, e) || moe_mp_token((const uint8_t *)raw.p, raw.n, &t, e) != 1)
		return -1;
	if (!k)
		return 0;
	k->seen++;
	k->kinds[t.kind]++;
	if (t.kind == MOE_MP_INT)
		range_add(&k->number, (double)t.i);
	else if (t.kind == MOE_MP_UINT)
		range_add(&k->number, (double)t.u);
	else if (t.kind == MOE_MP_FLOAT)
		range_add(&k->number, t.f);
	else if (t.kind == MOE_MP_BOOL)
		range_add(&k->number, t.b ? 1 : 0);
	else if (t.kind == MOE_MP_STR)
		add_text(k, &t);
	else if (t.kind == MOE_MP_BIN || t.kind == MOE_MP_ARRAY)
		range_add(&k->length, (double)t.n);
	if (t.kind != MOE_MP_MAP)
		return 0;
	if (moe_tensor_parse(raw.p, raw.n, &tensor)) {
		k->kinds[t.kind]--;
		add_tensor(k, &tensor);
		return 0;
	}
	range_add(&k->length, (double)t.n);
	return depth < 2 ? add_map(s, type, path, &raw, depth, e) : 0;
}

/* A chunk of a big tensor: dtype and shape stand beside the data. */
static int add_chunk(struct moe_summary *s, const struct moe_rec *r, struct moe_err *e)
{
	struct moe_str name, data;
	struct moe_tensor t;
	struct key *k;
	char path[PATH_LEN];
	int64_t offset;

	if (!moe_tensor_chunk(r, &t, &offset) || !moe_rec_str(r, "name", &name) ||
		!moe_rec_bin(r, "data", &data))
		return 0;
	moe_text_escape_to(path, 100, name.p, name.n);
	if (key_of(s, "tensor", path, &k, e))
		return -1;
	if (!k)
		return 0;
	if (offset == 0) {
		k->seen++;
		k->tensors++;
		memcpy(k->dtype, t.dtype, sizeof(k->dtype));
		shape_text(&t, k->shape, sizeof(k->shape));
	}
	t.data = data.p;
	t.bytes = data.n;
	add_elements(&k->element, &t);
	return 0;
}

int moe_summary_add(struct moe_summary *s, const struct moe_rec *r, struct moe_err *e)
{
	struct moe_str t = moe_rec_type(r);
	char type[32], path[PATH_LEN];
	int64_t at;

	moe_text_escape_to(type, sizeof(type), t.p, t.n);
	at = moe_names_find(&s->types, type);
	if (at < 0 && s->types.n == TYPES_MAX) {
		s->types_full = true;
		return 0;
	}
	if (at < 0 && (at = moe_names_add(&s->types, &s->arena, type, strlen(type), e)) < 0)
		return -1;
	if (at >= TYPES_SHOWN)
		return 0;
	s->type_n[at]++;
	if (!strcmp(type, "tensor"))
		return add_chunk(s, r, e);
	for (size_t i = 0; i < r->n_field; i++) {
		moe_text_escape_to(path, 100, r->field[i].key.p, r->field[i].key.n);
		if (strcmp(path, "t") != 0 && add_value(s, type, path, r, &r->field[i], 0, e))
			return -1;
	}
	return 0;
}

/* ---- printing ---- */

static int print_range(
	const struct range *g, const char *what, struct moe_buf *out, struct moe_err *e)
{
	if (g->n &&
		moe_buf_addf(out, e, "  %s%s%.6g / %.6g / %.6g", what, *what ? " " : "", g->min,
			g->sum / (double)g->n, g->max))
		return -1;
	return g->nan ? moe_buf_addf(out, e, "  NaN %" PRIu64, g->nan) : 0;
}

static int print_texts(const struct key *k, struct moe_buf *out, struct moe_err *e)
{
	if (k->many || k->n_text > 8 || (k->wide && k->n_text > 1))
		return print_range(&k->length, "length", out, e);
	for (size_t i = 0; i < k->n_text; i++)
		if (moe_buf_addf(out, e, i ? ", \"" : "  \"") ||
			moe_text_escape(out, k->text[i].s, k->text[i].n, false, e) ||
			moe_buf_addf(out, e, "\" %" PRIu64, k->text[i].seen))
			return -1;
	return 0;
}

static int print_key(const struct key *k, uint64_t records, struct moe_buf *out, struct moe_err *e)
{
	static const char *const names[] = { "nil", "bool", "int", "int", "float", "str", "bin",
		"array", "map" };
	char kinds[96] = "", missing[48] = "", path[PATH_LEN];
	bool tensor_record = !strcmp(k->type, "tensor");

	if (k->tensors)
		snprintf(
			kinds, sizeof(kinds), "%s%s", k->dtype, k->shapes_differ ? "[]" : k->shape);
	for (size_t i = 0; i < 9; i++)
		if (k->kinds[i] && !strstr(kinds, names[i]))
			snprintf(kinds + strlen(kinds), sizeof(kinds) - strlen(kinds), "%s%s",
				*kinds ? "|" : "", names[i]);
	if (!tensor_record && k->seen < records)
		snprintf(missing, sizeof(missing), "  in %" PRIu64, k->seen);
	if (moe_buf_addf(out, e, "    %s %-12s",
		    moe_text_fit(path, sizeof(path), k->path, 22, SIZE_MAX), kinds) ||
		moe_buf_addf(out, e, "%s", missing))
		return -1;
	if (k->tensors && k->shapes_differ && print_range(&k->length, "elements", out, e))
		return -1;
	if (k->tensors && print_range(&k->element, "", out, e))
		return -1;
	if (print_range(&k->number, "", out, e))
		return -1;
	if (k->kinds[MOE_MP_STR] && print_texts(k, out, e))
		return -1;
	if ((k->kinds[MOE_MP_BIN] || k->kinds[MOE_MP_ARRAY]) &&
		print_range(&k->length, "length", out, e))
		return -1;
	return moe_buf_add(out, "\n", 1, e);
}

int moe_summary_print(const struct moe_summary *s, struct moe_buf *out, struct moe_err *e)
{
	for (size_t i = 0; i < s->types.n && i < TYPES_SHOWN; i++) {
		if (moe_buf_addf(out, e, "  %s  %" PRIu64 "%s\n", s->types.v[i], s->type_n[i],
			    i ? "" : "      (numbers: min / mean / max)"))
			return -1;
		for (size_t k = 0; k < s->n_key; k++)
			if (!strcmp(s->key[k].type, s->types.v[i]) &&
				print_key(&s->key[k], s->type_n[i], out, e))
				return -1;
	}
	if (s->types.n > TYPES_SHOWN &&
		moe_buf_addf(out, e, "  ... and %s%zu more types\n",
			s->types_full ? "at least " : "", s->types.n - TYPES_SHOWN))
		return -1;
	return s->left_out
		? moe_buf_addf(out, e, "  (%" PRIu64 " values under further keys are left out)\n",
			  s->left_out)
		: 0;
}

/* ---- one record ---- */

static int show_text(const struct moe_mp_tok *t, struct moe_buf *out, struct moe_err *e)
{
	size_t n = t->n < 400 ? t->n : 400;

	/* not in the middle of a character */
	while (n < t->n && n > 396 && (t->p[n] & 0xc0) == 0x80)
		n--;
	if (moe_buf_add(out, "\"", 1, e) || moe_text_escape(out, (const char *)t->p, n, false, e))
		return -1;
	return n < t->n ? moe_buf_addf(out, e, "\" ... %zu bytes", t->n)
			: moe_buf_add(out, "\"", 1, e);
}

static int show(const uint8_t *p, size_t n, int depth, struct moe_buf *out, struct moe_err *e);

static int show_members(const uint8_t *p, size_t n, const struct moe_mp_tok *c, int depth,
	struct moe_buf *out, struct moe_err *e)
{
	bool map = c->kind == MOE_MP_MAP;
	size_t at = c->size, size = 0, max = map ? 40 : 8;

	if (moe_buf_add(out, map ? "{" : "[", 1, e))
		return -1;
	for (size_t i = 0; i < c->n && i < max; i++, at += size) {
		struct moe_mp_tok k;

		if (i && moe_buf_add(out, ", ", 2, e))
			return -1;
		if (map) {
			if (moe_mp_token(p + at, n - at, &k, e) != 1 ||
				moe_text_escape(out, (const char *)k.p, k.n, false, e) ||
				moe_buf_add(out, ": ", 2, e))
				return -1;
			at += k.size;
		}
		if (moe_mp_size(p + at, n - at, &size, e) || show(p + at, size, depth + 1, out, e))
			return -1;
	}
	if (c->n > max && moe_buf_addf(out, e, ", ... %zu in all", c->n))
		return -1;
	return moe_buf_add(out, map ? "}" : "]", 1, e);
}

static int show(const uint8_t *p, size_t n, int depth, struct moe_buf *out, struct moe_err *e)
{
	struct moe_mp_tok t;

	if (moe_mp_token(p, n, &t, e) != 1)
		return -1;
	switch (t.kind) {
	case MOE_MP_NIL:
		return moe_buf_addf(out, e, "nil");
	case MOE_MP_BOOL:
		return moe_buf_addf(out, e, "%s", t.b ? "true" : "false");
	case MOE_MP_INT:
		return moe_buf_addf(out, e, "%" PRId64, t.i);
	case MOE_MP_UINT:
		return moe_buf_addf(out, e, "%" PRIu64, t.u);
	case MOE_MP_FLOAT:
		return moe_buf_addf(out, e, "%.9g", t.f);
	case MOE_MP_STR:
		return show_text(&t, out, e);
	case MOE_MP_BIN:
		return moe_buf_addf(out, e, "<%zu bytes>", t.n);
	default:
		return show_members(p, n, &t, depth, out, e);
	}
}

static int show_tensor(const struct moe_tensor *t, struct moe_buf *out, struct moe_err *e)
{
	size_t each = moe_dtype_bytes(t->dtype), n = each ? t->bytes / each : 0;
	char shape[64];

	shape_text(t, shape, sizeof(shape));
	if (moe_buf_addf(out, e, "%s%s", t->dtype, shape))
		return -1;
	for (size_t i = 0; i < n && i < 8; i++)
		if (moe_buf_addf(out, e, " %.6g", moe_tensor_value(t, i)))
			return -1;
	return n > 8 ? moe_buf_addf(out, e, " ...") : 0;
}

int moe_summary_record(const struct moe_rec *r, struct moe_buf *out, struct moe_err *e)
{
	struct moe_str t = moe_rec_type(r);

	if (moe_buf_addf(out, e, "%" PRIu64 ": ", r->number) ||
		moe_text_escape(out, t.p, t.n, false, e) || moe_buf_add(out, "\n", 1, e))
		return -1;
	for (size_t i = 0; i < r->n_field; i++) {
		const struct moe_rec_field *f = &r->field[i];
		struct moe_tensor tensor;
		char key[256], column[256];
		int rc;

		moe_text_escape_to(key, sizeof(key), f->key.p, f->key.n);
		if (!strcmp(key, "t"))
			continue;
		if (moe_buf_addf(out, e, "  %s ",
			    moe_text_fit(column, sizeof(column), key, 15, SIZE_MAX)))
			return -1;
		if (moe_tensor_parse(r->bytes.data + f->off, f->len, &tensor))
			rc = show_tensor(&tensor, out, e);
		else
			rc = show(r->bytes.data + f->off, f->len, 0, out, e);
		if (rc || moe_buf_add(out, "\n", 1, e))
			return -1;
	}
	return 0;
}
