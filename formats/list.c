/* list.c - reads and writes msgpack arrays under a key of a record, byte by byte; not a general msgpack reader (that is rec.c). */
#include "formats/list.h"

#include <string.h>

#define DEPTH_MAX 16

/* A bounded view of bytes. */
struct span {
	const uint8_t *p;
	size_t n;
};

static bool be(const struct span *s, size_t at, size_t width, uint64_t *v)
{
	if (width > s->n || at > s->n - width)
		return false;
	*v = 0;
	for (size_t i = 0; i < width; i++)
		*v = *v << 8 | s->p[at + i];
	return true;
}

/* Header of the value at s: bytes of header + payload in *len, nested values in *children. */
static bool head(const struct span *s, size_t *len, uint64_t *children)
{
	static const uint8_t fixed[32] = { /* 0xc0..0xdf: header and payload of fixed-size types; 0 = see below */
		1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9, 3, 4, 6, 10, 18 };
	uint8_t c = s->n ? s->p[0] : 0xc1;
	uint64_t v = 0;
	size_t w;

	*children = 0;
	*len = 1;
	if (s->n == 0)
		return false;
	if (c <= 0x7f || c >= 0xe0)
		return true;
	if (c < 0xa0) {
		*children = c < 0x90 ? 2 * (uint64_t)(c & 15) : (uint64_t)(c & 15);
		return true;
	}
	if (c < 0xc0) {
		*len = 1 + (size_t)(c & 31);
		return *len <= s->n;
	}
	if (fixed[c - 0xc0]) {
		*len = fixed[c - 0xc0];
		return *len <= s->n;
	}
	if (c == 0xc1)
		return false;
	if (c >= 0xdc) { /* array and map, 16 and 32 bits */
		w = c & 1 ? 4 : 2;
		*len = 1 + w;
		if (!be(s, 1, w, &v))
			return false;
		*children = c >= 0xde ? 2 * v : v;
		return true;
	}
	w = c >= 0xd9 ? (size_t)1 << (c - 0xd9) : (size_t)1 << ((c - 0xc4) % 3); /* str, bin, ext */
	if (!be(s, 1, w, &v) || v > s->n)
		return false;
	*len = 1 + w + (size_t)v + (c >= 0xc7 && c <= 0xc9);
	return *len <= s->n;
}

/* Length of the whole value at s, 0 when it is cut short or nested too deep. */
static size_t value_len(struct span s, int depth)
{
	uint64_t children;
	size_t len, used;

	if (depth > DEPTH_MAX || !head(&s, &len, &children))
		return 0;
	used = len;
	for (uint64_t i = 0; i < children; i++) {
		size_t k = value_len((struct span){ s.p + used, s.n - used }, depth + 1);

		if (k == 0)
			return 0;
		used += k;
	}
	return used;
}

/* The elements of the array under key: their number, and the bytes after the array's header. */
static bool open_array(const struct moe_rec *r, const char *key, struct span *s, uint64_t *n)
{
	struct moe_str raw;
	size_t len;
	uint8_t c;

	if (!moe_rec_raw(r, key, &raw) || raw.n == 0)
		return false;
	*s = (struct span){ (const uint8_t *)raw.p, raw.n };
	c = s->p[0];
	if (!((c >= 0x90 && c < 0xa0) || c == 0xdc || c == 0xdd) || !head(s, &len, n))
		return false;
	s->p += len;
	s->n -= len;
	return true;
}

static bool take_u64(struct span *s, uint64_t *v)
{
	uint8_t c = s->n ? s->p[0] : 0xc0;
	size_t w = c >= 0xcc && c <= 0xcf ? (size_t)1 << (c - 0xcc) : 0;

	if (c <= 0x7f)
		*v = c;
	else if (w == 0 || !be(s, 1, w, v))
		return false;
	s->p += 1 + w;
	s->n -= 1 + w;
	return true;
}

int moe_rec_u64s(const struct moe_rec *r, const char *key, uint64_t *out, size_t max, size_t *n, struct moe_err *e)
{
	struct span s;
	uint64_t count;

	if (!open_array(r, key, &s, &count))
		return moe_fail(e, MOE_DATA, "record %llu: key '%s' must be an array of integers", (unsigned long long)r->number, key);
	if (count > max)
		return moe_fail(e, MOE_DATA, "record %llu: key '%s' has %llu elements, at most %zu are allowed",
			(unsigned long long)r->number, key, (unsigned long long)count, max);
	for (size_t i = 0; i < count; i++)
		if (!take_u64(&s, &out[i]))
			return moe_fail(e, MOE_DATA, "record %llu: element %zu of '%s' is not a non-negative integer",
				(unsigned long long)r->number, i, key);
	*n = (size_t)count;
	return 0;
}

