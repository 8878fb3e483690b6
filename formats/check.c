/* check.c - verifying streams and their lineage, for moe-cat --check. The reader itself verifies counts and checksums. */
#include "formats/show.h"
#include "util/mem.h"
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
	struct moe_rec_walk w;

	if (add(l, s, name, false, e))
		return -1;
	w = moe_rec_array_walk(end, "from");
	while (moe_rec_walk_next(&w, &s))
		if (add(l, s, name, true, e))
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

static int by_hex(const void *x, const void *y)
{
	return strcmp((*(const struct link *const *)x)->hex, (*(const struct link *const *)y)->hex);
}

/* Pointers to the digests that are had, sorted; to be freed. */
static const struct link **had(const struct moe_lineage *l, size_t *n, struct moe_err *e)
{
	const struct link **v = moe_alloc(l->n + 1, sizeof(*v), e);

	*n = 0;
	for (size_t i = 0; v && i < l->n; i++)
		if (!l->v[i].input)
			v[(*n)++] = &l->v[i];
	if (v)
		qsort(v, *n, sizeof(*v), by_hex);
	return v;
}

int moe_lineage_print(const struct moe_lineage *l, struct moe_buf *out, size_t *missing, struct moe_err *e)
{
	size_t n;
	const struct link **v = had(l, &n, e);
	int rc = v ? 0 : -1;

	*missing = 0;
	for (size_t i = 0; !rc && i < l->n; i++) {
		const struct link *x = &l->v[i], **at;
		const char *file = "(none of the files given)";

		if (!x->input)
			continue;
		at = bsearch(&x, v, n, sizeof(*v), by_hex);
		*missing += !at;
		file = at ? (*at)->file : file;
		rc = moe_text_escape(out, x->file, strlen(x->file), false, e) || moe_buf_addf(out, e, " <- ") ||
			moe_text_escape(out, file, strlen(file), false, e) || moe_buf_addf(out, e, "  %s\n", x->hex);
	}
	free(v);
	return rc ? -1 : 0;
}
