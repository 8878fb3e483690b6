/* engine_bench.c - how fast the engine trains, for tests/bench/train.sh: one line of JSON. Not a
 * test: it measures.
 *
 * usage: engine_bench MODEL_DIR full|experts|experts:E|METHOD:E THREADS PROMPTS GROUP PROMPT_LEN
 * NEW PASS_TOKENS SECONDS PROMPTS random prompts with GROUP completions of NEW tokens each, packed
 * as moe-train packs them: a prompt is computed once in a pass of about PASS_TOKENS tokens, and the
 * completions' tokens are trained on. NEW 0: plain texts of PROMPT_LEN tokens, all trained on.
 * Passes are spread over THREADS. full: all weights learn; experts: a frozen base with one expert
 * of rank 32 on every Linear; experts:E: E experts of 64 ranks in all; METHOD:E: the same under the
 * router of a method, half of them in the quarantine. Peak of sgemm: 1024^3 products, one on each
 * thread at the same time.
 */
#include "model/model.h"
#include "moe/method.h"
#include "moe/pack.h"
#include "tensor/gemm.h"
#include "tests/bench/bench.h"
#include "util/pool.h"
#include "util/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANK 32
#define CUBE 1024

struct pass {
	struct moe_packed p;
	int n; /* tokens trained on */
	int32_t *row, *target;
	moe_real *dlogp;
};

struct bench {
	struct moe_model m;
	struct moe_experts x;
	bool experts;
	struct pass *pass;
	size_t n_pass;
	moe_real **logp;    /* [threads] -> [2 * most tokens of a pass] */
	struct moe_acts *a; /* [threads] */
	moe_real **grad;    /* [threads] */
	moe_real *cube[3];
	bool completions;
};

static _Noreturn void die(const struct moe_err *e)
{
	fprintf(stderr, "engine_bench: %s\n", e->msg);
	exit(1);
}

static void *zeros(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		die(&(struct moe_err){ .msg = "out of memory" });
	return p;
}

static int train_task(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct bench *k = ctx;
	struct moe_acts *a = &k->a[worker];
	const struct pass *q = &k->pass[i];
	const struct moe_experts *x = k->experts ? &k->x : NULL;
	struct moe_batch b = { q->p.T, q->p.ids, q->p.n_seg, q->p.seg };
	moe_real *logp = k->logp[worker];

	a->keep = true;
	if (moe_forward(&k->m, x, NULL, &b, a, e))
		return -1;
	/* a policy's loss needs the log-probabilities before its derivative is known */
	if (k->completions &&
		moe_head_logp(&k->m, &b, a, q->n, q->row, q->target, 1, logp, logp + q->n, e))
		return -1;
	return moe_backward(&k->m, x, NULL, &b, a, q->n, q->row, q->target, 1, q->dlogp,
		k->experts ? k->grad[worker] : NULL, k->experts ? NULL : k->grad[worker], e);
}

static int cube_task(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct bench *k = ctx;

	(void)worker;
	(void)e;
	moe_gemm(false, false, CUBE, CUBE, CUBE, 1, k->cube[0], CUBE, k->cube[1], CUBE, 0,
		k->cube[2] + i * CUBE * CUBE, CUBE);
	return 0;
}

/* One pass over sequences s[0..n): of a completion every token is a target, the first of them the
 * prompt's last token's. */
static void make_pass(struct pass *q, const struct moe_seq *s, size_t n)
{
	struct moe_err e;
	int most = 0;

	if (moe_pack(s, n, &q->p, &e))
		die(&e);
	for (size_t i = 0; i < n; i++)
		most += s[i].n_completion ? s[i].n_completion + 1 : s[i].n_prompt;
	q->row = zeros((size_t)most, sizeof(*q->row));
	q->target = zeros((size_t)most, sizeof(*q->target));
	q->dlogp = zeros((size_t)most, sizeof(*q->dlogp));
	for (size_t i = 0; i < n; i++) {
		const struct moe_seg *own = &q->p.seg[q->p.own[i]];
		const struct moe_seg *rest = q->p.parent[i] < 0 ? NULL : &q->p.seg[q->p.parent[i]];

		/* the last prompt token is the first of a completion's own rows (moe/pack.h) */
		for (int t = 0; rest && !s[i].n_completion && t < rest->len; t++)
			q->row[q->n++] = rest->start + t;
		for (int t = own->start; t < own->start + own->len; t++)
			q->row[q->n++] = t;
	}
	for (int i = 0; i < q->n; i++) {
		q->target[i] = q->p.ids[(q->row[i] + 1) % q->p.T];
		q->dlogp[i] = (moe_real)(-1.0 / q->n);
	}
}

