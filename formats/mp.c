/* mp.c - bounded reading of MessagePack tokens, and writing them through msgpack-c. Not a general
 * MessagePack library: extension types and deep nesting are refused, because streams do not have
 * them. */
#include "formats/mp.h"
#include "util/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

/* ---- reading ---- */

static uint64_t big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static size_t uint_size(uint64_t v)
{
	return v < 0x80 ? 1 : v <= UINT8_MAX ? 2 : v <= UINT16_MAX ? 3 : v <= UINT32_MAX ? 5 : 9;
}

static size_t int_size(int64_t v)
{
	if (v >= 0)
		return uint_size((uint64_t)v);
	return v >= -32 ? 1 : v >= INT8_MIN ? 2 : v >= INT16_MIN ? 3 : v >= INT32_MIN ? 5 : 9;
}

static int take_int(uint8_t c, const uint8_t *p, struct moe_mp_tok *t)
{
	size_t width = (size_t)1 << (c & 3);
	uint64_t v = big_endian(p + 1, width);

	t->kind = MOE_MP_INT;
	if (c >= 0xd0) {
		unsigned unused = 64 - 8 * (unsigned)width;

		t->i = (int64_t)(v << unused) >> unused; /* sign extension */
		t->canonical = t->i < 0 && int_size(t->i) == 1 + width;
		return 1;
	}
	t->canonical = uint_size(v) == 1 + width;
	if (v > INT64_MAX) {
		t->kind = MOE_MP_UINT;
		t->u = v;
	} else {
		t->i = (int64_t)v;
	}
	return 1;
}

static int take_float(uint8_t c, const uint8_t *p, struct moe_mp_tok *t)
{
	t->kind = MOE_MP_FLOAT;
	if (c == 0xca) {
		uint32_t bits = (uint32_t)big_endian(p + 1, 4);
		float f;

		memcpy(&f, &bits, 4);
		t->f = (double)f;
		t->canonical = false;
	} else {
		uint64_t bits = big_endian(p + 1, 8);

		memcpy(&t->f, &bits, 8);
		t->canonical = !isnan(t->f) || bits == 0x7ff8000000000000ULL;
	}
	return 1;
}

/* str, bin, array, map with a length of `width` bytes (0: in the first byte). */
static int take_sized(const uint8_t *p, size_t n, enum moe_mp_kind kind, size_t width,
	size_t inline_n, struct moe_mp_tok *t)
{
	uint64_t v = inline_n;
	bool bytes = kind == MOE_MP_STR || kind == MOE_MP_BIN;

	t->kind = kind;
	t->size = 1 + width;
	if (n < t->size)
		return 0;
	if (width) {
		v = big_endian(p + 1, width);
		if (kind == MOE_MP_STR && width == 1)
			t->canonical = v >= 32;
		else if (width == 1)
			t->canonical = true;
		else if (width == 2)
			t->canonical = v >= (bytes ? 256U : 16U);
		else
			t->canonical = v > UINT16_MAX;
	}
	t->n = (size_t)v;
	if (!bytes)
		return 1;
	t->p = p + t->size;
	t->size += t->n;
	return n < t->size ? 0 : 1;
}

static int take_wide(const uint8_t *p, size_t n, struct moe_mp_tok *t, struct moe_err *e)
{
	uint8_t c = *p;

	switch (c) {
	case 0xc0:
		t->kind = MOE_MP_NIL;
		return 1;
	case 0xc2:
	case 0xc3:
		t->kind = MOE_MP_BOOL;
		t->b = c & 1;
		return 1;
	case 0xc4:
	case 0xc5:
	case 0xc6:
		return take_sized(p, n, MOE_MP_BIN, (size_t)1 << (c - 0xc4), 0, t);
	case 0xd9:
	case 0xda:
	case 0xdb:
		return take_sized(p, n, MOE_MP_STR, (size_t)1 << (c - 0xd9), 0, t);
	case 0xdc:
	case 0xdd:
		return take_sized(p, n, MOE_MP_ARRAY, (size_t)2 << (c - 0xdc), 0, t);
	case 0xde:
	case 0xdf:
		return take_sized(p, n, MOE_MP_MAP, (size_t)2 << (c - 0xde), 0, t);
	case 0xca:
	case 0xcb:
		t->size = c == 0xca ? 5 : 9;
		return n < t->size ? 0 : take_float(c, p, t);
	default:
		break;
	}
	if (c >= 0xcc && c <= 0xd3) {
		t->size = 1 + ((size_t)1 << (c & 3));
		return n < t->size ? 0 : take_int(c, p, t);
	}
	if (c == 0xc1)
		return moe_fail(e, MOE_DATA, "byte 0xc1, which MessagePack never uses");
	return moe_fail(
		e, MOE_DATA, "a MessagePack extension type (0x%02x), which streams do not have", c);
}

