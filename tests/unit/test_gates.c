/* test_gates.c - gates, masks and dead slots of several experts against PyTorch's autograd
 * (tests/golden/make_gates_golden.py): log-probabilities, gradients with and without masks,
 * gradients of the gates; with gates, masks and slots that are exactly 0 or negative among them. */
#include "formats/safetensors.h"
#include "model/load.h"
#include "model/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIR "tests/golden/"
#define TOL 2e-5
enum { T_MAX = 32 };

struct world {
	struct moe_st *st;
	struct moe_model m;
	struct moe_experts x;
	struct moe_acts acts;
	struct moe_seg seg[2];
	struct moe_batch b;
	int32_t ids[T_MAX], row[T_MAX], target[T_MAX];
	int n;
	float *gate, *mask, *weight;
	double temperature;
};

static void must(int r, const struct moe_err *e)
{
	if (r)
		fail_msg("%s", e->msg);
}

static float *values(const struct world *w, const char *name, size_t n)
{
	const struct moe_st_tensor *t = moe_st_find(w->st, name);
	float *f = malloc((n + 1) * sizeof(*f));
	struct moe_err e;

	if (!t || t->bytes != 4 * n)
		fail_msg("the golden file has no '%s' of %zu values", name, n);
	must(moe_st_floats(t, 0, n, f, &e), &e);
	return f;
}

static void ints(const struct world *w, const char *name, int32_t *out, size_t n)
{
	const struct moe_st_tensor *t = moe_st_find(w->st, name);

	if (!t || t->bytes > 4 * n)
		fail_msg("the golden file has no '%s'", name);
	memcpy(out, t->data, t->bytes);
}

static double meta(const struct world *w, const char *key)
{
	const char *v = moe_st_meta(w->st, key);

	assert_non_null(v);
	return atof(v);
}

/* Largest difference relative to the largest golden value. */
static void compare(const char *what, const float *got, const float *want, size_t n)
{
	double worst = 0, scale = 0;

	for (size_t i = 0; i < n; i++) {
		double d = fabs((double)got[i] - (double)want[i]);

		worst = d <= worst ? worst : d;
		scale = fmax(scale, fabs((double)want[i]));
	}
	if (getenv("MOE_GOLDEN_VERBOSE"))
		print_message("%.2g %s\n", worst / scale, what);
	if (!(worst <= TOL * scale))
		fail_msg("%s: off by %.3g of %.3g", what, worst, scale);
}

/* Block i's A (part 0) or B in x's flat parameters. */
static float *block(const struct moe_experts *x, float *v, int i, int part, size_t *n)
{
	int in, out;

	moe_linear_shape(&x->config, (enum moe_linear)(i % MOE_LINEARS), &in, &out);
	*n = (size_t)x->R * (size_t)(part ? out : in);
	return v +
		(part ? moe_view_of(x, (size_t)(i), MOE_ROLE_B)->off
		      : moe_view_of(x, (size_t)(i), MOE_ROLE_A)->off);
}

static char *block_name(char *out, size_t size, const char *prefix, int i, int part)
{
	snprintf(out, size, "%slayers.%d.%s.%c", prefix, i / MOE_LINEARS,
		moe_linear_names[i % MOE_LINEARS], part ? 'B' : 'A');
	return out;
}

static void lay_out(struct world *w)
{
	static const int rank[3] = { 2, 3, 4 };
	struct moe_experts *x = &w->x;
	struct moe_err e;
	size_t n;
	float *v;
	char name[64];

	x->E = 3;
	for (int i = 0; i < 3; i++) {
		x->rank[i] = rank[i];
		x->bank[i] = (enum moe_bank)i;
	}
	for (int l = 0; l < MOE_LINEARS; l++)
		x->target[l] = true;
	x->scale = meta(w, "scale");
	must(moe_experts_init(x, &w->m.config, &e), &e);
	for (int i = 0; i < 2 * x->config.L * MOE_LINEARS; i++) {
		float *to = block(x, x->param, i / 2, i % 2, &n);

		v = values(w, block_name(name, sizeof(name), "param.", i / 2, i % 2), n);
		memcpy(to, v, n * sizeof(*v));
		free(v);
	}
	n = (size_t)(x->config.L * MOE_LINEARS * x->R);
	v = values(w, "alive", n);
	memcpy(x->alive, v, n * sizeof(*v));
	free(v);
}

