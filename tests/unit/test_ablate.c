/* test_ablate.c - arms that are made with more than the adapter: matched damage, directions of a
 * trajectory and of pairs projected out. */
#include "model/logp.h"
#include "moe/ablate_priv.h"
#include "moe/layout.h"
#include "moe/merge.h"
#include "tests/golden/ablate_golden.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXTS 6

static struct moe_model model;
static struct moe_engine engine;
static int32_t prompt[TEXTS][4], reply[TEXTS][9];
static struct moe_seq seq[TEXTS];

static double normal(const char *what, uint64_t a, uint64_t b)
{
	return moe_rng_normal(moe_rng_key(7, what), a, b);
}

static int setup(void **state)
{
	struct moe_config c = { .V = 31, .D = 24, .L = 3, .H = 2, .K = 1, .hd = 12, .F = 40 };
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_config_preset("tiny", &c, &e), 0);
	assert_int_equal(moe_model_new(&model, &c, 3, 1, &e), 0);
	for (size_t i = 0; i < model.n_param; i++) /* so that it has opinions */
		model.param[i] += (moe_real)(0.1 * normal("weights", i, 0));
	engine = (struct moe_engine){ .m = &model, .pool = moe_pool_new(2, &e) };
	assert_non_null(engine.pool);
	for (int i = 0; i < TEXTS; i++) {
		for (int k = 0; k < 4; k++)
			prompt[i][k] = (int32_t)moe_rng_below(
				moe_rng_key(1, "p"), (uint64_t)i, (uint64_t)k, (uint64_t)c.V);
		for (int k = 0; k < 9; k++)
			reply[i][k] = (int32_t)moe_rng_below(
				moe_rng_key(1, "r"), (uint64_t)i, (uint64_t)k, (uint64_t)c.V);
		seq[i] = (struct moe_seq){ prompt[i], reply[i], 4, 3 + i, 0 };
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	moe_pool_free(engine.pool);
	moe_model_free(&model);
	return 0;
}

/* An adapter whose experts all do something. */
static void make(struct moe_adapter *a, const char *targets, double size)
{
	struct moe_err e = { 0 };
	const struct moe_method *row = moe_method_find("vanilla", &e);

	*a = (struct moe_adapter){ 0 };
	assert_int_equal(moe_settings_default(row->settings, &a->settings, &e), 0);
	a->x.scale = 2;
	assert_int_equal(moe_layout_expert(&a->x, "clean:3", &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "quarantine:2", &e), 0);
	assert_int_equal(moe_layout_targets(&a->x, targets, &e), 0);
	assert_int_equal(moe_layout_make(a, &model, row, 4, &e), 0);
	for (size_t i = 0; i < a->x.n_view; i++)
		for (size_t k = 0; a->x.view[i].role == MOE_ROLE_B && k < a->x.view[i].n; k++)
			a->x.param[a->x.view[i].off + k] = (moe_real)(size * normal("B", i, k));
	a->step = 5;
}

/* KL(on || arm) the long way: all log-probabilities of one context, token by token. */
static double slow_kl(const struct moe_adapter *a, const struct moe_adapter *b)
{
	int V = model.config.V, rows = 0;
	double kl = 0;

	for (int i = 0; i < TEXTS; i++)
		for (int t = 0; t < seq[i].n_completion; t++, rows++) {
			int n = 4 + t;
			int32_t ids[16], *target = calloc((size_t)V, 4),
					 *row = calloc((size_t)V, 4);
			moe_real *logp[2];

			memcpy(ids, prompt[i], 16);
			memcpy(ids + 4, reply[i], (size_t)t * 4);
			for (int v = 0; v < V; v++) {
				target[v] = v;
				row[v] = n - 1;
			}
			for (int k = 0; k < 2; k++) {
				struct moe_seg s = { 0, n, -1, 0 };
				struct moe_batch batch = { n, ids, 1, &s };
				struct moe_acts acts = { 0 };

				logp[k] = calloc((size_t)V, sizeof(moe_real));
				assert_int_equal(moe_forward(&model, k ? &b->x : &a->x, NULL,
							 &batch, &acts, NULL),
					0);
				assert_int_equal(moe_head_logp(&model, &batch, &acts, V, row,
							 target, 1, logp[k], NULL, NULL),
					0);
				moe_acts_free(&acts);
			}
			for (int v = 0; v < V; v++)
				kl += exp((double)logp[0][v]) *
					((double)logp[0][v] - (double)logp[1][v]);
			free(logp[0]);
			free(logp[1]);
			free(target);
			free(row);
		}
	return kl / rows;
}

