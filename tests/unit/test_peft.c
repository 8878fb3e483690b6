/* test_peft.c - a directory that PEFT saved against its parameters, directories written and read
 * again, and refusals. */
#include "formats/file.h"
#include "formats/peft.h"
#include "model/gguf_in.h"
#include "model/load.h"
#include "moe/gguf_lora.h"
#include "moe/peft.h"

#include <setjmp.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/"

static void must(int ok, const struct moe_err *e)
{
	if (!ok)
		fail_msg("%s", e->msg);
}

static void from_peft(void **state)
{
	struct moe_err e = { 0 };
	struct moe_model m;
	struct moe_experts x;
	struct moe_st *st = moe_st_open(GOLDEN "llama.safetensors", &e);
	int n = 0;

	(void)state;
	must(st && !moe_model_load(&m, GOLDEN "llama", &e), &e);
	must(!moe_experts_from_peft(
		     &x, &m.config, GOLDEN "llama-lora", MOE_BANK_QUARANTINE, "q", NULL, &e),
		&e);
	assert_true(x.E == 1 && x.R == 4 && x.scale == 2 && x.bank[0] == MOE_BANK_QUARANTINE);
	for (int i = 0; i < m.config.L * MOE_LINEARS; i++)
		for (int p = 0; p < 2; p++) {
			char name[200];
			const struct moe_st_tensor *t;

			snprintf(name, sizeof(name),
				"lora.param.base_model.model.model.layers.%d.%s.lora_%c.weight",
				i / MOE_LINEARS, moe_linear_modules[i % MOE_LINEARS],
				p ? 'B' : 'A');
			t = moe_st_find(st, name);
			assert_non_null(t);
			assert_memory_equal(t->data,
				x.param +
					(p ? moe_view_of(&x, (size_t)(i), MOE_ROLE_B)->off
					   : moe_view_of(&x, (size_t)(i), MOE_ROLE_A)->off),
				t->bytes);
			n++;
		}
	assert_int_equal(n, 28);
	moe_experts_free(&x);
	moe_model_free(&m);
	moe_st_close(st);
}

static char *temp_dir(void)
{
	const char *t = getenv("TMPDIR");
	char *p = malloc(4096);

	snprintf(p, 4096, "%s/moe-peft-XXXXXX", t ? t : "/tmp");
	assert_non_null(mkdtemp(p));
	return p;
}

static void remove_peft(char *dir)
{
	static const char *const names[] = { "adapter_config.json", "adapter_model.safetensors" };

	for (int i = 0; i < 2; i++) {
		char *p = moe_path_join(dir, names[i], NULL);
		unlink(p);
		free(p);
	}
	assert_int_equal(rmdir(dir), 0);
	free(dir);
}

static struct moe_config small(void)
{
	static const char text[] =
		"{\"model_type\":\"llama\",\"vocab_size\":50,\"hidden_size\":16,\"intermediate_size\":24,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2}";
	struct moe_config c;

	assert_int_equal(moe_config_parse(text, sizeof(text) - 1, "c", &c, NULL), 0);
	return c;
}

