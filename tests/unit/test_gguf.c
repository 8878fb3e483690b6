/* test_gguf.c - GGUF: every type of tensor against the gguf package, models and tokenizers against
 * the directories they were made of, and everything that is refused
 * (tests/golden/make_gguf_golden.py made the files). */
#include "formats/file.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "formats/source.h"
#include "formats/tokenizer/tok.h"
#include "formats/tokenizer/tokenizer.h"
#include "model/gguf_in.h"
#include "model/load.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DIR "tests/golden/gguf/"

static void must(bool ok, const struct moe_err *e)
{
	if (!ok)
		fail_msg("%s", e->msg);
}

static struct moe_gguf *open_golden(const char *name)
{
	char path[128];
	struct moe_err e = { 0 };
	struct moe_gguf *g;

	snprintf(path, sizeof(path), DIR "%s.gguf", name);
	g = moe_gguf_open(path, &e);
	must(g != NULL, &e);
	return g;
}

/* ---- types ---- */

static void types(void **state)
{
	struct moe_err e = { 0 };
	struct moe_gguf *g = open_golden("quants");
	struct moe_st *want = moe_st_open(DIR "quants.safetensors", &e);

	(void)state;
	must(want != NULL, &e);
	assert_int_equal(moe_gguf_tensors(g), 11);
	for (size_t i = 0; i < moe_gguf_tensors(g); i++) {
		const struct moe_gguf_tensor *t = moe_gguf_tensor_at(g, i);
		const struct moe_st_tensor *w = moe_st_find(want, t->name);
		float out[3 * 256];
		char buf[24];

		assert_non_null(w);
		assert_string_equal(moe_gguf_type_name(t->type, buf), t->name);
		assert_int_equal(w->bytes, sizeof(out));
		moe_gguf_floats(t, 0, 3, out);
		for (size_t k = 0; k < 3 * 256; k++)
			if (memcmp(&out[k], (const float *)w->data + k, sizeof(float)) != 0)
				fail_msg("%s: element %zu is %.9g, ggml has %.9g", t->name, k,
					(double)out[k], (double)((const float *)w->data)[k]);
		/* the middle row alone is the same */
		moe_gguf_floats(t, 1, 1, out);
		assert_memory_equal(out, (const float *)w->data + 256, 256 * sizeof(float));
	}
	moe_st_close(want);
	moe_gguf_close(g);
}

/* ---- models ---- */

static void same_weights(const struct moe_st *got, const struct moe_st *want)
{
	assert_int_equal(moe_st_count(got), moe_st_count(want));
	for (size_t i = 0; i < moe_st_count(want); i++) {
		const struct moe_st_tensor *w = moe_st_at(want, i), *t = moe_st_find(got, w->name);

		if (!t)
			fail_msg("%s is missing", w->name);
		assert_string_equal(t->dtype, w->dtype);
		assert_int_equal(t->rank, w->rank);
		for (int d = 0; d < w->rank; d++)
			assert_int_equal(t->shape[d], w->shape[d]);
		if (t->bytes != w->bytes || memcmp(t->data, w->data, t->bytes) != 0)
			fail_msg("%s has other values", w->name);
	}
}

static bool near(double a, double b)
{
	return fabs(a / b - 1) < 1e-6;
}

static void same_config(const struct moe_config *c, const char *path)
{
	struct moe_config w;
	struct moe_err e = { 0 };

	must(!moe_config_read(path, &w, &e), &e);
	assert_true(c->family == w.family && c->V == w.V && c->D == w.D && c->L == w.L &&
		c->H == w.H && c->K == w.K && c->hd == w.hd && c->F == w.F &&
		c->max_pos == w.max_pos && c->tied == w.tied && c->qkv_bias == w.qkv_bias &&
		c->o_bias == w.o_bias && c->mlp_bias == w.mlp_bias && c->qk_norm == w.qk_norm);
	assert_true(near(c->theta, w.theta) && near(c->eps, w.eps) && c->rope == w.rope);
	if (w.rope != MOE_ROPE_DEFAULT)
		assert_true(near(c->rope_factor, w.rope_factor));
	if (w.rope == MOE_ROPE_YARN || w.rope == MOE_ROPE_LLAMA3)
		assert_true(near(c->rope_orig, w.rope_orig) && near(c->rope_low, w.rope_low) &&
			near(c->rope_high, w.rope_high));
}

