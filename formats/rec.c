/* rec.c - records as raw values found by key. No schema: what a kind's keys mean is the business of
 * its users. */
#include "formats/rec.h"
#include "formats/mp.h"
#include "util/mem.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void moe_rec_free(struct moe_rec *r)
{
	moe_buf_free(&r->bytes);
	free(r->field);
	memset(r, 0, sizeof(*r));
}

void moe_rec_clear(struct moe_rec *r)
{
	r->bytes.len = 0;
	r->n_field = 0;
	r->number = r->byte = 0;
}

/* Makes room and moves the keys, which point into bytes, along with it. */
static int reserve(struct moe_rec *r, size_t n, struct moe_err *e)
{
	const char *old = (const char *)r->bytes.data;

	if (moe_buf_reserve(&r->bytes, n, e))
		return -1;
	if (old && old != (const char *)r->bytes.data)
		for (size_t i = 0; i < r->n_field; i++)
			r->field[i].key.p = (const char *)r->bytes.data + (r->field[i].key.p - old);
	return 0;
}

static int add_field(struct moe_rec *r, struct moe_rec_field f, struct moe_err *e)
{
	if (r->n_field == r->cap_field) {
		size_t cap = r->cap_field ? 2 * r->cap_field : 16, bytes;
		struct moe_rec_field *p = NULL;

		if (moe_mul(cap, sizeof(*p), &bytes))
			p = realloc(r->field, bytes);
		if (!p)
			return moe_fail(
				e, MOE_SYSTEM, "out of memory for a record of %zu keys", cap);
		r->field = p;
		r->cap_field = cap;
	}
	r->field[r->n_field++] = f;
	return 0;
}

int moe_rec_copy(struct moe_rec *to, const struct moe_rec *from, struct moe_err *e)
{
	if (to == from)
		return 0;
	moe_rec_clear(to);
	if (moe_buf_add(&to->bytes, from->bytes.data, from->bytes.len, e))
		return -1;
	for (size_t i = 0; i < from->n_field; i++) {
		struct moe_rec_field f = from->field[i];

		f.key.p = (const char *)to->bytes.data + (f.key.p - (const char *)from->bytes.data);
		if (add_field(to, f, e))
			return -1;
	}
	to->number = from->number;
	to->byte = from->byte;
	return 0;
}

/* The fields of the checked map at bytes[at..at+n). */
static int find_fields(struct moe_rec *r, size_t at, size_t n, struct moe_err *e)
{
	size_t end = at + n;
	struct moe_mp_tok m, k;

	if (moe_mp_token(r->bytes.data + at, n, &m, e) != 1 || m.kind != MOE_MP_MAP)
		return moe_fail(e, MOE_DATA, "a record that is not a map");
	at += m.size;
	for (size_t i = 0; i < m.n; i++) {
		struct moe_rec_field f;

		if (moe_mp_token(r->bytes.data + at, end - at, &k, e) != 1)
			return -1;
		f.key.p = (const char *)k.p;
		f.key.n = k.n;
		f.off = at + k.size;
		if (moe_mp_size(r->bytes.data + f.off, end - f.off, &f.len, e) ||
			add_field(r, f, e))
			return -1;
		at = f.off + f.len;
	}
	return 0;
}

int moe_rec_parse(struct moe_rec *r, const void *p, size_t n, struct moe_err *e)
{
	moe_rec_clear(r);
	if (moe_mp_check(p, n, 0, e) || moe_buf_add(&r->bytes, p, n, e))
		return -1;
	return find_fields(r, 0, n, e);
}

int moe_rec_adopt(struct moe_rec *r, struct moe_buf *b, size_t at, size_t n, struct moe_err *e)
{
	struct moe_buf old = r->bytes;

	moe_rec_clear(r);
	if (moe_mp_check(b->data + at, n, 0, e))
		return -1;
	r->bytes = *b;
	r->bytes.len = at + n;
	old.len = 0;
	*b = old;
	return find_fields(r, at, n, e);
}

/* ---- emitting ---- */

static bool is_t(struct moe_str k)
{
	return k.n == 1 && k.p[0] == 't';
}

