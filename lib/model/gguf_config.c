/* gguf_config.c - the metadata of a GGUF file as struct moe_config. It touches no weights but the
 * table of rope_freqs.weight, in which Llama 3's scaling is kept. */
#include "model/gguf_in.h"
#include "util/mem.h"
#include "util/elementary.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 96

struct from {
	const struct moe_gguf *g;
	const char *arch;
	struct moe_err *e;
};

static const struct family {
	const char *arch;
	enum moe_family family;
} families[] = { { "llama", MOE_LLAMA }, { "qwen2", MOE_QWEN2 }, { "qwen3", MOE_QWEN3 } };

/* The keys below "ARCH." that are read here, or whose only value for these models is checked. */
static const char *const known[] = { "block_count", "context_length", "embedding_length",
	"feed_forward_length", "vocab_size", "attention.head_count", "attention.head_count_kv",
	"attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
	"attention.causal", "attention.sliding_window", "rope.dimension_count", "rope.freq_base",
	"rope.scale_linear", "rope.scaling.type", "rope.scaling.factor",
	"rope.scaling.original_context_length", "rope.scaling.finetuned", "expert_count",
	"expert_used_count", "use_parallel_residual" };

static int fail(const struct from *f, const char *key, const char *what)
{
	return moe_fail(f->e, MOE_DATA, "%s: '%s.%s' %s", moe_gguf_name(f->g), f->arch, key, what);
}

static const char *full_key(const struct from *f, const char *key, char out[KEY_BYTES])
{
	snprintf(out, KEY_BYTES, "%s.%s", f->arch, key);
	return out;
}

static int get_family(struct from *f, struct moe_config *c)
{
	const char *p = "";
	size_t n = 0;
	int rc = moe_gguf_str(f->g, "general.architecture", &p, &n, f->e);

	if (rc < 0)
		return -1;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (n == strlen(families[i].arch) && !memcmp(p, families[i].arch, n)) {
			f->arch = families[i].arch;
			c->family = families[i].family;
			return 0;
		}
	return moe_fail(f->e, MOE_DATA,
		"%s: the architecture '%.*s' is not supported (llama, qwen2 and qwen3 are)",
		moe_gguf_name(f->g), n > 40 ? 40 : (int)n, p);
}

static int refuse_unknown(const struct from *f)
{
	size_t prefix = strlen(f->arch);
	int64_t parts = 1;

	for (size_t i = 0; i < moe_gguf_values(f->g); i++) {
		const char *key = moe_gguf_value_at(f->g, i)->key;
		bool ok = strncmp(key, f->arch, prefix) != 0 || key[prefix] != '.';

		for (size_t k = 0; !ok && k < sizeof(known) / sizeof(known[0]); k++)
			ok = !strcmp(key + prefix + 1, known[k]);
		if (!ok)
			return moe_fail(f->e, MOE_DATA,
				"%s: '%.80s' is not supported: it may change what the model "
				"computes",
				moe_gguf_name(f->g), key);
	}
	if (moe_gguf_int(f->g, "split.count", &parts, f->e) < 0)
		return -1;
	return parts > 1 ? moe_fail(f->e, MOE_DATA,
				   "%s: one of %lld parts of a model; make them one file first "
				   "(llama-gguf-split --merge)",
				   moe_gguf_name(f->g), (long long)parts)
			 : 0;
}

/* A whole number in [lo, INT_MAX], or an array with the same one for each layer. def < 0: it must
 * be there. */
static int get_int(const struct from *f, const char *key, int lo, int def, int *out)
{
	char full[KEY_BYTES];
	const struct moe_gguf_value *v = moe_gguf_get(f->g, full_key(f, key, full));
	int64_t n = def, other;

	if (!v && def < 0)
		return fail(f, key, "is missing");
	if (v && v->kind == MOE_GGUF_ARRAY) {
		if (!v->n || !moe_gguf_int_at(v, 0, &n))
			return fail(f, key, "is not an array of whole numbers");
		for (uint64_t i = 1; i < v->n; i++)
			if (!moe_gguf_int_at(v, i, &other) || other != n)
				return fail(f, key, "differs by layer, which is not supported");
	} else if (moe_gguf_int(f->g, full, &n, f->e) < 0) {
		return -1;
	}
	if (n < lo || n > INT_MAX)
		return fail(f, key, "is out of range");
	*out = (int)n;
	return 0;
}

static int get_f64(const struct from *f, const char *key, double def, double *out)
{
	char full[KEY_BYTES];

	*out = def;
	if (moe_gguf_f64(f->g, full_key(f, key, full), out, f->e) < 0)
		return -1;
	return isfinite(*out) && *out > 0 ? 0 : fail(f, key, "is missing or not a number above 0");
}

