/* stream_write.c - the writing half of stream.h. Everything goes out in canonical form. */
#include "formats/digests.h"
#include "formats/mp.h"
#include "formats/stream.h"
#include "util/digest.h"
#include "util/fd.h"
#include "util/mem.h"

#include <stdlib.h>
#include <string.h>

#define WRITE_BYTES ((size_t)1 << 18)

struct moe_writer {
	int fd;
	char *name;
	struct moe_buf out;
	size_t hashed; /* bytes of out that the digest has seen */
	struct moe_sha256 sha;
	bool no_digest, ended, failed;
	uint64_t records;
	enum moe_labels labels;
	struct moe_digests from;
};

static int write_all(struct moe_writer *w, const void *data, size_t n, struct moe_err *e)
{
	if (moe_fd_write(w->fd, data, n) == 0)
		return 0;
	w->failed = true;
	return moe_fail_errno(e, "%s: writing failed", w->name);
}

static void hash_pending(struct moe_writer *w)
{
	if (!w->no_digest)
		moe_sha256_add(&w->sha, w->out.data + w->hashed, w->out.len - w->hashed);
	w->hashed = w->out.len;
}

int moe_writer_flush(struct moe_writer *w, struct moe_err *e)
{
	if (!w->ended)
		hash_pending(w);
	if (write_all(w, w->out.data, w->out.len, e))
		return -1;
	w->out.len = w->hashed = 0;
	return 0;
}

static int put_header(struct moe_writer *w, const struct moe_rec *h, struct moe_err *e)
{
	return moe_buf_add(&w->out, MOE_STREAM_MAGIC, MOE_STREAM_MAGIC_LEN, e) ||
			moe_rec_emit(h, &w->out, e)
		? -1
		: 0;
}

static const uint8_t version[] = { 0x92, 1, 1 };

static int header(struct moe_rec *h, const struct moe_writer_opts *o, const struct moe_rec *extra,
	struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = extra ? moe_rec_copy(h, extra, e) : 0;

	rc = rc || moe_rec_set_raw(h, "v", version, sizeof(version), e) ||
		moe_rec_set_str(h, "kind", o->kind, e) || moe_rec_set_str(h, "tool", o->tool, e) ||
		moe_rec_set_str(h, "labels", moe_labels_name(o->labels), e) ||
		moe_mp_array(&b, (size_t)o->argc, e);
	for (int i = 0; !rc && i < o->argc; i++)
		rc = moe_mp_str(&b, o->argv[i], strlen(o->argv[i]), e);
	rc = rc || moe_rec_set_raw(h, "argv", b.data, b.len, e);
	b.len = 0;
	rc = rc || moe_mp_uint(&b, o->seed, e) || moe_rec_set_raw(h, "seed", b.data, b.len, e);
	moe_buf_free(&b);
	return rc ? -1 : 0;
}

static struct moe_writer *writer_new(int fd, const char *name, bool no_digest, struct moe_err *e)
{
	struct moe_writer *w = calloc(1, sizeof(*w));

	if (!w || !(w->name = strdup(name))) {
		free(w);
		moe_fail(e, MOE_SYSTEM, "%s: out of memory for a writer", name);
		return NULL;
	}
	w->fd = fd;
	w->no_digest = no_digest;
	moe_pipe_widen(fd);
	moe_sha256_init(&w->sha);
	return w;
}

struct moe_writer *moe_writer_open_fd(int fd, const char *name, const struct moe_writer_opts *o,
	const struct moe_rec *extra, struct moe_err *e)
{
	struct moe_writer *w = writer_new(fd, name, o->no_digest, e);
	struct moe_rec h = { 0 };

	if (w)
		w->labels = o->labels;
	if (w && (header(&h, o, extra, e) || put_header(w, &h, e))) {
		moe_writer_close(w);
		w = NULL;
	}
	moe_rec_free(&h);
	return w;
}