static void make_passes(
	struct bench *k, int prompts, int group, int len, int n_new, int tokens, int threads)
{
	size_t n = (size_t)prompts * (size_t)group, *cut = zeros(n + 1, sizeof(*cut)), most = 0;
	int each = len + (n_new ? n_new - 1 : 0);
	struct moe_seq *s = zeros(n, sizeof(*s));
	int32_t *ids = zeros(n * (size_t)each, sizeof(*ids));

	for (size_t i = 0; i < n * (size_t)each; i++)
		ids[i] = (int32_t)moe_rng_below(
			moe_rng_key(2, "bench"), i, 0, (uint64_t)k->m.config.V);
	for (size_t i = 0; i < n; i++)
		s[i] = (struct moe_seq){ ids + i / (size_t)group * (size_t)group * (size_t)each,
			ids + i * (size_t)each + len, len, each - len, 0 };
	k->n_pass = moe_pack_cut(s, n, tokens, cut);
	k->pass = zeros(k->n_pass, sizeof(*k->pass));
	for (size_t i = 0; i < k->n_pass; i++) {
		make_pass(&k->pass[i], s + cut[i], cut[i + 1] - cut[i]);
		most = (size_t)k->pass[i].n > most ? (size_t)k->pass[i].n : most;
	}
	k->logp = zeros((size_t)threads, sizeof(*k->logp));
	for (int i = 0; i < threads; i++)
		k->logp[i] = zeros(2 * most, sizeof(**k->logp));
	k->completions = n_new > 0;
}

/* "experts" or "experts:E" or "METHOD:E". */
static void set_experts(struct bench *k, const char *mode)
{
	const char *colon = strchr(mode, ':');
	const struct moe_method *m;
	struct moe_experts *x = &k->x;
	struct moe_err e;
	char name[32];

	x->E = colon ? atoi(colon + 1) : 1;
	if (x->E < 1 || x->E > MOE_EXPERTS_MAX)
		die(&(struct moe_err){ .msg = "1 to 64 experts" });
	for (int i = 0; i < x->E; i++) {
		x->rank[i] = colon ? 64 / x->E : RANK;
		x->bank[i] = i < (x->E + 1) / 2 ? MOE_BANK_CLEAN : MOE_BANK_QUARANTINE;
	}
	snprintf(name, sizeof(name), "%.*s", colon ? (int)(colon - mode) : 0, mode);
	if (!colon || !strcmp(name, "experts"))
		return;
	m = moe_method_find(name, &e);
	if (!m || !m->router)
		die(&(struct moe_err){ .msg = "that method has no router" });
	x->router = m->router;
	x->placement = m->placement;
	for (size_t i = 0; i < moe_setting_count(m->settings); i++)
		x->set[i] = m->settings[i].def;
}

static void load(struct bench *k, const char *dir, const char *mode, int threads)
{
	struct moe_rng rng = moe_rng_key(1, "bench");
	struct moe_err e;

	if (moe_model_load(&k->m, dir, &e) || (!k->experts && moe_model_make_trainable(&k->m, &e)))
		die(&e);
	set_experts(k, mode);
	k->x.scale = 2;
	for (int l = 0; l < MOE_LINEARS; l++)
		k->x.target[l] = true;
	if (k->experts && moe_experts_init(&k->x, &k->m.config, &e))
		die(&e);
	for (size_t i = 0; k->experts && i < k->x.n_param; i++)
		k->x.param[i] = (moe_real)(0.01 * moe_rng_normal(rng, i, 0));
	k->a = zeros((size_t)threads, sizeof(*k->a));
	k->grad = zeros((size_t)threads, sizeof(*k->grad));
	for (int i = 0; i < threads; i++)
		k->grad[i] = zeros(k->experts ? k->x.n_param : k->m.n_param, sizeof(moe_real));
}

/* Best wall seconds of one run of n tasks, over at least `sec` seconds; *cpu: the least CPU seconds
 * of one, which others on the machine disturb less. */
static double best(
	struct moe_pool *p, size_t n, moe_pool_fn *fn, struct bench *k, double sec, double *cpu)
{
	double least = 1e30, start = bench_sec();
	struct moe_err e;

	do {
		double t = bench_sec(), c = bench_cpu_sec();

		if (moe_pool_run(p, n, fn, k, &e))
			die(&e);
		t = bench_sec() - t;
		c = bench_cpu_sec() - c;
		*cpu = least == 1e30 || c < *cpu ? c : *cpu;
		least = t < least ? t : least;
	} while (bench_sec() - start < sec);
	return least;
}

