/* test_golden.c - the engine against transformers and peft on tiny random models of each family:
 * logits, loss, every gradient, gradients of LoRA experts over a frozen base, and 20 steps of AdamW
 * on either. The values come from tests/golden/make_golden.py. */
#include "formats/safetensors.h"
#include "model/load.h"
#include "model/model.h"
#include "model/regions.h"
#include "util/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIR         "tests/golden/"
#define LOGIT_TOL   2e-5
#define GRAD_TOL    5e-5
#define CURVE_TOL   1e-5 /* losses along 20 steps: rounding grows from step to step */
#define TRAINED_TOL 2e-5 /* and the weights after them */
#define K_BIAS_TOL                                                                                 \
	1e-3 /* softmax hardly sees a key's bias: its gradient is nearly all rounding, which Adam  \
		scales up */
#define ROWS 64

struct golden {
	struct moe_st *st;
	struct moe_model m;
	struct moe_acts a;
	struct moe_seg seg[8];
	struct moe_batch b;
	int n; /* rows that predict a token of their own sequence */
	int32_t row[ROWS], target[ROWS];
};

static void must(int r, const struct moe_err *e)
{
	if (r)
		fail_msg("%s", e->msg);
}

static const struct moe_st_tensor *get(const struct moe_st *s, const char *name)
{
	const struct moe_st_tensor *t = moe_st_find(s, name);

	if (!t)
		fail_msg("the golden file has no '%s'", name);
	return t;
}

static float *values(const struct moe_st *s, const char *name, size_t *n)
{
	const struct moe_st_tensor *t = get(s, name);
	float *f = malloc(t->bytes + 4);
	struct moe_err e;

	*n = t->bytes / 4;
	must(moe_st_floats(t, 0, *n, f, &e), &e);
	return f;
}

/* Largest difference relative to the largest golden value. MOE_GOLDEN_VERBOSE=1 prints all of them.
 */
static void compare(const char *what, const float *got, const float *want, size_t n, double tol)
{
	double worst = 0, scale = 0;
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		double d = fabs((double)got[i] - (double)want[i]);
		if (!(d <= worst)) {
			worst = d;
			at = i;
		}
		scale = fmax(scale, fabs((double)want[i]));
	}
	if (getenv("MOE_GOLDEN_VERBOSE"))
		print_message("%.2g %s\n", worst / scale, what);
	if (!(worst <= tol * scale))
		fail_msg("%s: value %zu is %.9g, should be %.9g (relative to %.3g: %.2g, allowed "
			 "%.2g)",
			what, at, (double)got[at], (double)want[at], scale, worst / scale, tol);
}

static void set_batch(struct golden *g, const int32_t *ids, const int32_t *lens, int n_lens)
{
	int at = 0;

	g->b.ids = ids;
	g->n = 0;
	for (int i = 0; i < n_lens; i++) {
		g->seg[i] = (struct moe_seg){ at, lens[i], -1, 0 };
		for (int k = 0; k + 1 < lens[i]; k++) {
			g->row[g->n] = at + k;
			g->target[g->n++] = ids[at + k + 1];
		}
		at += lens[i];
	}
	g->b.T = at;
	g->b.n_seg = n_lens;
	g->b.seg = g->seg;
}

static void open_golden(struct golden *g, const char *model, const char *file, bool trainable)
{
	struct moe_err e = { 0 };
	char path[256];

	memset(g, 0, sizeof(*g));
	snprintf(path, sizeof(path), DIR "%s", model);
	must(moe_model_load(&g->m, path, &e), &e);
	if (trainable)
		must(moe_model_make_trainable(&g->m, &e), &e);
	snprintf(path, sizeof(path), DIR "%s.safetensors", file);
	g->st = moe_st_open(path, &e);
	must(g->st ? 0 : -1, &e);
	g->a.keep = true;
}

static void close_golden(struct golden *g)
{
	moe_acts_free(&g->a);
	moe_model_free(&g->m);
	moe_st_close(g->st);
}

static double weight_at(const struct moe_weight *w, size_t i)
{
	if (w->dtype == MOE_F32)
		return (double)((const float *)w->data)[i];
	return (double)(w->dtype == MOE_BF16 ? moe_f32_from_bf16(((const uint16_t *)w->data)[i])
					     : moe_f32_from_f16(((const uint16_t *)w->data)[i]));
}

static void log_softmax(float *x, int n)
{
	double z = 0;

	for (int i = 0; i < n; i++)
		z += exp((double)x[i]);
	for (int i = 0; i < n; i++)
		x[i] = (float)((double)x[i] - log(z));
}