int moe_mp_token(const uint8_t *p, size_t n, struct moe_mp_tok *t, struct moe_err *e)
{
	uint8_t c;

	memset(t, 0, sizeof(*t));
	t->size = 1;
	t->canonical = true;
	if (!n)
		return 0;
	c = *p;
	if (c < 0x80 || c >= 0xe0) {
		t->kind = MOE_MP_INT;
		t->i = (int8_t)c;
		return 1;
	}
	if (c < 0x90)
		return take_sized(p, n, MOE_MP_MAP, 0, c & 15U, t);
	if (c < 0xa0)
		return take_sized(p, n, MOE_MP_ARRAY, 0, c & 15U, t);
	if (c < 0xc0)
		return take_sized(p, n, MOE_MP_STR, 0, c & 31U, t);
	return take_wide(p, n, t, e);
}

int moe_mp_scan(struct moe_mp_scan *s, const uint8_t *p, size_t n, struct moe_err *e)
{
	if (!s->begun) {
		s->begun = true;
		s->left[0] = 1;
	}
	for (;;) {
		struct moe_mp_tok t;
		int rc;

		while (s->left[s->depth] == 0) {
			if (s->depth == 0)
				return 1;
			s->depth--;
		}
		rc = moe_mp_token(p + s->pos, n - s->pos, &t, e);
		if (rc < 0)
			return -1;
		if (rc == 0) {
			s->need = s->pos + t.size;
			return 0;
		}
		s->left[s->depth]--;
		s->pos += t.size;
		s->in_maps += s->map[s->depth];
		if (t.kind == MOE_MP_ARRAY || t.kind == MOE_MP_MAP) {
			if (s->depth == MOE_MP_DEPTH)
				return moe_fail(e, MOE_DATA, "values nested deeper than %d levels",
					MOE_MP_DEPTH);
			s->left[++s->depth] = (uint64_t)t.n * (t.kind == MOE_MP_MAP ? 2 : 1);
			s->map[s->depth] = t.kind == MOE_MP_MAP;
		}
	}
}

int moe_mp_size(const uint8_t *p, size_t n, size_t *size, struct moe_err *e)
{
	struct moe_mp_scan s = { 0 };
	int rc = moe_mp_scan(&s, p, n, e);

	if (rc < 0)
		return -1;
	if (rc == 0)
		return moe_fail(e, MOE_DATA, "a MessagePack value is cut off after %zu bytes", n);
	*size = s.pos;
	return 0;
}

/* ---- maps: keys checked, and sorted when they are not ---- */

struct entry {
	const uint8_t *key; /* the key's token */
	struct moe_mp_tok k;
	const uint8_t *value;
	size_t n;
	bool first;
};

static int by_key(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	size_t n = a->k.n < b->k.n ? a->k.n : b->k.n;
	int c;

	if (a->first != b->first)
		return a->first ? -1 : 1;
	c = n ? memcmp(a->k.p, b->k.p, n) : 0;
	return c ? c : (a->k.n > b->k.n) - (a->k.n < b->k.n);
}

static int check_key(const struct moe_mp_tok *k, struct moe_err *e)
{
	if (k->kind != MOE_MP_STR)
		return moe_fail(e, MOE_DATA, "a map key that is not a string");
	if (!moe_utf8_valid((const char *)k->p, k->n) || memchr(k->p, 0, k->n))
		return moe_fail(e, MOE_DATA, "a map key that is not UTF-8 text");
	return 0;
}

/* The entries of the map whose head is *m at p[n], in file order; *sorted says whether the keys
 * ascend strictly. */
