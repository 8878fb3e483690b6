/* pairs_stream.c - reads pairs from a stream of the kind `pairs`, one record at a time. */
#include "formats/pairs_private.h"
#include "formats/list.h"

#include <string.h>

static const char *const key[PF_COUNT] = { "prompt", "hack", "clean", "id", "section", NULL, "mode",
	"marker", "task" };

int pairs_stream_open(struct moe_pairs *p, struct moe_err *e)
{
	if (p->reader)
		return 1;
	p->reader = moe_reader_open_fn(moe_source_read, p->src, p->src->name, NULL, e);
	if (!p->reader || moe_reader_expect(p->reader, "pairs", e))
		return -1;
	return moe_reader_peek_header(p->reader, e);
}

static int tags(struct moe_pairs *p, struct moe_err *e)
{
	struct moe_list all;
	struct moe_str tag;

	moe_list_open(&p->rec, "tags", &all);
	for (bool first = true; moe_list_next_str(&all, &tag); first = false)
		if ((!first && pairs_append(p, PF_TAGS, ",", 1, p->draft.line, e)) ||
			pairs_append(p, PF_TAGS, tag.p, tag.n, p->draft.line, e))
			return -1;
	return 0;
}

/* The record's texts into the draft. draft.line is the record's number. */
static int take(struct moe_pairs *p, struct moe_err *e)
{
	pairs_clear(p);
	p->draft.line = p->rec.number;
	for (size_t i = 0; i < p->rec.n_field; i++) {
		struct moe_str k = p->rec.field[i].key;
		char name[64] = "";

		if (k.n < sizeof(name))
			memcpy(name, k.p, k.n);
		if (pairs_finding(name))
			return pairs_refuse_finding(p, p->draft.line, name, e);
	}
	for (int f = 0; f < PF_COUNT; f++) {
		struct moe_str s;

		if (f == PF_TAGS)
			continue;
		if (f > PF_NAME && moe_rec_has(&p->rec, key[f]) <= MOE_V_NIL)
			continue;
		if (moe_rec_str_req(&p->rec, key[f], &s, e))
			return moe_err_prefix(e, "%s", p->src->name);
		if (pairs_append(p, f, s.p, s.n, p->draft.line, e))
			return -1;
	}
	return tags(p, e);
}

int pairs_stream_next(struct moe_pairs *p, struct moe_err *e)
{
	int rc = pairs_stream_open(p, e);

	while (rc > 0 && (rc = moe_reader_next(p->reader, &p->rec, e)) > 0)
		if (moe_rec_is(&p->rec, "pair"))
			break;
	/* the end of a segment may say more than its header did */
	if (rc >= 0 && pairs_labels(p, moe_reader_labels(p->reader), e))
		return -1;
	return rc > 0 && take(p, e) ? -1 : rc;
}
