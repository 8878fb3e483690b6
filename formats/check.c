/* check.c - verifying streams and their lineage, for moe-cat --check. The reader itself verifies counts and checksums. */
#include "formats/show.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct link {
	char hex[65];
	char *file;
	bool input; /* named in a `from`, rather than had */
};

struct moe_lineage {
	struct link *v;
	size_t n, cap;
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
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].file);
	free(l->v);
	free(l);
}

static int add(struct moe_lineage *l, struct moe_str hex, const char *file, bool input, struct moe_err *e)
{
	struct link *x;

	if (hex.n != 64)
		return 0;
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		struct link *p = realloc(l->v, cap * sizeof(*p));

		if (!p)
			return moe_fail(e, MOE_SYSTEM, "out of memory for lineage");
		l->v = p;
		l->cap = cap;
	}
	x = &l->v[l->n];
	memset(x, 0, sizeof(*x));
	memcpy(x->hex, hex.p, 64);
	x->input = input;
	x->file = strdup(file);
	if (!x->file)
		return moe_fail(e, MOE_SYSTEM, "out of memory for lineage");
	l->n++;
	return 0;
}

static int note_end(const struct moe_reader *r, const char *name, struct moe_lineage *l, struct moe_err *e)
{
	const struct moe_rec *end = moe_reader_end_record(r);
	const char *hex = moe_reader_digest(r, moe_reader_digests(r) - 1);
	struct moe_str s = {hex, strlen(hex)};

	if (add(l, s, name, false, e))
		return -1;
	for (size_t i = 0; i < moe_rec_array_len(end, "from"); i++)
		if (moe_rec_array_str(end, "from", i, &s) && add(l, s, name, true, e))
			return -1;
	return 0;
}

int moe_show_check(struct moe_show *o, struct moe_reader *r, const char *name, struct moe_lineage *l, struct moe_err *e)
{
	struct moe_rec rec = {0};
	char kind[64] = "";
	uint64_t segments = 0;
	int rc;

	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		struct moe_str k = moe_reader_kind(r);

		moe_text_escape_to(kind, sizeof(kind), k.p, k.n);
		while ((rc = moe_reader_next_in_segment(r, &rec, e)) == 1)
			;
		if (rc || (rc = note_end(r, name, l, e)))
			break;
		segments++;
	}
	moe_rec_free(&rec);
	if (rc < 0)
		return -1;
	if (moe_text_escape(&o->out, name, strlen(name), false, e) ||
		moe_buf_addf(&o->out, e, ": ok: %s, %" PRIu64 " segment%s, %" PRIu64 " records, %" PRIu64 " bytes, labels %s, sha256 %s\n", kind, segments,
			segments == 1 ? "" : "s", moe_reader_records(r), moe_reader_bytes(r), moe_labels_name(moe_reader_labels(r)),
			moe_reader_digest(r, moe_reader_digests(r) - 1)))
		return -1;
	return moe_show_flush(o, e);
}

int moe_lineage_print(const struct moe_lineage *l, struct moe_buf *out, size_t *missing, struct moe_err *e)
{
	*missing = 0;
	for (size_t i = 0; i < l->n; i++) {
		const char *file = NULL;

		if (!l->v[i].input)
			continue;
		for (size_t k = 0; k < l->n && !file; k++)
			if (!l->v[k].input && !strcmp(l->v[k].hex, l->v[i].hex))
				file = l->v[k].file;
		*missing += !file;
		if (moe_text_escape(out, l->v[i].file, strlen(l->v[i].file), false, e) || moe_buf_addf(out, e, " <- ") ||
			moe_text_escape(out, file ? file : "(none of the files given)", file ? strlen(file) : 25, false, e) ||
			moe_buf_addf(out, e, "  %s\n", l->v[i].hex))
			return -1;
	}
	return 0;
}