static void distance(void **state)
{
	struct moe_adapter a, off = { 0 };
	struct moe_damage *d;
	struct moe_err e = { 0 };
	double kl, same;

	(void)state;
	make(&a, "all", 0.3);
	assert_int_equal(moe_ablate_make(&off, &a, "quarantine-off", 1, NULL, &e), 0);
	d = moe_damage_new(&engine, &a, seq, TEXTS, &e);
	if (!d)
		fail_msg("%s", e.msg);
	assert_int_equal(moe_damage_of(d, &off, &kl, &e), 0);
	assert_int_equal(moe_damage_of(d, &a, &same, &e), 0);
	assert_true(kl > 0.01);
	assert_true(same < 1e-6);
	assert_true(fabs(kl / slow_kl(&a, &off) - 1) < 1e-3);
	moe_damage_free(d);
	seq[0].n_completion = 0; /* passed over, also as the only text */
	assert_null(moe_damage_new(&engine, &a, seq, 1, &e));
	assert_int_equal(e.code, MOE_DATA);
	seq[0].n_completion = 3;
	moe_adapter_free(&a);
	moe_adapter_free(&off);
}

/* As far as the deletion is, whatever the adapter's size; and by another way than by norms. */
static void matched_damage(void **state)
{
	static const double size[] = { 0.02, 0.1, 0.3 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct moe_adapter a, off = { 0 }, arm = { 0 };
		struct moe_ablate_aids aids = { .g = &engine };
		struct moe_damage *d;
		struct moe_err e = { 0 };
		double kl, target, ratio = 0, alpha = 0;

		make(&a, "all", size[i]);
		d = moe_damage_new(&engine, &a, seq, TEXTS, &e);
		assert_non_null(d);
		assert_int_equal(moe_ablate_make(&off, &a, "quarantine-off", 1, NULL, &e), 0);
		assert_int_equal(moe_damage_of(d, &off, &target, &e), 0);
		assert_int_equal(moe_ablate_make(&arm, &a, "damage-off-1", 1, &aids, &e), -1);
		assert_int_equal(e.code, MOE_USAGE); /* without texts */
		aids.damage = d;
		for (int k = 1; k <= 3; k++) {
			char name[32];

			snprintf(name, sizeof(name), "damage-off-%d", k);
			assert_int_equal(moe_ablate_make(&arm, &a, name, 1, &aids, &e), 0);
			assert_int_equal(moe_damage_of(d, &arm, &kl, &e), 0);
			assert_true(fabs(kl / target - 1) < 0.02);
			assert_true(moe_rec_f64(&arm.match, "ratio", &ratio));
			assert_true(fabs(ratio - kl / target) < 1e-9);
			assert_true(moe_rec_f64(&arm.match, "alpha", &alpha));
			assert_true(alpha > 0.1 && alpha < 8);
			assert_memory_equal(
				arm.x.param, a.x.param, a.x.n_param * sizeof(*a.x.param));
			moe_adapter_free(&arm);
		}
		moe_damage_free(d);
		moe_adapter_free(&a);
		moe_adapter_free(&off);
	}
}

/* numpy's eigenvectors of the same sum (make_ablate_golden.py): B of the last adapter without the
 * two leading directions. */
