/* safetensors.c - the reader: maps files and checks them. Not the writer (safetensors_write.c), and
 * it knows no model. */
#include "formats/safetensors.h"
#include "formats/file.h"
#include "formats/json.h"
#include "util/mem.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEX_MAX  ((size_t)64 << 20)
#define SHARDS_MAX 4096

struct file {
	char *name; /* base name in a sharded set, else the path */
	const uint8_t *p;
	size_t n;
	bool mapped;
	struct moe_json_doc *doc; /* keeps the metadata strings */
};

struct entry {
	struct moe_st_tensor t;
	char *name; /* owned */
	size_t file;
	uint64_t begin, end;
	bool keep;
};

struct moe_st {
	struct file *file;
	size_t n_file, cap_file;
	struct entry *e;
	size_t n, cap;
	char **metas; /* key, value pairs, owned */
	size_t n_meta;
};

void moe_st_close(struct moe_st *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		free(s->e[i].name);
	for (size_t i = 0; i < s->n_file; i++) {
		if (s->file[i].mapped)
			munmap((void *)(uintptr_t)s->file[i].p, s->file[i].n);
		moe_json_free(s->file[i].doc);
		free(s->file[i].name);
	}
	for (size_t i = 0; i < 2 * s->n_meta; i++)
		free(s->metas[i]);
	free(s->metas);
	free(s->file);
	free(s->e);
	free(s);
}

static int oom(struct moe_err *e, const char *name)
{
	return moe_fail(e, MOE_SYSTEM, "%s: out of memory", name);
}

static int grow(void **p, size_t *cap, size_t n, size_t size)
{
	size_t want = *cap ? 2 * *cap : 64;
	void *q;

	if (n < *cap)
		return 0;
	q = realloc(*p, want * size);
	if (!q)
		return -1;
	*p = q;
	*cap = want;
	return 0;
}

static int bad(struct moe_err *e, const char *file, const char *tensor, const char *what)
{
	return moe_fail(e, MOE_DATA, "%s: tensor '%s': %s", file, tensor, what);
}

static int read_shape(
	struct entry *t, const struct moe_json *shape, const char *file, struct moe_err *e)
{
	size_t bytes = moe_dtype_bytes(t->t.dtype), rank;

	if (moe_json_kind(shape) != MOE_J_ARRAY)
		return bad(e, file, t->name, "\"shape\" is not an array");
	rank = moe_json_len(shape);
	if (rank > MOE_ST_RANK_MAX)
		return moe_fail(e, MOE_DATA,
			"%s: tensor '%s': rank %zu is more than the %d that are supported", file,
			t->name, rank, MOE_ST_RANK_MAX);
	t->t.rank = (int)rank;
	for (size_t i = 0; i < rank; i++) {
		int64_t v;
		if (!moe_json_int(moe_json_at(shape, i), &v) || v < 0)
			return bad(e, file, t->name,
				"\"shape\" holds something that is not a whole number >= 0");
		t->t.shape[i] = (uint64_t)v;
		if (!moe_mul(bytes, (size_t)v, &bytes))
			return bad(e, file, t->name, "the product of its shape overflows");
	}
	t->t.bytes = bytes;
	return 0;
}

static int read_entry(struct moe_st *s, struct entry *t, const struct moe_json *j, size_t data_off,
	struct moe_err *e)
{
	const struct file *f = &s->file[t->file];
	struct moe_str dtype = moe_json_str(moe_json_get(j, "dtype"));
	const struct moe_json *off = moe_json_get(j, "data_offsets");
	int64_t b, end;

	if (moe_json_kind(j) != MOE_J_OBJECT || !dtype.p || moe_json_len(j) != 3)
		return bad(e, f->name, t->name,
			"it is not an object of dtype, shape and data_offsets");
	if (dtype.n >= sizeof(t->t.dtype))
		return bad(e, f->name, t->name, "its dtype is not known");
	memcpy(t->t.dtype, dtype.p, dtype.n);
	if (strlen(t->t.dtype) != dtype.n || !moe_dtype_bytes(t->t.dtype))
		return moe_fail(e, MOE_DATA, "%s: tensor '%s': dtype '%.7s' is not supported",
			f->name, t->name, t->t.dtype);
	if (read_shape(t, moe_json_get(j, "shape"), f->name, e))
		return -1;
	if (moe_json_kind(off) != MOE_J_ARRAY || moe_json_len(off) != 2 ||
		!moe_json_int(moe_json_at(off, 0), &b) ||
		!moe_json_int(moe_json_at(off, 1), &end) || b < 0 || end < b)
		return bad(e, f->name, t->name, "\"data_offsets\" is not [begin, end]");
	if ((uint64_t)end > f->n - data_off)
		return bad(e, f->name, t->name, "its data_offsets lie beyond the end of the file");
	if ((uint64_t)(end - b) != t->t.bytes)
		return moe_fail(e, MOE_DATA,
			"%s: tensor '%s': its shape and dtype need %zu bytes, data_offsets give "
			"%lld",
			f->name, t->name, t->t.bytes, (long long)(end - b));
	t->begin = (uint64_t)b;
	t->end = (uint64_t)end;
	t->t.data = f->p + data_off + b;
	return 0;
}