struct moe_writer *moe_writer_open_header(
	int fd, const char *name, const struct moe_rec *given, bool no_digest, struct moe_err *e)
{
	struct moe_writer *w = writer_new(fd, name, no_digest, e);
	struct moe_rec h = { 0 };
	int rc;

	if (!w)
		return NULL;
	rc = moe_rec_copy(&h, given, e);
	if (!rc && moe_rec_has(&h, "v") == MOE_V_MISSING)
		rc = moe_rec_set_raw(&h, "v", version, sizeof(version), e);
	rc = rc || moe_stream_check_header(&h, name, &w->labels, e);
	rc = rc || put_header(w, &h, e);
	moe_rec_free(&h);
	if (rc) {
		moe_writer_close(w);
		return NULL;
	}
	return w;
}

static int usable(const struct moe_writer *w, struct moe_err *e)
{
	if (w->failed || w->ended)
		return moe_fail(e, MOE_SYSTEM, "%s: written to after %s", w->name,
			w->failed ? "a write failed" : "its end record");
	return 0;
}

int moe_writer_put(struct moe_writer *w, const struct moe_rec *rec, struct moe_err *e)
{
	size_t before = w->out.len;

	if (usable(w, e))
		return -1;
	if (!moe_rec_type(rec).n || moe_rec_is(rec, "end") || moe_rec_is(rec, "header"))
		return moe_fail(e, MOE_DATA,
			"%s: a record without a type, or of the reserved type \"end\" or "
			"\"header\"",
			w->name);
	if (moe_rec_emit(rec, &w->out, e)) {
		w->out.len = before;
		return -1;
	}
	w->records++;
	return w->out.len >= WRITE_BYTES ? moe_writer_flush(w, e) : 0;
}

int moe_writer_from(struct moe_writer *w, const char *hex, struct moe_err *e)
{
	if (strlen(hex) != MOE_SHA256_HEX - 1)
		return moe_fail(e, MOE_DATA, "%s: an input digest that is not a SHA-256", w->name);
	return moe_digests_find(&w->from, hex) == SIZE_MAX ? moe_digests_add(&w->from, hex, e) : 0;
}

int moe_writer_from_reader(struct moe_writer *w, const struct moe_reader *r, struct moe_err *e)
{
	moe_writer_raise(w, moe_reader_labels(r));
	for (size_t i = 0; i < moe_reader_digests(r); i++)
		if (*moe_reader_digest(r, i) && moe_writer_from(w, moe_reader_digest(r, i), e))
			return -1;
	return 0;
}

void moe_writer_raise(struct moe_writer *w, enum moe_labels l)
{
	if (l > w->labels)
		w->labels = l;
}

void moe_writer_no_digest(struct moe_writer *w)
{
	w->no_digest = true;
}

/* The end record's keys beside n and sha256. */
static int own_end(struct moe_writer *w, struct moe_rec *end, struct moe_err *e)
{
	struct moe_buf from = { 0 };
	int rc = moe_rec_set_str(end, "labels", moe_labels_name(w->labels), e) ||
		moe_mp_array(&from, w->from.n, e);

	for (size_t i = 0; !rc && i < w->from.n; i++)
		rc = moe_mp_str(&from, w->from.v[i], MOE_SHA256_HEX - 1, e);
	rc = rc || moe_rec_set_raw(end, "from", from.data, from.len, e);
	moe_buf_free(&from);
	return rc ? -1 : 0;
}

int moe_writer_end_like(
	struct moe_writer *w, const struct moe_rec *like, char *digest_hex, struct moe_err *e)
{
	struct moe_rec end = { 0 };
	char hex[MOE_SHA256_HEX] = "", bound[MOE_SHA256_HEX];
	enum moe_labels labels;
	int rc;

	if (usable(w, e) ||
		(like &&
			(moe_stream_labels(like, w->name, &labels, e) ||
				moe_stream_check_from(like, w->name, e))))
		return -1;
	hash_pending(w);
	if (!w->no_digest)
		moe_sha256_hex(&w->sha, hex);
	rc = (like ? moe_rec_copy(&end, like, e) : own_end(w, &end, e)) ||
		moe_rec_set_str(&end, "t", "end", e) ||
		moe_rec_set_int(&end, "n", (int64_t)w->records, e) ||
		(*hex ? moe_rec_set_str(&end, "sha256", hex, e)
		      : moe_rec_set_nil(&end, "sha256", e)) ||
		(!like && *hex &&
			(moe_stream_bound(&end, bound, e) ||
				moe_rec_set_str(&end, "bound", bound, e))) ||
		moe_rec_emit(&end, &w->out, e);
	moe_rec_free(&end);
	w->ended = true;
	if (rc || moe_writer_flush(w, e))
		return -1;
	if (digest_hex)
		memcpy(digest_hex, hex, sizeof(hex));
	return 0;
}