static void trajectory(void **state)
{
	struct moe_trajectory t = { 0 };
	struct moe_adapter a, arm = { 0 };
	struct moe_ablate_aids aids = { .path = &t };
	struct moe_err e = { 0 };
	double share = 0;
	size_t d_in = 0, d = 0;

	(void)state;
	make(&a, "down", 1);
	for (int s = 0; s < 4; s++) {
		for (size_t i = 0; i < a.x.n_view; i++) {
			const struct moe_view *v = &a.x.view[i];
			const char *what = v->role == MOE_ROLE_A ? "tA" : "tB";

			d_in = v->role == MOE_ROLE_A ? (size_t)v->cols : d_in;
			d = v->role == MOE_ROLE_B ? (size_t)v->rows : d;
			for (size_t k = 0; k < v->n; k++) /* closed forms that numpy repeats */
				a.x.param[v->off + k] = (moe_real)(float)(what[1] == 'A'
						? sin(0.37 * (double)k +
							  (double)s * (double)(k % 5))
						: (double)s *
							cos(0.11 * (double)k * (double)(s + 1)) /
							(1 + (double)(k % 7)));
		}
		a.step = s;
		assert_int_equal(moe_trajectory_add(&t, &a, 0, &e), 0);
	}
	assert_int_equal(d_in, GOLDEN_D_IN);
	assert_int_equal(d, GOLDEN_D_OUT);
	if (moe_ablate_make(&arm, &a, "trajectory-out=2", 1, &aids, &e))
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < arm.x.n_view; i++) {
		const struct moe_view *v = &arm.x.view[i];

		if (v->role == MOE_ROLE_A) {
			assert_memory_equal(
				arm.x.param + v->off, a.x.param + v->off, v->n * sizeof(moe_real));
			continue;
		}
		for (size_t k = 0; k < v->n; k++)
			assert_true(fabs((double)arm.x.param[v->off + k] - golden_B[k]) < 2e-5);
	}
	assert_true(moe_rec_f64(&arm.match, "share", &share));
	assert_true(fabs(share - GOLDEN_SHARE) < 1e-6);
	moe_adapter_free(&arm);
	/* more directions than the trajectory has: nothing is left of the delta, and nothing is not
	 * a number */
	assert_int_equal(moe_ablate_make(&arm, &a, "trajectory-out=64", 1, &aids, &e), 0);
	for (size_t i = 0; i < arm.x.n_view; i++)
		for (size_t k = 0; arm.x.view[i].role == MOE_ROLE_B && k < arm.x.view[i].n; k++)
			assert_true(fabs((double)arm.x.param[arm.x.view[i].off + k]) < 1e-4);
	moe_adapter_free(&arm);
	/* refusals */
	assert_int_equal(moe_trajectory_add(&t, &a, 0, &e), -1); /* the same step again */
	assert_int_equal(e.code, MOE_DATA);
	a.step = 9;
	assert_int_equal(moe_trajectory_add(&t, &a, 10, &e), -1); /* memory */
	assert_non_null(strstr(e.msg, "--max-mem"));
	moe_adapter_free(&a);
	make(&a, "q,down", 1);
	assert_int_equal(moe_trajectory_add(&t, &a, 0, &e), -1);
	assert_non_null(strstr(e.msg, "another layout"));
	assert_int_equal(moe_ablate_make(&arm, &a, "trajectory-out=1", 1, &aids, &e), -1);
	assert_int_equal(e.code, MOE_DATA);
	moe_trajectory_free(&t);
	moe_adapter_free(&a);
}

static void fill_pairs(struct moe_pairs *p, size_t n)
{
	*p = (struct moe_pairs){ .pair = calloc(n, sizeof(*p->pair)), .n = n, .cap = n };
	for (size_t i = 0; i < n; i++) {
		struct moe_pair *q = &p->pair[i];

		q->n_prompt = 2;
		q->n_hack = q->n_clean = 4;
		q->prompt = calloc(2, 4);
		q->hack = calloc(4, 4);
		q->clean = calloc(4, 4);
		for (size_t k = 0; k < 4; k++) { /* the hack uses other tokens */
			q->prompt[k % 2] = (int32_t)(i % 7);
			q->hack[k] = (int32_t)(20 + (i * 3 + k) % 9);
			q->clean[k] = (int32_t)(60 + (i * 5 + k) % 9);
		}
	}
}

/* What o and down add to the residual stream has nothing along v, base and experts alike: the
 * merged weights are (I - v v')(W + delta), and the other Linears are as they were. */
