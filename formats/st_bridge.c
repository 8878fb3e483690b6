/* st_bridge.c - moves tensors between streams and safetensors files. The file format itself is safetensors.c's. */
#include "formats/st_bridge.h"
#include "formats/assemble.h"
#include "formats/json.h"
#include "formats/jsonl.h"
#include "formats/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META "moe.stream"

struct gathered {
	struct moe_st_tensor *t;     /* names and data owned */
	size_t n, cap, bytes;
	struct moe_buf lines;        /* the stream without its tensors' data, as JSON Lines */
	char arm[128];
};

static void gathered_free(struct gathered *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free((char *)(uintptr_t)g->t[i].name);
		free((void *)(uintptr_t)g->t[i].data);
	}
	free(g->t);
	moe_buf_free(&g->lines);
}

static bool taken(const struct gathered *g, const char *name)
{
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->t[i].name, name))
			return true;
	return false;
}

/* NAME, ARM/NAME, or ARM/NAME/2, /3 ...: whatever is free. To be freed. */
static char *free_name(const struct gathered *g, const char *name, struct moe_err *e)
{
	size_t cap = strlen(g->arm) + strlen(name) + 32;
	char *s = malloc(cap);

	if (!s) {
		moe_fail(e, MOE_SYSTEM, "out of memory for a name");
		return NULL;
	}
	snprintf(s, cap, "%s", name);
	if (taken(g, s))
		snprintf(s, cap, "%s/%s", g->arm, name);
	for (int i = 2; taken(g, s); i++)
		snprintf(s, cap, "%s/%s/%d", g->arm, name, i);
	return s;
}

static int add_tensor(struct gathered *g, const struct moe_assemble *a, struct moe_err *e)
{
	struct moe_st_tensor *x;

	if (g->n == g->cap) {
		size_t cap = g->cap ? 2 * g->cap : 64;
		void *p = realloc(g->t, cap * sizeof(*g->t));

		if (!p)
			return moe_fail(e, MOE_SYSTEM, "out of memory for %zu tensors", cap);
		g->t = p;
		g->cap = cap;
	}
	x = &g->t[g->n];
	memset(x, 0, sizeof(*x));
	memcpy(x->dtype, a->whole.dtype, sizeof(x->dtype));
	x->rank = a->whole.rank;
	for (int i = 0; i < x->rank; i++)
		x->shape[i] = a->whole.shape[i];
	x->bytes = a->whole.bytes;
	x->name = free_name(g, (const char *)a->name.data, e);
	x->data = x->name ? malloc(x->bytes ? x->bytes : 1) : NULL;
	if (!x->data) {
		free((char *)(uintptr_t)x->name);
		return moe_fail(e, MOE_SYSTEM, "out of memory for a tensor of %zu bytes", x->bytes);
	}
	memcpy((void *)(uintptr_t)x->data, a->whole.data, x->bytes);
	g->n++;
	g->bytes += x->bytes;
	return 0;
}

/* The tensor's record with the name of its data in the file instead of the data. */
static int tensor_line(struct gathered *g, const struct moe_rec *r, struct moe_err *e)
{
	struct moe_rec line = {0};
	int rc = moe_rec_copy(&line, r, e);

	moe_rec_unset(&line, "dtype");
	moe_rec_unset(&line, "shape");
	moe_rec_unset(&line, "offset");
	rc = rc || moe_rec_set_str(&line, "data", g->t[g->n - 1].name, e) || moe_jsonl_line(&line, false, false, &g->lines, e);
	moe_rec_free(&line);
	return rc ? -1 : 0;
}

