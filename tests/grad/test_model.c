/* test_model.c - finite differences of whole models in float64: every weight and expert, gates,
 * masks, shared prompts. */
#include "model/model.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define EPS 1e-5

static const struct moe_config configs[] = {
	{ .family = MOE_LLAMA,
		.V = 23,
		.D = 16,
		.L = 2,
		.H = 4,
		.K = 4,
		.hd = 4,
		.F = 20,
		.max_pos = 256,
		.theta = 10000,
		.eps = 1e-5,
		.tied = true,
		.rope_factor = 1 },
	{ .family = MOE_QWEN2,
		.V = 19,
		.D = 12,
		.L = 2,
		.H = 4,
		.K = 2,
		.hd = 6,
		.F = 14,
		.max_pos = 256,
		.theta = 1000,
		.eps = 1e-6,
		.qkv_bias = true,
		.rope_factor = 1 },
	{ .family = MOE_QWEN3,
		.V = 21,
		.D = 10,
		.L = 3,
		.H = 3,
		.K = 1,
		.hd = 8,
		.F = 13,
		.max_pos = 256,
		.theta = 500,
		.eps = 1e-6,
		.qk_norm = true,
		.tied = true,
		.rope_factor = 1 },
	{ .family = MOE_LLAMA,
		.V = 9001,
		.D = 6,
		.L = 1,
		.H = 2,
		.K = 1,
		.hd = 4,
		.F = 7,
		.max_pos = 256,
		.theta = 500,
		.eps = 1e-6,
		.o_bias = true,
		.qkv_bias = true,
		.mlp_bias = true,
		.rope = MOE_ROPE_LINEAR,
		.rope_factor = 2 },
};

struct world {
	struct moe_model m;
	struct moe_experts x;
	struct moe_gates g;
	struct moe_batch b;
	struct moe_seg seg[8];
	int32_t *ids, row[64], target[64];
	moe_real *gate, *mask, *dgate, weight[64];
	int n;
	double temperature;
	struct moe_acts a;
};

static double rnd(uint64_t a, uint64_t b)
{
	return moe_rng_normal(moe_rng_key(7, "test"), a, b);
}

static void make_model(struct world *w, const struct moe_config *c)
{
	struct moe_err e;

	assert_int_equal(moe_model_new(&w->m, c, 3, 1, &e), 0);
	for (size_t i = 0; i < w->m.n_param; i++)
		w->m.param[i] = w->m.param[i] == 1 ? 1 + 0.2 * rnd(1, i) : 0.35 * rnd(1, i);
	w->x.E = 3;
	for (int i = 0; i < 3; i++) {
		w->x.rank[i] = i + 1;
		w->x.bank[i] = (enum moe_bank)i;
	}
	for (int l = 0; l < MOE_LINEARS; l++)
		w->x.target[l] = c->L != 3 || l % 2 == 0;
	w->x.scale = 1.5;
	assert_int_equal(moe_experts_init(&w->x, c, &e), 0);
	for (size_t i = 0; i < w->x.n_param; i++)
		w->x.param[i] = 0.3 * rnd(2, i);
	for (int i = 0; i < c->L * MOE_LINEARS * w->x.R; i++)
		w->x.alive[i] = i % 5 == 4 ? 0.5 : i % 7 == 6 ? 0 : 1;
}

/* Three sequences: a prompt with two completions, and one alone, longer than an attention block. */
static void make_batch(struct world *w, const struct moe_config *c)
{
	struct moe_seg s[] = { { 0, 5, -1, 0 }, { 5, 4, 0, 5 }, { 9, 70, -1, 0 }, { 79, 3, 0, 5 } };
	int T = 82;

	memcpy(w->seg, s, sizeof(s));
	w->ids = calloc((size_t)T, sizeof(*w->ids));
	for (int t = 0; t < T; t++)
		w->ids[t] = (int32_t)moe_rng_below(
			moe_rng_key(5, "ids"), (uint64_t)t, 0, (uint64_t)c->V);
	w->b = (struct moe_batch){ T, w->ids, 4, w->seg };
	w->gate = calloc((size_t)(T * 3), sizeof(*w->gate));
	w->mask = calloc((size_t)(T * 3), sizeof(*w->mask));
	w->dgate = calloc((size_t)(T * 3), sizeof(*w->dgate));
	for (int i = 0; i < T * 3; i++) {
		w->gate[i] = i % 4 == 3 ? 0 : 0.5 + 0.2 * rnd(3, (uint64_t)i);
		w->mask[i] = i % 3 == 1 ? 0 : 0.7 + 0.2 * rnd(4, (uint64_t)i);
	}
	w->n = 0;
	for (int t = 0; t < T; t += t % 3 ? 1 : 4) {
		w->row[w->n] = t;
		w->target[w->n] = w->n == 0 ? c->V - 1 : (int32_t)(t % c->V);
		w->weight[w->n] = rnd(6, (uint64_t)t);
		w->n++;
	}
	w->row[w->n - 1] = w->row[0]; /* a row may be asked for twice */
	w->temperature = 0.8;
}

