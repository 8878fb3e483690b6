/* list.c - reads and writes msgpack arrays under a key of a record. What a token is, mp.c knows. */
#include "formats/list.h"

#include <inttypes.h>

bool moe_list_open(const struct moe_rec *r, const char *key, struct moe_list *l)
{
	struct moe_mp_tok t;
	struct moe_str raw;

	*l = (struct moe_list){ 0 };
	if (!moe_rec_raw(r, key, &raw) ||
		moe_mp_token((const uint8_t *)raw.p, raw.n, &t, NULL) != 1 ||
		t.kind != MOE_MP_ARRAY)
		return false;
	*l = (struct moe_list){ (const uint8_t *)raw.p + t.size, raw.n - t.size, t.n };
	return true;
}

bool moe_list_next(struct moe_list *l, struct moe_mp_tok *t, struct moe_str *raw)
{
	size_t size = 0;

	if (!l->left || moe_mp_token(l->p, l->n, t, NULL) != 1 ||
		moe_mp_size(l->p, l->n, &size, NULL))
		return false;
	if (raw)
		*raw = (struct moe_str){ (const char *)l->p, size };
	l->p += size;
	l->n -= size;
	l->left--;
	return true;
}

bool moe_list_next_str(struct moe_list *l, struct moe_str *s)
{
	struct moe_mp_tok t;

	if (!moe_list_next(l, &t, NULL) || t.kind != MOE_MP_STR)
		return false;
	*s = (struct moe_str){ (const char *)t.p, t.n };
	return true;
}

int moe_list_next_map(struct moe_list *l, struct moe_rec *out, struct moe_err *e)
{
	struct moe_mp_tok t;
	struct moe_str raw;

	if (!moe_list_next(l, &t, &raw))
		return 0;
	return moe_rec_parse(out, raw.p, raw.n, e) ? -1 : 1;
}

/* ---- numbers ---- */

static bool take_u64(const struct moe_mp_tok *t, void *out)
{
	bool ok = (t->kind == MOE_MP_INT && t->i >= 0) || t->kind == MOE_MP_UINT;

	if (ok)
		*(uint64_t *)out = t->kind == MOE_MP_UINT ? t->u : (uint64_t)t->i;
	return ok;
}

static bool take_f64(const struct moe_mp_tok *t, void *out)
{
	bool ok = t->kind == MOE_MP_INT || t->kind == MOE_MP_UINT || t->kind == MOE_MP_FLOAT;

	if (ok)
		*(double *)out = t->kind == MOE_MP_UINT ? (double)t->u
			: t->kind == MOE_MP_INT         ? (double)t->i
							: t->f;
	return ok;
}

/* Elements of 8 bytes each. */
static int numbers(const struct moe_rec *r, const char *key, const char *what,
	bool (*take)(const struct moe_mp_tok *t, void *out), void *out, size_t max, size_t *n,
	struct moe_err *e)
{
	struct moe_mp_tok t;
	struct moe_list l;

	if (!moe_list_open(r, key, &l))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 ": key \"%s\" must be an array of %ss", r->number, key,
			what);
	if (l.left > max)
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 ": key \"%s\" has %zu elements, at most %zu are allowed",
			r->number, key, l.left, max);
	for (*n = 0; moe_list_next(&l, &t, NULL); ++*n)
		if (!take(&t, (char *)out + 8 * *n))
			return moe_fail(e, MOE_DATA,
				"record %" PRIu64 ": element %zu of \"%s\" is not a %s", r->number,
				*n, key, what);
	return 0;
}

int moe_rec_u64s(const struct moe_rec *r, const char *key, uint64_t *out, size_t max, size_t *n,
	struct moe_err *e)
{
	return numbers(r, key, "non-negative integer", take_u64, out, max, n, e);
}

int moe_rec_f64s(const struct moe_rec *r, const char *key, double *out, size_t max, size_t *n,
	struct moe_err *e)
{
	return numbers(r, key, "number", take_f64, out, max, n, e);
}

/* ---- writing ---- */

static int set(struct moe_rec *r, const char *key, struct moe_buf *b, int rc, struct moe_err *e)
{
	if (!rc)
		rc = moe_rec_set_raw(r, key, b->data, b->len, e);
	moe_buf_free(b);
	return rc ? -1 : 0;
}

int moe_rec_set_u64s(
	struct moe_rec *r, const char *key, const uint64_t *v, size_t n, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = moe_mp_array(&b, n, e);

	for (size_t i = 0; !rc && i < n; i++)
		rc = moe_mp_uint(&b, v[i], e);
	return set(r, key, &b, rc, e);
}

int moe_rec_set_f64s(
	struct moe_rec *r, const char *key, const double *v, size_t n, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = moe_mp_array(&b, n, e);

	for (size_t i = 0; !rc && i < n; i++)
		rc = moe_mp_float(&b, v[i], e);
	return set(r, key, &b, rc, e);
}

int moe_rec_set_maps(
	struct moe_rec *r, const char *key, const struct moe_rec *v, size_t n, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = moe_mp_array(&b, n, e);

	for (size_t i = 0; !rc && i < n; i++)
		rc = moe_rec_emit(&v[i], &b, e);
	return set(r, key, &b, rc, e);
}