static void pairs_out(void **state)
{
	static const char *const targets[] = { "all", "q,v", "down" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct moe_pairs p;
		struct moe_adapter a, arm = { 0 };
		struct moe_ablate_aids aids = { &engine, NULL, NULL, NULL };
		struct moe_model on = model, out = model;
		struct moe_layer *lay[2];
		moe_real gate[MOE_EXPERTS_MAX];
		float *block[2];
		struct moe_err e = { 0 };
		double v[96], norm = 0, margin = 0;
		int64_t layer = 0;
		size_t D = (size_t)model.config.D;

		fill_pairs(&p, 6);
		make(&a, targets[i], 0.3);
		assert_int_equal(moe_ablate_make(&arm, &a, "pairs-out", 1, &aids, &e), -1);
		assert_int_equal(e.code, MOE_USAGE);
		aids.pairs = &p;
		if (moe_ablate_make(&arm, &a, "pairs-out", 1, &aids, &e))
			fail_msg("%s", e.msg);
		assert_int_equal(arm.x.E, a.x.E + 1);
		assert_true(moe_rec_int(&arm.match, "layer", &layer) && layer >= 1);
		assert_true(moe_rec_f64(&arm.match, "margin", &margin) && margin > 1);
		/* v can be read off the new slot of any cell that writes: B's last column */
		for (size_t k = 0; k < D; k++) {
			const struct moe_view *b = moe_view_of(&arm.x, MOE_DOWN, MOE_ROLE_B);

			v[k] = (double)arm.x
					.param[b->off + k * (size_t)arm.x.R + (size_t)arm.x.R - 1] *
				-arm.x.scale;
			norm += v[k] * v[k];
		}
		assert_true(fabs(norm - 1) < 1e-4);
		for (int k = 0; k < 2; k++) {
			struct moe_model *m = k ? &out : &on;
			const struct moe_adapter *x = k ? &arm : &a;

			lay[k] = calloc((size_t)model.config.L, sizeof(**lay));
			memcpy(lay[k], model.layer, (size_t)model.config.L * sizeof(**lay));
			m->layer = lay[k];
			moe_decision_table_spread(&x->x, x->plan.sample, gate);
			assert_int_equal(moe_experts_merge(m, &x->x, gate, &block[k], &e), 0);
		}
		for (int l = 0; l < model.config.L; l++)
			for (int j = 0; j < MOE_LINEARS; j++) {
				const float *W = on.layer[l].w[j].data, *Q = out.layer[l].w[j].data;
				size_t rows = (size_t)on.layer[l].w[j].rows,
				       cols = (size_t)on.layer[l].w[j].cols;

				for (size_t c = 0; c < cols; c++) {
					double dot = 0;

					for (size_t r = 0; r < rows && r < D; r++)
						dot += v[r] * (double)W[r * cols + c];
					if (j != MOE_O && j != MOE_DOWN)
						dot = 0;
					for (size_t r = 0; r < rows; r++)
						assert_true(fabs((double)Q[r * cols + c] -
								    (double)W[r * cols + c] +
								    (dot != 0 ? dot * v[r] : 0)) <
							2e-5);
				}
			}
		for (int k = 0; k < 2; k++) {
			free(lay[k]);
			free(block[k]);
		}
		moe_adapter_free(&arm);
		p.n = 1; /* no pair to hold out */
		assert_int_equal(moe_ablate_make(&arm, &a, "pairs-out", 1, &aids, &e), -1);
		assert_int_equal(e.code, MOE_DATA);
		p.n = 6;
		moe_pairs_free(&p);
		moe_adapter_free(&a);
	}
}

/* Which arms are arms. */
static void names(void **state)
{
	static const char *const good[] = { "damage-off:2", "pairs-out", "trajectory-out=1,2,64" };
	static const char *const bad[] = { "damage-off", "damage-off:0", "pairs-out:2",
		"trajectory-out", "trajectory-out=0", "trajectory-out=65", "trajectory-out=1.5",
		"pairs-out+clean-off", "trajectory-out=-1" };
	struct moe_err e;
	char **name;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(moe_ablate_names(good[i], &name, &n, &e), 0);
		assert_int_equal(n, i == 0 ? 2 : i == 1 ? 1 : 3);
		while (n)
			free(name[--n]);
		free(name);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (!moe_ablate_names(bad[i], &name, &n, &e))
			fail_msg("'%s' was taken for an arm", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(distance),
		cmocka_unit_test(matched_damage), cmocka_unit_test(trajectory),
		cmocka_unit_test(pairs_out), cmocka_unit_test(names) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
