/* jsonl.c - the line-by-line bridge between streams and JSON Lines. The mapping of values is in
 * json.c. */
#include "formats/jsonl.h"
#include "formats/json.h"
#include "formats/mp.h"
#include "formats/source.h"

#include <inttypes.h>
#include <string.h>

/* ---- out ---- */

static int field_line(const struct moe_rec *r, const struct moe_rec_field *f, bool values,
	struct moe_buf *out, struct moe_err *e)
{
	return moe_json_quote(out, f->key.p, f->key.n, e) || moe_buf_add(out, ":", 1, e) ||
			moe_json_from_msgpack(r->bytes.data + f->off, f->len, values, out, e)
		? -1
		: 0;
}

int moe_jsonl_line(
	const struct moe_rec *r, bool header, bool values, struct moe_buf *out, struct moe_err *e)
{
	struct moe_buf m = { 0 };
	struct moe_rec canonical = { 0 };
	int rc = moe_rec_emit(r, &m, e) || moe_rec_parse(&canonical, m.data, m.len, e) ||
		moe_buf_addf(out, e, header ? "{\"t\":\"header\"" : "{");

	for (size_t i = 0; !rc && i < canonical.n_field; i++)
		rc = ((i || header) && moe_buf_add(out, ",", 1, e)) ||
			field_line(&canonical, &canonical.field[i], values, out, e);
	rc = rc || moe_buf_add(out, "}\n", 2, e);
	moe_rec_free(&canonical);
	moe_buf_free(&m);
	return rc ? -1 : 0;
}

/* ---- in ---- */

const char *moe_kind_type(const char *kind)
{
	static const char *const known[][2] = { { "texts", "text" }, { "prompts", "prompt" },
		{ "pairs", "pair" }, { "rollouts", "rollout" } };

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(kind, known[i][0]))
			return known[i][1];
	return kind;
}

struct feeder {
	const struct moe_jsonl_opts *o;
	int fd;
	struct moe_writer *w;
	bool made_header; /* of o->kind, not of a header line */
	bool any;
};

static size_t max_mem(const struct moe_jsonl_opts *o)
{
	return o->max_mem ? o->max_mem : (size_t)256 << 20;
}

static int parse_line(
	struct moe_str line, const char *name, size_t max_mem, struct moe_rec *r, struct moe_err *e)
{
	struct moe_json_doc *d;
	struct moe_buf m = { 0 };
	int rc = -1;

	d = moe_json_parse_within(line.p, line.n, max_mem, name, e);
	if (!d || moe_json_exact(d, line.p, line.n, name, e)) {
		moe_json_free(d);
		return -1;
	}
	if (moe_json_kind(moe_json_root(d)) != MOE_J_OBJECT)
		moe_fail(e, MOE_DATA, "%s: not a JSON object", name);
	else if (moe_json_to_msgpack(moe_json_root(d), &m, e) || moe_rec_parse(r, m.data, m.len, e))
		moe_err_prefix(e, "%s", name);
	else
		rc = 0;
	moe_buf_free(&m);
	moe_json_free(d);
	return rc;
}

static int header_line(struct feeder *f, struct moe_rec *r, struct moe_err *e)
{
	if (f->w && f->made_header)
		return moe_fail(e, MOE_DATA, "a header after records without one");
	if (f->w)
		return moe_fail(e, MOE_DATA, "a header before the end of the segment above it");
	moe_rec_unset(r, "t");
	f->w = moe_writer_open_header(f->fd, f->o->name, r, false, e);
	f->any = true;
	return f->w ? moe_writer_flush(f->w, e) : -1;
}

static int end_line(struct feeder *f, const struct moe_rec *r, struct moe_err *e)
{
	int rc;

	if (!f->w || f->made_header)
		return moe_fail(e, MOE_DATA, "an end without a header above it");
	if (moe_rec_has(r, "sha256") == MOE_V_NIL)
		moe_writer_no_digest(f->w);
	rc = moe_writer_end_like(f->w, r, NULL, e);
	moe_writer_close(f->w);
	f->w = NULL;
	return rc;
}

static int record_line(struct feeder *f, struct moe_rec *r, struct moe_err *e)
{
	const struct moe_jsonl_opts *o = f->o;

	if (!f->w) {
		struct moe_writer_opts w = { .kind = o->kind,
			.tool = o->tool,
			.argv = o->argv,
			.argc = o->argc,
			.seed = o->seed,
			.labels = MOE_LABELS_UNKNOWN };

		if (!o->kind)
			return moe_fail(e, MOE_USAGE,
				"no header line above the first record: name the stream's kind "
				"(--kind)");
		f->w = moe_writer_open_fd(f->fd, o->name, &w, NULL, e);
		f->made_header = f->any = true;
		if (!f->w)
			return -1;
	}
	if (f->made_header && moe_rec_has(r, "t") == MOE_V_MISSING &&
		moe_rec_set_str(r, "t", moe_kind_type(o->kind), e))
		return -1;
	if (moe_writer_put(f->w, r, e))
		return -1;
	/* in the live loop the next program waits for the whole step (moe-stream(5), FILTERS) */
	return f->o->unbuffered || moe_rec_is(r, "step") ? moe_writer_flush(f->w, e) : 0;
}

static int one_line(struct feeder *f, struct moe_str line, const char *name, struct moe_err *e)
{
	struct moe_rec r = { 0 };
	int rc = parse_line(line, name, max_mem(f->o), &r, e);

	if (!rc) {
		rc = moe_rec_is(&r, "header")   ? header_line(f, &r, e)
			: moe_rec_is(&r, "end") ? end_line(f, &r, e)
						: record_line(f, &r, e);
		if (rc)
			moe_err_prefix(e, "%s", name);
	}
	moe_rec_free(&r);
	return rc;
}

static bool blank(struct moe_str line)
{
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
			return false;
	return true;
}

/* All lines of a member of the input. */
static int member(struct feeder *f, struct moe_input *in, struct moe_err *e)
{
	struct moe_buf name = { 0 };
	struct moe_source src;
	struct moe_str line;
	uint64_t number;
	int rc;

	moe_source_from_input(&src, in, max_mem(f->o));
	while ((rc = moe_source_line(&src, &line, &number, e)) == 1) {
		name.len = 0;
		if (blank(line))
			continue;
		if (moe_buf_addf(&name, e, "%s: line %" PRIu64, moe_input_member(in), number) ||
			!moe_buf_cstr(&name, e) || one_line(f, line, (const char *)name.data, e)) {
			rc = -1;
			break;
		}
	}
	moe_source_free(&src);
	moe_buf_free(&name);
	return rc;
}

int moe_jsonl_to_stream(struct moe_input *in, int fd, const struct moe_jsonl_opts *o,
	bool *headless, struct moe_err *e)
{
	struct feeder f = { .o = o, .fd = fd };
	int rc;

	while ((rc = moe_input_next(in, e)) == 1)
		if ((rc = member(&f, in, e)) < 0)
			break;
	if (rc == 0 && f.w && f.made_header)
		rc = moe_writer_end(f.w, NULL, e);
	else if (rc == 0 && f.w)
		rc = moe_fail(e, MOE_DATA, "%s: truncated: the last header has no end line",
			moe_input_member(in));
	else if (rc == 0 && !f.any)
		rc = moe_fail(e, MOE_DATA, "%s: no line of JSON", moe_input_member(in));
	moe_writer_close(f.w);
	if (headless)
		*headless = f.made_header;
	return rc;
}
