/* gguf_weights.c - the tensors of a GGUF file under their Hugging Face names, and the directory as
 * a whole. The shape is gguf_config.c's, the types are formats/gguf_quant.c's.
 *
 * First a table of what is to be written is made: name, dtype and shape of each Hugging Face
 * tensor, and the GGUF tensor that it comes from. A tensor that is missing, spare or of another
 * shape is found here, before a byte is written. Then the safetensors writer asks for rows of that
 * table, 1 MiB (or one row) at a time, so that the model is never in memory as a whole. */
#include "formats/file.h"
#include "formats/safetensors.h"
#include "formats/tokenizer/tokenizer.h"
#include "formats/tokenizer/tok.h"
#include "model/gguf_in.h"
#include "model/load.h"
#include "util/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 96 /* of a tensor's name on either side, with its NUL */

/* Where a tensor of the table comes from. */
struct item {
	const struct moe_gguf_tensor *from;
	int hd; /* rows are permuted within heads of this many; 0 = they are not */
};

struct out {
	const struct moe_gguf *g;
	const struct moe_config *c;
	struct moe_st_tensor *t; /* [n] as they are written, without data */
	struct item *item;       /* [n] */
	char (*name)[NAME_BYTES];
	size_t n, used; /* used: tensors of the file */
};

/* ---- from which tensor, in which shape ---- */

/* In the order of enum moe_linear: q k v o | gate up down. */
const char *const moe_gguf_linears[MOE_LINEARS] = { "attn_q", "attn_k", "attn_v", "attn_output",
	"ffn_gate", "ffn_up", "ffn_down" };

/* The next row of the table, whose Hugging Face name is in o->name already: from the file's tensor
 * `from`, a matrix [rows, cols], or with rows = 0 a vector [cols] (norms, biases). */
static int put(struct out *o, const char *from, int hd, int rows, int cols, struct moe_err *e)
{
	const struct moe_gguf_tensor *f = moe_gguf_find(o->g, from);
	struct moe_st_tensor *t = &o->t[o->n];
	bool f16, bf16;

	if (!f)
		return moe_fail(
			e, MOE_DATA, "%s: tensor '%s' is missing", moe_gguf_name(o->g), from);
	/* ggml counts dimensions from the innermost: ne[0] is the length of a row, ne[1] the number
	 * of rows. The bytes lie as safetensors has them, row after row. */
	if (f->rank != (rows ? 2 : 1) || f->ne[0] != (uint64_t)cols ||
		(rows && f->ne[1] != (uint64_t)rows))
		return moe_fail(e, MOE_DATA,
			"%s: tensor '%s' does not have the shape [%d, %d] that the metadata ask "
			"for",
			moe_gguf_name(o->g), from, rows ? rows : 1, cols);
	/* F16 and BF16 are copied as they are; F32, and every type that is stored in blocks with
	 * scales of their own (Q8_0, Q4_K, ...), is written as F32 */
	f16 = f->type == MOE_GGML_F16;
	bf16 = f->type == MOE_GGML_BF16;
	memcpy(t->dtype, f16 ? "F16" : bf16 ? "BF16" : "F32", f16 ? 4 : bf16 ? 5 : 4);
	t->name = o->name[o->n];
	t->rank = f->rank;
	t->shape[0] = (uint64_t)(rows ? rows : cols);
	t->shape[1] = (uint64_t)cols;
	t->bytes = (size_t)(rows ? rows : 1) * (size_t)cols * (f16 || bf16 ? 2 : 4);
	o->item[o->n++] = (struct item){ f, hd };
	return 0;
}

/* "blk.N.FROM" of the file is "model.layers.N.TO" of Hugging Face. */
static int put_part(struct out *o, int layer, const char *from, const char *to, int hd, int rows,
	int cols, struct moe_err *e)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "blk.%d.%s", layer, from);
	snprintf(o->name[o->n], NAME_BYTES, "model.layers.%d.%s", layer, to);
	return put(o, name, hd, rows, cols, e);
}

const char *moe_gguf_arch(const struct moe_config *c)
{
	return c->family == MOE_QWEN2 ? "qwen2" : c->family == MOE_QWEN3 ? "qwen3" : "llama";
}

/* Rows of a Linear that are permuted together: those of a head, or 0 for none. */
static int head_of(const struct moe_config *c, int l)
{
	bool llama = c->family == MOE_LLAMA || c->family == MOE_MISTRAL;

	return llama && (l == MOE_Q || l == MOE_K) ? c->hd : 0;
}