static int gather_record(struct gathered *g, struct moe_assemble *a, const struct moe_rec *r, size_t max_mem, struct moe_err *e)
{
	struct moe_str arm;
	int rc;

	if (!moe_rec_is(r, "tensor")) {
		if (moe_rec_is(r, "layout") && moe_rec_str(r, "arm", &arm))
			snprintf(g->arm, sizeof(g->arm), "%.*s", (int)(arm.n < 127 ? arm.n : 127), arm.p);
		return moe_assemble_closed(a, e) || moe_jsonl_line(r, false, false, &g->lines, e) ? -1 : 0;
	}
	rc = moe_assemble_chunk(a, r, max_mem - (g->bytes < max_mem ? g->bytes : max_mem), e);
	if (rc != 1)
		return rc;
	return add_tensor(g, a, e) || tensor_line(g, r, e) ? -1 : 0;
}

int moe_stream_to_safetensors(struct moe_reader *r, const char *path, size_t max_mem, struct moe_err *e)
{
	struct moe_assemble a = {0};
	struct gathered g = {0};
	struct moe_rec rec = {0};
	const char *meta[1][2] = {{META, NULL}};
	int rc;

	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		if ((rc = moe_jsonl_line(moe_reader_header(r), true, false, &g.lines, e)))
			break;
		while ((rc = moe_reader_next_in_segment(r, &rec, e)) == 1)
			if ((rc = gather_record(&g, &a, &rec, max_mem, e)))
				break;
		if (rc || (rc = moe_assemble_closed(&a, e)) || (rc = moe_jsonl_line(moe_reader_end_record(r), false, false, &g.lines, e)))
			break;
	}
	if (!rc) {
		meta[0][1] = moe_buf_cstr(&g.lines, e);
		rc = meta[0][1] ? moe_st_write(path, g.t, g.n, meta, 1, e) : -1;
	}
	gathered_free(&g);
	moe_assemble_free(&a);
	moe_rec_free(&rec);
	return rc;
}

/* ---- back ---- */

static int put_tensor(struct moe_writer *w, const char *name, const struct moe_st_tensor *t, const struct moe_rec *extra, struct moe_err *e)
{
	return moe_writer_tensor(w, name, t->dtype, t->rank, t->shape, t->data, extra, e);
}

static int put_named(struct moe_writer *w, const struct moe_st *st, struct moe_rec *r, struct moe_err *e)
{
	struct moe_str name, key;
	char *z = NULL, *k = NULL;
	const struct moe_st_tensor *t;
	int rc = -1;

	if (moe_rec_str_req(r, "name", &name, e) || moe_rec_str_req(r, "data", &key, e) || !(z = moe_str_dup(name, e)) || !(k = moe_str_dup(key, e)))
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
static int line_back(struct moe_writer **w, const struct moe_st *st, const char *p, size_t n, int fd, const char *name, struct moe_err *e)
{
	struct moe_json_doc *d = moe_json_parse(p, n, META, e);
	struct moe_buf m = {0};
	struct moe_rec r = {0};
	int rc = d && !moe_json_to_msgpack(moe_json_root(d), &m, e) && !moe_rec_parse(&r, m.data, m.len, e) ? 0 : -1;

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
		rc = moe_rec_is(&r, "tensor") ? put_named(*w, st, &r, e) : moe_writer_put(*w, &r, e);
	}
	moe_rec_free(&r);
	moe_buf_free(&m);
	moe_json_free(d);
	return rc;
}

static int own_file(const struct moe_st *st, const char *lines, int fd, const char *name, struct moe_err *e)
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

static int foreign_file(const struct moe_st *st, int fd, const char *name, const struct moe_writer_opts *o, struct moe_err *e)
{
	struct moe_writer *w = moe_writer_open_fd(fd, name, o, NULL, e);
	int rc = w ? 0 : -1;

	for (size_t i = 0; !rc && i < moe_st_count(st); i++)
		rc = put_tensor(w, moe_st_at(st, i)->name, moe_st_at(st, i), NULL, e);
	if (!rc)
		rc = moe_writer_end(w, NULL, e);
	moe_writer_close(w);
	return rc;
}

int moe_safetensors_to_stream(const char *path, int fd, const char *name, const struct moe_writer_opts *o, struct moe_err *e)
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
