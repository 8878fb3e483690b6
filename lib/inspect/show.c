/* show.c - the loops of moe-cat over segments and records. What a value looks like is decided in
 * json.c and summary.c. */
#include "inspect/show.h"
#include "formats/jsonl.h"
#include "formats/list.h"
#include "formats/mp.h"
#include "inspect/summary.h"
#include "util/fd.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)1 << 16)

int moe_show_flush(struct moe_show *o, struct moe_err *e)
{
	if (moe_fd_write(o->fd, o->out.data, o->out.len))
		return moe_fail_errno(e, "%s: writing failed", o->name);
	o->out.len = 0;
	return 0;
}

static int flush_block(struct moe_show *o, struct moe_err *e)
{
	return o->out.len >= BLOCK || o->unbuffered ? moe_show_flush(o, e) : 0;
}

/* ---- one loop, two outputs ---- */

struct sink {
	bool json;
	struct moe_writer *w; /* of the segment at hand, unless JSON */
};

static bool cut(const struct moe_show *o)
{
	return o->where || o->limited;
}

static bool full(const struct moe_show *o)
{
	return o->limited && o->shown >= o->limit;
}

bool moe_show_wanted(struct moe_show *o, const struct moe_reader *r)
{
	struct moe_str kind = moe_reader_kind(r);
	char name[sizeof(o->other[0])];

	if (!o->kind || moe_str_eq(kind, o->kind))
		return o->found = true;
	moe_text_escape_to(name, sizeof(name), kind.p, kind.n);
	for (size_t i = 0; i < MOE_SHOW_OTHERS; i++) {
		if (!*o->other[i])
			memcpy(o->other[i], name, sizeof(name));
		if (!strcmp(o->other[i], name))
			break;
	}
	return false;
}

int moe_show_found(const struct moe_show *o, struct moe_err *e)
{
	char all[sizeof(o->other) + 8] = "";

	if (o->found || !*o->other[0])
		return 0;
	for (size_t i = 0; i < MOE_SHOW_OTHERS && *o->other[i]; i++) {
		size_t n = strlen(all);

		snprintf(all + n, sizeof(all) - n, "%s%s", n ? ", " : "", o->other[i]);
	}
	return moe_fail(e, MOE_NEGATIVE, "nothing here is of kind %s: there is %s", o->kind, all);
}

static int begin(struct moe_show *o, struct sink *k, const struct moe_reader *r, struct moe_err *e)
{
	struct moe_rec h = { 0 };
	struct moe_buf argv = { 0 };
	int rc = moe_rec_copy(&h, moe_reader_header(r), e);

	if (!rc && cut(o)) {
		rc = moe_rec_set_str(&h, "tool", o->tool, e) ||
			moe_mp_array(&argv, (size_t)o->argc, e);
		for (int i = 0; !rc && i < o->argc; i++)
			rc = moe_mp_str(&argv, o->argv[i], strlen(o->argv[i]), e);
		rc = rc || moe_rec_set_raw(&h, "argv", argv.data, argv.len, e);
	}
	if (!rc && k->json)
		rc = moe_jsonl_line(&h, true, false, &o->out, e);
	else if (!rc)
		rc = (k->w = moe_writer_open_header(o->fd, o->name, &h, false, e)) ? 0 : -1;
	moe_buf_free(&argv);
	moe_rec_free(&h);
	return rc ? -1 : 0;
}

static int one(struct moe_show *o, struct sink *k, const struct moe_rec *rec, struct moe_err *e)
{
	if (k->json)
		return moe_jsonl_line(rec, false, o->values, &o->out, e) || flush_block(o, e) ? -1
											      : 0;
	if (moe_writer_put(k->w, rec, e))
		return -1;
	return o->unbuffered || moe_rec_is(rec, "step") ? moe_writer_flush(k->w, e) : 0;
}

/* The end of a segment that was filtered or truncated: its source is the segment read, unless that
 * had no end. */
static int cut_end(const struct moe_reader *r, uint64_t n, struct moe_rec *end, struct moe_err *e)
{
	struct moe_buf from = { 0 };
	const char *hex = moe_reader_digest(r, moe_reader_digests(r) - 1);
	int rc = moe_rec_set_str(end, "t", "end", e) || moe_rec_set_int(end, "n", (int64_t)n, e) ||
		moe_rec_set_str(end, "labels", moe_labels_name(moe_reader_labels(r)), e) ||
		moe_mp_array(&from, *hex ? 1 : 0, e);

	if (!rc && *hex)
		rc = moe_mp_str(&from, hex, strlen(hex), e);
	rc = rc || moe_rec_set_raw(end, "from", from.data, from.len, e);
	moe_buf_free(&from);
	return rc ? -1 : 0;
}