static int key_order(struct moe_str a, struct moe_str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c;

	if (is_t(a) != is_t(b))
		return is_t(a) ? -1 : 1;
	c = n ? memcmp(a.p, b.p, n) : 0;
	return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int field_order(const void *x, const void *y)
{
	const struct moe_rec_field *a = *(const struct moe_rec_field *const *)x,
				   *b = *(const struct moe_rec_field *const *)y;

	return key_order(a->key, b->key);
}

/* The fields in canonical order: `small` when they fit, else a block to be freed. */
static const struct moe_rec_field **ordered(const struct moe_rec *r,
	const struct moe_rec_field **small, size_t n_small, struct moe_err *e)
{
	const struct moe_rec_field **order = r->n_field > n_small
		? moe_alloc(r->n_field, sizeof(*order), e)
		: small;

	if (!order)
		return NULL;
	for (size_t i = 0; i < r->n_field; i++)
		order[i] = &r->field[i];
	if (r->n_field > 1)
		qsort(order, r->n_field, sizeof(*order), field_order);
	return order;
}

static int emit_field(const struct moe_rec *r, const struct moe_rec_field *f, struct moe_buf *out,
	struct moe_err *e)
{
	return moe_mp_str(out, f->key.p, f->key.n, e) ||
			moe_mp_canonical(r->bytes.data + f->off, f->len, false, out, e)
		? -1
		: 0;
}

int moe_rec_emit(const struct moe_rec *r, struct moe_buf *out, struct moe_err *e)
{
	const struct moe_rec_field *small[32], **order = ordered(r, small, 32, e);
	int rc;

	if (!order)
		return -1;
	rc = moe_mp_map(out, r->n_field, e);
	for (size_t i = 0; !rc && i < r->n_field; i++)
		rc = emit_field(r, order[i], out, e);
	if (order != small)
		free(order);
	return rc;
}

int moe_rec_emit_around(const struct moe_rec *r, const char *key, size_t n, struct moe_buf *before,
	struct moe_buf *after, struct moe_err *e)
{
	const struct moe_rec_field *small[32], **order = ordered(r, small, 32, e);
	struct moe_str k = { key, strlen(key) };
	size_t i = 0;
	int rc;

	if (!order)
		return -1;
	rc = moe_mp_map(before, r->n_field + 1, e);
	for (; !rc && i < r->n_field && key_order(order[i]->key, k) < 0; i++)
		rc = emit_field(r, order[i], before, e);
	rc = rc || moe_mp_str(before, key, k.n, e) || moe_mp_bin_head(before, n, e) ? -1 : 0;
	for (; !rc && i < r->n_field; i++)
		rc = emit_field(r, order[i], after, e);
	if (order != small)
		free(order);
	return rc;
}

/* ---- looking ---- */

static struct moe_rec_field *find(const struct moe_rec *r, const char *key)
{
	for (size_t i = 0; i < r->n_field; i++)
		if (moe_str_eq(r->field[i].key, key))
			return &r->field[i];
	return NULL;
}

static bool token_of(const struct moe_rec *r, const char *key, struct moe_mp_tok *t)
{
	const struct moe_rec_field *f = find(r, key);

	return f && moe_mp_token(r->bytes.data + f->off, f->len, t, NULL) == 1;
}

struct moe_str moe_rec_type(const struct moe_rec *r)
{
	struct moe_str s = { "", 0 };

	moe_rec_str(r, "t", &s);
	return s;
}

bool moe_rec_is(const struct moe_rec *r, const char *t)
{
	return moe_str_eq(moe_rec_type(r), t);
}

enum moe_rec_kind moe_rec_has(const struct moe_rec *r, const char *key)
{
	static const enum moe_rec_kind of[] = { [MOE_MP_NIL] = MOE_V_NIL,
		[MOE_MP_BOOL] = MOE_V_BOOL,
		[MOE_MP_INT] = MOE_V_INT,
		[MOE_MP_UINT] = MOE_V_INT,
		[MOE_MP_FLOAT] = MOE_V_FLOAT,
		[MOE_MP_STR] = MOE_V_STR,
		[MOE_MP_BIN] = MOE_V_BIN,
		[MOE_MP_ARRAY] = MOE_V_ARRAY,
		[MOE_MP_MAP] = MOE_V_MAP };
	struct moe_mp_tok t;

	return token_of(r, key, &t) ? of[t.kind] : MOE_V_MISSING;
}

static bool bytes_of(
	const struct moe_rec *r, const char *key, enum moe_mp_kind kind, struct moe_str *out)
{
	struct moe_mp_tok t;

	if (!token_of(r, key, &t) || t.kind != kind)
		return false;
	out->p = (const char *)t.p;
	out->n = t.n;
	return true;
}

bool moe_rec_str(const struct moe_rec *r, const char *key, struct moe_str *out)
{
	return bytes_of(r, key, MOE_MP_STR, out);
}

bool moe_rec_bin(const struct moe_rec *r, const char *key, struct moe_str *out)
{
	return bytes_of(r, key, MOE_MP_BIN, out);
}

bool moe_rec_int(const struct moe_rec *r, const char *key, int64_t *out)
{
	struct moe_mp_tok t;

	if (!token_of(r, key, &t) || t.kind != MOE_MP_INT)
		return false;
	*out = t.i;
	return true;
}

bool moe_rec_f64(const struct moe_rec *r, const char *key, double *out)
{
	struct moe_mp_tok t;

	if (!token_of(r, key, &t))
		return false;
	if (t.kind == MOE_MP_FLOAT)
		*out = t.f;
	else if (t.kind == MOE_MP_INT)
		*out = (double)t.i;
	else if (t.kind == MOE_MP_UINT)
		*out = (double)t.u;
	else
		return false;
	return true;
}

bool moe_rec_bool(const struct moe_rec *r, const char *key, bool *out)
{
	struct moe_mp_tok t;

	if (!token_of(r, key, &t) || t.kind != MOE_MP_BOOL)
		return false;
	*out = t.b;
	return true;
}

bool moe_rec_raw(const struct moe_rec *r, const char *key, struct moe_str *out)
{
	const struct moe_rec_field *f = find(r, key);

	if (!f)
		return false;
	out->p = (const char *)r->bytes.data + f->off;
	out->n = f->len;
	return true;
}

bool moe_rec_map(const struct moe_rec *r, const char *key, struct moe_rec *out)
{
	struct moe_str raw;

	if (moe_rec_has(r, key) != MOE_V_MAP || !moe_rec_raw(r, key, &raw))
		return false;
	return moe_rec_parse(out, raw.p, raw.n, NULL) == 0;
}

size_t moe_rec_array_len(const struct moe_rec *r, const char *key)
{
	struct moe_mp_tok t;

	return token_of(r, key, &t) && t.kind == MOE_MP_ARRAY ? t.n : 0;
}

/* "key is missing" or "key is not a TYPE", with the record's place in its stream when it has one.
 */
static int wrong(const struct moe_rec *r, const char *key, const char *type, struct moe_err *e)
{
	const char *what = moe_rec_has(r, key) == MOE_V_MISSING ? "is missing; expected" : "is not";

	if (!r->number)
		return moe_fail(e, MOE_DATA, "key \"%s\" %s %s", key, what, type);
	return moe_fail(e, MOE_DATA, "record %" PRIu64 " (byte %" PRIu64 "): key \"%s\" %s %s",
		r->number, r->byte, key, what, type);
}

int moe_rec_str_req(
	const struct moe_rec *r, const char *key, struct moe_str *out, struct moe_err *e)
{
	return moe_rec_str(r, key, out) ? 0 : wrong(r, key, "a string", e);
}

int moe_rec_int_req(const struct moe_rec *r, const char *key, int64_t *out, struct moe_err *e)
{
	return moe_rec_int(r, key, out) ? 0 : wrong(r, key, "an integer of 64 bits", e);
}

int moe_rec_f64_req(const struct moe_rec *r, const char *key, double *out, struct moe_err *e)
{
	return moe_rec_f64(r, key, out) ? 0 : wrong(r, key, "a number", e);
}

/* ---- tensors ---- */

size_t moe_dtype_bytes(const char *dtype)
{
	static const struct {
		const char *name;
		size_t bytes;
	} known[] = { { "F32", 4 }, { "I32", 4 }, { "BF16", 2 }, { "F16", 2 }, { "F64", 8 },
		{ "I64", 8 }, { "U8", 1 }, { "I8", 1 }, { "BOOL", 1 }, { "U16", 2 }, { "I16", 2 },
		{ "U32", 4 }, { "U64", 8 } };

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(dtype, known[i].name))
			return known[i].bytes;
	return 0;
}