static double sgemm_gflops(struct bench *k, struct moe_pool *p, int threads)
{
	double peak, cpu;

	for (int i = 0; i < 3; i++)
		k->cube[i] = zeros(
			(size_t)CUBE * CUBE * (size_t)(i == 2 ? threads : 1), sizeof(moe_real));
	for (int i = 0; i < CUBE * CUBE; i++)
		k->cube[0][i] = k->cube[1][i] = (moe_real)(i % 7) - 3;
	peak = 2.0 * CUBE * CUBE * CUBE * threads /
		best(p, (size_t)threads, cube_task, k, 1, &cpu) * 1e-9;
	for (int i = 0; i < 3; i++)
		free(k->cube[i]);
	return peak;
}

/* Floating-point operations of the products of a step that can not be left out: of a Linear forward
 * 2, gradient of inputs 2, of weights 2 a parameter and token; of the head forward 2 (4 when
 * log-probabilities are asked for first) and gradient 2; of attention 4 and 10 a key seen and
 * width. */
static double flop(const struct bench *k)
{
	const struct moe_config *c = &k->m.config;
	double lin = 0, lora = 0, head = (double)c->V * c->D, sum = 0;

	for (int l = 0; l < MOE_LINEARS; l++) {
		int in, out;

		moe_linear_shape(c, (enum moe_linear)l, &in, &out);
		lin += (double)in * out;
		lora += (double)(k->experts ? k->x.R : 0) * (in + out);
	}
	for (size_t i = 0; i < k->n_pass; i++) {
		const struct moe_packed *p = &k->pass[i].p;
		double keys = 0;

		for (int s = 0; s < p->n_seg; s++)
			keys += p->seg[s].len *
				((p->seg[s].len + 1) / 2.0 +
					(p->seg[s].parent < 0 ? 0 : p->seg[p->seg[s].parent].len));
		sum += 14 * keys * c->H * c->hd * c->L +
			c->L * p->T * (k->experts ? 4 * lin + 6 * lora : 6 * lin);
		sum += k->pass[i].n * head * ((k->completions ? 4 : 2) + (k->experts ? 2 : 4));
	}
	return sum;
}

int main(int argc, char **argv)
{
	struct bench k = { 0 };
	struct moe_pool *p;
	struct moe_err e;
	double start = bench_sec(), setup, sec, cpu, peak, gflops, gemm = 0, total = 0, tokens = 0,
	       run = 0;
	int threads;

	if (argc != 10) {
		fputs("usage: engine_bench MODEL_DIR full|experts|experts:E|METHOD:E THREADS "
		      "PROMPTS GROUP PROMPT_LEN NEW PASS_TOKENS SECONDS\n",
			stderr);
		return 2;
	}
	threads = atoi(argv[3]);
	k.experts = strcmp(argv[2], "full") != 0;
	load(&k, argv[1], argv[2], threads);
	make_passes(&k, atoi(argv[4]), atoi(argv[5]), atoi(argv[6]), atoi(argv[7]), atoi(argv[8]),
		threads);
	p = moe_pool_new(threads, &e);
	if (!p)
		die(&e);
	setup = bench_sec() - start;
	peak = sgemm_gflops(&k, p, threads);
	sec = best(p, k.n_pass, train_task, &k, atof(argv[9]), &cpu);
	for (int i = 0; i < threads; i++) {
		gemm += k.a[i].gemm_sec;
		total += k.a[i].total_sec;
	}
	for (size_t i = 0; i < k.n_pass; i++) {
		tokens += k.pass[i].n;
		run += k.pass[i].p.T;
	}
	gflops = flop(&k) / sec * 1e-9;
	printf("{\"engine\": \"moetools\", \"tokens_per_sec\": %.1f, \"run_per_token\": %.3f, "
	       "\"gflops\": %.1f, \"sgemm_gflops\": %.1f, \"gemm_share\": %.3f, \"gemm_of_peak\": "
	       "%.3f, \"gflop\": %.3f, \"cpu_sec\": %.4f, \"peak_mb\": %.0f, \"acts_mb\": %.0f, "
	       "\"setup_sec\": %.1f, \"blas\": \"%s\"}\n",
		tokens / sec, run / tokens, gflops, peak, gemm / total,
		gflops / (gemm / total) / peak, flop(&k) * 1e-9, cpu, bench_peak_mb(),
		(double)moe_acts_peak_bytes(&k.a[0]) / 1e6, setup, moe_gemm_describe());
	return 0;
}
