/* test_load.c - config.json of both major versions of transformers, refusals, and a model directory
 * written and read again. */
#include "formats/file.h"
#include "model/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZES                                                                                      \
	"\"vocab_size\":50,\"hidden_size\":16,\"intermediate_size\":24,\"num_hidden_layers\":2,"   \
	"\"num_attention_heads\":4"
#define KV ",\"num_key_value_heads\":2"

static struct moe_config parse(const char *text)
{
	struct moe_config c;
	struct moe_err e = { 0 };

	if (moe_config_parse(text, strlen(text), "c", &c, &e))
		fail_msg("%s: %s", text, e.msg);
	return c;
}

static void refuse(const char *text, const char *why)
{
	struct moe_config c;
	struct moe_err e = { 0 };

	if (!moe_config_parse(text, strlen(text), "c", &c, &e) || e.code != MOE_DATA ||
		!strstr(e.msg, why))
		fail_msg("%s: expected '%s', got '%s'", text, why, e.msg);
}

static void llama(void **state)
{
	struct moe_config c = parse(
		"{\"model_type\":\"llama\"," SIZES
		",\"num_key_value_heads\":2,\"rope_theta\":5e5,\"rms_norm_eps\":1e-5,\"eos_token_id\":[3,4],\"bos_token_id\":1,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64},\"max_position_embeddings\":512}");

	(void)state;
	assert_int_equal(c.family, MOE_LLAMA);
	assert_true(c.V == 50 && c.D == 16 && c.F == 24 && c.L == 2 && c.H == 4 && c.K == 2 &&
		c.hd == 4 && c.max_pos == 512);
	assert_true(c.theta == 5e5 && c.eps == 1e-5 && !c.tied && !c.qkv_bias && !c.o_bias &&
		!c.mlp_bias && !c.qk_norm);
	assert_true(c.rope == MOE_ROPE_LLAMA3 && c.rope_factor == 8 && c.rope_low == 1 &&
		c.rope_high == 4 && c.rope_orig == 64);
	assert_true(c.n_eos == 2 && c.eos[0] == 3 && c.eos[1] == 4 && c.bos == 1 && c.pad == -1);
}

static void version_5(void **state)
{
	struct moe_config c = parse(
		"{\"model_type\":\"qwen3\"," SIZES
		",\"num_key_value_heads\":null,\"head_dim\":8,\"tie_word_embeddings\":true,\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1000000.0},\"dtype\":\"bfloat16\",\"eos_token_id\":7,\"layer_types\":[\"full_attention\",\"full_attention\"]}");

	(void)state;
	assert_true(c.family == MOE_QWEN3 && c.K == 4 && c.hd == 8 && c.tied && c.qk_norm &&
		c.theta == 1e6 && c.n_eos == 1);
	c = parse("{\"model_type\":\"qwen3\"," SIZES KV "}");
	assert_true(c.hd == 128 && c.theta == 10000 && c.rope == MOE_ROPE_DEFAULT);
	c = parse(
		"{\"model_type\":\"qwen2\"," SIZES KV
		",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,\"original_max_position_embeddings\":32}}");
	assert_true(c.qkv_bias && !c.o_bias && c.rope == MOE_ROPE_YARN && c.rope_high == 32 &&
		c.rope_low == 1 && c.rope_orig == 32);
}

static void refusals(void **state)
{
	(void)state;
	refuse("[]", "not a JSON object");
	refuse("{\"model_type\":\"smollm3\"," SIZES "}", "\"smollm3\" is not supported");
	refuse("{\"model_type\":\"llama\"}", "\"vocab_size\" is missing");
	refuse("{\"model_type\":\"llama\"," SIZES ",\"num_key_value_heads\":3}", "share 3");
	refuse("{\"model_type\":\"llama\"," SIZES ",\"head_dim\":5}", "not even");
	refuse("{\"model_type\":\"llama\"," SIZES ",\"hidden_act\":\"gelu\"}", "hidden_act");
	refuse("{\"model_type\":\"llama\"," SIZES ",\"rms_norm_eps\":-1}", "rms_norm_eps");
	refuse("{\"model_type\":\"llama\"," SIZES
	       ",\"rope_scaling\":{\"rope_type\":\"longrope\",\"factor\":2}}",
		"\"longrope\" is not supported");
	refuse("{\"model_type\":\"llama\"," SIZES ",\"partial_rotary_factor\":0.5}",
		"partial_rotary_factor");
	refuse("{\"model_type\":\"llama\"," SIZES ",\"quantization_config\":{}}", "quantised");
	refuse("{\"model_type\":\"qwen2\"," SIZES KV
	       ",\"use_sliding_window\":true,\"max_window_layers\":1}",
		"texts of up to 4096 tokens do not need it");
	refuse("{\"model_type\":\"qwen3\"," SIZES KV
	       ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}",
		"sliding");
	refuse("{\"model_type\":\"llama\"," SIZES KV ",\"sliding_window\":4}", "sliding");
	refuse("{\"model_type\":\"mistral\"," SIZES KV ",\"sliding_window\":512}",
		"of up to 512 tokens");
	refuse("{\"model_type\":\"mistral\"," SIZES KV "}", "sliding"); /* its class puts 4096 in */
}

