/* load.c - weights of a Hugging Face directory, in (mapped) and out. Not config.json (hfconfig.c),
 * no arithmetic. */
#include "model/load.h"
#include "formats/file.h"
#include "formats/safetensors.h"
#include "model/prep.h"
#include "util/half.h"

#include <dirent.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_LEN 128
#define CONFIG_MAX   ((size_t)1 << 20)

struct map {
	struct moe_st *st;
	void **copy; /* aligned copies of misaligned tensors */
	size_t n_copy;
	const struct moe_st_tensor **use; /* [used] tensors that the model uses */
	size_t used;
};

void moe_model_unmap(struct moe_model *m)
{
	struct map *p = m->map;

	if (!p)
		return;
	moe_st_close(p->st);
	for (size_t i = 0; i < p->n_copy; i++)
		free(p->copy[i]);
	free(p->copy);
	free(p->use);
	free(p);
	m->map = NULL;
}

static const struct dtype {
	const char *name;
	enum moe_dtype dtype;
	size_t bytes;
} dtypes[] = { { "F32", MOE_F32, 4 }, { "F16", MOE_F16, 2 }, { "BF16", MOE_BF16, 2 } };

static const struct dtype *find_dtype(const char *name)
{
	for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++)
		if (!strcmp(name, dtypes[i].name))
			return &dtypes[i];
	return NULL;
}

/* The tensor where it lies in the mapped file, or a copy where the file did not align it. */
static const void *aligned(
	struct map *p, const struct moe_st_tensor *t, size_t bytes, struct moe_err *e)
{
	void **more, *c;

	if ((uintptr_t)t->data % bytes == 0)
		return t->data;
	more = realloc(p->copy, (p->n_copy + 1) * sizeof(*more));
	if (!more) {
		moe_fail(e, MOE_SYSTEM, "tensor '%s': out of memory", t->name);
		return NULL;
	}
	p->copy = more;
	c = moe_alloc(t->bytes, 1, e);
	if (!c)
		return NULL;
	memcpy(c, t->data, t->bytes);
	p->copy[p->n_copy++] = c;
	return c;
}

/* w = tensor `name` of shape [rows, cols], or [cols] when rows is 0. */
static int take(struct moe_model *m, struct moe_weight *w, const char *name, int rows, int cols,
	struct moe_err *e)
{
	struct map *p = m->map;
	const struct moe_st_tensor *t = moe_st_find(p->st, name);
	const struct dtype *d = t ? find_dtype(t->dtype) : NULL;

	if (!t)
		return moe_fail(e, MOE_DATA, "tensor '%s' is missing", name);
	if (!d)
		return moe_fail(e, MOE_DATA,
			"tensor '%s' has dtype %s; F32, F16 and BF16 are supported", name,
			t->dtype);
	if (t->rank != (rows ? 2 : 1) || t->shape[t->rank - 1] != (uint64_t)cols ||
		(rows && t->shape[0] != (uint64_t)rows))
		return rows ? moe_fail(e, MOE_DATA,
				      "tensor '%s' does not have the shape [%d, %d] that "
				      "config.json asks for",
				      name, rows, cols)
			    : moe_fail(e, MOE_DATA,
				      "tensor '%s' does not have the shape [%d] that config.json "
				      "asks for",
				      name, cols);
	w->data = aligned(p, t, d->bytes, e);
	if (!w->data)
		return -1;
	w->dtype = d->dtype;
	w->rows = rows ? rows : 1;
	w->cols = cols;
	p->use[p->used++] = t;
	return 0;
}

/* Which Linears have a bias, by the family (config.h). */
static bool has_bias(const struct moe_config *c, enum moe_linear l)
{
	if (l == MOE_O)
		return c->o_bias;
	return l < MOE_O ? c->qkv_bias : c->mlp_bias;
}

/* A layer's weights, by the names that transformers gives them. */
static int take_layer(struct moe_model *m, int i, struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	struct moe_layer *y = &m->layer[i];
	char name[NAME_MAX_LEN];
	int in, out;

	for (int l = 0; l < MOE_LINEARS; l++) {
		moe_linear_shape(c, (enum moe_linear)l, &in, &out);
		snprintf(name, sizeof(name), "model.layers.%d.%s.weight", i, moe_linear_modules[l]);
		if (take(m, &y->w[l], name, out, in, e))
			return -1;
		snprintf(name, sizeof(name), "model.layers.%d.%s.bias", i, moe_linear_modules[l]);
		if (has_bias(c, (enum moe_linear)l) && take(m, &y->bias[l], name, 0, out, e))
			return -1;
	}
	snprintf(name, sizeof(name), "model.layers.%d.input_layernorm.weight", i);
	if (take(m, &y->norm1, name, 0, c->D, e))
		return -1;
	snprintf(name, sizeof(name), "model.layers.%d.post_attention_layernorm.weight", i);
	if (take(m, &y->norm2, name, 0, c->D, e))
		return -1;
	if (!c->qk_norm)
		return 0;
	snprintf(name, sizeof(name), "model.layers.%d.self_attn.q_norm.weight", i);
	if (take(m, &y->qnorm, name, 0, c->hd, e))
		return -1;
	snprintf(name, sizeof(name), "model.layers.%d.self_attn.k_norm.weight", i);
	return take(m, &y->knorm, name, 0, c->hd, e);
}

