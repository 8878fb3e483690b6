/* check.c - verifying streams and their lineage, for moe-cat --check. The reader itself verifies counts and checksums. */
#include "formats/digests.h"
#include "formats/list.h"
#include "formats/show.h"
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

struct moe_lineage {
	struct file *file;
	size_t n_file;
	struct links had, inputs; /* of segments and of files that are no streams; named in the segments' `from` */
};

struct moe_lineage *moe_lineage_new(struct moe_err *e)
{
	struct moe_lineage *l = calloc(1, sizeof(*l));

	if (!l)
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
		p[l->n_file] = (struct file){.name = strdup(name)};
	}
	if (!p || !p[l->n_file].name)
		return moe_fail(e, MOE_SYSTEM, "out of memory for lineage");
	l->n_file++;
	return 0;
}

/* The digest, of 64 digits, comes from the file added last. */
static int add_link(const struct moe_lineage *l, struct links *k, struct moe_str hex, struct moe_err *e)
{
	char text[MOE_SHA256_HEX] = "";

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

static int note_end(const struct moe_reader *r, struct moe_lineage *l, struct moe_err *e)
{
	const char *hex = moe_reader_digest(r, moe_reader_digests(r) - 1);
	const struct moe_rec *end = moe_reader_end_record(r);
	struct moe_list from;
	struct moe_mp_tok t;

	if (*hex && add_link(l, &l->had, (struct moe_str){hex, strlen(hex)}, e))
		return -1;
	if (!moe_list_open(end, "from", &from) && moe_rec_has(end, "from") != MOE_V_MISSING)
		return moe_fail(e, MOE_DATA, "%s: \"from\" of the end record is not an array", l->file[l->n_file - 1].name);
	while (moe_list_next(&from, &t, NULL)) {
		if (t.kind != MOE_MP_STR || !moe_sha256_is_hex((const char *)t.p, t.n))
			return moe_fail(e, MOE_DATA, "%s: the end record names an input (\"from\") by what is not a SHA-256", l->file[l->n_file - 1].name);
		if (add_link(l, &l->inputs, (struct moe_str){(const char *)t.p, t.n}, e))
			return -1;
	}
	return 0;
}

static int note_others(const struct moe_reader *r, struct moe_lineage *l, struct moe_err *e)
{
	for (size_t i = 0; i < moe_reader_others(r); i++)
		if (add_link(l, &l->had, (struct moe_str){moe_reader_other(r, i), MOE_SHA256_HEX - 1}, e))
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
static int add_found(const struct moe_reader *r, const char *kind, uint64_t segments, struct moe_buf *out, struct moe_err *e)
{
	size_t others = moe_reader_others(r);

	if (!segments && others == 1)
		return moe_buf_addf(out, e, ": not a stream, counted by its SHA-256: %" PRIu64 " bytes, sha256 %s\n", moe_reader_bytes(r), moe_reader_other(r, 0));
	if (!segments)
		return moe_buf_addf(out, e, ": no stream, but %zu files, counted by their SHA-256: %" PRIu64 " bytes\n", others, moe_reader_bytes(r));
	return moe_buf_addf(out, e, moe_reader_cuts(r) ? ": truncated, as allowed" : ": ok") ||
		moe_buf_addf(out, e, ": %s, %" PRIu64 " segment%s, %" PRIu64 " record%s, %" PRIu64 " bytes, labels %s, sha256 %s\n", kind, segments,
			segments == 1 ? "" : "s", moe_reader_records(r), moe_reader_records(r) == 1 ? "" : "s", moe_reader_bytes(r), moe_labels_name(moe_reader_labels(r)), last_digest(r)) ? -1 : 0;
}

int moe_show_check(struct moe_show *o, struct moe_reader *r, const char *name, struct moe_lineage *l, struct moe_err *e)
{
	struct moe_rec rec = {0};
	char kind[64] = "";
	uint64_t segments = 0;
	int rc = add_file(l, name, e);

	if (rc)
		return -1;
	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		struct moe_str k = moe_reader_kind(r);

		moe_text_escape_to(kind, sizeof(kind), k.p, k.n);
		while ((rc = moe_reader_next_in_segment(r, &rec, e)) == 1)
			;
		if (rc || (rc = note_end(r, l, e)))
			break;
		segments++;
	}
	moe_rec_free(&rec);
	if (rc < 0 || note_others(r, l, e))
		return -1;
	l->file[l->n_file - 1].stream = segments > 0;
	if (moe_text_escape(&o->out, name, strlen(name), false, e) || add_found(r, kind, segments, &o->out, e))
		return -1;
	return moe_show_flush(o, e);
}

/* A file that is no stream is there because streams name it; if none does, it is more likely a stream that was damaged. */
static int check_named(struct moe_lineage *l, struct moe_err *e)
{
	for (size_t i = 0; i < l->had.d.n; i++)
		if (moe_digests_find(&l->inputs.d, l->had.d.v[i]) != SIZE_MAX)
			l->file[l->had.file[i]].named = true;
	for (size_t i = 0; i < l->n_file; i++)
		if (!l->file[i].stream && !l->file[i].named)
			return moe_fail(e, MOE_DATA, "%s: not a moe stream, and no stream names it as an input", l->file[i].name);
	return 0;
}

int moe_lineage_print(struct moe_lineage *l, struct moe_buf *out, size_t *missing, struct moe_err *e)
{
	const struct links *in = &l->inputs;

	*missing = 0;
	for (size_t i = 0; i < in->d.n; i++) {
		size_t at = moe_digests_find(&l->had.d, in->d.v[i]);
		const char *of = l->file[in->file[i]].name, *file = at == SIZE_MAX ? "(none of the files given)" : l->file[l->had.file[at]].name;

		*missing += at == SIZE_MAX;
		if (moe_text_escape(out, of, strlen(of), false, e) || moe_buf_addf(out, e, " <- ") ||
			moe_text_escape(out, file, strlen(file), false, e) || moe_buf_addf(out, e, "  %s\n", in->d.v[i]))
			return -1;
	}
	return check_named(l, e);
}
