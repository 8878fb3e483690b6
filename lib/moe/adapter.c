/* adapter.c - an arm in memory and its content digest; how it lies in a stream is adapter_io.c. */
#include "moe/adapter_priv.h"

#include <math.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

void moe_adapter_free(struct moe_adapter *a)
{
	moe_experts_free(&a->x);
	moe_rec_free(&a->settings);
	moe_rec_free(&a->score);
	moe_rec_free(&a->match);
	moe_rec_free(&a->lineage);
	for (size_t i = 0; i < a->n_tensor; i++)
		free(a->tensor[i].data);
	free(a->tensor);
	*a = (struct moe_adapter){ 0 };
}

struct moe_score_tensor *moe_adapter_add_tensor(
	struct moe_adapter *a, const char *name, int rank, const uint64_t *shape, struct moe_err *e)
{
	struct moe_score_tensor *t = realloc(a->tensor, (a->n_tensor + 1) * sizeof(*t));
	size_t n = 1;

	if (!t) {
		moe_fail(e, MOE_SYSTEM, "out of memory for the score's tensors");
		return NULL;
	}
	a->tensor = t;
	t = &a->tensor[a->n_tensor];
	*t = (struct moe_score_tensor){ .rank = rank };
	if (rank < 0 || rank > 4 || strlen(name) >= sizeof(t->name)) {
		moe_fail(e, MOE_DATA, "tensor '%.60s' has %d dimensions or too long a name", name,
			rank);
		return NULL;
	}
	memcpy(t->name, name, strlen(name) + 1);
	for (int i = 0; i < rank; i++) {
		t->shape[i] = shape[i];
		if (shape[i] > MOE_SCORE_MAX || !moe_mul(n, (size_t)shape[i], &n) ||
			n > MOE_SCORE_MAX) {
			moe_fail(e, MOE_DATA, "tensor '%s' is too big", name);
			return NULL;
		}
	}
	t->n = n;
	t->data = moe_alloc_declared(n, sizeof(float), e);
	if (!t->data)
		return NULL;
	a->n_tensor++;
	return t;
}

const struct moe_score_tensor *moe_adapter_tensor(const struct moe_adapter *a, const char *name)
{
	for (size_t i = 0; i < a->n_tensor; i++)
		if (!strcmp(a->tensor[i].name, name))
			return &a->tensor[i];
	return NULL;
}

static int copy_recs(struct moe_adapter *to, const struct moe_adapter *from, struct moe_err *e)
{
	if (moe_rec_copy(&to->settings, &from->settings, e) ||
		moe_rec_copy(&to->score, &from->score, e) ||
		moe_rec_copy(&to->match, &from->match, e))
		return -1;
	return moe_rec_copy(&to->lineage, &from->lineage, e);
}

int moe_adapter_copy(struct moe_adapter *to, const struct moe_adapter *from, struct moe_err *e)
{
	moe_adapter_free(to);
	*to = *from;
	to->x = (struct moe_experts){ 0 };
	to->settings = to->score = to->match = to->lineage = (struct moe_rec){ 0 };
	to->tensor = NULL;
	to->n_tensor = 0;
	if (moe_experts_copy(&to->x, &from->x, e) || copy_recs(to, from, e))
		goto fail;
	for (size_t i = 0; i < from->n_tensor; i++) {
		const struct moe_score_tensor *f = &from->tensor[i];
		struct moe_score_tensor *t = moe_adapter_add_tensor(
			to, f->name, f->rank, f->shape, e);

		if (!t)
			goto fail;
		memcpy(t->data, f->data, f->n * sizeof(float));
	}
	return 0;
fail:
	moe_adapter_free(to);
	return -1;
}

int moe_lineage_add(struct moe_adapter *a, const char *parent, const char *pins, int argc,
	char *const *argv, struct moe_err *e)
{
	size_t n = moe_rec_array_len(&a->lineage, "parents") + 1, words = argv ? (size_t)argc : 0;
	struct moe_str *v = moe_alloc(n > words ? n : words, sizeof(*v), e);
	struct moe_list parents;
	struct moe_rec old = { 0 };
	int rc = v ? 0 : -1;

	if (rc == 0 && parent) {
		rc = moe_rec_copy(&old, &a->lineage, e);
		moe_list_open(&old, "parents", &parents);
		for (n = 0; rc == 0 && moe_list_next_str(&parents, &v[n]);)
			n++;
		v[n++] = (struct moe_str){ parent, strlen(parent) };
		if (rc == 0)
			rc = moe_rec_set_strs(&a->lineage, "parents", v, n, e);
		moe_rec_free(&old);
	}
	if (rc == 0 && pins)
		rc = moe_rec_set_str(&a->lineage, "pins", pins, e);
	for (n = 0; rc == 0 && n < words; n++)
		v[n] = (struct moe_str){ argv[n], strlen(argv[n]) };
	if (rc == 0 && argv)
		rc = moe_rec_set_strs(&a->lineage, "argv", v, words, e);
	free(v);
	return rc;
}