static int put_array(struct moe_buf *b, size_t n, struct moe_err *e)
{
	uint8_t h[5] = { 0xdd, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
	uint8_t h16[3] = { 0xdc, (uint8_t)(n >> 8), (uint8_t)n }, h4 = (uint8_t)(0x90 | (n & 15));

	if (n > UINT32_MAX)
		return moe_fail(e, MOE_DATA, "an array of %zu elements is too long for a record", n);
	if (n < 16)
		return moe_buf_add(b, &h4, 1, e);
	return n < 65536 ? moe_buf_add(b, h16, 3, e) : moe_buf_add(b, h, 5, e);
}

static int put_u64(struct moe_buf *b, uint64_t v, struct moe_err *e)
{
	int shift = v < 256 ? 0 : v < 65536 ? 1 : v <= UINT32_MAX ? 2 : 3;
	int w = 1 << shift;
	uint8_t t[9] = { (uint8_t)(0xcc + shift) };

	if (v < 128)
		return moe_buf_add(b, &(uint8_t){ (uint8_t)v }, 1, e);
	for (int i = 0; i < w; i++)
		t[1 + i] = (uint8_t)(v >> (8 * (w - 1 - i)));
	return moe_buf_add(b, t, (size_t)w + 1, e);
}

int moe_rec_set_u64s(struct moe_rec *r, const char *key, const uint64_t *v, size_t n, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = put_array(&b, n, e);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = put_u64(&b, v[i], e);
	if (rc == 0)
		rc = moe_rec_set_raw(r, key, b.data, b.len, e);
	moe_buf_free(&b);
	return rc;
}

/* A float of 32 or 64 bits, or a non-negative or small negative integer. */
static bool take_f64(struct span *s, double *v)
{
	uint8_t c = s->n ? s->p[0] : 0xc0;
	uint64_t bits;
	uint32_t half;
	float f;

	if (c == 0xcb && be(s, 1, 8, &bits)) {
		memcpy(v, &bits, sizeof(*v));
	} else if (c == 0xca && be(s, 1, 4, &bits)) {
		half = (uint32_t)bits;
		memcpy(&f, &half, sizeof(f));
		*v = (double)f;
	} else {
		if (c >= 0xe0)
			*v = (double)(int8_t)c;
		else if (take_u64(s, &bits)) {
			*v = (double)bits;
			return true;
		} else
			return false;
	}
	s->p += c == 0xcb ? 9 : c == 0xca ? 5 : 1;
	s->n -= c == 0xcb ? 9 : c == 0xca ? 5 : 1;
	return true;
}

int moe_rec_f64s(const struct moe_rec *r, const char *key, double *out, size_t max, size_t *n, struct moe_err *e)
{
	struct span s;
	uint64_t count;

	if (!open_array(r, key, &s, &count))
		return moe_fail(e, MOE_DATA, "record %llu: key '%s' must be an array of numbers", (unsigned long long)r->number, key);
	if (count > max)
		return moe_fail(e, MOE_DATA, "record %llu: key '%s' has %llu elements, at most %zu are allowed",
			(unsigned long long)r->number, key, (unsigned long long)count, max);
	for (size_t i = 0; i < count; i++)
		if (!take_f64(&s, &out[i]))
			return moe_fail(e, MOE_DATA, "record %llu: element %zu of '%s' is not a number", (unsigned long long)r->number, i, key);
	*n = (size_t)count;
	return 0;
}

int moe_rec_set_f64s(struct moe_rec *r, const char *key, const double *v, size_t n, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = put_array(&b, n, e);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		uint8_t t[9] = { 0xcb };
		uint64_t bits;

		memcpy(&bits, &v[i], sizeof(bits));
		for (int k = 0; k < 8; k++)
			t[1 + k] = (uint8_t)(bits >> (8 * (7 - k)));
		rc = moe_buf_add(&b, t, sizeof(t), e);
	}
	if (rc == 0)
		rc = moe_rec_set_raw(r, key, b.data, b.len, e);
	moe_buf_free(&b);
	return rc;
}

int moe_rec_list_map(const struct moe_rec *r, const char *key, size_t i, struct moe_rec *out, struct moe_err *e)
{
	struct span s;
	uint64_t count;
	size_t len;

	if (!open_array(r, key, &s, &count))
		return moe_fail(e, MOE_DATA, "record %llu: key '%s' must be an array of maps", (unsigned long long)r->number, key);
	if (i >= count)
		return 0;
	for (size_t k = 0; k < i; k++) {
		len = value_len(s, 0);
		if (len == 0)
			return moe_fail(e, MOE_DATA, "record %llu: key '%s' is cut short", (unsigned long long)r->number, key);
		s.p += len;
		s.n -= len;
	}
	len = value_len(s, 0);
	if (len == 0)
		return moe_fail(e, MOE_DATA, "record %llu: key '%s' is cut short", (unsigned long long)r->number, key);
	return moe_rec_parse(out, s.p, len, e) ? -1 : 1;
}

int moe_rec_set_maps(struct moe_rec *r, const char *key, const struct moe_rec *v, size_t n, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = put_array(&b, n, e);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = moe_rec_emit(&v[i], &b, e);
	if (rc == 0)
		rc = moe_rec_set_raw(r, key, b.data, b.len, e);
	moe_buf_free(&b);
	return rc;
}