/* One layer: seven Linears with their biases, two norms, and Qwen3's norms of q and k. */
static int put_layer(struct out *o, int i, struct moe_err *e)
{
	const struct moe_config *c = o->c;

	for (int l = 0; l < MOE_LINEARS; l++) {
		/* o has a switch of its own: Qwen2 has biases at q, k, v alone */
		bool bias = l == MOE_O ? c->o_bias : l < MOE_O ? c->qkv_bias : c->mlp_bias;
		char from[32], to[64];
		int in, out;

		/* y = W x + b with W [out, in], b [out], the layout of both formats */
		moe_linear_shape(c, (enum moe_linear)l, &in, &out);
		snprintf(from, sizeof(from), "%s.weight", moe_gguf_linears[l]);
		snprintf(to, sizeof(to), "%s.weight", moe_linear_modules[l]);
		if (put_part(o, i, from, to, head_of(c, l), out, in, e))
			return -1;
		snprintf(from, sizeof(from), "%s.bias", moe_gguf_linears[l]);
		snprintf(to, sizeof(to), "%s.bias", moe_linear_modules[l]);
		if (bias && put_part(o, i, from, to, head_of(c, l), 0, out, e))
			return -1;
	}
	/* the RMSNorms before attention and before the FFN, [D] */
	if (put_part(o, i, "attn_norm.weight", "input_layernorm.weight", 0, 0, c->D, e) ||
		put_part(o, i, "ffn_norm.weight", "post_attention_layernorm.weight", 0, 0, c->D, e))
		return -1;
	if (!c->qk_norm)
		return 0;
	/* [hd] each: all heads of q share one, all of k the other */
	return put_part(o, i, "attn_q_norm.weight", "self_attn.q_norm.weight", 0, 0, c->hd, e) ||
			put_part(o, i, "attn_k_norm.weight", "self_attn.k_norm.weight", 0, 0, c->hd,
				e)
		? -1
		: 0;
}

static int put_named(
	struct out *o, const char *from, const char *to, int rows, int cols, struct moe_err *e)
{
	snprintf(o->name[o->n], NAME_BYTES, "%s", to);
	return put(o, from, 0, rows, cols, e);
}

/* A tensor that nothing uses means that this is another model than the metadata say. Names occur
 * once in a file and put() takes a name once, so comparing the counts is enough; the search below
 * only finds a name for the message. rope_freqs is Llama 3's scaling: gguf_config.c has turned it
 * into numbers of config.json. */
static int check_all_used(const struct out *o, struct moe_err *e)
{
	size_t spare = moe_gguf_find(o->g, "rope_freqs.weight") ? 1 : 0;

	if (o->n + spare == moe_gguf_tensors(o->g))
		return 0;
	for (size_t i = 0; i < moe_gguf_tensors(o->g); i++) {
		const struct moe_gguf_tensor *t = moe_gguf_tensor_at(o->g, i);
		bool used = !strcmp(t->name, "rope_freqs.weight");

		for (size_t k = 0; !used && k < o->n; k++)
			used = o->item[k].from == t;
		if (!used)
			return moe_fail(e, MOE_DATA,
				"%s: tensor '%.80s' belongs to no part of the model that the "
				"metadata describe",
				moe_gguf_name(o->g), t->name);
	}
	return 0;
}

static int put_all(struct out *o, struct moe_err *e)
{
	const struct moe_config *c = o->c;

	/* embedding [V, D], final norm [D], and the head [V, D] unless it is the embedding */
	if (put_named(o, "token_embd.weight", "model.embed_tokens.weight", c->V, c->D, e) ||
		put_named(o, "output_norm.weight", "model.norm.weight", 0, c->D, e) ||
		(!c->tied && put_named(o, "output.weight", "lm_head.weight", c->V, c->D, e)))
		return -1;
	for (int i = 0; i < c->L; i++)
		if (put_layer(o, i, e))
			return -1;
	return check_all_used(o, e);
}

/* ---- the data ---- */

/* Row r of Hugging Face in the file, of heads of hd rows. Rotary position p turns the plane of
 * dimensions j and j + hd/2 of a head in Hugging Face, that of 2j and 2j + 1 in llama.cpp's llama.
 * So its converter reads the rows of a head as [2, hd/2] and stores them as [hd/2, 2]: row i = s
 * hd/2 + j, s = 0 or 1, lies at 2j + s of the same head. */
static uint64_t permuted(uint64_t r, int hd)
{
	uint64_t n = (uint64_t)hd, half = n / 2, i = r % n;

	return r - i + 2 * (i % half) + i / half;
}

uint64_t moe_gguf_row(const struct moe_config *c, enum moe_linear l, uint64_t r)
{
	int hd = head_of(c, l);

	return hd ? permuted(r, hd) : r;
}

/* Rows [row, row + rows) of a tensor in the dtype in which they are written: 2-byte floats as they
 * lie in the file, everything else as f32 (a row is a whole number of ggml's blocks). */
static void copy_rows(const struct moe_gguf_tensor *f, uint64_t row, uint64_t rows, void *out)
{
	if (f->type == MOE_GGML_F16 || f->type == MOE_GGML_BF16)
		memcpy(out, f->data + row * f->row_bytes, (size_t)rows * f->row_bytes);
	else
		moe_gguf_floats(f, row, rows, out);
}

/* A bias [n] whose elements are permuted as its matrix's rows are: out[i] = file[permuted(i)]. */
static int copy_bias(const struct item *m, size_t bytes, uint8_t *out, struct moe_err *e)
{
	uint64_t n = m->from->ne[0];
	size_t size = bytes / (size_t)n; /* of an element as it is written: 2 or 4 */
	uint8_t *all = moe_alloc((size_t)n, size, e);

	if (!all)
		return -1;
	copy_rows(m->from, 0, 1, all);
	for (uint64_t i = 0; i < n; i++)
		memcpy(out + i * size, all + permuted(i, m->hd) * size, size);
	free(all);
	return 0;
}

