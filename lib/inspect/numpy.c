/* numpy.c - records as plain MessagePack with tensors in the maps of Python's msgpack-numpy (0.4
 * and later). One way only. */
#include "inspect/assemble.h"
#include "formats/mp.h"
#include "inspect/show.h"
#include "formats/tensor_view.h"

#include <stdlib.h>
#include <string.h>

#define WRITE_BYTES ((size_t)1 << 18)

/* NumPy's type string; NULL for BF16, which NumPy lacks. */
static const char *type_string(const char *dtype)
{
	static const char *const known[][2] = { { "F32", "<f4" }, { "F64", "<f8" },
		{ "F16", "<f2" }, { "I8", "|i1" }, { "I16", "<i2" }, { "I32", "<i4" },
		{ "I64", "<i8" }, { "U8", "|u1" }, { "U16", "<u2" }, { "U32", "<u4" },
		{ "U64", "<u8" }, { "BOOL", "|b1" } };

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(dtype, known[i][0]))
			return known[i][1];
	return NULL;
}

static int elements(const struct moe_tensor *t, struct moe_buf *out, struct moe_err *e)
{
	size_t n = t->bytes / 2;

	if (type_string(t->dtype))
		return moe_mp_bin(out, t->data, t->bytes, e);
	if (moe_mp_bin_head(out, 4 * n, e))
		return -1;
	for (size_t i = 0; i < n; i++) { /* BF16, widened */
		float f = (float)moe_tensor_value(t, i);

		if (moe_buf_add(out, &f, 4, e))
			return -1;
	}
	return 0;
}

/* {b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [...], b"data": bytes} */
static int array(const struct moe_tensor *t, struct moe_buf *out, struct moe_err *e)
{
	const char *type = type_string(t->dtype);

	if (!type)
		type = "<f4";
	if (moe_mp_map(out, 5, e) || moe_mp_bin(out, "nd", 2, e) || moe_mp_bool(out, true, e) ||
		moe_mp_bin(out, "type", 4, e) || moe_mp_str(out, type, 3, e) ||
		moe_mp_bin(out, "kind", 4, e) || moe_mp_bin(out, "", 0, e) ||
		moe_mp_bin(out, "shape", 5, e) || moe_mp_array(out, (size_t)t->rank, e))
		return -1;
	for (int i = 0; i < t->rank; i++)
		if (moe_mp_uint(out, t->shape[i], e))
			return -1;
	return moe_mp_bin(out, "data", 4, e) || elements(t, out, e) ? -1 : 0;
}

/* One value, tensors at any depth replaced. */
static int plain(const uint8_t *p, size_t n, struct moe_buf *out, struct moe_err *e)
{
	struct moe_tensor tensor;
	struct moe_mp_tok t, k;
	size_t size = 0, at;

	if (moe_mp_token(p, n, &t, e) != 1)
		return -1;
	if (t.kind != MOE_MP_MAP && t.kind != MOE_MP_ARRAY)
		return moe_buf_add(out, p, n, e);
	if (moe_tensor_parse(p, n, &tensor))
		return array(&tensor, out, e);
	if (moe_buf_add(out, p, t.size, e))
		return -1;
	at = t.size;
	for (size_t i = 0; i < t.n; i++, at += size) {
		if (t.kind == MOE_MP_MAP) {
			if (moe_mp_token(p + at, n - at, &k, e) != 1 ||
				moe_buf_add(out, p + at, k.size, e))
				return -1;
			at += k.size;
		}
		if (moe_mp_size(p + at, n - at, &size, e) || plain(p + at, size, out, e))
			return -1;
	}
	return 0;
}

static int plain_record(const struct moe_rec *r, struct moe_buf *out, struct moe_err *e)
{
	int rc = moe_mp_map(out, r->n_field, e);

	for (size_t i = 0; !rc && i < r->n_field; i++)
		rc = moe_mp_str(out, r->field[i].key.p, r->field[i].key.n, e) ||
			plain(r->bytes.data + r->field[i].off, r->field[i].len, out, e);
	return rc ? -1 : 0;
}

/* A whole tensor: {t, name, value} and what else its last chunk said. */
static int tensor_record(const struct moe_assemble *a, const struct moe_rec *r, struct moe_buf *out,
	struct moe_err *e)
{
	static const char *const gone[] = { "data", "dtype", "shape", "offset" };
	struct moe_rec rest = { 0 };
	int rc = moe_rec_copy(&rest, r, e);

	for (size_t i = 0; i < sizeof(gone) / sizeof(*gone); i++)
		moe_rec_unset(&rest, gone[i]);
	rc = rc || moe_mp_map(out, rest.n_field + 1, e);
	for (size_t i = 0; !rc && i < rest.n_field; i++)
		rc = moe_mp_str(out, rest.field[i].key.p, rest.field[i].key.n, e) ||
			plain(rest.bytes.data + rest.field[i].off, rest.field[i].len, out, e);
	rc = rc || moe_mp_str(out, "value", 5, e) || array(&a->whole, out, e);
	moe_rec_free(&rest);
	return rc ? -1 : 0;
}

/* One record, if it is wanted; a tensor's chunk waits for the others. */
static int one(struct moe_show *o, struct moe_assemble *a, const struct moe_rec *rec,
	size_t max_mem, struct moe_err *e)
{
	int rc;

	if (moe_rec_is(rec, "tensor")) {
		rc = moe_assemble_chunk(a, rec, max_mem, e);
		if (rc <= 0)
			return rc;
		rc = tensor_record(a, rec, &o->out, e);
	} else {
		rc = moe_assemble_closed(a, e) || plain_record(rec, &o->out, e);
	}
	o->shown++;
	return rc || ((o->unbuffered || o->out.len > WRITE_BYTES) && moe_show_flush(o, e)) ? -1 : 0;
}

int moe_show_numpy(struct moe_show *o, struct moe_reader *r, size_t max_mem, struct moe_err *e)
{
	struct moe_assemble a = { 0 };
	struct moe_rec rec = { 0 };
	int rc;

	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		bool wanted = moe_show_wanted(o, r);

		if (o->where)
			moe_where_segment(o->where);
		while ((rc = moe_reader_next_in_segment(r, &rec, e)) == 1)
			if (wanted && !(o->limited && o->shown >= o->limit) &&
				(!o->where || moe_where_pass(o->where, &rec)) &&
				(rc = one(o, &a, &rec, max_mem, e)))
				break;
		if (rc || (rc = moe_assemble_closed(&a, e)))
			break;
	}
	if (rc >= 0)
		rc = moe_show_flush(o, e);
	moe_assemble_free(&a);
	moe_rec_free(&rec);
	return rc;
}
