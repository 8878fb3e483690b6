/* check.c - verifying streams and their lineage, for moe-cat --check. The reader itself verifies
 * headers, counts and checksums; what stream.md asks of tensors is verified here. */
#include "inspect/assemble.h"
#include "formats/digests.h"
#include "formats/list.h"
#include "inspect/show.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Digests, and the file that each came from (an index into moe_lineage.file). */
struct links {
	struct moe_digests d;
	size_t *file, cap;
};

struct file {
	char *name;
	bool stream, named; /* it has segments; some stream names what is in it */
};

#define LINK_COST 128 /* bytes, of remembering one digest */

struct moe_lineage {
	size_t max; /* links */
	struct file *file;
	size_t n_file;
	struct links had, inputs; /* of segments and of files that are no streams; named in the
				     segments' `from` */
};

struct moe_lineage *moe_lineage_new(size_t max_mem, struct moe_err *e)
{
	struct moe_lineage *l = calloc(1, sizeof(*l));

	if (l)
		l->max = max_mem / LINK_COST;
	else
		moe_fail(e, MOE_SYSTEM, "out of memory for lineage");
	return l;
}

void moe_lineage_free(struct moe_lineage *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n_file; i++)
		free(l->file[i].name);
	free(l->file);
	moe_digests_free(&l->had.d);
	moe_digests_free(&l->inputs.d);
	free(l->had.file);
	free(l->inputs.file);
	free(l);
}

static int add_file(struct moe_lineage *l, const char *name, struct moe_err *e)
{
	struct file *p = realloc(l->file, (l->n_file + 1) * sizeof(*p));

	if (p) {
		l->file = p;
		p[l->n_file] = (struct file){ .name = strdup(name) };
	}
	if (!p || !p[l->n_file].name)
		return moe_fail(e, MOE_SYSTEM, "out of memory for lineage");
	l->n_file++;
	return 0;
}

/* The digest, of 64 digits, comes from the file added last. */
static int add_link(
	const struct moe_lineage *l, struct links *k, struct moe_str hex, struct moe_err *e)
{
	char text[MOE_SHA256_HEX] = "";

	if (l->had.d.n + l->inputs.d.n >= l->max)
		return moe_fail(e, MOE_DATA,
			"%s: lineage of more than %zu digests; --max-mem allows no more",
			l->file[l->n_file - 1].name, l->max);
	if (k->d.n == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 16, *p = realloc(k->file, cap * sizeof(*p));

		if (!p)
			return moe_fail(e, MOE_SYSTEM, "out of memory for lineage");
		k->file = p;
		k->cap = cap;
	}
	memcpy(text, hex.p, hex.n);
	k->file[k->d.n] = l->n_file - 1;
	return moe_digests_add(&k->d, text, e);
}

/* An end, and the inputs that it names. */
static int note_end(const struct moe_reader *r, struct moe_lineage *l, struct moe_err *e)
{
	const char *hex = moe_reader_digest(r, moe_reader_digests(r) - 1);
	struct moe_list from;
	struct moe_str s;

	if (*hex && add_link(l, &l->had, (struct moe_str){ hex, strlen(hex) }, e))
		return -1;
	moe_list_open(moe_reader_end_record(r), "from", &from);
	while (moe_list_next_str(&from, &s))
		if (add_link(l, &l->inputs, s, e))
			return -1;
	return 0;
}

static int note_others(const struct moe_reader *r, struct moe_lineage *l, struct moe_err *e)
{
	for (size_t i = 0; i < moe_reader_others(r); i++)
		if (add_link(l, &l->had,
			    (struct moe_str){ moe_reader_other(r, i), MOE_SHA256_HEX - 1 }, e))
			return -1;
	return 0;
}

static const char *last_digest(const struct moe_reader *r)
{
	size_t n = moe_reader_digests(r);
	const char *hex = n ? moe_reader_digest(r, n - 1) : "";

	return *hex ? hex : "none";
}

/* What the reader found, after the name. */
static int add_found(const struct moe_reader *r, const char *kind, uint64_t segments,
	struct moe_buf *out, struct moe_err *e)
{
	size_t others = moe_reader_others(r);

	if (!segments && others == 1)
		return moe_buf_addf(out, e,
			": not a stream, counted by its SHA-256: %" PRIu64 " bytes, sha256 %s\n",
			moe_reader_bytes(r), moe_reader_other(r, 0));
	if (!segments)
		return moe_buf_addf(out, e,
			": no stream, but %zu files, counted by their SHA-256: %" PRIu64 " bytes\n",
			others, moe_reader_bytes(r));
	if (moe_buf_addf(out, e, moe_reader_cuts(r) ? ": truncated, as allowed" : ": ok") ||
		moe_buf_addf(out, e,
			": %s, %" PRIu64 " segment%s, %" PRIu64 " record%s, %" PRIu64
			" bytes, labels %s, sha256 %s",
			kind, segments, segments == 1 ? "" : "s", moe_reader_records(r),
			moe_reader_records(r) == 1 ? "" : "s", moe_reader_bytes(r),
			moe_labels_name(moe_reader_labels(r)), last_digest(r)))
		return -1;
	if (moe_reader_left_out(r) &&
		moe_buf_addf(out, e, "; %" PRIu64 " member%s left out: no stream%s",
			moe_reader_left_out(r), moe_reader_left_out(r) == 1 ? "" : "s",
			moe_reader_left_out(r) == 1 ? "" : "s"))
		return -1;
	return moe_buf_add(out, "\n", 1, e);
}

