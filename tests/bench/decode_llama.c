/* decode_llama.c - llama.cpp on the same model directory, prompts and lengths, for
 * tests/bench/decode.sh. Ours: it only calls libllama's C interface.
 *
 * usage: decode_llama convert MODEL_DIR GGUF
 *        decode_llama run GGUF THREADS BATCH GROUP PROMPT_LEN NEW SECONDS
 * convert writes a Llama model directory as GGUF, matrices as they are stored, without a tokenizer.
 * run prints one line of JSON as decode_bench does: each prompt is computed once and its cache
 * copied to the completions of its group (llama_memory_seq_cp), every step is one batch of all
 * completions, tokens are drawn from the whole vocabulary at temperature 1 by its own sampler;
 * cache and attention are its defaults.
 */
#include "model/model.h"
#include "model/prep.h"
#include "tests/bench/bench.h"

#include <gguf.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "decode_llama: %s\n", what);
	exit(4);
}

/* ---- convert ---- */

struct out {
	struct gguf_context *g;
	struct ggml_context *c;
};

/* heads > 0: rows of each head from halves (rotate the first with the second half) to pairs (rotate
 * neighbours), as this family's GGUF has them. */
static void add(const struct out *o, const struct moe_weight *w, int heads, const char *name)
{
	static const enum ggml_type types[] = {
		[MOE_F32] = GGML_TYPE_F32, [MOE_F16] = GGML_TYPE_F16, [MOE_BF16] = GGML_TYPE_BF16
	};
	bool vector = w->rows == 1;
	enum ggml_type type = vector ? GGML_TYPE_F32 : types[w->dtype];
	size_t row = (size_t)w->cols * (type == GGML_TYPE_F32 ? 4 : 2);
	char *data = malloc(row * (size_t)w->rows);
	int half = heads ? w->rows / heads / 2 : 0;
	struct ggml_tensor *t = vector ? ggml_new_tensor_1d(o->c, type, w->cols)
				       : ggml_new_tensor_2d(o->c, type, w->cols, w->rows);

	if (!data)
		die("out of memory");
	if (vector)
		moe_weight_widen(w, 0, 1, (moe_real *)(void *)data);
	for (int i = 0; !vector && i < w->rows; i++) {
		int from = half ? i / (2 * half) * 2 * half + i % 2 * half + i % (2 * half) / 2 : i;

		memcpy(data + (size_t)i * row, (const char *)w->data + (size_t)from * row, row);
	}
	ggml_set_name(t, name);
	gguf_add_tensor(o->g, t);
	gguf_set_tensor_data(
		o->g, name, data); /* borrowed until the file is written; the process ends then */
}

static void keys(struct gguf_context *g, const struct moe_config *c)
{
	const struct {
		const char *key;
		int v;
	} n[] = { { "vocab_size", c->V }, { "context_length", c->max_pos },
		{ "embedding_length", c->D }, { "block_count", c->L },
		{ "feed_forward_length", c->F }, { "attention.head_count", c->H },
		{ "attention.head_count_kv", c->K }, { "attention.key_length", c->hd },
		{ "attention.value_length", c->hd }, { "rope.dimension_count", c->hd } };
	char key[64];

	gguf_set_val_str(g, "general.architecture", "llama");
	gguf_set_val_str(g, "tokenizer.ggml.model", "no_vocab");
	for (size_t i = 0; i < sizeof(n) / sizeof(*n); i++) {
		snprintf(key, sizeof(key), "llama.%s", n[i].key);
		gguf_set_val_u32(g, key, (uint32_t)n[i].v);
	}
	gguf_set_val_f32(g, "llama.attention.layer_norm_rms_epsilon", (float)c->eps);
	gguf_set_val_f32(g, "llama.rope.freq_base", (float)c->theta);
}

static int convert(const char *dir, const char *file)
{
	static const char *const names[MOE_LINEARS] = { "attn_q", "attn_k", "attn_v", "attn_output",
		"ffn_gate", "ffn_up", "ffn_down" };
	struct ggml_init_params none = { .mem_size = 64u << 20, .no_alloc = true };
	struct out o = { gguf_init_empty(), ggml_init(none) };
	struct moe_model m;
	struct moe_err e;
	char name[64];

	if (moe_model_load(&m, dir, &e))
		die(e.msg);
	if (m.config.family != MOE_LLAMA || m.config.rope != MOE_ROPE_DEFAULT ||
		m.config.qkv_bias || m.config.o_bias || m.config.mlp_bias)
		die("only plain Llama models are converted");
	keys(o.g, &m.config);
	add(&o, &m.embed, 0, "token_embd.weight");
	add(&o, &m.norm, 0, "output_norm.weight");
	if (!m.config.tied)
		add(&o, &m.head, 0, "output.weight");
	for (int i = 0; i < m.config.L; i++) {
		const struct moe_layer *y = &m.layer[i];

		snprintf(name, sizeof(name), "blk.%d.attn_norm.weight", i);
		add(&o, &y->norm1, 0, name);
		snprintf(name, sizeof(name), "blk.%d.ffn_norm.weight", i);
		add(&o, &y->norm2, 0, name);
		for (int l = 0; l < MOE_LINEARS; l++) {
			snprintf(name, sizeof(name), "blk.%d.%s.weight", i, names[l]);
			add(&o, &y->w[l],
				l == MOE_Q           ? m.config.H
					: l == MOE_K ? m.config.K
						     : 0,
				name);
		}
	}
	if (!gguf_write_to_file(o.g, file, false))
		die("the GGUF file can not be written");
	return 0;
}