static int read_meta(
	struct moe_st *s, const struct moe_json *j, const char *name, struct moe_err *e)
{
	size_t n = moe_json_len(j);
	const void *cursor = NULL;
	const struct moe_json *value;
	const char *key;
	char **m;

	if (moe_json_kind(j) != MOE_J_OBJECT)
		return moe_fail(e, MOE_DATA, "%s: \"__metadata__\" is not an object", name);
	m = realloc(s->metas, (s->n_meta + n + 1) * 2 * sizeof(*m));
	if (!m)
		return oom(e, name);
	s->metas = m;
	while (moe_json_next(j, &cursor, &key, &value)) {
		struct moe_str v = moe_json_str(value);
		if (!v.p)
			return moe_fail(
				e, MOE_DATA, "%s: \"__metadata__\" may hold strings only", name);
		m[2 * s->n_meta] = strdup(key);
		m[2 * s->n_meta + 1] = strndup(v.p, v.n);
		s->n_meta++;
		if (!m[2 * s->n_meta - 2] || !m[2 * s->n_meta - 1])
			return oom(e, name);
	}
	return 0;
}

static int by_offset(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;

	if (a->begin != b->begin)
		return a->begin < b->begin ? -1 : 1;
	return a->end < b->end ? -1 : a->end > b->end;
}

static int by_name(const void *x, const void *y)
{
	return strcmp(((const struct entry *)x)->name, ((const struct entry *)y)->name);
}

/* The entries from `first` on are one file's: sorted by offset they must tile its data. */
static int check_tiling(
	struct moe_st *s, size_t first, size_t data_bytes, const char *name, struct moe_err *e)
{
	uint64_t at = 0;

	if (s->n > first)
		qsort(s->e + first, s->n - first, sizeof(*s->e), by_offset);
	for (size_t i = first; i < s->n; i++) {
		if (s->e[i].begin != at)
			return bad(e, name, s->e[i].name,
				s->e[i].begin > at ? "there is a hole before its data"
						   : "its data overlaps another tensor's");
		at = s->e[i].end;
	}
	if (at != data_bytes)
		return moe_fail(e, MOE_DATA,
			"%s: the tensors end at byte %llu of the data, the file at byte %zu "
			"(truncated or with a tail)",
			name, (unsigned long long)at, data_bytes);
	return 0;
}

static int read_tensors(struct moe_st *s, size_t file, const struct moe_json *root, size_t data_off,
	struct moe_err *e)
{
	const struct file *f = &s->file[file];
	size_t first = s->n;
	const void *cursor = NULL;
	const struct moe_json *v;
	const char *key;

	while (moe_json_next(root, &cursor, &key, &v)) {
		struct entry *t;

		if (!strcmp(key, "__metadata__")) {
			if (read_meta(s, v, f->name, e))
				return -1;
			continue;
		}
		if (grow((void **)&s->e, &s->cap, s->n, sizeof(*s->e)))
			return oom(e, f->name);
		t = &s->e[s->n];
		memset(t, 0, sizeof(*t));
		t->file = file;
		t->keep = true;
		t->name = strdup(key);
		if (!t->name)
			return oom(e, f->name);
		s->n++;
		t->t.name = t->name;
		if (read_entry(s, t, v, data_off, e))
			return -1;
	}
	return check_tiling(s, first, f->n - data_off, f->name, e);
}

static int read_file(struct moe_st *s, size_t file, struct moe_err *e)
{
	struct file *f = &s->file[file];
	uint64_t len = 0;

	if (f->n < 8)
		return moe_fail(e, MOE_DATA, "%s: %zu bytes are too few for a safetensors file",
			f->name, f->n);
	for (int i = 7; i >= 0; i--)
		len = len << 8 | f->p[i];
	if (len > MOE_ST_HEADER_MAX)
		return moe_fail(e, MOE_DATA,
			"%s: not a safetensors file, or damaged: its header would have %llu bytes",
			f->name, (unsigned long long)len);
	if (len > f->n - 8)
		return moe_fail(e, MOE_DATA,
			"%s: truncated: the header has %llu bytes, the file %zu", f->name,
			(unsigned long long)len, f->n);
	if (!len || f->p[8] != '{')
		return moe_fail(e, MOE_DATA,
			"%s: not a safetensors file: its header does not begin with '{'", f->name);
	f->doc = moe_json_parse((const char *)f->p + 8, (size_t)len, f->name, e);
	if (!f->doc || moe_json_exact(f->doc, (const char *)f->p + 8, (size_t)len, f->name, e))
		return -1;
	if (moe_json_kind(moe_json_root(f->doc)) != MOE_J_OBJECT)
		return moe_fail(e, MOE_DATA, "%s: its header is not a JSON object", f->name);
	if (read_tensors(s, file, moe_json_root(f->doc), 8 + (size_t)len, e))
		return -1;
	moe_json_free(f->doc); /* names and metadata have been copied */
	f->doc = NULL;
	return 0;
}