/* From file to directory and back, against the directory that the file was made of. */
static void convert(const char *name, const char *config, struct moe_st *want)
{
	char dir[] = "/tmp/moe-gguf-XXXXXX", path[192];
	static const char *const files[] = { "config.json", "generation_config.json",
		"tokenizer.json", "tokenizer_config.json", "model.safetensors" };
	struct moe_gguf *g = open_golden(name);
	struct moe_config made, read;
	struct moe_err e = { 0 };
	struct moe_model m;
	struct moe_st *got;

	assert_non_null(mkdtemp(dir));
	must(!moe_gguf_to_dir(g, dir, &made, &e), &e);
	got = moe_st_open_dir(dir, "model", &e);
	must(got != NULL, &e);
	same_weights(got, want);
	moe_st_close(got);
	must(!moe_model_load(&m, dir, &e), &e); /* as every program loads it */
	if (config)
		same_config(&m.config, config);
	assert_true(m.config.bos == 1 && m.config.n_eos == 2 && m.config.eos[0] == 2 &&
		m.config.eos[1] == 3);
	moe_model_free(&m);
	snprintf(path, sizeof(path), "%s/config.json", dir);
	must(!moe_config_read(path, &read, &e), &e);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		assert_int_equal(unlink(path), 0);
	}
	rmdir(dir);
	moe_gguf_close(g);
	moe_st_close(want);
}

static struct moe_st *golden_weights(const char *dir)
{
	char path[128];
	struct moe_err e = { 0 };
	struct moe_st *s;

	snprintf(path, sizeof(path), "tests/golden/%s", dir);
	s = moe_st_open_dir(path, "model", &e);
	must(s != NULL, &e);
	return s;
}

static void models(void **state)
{
	struct moe_err e = { 0 };
	struct moe_st *bias = moe_st_open(DIR "bias.safetensors", &e);

	(void)state;
	convert("llama", "tests/golden/llama/config.json", golden_weights("llama"));
	convert("llama-bf16", "tests/golden/llama-bf16/config.json", golden_weights("llama-bf16"));
	convert("qwen2", "tests/golden/qwen2/config.json", golden_weights("qwen2"));
	convert("qwen3", "tests/golden/qwen3/config.json", golden_weights("qwen3"));
	convert("qwen3-f16", "tests/golden/qwen3-f16/config.json", golden_weights("qwen3-f16"));
	must(bias != NULL, &e);
	convert("bias", NULL, bias);
}

static void ropes(void **state)
{
	(void)state;
	convert("llama-linear", "tests/golden/rope/linear.json", golden_weights("llama"));
	convert("llama-rope3", "tests/golden/rope/llama3.json", golden_weights("llama"));
	convert("llama-yarn", "tests/golden/rope/yarn.json", golden_weights("llama"));
}

static void side_files(void **state)
{
	struct moe_gguf *g = open_golden("llama");
	struct moe_gguf_ids ids;
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };

	(void)state;
	must(!moe_gguf_ids(g, 48, &ids, &e), &e);
	assert_true(ids.bos == 1 && ids.pad == -1 && ids.n_end == 2 && ids.end[0] == 2 &&
		ids.end[1] == 3);
	must(!moe_gguf_tokenizer_config(g, &ids, &b, &e) && moe_buf_cstr(&b, &e), &e);
	assert_non_null(strstr((char *)b.data, "\"bos_token\": \"<s>\""));
	assert_non_null(strstr((char *)b.data, "\"eos_token\": \"</s>\""));
	assert_non_null(strstr((char *)b.data,
		"\"chat_template\": \"{{ 'a chat \\\"template\\\" \xc3\xbc\\n' }}\""));
	b.len = 0;
	must(!moe_gguf_generation(&ids, &b, &e) && moe_buf_cstr(&b, &e), &e);
	assert_string_equal(
		(char *)b.data, "{\n  \"bos_token_id\": 1,\n  \"eos_token_id\": [2, 3]\n}\n");
	moe_buf_free(&b);
	moe_gguf_close(g);
}