/* The shape's array at p[n]; false when it does not fit the type and the bytes already in *out. */
static bool tensor_shape(const uint8_t *p, size_t n, struct moe_tensor *out)
{
	struct moe_mp_tok t;
	size_t at, count = 1, each = moe_dtype_bytes(out->dtype);

	if (!each || moe_mp_token(p, n, &t, NULL) != 1 || t.kind != MOE_MP_ARRAY ||
		t.n > MOE_TENSOR_RANK_MAX)
		return false;
	out->rank = (int)t.n;
	at = t.size;
	for (int i = 0; i < out->rank; i++) {
		if (moe_mp_token(p + at, n - at, &t, NULL) != 1 || t.kind != MOE_MP_INT || t.i < 0)
			return false;
		out->shape[i] = (uint64_t)t.i;
		at += t.size;
		if (!moe_mul(count, (size_t)t.i, &count))
			return false;
	}
	return moe_mul(count, each, &count) && count == out->bytes;
}

bool moe_tensor_parse(const void *value, size_t n, struct moe_tensor *out)
{
	const uint8_t *p = value, *shape = NULL;
	struct moe_mp_tok m, k, v;
	size_t at, size = 0, seen = 0;

	if (moe_mp_token(p, n, &m, NULL) != 1 || m.kind != MOE_MP_MAP)
		return false;
	memset(out, 0, sizeof(*out));
	at = m.size;
	for (size_t i = 0; i < m.n; i++, at += size) {
		struct moe_str name;

		if (moe_mp_token(p + at, n - at, &k, NULL) != 1)
			return false;
		at += k.size;
		if (moe_mp_size(p + at, n - at, &size, NULL) ||
			moe_mp_token(p + at, size, &v, NULL) != 1)
			return false;
		name = (struct moe_str){ (const char *)k.p, k.n };
		if (moe_str_eq(name, "dtype") && v.kind == MOE_MP_STR && v.n < sizeof(out->dtype)) {
			memcpy(out->dtype, v.p, v.n);
			seen |= 1;
		} else if (moe_str_eq(name, "data") && v.kind == MOE_MP_BIN) {
			out->data = v.p;
			out->bytes = v.n;
			seen |= 2;
		} else if (moe_str_eq(name, "shape")) {
			shape = p + at;
		}
	}
	return seen == 3 && shape && tensor_shape(shape, n - (size_t)(shape - p), out);
}