static void open_world(struct world *w)
{
	int32_t lens[2];
	struct moe_err e = { 0 };
	int at = 0;

	memset(w, 0, sizeof(*w));
	must(moe_model_load(&w->m, DIR "llama", &e), &e);
	w->st = moe_st_open(DIR "gates.safetensors", &e);
	must(w->st ? 0 : -1, &e);
	ints(w, "ids", w->ids, T_MAX);
	ints(w, "lens", lens, 2);
	for (int s = 0; s < 2; s++) {
		w->seg[s] = (struct moe_seg){ at, lens[s], -1, 0 };
		for (int k = 0; k + 1 < lens[s]; k++) {
			w->row[w->n] = at + k;
			w->target[w->n++] = w->ids[at + k + 1];
		}
		at += lens[s];
	}
	w->b = (struct moe_batch){ at, w->ids, 2, w->seg };
	w->gate = values(w, "gate", (size_t)at * 3);
	w->mask = values(w, "mask", (size_t)at * 3);
	w->weight = values(w, "weight", (size_t)w->n);
	w->temperature = meta(w, "temperature");
	w->acts.keep = true;
	lay_out(w);
}

static void close_world(struct world *w)
{
	free(w->gate);
	free(w->mask);
	free(w->weight);
	moe_acts_free(&w->acts);
	moe_experts_free(&w->x);
	moe_model_free(&w->m);
	moe_st_close(w->st);
}

static void gradients(
	struct world *w, const float *mask, bool detach, float *dgate, const char *prefix)
{
	struct moe_gates g = { .outer = w->gate, .mask = mask, .detach = detach, .douter = dgate };
	float *dx = calloc(w->x.n_param, sizeof(*dx)), logp[T_MAX], *want;
	struct moe_err e;
	char name[64];
	size_t n;

	must(moe_forward(&w->m, &w->x, &g, &w->b, &w->acts, &e), &e);
	must(moe_head_logp(&w->m, &w->b, &w->acts, w->n, w->row, w->target, w->temperature, logp,
		     NULL, &e),
		&e);
	want = values(w, "logp", (size_t)w->n);
	compare("logp", logp, want, (size_t)w->n);
	free(want);
	must(moe_backward(&w->m, &w->x, &g, &w->b, &w->acts, w->n, w->row, w->target,
		     w->temperature, w->weight, dx, NULL, &e),
		&e);
	for (int i = 0; i < 2 * w->x.config.L * MOE_LINEARS; i++) {
		float *got = block(&w->x, dx, i / 2, i % 2, &n);

		want = values(w, block_name(name, sizeof(name), prefix, i / 2, i % 2), n);
		compare(name, got, want, n);
		free(want);
	}
	free(dx);
}

static void test_plain(void **state)
{
	float dgate[3 * T_MAX] = { 0 }, *want;
	struct world w;

	(void)state;
	open_world(&w);
	gradients(&w, NULL, false, dgate, "plain.");
	want = values(&w, "dgate", (size_t)w.b.T * 3);
	compare("gradient of the gates", dgate, want, (size_t)w.b.T * 3);
	free(want);
	close_world(&w);
}

/* A mask scales what the parameters receive and nothing else: the layers below see the whole
 * gradient. */
static void test_masked(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	gradients(&w, w.mask, false, NULL, "masked.");
	w.acts.recompute = true;
	gradients(&w, w.mask, false, NULL, "masked.");
	close_world(&w);
}

/* Detached, a masked output is a constant: what flows through it to the layers below, and to its
 * gate, is scaled too. */
static void test_detached(void **state)
{
	float dgate[3 * T_MAX] = { 0 }, *want;
	struct world w;

	(void)state;
	open_world(&w);
	gradients(&w, w.mask, true, dgate, "detached.");
	want = values(&w, "detached.dgate", (size_t)w.b.T * 3);
	compare("gradient of the gates, detached", dgate, want, (size_t)w.b.T * 3);
	free(want);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_plain),
		cmocka_unit_test(test_masked), cmocka_unit_test(test_detached) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