/* What the writer asks for: rows [row, row + n) of a tensor of the table, Hugging Face's row
 * numbers. t points into o->t, so its index is its item's. A vector is asked for as a whole. */
static int give_rows(void *arg, const struct moe_st_tensor *t, size_t row, size_t n, void *out,
	struct moe_err *e)
{
	const struct out *o = arg;
	const struct item *m = &o->item[t - o->t];
	size_t row_bytes = t->rank > 1 ? t->bytes / (size_t)t->shape[0] : t->bytes;

	if (!m->hd) {
		copy_rows(m->from, row, n, out);
		return 0;
	}
	if (t->rank == 1)
		return copy_bias(m, t->bytes, out, e);
	/* neighbours here are not neighbours in the file: row by row */
	for (size_t i = 0; i < n; i++)
		copy_rows(m->from, permuted(row + i, m->hd), 1, (uint8_t *)out + i * row_bytes);
	return 0;
}

int moe_gguf_weights(
	const struct moe_gguf *g, const struct moe_config *c, const char *path, struct moe_err *e)
{
	/* as transformers marks the files that it writes */
	static const char *const meta[1][2] = { { "format", "pt" } };
	size_t cap = moe_gguf_tensors(g) + 1; /* each is used once, and a missing one is an error */
	struct out o = { .g = g, .c = c };
	int rc = -1;

	o.t = moe_alloc(cap, sizeof(*o.t), e);
	o.item = o.t ? moe_alloc(cap, sizeof(*o.item), e) : NULL;
	o.name = o.item ? moe_alloc(cap, NAME_BYTES, e) : NULL;
	if (o.name && !put_all(&o, e))
		rc = moe_st_write_from(
			path, o.t, o.n, &(struct moe_st_source){ &o, give_rows }, meta, 1, e);
	free(o.t);
	free(o.item);
	free(o.name);
	return rc;
}

/* ---- the directory ---- */

/* generation_config.json: bos and pad where the file has them, and all end tokens as one array. */
int moe_gguf_generation(const struct moe_gguf_ids *ids, struct moe_buf *o, struct moe_err *e)
{
	if (moe_buf_addf(o, e, "{\n") ||
		(ids->bos >= 0 &&
			moe_buf_addf(o, e, "  \"bos_token_id\": %lld,\n", (long long)ids->bos)) ||
		(ids->pad >= 0 &&
			moe_buf_addf(o, e, "  \"pad_token_id\": %lld,\n", (long long)ids->pad)) ||
		moe_buf_addf(o, e, "  \"eos_token_id\": ["))
		return -1;
	for (int i = 0; i < ids->n_end; i++)
		if (moe_buf_addf(o, e, "%s%lld", i ? ", " : "", (long long)ids->end[i]))
			return -1;
	return moe_buf_addf(o, e, "]\n}\n");
}

/* tokenizer.json is loaded before anything is written: what cannot be loaded later is refused
 * now. */
static int make_texts(const struct moe_gguf *g, const struct moe_config *c,
	const struct moe_gguf_ids *ids, struct moe_buf text[4], struct moe_err *e)
{
	struct moe_tokenizer *t;

	if (moe_gguf_tokenizer_json(g, (uint64_t)c->V, &text[0], e) ||
		moe_gguf_tokenizer_config(g, ids, &text[1], e) ||
		moe_gguf_generation(ids, &text[2], e) || moe_config_write(c, &text[3], e))
		return -1;
	t = moe_tokenizer_parse(
		(const char *)text[0].data, text[0].len, "the tokenizer made of its metadata", e);
	if (!t)
		return moe_err_prefix(e, "%s", moe_gguf_name(g));
	moe_tokenizer_free(t);
	return 0;
}

int moe_gguf_to_dir(
	const struct moe_gguf *g, const char *dir, struct moe_config *c, struct moe_err *e)
{
	static const char *const names[4] = { "tokenizer.json", "tokenizer_config.json",
		"generation_config.json", "config.json" };
	struct moe_buf text[4] = { { 0 } };
	struct moe_gguf_ids ids;
	int rc = moe_gguf_config(g, c, &ids, e);
	char *path = NULL;

	if (!rc)
		rc = make_texts(g, c, &ids, text, e);
	if (!rc)
		rc = moe_model_dir(dir, e);
	if (!rc) {
		path = moe_path_join(dir, "model.safetensors", e);
		rc = path ? moe_gguf_weights(g, c, path, e) : -1;
		free(path);
	}
	/* config.json is the last: a directory that was not finished does not load */
	for (int i = 0; !rc && i < 4; i++) {
		path = moe_path_join(dir, names[i], e);
		rc = path ? moe_file_replace(path, text[i].data, text[i].len, e) : -1;
		free(path);
	}
	for (int i = 0; i < 4; i++)
		moe_buf_free(&text[i]);
	return rc;
}