int moe_writer_end(struct moe_writer *w, char *digest_hex, struct moe_err *e)
{
	return moe_writer_end_like(w, NULL, digest_hex, e);
}

void moe_writer_close(struct moe_writer *w)
{
	if (!w)
		return;
	moe_buf_free(&w->out);
	moe_digests_free(&w->from);
	free(w->name);
	free(w);
}

/* ---- tensors ---- */

/* One record {t, name, dtype, shape, offset, data, ...extra}; the data go from the caller's memory
 * straight to the descriptor. */
static int tensor_record(struct moe_writer *w, struct moe_rec *head, const uint8_t *p, size_t n,
	uint64_t at, struct moe_err *e)
{
	struct moe_buf after = { 0 };
	size_t before = w->out.len;
	int rc;

	if (usable(w, e))
		return -1;
	rc = moe_rec_set_int(head, "offset", (int64_t)at, e) ||
		moe_rec_emit_around(head, "data", n, &w->out, &after, e);
	if (rc) {
		w->out.len = before;
	} else if (n < WRITE_BYTES) {
		rc = moe_buf_add(&w->out, p, n, e);
	} else {
		rc = moe_writer_flush(w, e);
		/* hashed and written in pieces, so that each is still in the cache when the kernel
		 * copies it */
		for (size_t k = 0; !rc && k < n; k += WRITE_BYTES) {
			size_t piece = n - k < WRITE_BYTES ? n - k : WRITE_BYTES;

			if (!w->no_digest)
				moe_sha256_add(&w->sha, p + k, piece);
			rc = write_all(w, p + k, piece, e);
		}
	}
	rc = rc || moe_buf_add(&w->out, after.data, after.len, e);
	moe_buf_free(&after);
	w->records++;
	if (!rc && w->out.len >= WRITE_BYTES)
		rc = moe_writer_flush(w, e);
	return rc ? -1 : 0;
}

int moe_writer_tensor(struct moe_writer *w, const char *name, const char *dtype, int rank,
	const uint64_t *shape, const void *data, const struct moe_rec *extra, struct moe_err *e)
{
	struct moe_rec head = { 0 };
	struct moe_buf dims = { 0 };
	size_t each = moe_dtype_bytes(dtype), bytes = each, at = 0,
	       chunk = MOE_CHUNK_BYTES / (each ? each : 1) * (each ? each : 1);
	int rc = 0;

	if (!each || rank < 0 || rank > MOE_TENSOR_RANK_MAX)
		return moe_fail(e, MOE_DATA,
			"tensor %s: type \"%s\" and rank %d can not be written", name, dtype, rank);
	for (int i = 0; i < rank; i++)
		if (!moe_mul(bytes, (size_t)shape[i], &bytes) || bytes > INT64_MAX)
			return moe_fail(e, MOE_DATA, "tensor %s: its shape overflows", name);
	if (extra)
		rc = moe_rec_copy(&head, extra, e);
	rc = rc || moe_rec_set_str(&head, "t", "tensor", e) ||
		moe_rec_set_str(&head, "name", name, e) ||
		moe_rec_set_str(&head, "dtype", dtype, e) || moe_mp_array(&dims, (size_t)rank, e);
	for (int i = 0; !rc && i < rank; i++)
		rc = moe_mp_uint(&dims, shape[i], e);
	rc = rc || moe_rec_set_raw(&head, "shape", dims.data, dims.len, e);
	moe_rec_unset(&head, "data");
	do { /* an empty tensor is one record too */
		size_t n = bytes - at < chunk ? bytes - at : chunk;

		rc = rc || tensor_record(w, &head, (const uint8_t *)data + at, n, at, e);
		at += n;
	} while (!rc && at < bytes);
	moe_buf_free(&dims);
	moe_rec_free(&head);
	return rc ? -1 : 0;
}