/* ---- tokenizers ---- */

static void one_text(const struct moe_tokenizer *t, const struct moe_json *j, const char *name)
{
	struct moe_str text = moe_json_str(moe_json_get(j, "text"));
	const struct moe_json *want = moe_json_get(j, "ids");
	struct moe_err e = { 0 };
	int32_t *ids = NULL;
	size_t n = 0;

	must(!moe_tokenizer_encode(t, text.p, text.n, true, &ids, &n, &e), &e);
	if (n != moe_json_len(want))
		fail_msg("%s: %.*s: %zu ids, should be %zu", name, (int)text.n, text.p, n,
			moe_json_len(want));
	for (size_t i = 0; i < n; i++) {
		int64_t v = -1;

		moe_json_int(moe_json_at(want, i), &v);
		if (v != ids[i])
			fail_msg("%s: %.*s: id %zu is %d, should be %lld", name, (int)text.n,
				text.p, i, (int)ids[i], (long long)v);
	}
	free(ids);
}

/* The texts and ids are those of the tokenizer.json that the metadata were made of. */
static void compare_lines(const struct moe_tokenizer *t, const char *name)
{
	char path[128];
	struct moe_err e = { 0 };
	struct moe_input *in;
	struct moe_source src;
	struct moe_str line;
	uint64_t number;
	int r, n = 0;

	snprintf(path, sizeof(path), "tests/golden/tok-%s.jsonl", name);
	in = moe_input_open(path, &e);
	must(in && moe_input_next(in, &e) == 1, &e);
	moe_source_from_input(&src, in, 0);
	while ((r = moe_source_line(&src, &line, &number, &e)) == 1) {
		struct moe_json_doc *d = moe_json_parse(line.p, line.n, path, &e);

		must(d != NULL, &e);
		one_text(t, moe_json_root(d), name);
		moe_json_free(d);
		n++;
	}
	must(r == 0, &e);
	assert_int_equal(n, 100);
	moe_source_free(&src);
	moe_input_close(in);
}

static void tokenizer(const char *name)
{
	char file[64];
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	struct moe_tokenizer *t;
	struct moe_gguf *g;

	snprintf(file, sizeof(file), "tok-%s", name);
	g = open_golden(file);
	must(!moe_gguf_tokenizer_json(g, 1 << 20, &b, &e), &e);
	t = moe_tokenizer_parse((const char *)b.data, b.len, name, &e);
	must(t != NULL, &e);
	compare_lines(t, name);
	moe_tokenizer_free(t);
	moe_buf_free(&b);
	moe_gguf_close(g);
}

static void tokenizers(void **state)
{
	(void)state;
	tokenizer("smollm2");
	tokenizer("llama3");
	tokenizer("qwen2");
	tokenizer("qwen3");
}

/* ---- refusals: small files made here ---- */

struct file {
	uint8_t p[4096];
	size_t n, values, tensors;
};

static void add(struct file *f, const void *p, size_t n)
{
	assert_true(f->n + n <= sizeof(f->p));
	memcpy(f->p + f->n, p, n);
	f->n += n;
}

static void add_le(struct file *f, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		add(f, &(uint8_t){ (uint8_t)(v >> 8 * i) }, 1);
}

static void add_str(struct file *f, const char *s)
{
	add_le(f, strlen(s), 8);
	add(f, s, strlen(s));
}

