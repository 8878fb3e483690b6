/* gguf.c - the reader of GGUF: maps a file and checks its header. It knows no model, and the types
 * of tensors are gguf_quant.c's. */
#include "formats/gguf.h"
#include "util/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_MAX    65535 /* bytes, as the format says */
#define NAME_BYTES 255   /* ggml has 63; a longer one is no tensor that anybody knows */
#define ALIGN_MAX  65536u

struct moe_gguf {
	char *name; /* for messages */
	const uint8_t *p;
	size_t n, at; /* at: of the reading of the header */
	bool mapped;
	struct moe_gguf_value *value;
	size_t n_value;
	struct moe_gguf_tensor *tensor;
	uint64_t *offset; /* of tensor i in the data section */
	size_t n_tensor;
};

void moe_gguf_close(struct moe_gguf *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_value; i++)
		free((void *)(uintptr_t)g->value[i].key);
	for (size_t i = 0; i < g->n_tensor; i++)
		free((void *)(uintptr_t)g->tensor[i].name);
	free(g->value);
	free(g->tensor);
	free(g->offset);
	if (g->mapped)
		munmap((void *)(uintptr_t)g->p, g->n);
	free(g->name);
	free(g);
}

/* ---- the parts of the header ---- */

static int bad_end(const struct moe_gguf *g, const char *what, struct moe_err *e)
{
	return moe_fail(e, MOE_DATA, "%s: ends within %s at byte %zu: the file is cut", g->name,
		what, g->at);
}

/* n bytes, or NULL when the file has fewer. */
static const uint8_t *take(struct moe_gguf *g, uint64_t n)
{
	const uint8_t *p = g->p + g->at;

	if (n > g->n - g->at)
		return NULL;
	g->at += (size_t)n;
	return p;
}

