/* engine_bench.c - how fast the engine trains, for tests/bench/engine.sh: one line of JSON a shape. Not a test: it measures.
 *
 * usage: engine_bench PRESET full|experts THREADS SEQ_LEN N_SEQ TASKS SECONDS
 * Each task is a packed batch of N_SEQ sequences of SEQ_LEN tokens, forward and backward; TASKS of them are a step, spread over THREADS.
 * "experts": frozen base, one expert of rank 32 on every Linear. Peak of sgemm: 1024^3 products, one on each thread at the same time.
 */
#include "model/model.h"
#include "tensor/gemm.h"
#include "util/pool.h"
#include "util/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define RANK 32
#define CUBE 1024

static double now_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct bench {
	struct moe_model m;
	struct moe_experts x;
	bool experts;
	struct moe_batch b;
	int32_t *row, *target;
	moe_real *dlogp;
	struct moe_acts *a;   /* [threads] */
	moe_real **grad;      /* [threads] */
	moe_real *cube[3];
};

static void die(const struct moe_err *e)
{
	fprintf(stderr, "engine_bench: %s\n", e->msg);
	exit(1);
}

static int train_task(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct bench *k = ctx;
	struct moe_acts *a = &k->a[worker];
	const struct moe_experts *x = k->experts ? &k->x : NULL;

	(void)i;
	a->keep = true;
	if (moe_forward(&k->m, x, NULL, &k->b, a, e))
		return -1;
	return moe_backward(&k->m, x, NULL, &k->b, a, k->b.T, k->row, k->target, 1, k->dlogp, k->experts ? k->grad[worker] : NULL,
		k->experts ? NULL : k->grad[worker], e);
}

static int cube_task(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct bench *k = ctx;

	(void)worker;
	(void)e;
	moe_gemm(false, false, CUBE, CUBE, CUBE, 1, k->cube[0], CUBE, k->cube[1], CUBE, 0, k->cube[2] + i * CUBE * CUBE, CUBE, 1);
	return 0;
}

static void setup(struct bench *k, const char *preset, int threads, int len, int n_seq)
{
	struct moe_config c;
	struct moe_err e;
	struct moe_seg *seg = calloc((size_t)n_seq, sizeof(*seg));
	int T = len * n_seq;
	int32_t *ids = calloc((size_t)T, sizeof(*ids));

	if (moe_config_preset(preset, &c, &e) || moe_model_new(&k->m, &c, 1, &e))
		die(&e);
	k->x.E = 1;
	k->x.rank[0] = RANK;
	k->x.scale = 2;
	for (int l = 0; l < MOE_LINEARS; l++)
		k->x.target[l] = true;
	if (k->experts && moe_experts_init(&k->x, &c, &e))
		die(&e);
	for (size_t i = 0; k->experts && i < k->x.n_param; i++)
		k->x.param[i] = (moe_real)(0.01 * moe_rng_normal(moe_rng_key(1, "bench"), i, 0));
	k->row = calloc((size_t)T, sizeof(*k->row));
	k->target = calloc((size_t)T, sizeof(*k->target));
	k->dlogp = calloc((size_t)T, sizeof(*k->dlogp));
	for (int i = 0; i < n_seq; i++)
		seg[i] = (struct moe_seg){ i * len, len, -1, 0 };
	for (int t = 0; t < T; t++) {
		ids[t] = (int32_t)moe_rng_below(moe_rng_key(2, "bench"), (uint64_t)t, 0, (uint64_t)c.V);
		k->row[t] = t;
		k->target[t] = ids[(t + 1) % T];
		k->dlogp[t] = (moe_real)(-1.0 / T);
	}
	k->b = (struct moe_batch){ T, ids, n_seq, seg };
	k->a = calloc((size_t)threads, sizeof(*k->a));
	k->grad = calloc((size_t)threads, sizeof(*k->grad));
	for (int i = 0; i < threads; i++)
		k->grad[i] = calloc(k->experts ? k->x.n_param : k->m.n_param, sizeof(moe_real));
	for (int i = 0; i < 3; i++)
		if (!(k->cube[i] = moe_alloc((size_t)CUBE * CUBE * (size_t)(i == 2 ? threads : 1), sizeof(moe_real), &e)))
			die(&e);
	for (int i = 0; i < CUBE * CUBE; i++)
		k->cube[0][i] = k->cube[1][i] = (moe_real)(i % 7) - 3;
}

/* Best wall seconds of one run of n tasks, over at least `sec` seconds. */
static double best(struct moe_pool *p, size_t n, moe_pool_fn *fn, struct bench *k, double sec)
{
	double least = 1e30, start = now_sec();
	struct moe_err e;

	do {
		double t = now_sec();

		if (moe_pool_run(p, n, fn, k, &e))
			die(&e);
		t = now_sec() - t;
		least = t < least ? t : least;
	} while (now_sec() - start < sec);
	return least;
}

/* Floating-point operations of the linear layers and the head for one token: forward 2, gradient of inputs 2, of weights 2 a parameter. */
static double flop_per_token(const struct bench *k)
{
	const struct moe_config *c = &k->m.config;
	double lin = 0, lora = 0;

	for (int l = 0; l < MOE_LINEARS; l++) {
		int in, out;

		moe_linear_shape(c, (enum moe_linear)l, &in, &out);
		lin += (double)in * out;
		lora += (double)RANK * (in + out);
	}
	lin = lin * c->L + (double)c->V * c->D;
	return k->experts ? 4 * lin + 6 * lora * c->L : 6 * lin;
}

int main(int argc, char **argv)
{
	struct bench k = { 0 };
	struct moe_pool *p;
	struct rusage u;
	struct moe_err e;
	double sec, peak, gemm = 0, total = 0, tokens;
	int threads, tasks;

	if (argc != 8) {
		fputs("usage: engine_bench PRESET full|experts THREADS SEQ_LEN N_SEQ TASKS SECONDS\n", stderr);
		return 2;
	}
	threads = atoi(argv[3]);
	tasks = atoi(argv[6]);
	k.experts = !strcmp(argv[2], "experts");
	setup(&k, argv[1], threads, atoi(argv[4]), atoi(argv[5]));
	p = moe_pool_new(threads, &e);
	if (!p)
		die(&e);
	peak = 2.0 * CUBE * CUBE * CUBE * threads / best(p, (size_t)threads, cube_task, &k, 1) * 1e-9;
	sec = best(p, (size_t)tasks, train_task, &k, atof(argv[7]));
	for (int i = 0; i < threads; i++) {
		gemm += k.a[i].gemm_sec;
		total += k.a[i].total_sec;
	}
	tokens = (double)k.b.T * tasks / sec;
	getrusage(RUSAGE_SELF, &u);
	printf("{\"engine\": \"moetools\", \"shape\": \"%s\", \"mode\": \"%s\", \"threads\": %d, \"tokens_per_sec\": %.0f, \"gflops\": %.1f, "
	       "\"sgemm_peak_gflops\": %.1f, \"gemm_share\": %.3f, \"peak_percent_in_gemm\": %.1f, \"peak_mb\": %.0f, \"acts_mb\": %.0f, \"blas\": \"%s\"}\n",
		argv[1], argv[2], threads, tokens, tokens * flop_per_token(&k) * 1e-9, peak, gemm / total,
		100 * tokens * flop_per_token(&k) * 1e-9 / (gemm / total) / peak, (double)u.ru_maxrss / 1024, (double)moe_acts_peak_bytes(&k.a[0]) / 1e6,
		moe_gemm_describe());
	return 0;
}