static struct file *add_file(struct moe_st *s, const char *name, struct moe_err *e)
{
	struct file *f;

	if (grow((void **)&s->file, &s->cap_file, s->n_file, sizeof(*s->file))) {
		oom(e, name);
		return NULL;
	}
	f = &s->file[s->n_file];
	memset(f, 0, sizeof(*f));
	f->name = strdup(name);
	if (!f->name) {
		oom(e, name);
		return NULL;
	}
	s->n_file++;
	return f;
}

/* Maps path. An empty file is left to the length check (nothing can be mapped of it). */
static int map_file(struct file *f, const char *path, struct moe_err *e)
{
	struct stat st;
	void *p;
	int fd = open(
		path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe must not be waited for */

	if (fd < 0)
		return moe_fail_errno(e, "%s: cannot open", path);
	if (fstat(fd, &st)) {
		close(fd);
		return moe_fail_errno(e, "%s: cannot stat", path);
	}
	if (!S_ISREG(st.st_mode) || (uintmax_t)st.st_size > SIZE_MAX) {
		close(fd);
		return moe_fail(e, MOE_DATA, "%s: not a regular file", path);
	}
	f->n = (size_t)st.st_size;
	f->p = (const uint8_t *)"";
	if (f->n) {
		p = mmap(NULL, f->n, PROT_READ, MAP_PRIVATE, fd, 0);
		if (p == MAP_FAILED) {
			close(fd);
			return moe_fail_errno(e, "%s: cannot map", path);
		}
		f->p = p;
		f->mapped = true;
	}
	close(fd);
	return 0;
}

static int sort_names(struct moe_st *s, struct moe_err *e)
{
	if (s->n)
		qsort(s->e, s->n, sizeof(*s->e), by_name);
	for (size_t i = 1; i < s->n; i++)
		if (!strcmp(s->e[i].name, s->e[i - 1].name))
			return moe_fail(e, MOE_DATA, "%s: tensor '%s' is in %s too",
				s->file[s->e[i].file].name, s->e[i].name,
				s->file[s->e[i - 1].file].name);
	return 0;
}

static struct moe_st *st_new(struct moe_err *e)
{
	struct moe_st *s = calloc(1, sizeof(*s));

	if (!s)
		oom(e, "safetensors");
	return s;
}

struct moe_st *moe_st_parse(const void *p, size_t n, const char *name, struct moe_err *e)
{
	struct moe_st *s = st_new(e);
	struct file *f = s ? add_file(s, name, e) : NULL;

	if (f) {
		f->p = p;
		f->n = n;
		if (!read_file(s, 0, e) && !sort_names(s, e))
			return s;
	}
	moe_st_close(s);
	return NULL;
}

struct moe_st *moe_st_open(const char *path, struct moe_err *e)
{
	struct moe_st *s = st_new(e);
	struct file *f = s ? add_file(s, path, e) : NULL;

	if (f && !map_file(f, path, e) && !read_file(s, 0, e) && !sort_names(s, e))
		return s;
	moe_st_close(s);
	return NULL;
}

/* ---- sharded sets ---- */

static int shard_name_ok(struct moe_str v)
{
	return v.p && v.n > 0 && v.n < 256 && v.p[0] != '.' && !memchr(v.p, '/', v.n) &&
		!memchr(v.p, 0, v.n);
}

static int by_file_name(const void *x, const void *y)
{
	return strcmp(((const struct file *)x)->name, ((const struct file *)y)->name);
}

static size_t find_file(const struct moe_st *s, struct moe_str v)
{
	for (size_t i = 0; i < s->n_file; i++)
		if (moe_str_eq(v, s->file[i].name))
			return i;
	return SIZE_MAX;
}

static int list_shards(
	struct moe_st *s, const struct moe_json *map, const char *path, struct moe_err *e)
{
	const void *cursor = NULL;
	const struct moe_json *value;
	const char *key;

	if (moe_json_kind(map) != MOE_J_OBJECT || !moe_json_len(map))
		return moe_fail(e, MOE_DATA, "%s: \"weight_map\" is missing or empty", path);
	while (moe_json_next(map, &cursor, &key, &value)) {
		struct moe_str v = moe_json_str(value);
		char name[256];

		if (!shard_name_ok(v))
			return moe_fail(e, MOE_DATA,
				"%s: weight_map of '%s' is not the name of a file in the same "
				"directory",
				path, key);
		if (find_file(s, v) != SIZE_MAX)
			continue;
		if (s->n_file == SHARDS_MAX)
			return moe_fail(e, MOE_DATA, "%s: more than %d files", path, SHARDS_MAX);
		memcpy(name, v.p, v.n);
		name[v.n] = 0;
		if (!add_file(s, name, e))
			return -1;
	}
	if (s->n_file)
		qsort(s->file, s->n_file, sizeof(*s->file), by_file_name);
	return 0;
}

/* weight_map has the last word: a tensor that it does not name, or not in this file, is left out;
 * one that is nowhere is an error. */
static int apply_map(
	struct moe_st *s, const struct moe_json *map, const char *path, struct moe_err *e)
{
	size_t kept = 0;
	const void *cursor = NULL;
	const struct moe_json *value;
	const char *key;

	for (size_t i = 0; i < s->n; i++) {
		struct moe_str v = moe_json_str(moe_json_get(map, s->e[i].name));
		s->e[i].keep = v.p && moe_str_eq(v, s->file[s->e[i].file].name);
	}
	for (size_t i = 0; i < s->n; i++)
		if (s->e[i].keep)
			s->e[kept++] = s->e[i];
		else
			free(s->e[i].name);
	s->n = kept;
	if (sort_names(s, e))
		return -1;
	while (moe_json_next(map, &cursor, &key, &value))
		if (!moe_st_find(s, key))
			return moe_fail(e, MOE_DATA,
				"%s: tensor '%s' is not in the file that weight_map names", path,
				key);
	return 0;
}

static int open_shards(struct moe_st *s, const char *dir, const struct moe_json *map,
	const char *index, struct moe_err *e)
{
	if (list_shards(s, map, index, e))
		return -1;
	for (size_t i = 0; i < s->n_file; i++) {
		char *path = moe_path_join(dir, s->file[i].name, e);
		int r = path ? map_file(&s->file[i], path, e) : -1;

		free(path);
		if (r || read_file(s, i, e))
			return -1;
	}
	return apply_map(s, map, index, e);
}

static struct moe_st *open_index(const char *dir, const char *index, struct moe_err *e)
{
	struct file f = { 0 };
	struct moe_json_doc *doc = NULL;
	struct moe_st *s = NULL;

	if (map_file(&f, index, e))
		return NULL;
	if (f.n > INDEX_MAX)
		moe_fail(e, MOE_DATA, "%s: too large for an index", index);
	else
		doc = moe_json_parse((const char *)f.p, f.n, index, e);
	if (doc)
		s = st_new(e);
	if (s && open_shards(s, dir, moe_json_get(moe_json_root(doc), "weight_map"), index, e)) {
		moe_st_close(s);
		s = NULL;
	}
	moe_json_free(doc);
	if (f.mapped)
		munmap((void *)(uintptr_t)f.p, f.n);
	return s;
}

struct moe_st *moe_st_open_dir(const char *dir, const char *stem, struct moe_err *e)
{
	struct moe_buf one = { 0 }, index = { 0 };
	struct moe_st *s = NULL;

	if (!moe_buf_addf(&one, e, "%s/%s.safetensors", dir, stem) &&
		!moe_buf_addf(&index, e, "%s/%s.safetensors.index.json", dir, stem) &&
		moe_buf_cstr(&one, e) && moe_buf_cstr(&index, e)) {
		if (!access((char *)one.data, F_OK))
			s = moe_st_open((char *)one.data, e);
		else if (!access((char *)index.data, F_OK))
			s = open_index(dir, (char *)index.data, e);
		else
			moe_fail(e, MOE_DATA,
				"%s: neither %s.safetensors nor %s.safetensors.index.json is there",
				dir, stem, stem);
	}
	moe_buf_free(&one);
	moe_buf_free(&index);
	return s;
}

/* ---- looking ---- */

size_t moe_st_count(const struct moe_st *s)
{
	return s->n;
}

const struct moe_st_tensor *moe_st_at(const struct moe_st *s, size_t i)
{
	return &s->e[i].t;
}

const struct moe_st_tensor *moe_st_find(const struct moe_st *s, const char *name)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(name, s->e[mid].name);
		if (!c)
			return &s->e[mid].t;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

const char *moe_st_meta(const struct moe_st *s, const char *key)
{
	for (size_t i = 0; i < s->n_meta; i++)
		if (!strcmp(s->metas[2 * i], key))
			return s->metas[2 * i + 1];
	return NULL;
}

size_t moe_st_files(const struct moe_st *s)
{
	return s->n_file;
}

const void *moe_st_file(const struct moe_st *s, size_t i, size_t *n)
{
	*n = s->file[i].n;
	return s->file[i].p;
}
