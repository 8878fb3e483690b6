/* adapter_io.c - an arm as records of a stream and back (formats/records.md, "adapter"). Streams
 * themselves are formats/stream.c. */
#include "moe/adapter_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- layout ---- */

static int put_config(const struct moe_config *c, struct moe_rec *to, struct moe_err *e)
{
	struct moe_rec m = { 0 };
	int rc = 0;

	rc |= moe_rec_set_int(&m, "layers", c->L, e);
	rc |= moe_rec_set_int(&m, "hidden", c->D, e);
	rc |= moe_rec_set_int(&m, "heads", c->H, e);
	rc |= moe_rec_set_int(&m, "kv_heads", c->K, e);
	rc |= moe_rec_set_int(&m, "head_dim", c->hd, e);
	rc |= moe_rec_set_int(&m, "ffn", c->F, e);
	if (rc == 0)
		rc = moe_rec_set_map(to, "config", &m, e);
	moe_rec_free(&m);
	return rc;
}

static int put_experts(const struct moe_experts *x, struct moe_rec *to, struct moe_err *e)
{
	struct moe_rec m[MOE_EXPERTS_MAX] = { 0 };
	struct moe_str target[MOE_LINEARS];
	size_t n_target = 0;
	int rc = 0;

	for (int i = 0; i < x->E && rc == 0; i++) {
		rc |= moe_rec_set_str(&m[i], "name", x->name[i], e);
		rc |= moe_rec_set_str(&m[i], "bank", moe_bank_names[x->bank[i]], e);
		rc |= moe_rec_set_int(&m[i], "rank", x->rank[i], e);
	}
	if (rc == 0)
		rc = moe_rec_set_maps(to, "experts", m, (size_t)x->E, e);
	for (int i = 0; i < x->E; i++)
		moe_rec_free(&m[i]);
	for (int j = 0; j < MOE_LINEARS; j++)
		if (x->target[j])
			target[n_target++] = (struct moe_str){ moe_linear_names[j],
				strlen(moe_linear_names[j]) };
	return rc ? -1 : moe_rec_set_strs(to, "targets", target, n_target, e);
}

static int put_plan(const struct moe_plan *p, struct moe_rec *to, struct moe_err *e)
{
	struct moe_rec plan = { 0 }, row = { 0 };
	int rc = 0;

	for (int d = 0; d < MOE_DECISIONS && rc == 0; d++) {
		moe_rec_clear(&row);
		for (int b = 0; b < MOE_BANKS; b++)
			rc |= moe_rec_set_f64s(&row, moe_bank_names[b],
				(double[]){ p->gate[d][b], p->mask[d][b] }, 2, e);
		if (rc == 0)
			rc = moe_rec_set_map(&plan, moe_decision_names[d], &row, e);
	}
	moe_rec_clear(&row);
	for (int b = 0; b < MOE_BANKS && rc == 0; b++)
		rc = moe_rec_set_f64(&row, moe_bank_names[b], p->sample[b], e);
	if (rc == 0)
		rc = moe_rec_set_map(&plan, "sample", &row, e);
	if (rc == 0)
		rc = moe_rec_set_map(to, "plan", &plan, e);
	moe_rec_free(&row);
	moe_rec_free(&plan);
	return rc;
}

int moe_adapter_layout(const struct moe_adapter *a, struct moe_rec *r, struct moe_err *e)
{
	int rc = 0;

	moe_rec_clear(r);
	rc |= moe_rec_set_str(r, "t", "layout", e);
	rc |= moe_rec_set_str(r, "arm", a->arm, e);
	rc |= moe_rec_set_str(r, "method", a->method, e);
	if (a->router[0])
		rc |= moe_rec_set_str(r, "router", a->router, e);
	rc |= moe_rec_set_int(r, "train_seed", (int64_t)a->train_seed, e);
	rc |= moe_rec_set_int(r, "step", a->step, e);
	rc |= moe_rec_set_str(r, "base", a->base, e);
	rc |= moe_rec_set_f64(r, "scale", a->x.scale, e);
	if (rc || put_config(&a->x.config, r, e) || put_experts(&a->x, r, e) ||
		put_plan(&a->plan, r, e))
		return -1;
	if (a->settings.n_field && moe_rec_set_map(r, "settings", &a->settings, e))
		return -1;
	if (a->score.n_field && moe_rec_set_map(r, "score", &a->score, e))
		return -1;
	if (a->match.n_field && moe_rec_set_map(r, "match", &a->match, e))
		return -1;
	return a->lineage.n_field ? moe_rec_set_map(r, "lineage", &a->lineage, e) : 0;
}

static int bad(const struct moe_rec *r, struct moe_err *e, const char *what)
{
	return moe_fail(e, MOE_DATA,
		"record %" PRIu64 " (byte %" PRIu64 "): layout of an adapter: %s", r->number,
		r->byte, what);
}