/* ---- the digest ---- */

void moe_adapter_hash_tensor(struct sha256_ctx *h, const char *name, int rank,
	const uint64_t *shape, const float *data, size_t n)
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

int moe_adapter_hash_layout(struct sha256_ctx *h, const struct moe_rec *layout, struct moe_err *e)
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

void moe_adapter_hash_end(struct sha256_ctx *h, char hex[65])
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
	moe_adapter_hash_tensor(&c->h, name, rank, shape, data, n);
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
		rc = moe_adapter_hash_layout(&c.h, &layout, e);
	if (rc == 0)
		rc = moe_adapter_each_tensor(a, hash_one, &c, e);
	if (rc == 0)
		moe_adapter_hash_end(&c.h, a->digest);
	moe_rec_free(&layout);
	return rc;
}

/* ---- walking all tensors as f32 ---- */

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

static int give(const char *name, const uint64_t shape[2], const moe_real *v, moe_tensor_fn *fn,
	void *ctx, struct moe_err *e)
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

void moe_adapter_tensor_shape(const struct moe_experts *x, int linear, bool is_a, uint64_t shape[2])
{
	int d_in, d_out;

	moe_linear_shape(&x->config, (enum moe_linear)linear, &d_in, &d_out);
	shape[0] = (uint64_t)(is_a ? x->R : d_out);
	shape[1] = (uint64_t)(is_a ? d_in : x->R);
}

int moe_adapter_each_tensor(
	const struct moe_adapter *a, moe_tensor_fn *fn, void *ctx, struct moe_err *e)
{
	const struct moe_experts *x = &a->x;
	uint64_t shape[2];
	char name[64];

	for (int l = 0; l < x->config.L; l++)
		for (int j = 0; j < 2 * MOE_LINEARS; j++) {
			bool is_a = j % 2 == 0;
			size_t at = (size_t)l * MOE_LINEARS + (size_t)j / 2;

			if (!x->target[j / 2])
				continue;
			moe_adapter_tensor_shape(x, j / 2, is_a, shape);
			snprintf(name, sizeof(name), "layers.%d.%s.%c", l, moe_linear_names[j / 2],
				is_a ? 'A' : 'B');
			if (give(name, shape, x->param + (is_a ? x->a_off[at] : x->b_off[at]), fn,
				    ctx, e))
				return -1;
		}
	shape[0] = (uint64_t)x->config.L * MOE_LINEARS;
	shape[1] = (uint64_t)x->R;
	if (give("alive", shape, x->alive, fn, ctx, e))
		return -1;
	for (size_t i = 0; i < a->n_tensor; i++) {
		const struct moe_score_tensor *t = &a->tensor[i];

		if (fn(ctx, t->name, t->rank, t->shape, t->data, t->n, e))
			return -1;
	}
	return 0;
}

int moe_adapter_check(const struct moe_adapter *a, const struct moe_config *c,
	const char *base_digest, bool any_base, struct moe_err *e)
{
	const struct moe_config *k = &a->x.config;

	if (k->L != c->L || k->D != c->D || k->H != c->H || k->K != c->K || k->hd != c->hd ||
		k->F != c->F)
		return moe_fail(e, MOE_DATA,
			"the adapter does not fit the base: it was made for %d layers, hidden %d, "
			"heads %d/%d of %d, ffn %d; "
			"the base has %d layers, hidden %d, heads %d/%d of %d, ffn %d",
			k->L, k->D, k->H, k->K, k->hd, k->F, c->L, c->D, c->H, c->K, c->hd, c->F);
	if (!any_base && a->base[0] && base_digest[0] && strcmp(a->base, base_digest) != 0)
		return moe_fail(e, MOE_DATA,
			"the adapter was made for another base model: its digest is %.12s, this "
			"base's is %.12s; "
			"moe-rollout, moe-train and moe-base take it with --any-base",
			a->base, base_digest);
	return 0;
}