/* Logits from the hidden states, and log-probabilities of all tokens from the head. */
static void check_logits(struct golden *g, const struct moe_experts *x, const char *name)
{
	int T = g->b.T, V = g->m.config.V, D = g->m.config.D;
	size_t n, total = (size_t)T * (size_t)V;
	float *want = values(g->st, name, &n), *got = malloc(total * sizeof(*got));
	int32_t *row = malloc(total * sizeof(*row)), *target = malloc(total * sizeof(*target));
	struct moe_err e = { 0 };

	assert_int_equal(n, total);
	must(moe_forward(&g->m, x, NULL, &g->b, &g->a, &e), &e);
	for (size_t i = 0; i < total; i++) {
		double s = 0;
		row[i] = (int32_t)(i / (size_t)V);
		target[i] = (int32_t)(i % (size_t)V);
		for (int d = 0; d < D; d++)
			s += (double)g->a.out[row[i] * D + d] *
				weight_at(&g->m.head, (size_t)(target[i] * D + d));
		got[i] = (float)s;
	}
	compare(name, got, want, n, LOGIT_TOL);
	must(moe_head_logp(&g->m, &g->b, &g->a, (int)n, row, target, 1, got, NULL, &e), &e);
	for (int t = 0; t < T; t++)
		log_softmax(want + t * V, V);
	compare("log-probabilities", got, want, n, LOGIT_TOL);
	free(want);
	free(got);
	free(row);
	free(target);
}

static void check_loss(struct golden *g, const char *name, float *dlogp)
{
	float logp[ROWS], got;
	struct moe_err e = { 0 };
	double sum = 0;
	size_t n;
	float *want = values(g->st, name, &n);

	must(moe_head_logp(&g->m, &g->b, &g->a, g->n, g->row, g->target, 1, logp, NULL, &e), &e);
	for (int i = 0; i < g->n; i++) {
		sum -= (double)logp[i];
		dlogp[i] = -1.0f / (float)g->n;
	}
	got = (float)(sum / g->n);
	compare(name, &got, want, 1, LOGIT_TOL);
	free(want);
}

static void one(const struct golden *g, const char *prefix, const char *name, const float *got,
	size_t n, double tol)
{
	char full[200];
	size_t have;
	float *want;

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	want = values(g->st, full, &have);
	assert_int_equal(have, n);
	compare(full, got, want, n, tol);
	free(want);
}

/* Compares the part of v that belongs to w, when the model has it. Returns 1 or 0. */
static int part(const struct golden *g, const char *prefix, const struct moe_weight *w,
	const float *v, double tol, int layer, const char *module, const char *kind)
{
	char name[160];

	if (!w->data)
		return 0;
	if (layer < 0)
		snprintf(name, sizeof(name), "%s.%s", module, kind);
	else
		snprintf(name, sizeof(name), "model.layers.%d.%s.%s", layer, module, kind);
	if (!strcmp(prefix, "trained.") && strstr(name, "k_proj.bias"))
		tol = K_BIAS_TOL;
	one(g, prefix, name, v + w->off, (size_t)w->rows * (size_t)w->cols, tol);
	return 1;
}

/* Every weight against the golden tensors of that prefix, and every golden tensor of that prefix
 * against a weight. */
static void check_all(const struct golden *g, const char *prefix, const float *v, double tol)
{
	const struct moe_model *m = &g->m;
	int n = 0;

	n += part(g, prefix, &m->embed, v, tol, -1, "model.embed_tokens", "weight");
	n += part(g, prefix, &m->norm, v, tol, -1, "model.norm", "weight");
	if (!m->config.tied)
		n += part(g, prefix, &m->head, v, tol, -1, "lm_head", "weight");
	for (int i = 0; i < m->config.L; i++) {
		const struct moe_layer *y = &m->layer[i];

		for (int l = 0; l < MOE_LINEARS; l++)
			n += part(g, prefix, &y->w[l], v, tol, i, moe_linear_modules[l], "weight") +
				part(g, prefix, &y->bias[l], v, tol, i, moe_linear_modules[l],
					"bias");
		n += part(g, prefix, &y->norm1, v, tol, i, "input_layernorm", "weight") +
			part(g, prefix, &y->norm2, v, tol, i, "post_attention_layernorm", "weight");
		n += part(g, prefix, &y->qnorm, v, tol, i, "self_attn.q_norm", "weight") +
			part(g, prefix, &y->knorm, v, tol, i, "self_attn.k_norm", "weight");
	}
	for (size_t i = 0; i < moe_st_count(g->st); i++)
		n -= !strncmp(moe_st_at(g->st, i)->name, prefix, strlen(prefix));
	assert_int_equal(n, 0);
}

