/* adapter_io.c - an arm as records of a stream and back (formats/records.md, "adapter"), and the
 * digest of what those records say. The layout record is adapter_layout.c's, streams themselves are
 * formats/stream.c's. */
#include "moe/adapter_priv.h"

#include <inttypes.h>
#include <math.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

/* ---- all tensors as f32, in the order of the table ---- */

/* Called for each tensor in the order of the stream; data is borrowed for the call. */
typedef int moe_tensor_fn(void *ctx, const char *name, int rank, const uint64_t *shape,
	const float *data, size_t n, struct moe_err *e);

#ifdef MOE_REAL_F64
static const float *as_f32(const moe_real *v, size_t n, float *scratch)
{
	for (size_t i = 0; i < n; i++)
		scratch[i] = (float)v[i];
	return scratch;
}
#else
static const float *as_f32(const moe_real *v, size_t n, float *scratch)
{
	(void)n;
	(void)scratch;
	return v;
}
#endif

static int pass_tensor(const char *name, const uint64_t shape[2], const moe_real *v,
	moe_tensor_fn *fn, void *ctx, struct moe_err *e)
{
	size_t n = (size_t)(shape[0] * shape[1]);
	float *scratch = sizeof(moe_real) == sizeof(float) ? NULL : moe_alloc(n, sizeof(float), e);
	const float *f;
	int rc;

	if (sizeof(moe_real) != sizeof(float) && !scratch)
		return -1;
	f = as_f32(v, n, scratch);
	rc = fn(ctx, name, 2, shape, f, n, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (!isfinite(f[i]))
			rc = moe_fail(e, MOE_NUMERIC,
				"tensor '%s' of the adapter holds %g at element %zu", name,
				(double)f[i], i);
	free(scratch);
	return rc;
}

static int each_tensor(const struct moe_adapter *a, moe_tensor_fn *fn, void *ctx, struct moe_err *e)
{
	const struct moe_experts *x = &a->x;
	uint64_t shape[2];

	for (size_t i = 0; i < x->n_view; i++) {
		shape[0] = (uint64_t)x->view[i].rows;
		shape[1] = (uint64_t)x->view[i].cols;
		if (pass_tensor(x->view[i].name, shape, x->param + x->view[i].off, fn, ctx, e))
			return -1;
	}
	shape[0] = (uint64_t)x->config.L * MOE_LINEARS;
	shape[1] = (uint64_t)x->R;
	if (pass_tensor("alive", shape, x->alive, fn, ctx, e))
		return -1;
	for (size_t i = 0; i < a->n_tensor; i++) {
		const struct moe_score_tensor *t = &a->tensor[i];

		if (fn(ctx, t->name, t->rank, t->shape, t->data, t->n, e))
			return -1;
	}
	return 0;
}

/* ---- the digest ---- */

static void hash_tensor(struct sha256_ctx *h, const char *name, int rank, const uint64_t *shape,
	const float *data, size_t n)
{
	char line[160];
	int k = snprintf(line, sizeof(line), "%s F32", name);

	for (int i = 0; i < rank; i++)
		k += snprintf(
			line + k, sizeof(line) - (size_t)k, " %llu", (unsigned long long)shape[i]);
	k += snprintf(line + k, sizeof(line) - (size_t)k, "\n");
	sha256_update(h, (size_t)k, (const uint8_t *)line);
	sha256_update(h, n * sizeof(float), (const uint8_t *)data);
}

static int hash_layout(struct sha256_ctx *h, const struct moe_rec *layout, struct moe_err *e)
{
	static const char *const outside[] = { "arm", "train_seed", "step", "lineage" };
	struct moe_rec r = { 0 };
	struct moe_buf b = { 0 };
	int rc = moe_rec_copy(&r, layout, e);

	for (size_t i = 0; rc == 0 && i < sizeof(outside) / sizeof(*outside); i++)
		moe_rec_unset(&r, outside[i]);
	if (rc == 0)
		rc = moe_rec_emit(&r, &b, e);
	if (rc == 0)
		sha256_update(h, b.len, b.data);
	moe_buf_free(&b);
	moe_rec_free(&r);
	return rc;
}

static void hash_end(struct sha256_ctx *h, char hex[65])
{
	uint8_t d[SHA256_DIGEST_SIZE];

	sha256_digest(h, sizeof(d), d);
	for (size_t i = 0; i < sizeof(d); i++)
		snprintf(hex + 2 * i, 3, "%02x", d[i]);
}

struct hash_ctx {
	struct sha256_ctx h;
};

static int hash_one(void *ctx, const char *name, int rank, const uint64_t *shape, const float *data,
	size_t n, struct moe_err *e)
{
	struct hash_ctx *c = ctx;

	(void)e;
	hash_tensor(&c->h, name, rank, shape, data, n);
	return 0;
}

int moe_adapter_digest(struct moe_adapter *a, struct moe_err *e)
{
	struct moe_rec layout = { 0 };
	struct hash_ctx c;
	int rc;

	sha256_init(&c.h);
	rc = moe_adapter_layout(a, &layout, e);
	if (rc == 0)
		rc = hash_layout(&c.h, &layout, e);
	if (rc == 0)
		rc = each_tensor(a, hash_one, &c, e);
	if (rc == 0)
		hash_end(&c.h, a->digest);
	moe_rec_free(&layout);
	return rc;
}

/* ---- writing ---- */

struct write_ctx {
	struct moe_writer *w;
	struct sha256_ctx h;
};

static int write_one(void *ctx, const char *name, int rank, const uint64_t *shape,
	const float *data, size_t n, struct moe_err *e)
{
	struct write_ctx *c = ctx;

	hash_tensor(&c->h, name, rank, shape, data, n);
	return moe_writer_tensor(c->w, name, "F32", rank, shape, data, NULL, e);
}

int moe_adapter_write(struct moe_writer *w, struct moe_adapter *a, struct moe_err *e)
{
	struct write_ctx c = { .w = w };
	struct moe_rec r = { 0 };
	int rc;

	sha256_init(&c.h);
	rc = moe_adapter_layout(a, &r, e) || hash_layout(&c.h, &r, e) || moe_writer_put(w, &r, e) ||
			each_tensor(a, write_one, &c, e)
		? -1
		: 0;
	if (rc == 0) {
		hash_end(&c.h, a->digest);
		moe_rec_clear(&r);
		rc = moe_rec_set_str(&r, "t", "arm-end", e) ||
				moe_rec_set_str(&r, "arm", a->arm, e) ||
				moe_rec_set_str(&r, "digest", a->digest, e) ||
				moe_writer_put(w, &r, e)
			? -1
			: 0;
	}
	moe_rec_free(&r);
	return rc;
}

/* ---- reading ---- */

/* Where the tensors of an arm go, in the order of the stream; only one is open at a time. */
struct slot {
	char name[64];
	moe_real *real; /* or NULL: */
	float *f32;
	uint64_t shape[4];
	int rank;
	size_t n, got; /* elements */
};
struct slots {
	struct slot *s;
	size_t n, at; /* s[at] is the one being filled */
};

static int slots_init(struct slots *t, struct moe_adapter *a, struct moe_err *e)
{
	struct moe_experts *x = &a->x;
	struct slot *s;

	t->s = moe_alloc(x->n_view + 1, sizeof(*t->s), e);
	if (!t->s)
		return -1;
	for (size_t i = 0; i < x->n_view; i++) {
		const struct moe_view *v = &x->view[i];

		s = &t->s[t->n++];
		memcpy(s->name, v->name, sizeof(v->name));
		s->rank = 2;
		s->shape[0] = (uint64_t)v->rows;
		s->shape[1] = (uint64_t)v->cols;
		s->real = x->param + v->off;
	}
	s = &t->s[t->n++];
	snprintf(s->name, sizeof(s->name), "alive");
	s->rank = 2;
	s->shape[0] = (uint64_t)x->config.L * MOE_LINEARS;
	s->shape[1] = (uint64_t)x->R;
	s->real = x->alive;
	for (size_t i = 0; i < t->n; i++)
		t->s[i].n = (size_t)(t->s[i].shape[0] * t->s[i].shape[1]);
	return 0;
}

/* A tensor beyond the experts' own belongs to the score. */
static int slots_add(struct slots *t, struct moe_adapter *a, struct moe_str name, int rank,
	const uint64_t *shape, struct moe_err *e)
{
	struct slot *s = realloc(t->s, (t->n + 1) * sizeof(*s));
	struct moe_score_tensor *st;
	char buf[48];

	if (!s)
		return moe_fail(e, MOE_SYSTEM, "out of memory for an adapter's tensors");
	t->s = s;
	if (name.n >= sizeof(buf) || t->n > 4096)
		return moe_fail(e, MOE_DATA, "tensor '%.*s': too long a name, or too many tensors",
			(int)(name.n < 60 ? name.n : 60), name.p);
	memcpy(buf, name.p, name.n);
	buf[name.n] = 0;
	if (strncmp(buf, "score.", 6) != 0)
		return moe_fail(e, MOE_DATA,
			"tensor '%s' belongs neither to the experts nor to a score: the layout "
			"does not announce it, or a newer program wrote it",
			buf);
	if (moe_adapter_tensor(a, buf))
		return moe_fail(e, MOE_DATA, "tensor '%s' occurs twice", buf);
	st = moe_adapter_add_tensor(a, buf, rank, shape, e);
	if (!st)
		return -1;
	s = &t->s[t->n++];
	*s = (struct slot){ .f32 = st->data, .rank = rank, .n = st->n };
	memcpy(s->name, buf, sizeof(buf));
	memcpy(s->shape, shape, sizeof(*shape) * (size_t)rank);
	return 0;
}

static void slot_fill(struct slot *s, const void *data, size_t n)
{
	const unsigned char *p = data;
	float f;

	for (size_t i = 0; i < n; i++) {
		memcpy(&f, p + i * sizeof(f), sizeof(f));
		if (s->real)
			s->real[s->got + i] = (moe_real)f;
		else
			s->f32[s->got + i] = f;
	}
	s->got += n;
}

static int take_tensor(
	struct slots *t, struct moe_adapter *a, const struct moe_rec *r, struct moe_err *e)
{
	struct moe_str name, dtype, data;
	uint64_t shape[4];
	int64_t offset;
	size_t rank;
	struct slot *s;

	if (moe_rec_str_req(r, "name", &name, e) || moe_rec_str_req(r, "dtype", &dtype, e) ||
		moe_rec_int_req(r, "offset", &offset, e) ||
		moe_rec_u64s(r, "shape", shape, 4, &rank, e))
		return -1;
	if (!moe_rec_bin(r, "data", &data) || !moe_str_eq(dtype, "F32"))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 ": an adapter's tensor must be F32 with binary data",
			r->number);
	if (t->at == t->n && slots_add(t, a, name, (int)rank, shape, e))
		return -1;
	s = &t->s[t->at];
	if (!moe_str_eq(name, s->name))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 ": tensor '%.*s' where '%s' was expected", r->number,
			(int)(name.n < 60 ? name.n : 60), name.p, s->name);
	if ((int)rank != s->rank || memcmp(shape, s->shape, rank * sizeof(*shape)) ||
		data.n % sizeof(float) || data.n / sizeof(float) > s->n - s->got || offset < 0 ||
		(uint64_t)offset != s->got * sizeof(float))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64
			": tensor '%s': shape, offset or length does not fit the layout",
			r->number, s->name);
	slot_fill(s, data.p, data.n / sizeof(float));
	t->at += s->got == s->n;
	return 0;
}

