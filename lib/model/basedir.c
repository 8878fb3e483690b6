/* basedir.c - model directories as a whole. Weights and config.json are load.c's, training is
 * pretrain.c's. */
#include "model/basedir.h"
#include "formats/file.h"
#include "model/load.h"
#include "model/prep.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX   ((size_t)64 << 20)
#define BYTE_VOCAB 259

/* A preset's name has neither slash nor dot; everything else is a file. */
int moe_base_config(const char *name, struct moe_config *c, struct moe_err *e)
{
	if (strpbrk(name, "/."))
		return moe_config_read(name, c, e);
	return moe_config_preset(name, c, e);
}

static int put(const char *dir, const char *name, const struct moe_buf *b, struct moe_err *e)
{
	char *path = moe_path_join(dir, name, e);
	int rc = path ? moe_file_replace(path, b->data, b->len, e) : -1;

	free(path);
	return rc;
}

/* What transformers needs to load tokenizer.json as a fast tokenizer of no special class. */
static const char byte_config[] =
	"{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"pad_token\": \"<|pad|>\",\n"
	"  \"bos_token\": \"<|bos|>\",\n  \"eos_token\": \"<|eos|>\",\n  "
	"\"clean_up_tokenization_spaces\": false\n}\n";

/* Weights and config.json, then a tokenizer: the one given, or, for the vocabulary of bytes, ours.
 */
int moe_base_write(const struct moe_model *m, const char *dir, const char *tokenizer,
	bool *has_tokenizer, struct moe_err *e)
{
	struct moe_buf b = { 0 }, c = { 0 };
	int rc = moe_model_save(m, dir, e);

	*has_tokenizer = tokenizer || m->config.V == BYTE_VOCAB;
	if (!rc && tokenizer)
		rc = moe_file_read(tokenizer, &b, FILE_MAX, e);
	else if (!rc && *has_tokenizer) {
		rc = moe_tokenizer_bytes_json(&b, e);
		if (!rc)
			rc = moe_buf_add(&c, byte_config, sizeof(byte_config) - 1, e);
	}
	if (!rc && *has_tokenizer)
		rc = put(dir, "tokenizer.json", &b, e);
	if (!rc && c.len)
		rc = put(dir, "tokenizer_config.json", &c, e);
	moe_buf_free(&b);
	moe_buf_free(&c);
	return rc;
}

/* Files that a model directory carries beside weights and config.json; what is not there is no
 * mistake. */
int moe_base_copy_extras(const char *from, const char *to, struct moe_err *e)
{
	static const char *const names[] = { "tokenizer.json", "tokenizer_config.json",
		"special_tokens_map.json", "generation_config.json", "chat_template.jinja",
		"vocab.json", "merges.txt" };
	struct moe_buf b = { 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(names) / sizeof(*names); i++) {
		char *path = moe_path_join(from, names[i], e);

		if (!path)
			return -1;
		if (access(path, F_OK) == 0) {
			b.len = 0;
			rc = moe_file_read(path, &b, FILE_MAX, e);
			if (!rc)
				rc = put(to, names[i], &b, e);
		}
		free(path);
	}
	moe_buf_free(&b);
	return rc;
}

/* Numbers of a weight; an absent bias or norm has none. */
static size_t size_of(const struct moe_weight *w)
{
	return w->data ? (size_t)w->rows * (size_t)w->cols : 0;
}

size_t moe_model_count(const struct moe_model *m)
{
	size_t n = size_of(&m->embed) + size_of(&m->norm) +
		(m->config.tied ? 0 : size_of(&m->head));

	for (int i = 0; i < m->config.L; i++) {
		const struct moe_layer *y = &m->layer[i];

		n += size_of(&y->norm1) + size_of(&y->norm2) + size_of(&y->qnorm) +
			size_of(&y->knorm);
		for (int l = 0; l < MOE_LINEARS; l++)
			n += size_of(&y->w[l]) + size_of(&y->bias[l]);
	}
	return n;
}