/* Old Llama files carry the rope frequencies. */
static bool ignorable(const char *name)
{
	size_t n = strlen(name), k = strlen("rotary_emb.inv_freq");

	return n >= k && !strcmp(name + n - k, "rotary_emb.inv_freq");
}

/* A tied head may be stored although it is not used; then it must be the embedding. (transformers 4
 * ties it without a look, 5 does not tie it.) */
static int check_tied(struct moe_model *m, struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	struct map *p = m->map;
	struct moe_weight head = { 0 };
	moe_real *row;
	int at = 0;

	m->head = m->embed;
	if (!moe_st_find(p->st, "lm_head.weight"))
		return 0;
	row = moe_alloc(2 * (size_t)c->D, sizeof(*row), e);
	if (!row || take(m, &head, "lm_head.weight", c->V, c->D, e)) {
		free(row);
		return -1;
	}
	/* row by row, widened, since the two may be stored in different types */
	for (; at < c->V; at++) {
		moe_weight_widen(&m->embed, at, 1, row);
		moe_weight_widen(&head, at, 1, row + c->D);
		if (memcmp(row, row + c->D, (size_t)c->D * sizeof(*row)) != 0)
			break;
	}
	free(row);
	return at == c->V
		? 0
		: moe_fail(e, MOE_DATA,
			  "config.json ties the head to the embedding (\"tie_word_embeddings\"), "
			  "but the file has a lm_head.weight that differs from it (row %d): set it "
			  "to false to use that head, or remove the tensor",
			  at);
}

/* Few hundred tensors, looked at once: no table is worth it. */
static bool is_used(const struct map *p, const struct moe_st_tensor *t)
{
	for (size_t i = 0; i < p->used; i++)
		if (p->use[i] == t)
			return true;
	return false;
}

/* A tensor that nothing uses means that this is another model than config.json says. */
static int check_all_used(const struct moe_model *m, struct moe_err *e)
{
	const struct map *p = m->map;
	size_t spare = 0, n = moe_st_count(p->st);

	for (size_t i = 0; i < n; i++)
		spare += ignorable(moe_st_at(p->st, i)->name);
	if (p->used + spare == n)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const struct moe_st_tensor *t = moe_st_at(p->st, i);
		if (!ignorable(t->name) && !is_used(p, t))
			return moe_fail(e, MOE_DATA,
				"tensor '%s' belongs to no part of the model that config.json "
				"describes",
				t->name);
	}
	return moe_fail(e, MOE_DATA, "there are %zu tensors where config.json describes %zu",
		n - spare, p->used);
}

/* Every weight that config.json describes, and nothing that it does not. */
static int take_all(struct moe_model *m, struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	struct map *p = m->map;

	p->use = moe_alloc(
		moe_st_count(p->st) + 1, sizeof(*p->use), e); /* no name is asked for twice */
	m->layer = p->use ? moe_alloc((size_t)c->L, sizeof(*m->layer), e) : NULL;
	if (!m->layer || take(m, &m->embed, "model.embed_tokens.weight", c->V, c->D, e) ||
		take(m, &m->norm, "model.norm.weight", 0, c->D, e))
		return -1;
	for (int i = 0; i < c->L; i++)
		if (take_layer(m, i, e))
			return -1;
	if (c->tied) {
		if (check_tied(m, e))
			return -1;
	} else if (!moe_st_find(p->st, "lm_head.weight"))
		return moe_fail(e, MOE_DATA,
			"tensor 'lm_head.weight' is missing; if the head is the embedding, set "
			"\"tie_word_embeddings\" to true in config.json");
	else if (take(m, &m->head, "lm_head.weight", c->V, c->D, e))
		return -1;
	return check_all_used(m, e);
}

/* The length before the bytes keeps (ab, c) and (a, bc) apart. */
static void hash(struct sha256_ctx *h, const void *p, size_t n)
{
	uint8_t len[8];

	for (int i = 0; i < 8; i++)
		len[i] = (uint8_t)((uint64_t)n >> 8 * i);
	sha256_update(h, sizeof(len), len);
	sha256_update(h, n, p);
}