/* What the classes of transformers make of keys that are missing or contradict each other (seen
 * there, version 5.23). */
static void as_the_classes(void **state)
{
	struct moe_config c;

	(void)state;
	c = parse("{\"model_type\":\"mistral\"," SIZES
		  ",\"num_attention_heads\":16,\"head_dim\":4,\"sliding_window\":null}");
	assert_true(c.K == 8 && c.max_pos == 131072);
	c = parse(
		"{\"model_type\":\"mistral\"," SIZES
		",\"num_key_value_heads\":null,\"sliding_window\":4096,\"max_position_embeddings\":4096}");
	assert_true(c.K == 4 && c.max_pos == 4096);
	refuse("{\"model_type\":\"qwen2\"," SIZES "}", "4 query heads can not share 32");
	c = parse("{\"model_type\":\"qwen2\"," SIZES KV
		  ",\"use_sliding_window\":true}"); /* max_window_layers is 28 */
	c = parse(
		"{\"model_type\":\"qwen2\"," SIZES KV
		",\"use_sliding_window\":true,\"max_window_layers\":0,\"layer_types\":[\"full_attention\",\"full_attention\"]}");
	c = parse("{\"model_type\":\"llama\"," SIZES
		  ",\"use_sliding_window\":true,\"hidden_act\":\"swish\"}");
	c = parse(
		"{\"model_type\":\"llama\"," SIZES
		",\"rope_scaling\":{},\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":5}}");
	assert_true(c.rope == MOE_ROPE_LINEAR && c.rope_factor == 2 && c.theta == 5);
	c = parse(
		"{\"model_type\":\"llama\"," SIZES
		",\"rope_theta\":7,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2},\"rope_parameters\":{\"rope_theta\":5}}");
	assert_true(c.rope == MOE_ROPE_LINEAR && c.theta == 7);
	c = parse(
		"{\"model_type\":\"llama\"," SIZES
		",\"original_max_position_embeddings\":32,\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":2,\"original_max_position_embeddings\":64}}");
	assert_true(c.rope == MOE_ROPE_YARN && c.rope_orig == 32);
	c = parse("{\"model_type\":\"llama\"," SIZES
		  ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}}");
	assert_true(c.rope == MOE_ROPE_DYNAMIC && c.rope_factor == 2 && c.max_pos == 2048);
}

static void round_trip(void **state)
{
	static const char *const text[] = {
		"{\"model_type\":\"llama\"," SIZES
		",\"attention_bias\":true,\"mlp_bias\":true,\"eos_token_id\":[1,2],\"rope_theta\":123.25}",
		"{\"model_type\":\"mistral\"," SIZES KV
		",\"sliding_window\":null,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.5}}",
		"{\"model_type\":\"qwen2\"," SIZES KV
		",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,\"original_max_position_embeddings\":32},\"pad_token_id\":9}",
		"{\"model_type\":\"qwen3\"," SIZES KV
		",\"attention_bias\":true,\"tie_word_embeddings\":true}",
		"{\"model_type\":\"llama\"," SIZES
		",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2.5}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		struct moe_config a = parse(text[i]), b;
		struct moe_buf o = { 0 };

		assert_int_equal(moe_config_write(&a, &o, NULL), 0);
		b = parse(moe_buf_cstr(&o, NULL));
		assert_true(a.family == b.family && a.V == b.V && a.D == b.D && a.L == b.L &&
			a.H == b.H && a.K == b.K && a.hd == b.hd && a.F == b.F);
		assert_true(a.max_pos == b.max_pos && a.theta == b.theta && a.eps == b.eps &&
			a.tied == b.tied && a.qkv_bias == b.qkv_bias);
		assert_true(a.o_bias == b.o_bias && a.mlp_bias == b.mlp_bias &&
			a.qk_norm == b.qk_norm && a.rope == b.rope);
		assert_true(a.rope_factor == b.rope_factor && a.rope_low == b.rope_low &&
			a.rope_high == b.rope_high && a.rope_orig == b.rope_orig);
		assert_true(a.bos == b.bos && a.pad == b.pad && a.n_eos == b.n_eos &&
			!memcmp(a.eos, b.eos, sizeof(a.eos)));
		moe_buf_free(&o);
	}
}