static int get_shape(const struct from *f, struct moe_config *c)
{
	const struct moe_gguf_tensor *t = moe_gguf_find(f->g, "token_embd.weight");
	int values, vocab;

	if (!t || t->rank != 2 || t->ne[1] > INT_MAX)
		return moe_fail(f->e, MOE_DATA,
			"%s: tensor 'token_embd.weight' is missing or not a matrix",
			moe_gguf_name(f->g));
	c->V = (int)t->ne[1];
	if (get_int(f, "block_count", 1, -1, &c->L) ||
		get_int(f, "embedding_length", 1, -1, &c->D) ||
		get_int(f, "feed_forward_length", 1, -1, &c->F) ||
		get_int(f, "context_length", 1, -1, &c->max_pos) ||
		get_int(f, "attention.head_count", 1, -1, &c->H) ||
		get_int(f, "attention.head_count_kv", 1, c->H, &c->K) ||
		get_int(f, "attention.key_length", 1, c->D / c->H, &c->hd) ||
		get_int(f, "attention.value_length", 1, c->hd, &values) ||
		get_int(f, "vocab_size", 1, c->V, &vocab))
		return -1;
	if (vocab != c->V)
		return fail(f, "vocab_size", "is not the number of rows of token_embd.weight");
	if (values != c->hd)
		return fail(f, "attention.value_length",
			"is not attention.key_length, which is not supported");
	if (c->hd < 2 || c->hd % 2)
		return fail(f, "attention.key_length", "(the head dimension) is not even");
	if (c->H % c->K)
		return fail(f, "attention.head_count", "is not a multiple of the key/value heads");
	if ((int64_t)c->H * c->hd > INT_MAX || c->L > 100000)
		return fail(f, "block_count", "and the other sizes are too large");
	return get_f64(f, "attention.layer_norm_rms_epsilon", 0, &c->eps);
}

/* ---- rope ---- */

static int get_scaling(const struct from *f, struct moe_config *c)
{
	char full[KEY_BYTES];
	const char *p = "none";
	size_t n = 4;
	double linear;

	if (moe_gguf_str(f->g, full_key(f, "rope.scaling.type", full), &p, &n, f->e) < 0 ||
		get_f64(f, "rope.scale_linear", 1, &linear) ||
		get_f64(f, "rope.scaling.factor", linear, &c->rope_factor) ||
		get_f64(f, "rope.scaling.original_context_length", c->max_pos, &c->rope_orig))
		return -1;
	if (n == 4 && !memcmp(p, "none", 4))
		c->rope = linear != 1 ? MOE_ROPE_LINEAR : MOE_ROPE_DEFAULT;
	else if (n == 6 && !memcmp(p, "linear", 6))
		c->rope = MOE_ROPE_LINEAR;
	else if (n == 4 && !memcmp(p, "yarn", 4))
		c->rope = MOE_ROPE_YARN;
	else
		return moe_fail(f->e, MOE_DATA,
			"%s: the rope scaling '%.*s' is not supported (none, linear and yarn are)",
			moe_gguf_name(f->g), n > 40 ? 40 : (int)n, p);
	if (c->rope == MOE_ROPE_YARN) { /* beta_slow, beta_fast: the defaults of both sides */
		c->rope_low = 1;
		c->rope_high = 32;
	}
	return 0;
}

/* What llama.cpp's converter divides frequency j by in Llama 3's scaling (convert_hf_to_gguf.py,
 * LlamaModel.generate_extra_tensors). */
static double llama3_factor(const struct moe_config *c, int j)
{
	double wave = 2 * acos(-1) * moe_pow(c->theta, 2.0 * j / c->hd),
	       smooth = (c->rope_orig / wave - c->rope_low) / (c->rope_high - c->rope_low);

	if (wave < c->rope_orig / c->rope_high)
		return 1;
	if (wave > c->rope_orig / c->rope_low)
		return c->rope_factor;
	return 1 / ((1 - smooth) / c->rope_factor + smooth);
}

/* Llama 3's scaling is in no key: the file has a table of hd/2 factors. Its parameters are found
 * again (factor is the last entry; low 1, high 4 and the length 8192, or the one that the file
 * names, are the same in all of these models) and held to the whole table. */