bool moe_rec_tensor(const struct moe_rec *r, const char *key, struct moe_tensor *out)
{
	struct moe_str raw;

	return moe_rec_raw(r, key, &raw) && moe_tensor_parse(raw.p, raw.n, out);
}

static int vector(const struct moe_rec *r, const char *key, const char *dtype, void **out,
	size_t *n, struct moe_err *e)
{
	struct moe_tensor t;
	char what[48] = "a 1-D tensor of ";

	strncat(what, dtype, sizeof(what) - strlen(what) - 1);
	if (!moe_rec_tensor(r, key, &t) || t.rank != 1 || strcmp(t.dtype, dtype) != 0)
		return wrong(r, key, what, e);
	*out = moe_alloc(t.bytes, 1, e);
	if (!*out)
		return -1;
	if (t.bytes)
		memcpy(*out, t.data, t.bytes);
	*n = (size_t)t.shape[0];
	return 0;
}

int moe_rec_i32s(
	const struct moe_rec *r, const char *key, int32_t **out, size_t *n, struct moe_err *e)
{
	void *p = NULL;

	if (vector(r, key, "I32", &p, n, e))
		return -1;
	*out = p;
	return 0;
}

int moe_rec_f32s(
	const struct moe_rec *r, const char *key, float **out, size_t *n, struct moe_err *e)
{
	void *p = NULL;

	if (vector(r, key, "F32", &p, n, e))
		return -1;
	*out = p;
	return 0;
}

char *moe_str_dup(struct moe_str s, struct moe_err *e)
{
	char *p;

	if (s.n && memchr(s.p, 0, s.n)) {
		moe_fail(e, MOE_DATA, "a text holds a NUL byte where none may be");
		return NULL;
	}
	p = moe_alloc(s.n + 1, 1, e);
	if (p && s.n)
		memcpy(p, s.p, s.n);
	return p;
}

bool moe_str_eq(struct moe_str s, const char *z)
{
	size_t n = strlen(z);

	return s.n == n && (n == 0 || memcmp(s.p, z, n) == 0);
}

/* ---- changing: the new value is appended after the old ones, then its field points there ---- */

/* Where the value under construction begins; room for `n` bytes beyond it. *p may point into r's
 * own bytes. */