/* The second of two experts, some of it not alive, alone and as all of them. */
static void round_trip(void **state)
{
	struct moe_config c = small();
	struct moe_experts x = { .E = 2,
		.rank = { 2, 3 },
		.bank = { MOE_BANK_CLEAN, MOE_BANK_QUARANTINE },
		.scale = 1.5 },
			   y;
	struct moe_err e = { 0 };
	char *dir = temp_dir();

	(void)state;
	x.target[MOE_K] = x.target[MOE_DOWN] = true;
	must(!moe_experts_init(&x, &c, &e), &e);
	for (size_t i = 0; i < x.n_param; i++)
		x.param[i] = (moe_real)((int)(i * 37 % 101) - 50) / 64;
	for (int i = 0; i < c.L * MOE_LINEARS; i++)
		x.alive[i * x.R + 3] = 0.5;
	for (int expert = -1; expert < 2; expert++) {
		int first = expert < 0 ? 0 : x.first[expert], r = expert < 0 ? x.R : x.rank[expert];

		must(!moe_experts_to_peft(
			     &x, expert, "a/base", &(struct moe_peft_origin){ 0 }, dir, &e) &&
				!moe_experts_from_peft(&y, &c, dir, MOE_BANK_CLEAN, "y", NULL, &e),
			&e);
		assert_true(y.E == 1 && y.R == r && fabs(y.scale - 1.5) < 1e-12 &&
			y.target[MOE_K] && y.target[MOE_DOWN] && !y.target[MOE_Q]);
		for (int i = 0; i < c.L * MOE_LINEARS; i++) {
			int in, out;

			if (!x.target[i % MOE_LINEARS])
				continue;
			moe_linear_shape(&c, (enum moe_linear)(i % MOE_LINEARS), &in, &out);
			assert_memory_equal(y.param + moe_view_of(&y, (size_t)(i), MOE_ROLE_A)->off,
				x.param + moe_view_of(&x, (size_t)(i), MOE_ROLE_A)->off +
					first * in,
				(size_t)(r * in) * sizeof(moe_real));
			for (int j = 0; j < out; j++)
				for (int k = 0; k < r; k++) /* powers of two: exact */
					assert_true(y.param[moe_view_of(&y, (size_t)(i), MOE_ROLE_B)
								    ->off +
							    (size_t)(j * r + k)] ==
						x.param[moe_view_of(&x, (size_t)(i), MOE_ROLE_B)
								->off +
							(size_t)(j * x.R + first + k)] *
							(first + k == 3 ? (moe_real)0.5 : 1));
		}
		moe_experts_free(&y);
	}
	c.F = 32; /* another base */
	assert_int_equal(moe_experts_from_peft(&y, &c, dir, MOE_BANK_CLEAN, "y", NULL, &e), -1);
	assert_non_null(strstr(e.msg, "the base has 32 to 16"));
	moe_experts_free(&x);
	remove_peft(dir);
}

static void put_config(const char *dir, const char *more)
{
	struct moe_buf b = { 0 };
	char *path = moe_path_join(dir, "adapter_config.json", NULL);

	assert_int_equal(
		moe_buf_addf(&b, NULL,
			"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":3,\"target_modules\":[\"k_proj\"]%s}",
			more),
		0);
	assert_int_equal(moe_file_replace(path, b.data, b.len, NULL), 0);
	moe_buf_free(&b);
	free(path);
}

/* Two names of one Linear would be one matrix laid over the other; a scale of a pattern must be a
 * number to compute with. */
static void hostile(void **state)
{
	static float v[48];
	struct moe_peft_pair pair[2] = { { "model.layers.0.self_attn.k_proj", 2, 16, 8, 0, v, v },
		{ "model.layers.00.self_attn.k_proj", 2, 16, 8, 0, v, v } };
	struct moe_peft p = { .pair = pair, .n = 2, .r = 2, .alpha = 3 };
	struct moe_config c = small();
	struct moe_experts x;
	struct moe_err e = { 0 };
	char *dir = temp_dir();

	(void)state;
	must(!moe_peft_write(&p, dir, &e), &e);
	assert_int_equal(moe_experts_from_peft(&x, &c, dir, MOE_BANK_CLEAN, "x", NULL, &e), -1);
	assert_non_null(strstr(e.msg, "no Linear 'model.layers.00.self_attn.k_proj'"));
	p.n = 1;
	must(!moe_peft_write(&p, dir, &e) &&
			!moe_experts_from_peft(&x, &c, dir, MOE_BANK_CLEAN, "x", NULL, &e),
		&e);
	moe_experts_free(&x);
	put_config(dir, ",\"alpha_pattern\":{\"k_proj\":Infinity}");
	assert_int_equal(moe_peft_open(&p, dir, &e), -1);
	assert_non_null(strstr(e.msg, "no finite number above 0"));
	remove_peft(dir);
}