static int get_text(
	const struct moe_rec *r, const char *key, char *out, size_t size, struct moe_err *e)
{
	struct moe_str s;

	if (moe_rec_str_req(r, key, &s, e))
		return -1;
	if (s.n >= size || memchr(s.p, 0, s.n))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 ": key '%s' is longer than %zu bytes or holds a NUL",
			r->number, key, size - 1);
	memcpy(out, s.p, s.n);
	out[s.n] = 0;
	return 0;
}

static int get_dim(const struct moe_rec *m, const char *key, int max, int *out, struct moe_err *e)
{
	int64_t v;

	if (moe_rec_int_req(m, key, &v, e))
		return -1;
	if (v < 1 || v > max)
		return moe_fail(e, MOE_DATA,
			"layout of an adapter: %s = %" PRId64 " is outside of 1..%d", key, v, max);
	*out = (int)v;
	return 0;
}

static int get_config(const struct moe_rec *r, struct moe_config *c, struct moe_err *e)
{
	struct moe_rec m = { 0 };
	int rc;

	if (!moe_rec_map(r, "config", &m))
		return bad(r, e, "'config' must be a map");
	rc = get_dim(&m, "layers", 4096, &c->L, e) || get_dim(&m, "hidden", 1 << 20, &c->D, e) ||
			get_dim(&m, "heads", 1 << 16, &c->H, e) ||
			get_dim(&m, "kv_heads", 1 << 16, &c->K, e) ||
			get_dim(&m, "head_dim", 1 << 16, &c->hd, e) ||
			get_dim(&m, "ffn", 1 << 20, &c->F, e)
		? -1
		: 0;
	moe_rec_free(&m);
	if (rc == 0 && (c->H % c->K || (int64_t)c->H * c->hd > 1 << 20))
		return bad(r, e, "kv_heads does not divide heads, or heads x head_dim is too big");
	return rc;
}

static int find_name(const char *const *names, int n, struct moe_str s)
{
	for (int i = 0; i < n; i++)
		if (moe_str_eq(s, names[i]))
			return i;
	return -1;
}

static int get_experts(const struct moe_rec *r, struct moe_experts *x, struct moe_err *e)
{
	struct moe_rec m = { 0 };
	struct moe_str s;
	struct moe_list experts, targets;
	int total = 0, got, j;

	moe_list_open(r, "experts", &experts);
	for (x->E = 0; (got = moe_list_next_map(&experts, &m, e)) == 1; x->E++) {
		int i = x->E;

		if (i == MOE_EXPERTS_MAX || !moe_rec_str(&m, "bank", &s) ||
			(j = find_name(moe_bank_names, MOE_BANKS, s)) < 0 ||
			get_text(&m, "name", x->name[i], sizeof(x->name[i]), e) ||
			get_dim(&m, "rank", MOE_RANKS_MAX, &x->rank[i], e) ||
			(total += x->rank[i]) > MOE_RANKS_MAX) {
			moe_rec_free(&m);
			return bad(r, e,
				"an expert needs a name, a bank (shared, clean, quarantine) and a "
				"rank; at most 64 experts and 4096 ranks are allowed");
		}
		x->bank[i] = (enum moe_bank)j;
		moe_rec_free(&m);
		m = (struct moe_rec){ 0 };
	}
	moe_rec_free(&m); /* an element that is no map leaves its bytes here */
	if (got < 0)
		return -1;
	moe_list_open(r, "targets", &targets);
	if (x->E == 0 || targets.left == 0)
		return bad(r, e, "it has no experts or no targets");
	while (targets.left) {
		if (!moe_list_next_str(&targets, &s) ||
			(j = find_name(moe_linear_names, MOE_LINEARS, s)) < 0)
			return bad(r, e,
				"'targets' must name Linears among q, k, v, o, gate, up, down");
		x->target[j] = true;
	}
	return 0;
}

static int get_plan(const struct moe_rec *r, struct moe_plan *p, struct moe_err *e)
{
	struct moe_rec plan = { 0 }, row = { 0 };
	double v[2];
	size_t n;
	int rc = 0;

	moe_plan_ones(p);
	if (!moe_rec_map(r, "plan", &plan))
		return bad(r, e, "'plan' must be a map");
	for (int d = 0; d < MOE_DECISIONS && rc == 0; d++) {
		if (!moe_rec_map(&plan, moe_decision_names[d], &row))
			continue;
		for (int b = 0; b < MOE_BANKS && rc == 0; b++) {
			if (!moe_rec_has(&row, moe_bank_names[b]))
				continue;
			rc = moe_rec_f64s(&row, moe_bank_names[b], v, 2, &n, e);
			if (rc == 0 && n != 2)
				rc = bad(r, e, "a plan's entry must be [gate, mask]");
			p->gate[d][b] = rc ? 0 : v[0];
			p->mask[d][b] = rc ? 0 : v[1];
		}
		moe_rec_free(&row);
		row = (struct moe_rec){ 0 };
	}
	if (rc == 0 && moe_rec_map(&plan, "sample", &row))
		for (int b = 0; b < MOE_BANKS; b++)
			moe_rec_f64(&row, moe_bank_names[b], &p->sample[b]);
	moe_rec_free(&row);
	moe_rec_free(&plan);
	return rc;
}

