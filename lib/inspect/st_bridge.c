/* st_bridge.c - moves tensors between streams and safetensors files. The file format itself is
 * safetensors.c's. */
#include "inspect/st_bridge.h"
#include "inspect/assemble.h"
#include "formats/json.h"
#include "formats/jsonl.h"
#include "formats/safetensors.h"
#include "util/digest.h"
#include "util/fd.h"
#include "util/names.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define META "moe.stream"

/* A stream on its way into a file: names and shapes in memory, the data in a file without a name.
 */
struct gathered {
	struct moe_st_tensor *t; /* [n]; their data lie one after the other in the spool */
	size_t n, cap;
	struct moe_names names; /* of the tensors, in their order; text in `arena` */
	struct moe_arena arena;
	struct moe_buf lines; /* the stream without its tensors' data, as JSON Lines */
	struct moe_buf arm,
		rest; /* of the layout above; the other keys of the tensor's first chunk */
	unsigned suffix;
	int spool; /* borrowed */
	void *map;
	size_t bytes; /* spooled */
};

static void gathered_free(struct gathered *g)
{
	if (g->map)
		munmap(g->map, g->bytes);
	free(g->t);
	moe_names_free(&g->names);
	moe_arena_free(&g->arena);
	moe_buf_free(&g->lines);
	moe_buf_free(&g->arm);
	moe_buf_free(&g->rest);
}

static bool is_taken(const struct gathered *g, const struct moe_buf *name)
{
	return !strcmp((const char *)name->data, "__metadata__") ||
		moe_names_find(&g->names, (const char *)name->data) >= 0;
}

/* NAME, ARM/NAME, or ARM/NAME/2, /3 ...: whatever is free; NULL and *e. The record itself keeps its
 * name, so bytes that are no UTF-8, which the file could not hold, may be escaped. */
static const char *free_name(struct gathered *g, const char *name, struct moe_err *e)
{
	struct moe_buf s = { 0 }, arm = { 0 };
	int64_t i = -1;
	int rc = moe_text_escape_invalid(&s, name, strlen(name), e) ||
		moe_text_escape_invalid(&arm, (char *)g->arm.data, g->arm.len, e) ||
		!moe_buf_cstr(&s, e) || !moe_buf_cstr(&arm, e);

	for (bool first = true; !rc && is_taken(g, &s); first = false) {
		s.len = 0;
		rc = moe_buf_addf(&s, e, "%s/", (char *)arm.data) ||
			moe_text_escape_invalid(&s, name, strlen(name), e) ||
			(!first && moe_buf_addf(&s, e, "/%u", ++g->suffix + 1)) ||
			!moe_buf_cstr(&s, e);
	}
	if (!rc)
		i = moe_names_add(&g->names, &g->arena, (char *)s.data, s.len, e);
	moe_buf_free(&s);
	moe_buf_free(&arm);
	return i < 0 ? NULL : g->names.v[i];
}

static int add_tensor(struct gathered *g, const struct moe_assemble *a, struct moe_err *e)
{
	struct moe_st_tensor *x;

	if (moe_grow((void **)&g->t, g->n, &g->cap, sizeof(*g->t), e))
		return -1;
	x = &g->t[g->n];
	memset(x, 0, sizeof(*x));
	memcpy(x->dtype, a->whole.dtype, sizeof(x->dtype));
	x->rank = a->whole.rank;
	for (int i = 0; i < x->rank; i++)
		x->shape[i] = a->whole.shape[i];
	x->bytes = a->whole.bytes;
	x->name = free_name(g, (const char *)a->name.data, e);
	g->n += x->name != NULL;
	return x->name ? 0 : -1;
}

/* A line of the metadata, of which the format allows so much and no more. */
static int add_line(struct gathered *g, const struct moe_rec *r, bool header, struct moe_err *e)
{
	if (moe_jsonl_line(r, header, false, &g->lines, e))
		return -1;
	return g->lines.len <= MOE_ST_HEADER_MAX
		? 0
		: moe_fail(e, MOE_DATA,
			  "what the stream holds beside tensors takes more than the %u bytes of "
			  "metadata that a safetensors file may have",
			  MOE_ST_HEADER_MAX);
}

/* The tensor's record with the name of its data in the file instead of the data. */
static int tensor_line(struct gathered *g, const struct moe_rec *r, struct moe_err *e)
{
	struct moe_rec line = { 0 };
	int rc = moe_rec_copy(&line, r, e);

	moe_rec_unset(&line, "dtype");
	moe_rec_unset(&line, "shape");
	moe_rec_unset(&line, "offset");
	rc = rc || moe_rec_set_str(&line, "data", g->t[g->n - 1].name, e) ||
		add_line(g, &line, false, e);
	moe_rec_free(&line);
	return rc ? -1 : 0;
}