static struct file begin(void)
{
	struct file f = { .n = 0 };

	add(&f, "GGUF", 4);
	add_le(&f, 3, 4);
	add_le(&f, 0, 8);
	add_le(&f, 0, 8);
	return f;
}

static void put_count(struct file *f)
{
	for (int i = 0; i < 8; i++) {
		f->p[8 + i] = (uint8_t)(f->tensors >> 8 * i);
		f->p[16 + i] = (uint8_t)(f->values >> 8 * i);
	}
}

static void add_u32(struct file *f, const char *key, uint32_t v)
{
	add_str(f, key);
	add_le(f, MOE_GGUF_U32, 4);
	add_le(f, v, 4);
	f->values++;
}

static void add_text(struct file *f, const char *key, const char *v)
{
	add_str(f, key);
	add_le(f, MOE_GGUF_STRING, 4);
	add_str(f, v);
	f->values++;
}

static void add_f32(struct file *f, const char *key, float v)
{
	uint32_t u;

	memcpy(&u, &v, sizeof(u));
	add_str(f, key);
	add_le(f, MOE_GGUF_F32, 4);
	add_le(f, u, 4);
	f->values++;
}

static void add_tensor(
	struct file *f, const char *name, uint32_t type, uint64_t a, uint64_t b, uint64_t offset)
{
	add_str(f, name);
	add_le(f, b ? 2 : 1, 4);
	add_le(f, a, 8);
	if (b)
		add_le(f, b, 8);
	add_le(f, type, 4);
	add_le(f, offset, 8);
	f->tensors++;
}

/* n bytes of data, at the alignment of 32 */
static void end(struct file *f, size_t n)
{
	while (f->n % 32)
		add_le(f, 0, 1);
	for (size_t i = 0; i < n; i++)
		add_le(f, 0, 1);
	put_count(f);
}

static void refuse(struct file *f, const char *why)
{
	struct moe_err e = { 0 };
	struct moe_gguf *g;

	put_count(f);
	g = moe_gguf_parse(f->p, f->n, "f", &e);
	if (g || e.code != MOE_DATA || strncmp(e.msg, "f: ", 3) != 0 || !strstr(e.msg, why))
		fail_msg("expected '%s', got '%s'", why, g ? "no error" : e.msg);
}

static void bad_headers(void **state)
{
	struct file f = begin();

	(void)state;
	f.p[0] = 'g';
	refuse(&f, "not a GGUF file");
	f = begin();
	f.p[4] = 1;
	refuse(&f, "version 1 is not supported");
	f.p[4] = 0;
	f.p[7] = 3;
	refuse(&f, "big-endian");
	f = begin();
	f.values = 2;
	refuse(&f, "announces 0 tensors and 2 metadata values");
	f = begin();
	add_u32(&f, "a.key", 1);
	add_u32(&f, "a.key", 2);
	refuse(&f, "the key 'a.key' is there twice");
	f = begin();
	add_u32(&f, "general.alignment", 24);
	refuse(&f, "general.alignment is 24");
	f = begin();
	add_str(&f, "x");
	add_le(&f, 13, 4);
	add_le(&f, 0, 8);
	f.values = 1;
	refuse(&f, "'x' has the unknown type 13");
	f = begin();
	add_str(&f, "x");
	add_le(&f, MOE_GGUF_ARRAY, 4);
	add_le(&f, MOE_GGUF_ARRAY, 4);
	add_le(&f, 0, 8);
	f.values = 1;
	refuse(&f, "the array 'x' has elements of type 9");
	f = begin();
	add_str(&f, "x");
	add_le(&f, MOE_GGUF_ARRAY, 4);
	add_le(&f, MOE_GGUF_U64, 4);
	add_le(&f, UINT64_MAX / 4, 8);
	f.values = 1;
	refuse(&f, "ends within x");
	f = begin();
	add_le(&f, 1u << 20, 8);
	add_le(&f, 0, 8);
	f.values = 1;
	refuse(&f, "65535 are allowed");
}