static uint64_t load_le(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static int take_uint(
	struct moe_gguf *g, int bytes, uint64_t *out, const char *what, struct moe_err *e)
{
	const uint8_t *p = take(g, (uint64_t)bytes);

	if (!p)
		return bad_end(g, what, e);
	*out = load_le(p, bytes);
	return 0;
}

/* A string as a copy with a NUL: for keys and names. */
static char *take_name(struct moe_gguf *g, uint64_t max, const char *what, struct moe_err *e)
{
	const uint8_t *p;
	uint64_t n = 0;
	char *s;

	if (take_uint(g, 8, &n, what, e))
		return NULL;
	if (n > max) {
		moe_fail(e, MOE_DATA, "%s: %s at byte %zu has %llu bytes; %llu are allowed",
			g->name, what, g->at, (unsigned long long)n, (unsigned long long)max);
		return NULL;
	}
	p = take(g, n);
	if (!p) {
		bad_end(g, what, e);
		return NULL;
	}
	if (!n || memchr(p, 0, n)) {
		moe_fail(e, MOE_DATA, "%s: %s before byte %zu is empty or holds a NUL", g->name,
			what, g->at);
		return NULL;
	}
	s = malloc((size_t)n + 1);
	if (!s) {
		moe_fail(e, MOE_SYSTEM, "%s: out of memory", g->name);
		return NULL;
	}
	memcpy(s, p, (size_t)n);
	s[n] = 0;
	return s;
}

static const uint8_t kind_bytes[MOE_GGUF_KINDS] = { [MOE_GGUF_U8] = 1,
	[MOE_GGUF_I8] = 1,
	[MOE_GGUF_U16] = 2,
	[MOE_GGUF_I16] = 2,
	[MOE_GGUF_U32] = 4,
	[MOE_GGUF_I32] = 4,
	[MOE_GGUF_F32] = 4,
	[MOE_GGUF_BOOL] = 1,
	[MOE_GGUF_U64] = 8,
	[MOE_GGUF_I64] = 8,
	[MOE_GGUF_F64] = 8 };

static int take_strings(struct moe_gguf *g, struct moe_gguf_value *v, struct moe_err *e)
{
	for (uint64_t i = 0; i < v->n; i++) {
		const uint8_t *len = take(g, 8);

		if (!len || !take(g, load_le(len, 8)))
			return bad_end(g, v->key, e);
	}
	return 0;
}

static int take_array(struct moe_gguf *g, struct moe_gguf_value *v, struct moe_err *e)
{
	uint64_t of = 0;
	size_t bytes;

	if (take_uint(g, 4, &of, v->key, e) || take_uint(g, 8, &v->n, v->key, e))
		return -1;
	if (of >= MOE_GGUF_KINDS || of == MOE_GGUF_ARRAY)
		return moe_fail(e, MOE_DATA,
			"%s: the array '%.80s' has elements of type %llu; numbers, booleans and "
			"strings are supported",
			g->name, v->key, (unsigned long long)of);
	v->of = (enum moe_gguf_kind)of;
	v->p = g->p + g->at;
	if (v->of == MOE_GGUF_STRING)
		return take_strings(g, v, e);
	if (!moe_mul(kind_bytes[of], (size_t)v->n, &bytes) || !take(g, bytes))
		return bad_end(g, v->key, e);
	return 0;
}

static int take_value(struct moe_gguf *g, struct moe_gguf_value *v, struct moe_err *e)
{
	uint64_t kind = 0;

	v->key = take_name(g, KEY_MAX, "a metadata key", e);
	if (!v->key)
		return -1;
	g->n_value++; /* from here on it is freed with the file */
	if (take_uint(g, 4, &kind, v->key, e))
		return -1;
	if (kind >= MOE_GGUF_KINDS)
		return moe_fail(e, MOE_DATA, "%s: '%.80s' has the unknown type %llu", g->name,
			v->key, (unsigned long long)kind);
	v->kind = (enum moe_gguf_kind)kind;
	v->n = 1;
	if (v->kind == MOE_GGUF_ARRAY)
		return take_array(g, v, e);
	if (v->kind == MOE_GGUF_STRING) {
		if (take_uint(g, 8, &v->n, v->key, e))
			return -1;
		v->p = take(g, v->n);
	} else {
		v->p = take(g, kind_bytes[kind]);
	}
	return v->p ? 0 : bad_end(g, v->key, e);
}

static int check_shape(struct moe_gguf *g, struct moe_gguf_tensor *t, struct moe_err *e)
{
	uint32_t elements, bytes;
	size_t n;
	char buf[24];

	if (!moe_gguf_block(t->type, &elements, &bytes))
		return moe_fail(e, MOE_DATA,
			"%s: tensor '%.80s' has the type %s, which is not supported (F32, F16, "
			"BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K are): take the "
			"model in one of these",
			g->name, t->name, moe_gguf_type_name(t->type, buf));
	if (t->ne[0] % elements)
		return moe_fail(e, MOE_DATA,
			"%s: tensor '%.80s': a row of %llu elements is not whole blocks of %u",
			g->name, t->name, (unsigned long long)t->ne[0], elements);
	n = (size_t)(t->ne[0] / elements);
	if (!moe_mul(n, bytes, &n))
		goto overflow;
	t->row_bytes = n;
	for (int i = 1; i < t->rank; i++)
		if (!moe_mul(n, (size_t)t->ne[i], &n))
			goto overflow;
	t->bytes = n;
	return 0;
overflow:
	return moe_fail(e, MOE_DATA, "%s: tensor '%.80s': the product of its shape overflows",
		g->name, t->name);
}

static int take_tensor(
	struct moe_gguf *g, struct moe_gguf_tensor *t, uint64_t *offset, struct moe_err *e)
{
	uint64_t rank = 0, type = 0;

	t->name = take_name(g, NAME_BYTES, "a tensor's name", e);
	if (!t->name)
		return -1;
	g->n_tensor++;
	if (take_uint(g, 4, &rank, t->name, e))
		return -1;
	if (!rank || rank > MOE_GGUF_RANK_MAX)
		return moe_fail(e, MOE_DATA,
			"%s: tensor '%.80s' has %llu dimensions; 1 to %d are allowed", g->name,
			t->name, (unsigned long long)rank, MOE_GGUF_RANK_MAX);
	t->rank = (int)rank;
	for (int i = 0; i < MOE_GGUF_RANK_MAX; i++) {
		t->ne[i] = 1;
		if (i < t->rank && take_uint(g, 8, &t->ne[i], t->name, e))
			return -1;
		if (!t->ne[i] || t->ne[i] > INT64_MAX)
			return moe_fail(e, MOE_DATA, "%s: tensor '%.80s': dimension %d is %llu",
				g->name, t->name, i, (unsigned long long)t->ne[i]);
	}
	if (take_uint(g, 4, &type, t->name, e) || take_uint(g, 8, offset, t->name, e))
		return -1;
	t->type = (uint32_t)type;
	return check_shape(g, t, e);
}

/* ---- the file as a whole ---- */

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Keys and names lie at the start of their structs, so that one order serves both. */
_Static_assert(!offsetof(struct moe_gguf_value, key) && !offsetof(struct moe_gguf_tensor, name),
	"by_key reads the first member");

static int check_alignment(const struct moe_gguf *g, uint32_t *align, struct moe_err *e)
{
	int64_t v = 32;

	if (moe_gguf_int(g, "general.alignment", &v, e) < 0)
		return -1;
	if (v < 1 || v > ALIGN_MAX || (v & (v - 1)))
		return moe_fail(e, MOE_DATA,
			"%s: general.alignment is %lld, not a power of two up to %u", g->name,
			(long long)v, ALIGN_MAX);
	*align = (uint32_t)v;
	return 0;
}

static int by_data(const void *a, const void *b)
{
	const struct moe_gguf_tensor *x = *(const struct moe_gguf_tensor *const *)a,
				     *y = *(const struct moe_gguf_tensor *const *)b;

	return x->data < y->data ? -1 : x->data > y->data;
}

static int check_overlap(const struct moe_gguf *g, struct moe_err *e)
{
	const struct moe_gguf_tensor **t = moe_alloc(g->n_tensor + 1, sizeof(*t), e);
	int rc = t ? 0 : -1;

	for (size_t i = 0; t && i < g->n_tensor; i++)
		t[i] = &g->tensor[i];
	if (t && g->n_tensor)
		qsort(t, g->n_tensor, sizeof(*t), by_data);
	for (size_t i = 1; !rc && i < g->n_tensor; i++)
		if ((size_t)(t[i]->data - t[i - 1]->data) < t[i - 1]->bytes)
			rc = moe_fail(e, MOE_DATA, "%s: tensors '%.80s' and '%.80s' overlap",
				g->name, t[i - 1]->name, t[i]->name);
	free(t);
	return rc;
}

/* Where the data of each tensor lies. Before the tensors are sorted, since offset[i] is of the i-th
 * in the file. */
static int place_data(struct moe_gguf *g, struct moe_err *e)
{
	uint32_t align = 1;
	size_t start;

	if (check_alignment(g, &align, e))
		return -1;
	start = (g->at + align - 1) / align * align;
	for (size_t i = 0; i < g->n_tensor; i++) {
		struct moe_gguf_tensor *t = &g->tensor[i];

		if (g->offset[i] % align)
			return moe_fail(e, MOE_DATA,
				"%s: tensor '%.80s' lies at offset %llu, which is not a multiple "
				"of the alignment %u",
				g->name, t->name, (unsigned long long)g->offset[i], align);
		if (start > g->n || g->offset[i] > g->n - start ||
			t->bytes > g->n - start - g->offset[i])
			return moe_fail(e, MOE_DATA,
				"%s: tensor '%.80s' of %zu bytes at offset %llu lies beyond the "
				"end of the file: the file is cut",
				g->name, t->name, t->bytes, (unsigned long long)g->offset[i]);
		t->data = g->p + start + g->offset[i];
	}
	return 0;
}

static int sort_names(struct moe_gguf *g, struct moe_err *e)
{
	if (g->n_tensor)
		qsort(g->tensor, g->n_tensor, sizeof(*g->tensor), by_key);
	for (size_t i = 1; i < g->n_tensor; i++)
		if (!strcmp(g->tensor[i].name, g->tensor[i - 1].name))
			return moe_fail(e, MOE_DATA, "%s: tensor '%.80s' is there twice", g->name,
				g->tensor[i].name);
	return 0;
}

static int sort_keys(struct moe_gguf *g, struct moe_err *e)
{
	if (g->n_value)
		qsort(g->value, g->n_value, sizeof(*g->value), by_key);
	for (size_t i = 1; i < g->n_value; i++)
		if (!strcmp(g->value[i].key, g->value[i - 1].key))
			return moe_fail(e, MOE_DATA, "%s: the key '%.80s' is there twice", g->name,
				g->value[i].key);
	return 0;
}

static int check_version(struct moe_gguf *g, struct moe_err *e)
{
	const uint8_t *p = take(g, 8);

	if (!p || memcmp(p, "GGUF", 4) != 0)
		return moe_fail(e, MOE_DATA,
			"%s: not a GGUF file: it does not begin with \"GGUF\" and a version",
			g->name);
	if (!p[4] && !p[5] && !p[6] && p[7])
		return moe_fail(
			e, MOE_DATA, "%s: a big-endian GGUF file is not supported", g->name);
	if (load_le(p + 4, 4) != 2 && load_le(p + 4, 4) != 3)
		return moe_fail(e, MOE_DATA, "%s: GGUF version %llu is not supported (2 and 3 are)",
			g->name, (unsigned long long)load_le(p + 4, 4));
	return 0;
}

static int read_header(struct moe_gguf *g, struct moe_err *e)
{
	uint64_t tensors = 0, values = 0;

	if (check_version(g, e) || take_uint(g, 8, &tensors, "the header", e) ||
		take_uint(g, 8, &values, "the header", e))
		return -1;
	/* A tensor takes 33 bytes of header at least, a value 14: more of them than fit is a lie,
	 * and memory is bounded by the file's size. */
	if (tensors > g->n / 33 || values > g->n / 14)
		return moe_fail(e, MOE_DATA,
			"%s: announces %llu tensors and %llu metadata values, more than its %zu "
			"bytes can hold",
			g->name, (unsigned long long)tensors, (unsigned long long)values, g->n);
	g->value = moe_alloc_declared((size_t)values + 1, sizeof(*g->value), e);
	g->tensor = moe_alloc_declared((size_t)tensors + 1, sizeof(*g->tensor), e);
	g->offset = moe_alloc_declared((size_t)tensors + 1, sizeof(*g->offset), e);
	if (!g->value || !g->tensor || !g->offset)
		return -1;
	for (uint64_t i = 0; i < values; i++)
		if (take_value(g, &g->value[i], e))
			return -1;
	for (uint64_t i = 0; i < tensors; i++)
		if (take_tensor(g, &g->tensor[i], &g->offset[i], e))
			return -1;
	return sort_keys(g, e) || place_data(g, e) || sort_names(g, e) || check_overlap(g, e) ? -1
											      : 0;
}

static struct moe_gguf *make(const void *p, size_t n, const char *name, struct moe_err *e)
{
	struct moe_gguf *g = moe_alloc(1, sizeof(*g), e);

	if (!g)
		return NULL;
	g->p = p;
	g->n = n;
	g->name = strdup(name);
	if (!g->name)
		moe_fail(e, MOE_SYSTEM, "%s: out of memory", name);
	if (g->name && !read_header(g, e))
		return g;
	moe_gguf_close(g);
	return NULL;
}

struct moe_gguf *moe_gguf_parse(const void *p, size_t n, const char *name, struct moe_err *e)
{
	return make(p, n, name, e);
}

struct moe_gguf *moe_gguf_open(const char *path, struct moe_err *e)
{
	struct moe_gguf *g = NULL;
	struct stat st;
	void *p = MAP_FAILED;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st)) {
		moe_fail_errno(e, "%s: cannot be opened", path);
	} else if (!S_ISREG(st.st_mode) || st.st_size < 8) {
		moe_fail(e, MOE_DATA, "%s: not a GGUF file: %s", path,
			S_ISREG(st.st_mode) ? "it has fewer than 8 bytes"
					    : "it is not a regular file, and it has to be mapped");
	} else if ((uintmax_t)st.st_size > SIZE_MAX ||
		(p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED) {
		moe_fail_errno(e, "%s: cannot be mapped into memory", path);
	} else {
		g = make(p, (size_t)st.st_size, path, e);
		if (g)
			g->mapped = true;
		else
			munmap(p, (size_t)st.st_size);
	}
	if (fd >= 0)
		close(fd);
	return g;
}