/* The keys of a chunk that are not those of every tensor record: the file keeps them once for each
 * tensor. */
static int check_rest(struct gathered *g, const struct moe_rec *r, bool first, struct moe_err *e)
{
	static const char *const known[] = { "t", "name", "dtype", "shape", "offset", "data" };
	struct moe_buf rest = { 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < r->n_field; i++) {
		const struct moe_rec_field *f = &r->field[i];
		bool extra = true;

		for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++)
			extra = extra && !moe_str_eq(f->key, known[k]);
		if (extra)
			rc = moe_buf_add(&rest, f->key.p, f->key.n, e) ||
				moe_buf_add(&rest, "", 1, e) ||
				moe_buf_add(&rest, r->bytes.data + f->off, f->len, e);
	}
	if (!rc && !first &&
		(rest.len != g->rest.len ||
			(rest.len && memcmp(rest.data, g->rest.data, rest.len) != 0)))
		rc = moe_fail(e, MOE_DATA,
			"record %" PRIu64 " (byte %" PRIu64
			"): the other keys of this chunk are not those of the tensor's first one: "
			"a safetensors file could not keep them",
			r->number, r->byte);
	moe_buf_free(&g->rest);
	g->rest = rest;
	return rc ? -1 : 0;
}

static int gather_record(struct gathered *g, struct moe_assemble *a, const struct moe_rec *r,
	const char *path, struct moe_err *e)
{
	struct moe_str arm, name, data;
	bool first = !a->open;
	int rc;

	if (!moe_rec_is(r, "tensor")) {
		if (moe_rec_is(r, "layout") && moe_rec_str(r, "arm", &arm)) {
			g->arm.len = 0;
			if (moe_buf_add(&g->arm, arm.p, strnlen(arm.p, arm.n),
				    e)) /* it only tells names apart */
				return -1;
		}
		return moe_assemble_closed(a, e) || add_line(g, r, false, e) ? -1 : 0;
	}
	rc = moe_assemble_chunk(a, r, SIZE_MAX / 2, e);
	if (rc < 0 || !moe_rec_bin(r, "data", &data) || check_rest(g, r, first, e))
		return -1;
	if (moe_rec_str(r, "name", &name) && memchr(name.p, 0, name.n))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 " (byte %" PRIu64
			"): a tensor whose name has a NUL in it, which a safetensors file can not "
			"hold",
			r->number, r->byte);
	if (moe_fd_write(g->spool, data.p, data.n))
		return moe_fail_errno(e, "%s: writing its temporary file failed", path);
	g->bytes += data.n;
	return rc == 1 && (add_tensor(g, a, e) || tensor_line(g, r, e)) ? -1 : 0;
}

/* The spooled data become the tensors'. */
static int map_spool(struct gathered *g, const char *path, struct moe_err *e)
{
	const uint8_t *at;

	if (g->bytes) {
		void *p = mmap(NULL, g->bytes, PROT_READ, MAP_PRIVATE, g->spool, 0);

		if (p == MAP_FAILED)
			return moe_fail_errno(e, "%s: its temporary file can not be mapped", path);
		g->map = p;
	}
	at = g->map;
	for (size_t i = 0; i < g->n; i++) {
		g->t[i].data = at ? at : (const uint8_t *)"";
		at += at ? g->t[i].bytes : 0;
	}
	return 0;
}

static int gather(struct gathered *g, struct moe_reader *r, const char *path, struct moe_err *e)
{
	struct moe_assemble a = { .no_data = true };
	struct moe_rec rec = { 0 };
	int rc;

	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		if ((rc = add_line(g, moe_reader_header(r), true, e)))
			break;
		while ((rc = moe_reader_next_in_segment(r, &rec, e)) == 1)
			if ((rc = gather_record(g, &a, &rec, path, e)))
				break;
		if (rc || (rc = moe_assemble_closed(&a, e)) ||
			(rc = add_line(g, moe_reader_end_record(r), false, e)))
			break;
	}
	moe_assemble_free(&a);
	moe_rec_free(&rec);
	return rc;
}

int moe_stream_to_safetensors(
	struct moe_reader *r, int fd, const char *name, int spool, struct moe_err *e)
{
	struct gathered g = { .spool = spool };
	const char *meta[1][2] = { { META, NULL } };
	int rc = gather(&g, r, name, e) || map_spool(&g, name, e) ? -1 : 0;

	if (!rc) {
		meta[0][1] = moe_buf_cstr(&g.lines, e);
		rc = meta[0][1] ? moe_st_write_fd(fd, name, g.t, g.n, meta, 1, e) : -1;
	}
	gathered_free(&g);
	return rc;
}