static int finish(struct moe_show *o, struct sink *k, const struct moe_reader *r, uint64_t n,
	struct moe_err *e)
{
	struct moe_rec end = { 0 };
	int rc = cut(o) || moe_reader_cut(r) ? cut_end(r, n, &end, e)
					     : moe_rec_copy(&end, moe_reader_end_record(r), e);

	if (!rc && k->json) {
		rc = moe_jsonl_line(&end, false, false, &o->out, e);
	} else if (!rc) {
		if (moe_rec_has(&end, "sha256") == MOE_V_NIL)
			moe_writer_no_digest(k->w);
		rc = moe_writer_end_like(k->w, &end, NULL, e);
	}
	moe_rec_free(&end);
	return rc;
}

/* Not the first chunk of a tensor. */
static bool continues(const struct moe_rec *rec)
{
	int64_t offset;

	return moe_rec_is(rec, "tensor") && moe_rec_int(rec, "offset", &offset) && offset > 0;
}

/* Whether the record is wanted, with `last`: whether the one before it was. The chunks of a tensor
 * go together and count as one. */
static bool take(struct moe_show *o, const struct moe_rec *rec, bool last)
{
	if (continues(rec))
		return last;
	if (full(o) || (o->where && !moe_where_pass(o->where, rec)))
		return false;
	o->shown++;
	return true;
}

/* The limit chooses records as the conditions do: what follows is read all the same, since only the
 * end of a segment has its digest and the label taint of its makers. */
static int walk(struct moe_show *o, struct moe_reader *r, struct sink *k, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int rc;

	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		bool wanted = moe_show_wanted(o, r), taken = false;
		uint64_t n = 0;

		if (o->where)
			moe_where_segment(o->where);
		if (wanted && (rc = begin(o, k, r, e)))
			break;
		while ((rc = moe_reader_next_in_segment(r, &rec, e)) == 1) {
			taken = wanted && take(o, &rec, taken);
			if (taken && one(o, k, &rec, e)) {
				rc = -1;
				break;
			}
			n += taken;
		}
		if (rc < 0)
			break;
		if (wanted && (rc = finish(o, k, r, n, e)))
			break;
		moe_writer_close(k->w);
		k->w = NULL;
	}
	moe_writer_close(k->w);
	moe_rec_free(&rec);
	/* what came before a failure is shown all the same */
	if (k->json && moe_show_flush(o, rc < 0 ? NULL : e))
		return -1;
	return rc < 0 ? -1 : 0;
}

int moe_show_stream(struct moe_show *o, struct moe_reader *r, struct moe_err *e)
{
	struct sink k = { .json = false };

	return walk(o, r, &k, e);
}

int moe_show_json(struct moe_show *o, struct moe_reader *r, struct moe_err *e)
{
	struct sink k = { .json = true };

	return walk(o, r, &k, e);
}

/* ---- looking ---- */

static int add_argv(const struct moe_rec *h, struct moe_buf *out, struct moe_err *e)
{
	struct moe_list l;
	struct moe_str s;

	moe_list_open(h, "argv", &l);
	for (bool first = true; moe_list_next_str(&l, &s); first = false)
		if (moe_buf_add(out, " ", first ? 0 : 1, e) ||
			moe_text_escape(out, s.p, s.n, false, e))
			return -1;
	return 0;
}

static int add_header(const struct moe_reader *r, struct moe_buf *out, struct moe_err *e)
{
	const struct moe_rec *h = moe_reader_header(r);
	struct moe_str kind = moe_reader_kind(r), labels = { "?", 1 };
	int64_t seed = 0;

	moe_rec_str(h, "labels", &labels);
	moe_rec_int(h, "seed", &seed);
	if (moe_buf_addf(out, e, "  ") || moe_text_escape(out, kind.p, kind.n, false, e) ||
		moe_buf_addf(out, e, "  by: ") || add_argv(h, out, e) ||
		moe_buf_addf(out, e, "\n    seed %" PRId64 ", labels ", seed) ||
		moe_text_escape(out, labels.p, labels.n, false, e))
		return -1;
	return moe_buf_add(out, "\n", 1, e);
}

/* An archive of many files is as many inputs. */
#define FROM_SHOWN 4