/* ---- run ---- */

struct run {
	struct llama_context *ctx;
	struct llama_sampler *draw;
	struct llama_batch batch;
	int vocab, size, group, len, n_new;
};

static void put(struct llama_batch *b, llama_token id, int pos, int seq, bool logits)
{
	int i = b->n_tokens++;

	b->token[i] = id;
	b->pos[i] = pos;
	b->n_seq_id[i] = 1;
	b->seq_id[i][0] = seq;
	b->logits[i] = logits;
}

static void step(struct run *r)
{
	if (llama_decode(r->ctx, r->batch))
		die("llama_decode failed");
	llama_synchronize(r->ctx);
}

/* Seconds of one pass: prompts, then NEW tokens of every completion, the first of them from the
 * prompts' logits. */
static double pass(struct run *r)
{
	llama_memory_t mem = llama_get_memory(r->ctx);
	llama_token *last = malloc(sizeof(*last) * (size_t)r->size);
	double t = bench_sec();

	llama_memory_clear(mem, false);
	r->batch.n_tokens = 0;
	for (int i = 0; i < r->size / r->group * r->len; i++)
		put(&r->batch, (llama_token)((unsigned)i * 2654435761u % (unsigned)r->vocab),
			i % r->len, i / r->len * r->group, i % r->len == r->len - 1);
	step(r);
	for (int i = 0; i < r->size; i++) {
		int first = i / r->group * r->group;

		last[i] = llama_sampler_sample(r->draw, r->ctx, (i / r->group + 1) * r->len - 1);
		if (i > first)
			llama_memory_seq_cp(mem, first, i, -1, -1);
	}
	for (int k = 1; k < r->n_new; k++) {
		r->batch.n_tokens = 0;
		for (int i = 0; i < r->size; i++)
			put(&r->batch, last[i], r->len + k - 1, i, true);
		step(r);
		for (int i = 0; i < r->size; i++)
			last[i] = llama_sampler_sample(r->draw, r->ctx, i);
	}
	free(last);
	return bench_sec() - t;
}

static void quiet(enum ggml_log_level level, const char *text, void *data)
{
	(void)data;
	if (level == GGML_LOG_LEVEL_ERROR)
		fputs(text, stderr);
}

static int run(const char *file, int threads, double sec, struct run *r)
{
	struct llama_model_params mp = llama_model_default_params();
	struct llama_context_params cp = llama_context_default_params();
	struct llama_model *m;
	double best = 1e30, start = bench_sec();
	int prompts = r->size / r->group * r->len;

	llama_log_set(quiet, NULL);
	llama_backend_init();
	m = llama_model_load_from_file(file, mp);
	if (!m)
		die("the GGUF file can not be loaded");
	cp.n_seq_max = (uint32_t)r->size;
	cp.n_ctx = (uint32_t)(r->size *
		(r->len + r->n_new)); /* a cache for each completion: one for all is no faster, and
					 slower with many prompts */
	cp.n_batch = (uint32_t)(prompts > r->size ? prompts : r->size);
	cp.n_threads = cp.n_threads_batch = threads;
	r->ctx = llama_init_from_model(m, cp);
	if (!r->ctx)
		die("no context");
	r->vocab = llama_vocab_n_tokens(llama_model_get_vocab(m));
	r->batch = llama_batch_init((int32_t)cp.n_batch, 0, 1);
	r->draw = llama_sampler_chain_init(llama_sampler_chain_default_params());
	llama_sampler_chain_add(r->draw, llama_sampler_init_dist(1));
	do {
		double t = pass(r);

		best = t < best ? t : best;
	} while (bench_sec() - start < sec);
	printf("{\"engine\":\"llama.cpp\",\"threads\":%d,\"batch\":%d,\"tokens_per_sec\":%.1f,\"peak_mb\":%.1f}\n",
		threads, r->size, r->size * r->n_new / best, bench_peak_mb());
	return 0;
}

int main(int argc, char **argv)
{
	struct run r = { 0 };

	if (argc == 4 && !strcmp(argv[1], "convert"))
		return convert(argv[2], argv[3]);
	if (argc != 9 || strcmp(argv[1], "run") != 0) {
		fputs("usage: decode_llama convert MODEL_DIR GGUF | run GGUF THREADS BATCH GROUP "
		      "PROMPT_LEN NEW SECONDS\n",
			stderr);
		return 2;
	}
	r.size = atoi(argv[4]);
	r.group = atoi(argv[5]);
	r.len = atoi(argv[6]);
	r.n_new = atoi(argv[7]);
	return run(argv[2], atoi(argv[3]), atof(argv[8]), &r);
}