/* ---- what is in it ---- */

const char *moe_gguf_name(const struct moe_gguf *g)
{
	return g->name;
}

size_t moe_gguf_values(const struct moe_gguf *g)
{
	return g->n_value;
}

const struct moe_gguf_value *moe_gguf_value_at(const struct moe_gguf *g, size_t i)
{
	return &g->value[i];
}

const struct moe_gguf_value *moe_gguf_get(const struct moe_gguf *g, const char *key)
{
	return g->n_value ? bsearch(&key, g->value, g->n_value, sizeof(*g->value), by_key) : NULL;
}

size_t moe_gguf_tensors(const struct moe_gguf *g)
{
	return g->n_tensor;
}

const struct moe_gguf_tensor *moe_gguf_tensor_at(const struct moe_gguf *g, size_t i)
{
	return &g->tensor[i];
}

const struct moe_gguf_tensor *moe_gguf_find(const struct moe_gguf *g, const char *name)
{
	return g->n_tensor ? bsearch(&name, g->tensor, g->n_tensor, sizeof(*g->tensor), by_key)
			   : NULL;
}

/* Sign extension of a whole number; false for kinds that are none, and beyond int64. */
static bool read_int(enum moe_gguf_kind kind, const uint8_t *p, int64_t *out)
{
	switch (kind) {
	case MOE_GGUF_U8:
	case MOE_GGUF_U16:
	case MOE_GGUF_U32:
	case MOE_GGUF_U64:
		*out = (int64_t)load_le(p, kind_bytes[kind]);
		return *out >= 0;
	case MOE_GGUF_I8:
		*out = (int8_t)*p;
		return true;
	case MOE_GGUF_I16:
		*out = (int16_t)load_le(p, 2);
		return true;
	case MOE_GGUF_I32:
		*out = (int32_t)load_le(p, 4);
		return true;
	case MOE_GGUF_I64:
		*out = (int64_t)load_le(p, 8);
		return true;
	default:
		return false;
	}
}