static void full_training(struct golden *g)
{
	float dlogp[ROWS], *dm = calloc(g->m.n_param, sizeof(*dm));
	struct moe_err e = { 0 };

	check_logits(g, NULL, "logits");
	check_loss(g, "loss", dlogp);
	must(moe_backward(&g->m, NULL, NULL, &g->b, &g->a, g->n, g->row, g->target, 1, dlogp, NULL,
		     dm, &e),
		&e);
	check_all(g, "grad.", dm, GRAD_TOL);
	free(dm);
}

static double meta(const struct golden *g, const char *key)
{
	const char *v = moe_st_meta(g->st, key);

	if (!v)
		fail_msg("the golden file has no metadata '%s'", key);
	return atof(v);
}

/* Trains param (of the model, or of x when that is given) as the golden curve was made, and
 * compares the loss before each step. */
static void train(struct golden *g, struct moe_experts *x, const struct moe_region *r,
	size_t n_region, moe_real *param, size_t n, const char *curve)
{
	int steps = (int)meta(g, "steps");
	float *got = malloc((size_t)(steps + 1) * sizeof(*got)), dlogp[ROWS], logp[ROWS],
	      *d = malloc(n * sizeof(*d));
	struct moe_adamw opt;
	struct moe_err e = { 0 };

	must(moe_adamw_init(&opt, n, r, n_region, 1, &e), &e);
	opt.beta1 = meta(g, "beta1");
	opt.beta2 = meta(g, "beta2");
	opt.eps = meta(g, "eps");
	opt.wd = meta(g, "weight_decay");
	for (int i = 0; i < g->n; i++)
		dlogp[i] = -1.0f / (float)g->n;
	g->a.logp = logp;
	for (int t = 0; t <= steps; t++) {
		double sum = 0;

		memset(d, 0, n * sizeof(*d));
		must(moe_forward(&g->m, x, NULL, &g->b, &g->a, &e), &e);
		must(moe_backward(&g->m, x, NULL, &g->b, &g->a, g->n, g->row, g->target, 1, dlogp,
			     x ? d : NULL, x ? NULL : d, &e),
			&e);
		for (int i = 0; i < g->n; i++)
			sum -= (double)logp[i];
		got[t] = (float)(sum / g->n);
		if (t == steps)
			break;
		moe_grad_clip(n, d, moe_grad_norm(n, d), meta(g, "clip"));
		moe_adamw_step(&opt, param, d, NULL, meta(g, "lr"));
	}
	one(g, "", curve, got, (size_t)(steps + 1), CURVE_TOL);
	g->a.logp = NULL;
	moe_adamw_free(&opt);
	free(got);
	free(d);
}

/* torch.optim.AdamW with one group of parameters decays all of them, norms and biases too. */
static void train_model(struct golden *g)
{
	struct moe_region *r;
	struct moe_err e = { 0 };
	size_t n;

	must(moe_model_regions(&g->m, &r, &n, &e), &e);
	for (size_t i = 0; i < n; i++)
		r[i].decay = 1;
	train(g, NULL, r, n, g->m.param, g->m.n_param, "curve");
	check_all(g, "trained.", g->m.param, TRAINED_TOL);
	free(r);
}

/* PEFT's name of A (part 0) or B (part 1) of block i. */
static const char *lora_name(char *out, size_t cap, int i, int p)
{
	snprintf(out, cap, "base_model.model.model.layers.%d.%s.lora_%c.weight", i / MOE_LINEARS,
		moe_linear_modules[i % MOE_LINEARS], p ? 'B' : 'A');
	return out;
}

static void load_lora(const struct golden *g, struct moe_experts *x)
{
	struct moe_err e = { 0 };
	char name[160], full[200];

	memset(x, 0, sizeof(*x));
	x->E = 1;
	x->rank[0] = atoi(moe_st_meta(g->st, "r"));
	x->bank[0] = MOE_BANK_CLEAN;
	snprintf(x->name[0], sizeof(x->name[0]), "clean");
	x->scale = atof(moe_st_meta(g->st, "alpha")) / x->rank[0];
	for (int l = 0; l < MOE_LINEARS; l++)
		x->target[l] = true;
	must(moe_experts_init(x, &g->m.config, &e), &e);
	for (int i = 0; i < g->m.config.L * MOE_LINEARS; i++)
		for (int p = 0; p < 2; p++) {
			size_t n;
			float *v;

			snprintf(full, sizeof(full), "lora.param.%s",
				lora_name(name, sizeof(name), i, p));
			v = values(g->st, full, &n);
			memcpy(x->param +
					(p ? moe_view_of(x, (size_t)(i), MOE_ROLE_B)->off
					   : moe_view_of(x, (size_t)(i), MOE_ROLE_A)->off),
				v, n * sizeof(*v));
			free(v);
		}
}