int moe_base_describe(const struct moe_model *m, struct moe_buf *out, struct moe_err *e)
{
	static const char *const families[] = { "llama", "mistral", "qwen2", "qwen3" };
	static const char *const ropes[] = { "default", "linear", "llama3", "yarn", "dynamic" };
	static const char *const dtypes[] = { "f32", "f16", "bf16", "f64" };
	const struct moe_config *c = &m->config;
	/* a line each: what it is, a tab, its value */
	int rc = moe_buf_addf(out, e,
		"family\t%s\nparameters\t%zu\nstored as\t%s\nlayers\t%d\nhidden "
		"size\t%d\nheads\t%d\nkey/value heads\t%d\n"
		"head dim\t%d\nffn size\t%d\nvocabulary\t%d\npositions\t%d\n",
		families[c->family], moe_model_count(m), dtypes[m->layer[0].w[0].dtype], c->L, c->D,
		c->H, c->K, c->hd, c->F, c->V, c->max_pos);

	if (!rc)
		rc = moe_buf_addf(out, e,
			"rope\t%s, theta %g\nrms norm eps\t%g\ntied "
			"head\t%s\nbiases\t%s%s%s%s\nnorms of q and k\t%s\n",
			ropes[c->rope], c->theta, c->eps, c->tied ? "yes" : "no",
			c->qkv_bias ? "q k v " : "", c->o_bias ? "o " : "",
			c->mlp_bias ? "mlp " : "",
			c->qkv_bias || c->o_bias || c->mlp_bias ? "" : "none",
			c->qk_norm ? "yes" : "no");
	if (!rc)
		rc = moe_buf_addf(out, e, "end of sequence\t");
	for (int i = 0; !rc && i < c->n_eos; i++)
		rc = moe_buf_addf(out, e, "%s%d", i ? " " : "", c->eos[i]);
	if (!rc)
		rc = moe_buf_addf(out, e, "%s\ndigest\t%s\n", c->n_eos ? "" : "none", m->digest);
	return rc;
}

/* A stored weight must be a number: a NaN would spread to every result without a word. */
static int check_finite(const struct moe_weight *w, const char *what, int layer, struct moe_err *e)
{
	moe_real *row;
	int bad = 0;

	if (!w->data)
		return 0;
	row = moe_alloc((size_t)w->cols, sizeof(*row), e);
	if (!row)
		return -1;
	for (int r = 0; r < w->rows && !bad; r++) {
		moe_weight_widen(w, r, 1, row);
		for (int j = 0; j < w->cols; j++)
			bad |= !isfinite(row[j]);
		if (bad)
			moe_fail(e, MOE_NUMERIC, "%s%.0d: row %d holds a NaN or an infinity", what,
				layer, r);
	}
	free(row);
	return bad ? -1 : 0;
}

static int check_weights(const struct moe_model *m, struct moe_err *e)
{
	if (check_finite(&m->embed, "embedding", 0, e) ||
		check_finite(&m->norm, "final norm", 0, e) || check_finite(&m->head, "head", 0, e))
		return -1;
	for (int i = 0; i < m->config.L; i++) {
		const struct moe_layer *y = &m->layer[i];

		for (int l = 0; l < MOE_LINEARS; l++)
			if (check_finite(&y->w[l], moe_linear_modules[l], 0, e) ||
				check_finite(&y->bias[l], moe_linear_modules[l], 0, e))
				return moe_err_prefix(e, "layer %d", i);
		if (check_finite(&y->norm1, "input norm", 0, e) ||
			check_finite(&y->norm2, "post-attention norm", 0, e) ||
			check_finite(&y->qnorm, "q norm", 0, e) ||
			check_finite(&y->knorm, "k norm", 0, e))
			return moe_err_prefix(e, "layer %d", i);
	}
	return 0;
}

int moe_base_check(const struct moe_model *m, const struct moe_tokenizer *t, struct moe_err *e)
{
	int32_t ids[8], row[7], target[7];
	struct moe_seg seg = { 0, 8, -1, 0 };
	struct moe_batch b = { 8, ids, 1, &seg };
	struct moe_acts a = { 0 };
	moe_real logp[7];
	int rc;

	if (t && moe_tokenizer_vocab(t) > m->config.V)
		return moe_fail(e, MOE_DATA, "the tokenizer has %d tokens, the model only %d",
			moe_tokenizer_vocab(t), m->config.V);
	if (check_weights(m, e))
		return -1;
	/* eight tokens spread over the vocabulary, one forward pass, seven predictions: a model
	 * that loads but computes NaN is found here, not hours later */
	for (int i = 0; i < 8; i++)
		ids[i] = (int32_t)((long)i * (m->config.V - 1) / 7);
	for (int i = 0; i < 7; i++) {
		row[i] = i;
		target[i] = ids[i + 1];
	}
	rc = moe_forward(m, NULL, NULL, &b, &a, e);
	if (!rc)
		rc = moe_head_logp(m, &b, &a, 7, row, target, 1, logp, NULL, e);
	for (int i = 0; !rc && i < 7; i++)
		if (!isfinite(logp[i]))
			rc = moe_fail(e, MOE_NUMERIC, "the model computes %g as a log-probability",
				(double)logp[i]);
	moe_acts_free(&a);
	return rc;
}