static int wrong_type(
	const struct moe_gguf *g, const char *key, const char *want, struct moe_err *e)
{
	return moe_fail(e, MOE_DATA, "%s: '%s' is not %s", g->name, key, want);
}

int moe_gguf_int(const struct moe_gguf *g, const char *key, int64_t *out, struct moe_err *e)
{
	const struct moe_gguf_value *v = moe_gguf_get(g, key);

	if (!v)
		return 0;
	return read_int(v->kind, v->p, out) ? 1 : wrong_type(g, key, "a whole number", e);
}

int moe_gguf_f64(const struct moe_gguf *g, const char *key, double *out, struct moe_err *e)
{
	const struct moe_gguf_value *v = moe_gguf_get(g, key);
	int64_t i;
	float f;

	if (!v)
		return 0;
	if (v->kind == MOE_GGUF_F32) {
		uint32_t u = (uint32_t)load_le(v->p, 4);
		memcpy(&f, &u, sizeof(f));
		*out = (double)f;
	} else if (v->kind == MOE_GGUF_F64) {
		uint64_t u = load_le(v->p, 8);
		memcpy(out, &u, sizeof(u));
	} else if (read_int(v->kind, v->p, &i)) {
		*out = (double)i;
	} else {
		return wrong_type(g, key, "a number", e);
	}
	return 1;
}