static void bad_tensors(void **state)
{
	struct file f = begin();

	(void)state;
	add_tensor(&f, "t", 22, 256, 1, 0);
	end(&f, 512);
	refuse(&f, "tensor 't' has the type IQ2_S, which is not supported");
	f = begin();
	add_tensor(&f, "t", 77, 256, 1, 0);
	refuse(&f, "the type type 77");
	f = begin();
	add_tensor(&f, "t", 8, 48, 1, 0);
	refuse(&f, "a row of 48 elements is not whole blocks of 32");
	f = begin();
	add_tensor(&f, "t", 0, INT64_MAX, INT64_MAX, 0);
	refuse(&f, "overflows");
	f = begin();
	add_tensor(&f, "t", 0, 8, 0, 4);
	end(&f, 64);
	refuse(&f, "offset 4, which is not a multiple of the alignment 32");
	f = begin();
	add_tensor(&f, "t", 0, 8, 2, 0);
	end(&f, 63);
	refuse(&f, "lies beyond the end");
	f = begin();
	add_tensor(&f, "a", 0, 16, 0, 0);
	add_tensor(&f, "b", 0, 8, 0, 32);
	end(&f, 64);
	refuse(&f, "tensors 'a' and 'b' overlap");
	f = begin();
	add_tensor(&f, "a", 0, 8, 0, 0);
	add_tensor(&f, "a", 0, 8, 0, 32);
	end(&f, 64);
	refuse(&f, "tensor 'a' is there twice");
	f = begin();
	add_str(&f, "t");
	add_le(&f, 5, 4);
	add_le(&f, 0, 8);
	add_le(&f, 0, 8);
	add_le(&f, 0, 8);
	f.tensors = 1;
	refuse(&f, "5 dimensions");
	f = begin();
	add_tensor(&f, "t", 0, 0, 0, 0);
	refuse(&f, "dimension 0 is 0");
}

/* Metadata of a Llama that would do, and one thing more or other. */
static struct file llama(const char *arch)
{
	struct file f = begin();

	add_text(&f, "general.architecture", arch);
	add_u32(&f, "llama.block_count", 1);
	add_u32(&f, "llama.embedding_length", 8);
	add_u32(&f, "llama.feed_forward_length", 8);
	add_u32(&f, "llama.context_length", 64);
	add_u32(&f, "llama.attention.head_count", 2);
	add_f32(&f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	return f;
}

static void refuse_config(struct file *f, const char *why)
{
	struct moe_err e = { 0 };
	struct moe_gguf *g;
	struct moe_gguf_ids ids;
	struct moe_config c;

	add_tensor(f, "token_embd.weight", 0, 8, 2, 0);
	end(f, 128);
	g = moe_gguf_parse(f->p, f->n, "f", &e);
	must(g != NULL, &e);
	if (!moe_gguf_config(g, &c, &ids, &e) || e.code != MOE_DATA || !strstr(e.msg, why))
		fail_msg("expected '%s', got '%s'", why, e.msg);
	moe_gguf_close(g);
}

static void bad_configs(void **state)
{
	static const struct {
		const char *key;
		uint32_t v;
		const char *why;
	} numbers[] = {
		{ "llama.expert_count", 8, "mixtures of experts are not supported" },
		{ "llama.attention.sliding_window", 32, "attention over a window" },
		{ "llama.rope.dimension_count", 2, "a rotation of a part" },
		{ "llama.attention.value_length", 8, "is not attention.key_length" },
		{ "llama.vocab_size", 5, "is not the number of rows" },
		{ "llama.attention.head_count_kv", 3, "is not a multiple" },
		{ "llama.attention.clamp_kqv", 3, "'llama.attention.clamp_kqv' is not supported" },
		{ "split.count", 2, "one of 2 parts of a model" },
		{ "tokenizer.ggml.bos_token_id", 4, "the tokens are 0 to 1" },
	};
	struct file f = llama("gemma");

	(void)state;
	refuse_config(&f, "the architecture 'gemma' is not supported");
	f = begin();
	add_text(&f, "general.architecture", "llama");
	refuse_config(&f, "'llama.block_count' is missing");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		f = llama("llama");
		add_u32(&f, numbers[i].key, numbers[i].v);
		refuse_config(&f, numbers[i].why);
	}
	f = llama("llama");
	add_text(&f, "llama.rope.scaling.type", "longrope");
	refuse_config(&f, "the rope scaling 'longrope' is not supported");
	f = llama("llama"); /* whose two factors are 0 */
	add_tensor(&f, "rope_freqs.weight", 0, 2, 0, 96);
	refuse_config(&f, "are not those of Llama 3's scaling");
}