/* SHA-256 of config.json and the weight files in the order of their names, each with its length
 * before it; names do not count. */
static void make_digest(struct moe_model *m, const struct moe_buf *config)
{
	const struct map *p = m->map;
	struct sha256_ctx h;
	uint8_t d[SHA256_DIGEST_SIZE];

	sha256_init(&h);
	hash(&h, config->data, config->len);
	for (size_t i = 0; i < moe_st_files(p->st); i++) {
		size_t n;
		const void *q = moe_st_file(p->st, i, &n);
		hash(&h, q, n);
	}
	sha256_digest(&h, sizeof(d), d);
	for (int i = 0; i < SHA256_DIGEST_SIZE; i++)
		snprintf(m->digest + 2 * i, 3, "%02x", d[i]);
}

static int load_config(
	struct moe_model *m, const char *dir, struct moe_buf *text, struct moe_err *e)
{
	char *path = moe_path_join(dir, "config.json", e);
	int r = path ? moe_file_read(path, text, CONFIG_MAX, e) : -1;
	struct moe_special s;

	if (!r)
		r = moe_config_parse((const char *)text->data, text->len, path, &m->config, e);
	if (!r)
		r = moe_special_read(dir, &s, e);
	if (!r) {
		moe_config_special(&m->config, &s);
		snprintf(m->note, sizeof(m->note), "%s", s.note);
	}
	free(path);
	return r;
}

static bool ends_in(const char *name, const char *with)
{
	size_t n = strlen(name), k = strlen(with);

	return n >= k && !strcmp(name + n - k, with);
}

/* What to do with the weights that are there, when a directory with safetensors is not. */
static const char *advice(const char *name)
{
	if (ends_in(name, ".gguf"))
		return "a GGUF file: moe-base --from-gguf FILE -o DIR makes a model directory of "
		       "it";
	if (ends_in(name, ".bin") || ends_in(name, ".pt") || ends_in(name, ".pth"))
		return "PyTorch's pickle, which is not read, since it can run code: load it in "
		       "transformers and write it with save_pretrained(DIR)";
	return ends_in(name, ".safetensors")
		? "the weights alone: give the directory, with config.json and tokenizer.json"
		: NULL;
}

/* A path that is no model directory of this form: says what it is, if that is plain. Always fails.
 */
static int explain(const char *path, struct moe_err *e)
{
	const char *what = NULL;
	struct dirent *x;
	struct stat st;
	DIR *d;

	if (e->code != MOE_SYSTEM || stat(path, &st))
		return -1;
	if (!S_ISDIR(st.st_mode)) {
		what = advice(path);
		return what ? moe_fail(e, MOE_DATA, "%s: this is %s", path, what) : -1;
	}
	d = opendir(path);
	while (d && !what && (x = readdir(d)))
		if ((what = advice(x->d_name)) && !ends_in(x->d_name, ".safetensors"))
			moe_fail(e, MOE_DATA, "%s: no safetensors in it; %.200s is %s", path,
				x->d_name, what);
		else
			what = NULL;
	if (d)
		closedir(d);
	return -1;
}

int moe_model_load(struct moe_model *m, const char *dir, struct moe_err *e)
{
	struct moe_buf text = { 0 };
	struct map *p;
	int r;

	memset(m, 0, sizeof(*m));
	/* config.json says what must be there; the weights are mapped, not read; what is small and
	 * frozen is made ready for products (prep.h); last, the digest that names this base */
	r = load_config(m, dir, &text, e);
	if (!r) {
		p = moe_alloc(1, sizeof(*p), e);
		m->map = p;
		if (p)
			p->st = moe_st_open_dir(dir, "model", e);
		r = p && p->st ? 0 : -1;
	}
	if (!r && (take_all(m, e) || moe_model_make_ready(m, e)))
		r = moe_err_prefix(e, "%s", dir);
	if (!r)
		make_digest(m, &text);
	moe_buf_free(&text);
	if (r) {
		explain(dir, e);
		moe_model_free(m);
	}
	return r;
}

/* ---- writing ---- */

struct out {
	struct moe_st_tensor *t;
	char (*name)[NAME_MAX_LEN];
	void **copy; /* f32 copies of what is stored otherwise */
	size_t n, cap;
};

/* Directories are written as F32, whatever the weights were stored as. */
static void *to_f32(const struct moe_weight *w, size_t n, struct moe_err *e)
{
	float *f = moe_alloc(n, sizeof(*f), e);

	for (size_t i = 0; f && i < n; i++)
		f[i] = w->dtype == MOE_F64     ? (float)((const double *)w->data)[i]
			: w->dtype == MOE_BF16 ? moe_f32_from_bf16(((const uint16_t *)w->data)[i])
					       : moe_f32_from_f16(((const uint16_t *)w->data)[i]);
	return f;
}