static int get_freqs(const struct from *f, struct moe_config *c)
{
	const struct moe_gguf_tensor *t = moe_gguf_find(f->g, "rope_freqs.weight");
	int half = c->hd / 2;
	float *table;
	bool same = true, ones = true;
	char full[KEY_BYTES];

	if (!t)
		return 0;
	if (t->type != MOE_GGML_F32 || t->rank != 1 || t->ne[0] != (uint64_t)half)
		return moe_fail(f->e, MOE_DATA,
			"%s: tensor 'rope_freqs.weight' is not %d numbers of type F32",
			moe_gguf_name(f->g), half);
	table = moe_alloc((size_t)half, sizeof(*table), f->e);
	if (!table)
		return -1;
	moe_gguf_floats(t, 0, 1, table);
	for (int j = 0; j < half; j++)
		ones &= table[j] == 1;
	if (!ones) {
		same = c->rope == MOE_ROPE_DEFAULT && isfinite(table[half - 1]) &&
			table[half - 1] > 1;
		c->rope = MOE_ROPE_LLAMA3;
		c->rope_factor = (double)table[half - 1];
		c->rope_low = 1;
		c->rope_high = 4;
		if (!moe_gguf_get(f->g, full_key(f, "rope.scaling.original_context_length", full)))
			c->rope_orig = 8192;
		for (int j = 0; same && j < half; j++)
			same = fabs((double)table[j] / llama3_factor(c, j) - 1) < 1e-4;
	}
	free(table);
	return same ? 0
		    : moe_fail(f->e, MOE_DATA,
			      "%s: the frequencies in 'rope_freqs.weight' are not those of Llama "
			      "3's scaling (low_freq_factor 1, high_freq_factor 4, %g positions), "
			      "which is the one that is supported",
			      moe_gguf_name(f->g), c->rope_orig);
}

static int get_rope(const struct from *f, struct moe_config *c)
{
	int dims;

	if (get_int(f, "rope.dimension_count", 1, c->hd, &dims))
		return -1;
	if (dims != c->hd)
		return fail(f, "rope.dimension_count",
			"is not the head dimension: a rotation of a part is not supported");
	return get_f64(f, "rope.freq_base", 10000, &c->theta) || get_scaling(f, c) ||
			get_freqs(f, c)
		? -1
		: 0;
}

/* ---- what the tensors say, and what must not be ---- */

static bool has(const struct from *f, const char *name)
{
	return moe_gguf_find(f->g, name) != NULL;
}

static void find_extras(const struct from *f, struct moe_config *c)
{
	bool bias = has(f, "blk.0.attn_q.bias");

	c->tied = !has(f, "output.weight");
	c->qk_norm = c->family == MOE_QWEN3;
	c->qkv_bias = c->family == MOE_QWEN2 || bias;
	c->o_bias = c->family != MOE_QWEN2 && bias;
	c->mlp_bias = c->family == MOE_LLAMA && has(f, "blk.0.ffn_gate.bias");
}

static int refuse_keys(const struct from *f, const struct moe_config *c)
{
	char full[KEY_BYTES];
	bool causal = true, parallel = false;
	int experts, window;

	if (get_int(f, "expert_count", 0, 0, &experts) ||
		get_int(f, "attention.sliding_window", 0, 0, &window) ||
		moe_gguf_bool(f->g, full_key(f, "attention.causal", full), &causal, f->e) < 0 ||
		moe_gguf_bool(f->g, full_key(f, "use_parallel_residual", full), &parallel, f->e) <
			0)
		return -1;
	if (experts)
		return fail(f, "expert_count", "is not 0: mixtures of experts are not supported");
	if (window && window < c->max_pos)
		return fail(f, "attention.sliding_window",
			"is less than context_length: attention over a window is not supported");
	if (!causal)
		return fail(f, "attention.causal", "is false, which is not supported");
	if (parallel)
		return fail(f, "use_parallel_residual", "is true, which is not supported");
	return 0;
}

int moe_gguf_config(
	const struct moe_gguf *g, struct moe_config *c, struct moe_gguf_ids *ids, struct moe_err *e)
{
	struct from f = { g, "", e };

	memset(c, 0, sizeof(*c));
	if (get_family(&f, c) || refuse_unknown(&f) || get_shape(&f, c) || get_rope(&f, c) ||
		refuse_keys(&f, c) || moe_gguf_ids(g, (uint64_t)c->V, ids, e))
		return -1;
	find_extras(&f, c);
	c->bos = (int)ids->bos;
	c->pad = (int)ids->pad;
	for (c->n_eos = 0; c->n_eos < ids->n_end; c->n_eos++)
		c->eos[c->n_eos] = (int)ids->end[c->n_eos];
	return 0;
}