static void put_tensors(const char *dir, const char *suffix, int r_b)
{
	static const float zero[64];
	struct moe_st_tensor t[2] = {
		{ .dtype = "F32", .rank = 2, .shape = { 2, 4 }, .data = zero, .bytes = 32 },
		{ .dtype = "F32", .rank = 2, .data = zero }
	};
	char *path = moe_path_join(dir, "adapter_model.safetensors", NULL), name[128];

	snprintf(name, sizeof(name), "base_model.model.model.layers.1.self_attn.k_proj.lora_%s",
		suffix);
	t[0].name = "base_model.model.model.layers.1.self_attn.k_proj.lora_A.weight";
	t[1].name = name;
	t[1].shape[0] = 3;
	t[1].shape[1] = (uint64_t)r_b;
	t[1].bytes = (size_t)(12 * r_b);
	assert_int_equal(moe_st_write(path, t, 2, NULL, 0, NULL), 0);
	free(path);
}

static void scales_and_refusals(void **state)
{
	static const struct {
		const char *more, *why;
		double scale;
	} cases[] = {
		{ "", NULL, 1.5 },
		{ ",\"use_rslora\":true", NULL, 2.1213203435596424 },
		{ ",\"alpha_pattern\":{\"self_attn.k_proj\":8}", NULL, 4 },
		{ ",\"alpha_pattern\":{\"attn.k_proj\":8},\"rank_pattern\":{\"q_proj\":7}", NULL,
			1.5 },
		{ ",\"rank_pattern\":{\"k_proj\":4}", "rank 4", 0 },
		{ ",\"alpha_pattern\":{\"k_proj$\":8}", "regular expression", 0 },
		{ ",\"use_dora\":true", "\"use_dora\"", 0 },
		{ ",\"bias\":\"all\"", "bias \"all\"", 0 },
		{ ",\"modules_to_save\":[\"lm_head\"]", "\"modules_to_save\"", 0 },
		{ ",\"layer_replication\":[[0,1]]", "\"layer_replication\"", 0 },
		{ ",\"init_lora_weights\":\"pissa\"", "\"pissa\"", 0 },
		{ ",\"something_new\":{\"a\":1}", "\"something_new\"", 0 },
		{ ",\"something_new\":null,\"init_lora_weights\":\"gaussian\"", NULL, 1.5 },
		{ ",\"fan_in_fan_out\":true", "\"fan_in_fan_out\"", 0 },
	};
	char *dir = temp_dir();
	struct moe_err e = { 0 };
	struct moe_peft p;

	(void)state;
	put_tensors(dir, "B.weight", 2);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r;

		put_config(dir, cases[i].more);
		r = moe_peft_open(&p, dir, &e);
		if (cases[i].why ? !r || e.code != MOE_DATA || !strstr(e.msg, cases[i].why)
				 : r != 0)
			fail_msg("%s: %s", cases[i].more, r ? e.msg : "success");
		if (!r) {
			assert_true(p.n == 1 && p.pair[0].r == 2 && p.pair[0].in == 4 &&
				p.pair[0].out == 3 &&
				fabs(p.pair[0].scale - cases[i].scale) < 1e-12);
			moe_peft_close(&p);
		}
	}
	put_config(dir, "");
	put_tensors(dir, "B.weight", 3);
	assert_int_equal(moe_peft_open(&p, dir, &e), -1);
	put_tensors(dir, "magnitude_vector", 2);
	assert_int_equal(moe_peft_open(&p, dir, &e), -1);
	remove_peft(dir);
}

/* ---- llama.cpp's file ---- */

static void same_text(const struct moe_gguf *g, const char *key, const char *want)
{
	struct moe_err e = { 0 };
	const char *p = NULL;
	size_t n = 0;

	if (moe_gguf_str(g, key, &p, &n, &e) != 1 || n != strlen(want) || memcmp(p, want, n) != 0)
		fail_msg("%s is '%.*s', not '%s'", key, (int)n, p ? p : "", want);
}