static void same_weight(const struct moe_weight *a, const struct moe_weight *b)
{
	assert_int_equal(!a->data, !b->data);
	if (!a->data)
		return;
	assert_true(a->rows == b->rows && a->cols == b->cols);
	assert_memory_equal(a->data, b->data, (size_t)a->rows * (size_t)a->cols * sizeof(float));
}

static void same_model(const struct moe_model *a, const struct moe_model *b)
{
	same_weight(&a->embed, &b->embed);
	same_weight(&a->norm, &b->norm);
	same_weight(&a->head, &b->head);
	for (int i = 0; i < a->config.L; i++) {
		const struct moe_layer *x = &a->layer[i], *y = &b->layer[i];
		for (int l = 0; l < MOE_LINEARS; l++) {
			same_weight(&x->w[l], &y->w[l]);
			same_weight(&x->bias[l], &y->bias[l]);
		}
		same_weight(&x->norm1, &y->norm1);
		same_weight(&x->norm2, &y->norm2);
		same_weight(&x->qnorm, &y->qnorm);
		same_weight(&x->knorm, &y->knorm);
	}
}

static void remove_model(const char *dir)
{
	static const char *const names[] = { "config.json", "model.safetensors" };

	for (int i = 0; i < 2; i++) {
		char *p = moe_path_join(dir, names[i], NULL);
		unlink(p);
		free(p);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void save_and_load(void **state)
{
	static const char *const text[] = {
		"{\"model_type\":\"llama\"," SIZES ",\"attention_bias\":true,\"mlp_bias\":true}",
		"{\"model_type\":\"qwen2\"," SIZES KV ",\"tie_word_embeddings\":true}",
		"{\"model_type\":\"qwen3\"," SIZES ",\"head_dim\":6,\"num_key_value_heads\":1}",
	};
	const char *tmp = getenv("TMPDIR");
	char dir[4096], first[65];

	(void)state;
	snprintf(dir, sizeof(dir), "%s/moe-load-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		struct moe_config c = parse(text[i]);
		struct moe_model a = { 0 }, b = { 0 };
		struct moe_err e = { 0 };

		assert_int_equal(moe_model_new(&a, &c, 1 + i, 1, &e), 0);
		if (moe_model_save(&a, dir, &e) || moe_model_load(&b, dir, &e))
			fail_msg("%s", e.msg);
		same_model(&a, &b);
		assert_int_equal(strlen(b.digest), 64);
		memcpy(first, b.digest, 65);
		moe_model_free(&b);
		assert_int_equal(moe_model_load(&b, dir, &e), 0);
		assert_string_equal(first, b.digest);
		moe_model_free(&b);
		a.config.qkv_bias = a.config.o_bias = a.config.tied =
			false; /* config.json and weights that do not belong together */
		a.config.mlp_bias = false;
		a.config.family = MOE_LLAMA;
		a.config.qk_norm = false;
		if (i == 1)
			a.head = a.embed;
		assert_int_equal(moe_model_save(&a, dir, &e), 0);
		assert_int_equal(moe_model_load(&b, dir, &e), -1);
		assert_non_null(strstr(e.msg, "belongs to no part"));
		moe_model_free(&a);
	}
	remove_model(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(llama),
		cmocka_unit_test(version_5),
		cmocka_unit_test(refusals),
		cmocka_unit_test(as_the_classes),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(save_and_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