static int value_begin(
	struct moe_rec *r, const void **p, size_t n, size_t *start, struct moe_err *e)
{
	const uint8_t *q = p ? *p : NULL;
	uintptr_t at = (uintptr_t)q, from = (uintptr_t)r->bytes.data;
	bool own = q && r->bytes.data && at >= from && at < from + r->bytes.len;

	if (n > SIZE_MAX - 1024)
		return moe_fail(e, MOE_SYSTEM, "out of memory: %zu bytes were asked for", n);
	if (reserve(r, n + 512, e))
		return -1;
	if (own)
		*p = r->bytes.data + (at - from);
	*start = r->bytes.len;
	return 0;
}

/* Drops dead bytes once they outweigh the live ones, so that a record set again and again stays
 * small. */
static int compact(struct moe_rec *r, struct moe_err *e)
{
	struct moe_buf fresh = { 0 };
	size_t live = 0;

	for (size_t i = 0; i < r->n_field; i++)
		live += r->field[i].len + r->field[i].key.n;
	if (r->bytes.len < 4096 || live * 4 > r->bytes.len)
		return 0;
	if (moe_buf_reserve(&fresh, live + 1, e))
		return -1;
	for (size_t i = 0; i < r->n_field; i++) {
		struct moe_rec_field *f = &r->field[i];
		size_t key = fresh.len;

		if (moe_buf_add(&fresh, f->key.p, f->key.n, e) ||
			moe_buf_add(&fresh, r->bytes.data + f->off, f->len, e))
			return -1; /* cannot happen: the room was reserved */
		f->key.p = (const char *)fresh.data + key;
		f->off = key + f->key.n;
	}
	moe_buf_free(&r->bytes);
	r->bytes = fresh;
	return 0;
}

static int value_end(struct moe_rec *r, const char *key, size_t start, struct moe_err *e)
{
	struct moe_rec_field f, *old = find(r, key);

	f.off = start;
	f.len = r->bytes.len - start;
	if (old && f.len <= old->len) { /* in place */
		memmove(r->bytes.data + old->off, r->bytes.data + start, f.len);
		old->len = f.len;
		r->bytes.len = start;
		return 0;
	}
	if (old) {
		old->off = f.off;
		old->len = f.len;
		return compact(r, e);
	}
	f.key.n = strlen(key);
	if (!moe_utf8_valid(key, f.key.n))
		return moe_fail(e, MOE_DATA, "a map key that is not UTF-8 text");
	if (reserve(r, f.key.n + 1, e))
		return -1;
	f.key.p = (const char *)r->bytes.data + r->bytes.len;
	memcpy(r->bytes.data + r->bytes.len, key, f.key.n);
	r->bytes.len += f.key.n;
	return add_field(r, f, e);
}

int moe_rec_set_nil(struct moe_rec *r, const char *key, struct moe_err *e)
{
	size_t at = 0;

	return value_begin(r, NULL, 0, &at, e) || moe_mp_nil(&r->bytes, e) ||
			value_end(r, key, at, e)
		? -1
		: 0;
}

int moe_rec_set_str(struct moe_rec *r, const char *key, const char *s, struct moe_err *e)
{
	return moe_rec_set_strn(r, key, s, strlen(s), e);
}

int moe_rec_set_strn(struct moe_rec *r, const char *key, const void *p, size_t n, struct moe_err *e)
{
	size_t at = 0;

	return value_begin(r, &p, n, &at, e) || moe_mp_str(&r->bytes, p, n, e) ||
			value_end(r, key, at, e)
		? -1
		: 0;
}

int moe_rec_set_bin(struct moe_rec *r, const char *key, const void *p, size_t n, struct moe_err *e)
{
	size_t at = 0;

	return value_begin(r, &p, n, &at, e) || moe_mp_bin(&r->bytes, p, n, e) ||
			value_end(r, key, at, e)
		? -1
		: 0;
}

int moe_rec_set_int(struct moe_rec *r, const char *key, int64_t v, struct moe_err *e)
{
	size_t at = 0;

	return value_begin(r, NULL, 0, &at, e) || moe_mp_int(&r->bytes, v, e) ||
			value_end(r, key, at, e)
		? -1
		: 0;
}

int moe_rec_set_f64(struct moe_rec *r, const char *key, double v, struct moe_err *e)
{
	size_t at = 0;

	return value_begin(r, NULL, 0, &at, e) || moe_mp_float(&r->bytes, v, e) ||
			value_end(r, key, at, e)
		? -1
		: 0;
}