static int take_end(struct slots *t, struct moe_adapter *a, const struct moe_rec *layout,
	const struct moe_rec *r, struct moe_err *e)
{
	struct write_ctx c = { 0 };
	struct moe_str text;
	char said[65];

	if (t->at < t->n)
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 ": the arm '%s' ends before its tensor '%s' is whole",
			r->number, a->arm, t->s[t->at].name);
	if (moe_rec_str_req(r, "digest", &text, e))
		return -1;
	snprintf(said, sizeof(said), "%.*s", (int)(text.n < 64 ? text.n : 64), text.p);
	sha256_init(&c.h);
	if (hash_layout(&c.h, layout, e))
		return -1;
	for (size_t i = 0; i < t->n; i++) {
		const struct slot *s = &t->s[i];
		float *f = s->real ? moe_alloc(s->n, sizeof(float), e) : s->f32;

		if (!f)
			return -1;
		for (size_t k = 0; s->real && k < s->n; k++)
			f[k] = (float)s->real[k];
		hash_tensor(&c.h, s->name, s->rank, s->shape, f, s->n);
		if (s->real)
			free(f);
	}
	hash_end(&c.h, a->digest);
	if (strcmp(said, a->digest) != 0)
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64
			": the arm '%s' is damaged: its digest should be %.12s and is %.12s",
			r->number, a->arm, said, a->digest);
	return 0;
}