static void world_init(struct world *w, const struct moe_config *c)
{
	memset(w, 0, sizeof(*w));
	make_model(w, c);
	make_batch(w, c);
	w->g.outer = w->gate;
	w->a.keep = true;
}

static void world_free(struct world *w)
{
	moe_acts_free(&w->a);
	moe_experts_free(&w->x);
	moe_model_free(&w->m);
	free(w->ids);
	free(w->gate);
	free(w->mask);
	free(w->dgate);
}

static double loss(struct world *w, const struct moe_experts *x)
{
	moe_real logp[64], entropy[64];
	const moe_real *dent = w->a.dentropy;
	struct moe_err e = { 0 };
	double sum = 0;

	if (moe_forward(&w->m, x, x ? &w->g : NULL, &w->b, &w->a, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(moe_head_logp(&w->m, &w->b, &w->a, w->n, w->row, w->target, w->temperature,
				 logp, dent ? entropy : NULL, &e),
		0);
	for (int i = 0; i < w->n; i++)
		sum += w->weight[i] * logp[i] + (dent ? dent[i] * entropy[i] : 0);
	return sum;
}

static void gradients(struct world *w, const struct moe_experts *x, moe_real *dx, moe_real *dm)
{
	struct moe_err e = { 0 };

	loss(w, x);
	if (moe_backward(&w->m, x, x ? &w->g : NULL, &w->b, &w->a, w->n, w->row, w->target,
		    w->temperature, w->weight, dx, dm, &e))
		fail_msg("%s", e.msg);
}

/* Compares d[i] with the central difference of the loss in p[i]. */
static void compare(struct world *w, const struct moe_experts *x, moe_real *p, const moe_real *d,
	size_t n, size_t step, const char *what)
{
	for (size_t i = 0; i < n; i += step) {
		double keep = p[i], up, down, want;

		p[i] = keep + EPS;
		up = loss(w, x);
		p[i] = keep - EPS;
		down = loss(w, x);
		p[i] = keep;
		want = (up - down) / (2 * EPS);
		if (fabs(want - d[i]) > 1e-6 * (1 + fabs(want)))
			fail_msg("%s %zu: gradient %.12g, difference %.12g", what, i, d[i], want);
	}
}

static void check_config(const struct moe_config *c)
{
	struct world w;
	moe_real *dx, *dm, dent[64];

	world_init(&w, c);
	for (int i = 0; i < w.n; i++)
		dent[i] = i % 3 ? (moe_real)(0.7 - 0.3 * i) : 0;
	dx = calloc(w.x.n_param, sizeof(*dx));
	dm = calloc(w.m.n_param, sizeof(*dm));
	gradients(&w, NULL, NULL, dm);
	compare(&w, NULL, w.m.param, dm, w.m.n_param, w.m.n_param / 149 + 1, "base weight");
	memset(dm, 0, w.m.n_param * sizeof(*dm));
	w.g.douter = w.dgate;
	w.a.dentropy = dent; /* and that of entropies */
	gradients(&w, &w.x, dx, dm);
	w.g.douter = NULL;
	compare(&w, &w.x, w.m.param, dm, w.m.n_param, w.m.n_param / 101 + 1,
		"weight under experts");
	compare(&w, &w.x, w.x.param, dx, w.x.n_param, w.x.n_param / 151 + 1, "expert");
	compare(&w, &w.x, w.gate, w.dgate, (size_t)(w.b.T * 3), 11, "gate");
	free(dx);
	free(dm);
	world_free(&w);
}

static void test_llama(void **state)
{
	(void)state;
	check_config(&configs[0]);
}
static void test_qwen2(void **state)
{
	(void)state;
	check_config(&configs[1]);
}
static void test_qwen3(void **state)
{
	(void)state;
	check_config(&configs[2]);
}
static void test_wide_vocabulary(void **state)
{
	(void)state;
	check_config(&configs[3]);
}

/* Gradients of experts alone (frozen base) are those of full training; recomputation changes no
 * bit. */
static void test_frozen_and_recompute(void **state)
{
	struct world w;
	moe_real *d[3];
	struct moe_err e;

	(void)state;
	world_init(&w, &configs[2]);
	for (int i = 0; i < 3; i++)
		d[i] = calloc(w.x.n_param, sizeof(**d));
	moe_real *dm = calloc(w.m.n_param, sizeof(*dm));
	gradients(&w, &w.x, d[0], dm);
	gradients(&w, &w.x, d[1], NULL);
	w.a.recompute = true;
	gradients(&w, &w.x, d[2], NULL);
	assert_memory_equal(d[0], d[1], w.x.n_param * sizeof(**d));
	assert_memory_equal(d[0], d[2], w.x.n_param * sizeof(**d));
	w.a.keep = false;
	loss(&w, &w.x);
	assert_int_equal(moe_backward(&w.m, &w.x, &w.g, &w.b, &w.a, w.n, w.row, w.target, 1,
				 w.weight, d[0], NULL, &e),
		-1);
	for (int i = 0; i < 3; i++)
		free(d[i]);
	free(dm);
	world_free(&w);
}

/* The gradient is linear in the mask, token by token; masks touch their own expert alone, and not
 * what lies below. */
static void test_masks(void **state)
{
	struct world w;
	moe_real *all, *part, *sum;
	size_t n;

	(void)state;
	world_init(&w, &configs[0]);
	n = w.x.n_param;
	all = calloc(n, sizeof(*all));
	sum = calloc(n, sizeof(*sum));
	part = calloc(n, sizeof(*part));
	w.g.mask = w.mask;
	gradients(&w, &w.x, all, NULL);
	moe_real *one = calloc((size_t)(w.b.T * 3), sizeof(*one));
	for (int i = 0; i < w.b.T * 3; i++) {
		if (w.mask[i] == 0)
			continue;
		memset(part, 0, n * sizeof(*part));
		memset(one, 0, (size_t)(w.b.T * 3) * sizeof(*one));
		one[i] = 1;
		w.g.mask = one;
		gradients(&w, &w.x, part, NULL);
		for (size_t j = 0; j < n; j++)
			sum[j] += w.mask[i] * part[j];
	}
	for (size_t j = 0; j < n; j++)
		assert_true(fabs(sum[j] - all[j]) < 1e-10 * (1 + fabs(all[j])));
	/* expert 1 masked out everywhere: its gradient is 0, the others' are as without any mask */
	for (int i = 0; i < w.b.T * 3; i++)
		one[i] = i % 3 != 1;
	memset(all, 0, n * sizeof(*all));
	memset(part, 0, n * sizeof(*part));
	w.g.mask = one;
	gradients(&w, &w.x, part, NULL);
	w.g.mask = NULL;
	gradients(&w, &w.x, all, NULL);
	size_t a0 = moe_view_of(&w.x, (size_t)(0), MOE_ROLE_A)->off;
	for (int r = 0; r < w.x.R; r++)
		for (int j = 0; j < 16; j++) {
			bool mine = r >= w.x.first[1] && r < w.x.first[1] + w.x.rank[1];

			assert_true(part[a0 + (size_t)(r * 16 + j)] ==
				(mine ? 0 : all[a0 + (size_t)(r * 16 + j)]));
		}
	free(all);
	free(part);
	free(sum);
	free(one);
	world_free(&w);
}

/* A prompt shared by two completions gives the losses and gradients of the two sequences written
 * out. */
static void test_shared_prompt(void **state)
{
	static const struct moe_seg plain[] = { { 0, 9, -1, 0 }, { 9, 8, -1, 0 } };
	static const struct moe_seg shared[] = { { 0, 5, -1, 0 }, { 5, 4, 0, 5 }, { 9, 3, 0, 5 } };
	static const int32_t same[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 9, 10, 11 };

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		struct world w;
		int32_t ids[17];
		double l[2];
		moe_real *dx[2], *dm[2];

		world_init(&w, &configs[k]);
		w.g.outer = NULL;
		for (int i = 0; i < 2; i++) {
			dx[i] = calloc(w.x.n_param, sizeof(**dx));
			dm[i] = calloc(w.m.n_param, sizeof(**dm));
			w.b = i ? (struct moe_batch){ 12, w.ids, 3, shared }
				: (struct moe_batch){ 17, ids, 2, plain };
			for (int j = 0; !i && j < 17; j++)
				ids[j] = w.ids[same[j]];
			/* predict at every own row of the completions, and at the prompt's last
			 * from both */
			w.n = 0;
			for (int j = 0; j < 17; j++)
				if ((j >= 4 && j < 9) || j >= 13) {
					w.row[w.n] = i ? same[j] : j;
					w.target[w.n] = j % 11;
					w.weight[w.n++] = rnd(9, (uint64_t)j);
				}
			l[i] = loss(&w, &w.x);
			gradients(&w, &w.x, dx[i], dm[i]);
		}
		assert_true(fabs(l[0] - l[1]) < 1e-11 * fabs(l[0]));
		for (size_t i = 0; i < w.x.n_param; i++)
			assert_true(fabs(dx[0][i] - dx[1][i]) < 1e-10 * (1 + fabs(dx[0][i])));
		for (size_t i = 0; i < w.m.n_param; i++)
			assert_true(fabs(dm[0][i] - dm[1][i]) < 1e-10 * (1 + fabs(dm[0][i])));
		for (int i = 0; i < 2; i++) {
			free(dx[i]);
			free(dm[i]);
		}
		world_free(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_llama),
		cmocka_unit_test(test_qwen2),
		cmocka_unit_test(test_qwen3),
		cmocka_unit_test(test_wide_vocabulary),
		cmocka_unit_test(test_frozen_and_recompute),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_shared_prompt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