static struct entry *entries(const uint8_t *p, size_t n, const struct moe_mp_tok *m, bool t_first,
	bool *sorted, struct moe_err *e)
{
	/* an entry takes two bytes at least: what is announced beyond that can not be there */
	struct entry *v = NULL;
	size_t at = m->size;

	if (m->n > n / 2) {
		moe_fail(e, MOE_DATA, "a map of %zu entries in %zu bytes", m->n, n);
		return NULL;
	}
	v = malloc((m->n ? m->n : 1) * sizeof(*v));
	if (!v) {
		moe_fail(e, MOE_SYSTEM, "out of memory for a map of %zu entries", m->n);
		return NULL;
	}
	*sorted = true;
	for (size_t i = 0; i < m->n; i++) {
		struct entry *x = &v[i];

		*x = (struct entry){ .key = p + at };
		if (moe_mp_token(x->key, n - at, &x->k, e) <= 0) {
			moe_fail(e, MOE_DATA, "a map is cut off after %zu bytes", n);
			goto bad;
		}
		if (check_key(&x->k, e))
			goto bad;
		at += x->k.size;
		x->value = p + at;
		if (moe_mp_size(x->value, n - at, &x->n, e))
			goto bad;
		at += x->n;
		x->first = t_first && x->k.p && x->k.n == 1 && *x->k.p == 't';
		if (i && by_key(v + i - 1, x) >= 0)
			*sorted = false;
	}
	return v;
bad:
	free(v);
	return NULL;
}

static int check_map(
	const uint8_t *p, size_t n, const struct moe_mp_tok *m, int depth, struct moe_err *e)
{
	bool sorted;
	struct entry *v = entries(p, n, m, false, &sorted, e);
	int rc = 0;

	if (!v)
		return -1;
	for (size_t i = 0; !rc && i < m->n; i++)
		rc = moe_mp_check(v[i].value, v[i].n, depth + 1, e);
	if (!rc && !sorted) {
		qsort(v, m->n, sizeof(*v), by_key);
		for (size_t i = 1; !rc && i < m->n; i++)
			if (by_key(v + i - 1, v + i) == 0) {
				char name[64];

				moe_text_escape_to(
					name, sizeof(name), (const char *)v[i].k.p, v[i].k.n);
				rc = moe_fail(e, MOE_DATA, "map key \"%s\" appears twice", name);
			}
	}
	free(v);
	return rc;
}

int moe_mp_check(const uint8_t *p, size_t n, int depth, struct moe_err *e)
{
	struct moe_mp_tok t;
	int rc = moe_mp_token(p, n, &t, e);

	if (rc < 0)
		return -1;
	if (rc == 0)
		return moe_fail(e, MOE_DATA, "a MessagePack value is cut off after %zu bytes", n);
	if (t.kind != MOE_MP_ARRAY && t.kind != MOE_MP_MAP)
		return t.size == n
			? 0
			: moe_fail(e, MOE_DATA, "%zu bytes follow a MessagePack value", n - t.size);
	if (depth >= MOE_MP_DEPTH)
		return moe_fail(e, MOE_DATA, "values nested deeper than %d levels", MOE_MP_DEPTH);
	if (depth == 0) { /* inside, sizes are right by construction */
		size_t size = 0;

		if (moe_mp_size(p, n, &size, e))
			return -1;
		if (size != n)
			return moe_fail(
				e, MOE_DATA, "%zu bytes follow a MessagePack value", n - size);
	}
	if (t.kind == MOE_MP_MAP)
		return check_map(p, n, &t, depth, e);
	for (size_t i = 0, at = t.size, size = 0; i < t.n; i++, at += size)
		if (moe_mp_size(p + at, n - at, &size, e) ||
			moe_mp_check(p + at, size, depth + 1, e))
			return -1;
	return 0;
}

/* ---- canonical form ---- */

static int emit_scalar(
	const uint8_t *p, const struct moe_mp_tok *t, struct moe_buf *out, struct moe_err *e)
{
	if (t->canonical)
		return moe_buf_add(out, p, t->size, e);
	switch (t->kind) {
	case MOE_MP_INT:
		return moe_mp_int(out, t->i, e);
	case MOE_MP_UINT:
		return moe_mp_uint(out, t->u, e);
	case MOE_MP_FLOAT:
		return moe_mp_float(out, t->f, e);
	case MOE_MP_STR:
		return moe_mp_str(out, t->p, t->n, e);
	default:
		return moe_mp_bin(out, t->p, t->n, e);
	}
}

static int emit_map(const uint8_t *p, size_t n, const struct moe_mp_tok *m, bool t_first,
	struct moe_buf *out, struct moe_err *e)
{
	bool sorted;
	struct entry *v = entries(p, n, m, t_first, &sorted, e);
	int rc;

