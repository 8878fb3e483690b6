/* safetensors_write.c - the writer, and the widening of a tensor's elements. Not the reader. */
#include "formats/safetensors.h"
#include "formats/json.h"
#include "util/fd.h"
#include "util/half.h"
#include "util/mem.h"
#include "util/temp.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int moe_st_floats(
	const struct moe_st_tensor *t, size_t first, size_t n, float *out, struct moe_err *e)
{
	const uint8_t *p = t->data;

	if (!strcmp(t->dtype, "F32")) {
		if (n)
			memcpy(out, p + 4 * first, 4 * n);
	} else if (!strcmp(t->dtype, "F64")) {
		for (size_t i = 0; i < n; i++) {
			double d;
			memcpy(&d, p + 8 * (first + i), 8);
			out[i] = (float)d;
		}
	} else if (!strcmp(t->dtype, "BF16") || !strcmp(t->dtype, "F16")) {
		bool b = t->dtype[0] == 'B';
		for (size_t i = 0; i < n; i++) {
			uint16_t h;
			memcpy(&h, p + 2 * (first + i), 2);
			out[i] = b ? moe_f32_from_bf16(h) : moe_f32_from_f16(h);
		}
	} else {
		return moe_fail(e, MOE_DATA,
			"tensor '%s' has dtype %s where a float type is needed", t->name, t->dtype);
	}
	return 0;
}

#define PIECE ((size_t)1 << 20) /* bytes that a source is asked for at once, or one row */

static int by_write_order(const void *x, const void *y)
{
	const struct moe_st_tensor *a = *(const struct moe_st_tensor *const *)x,
				   *b = *(const struct moe_st_tensor *const *)y;
	size_t sa = moe_dtype_bytes(a->dtype), sb = moe_dtype_bytes(b->dtype);

	return sa != sb ? (sa > sb ? -1 : 1) : strcmp(a->name, b->name);
}

static int add_quoted(struct moe_buf *h, const char *s, struct moe_err *e)
{
	return moe_json_quote(h, s, strlen(s), e);
}

static int add_tensor(
	struct moe_buf *h, const struct moe_st_tensor *t, size_t *at, struct moe_err *e)
{
	if (h->len > 9 && moe_buf_add(h, ",", 1, e))
		return -1;
	if (add_quoted(h, t->name, e) ||
		moe_buf_addf(h, e, ":{\"dtype\":\"%s\",\"shape\":[", t->dtype))
		return -1;
	for (int i = 0; i < t->rank; i++)
		if (moe_buf_addf(h, e, "%s%llu", i ? "," : "", (unsigned long long)t->shape[i]))
			return -1;
	if (moe_buf_addf(h, e, "],\"data_offsets\":[%zu,%zu]}", *at, *at + t->bytes))
		return -1;
	*at += t->bytes;
	return 0;
}

