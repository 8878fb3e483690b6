/* fuzz_gguf.c - any bytes as a GGUF file: what is handed out lies inside of it, and what becomes a
 * model's directory can be loaded again. */
#include "fuzz.h"

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/tokenizer/tok.h"
#include "formats/tokenizer/tokenizer.h"
#include "model/gguf_in.h"
#include "model/load.h"

static char folder[32], weights[64];

static void remove_folder(void)
{
	unlink(weights);
	rmdir(folder);
}

static void walk_values(const struct moe_gguf *g, const uint8_t *p, size_t n)
{
	struct moe_err e = { 0 };

	for (size_t i = 0; i < moe_gguf_values(g); i++) {
		const struct moe_gguf_value *v = moe_gguf_value_at(g, i);
		const uint8_t *at = v->p;
		const char *s;
		size_t len;
		int64_t k;
		double d;
		bool b;

		MUST(moe_gguf_get(g, v->key) == v && v->p >= p && v->p <= p + n);
		MUST(moe_gguf_int(g, v->key, &k, &e) && moe_gguf_f64(g, v->key, &d, &e) &&
			moe_gguf_bool(g, v->key, &b, &e) && moe_gguf_str(g, v->key, &s, &len, &e));
		if (v->kind != MOE_GGUF_ARRAY || !v->n)
			continue;
		moe_gguf_int_at(v, v->n - 1, &k);
		for (uint64_t j = 0; v->of == MOE_GGUF_STRING && j < v->n; j++) {
			moe_gguf_take_str(&at, &s, &len);
			MUST(at <= p + n && (const uint8_t *)s + len == at);
		}
	}
}

static void walk_tensors(const struct moe_gguf *g, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < moe_gguf_tensors(g); i++) {
		const struct moe_gguf_tensor *t = moe_gguf_tensor_at(g, i);
		float *row = malloc(t->ne[0] * sizeof(*row));

		MUST(row && moe_gguf_find(g, t->name) == t);
		MUST(t->data >= p && t->bytes <= (size_t)(p + n - t->data));
		MUST(t->bytes == t->row_bytes * t->ne[1] * t->ne[2] * t->ne[3]);
		moe_gguf_floats(t, t->ne[1] * t->ne[2] * t->ne[3] - 1, 1, row);
		free(row);
	}
}

/* Both halves of the directory, without the disk where there is memory for files. */
static void convert(const struct moe_gguf *g)
{
	struct moe_gguf_ids ids;
	struct moe_config c, again;
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	struct moe_st *s;

	if (moe_gguf_config(g, &c, &ids, &e)) {
		MUST(e.msg[0]);
		return;
	}
	MUST(moe_config_write(&c, &b, &e) == 0);
	MUST(moe_config_parse((const char *)b.data, b.len, "config.json", &again, &e) == 0);
	MUST(again.V == c.V && again.hd == c.hd && again.n_eos == c.n_eos);
	b.len = 0;
	MUST(moe_gguf_tokenizer_config(g, &ids, &b, &e) == 0 || e.msg[0]);
	moe_buf_free(&b);
	if (moe_gguf_weights(g, &c, weights, &e)) {
		MUST(e.msg[0]);
		return;
	}
	s = moe_st_open(weights, &e);
	MUST(s && moe_st_count(s) + 1 >= moe_gguf_tensors(g));
	moe_st_close(s);
}

static void tokenizer(const struct moe_gguf *g)
{
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	struct moe_tokenizer *t;

	if (moe_gguf_tokenizer_json(g, 1 << 16, &b, &e)) {
		MUST(e.msg[0]);
	} else {
		t = moe_tokenizer_parse((const char *)b.data, b.len, "t", &e);
		MUST(t || e.msg[0]);
		moe_tokenizer_free(t);
	}
	moe_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_err e = { 0 };
	struct moe_gguf *g = moe_gguf_parse(p, n, "fuzz", &e);

	if (!folder[0]) {
		fuzz_folder(folder);
		snprintf(weights, sizeof(weights), "%s/model.safetensors", folder);
		atexit(remove_folder);
	}
	MUST(g || e.msg[0]);
	if (g) {
		walk_values(g, p, n);
		walk_tensors(g, p, n);
		convert(g);
		tokenizer(g);
	}
	moe_gguf_close(g);
	return 0;
}