/* ---- back ---- */

static int put_tensor(struct moe_writer *w, const char *name, const struct moe_st_tensor *t,
	const struct moe_rec *extra, struct moe_err *e)
{
	return moe_writer_tensor(w, name, t->dtype, t->rank, t->shape, t->data, extra, e);
}

static int put_named(
	struct moe_writer *w, const struct moe_st *st, struct moe_rec *r, struct moe_err *e)
{
	struct moe_str name, key;
	char *z = NULL, *k = NULL;
	const struct moe_st_tensor *t;
	int rc = -1;

	if (moe_rec_str_req(r, "name", &name, e) || moe_rec_str_req(r, "data", &key, e) ||
		!(z = moe_str_dup(name, e)) || !(k = moe_str_dup(key, e)))
		goto out;
	t = moe_st_find(st, k);
	if (!t) {
		moe_fail(e, MOE_DATA, "tensor %s is not in the file", k);
		goto out;
	}
	moe_rec_unset(r, "data");
	moe_rec_unset(r, "name");
	rc = put_tensor(w, z, t, r, e);
out:
	free(z);
	free(k);
	return rc;
}

/* One line of the metadata. *w is the writer of the segment at hand. */
static int line_back(struct moe_writer **w, const struct moe_st *st, const char *p, size_t n,
	int fd, const char *name, struct moe_err *e)
{
	struct moe_json_doc *d = moe_json_parse(p, n, META, e);
	struct moe_buf m = { 0 };
	struct moe_rec r = { 0 };
	int rc = d && !moe_json_exact(d, p, n, META, e) &&
			!moe_json_to_msgpack(moe_json_root(d), &m, e) &&
			!moe_rec_parse(&r, m.data, m.len, e)
		? 0
		: -1;

	if (!rc && moe_rec_is(&r, "header") != !*w) {
		rc = moe_fail(e, MOE_DATA, "%s: headers and ends do not alternate", META);
	} else if (!rc && !*w) {
		moe_rec_unset(&r, "t");
		rc = (*w = moe_writer_open_header(fd, name, &r, false, e)) ? 0 : -1;
	} else if (!rc && moe_rec_is(&r, "end")) {
		if (moe_rec_has(&r, "sha256") == MOE_V_NIL)
			moe_writer_no_digest(*w);
		rc = moe_writer_end_like(*w, &r, NULL, e);
		moe_writer_close(*w);
		*w = NULL;
	} else if (!rc) {
		rc = moe_rec_is(&r, "tensor") ? put_named(*w, st, &r, e)
					      : moe_writer_put(*w, &r, e);
	}
	moe_rec_free(&r);
	moe_buf_free(&m);
	moe_json_free(d);
	return rc;
}

static int own_file(
	const struct moe_st *st, const char *lines, int fd, const char *name, struct moe_err *e)
{
	struct moe_writer *w = NULL;
	int rc = *lines ? 0 : moe_fail(e, MOE_DATA, "%s: it is empty, and a stream is not", META);

	while (!rc && *lines) {
		size_t n = strcspn(lines, "\n");

		rc = line_back(&w, st, lines, n, fd, name, e);
		lines += n + (lines[n] != 0);
	}
	if (!rc && w)
		rc = moe_fail(e, MOE_DATA, "%s: the last segment has no end", META);
	moe_writer_close(w);
	return rc;
}

static int foreign_file(const struct moe_st *st, int fd, const char *name,
	const struct moe_writer_opts *o, struct moe_err *e)
{
	struct moe_writer *w = moe_writer_open_fd(fd, name, o, NULL, e);
	char hex[MOE_SHA256_HEX];
	size_t n = 0;
	const void *file = moe_st_file(st, 0, &n);
	int rc = -1;

	if (w) {
		moe_sha256_of(file, n, hex);
		rc = moe_writer_from(w, hex, e);
	}
	for (size_t i = 0; !rc && i < moe_st_count(st); i++)
		rc = put_tensor(w, moe_st_at(st, i)->name, moe_st_at(st, i), NULL, e);
	if (!rc)
		rc = moe_writer_end(w, NULL, e);
	moe_writer_close(w);
	return rc;
}

int moe_safetensors_to_stream(const char *path, int fd, const char *name,
	const struct moe_writer_opts *o, struct moe_err *e)
{
	struct moe_st *st = moe_st_open(path, e);
	const char *lines;
	int rc;

	if (!st)
		return -1;
	lines = moe_st_meta(st, META);
	rc = lines ? own_file(st, lines, fd, name, e) : foreign_file(st, fd, name, o, e);
	if (rc)
		moe_err_prefix(e, "%s", path);
	moe_st_close(st);
	return rc;
}