/* Whether the value is a map of a tensor's three keys that makes no tensor. */
static bool bad_tensor(const uint8_t *p, size_t n)
{
	struct moe_rec m = { 0 };
	struct moe_mp_tok t;
	struct moe_tensor tensor;
	bool bad;

	if (moe_mp_token(p, n, &t, NULL) != 1 || t.kind != MOE_MP_MAP || t.n != 3)
		return false;
	bad = !moe_rec_parse(&m, p, n, NULL) && moe_rec_has(&m, "dtype") &&
		moe_rec_has(&m, "shape") && moe_rec_has(&m, "data") &&
		!moe_tensor_parse(p, n, &tensor);
	moe_rec_free(&m);
	return bad;
}

/* Tensors in a record, and records that are chunks of one. */
static int check_record(const struct moe_rec *r, struct moe_assemble *a, struct moe_err *e)
{
	struct moe_str data;

	if (moe_rec_is(r, "tensor")) {
		if (moe_rec_bin(r, "data", &data) && data.n > MOE_CHUNK_BYTES)
			return moe_fail(e, MOE_DATA,
				"record %" PRIu64 " (byte %" PRIu64
				"): a chunk of %zu bytes; at most %zu are allowed",
				r->number, r->byte, data.n, MOE_CHUNK_BYTES);
		return moe_assemble_chunk(a, r, SIZE_MAX, e) < 0 ? -1 : 0;
	}
	if (moe_assemble_closed(a, e))
		return moe_err_prefix(e,
			"record %" PRIu64 " (byte %" PRIu64 ") comes within a tensor", r->number,
			r->byte);
	for (size_t i = 0; i < r->n_field; i++)
		if (bad_tensor(r->bytes.data + r->field[i].off, r->field[i].len))
			return moe_fail(e, MOE_DATA,
				"record %" PRIu64 " (byte %" PRIu64
				"): a tensor whose dtype and shape do not fit its data",
				r->number, r->byte);
	return 0;
}

/* The segment whose header has been read: 0, -1. */
static int check_segment(struct moe_reader *r, const char *name, struct moe_lineage *l,
	struct moe_rec *rec, struct moe_err *e)
{
	struct moe_assemble a = { .no_data = true };
	int rc = 0, got = 0;

	while (!rc && (got = moe_reader_next_in_segment(r, rec, e)) == 1)
		rc = check_record(rec, &a, e);
	if (!rc && !got && !moe_reader_cut(r))
		rc = moe_assemble_closed(&a, e);
	if (rc)
		moe_err_prefix(e, "%s", name);
	moe_assemble_free(&a);
	return rc || got < 0 || (l && note_end(r, l, e)) ? -1 : 0;
}

int moe_show_check(struct moe_show *o, struct moe_reader *r, const char *name,
	struct moe_lineage *l, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	char kind[64] = "";
	uint64_t segments = 0;
	int rc = l ? add_file(l, name, e) : 0;

	if (rc)
		return -1;
	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		struct moe_str k = moe_reader_kind(r);

		moe_text_escape_to(kind, sizeof(kind), k.p, k.n);
		if ((rc = check_segment(r, name, l, &rec, e)))
			break;
		segments++;
	}
	moe_rec_free(&rec);
	if (rc < 0 || (l && note_others(r, l, e)))
		return -1;
	if (l)
		l->file[l->n_file - 1].stream = segments > 0;
	if (moe_text_escape(&o->out, name, strlen(name), false, e) ||
		add_found(r, kind, segments, &o->out, e))
		return -1;
	return moe_show_flush(o, e);
}

/* A file that is no stream is there because streams name it; if none does, it is more likely a
 * stream that was damaged. */
static int check_named(struct moe_lineage *l, struct moe_err *e)
{
	for (size_t i = 0; i < l->had.d.n; i++)
		if (moe_digests_find(&l->inputs.d, l->had.d.v[i]) != SIZE_MAX)
			l->file[l->had.file[i]].named = true;
	for (size_t i = 0; i < l->n_file; i++)
		if (!l->file[i].stream && !l->file[i].named)
			return moe_fail(e, MOE_DATA,
				"%s: not a moe stream, and no stream names it as an input",
				l->file[i].name);
	return 0;
}

int moe_lineage_print(
	struct moe_lineage *l, struct moe_buf *out, size_t *missing, struct moe_err *e)
{
	const struct links *in = &l->inputs;

	*missing = 0;
	for (size_t i = 0; i < in->d.n; i++) {
		size_t at = moe_digests_find(&l->had.d, in->d.v[i]);
		const char *of = l->file[in->file[i]].name,
			   *file = at == SIZE_MAX ? "(none of the files given)"
						  : l->file[l->had.file[at]].name;

		*missing += at == SIZE_MAX;
		if (moe_text_escape(out, of, strlen(of), false, e) ||
			moe_buf_addf(out, e, " <- ") ||
			moe_text_escape(out, file, strlen(file), false, e) ||
			moe_buf_addf(out, e, "  %s\n", in->d.v[i]))
			return -1;
	}
	return check_named(l, e);
}
