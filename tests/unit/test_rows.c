/* test_rows.c - a pass whose rows the threads of a pool share out, and one that leaves out what
 * nobody reads of the last layer: the bits of a plain pass, narrow and wide, with and without a
 * router, the base frozen or in training. */
#include "model/model.h"
#include "moe/method.h"
#include "util/pool.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEGS = 7, T = 113, N = 47, E = 2 };

/* Two families, and a segment that is alone. */
static const struct moe_seg seg[SEGS] = { { 0, 29, -1, 0 }, { 29, 17, 0, 29 }, { 46, 1, 0, 29 },
	{ 47, 20, 0, 29 }, { 67, 13, -1, 0 }, { 80, 21, 4, 13 }, { 101, 12, -1, 0 } };

struct world {
	struct moe_model m;
	struct moe_experts x;
	int32_t ids[T], row[N], target[N];
	moe_real outer[T * E], mask[T * E], dlogp[N], dentropy[N];
};

struct result {
	moe_real logp[N], entropy[N], douter[T * E], *dx, *dm;
};

static void make_world(struct world *w, int D, bool qk_norm, const struct moe_router *router)
{
	struct moe_config c;
	struct moe_err e = { 0 };
	struct moe_rng k = moe_rng_key(5, "rows");

	memset(w, 0, sizeof(*w));
	assert_int_equal(moe_config_preset("tiny", &c, &e), 0);
	c.D = D;
	c.L = 2;
	c.K = 2;
	c.qk_norm = qk_norm;
	c.family = qk_norm ? MOE_QWEN3 : MOE_LLAMA;
	assert_int_equal(moe_model_new(&w->m, &c, 3, 1, &e), 0);
	w->x = (struct moe_experts){ .E = E,
		.scale = 2,
		.rank = { 5, 3 },
		.bank = { MOE_BANK_CLEAN, MOE_BANK_QUARANTINE },
		.router = router,
		.placement = MOE_PER_LAYER };
	for (int i = 0; i < MOE_LINEARS; i++)
		w->x.target[i] = i != MOE_V;
	assert_int_equal(moe_experts_init(&w->x, &c, &e), 0);
	for (size_t i = 0; i < w->x.n_param; i++)
		w->x.param[i] = (moe_real)(0.1 * moe_rng_normal(k, 1, i));
	for (uint64_t i = 0; i < T; i++)
		w->ids[i] = (int32_t)moe_rng_below(k, 2, i, (uint64_t)c.V);
	for (uint64_t i = 0; i < N; i++) {
		w->row[i] = (int32_t)(i < 14 ? 53 + i : 66 + i); /* no parent's */
		w->target[i] = (int32_t)moe_rng_below(k, 3, i, (uint64_t)c.V);
		w->dlogp[i] = (moe_real)moe_rng_normal(k, 4, i);
		w->dentropy[i] = (moe_real)moe_rng_normal(k, 5, i);
	}
	for (uint64_t i = 0; i < T * E; i++) {
		w->outer[i] = (moe_real)moe_rng_uniform(k, 6, i);
		w->mask[i] = (moe_real)moe_rng_below(k, 7, i, 2);
	}
}

static void run(struct world *w, struct moe_pool *pool, bool recompute, bool idle, bool full,
	struct result *r)
{
	struct moe_acts a = {
		.pool = pool, .keep = true, .recompute = recompute, .idle_parents = idle
	};
	struct moe_batch b = { T, w->ids, SEGS, seg };
	struct moe_gates g = { .outer = w->outer, .mask = w->mask, .douter = r->douter };
	struct moe_err e = { 0 };

	memset(r->douter, 0, sizeof(r->douter));
	r->dx = calloc(w->x.n_param, sizeof(*r->dx));
	r->dm = full ? calloc(w->m.n_param, sizeof(*r->dm)) : NULL;
	if (moe_forward(&w->m, &w->x, &g, &b, &a, &e) ||
		moe_head_logp(&w->m, &b, &a, N, w->row, w->target, 0.7, r->logp, r->entropy, &e))
		fail_msg("%s", e.msg);
	a.dentropy = w->dentropy;
	if (moe_backward(&w->m, &w->x, &g, &b, &a, N, w->row, w->target, 0.7, w->dlogp, r->dx,
		    r->dm, &e))
		fail_msg("%s", e.msg);
	moe_acts_free(&a);
}

static void free_result(struct result *r)
{
	free(r->dx);
	free(r->dm);
}

static void check_threads(struct world *w, bool recompute, bool full)
{
	struct result one, many;

	run(w, NULL, recompute, false, full, &one);
	assert_true(isfinite(one.logp[N - 1]) && isfinite(one.dx[0]));
	for (int threads = 1; threads < 5; threads++) {
		struct moe_err e;
		struct moe_pool *pool = moe_pool_new(threads, &e);

		run(w, pool, recompute, threads != 2, full, &many);
		assert_memory_equal(one.logp, many.logp, sizeof(one.logp));
		assert_memory_equal(one.entropy, many.entropy, sizeof(one.entropy));
		assert_memory_equal(one.douter, many.douter, sizeof(one.douter));
		assert_memory_equal(one.dx, many.dx, w->x.n_param * sizeof(*one.dx));
		if (full)
			assert_memory_equal(one.dm, many.dm, w->m.n_param * sizeof(*one.dm));
		free_result(&many);
		moe_pool_free(pool);
	}
	free_result(&one);
}

static void check_shape(int D, bool qk_norm)
{
	const struct moe_method *topk = moe_method_find("topk", &(struct moe_err){ 0 });

	for (int routed = 0; routed < 2; routed++) {
		struct world w;

		make_world(&w, D, qk_norm, routed ? topk->router : NULL);
		for (int i = 0; i < 4; i++)
			check_threads(&w, i & 1, i & 2);
		moe_experts_free(&w.x);
		moe_model_free(&w.m);
	}
}

static void test_narrow(void **state)
{
	(void)state;
	check_shape(96, false);
}

static void test_wide(void **state)
{
	(void)state;
	check_shape(288, true);
}

/* ---- the rows themselves ---- */

struct count {
	unsigned char seen[400];
	int grain, n;
	bool whole; /* all parts begin at a multiple of the grain */
};

static void count_rows(void *ctx, int from, int to, int worker)
{
	struct count *c = ctx;

	(void)worker;
	if (from % c->grain != 0 || (to % c->grain != 0 && to != c->n))
		c->whole = false; /* written by no thread while all is well */
	for (int i = from; i < to; i++)
		c->seen[i]++;
}

static void test_rows(void **state)
{
	(void)state;
	for (int threads = 0; threads < 5; threads++) {
		struct moe_err e;
		struct moe_pool *pool = threads ? moe_pool_new(threads, &e) : NULL;

		for (int n = 0; n < 400; n += 1 + n / 7)
			for (int grain = 1; grain < 50; grain += 7) {
				struct count c = { .grain = grain, .n = n, .whole = true };

				moe_pool_rows(pool, n, grain, count_rows, &c);
				for (int i = 0; i < 400; i++)
					assert_int_equal(c.seen[i], i < n);
				assert_true(c.whole);
			}
		moe_pool_free(pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows),
		cmocka_unit_test(test_narrow), cmocka_unit_test(test_wide) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