static int put(struct out *o, const struct moe_weight *w, bool vector, struct moe_err *e,
	const char *fmt, int layer, const char *part)
{
	struct moe_st_tensor *t = &o->t[o->n];
	size_t n = (size_t)w->rows * (size_t)w->cols;

	if (!w->data)
		return 0;
	snprintf(o->name[o->n], NAME_MAX_LEN, fmt, layer, part);
	t->name = o->name[o->n];
	memcpy(t->dtype, "F32", 4);
	t->rank = vector ? 1 : 2;
	t->shape[0] = (uint64_t)(vector ? w->cols : w->rows);
	t->shape[1] = (uint64_t)w->cols;
	t->bytes = n * sizeof(float);
	t->data = w->data;
	if (w->dtype != MOE_F32) {
		t->data = o->copy[o->n] = to_f32(w, n, e);
		if (!t->data)
			return -1;
	}
	o->n++;
	return 0;
}

static int put_layer(struct out *o, const struct moe_layer *y, int i, struct moe_err *e)
{
	for (int l = 0; l < MOE_LINEARS; l++)
		if (put(o, &y->w[l], false, e, "model.layers.%d.%s.weight", i,
			    moe_linear_modules[l]) ||
			put(o, &y->bias[l], true, e, "model.layers.%d.%s.bias", i,
				moe_linear_modules[l]))
			return -1;
	if (put(o, &y->norm1, true, e, "model.layers.%d.%s.weight", i, "input_layernorm") ||
		put(o, &y->norm2, true, e, "model.layers.%d.%s.weight", i,
			"post_attention_layernorm") ||
		put(o, &y->qnorm, true, e, "model.layers.%d.%s.weight", i, "self_attn.q_norm"))
		return -1;
	return put(o, &y->knorm, true, e, "model.layers.%d.%s.weight", i, "self_attn.k_norm");
}

static int put_named(
	struct out *o, const struct moe_weight *w, bool vector, const char *name, struct moe_err *e)
{
	size_t at = o->n;

	if (put(o, w, vector, e, "%.0d%s", 0, name)) /* a 0 of precision 0 prints nothing */
		return -1;
	return o->n == at ? moe_fail(e, MOE_DATA, "%s: the model has no such weight", name) : 0;
}

/* Names and order of transformers' own save_pretrained. */
static int write_weights(const struct moe_model *m, const char *dir, struct moe_err *e)
{
	static const char *const meta[1][2] = { { "format",
		"pt" } }; /* transformers 4 insists on it */
	size_t cap = (size_t)m->config.L * (2 * MOE_LINEARS + 4) + 3;
	struct out o = { moe_alloc(cap, sizeof(*o.t), e), moe_alloc(cap, NAME_MAX_LEN, e),
		moe_alloc(cap, sizeof(*o.copy), e), 0, cap };
	char *path = moe_path_join(dir, "model.safetensors", e);
	int r = -1;

	if (o.t && o.name && o.copy && path)
		r = put_named(&o, &m->embed, false, "model.embed_tokens.weight", e);
	for (int i = 0; !r && i < m->config.L; i++)
		r = put_layer(&o, &m->layer[i], i, e);
	if (!r)
		r = put_named(&o, &m->norm, true, "model.norm.weight", e);
	if (!r && !m->config.tied)
		r = put_named(&o, &m->head, false, "lm_head.weight", e);
	if (!r)
		r = moe_st_write(path, o.t, o.n, meta, 1, e);
	for (size_t i = 0; o.copy && i < cap; i++)
		free(o.copy[i]);
	free(o.t);
	free(o.name);
	free(o.copy);
	free(path);
	return r;
}

/* Said before the work, not after it: a directory that cannot be written into. */
int moe_model_dir(const char *dir, struct moe_err *e)
{
	struct stat st;

	if (mkdir(dir, 0777) && errno != EEXIST)
		return moe_fail_errno(e, "%s: cannot make the directory", dir);
	if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode))
		return moe_fail(e, MOE_SYSTEM, "%s: is no directory", dir);
	return access(dir, W_OK | X_OK)
		? moe_fail_errno(e, "%s: cannot write into the directory", dir)
		: 0;
}

int moe_model_save(const struct moe_model *m, const char *dir, struct moe_err *e)
{
	struct moe_buf text = { 0 };
	char *path = NULL;
	int r = -1;

	if (moe_model_dir(dir, e))
		return -1;
	if (!moe_config_write(&m->config, &text, e))
		path = moe_path_join(dir, "config.json", e);
	if (path && !write_weights(m, dir, e))
		r = moe_file_replace(path, text.data, text.len, e);
	free(path);
	moe_buf_free(&text);
	return r;
}