int moe_rec_set_bool(struct moe_rec *r, const char *key, bool v, struct moe_err *e)
{
	size_t at = 0;

	return value_begin(r, NULL, 0, &at, e) || moe_mp_bool(&r->bytes, v, e) ||
			value_end(r, key, at, e)
		? -1
		: 0;
}

int moe_rec_set_map(struct moe_rec *r, const char *key, const struct moe_rec *v, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = moe_rec_emit(v, &b, e);

	/* inside a record "t" has no special place */
	if (!rc)
		rc = moe_rec_set_raw(r, key, b.data, b.len, e);
	moe_buf_free(&b);
	return rc;
}

int moe_rec_set_raw(struct moe_rec *r, const char *key, const void *p, size_t n, struct moe_err *e)
{
	size_t at = 0;

	if (moe_mp_check(p, n, 1, e))
		return moe_err_prefix(e, "key \"%s\"", key);
	return value_begin(r, &p, n, &at, e) || moe_buf_add(&r->bytes, p, n, e) ||
			value_end(r, key, at, e)
		? -1
		: 0;
}

int moe_rec_set_strs(
	struct moe_rec *r, const char *key, const struct moe_str *v, size_t n, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = moe_mp_array(&b, n, e);

	for (size_t i = 0; !rc && i < n; i++)
		rc = moe_mp_str(&b, v[i].p, v[i].n, e);
	if (!rc)
		rc = moe_rec_set_raw(r, key, b.data, b.len, e);
	moe_buf_free(&b);
	return rc;
}

static int tensor_head(struct moe_buf *b, const struct moe_tensor *t, struct moe_err *e)
{
	if (moe_mp_map(b, 3, e) || moe_mp_str(b, "data", 4, e) ||
		moe_mp_bin(b, t->data, t->bytes, e) || moe_mp_str(b, "dtype", 5, e) ||
		moe_mp_str(b, t->dtype, strlen(t->dtype), e) || moe_mp_str(b, "shape", 5, e) ||
		moe_mp_array(b, (size_t)t->rank, e))
		return -1;
	for (int i = 0; i < t->rank; i++)
		if (moe_mp_uint(b, t->shape[i], e))
			return -1;
	return 0;
}

int moe_rec_set_tensor(
	struct moe_rec *r, const char *key, const struct moe_tensor *t, struct moe_err *e)
{
	struct moe_tensor own = *t;
	size_t count = 1, at = 0;

	if (t->rank < 0 || t->rank > MOE_TENSOR_RANK_MAX || !moe_dtype_bytes(t->dtype))
		return moe_fail(e, MOE_DATA, "key \"%s\": a tensor of type \"%.7s\" and rank %d",
			key, t->dtype, t->rank);
	for (int i = 0; i < t->rank; i++)
		if (!moe_mul(count, (size_t)t->shape[i], &count))
			count = SIZE_MAX;
	if (!moe_mul(count, moe_dtype_bytes(t->dtype), &count) || count != t->bytes)
		return moe_fail(e, MOE_DATA,
			"key \"%s\": a tensor whose shape does not fit its %zu bytes", key,
			t->bytes);
	return value_begin(r, &own.data, t->bytes, &at, e) || tensor_head(&r->bytes, &own, e) ||
			value_end(r, key, at, e)
		? -1
		: 0;
}

static int set_vector(struct moe_rec *r, const char *key, const char *dtype, const void *p,
	size_t n, struct moe_err *e)
{
	struct moe_tensor t = { .rank = 1, .shape = { n }, .data = p, .bytes = n * 4 };

	memcpy(t.dtype, dtype, strlen(dtype) + 1);
	return moe_rec_set_tensor(r, key, &t, e);
}

int moe_rec_set_i32s(
	struct moe_rec *r, const char *key, const int32_t *v, size_t n, struct moe_err *e)
{
	return set_vector(r, key, "I32", v, n, e);
}

int moe_rec_set_f32s(
	struct moe_rec *r, const char *key, const float *v, size_t n, struct moe_err *e)
{
	return set_vector(r, key, "F32", v, n, e);
}

void moe_rec_unset(struct moe_rec *r, const char *key)
{
	struct moe_rec_field *f = find(r, key);

	if (!f)
		return;
	memmove(f, f + 1, (size_t)(r->field + r->n_field - f - 1) * sizeof(*f));
	r->n_field--;
}