	if (!v)
		return -1;
	if (!sorted)
		qsort(v, m->n, sizeof(*v), by_key);
	rc = moe_mp_map(out, m->n, e);
	for (size_t i = 0; !rc && i < m->n; i++)
		rc = emit_scalar(v[i].key, &v[i].k, out, e) ||
				moe_mp_canonical(v[i].value, v[i].n, false, out, e)
			? -1
			: 0;
	free(v);
	return rc;
}

int moe_mp_canonical(
	const uint8_t *p, size_t n, bool t_first, struct moe_buf *out, struct moe_err *e)
{
	struct moe_mp_tok t;

	if (moe_mp_token(p, n, &t, e) <= 0)
		return moe_fail(e, MOE_DATA, "a MessagePack value is cut off after %zu bytes", n);
	if (t.kind == MOE_MP_MAP)
		return emit_map(p, n, &t, t_first, out, e);
	if (t.kind != MOE_MP_ARRAY)
		return emit_scalar(p, &t, out, e);
	if (moe_mp_array(out, t.n, e))
		return -1;
	for (size_t i = 0, at = t.size, size = 0; i < t.n; i++, at += size)
		if (moe_mp_size(p + at, n - at, &size, e) ||
			moe_mp_canonical(p + at, size, false, out, e))
			return -1;
	return 0;
}

/* ---- writing, through msgpack-c, which chooses the shortest heads ---- */

struct sink {
	struct moe_buf *b;
	struct moe_err *e;
};

static int sink_write(void *data, const char *p, size_t n)
{
	struct sink *s = data;

	return moe_buf_add(s->b, p, n, s->e);
}

#define PACK(call)                                                                                 \
	do {                                                                                       \
		struct sink s = { b, e };                                                          \
		msgpack_packer pk;                                                                 \
		msgpack_packer_init(&pk, &s, sink_write);                                          \
		return call ? -1 : 0;                                                              \
	} while (0)

int moe_mp_nil(struct moe_buf *b, struct moe_err *e)
{
	PACK(msgpack_pack_nil(&pk));
}

int moe_mp_bool(struct moe_buf *b, bool v, struct moe_err *e)
{
	PACK((v ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk)));
}

int moe_mp_int(struct moe_buf *b, int64_t v, struct moe_err *e)
{
	PACK(msgpack_pack_int64(&pk, v));
}

int moe_mp_uint(struct moe_buf *b, uint64_t v, struct moe_err *e)
{
	PACK(msgpack_pack_uint64(&pk, v));
}

int moe_mp_float(struct moe_buf *b, double v, struct moe_err *e)
{
	static const uint8_t nan_value[9] = { 0xcb, 0x7f, 0xf8 };

	if (isnan(v)) /* the sign and payload of a NaN depend on the processor: one of them stands
			 for all */
		return moe_buf_add(b, nan_value, sizeof(nan_value), e);
	PACK(msgpack_pack_double(&pk, v));
}

static int too_long(size_t n, struct moe_err *e)
{
	if (n <= UINT32_MAX)
		return 0;
	return moe_fail(
		e, MOE_DATA, "a value of %zu bytes or elements: MessagePack's limit is 2^32-1", n);
}

int moe_mp_str(struct moe_buf *b, const void *p, size_t n, struct moe_err *e)
{
	if (too_long(n, e))
		return -1;
	PACK((msgpack_pack_str(&pk, n) || msgpack_pack_str_body(&pk, p, n)));
}

int moe_mp_bin_head(struct moe_buf *b, size_t n, struct moe_err *e)
{
	if (too_long(n, e))
		return -1;
	PACK(msgpack_pack_bin(&pk, n));
}

int moe_mp_bin(struct moe_buf *b, const void *p, size_t n, struct moe_err *e)
{
	return moe_mp_bin_head(b, n, e) || moe_buf_add(b, p, n, e) ? -1 : 0;
}

int moe_mp_array(struct moe_buf *b, size_t n, struct moe_err *e)
{
	if (too_long(n, e))
		return -1;
	PACK(msgpack_pack_array(&pk, n));
}

int moe_mp_map(struct moe_buf *b, size_t n, struct moe_err *e)
{
	if (too_long(n, e))
		return -1;
	PACK(msgpack_pack_map(&pk, n));
}