static int add_end(const struct moe_reader *r, uint64_t n, struct moe_buf *out, struct moe_err *e)
{
	const struct moe_rec *end = moe_reader_end_record(r);
	struct moe_str s, sha = { "none", 4 }, labels = { "?", 1 };
	struct moe_list from;

	if (moe_reader_cut(r))
		return moe_buf_addf(
			out, e, "    %" PRIu64 " record%s, TRUNCATED\n", n, n == 1 ? "" : "s");
	moe_rec_str(end, "sha256", &sha);
	moe_rec_str(end, "labels", &labels);
	if (moe_buf_addf(
		    out, e, "    %" PRIu64 " record%s, complete, sha256 ", n, n == 1 ? "" : "s") ||
		moe_text_escape(out, sha.p, sha.n, false, e) || moe_buf_addf(out, e, ", labels ") ||
		moe_text_escape(out, labels.p, labels.n, false, e) || moe_buf_addf(out, e, "\n"))
		return -1;
	moe_list_open(end, "from", &from);
	for (int i = 0; i < FROM_SHOWN && moe_list_next_str(&from, &s); i++)
		if (moe_buf_addf(out, e, "    from ") || moe_text_escape(out, s.p, s.n, false, e) ||
			moe_buf_addf(out, e, "\n"))
			return -1;
	return from.left ? moe_buf_addf(out, e, "    from %zu more\n", from.left) : 0;
}

static int add_name(const char *name, struct moe_buf *out, struct moe_err *e)
{
	return moe_text_escape(out, name, strlen(name), false, e) || moe_buf_add(out, "\n", 1, e)
		? -1
		: 0;
}

int moe_show_head(struct moe_show *o, struct moe_reader *r, const char *name, struct moe_err *e)
{
	uint64_t limit = o->limited ? o->limit : 3, shown = 0;
	struct moe_rec rec = { 0 };
	int rc = add_name(name, &o->out, e);

	while (!rc && shown < limit && (rc = moe_reader_peek_header(r, e)) == 1) {
		bool wanted = moe_show_wanted(o, r);

		if (o->where)
			moe_where_segment(o->where);
		rc = wanted ? add_header(r, &o->out, e) : 0;
		while (!rc && shown < limit && (rc = moe_reader_next_in_segment(r, &rec, e)) == 1) {
			rc = 0;
			if (!wanted || (o->where && !moe_where_pass(o->where, &rec)))
				continue;
			rc = moe_summary_record(&rec, &o->out, e) || flush_block(o, e) ? -1 : 0;
			shown++;
		}
	}
	moe_rec_free(&rec);
	return moe_show_flush(o, rc < 0 ? NULL : e) || rc < 0 ? -1 : 0;
}

/* Headers and ends of the first and the last segments: a feedback loop's file may have hundreds. */
#define SEGMENTS_SHOWN 4

static int summarise(
	struct moe_show *o, struct moe_reader *r, struct moe_summary *s, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	struct moe_buf last = { 0 };
	uint64_t segments = 0, left_out = 0;
	int rc;

	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		bool wanted = moe_show_wanted(o, r);
		struct moe_buf *to = segments < SEGMENTS_SHOWN ? &o->out : &last;
		uint64_t n = 0;

		last.len = 0;
		if (o->where)
			moe_where_segment(o->where);
		if (wanted && (rc = add_header(r, to, e)))
			break;
		for (; (rc = moe_reader_next_in_segment(r, &rec, e)) == 1; n++)
			if (wanted && (!o->where || moe_where_pass(o->where, &rec)) &&
				(rc = moe_summary_add(s, &rec, e)))
				break;
		if (rc || (wanted && (rc = add_end(r, n, to, e))))
			break;
		if (wanted && ++segments > SEGMENTS_SHOWN + 1)
			left_out++;
	}
	if (left_out &&
		moe_buf_addf(&o->out, NULL, "  ... %" PRIu64 " more segment%s ...\n", left_out,
			left_out == 1 ? "" : "s"))
		rc = moe_fail(e, MOE_SYSTEM, "out of memory for a summary");
	if (!rc)
		rc = moe_buf_add(&o->out, last.data, last.len, e);
	/* also of those left out above, and of a cut before the first record, which is in no
	 * segment */
	if (!rc && moe_reader_cuts(r))
		rc = moe_buf_addf(&o->out, e, "  TRUNCATED: %" PRIu64 " end%s missing\n",
			moe_reader_cuts(r), moe_reader_cuts(r) == 1 ? " is" : "s are");
	moe_buf_free(&last);
	moe_rec_free(&rec);
	return rc < 0 ? -1 : 0;
}

int moe_show_summary(struct moe_show *o, struct moe_reader *r, const char *name, struct moe_err *e)
{
	struct moe_summary *s = moe_summary_new(e);
	int rc;

	if (!s)
		return -1;
	rc = add_name(name, &o->out, e) || summarise(o, r, s, e);
	/* of a damaged stream, what came before the damage is shown */
	if (moe_summary_print(s, &o->out, rc ? NULL : e) || moe_show_flush(o, rc ? NULL : e))
		rc = -1;
	moe_summary_free(s);
	return rc ? -1 : 0;
}