static int make_header(struct moe_buf *h, const struct moe_st_tensor **t, size_t n,
	const char *const (*meta)[2], size_t n_meta, struct moe_err *e)
{
	size_t at = 0, len;

	if (moe_buf_add(h, "\0\0\0\0\0\0\0\0{", 9, e))
		return -1;
	if (n_meta && moe_buf_addf(h, e, "\"__metadata__\":{"))
		return -1;
	for (size_t i = 0; i < n_meta; i++)
		if ((i && moe_buf_add(h, ",", 1, e)) || add_quoted(h, meta[i][0], e) ||
			moe_buf_add(h, ":", 1, e) || add_quoted(h, meta[i][1], e))
			return -1;
	if (n_meta && moe_buf_add(h, "}", 1, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (add_tensor(h, t[i], &at, e))
			return -1;
	if (moe_buf_add(h, "}", 1, e))
		return -1;
	while (h->len % 8)
		if (moe_buf_add(h, " ", 1, e))
			return -1;
	len = h->len - 8;
	for (int i = 0; i < 8; i++)
		h->data[i] = (uint8_t)(len >> 8 * i & 255u);
	return 0;
}

static int check_tensors(
	const char *path, const struct moe_st_tensor **t, size_t n, struct moe_err *e)
{
	for (size_t i = 0; i < n; i++) {
		size_t bytes = moe_dtype_bytes(t[i]->dtype);

		for (int d = 0; d < t[i]->rank; d++)
			if (!moe_mul(bytes, (size_t)t[i]->shape[d], &bytes))
				return moe_fail(e, MOE_DATA,
					"%s: tensor '%s': the product of its shape overflows", path,
					t[i]->name);
		if (bytes != t[i]->bytes || !moe_dtype_bytes(t[i]->dtype))
			return moe_fail(e, MOE_DATA,
				"%s: tensor '%s': shape, dtype and size do not agree", path,
				t[i]->name);
		if (i && !strcmp(t[i]->name, t[i - 1]->name))
			return moe_fail(
				e, MOE_DATA, "%s: tensor '%s' was given twice", path, t[i]->name);
	}
	return 0;
}

/* The data of one tensor, in pieces of whole rows. */
static int put_data(int fd, const char *name, const struct moe_st_tensor *t,
	const struct moe_st_source *from, struct moe_err *e)
{
	size_t rows = t->rank > 1 ? (size_t)t->shape[0] : 1, row = rows ? t->bytes / rows : 0,
	       step = row < PIECE && row ? PIECE / row : 1;
	uint8_t *piece;
	int rc = 0;

	if (t->data || !from || !t->bytes)
		return moe_fd_write(fd, t->data, t->bytes)
			? moe_fail_errno(e, "%s: writing failed", name)
			: 0;
	if (step > rows)
		step = rows;
	piece = moe_alloc(step, row, e);
	if (!piece)
		return -1;
	for (size_t r = 0; !rc && r < rows; r += step) {
		size_t n = rows - r < step ? rows - r : step;

		rc = from->rows(from->arg, t, r, n, piece, e);
		if (!rc && moe_fd_write(fd, piece, n * row))
			rc = moe_fail_errno(e, "%s: writing failed", name);
	}
	free(piece);
	return rc;
}

static int write_all(int fd, const char *name, const struct moe_st_tensor *t, size_t n,
	const struct moe_st_source *from, const char *const (*meta)[2], size_t n_meta,
	struct moe_err *e)
{
	const struct moe_st_tensor **order = moe_alloc(n + 1, sizeof(*order), e);
	struct moe_buf h = { 0 };
	int r = -1;

	if (order) {
		for (size_t i = 0; i < n; i++)
			order[i] = &t[i];
		if (n)
			qsort(order, n, sizeof(*order), by_write_order);
		r = check_tensors(name, order, n, e);
		if (!r)
			r = make_header(&h, order, n, meta, n_meta, e);
		if (!r && h.len - 8 > MOE_ST_HEADER_MAX)
			r = moe_fail(e, MOE_DATA,
				"%s: a header of %zu bytes; a safetensors file may have %u", name,
				h.len - 8, MOE_ST_HEADER_MAX);
		if (!r && moe_fd_write(fd, h.data, h.len))
			r = moe_fail_errno(e, "%s: writing failed", name);
		for (size_t i = 0; !r && i < n; i++)
			r = put_data(fd, name, order[i], from, e);
	}
	free(order);
	moe_buf_free(&h);
	return r;
}

int moe_st_write_fd(int fd, const char *name, const struct moe_st_tensor *t, size_t n,
	const char *const (*meta)[2], size_t n_meta, struct moe_err *e)
{
	return write_all(fd, name, t, n, NULL, meta, n_meta, e);
}

int moe_st_write_from(const char *path, const struct moe_st_tensor *t, size_t n,
	const struct moe_st_source *from, const char *const (*meta)[2], size_t n_meta,
	struct moe_err *e)
{
	struct moe_temp tmp;

	if (moe_temp_open(&tmp, path, e))
		return -1;
	if (write_all(tmp.fd, path, t, n, from, meta, n_meta, e)) {
		moe_temp_drop(&tmp);
		return -1;
	}
	return moe_temp_keep(&tmp, path, e);
}

int moe_st_write(const char *path, const struct moe_st_tensor *t, size_t n,
	const char *const (*meta)[2], size_t n_meta, struct moe_err *e)
{
	return moe_st_write_from(path, t, n, NULL, meta, n_meta, e);
}