/* One matrix of PEFT's in the file; hd > 0: its rows are permuted within heads of so many. */
static void same_matrix(
	const struct moe_gguf *g, const char *name, const struct moe_st_tensor *w, size_t hd)
{
	const struct moe_gguf_tensor *t = moe_gguf_find(g, name);
	size_t rows = (size_t)w->shape[0], cols = (size_t)w->shape[1];

	if (!t)
		fail_msg("%s is missing", name);
	assert_true(
		t->type == MOE_GGML_F32 && t->rank == 2 && t->ne[0] == cols && t->ne[1] == rows);
	for (size_t r = 0; r < rows; r++) {
		/* side by side there, the halves of a head here */
		size_t j = r % (hd ? hd : 1) / 2, side = r % 2,
		       from = hd ? r - r % hd + side * hd / 2 + j : r;

		if (memcmp(t->data + r * t->row_bytes, (const float *)w->data + from * cols,
			    cols * sizeof(float)) != 0)
			fail_msg("%s: row %zu is not row %zu", name, r, from);
	}
}

static void gguf_of(const char *base, size_t hd, const char *arch)
{
	static const char *const parts[MOE_LINEARS] = { "attn_q", "attn_k", "attn_v", "attn_output",
		"ffn_gate", "ffn_up", "ffn_down" };
	struct moe_err e = { 0 };
	struct moe_st *st = moe_st_open(GOLDEN "llama.safetensors", &e);
	struct moe_adapter a = { 0 };
	struct moe_config c;
	struct moe_buf file = { 0 };
	struct moe_gguf *g;
	char name[200];
	double alpha = 0;

	must(st && !moe_config_read(GOLDEN "llama/config.json", &c, &e), &e);
	must(!moe_experts_from_peft(
		     &a.x, &c, GOLDEN "llama-lora", MOE_BANK_QUARANTINE, "q", NULL, &e),
		&e);
	snprintf(a.arm, sizeof(a.arm), "on");
	if (strcmp(base, "llama") != 0)
		c.family = MOE_QWEN3; /* of the same shape */
	must(!moe_adapter_to_gguf(&a, &c, MOE_LABELS_ORACLE, &file, &e), &e);
	g = moe_gguf_parse(file.data, file.len, "lora", &e);
	must(g != NULL, &e);
	same_text(g, "general.type", "adapter");
	same_text(g, "general.architecture", arch);
	same_text(g, "adapter.type", "lora");
	same_text(g, "moe.labels", "oracle");
	assert_true(moe_gguf_f64(g, "adapter.lora.alpha", &alpha, &e) == 1 && alpha == 8);
	assert_int_equal(moe_gguf_tensors(g), 28);
	for (int i = 0; i < 28; i++) {
		int l = i / 2 % MOE_LINEARS, layer = i / 2 / MOE_LINEARS;
		const struct moe_st_tensor *w;

		snprintf(name, sizeof(name),
			"lora.param.base_model.model.model.layers.%d.%s.lora_%c.weight", layer,
			moe_linear_modules[l], i % 2 ? 'B' : 'A');
		w = moe_st_find(st, name);
		assert_non_null(w);
		snprintf(name, sizeof(name), "blk.%d.%s.weight.lora_%c", layer, parts[l],
			i % 2 ? 'b' : 'a');
		same_matrix(g, name, w, i % 2 && l <= MOE_K ? hd : 0);
	}
	c.F++;
	assert_int_equal(moe_adapter_to_gguf(&a, &c, MOE_LABELS_NONE, &file, &e), -1);
	assert_non_null(strstr(e.msg, "does not fit the base"));
	moe_gguf_close(g);
	moe_buf_free(&file);
	moe_experts_free(&a.x);
	moe_st_close(st);
}

static void to_gguf(void **state)
{
	struct moe_config c;
	struct moe_err e = { 0 };

	(void)state;
	must(!moe_config_read(GOLDEN "llama/config.json", &c, &e), &e);
	gguf_of("llama", (size_t)c.hd, "llama");
	gguf_of("qwen3", 0, "qwen3");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(from_peft), cmocka_unit_test(to_gguf),
		cmocka_unit_test(round_trip), cmocka_unit_test(hostile),
		cmocka_unit_test(scales_and_refusals) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