int moe_gguf_bool(const struct moe_gguf *g, const char *key, bool *out, struct moe_err *e)
{
	const struct moe_gguf_value *v = moe_gguf_get(g, key);

	if (!v)
		return 0;
	if (v->kind != MOE_GGUF_BOOL || *v->p > 1)
		return wrong_type(g, key, "true or false", e);
	*out = *v->p;
	return 1;
}

int moe_gguf_str(
	const struct moe_gguf *g, const char *key, const char **out, size_t *n, struct moe_err *e)
{
	const struct moe_gguf_value *v = moe_gguf_get(g, key);

	if (!v)
		return 0;
	if (v->kind != MOE_GGUF_STRING)
		return wrong_type(g, key, "a string", e);
	*out = (const char *)v->p;
	*n = (size_t)v->n;
	return 1;
}

void moe_gguf_take_str(const uint8_t **at, const char **out, size_t *n)
{
	*n = (size_t)load_le(*at, 8);
	*out = (const char *)*at + 8;
	*at += 8 + *n;
}

bool moe_gguf_int_at(const struct moe_gguf_value *v, uint64_t i, int64_t *out)
{
	return v->kind == MOE_GGUF_ARRAY && v->of != MOE_GGUF_STRING &&
		read_int(v->of, v->p + i * kind_bytes[v->of], out);
}