static int read_arm(struct moe_reader *r, bool one_segment, struct moe_adapter *a,
	struct moe_rec *layout, struct moe_rec *rec, struct slots *t, struct moe_err *e)
{
	int got = one_segment ? moe_reader_next_in_segment(r, layout, e)
			      : moe_reader_next(r, layout, e);

	if (got <= 0)
		return got;
	if (moe_adapter_from_layout(layout, a, e) || slots_init(t, a, e))
		return -1;
	while ((got = one_segment ? moe_reader_next_in_segment(r, rec, e)
				  : moe_reader_next(r, rec, e)) == 1) {
		if (moe_rec_is(rec, "arm-end"))
			return take_end(t, a, layout, rec, e) ? -1 : 1;
		if (moe_rec_is(rec, "tensor") && take_tensor(t, a, rec, e))
			return -1;
		if (moe_rec_is(rec, "layout"))
			break;
	}
	return got < 0 ? -1
		       : moe_fail(e, MOE_DATA, "the arm '%s' has no arm-end before record %" PRIu64,
				 a->arm, moe_reader_records(r) + (got == 0));
}

int moe_adapter_read(
	struct moe_reader *r, bool one_segment, struct moe_adapter *a, struct moe_err *e)
{
	struct moe_rec layout = { 0 }, rec = { 0 };
	struct slots t = { 0 };
	int got;

	moe_adapter_free(a);
	got = read_arm(r, one_segment, a, &layout, &rec, &t, e);
	if (got != 1)
		moe_adapter_free(a);
	free(t.s);
	moe_rec_free(&layout);
	moe_rec_free(&rec);
	return got;
}