/* The tokenizer's part. */
static void refuse_tokenizer(struct file *f, const char *why)
{
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	struct moe_gguf *g;

	end(f, 0);
	g = moe_gguf_parse(f->p, f->n, "f", &e);
	must(g != NULL, &e);
	if (!moe_gguf_tokenizer_json(g, 2, &b, &e) || e.code != MOE_DATA || !strstr(e.msg, why))
		fail_msg("expected '%s', got '%s'", why, e.msg);
	moe_buf_free(&b);
	moe_gguf_close(g);
}

static void add_texts(struct file *f, const char *key, int n)
{
	add_str(f, key);
	add_le(f, MOE_GGUF_ARRAY, 4);
	add_le(f, MOE_GGUF_STRING, 4);
	add_le(f, (uint64_t)n, 8);
	for (int i = 0; i < n; i++)
		add_str(f, i ? "b" : "a");
	f->values++;
}

static void add_types(struct file *f, uint32_t type, int n)
{
	add_str(f, "tokenizer.ggml.token_type");
	add_le(f, MOE_GGUF_ARRAY, 4);
	add_le(f, MOE_GGUF_I32, 4);
	add_le(f, (uint64_t)n, 8);
	for (int i = 0; i < n; i++)
		add_le(f, type, 4);
	f->values++;
}

static struct file words(int tokens, uint32_t type, int n_type)
{
	struct file f = begin();

	add_text(&f, "tokenizer.ggml.model", "gpt2");
	add_text(&f, "tokenizer.ggml.pre", "smollm");
	add_texts(&f, "tokenizer.ggml.tokens", tokens);
	add_texts(&f, "tokenizer.ggml.merges", 0);
	add_types(&f, type, n_type);
	return f;
}

static void bad_tokenizers(void **state)
{
	struct file f = begin();

	(void)state;
	add_text(&f, "tokenizer.ggml.model", "llama");
	refuse_tokenizer(&f, "its tokenizer model is 'llama'");
	f = begin();
	add_text(&f, "tokenizer.ggml.model", "gpt2");
	refuse_tokenizer(&f, "does not name its pre-tokenizer");
	f = begin();
	add_text(&f, "tokenizer.ggml.model", "gpt2");
	add_text(&f, "tokenizer.ggml.pre", "deepseek-coder");
	refuse_tokenizer(&f, "its pre-tokenizer 'deepseek-coder' is not supported");
	f = words(3, 1, 3);
	refuse_tokenizer(&f, "3 tokens, but the embedding has only 2 rows");
	f = words(2, 1, 1);
	refuse_tokenizer(&f, "not as long as the tokens");
	f = words(2, 6, 2);
	refuse_tokenizer(&f, "stands for a byte");
	f = words(2, 7, 2);
	refuse_tokenizer(&f, "no type that is known");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types),
		cmocka_unit_test(models),
		cmocka_unit_test(ropes),
		cmocka_unit_test(side_files),
		cmocka_unit_test(tokenizers),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(bad_tensors),
		cmocka_unit_test(bad_configs),
		cmocka_unit_test(bad_tokenizers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