static void lora(struct golden *g)
{
	struct moe_experts x;
	struct moe_err e = { 0 };
	char name[160];
	float dlogp[ROWS], *dx;
	int blocks = g->m.config.L * MOE_LINEARS, n = 0;

	load_lora(g, &x);
	dx = calloc(x.n_param, sizeof(*dx));
	check_logits(g, &x, "lora.logits");
	check_loss(g, "lora.loss", dlogp);
	must(moe_backward(&g->m, &x, NULL, &g->b, &g->a, g->n, g->row, g->target, 1, dlogp, dx,
		     NULL, &e),
		&e);
	for (int i = 0; i < blocks; i++) {
		int in, out;
		moe_linear_shape(&g->m.config, (enum moe_linear)(i % MOE_LINEARS), &in, &out);
		one(g, "lora.grad.", lora_name(name, sizeof(name), i, 0),
			dx + moe_view_of(&x, (size_t)(i), MOE_ROLE_A)->off, (size_t)(x.R * in),
			GRAD_TOL);
		one(g, "lora.grad.", lora_name(name, sizeof(name), i, 1),
			dx + moe_view_of(&x, (size_t)(i), MOE_ROLE_B)->off, (size_t)(x.R * out),
			GRAD_TOL);
	}
	for (size_t i = 0; i < moe_st_count(g->st); i++)
		n += !strncmp(moe_st_at(g->st, i)->name, "lora.grad.", 10);
	assert_int_equal(n, 2 * blocks);
	struct moe_region *r;
	size_t n_region;
	int owners;
	must(moe_experts_regions(&x, 1, &r, &n_region, &owners, &e), &e);
	train(g, &x, r, n_region, x.param, x.n_param, "lora.curve");
	free(r);
	free(dx);
	moe_experts_free(&x);
}

static void family(const char *name)
{
	struct golden g;

	for (int trainable = 0; trainable < 2; trainable++) {
		open_golden(&g, name, name, trainable);
		set_batch(&g, get(g.st, "ids")->data, get(g.st, "lens")->data, 2);
		if (trainable) {
			full_training(&g);
			train_model(&g);
		} else
			lora(&g);
		close_golden(&g);
	}
}

static void llama(void **state)
{
	(void)state;
	family("llama");
}

static void qwen2(void **state)
{
	(void)state;
	family("qwen2");
}

static void qwen3(void **state)
{
	(void)state;
	family("qwen3");
}

/* 16-bit storage in several files. */
static void storage(void **state)
{
	static const char *const model[] = { "llama-bf16", "qwen3-f16" },
				 *const name[] = { "logits.bf16", "logits.f16" };
	struct moe_err e = { 0 };
	struct moe_st *s = moe_st_open(
		DIR "llama.safetensors", &e); /* its ids are those of all families */

	(void)state;
	must(s ? 0 : -1, &e);
	for (int i = 0; i < 2; i++) {
		struct golden g;

		open_golden(&g, model[i], "variants", false);
		assert_int_equal(g.m.layer[0].w[MOE_Q].dtype, i ? MOE_F16 : MOE_BF16);
		set_batch(&g, get(s, "ids")->data, get(s, "lens")->data, 2);
		check_logits(&g, NULL, name[i]);
		close_golden(&g);
	}
	moe_st_close(s);
}

static void rope_types(void **state)
{
	static const char *const type[] = { "linear", "llama3", "yarn" };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct golden g;
		struct moe_err e = { 0 };
		char path[256];
		int32_t len;

		open_golden(&g, "llama", "variants", false);
		len = (int32_t)get(g.st, "rope.ids")->shape[0];
		snprintf(path, sizeof(path), DIR "rope/%s.json", type[i]);
		must(moe_config_read(path, &g.m.config, &e), &e);
		set_batch(&g, get(g.st, "rope.ids")->data, &len, 1);
		snprintf(path, sizeof(path), "logits.rope.%s", type[i]);
		check_logits(&g, NULL, path);
		close_golden(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(llama),
		cmocka_unit_test(qwen2),
		cmocka_unit_test(qwen3),
		cmocka_unit_test(storage),
		cmocka_unit_test(rope_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