/* What the stream declares is allocated before it has arrived: address space, which is bounded;
 * memory is taken as it arrives. */
static int bounded(const struct moe_experts *x, const struct moe_config *c, struct moe_err *e)
{
	size_t n = 0, ranks = 0, m;
	int d_in, d_out;

	for (int i = 0; i < x->E; i++)
		ranks += (size_t)x->rank[i];
	for (int j = 0; j < MOE_LINEARS; j++) {
		moe_linear_shape(c, (enum moe_linear)j, &d_in, &d_out);
		n += x->target[j] ? (size_t)d_in + (size_t)d_out : 0;
	}
	if (!moe_mul(n, ranks, &m) || !moe_mul(m, (size_t)c->L, &m) || m > MOE_PARAM_MAX)
		return moe_fail(e, MOE_DATA,
			"layout of an adapter: its experts would have more than %zu parameters",
			MOE_PARAM_MAX);
	return 0;
}

int moe_adapter_from_layout(const struct moe_rec *r, struct moe_adapter *a, struct moe_err *e)
{
	struct moe_config c = { 0 };
	int64_t seed;

	if (!moe_rec_is(r, "layout"))
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 " (byte %" PRIu64
			"): an adapter must begin with a layout record",
			r->number, r->byte);
	if (get_text(r, "arm", a->arm, sizeof(a->arm), e) ||
		get_text(r, "method", a->method, sizeof(a->method), e) ||
		get_text(r, "base", a->base, sizeof(a->base), e) ||
		moe_rec_int_req(r, "train_seed", &seed, e) ||
		moe_rec_int_req(r, "step", &a->step, e) ||
		moe_rec_f64_req(r, "scale", &a->x.scale, e))
		return -1;
	if (moe_rec_has(r, "router") && get_text(r, "router", a->router, sizeof(a->router), e))
		return -1;
	a->train_seed = (uint64_t)seed;
	if (get_config(r, &c, e) || get_experts(r, &a->x, e) || get_plan(r, &a->plan, e))
		return -1;
	if (bounded(&a->x, &c, e))
		return -1;
	moe_rec_map(r, "settings", &a->settings);
	moe_rec_map(r, "score", &a->score);
	moe_rec_map(r, "match", &a->match);
	moe_rec_map(r, "lineage", &a->lineage);
	return moe_experts_alloc(&a->x, &c, e);
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

	moe_adapter_hash_tensor(&c->h, name, rank, shape, data, n);
	return moe_writer_tensor(c->w, name, "F32", rank, shape, data, NULL, e);
}

int moe_adapter_write(struct moe_writer *w, struct moe_adapter *a, struct moe_err *e)
{
	struct write_ctx c = { .w = w };
	struct moe_rec r = { 0 };
	int rc;

	sha256_init(&c.h);
	rc = moe_adapter_layout(a, &r, e) || moe_adapter_hash_layout(&c.h, &r, e) ||
			moe_writer_put(w, &r, e) || moe_adapter_each_tensor(a, write_one, &c, e)
		? -1
		: 0;
	if (rc == 0) {
		moe_adapter_hash_end(&c.h, a->digest);
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

	t->s = moe_alloc((size_t)x->config.L * 2 * MOE_LINEARS + 1, sizeof(*t->s), e);
	if (!t->s)
		return -1;
	for (int l = 0; l < x->config.L; l++)
		for (int j = 0; j < 2 * MOE_LINEARS; j++) {
			size_t at = (size_t)l * MOE_LINEARS + (size_t)j / 2;

			if (!x->target[j / 2])
				continue;
			s = &t->s[t->n++];
			snprintf(s->name, sizeof(s->name), "layers.%d.%s.%c", l,
				moe_linear_names[j / 2], j % 2 ? 'B' : 'A');
			s->rank = 2;
			moe_adapter_tensor_shape(x, j / 2, j % 2 == 0, s->shape);
			s->real = x->param + (j % 2 ? x->b_off[at] : x->a_off[at]);
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
	char said[65];

	if (t->at < t->n)
		return moe_fail(e, MOE_DATA,
			"record %" PRIu64 ": the arm '%s' ends before its tensor '%s' is whole",
			r->number, a->arm, t->s[t->at].name);
	if (get_text(r, "digest", said, sizeof(said), e))
		return -1;
	sha256_init(&c.h);
	if (moe_adapter_hash_layout(&c.h, layout, e))
		return -1;
	for (size_t i = 0; i < t->n; i++) {
		const struct slot *s = &t->s[i];
		float *f = s->real ? moe_alloc(s->n, sizeof(float), e) : s->f32;

		if (!f)
			return -1;
		for (size_t k = 0; s->real && k < s->n; k++)
			f[k] = (float)s->real[k];
		moe_adapter_hash_tensor(&c.h, s->name, s->rank, s->shape, f, s->n);
		if (s->real)
			free(f);
	}
	moe_adapter_hash_end(&c.h, a->digest);
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
