/* limits_bench.c - what this processor can do at most, for the page of tests/bench: products out of
 * registers, products of 1024^3 with the kernels at hand (MOE_KERNELS), and bytes read from memory.
 * Not a test: it measures.
 *
 * usage: limits_bench THREADS SECONDS; prints lines of "name<TAB>unit<TAB>value". Each thread works
 * on data of its own and counts its own CPU time, so that others on the machine take little of it;
 * the best of the runs within SECONDS counts.
 */
#include "tensor/gemm.h"
#include "tensor/tile.h"
#include "tests/bench/bench.h"
#include "util/pool.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { CUBE = 1024, TILE_K = MOE_GEMM_PANEL, TILE_REPS = 20000 };
#define READ ((size_t)256 << 20) /* bytes of a thread: more than a cache has for it */

struct bench {
	float **mem; /* [threads] -> READ bytes */
	double sec;  /* of a task */
	double *best;
	void (*run)(float *mem);
};

static double thread_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One tile whose operands stay in the first cache. */
static void tiles(float *mem)
{
	const struct moe_tile *t = moe_tile();
	struct moe_tile_args g = { TILE_K, 1, (size_t)t->mr, (size_t)t->nr, (size_t)t->nr, 1,
		true };

	for (int i = 0; i < TILE_REPS; i++)
		t->run(t->mr, false, &g, mem, mem + 4096, mem + 16384);
}

static void cube(float *mem)
{
	moe_gemm(false, false, CUBE, CUBE, CUBE, 1, mem, CUBE, mem + CUBE * CUBE, CUBE, 0,
		mem + 2 * CUBE * CUBE, CUBE);
}

/* Sums in enough places that the adds do not wait for one another. */
static void read_all(float *mem)
{
	const uint64_t *p = (const void *)mem;
	uint64_t sum[32] = { 0 };

	for (size_t i = 0; i < READ / 8; i += 32)
		for (size_t j = 0; j < 32; j++)
			sum[j] += p[i + j];
	for (size_t j = 1; j < 32; j++)
		sum[0] += sum[j];
	mem[0] = (float)(sum[0] & 1);
}

static int task(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct bench *b = ctx;
	double start = bench_sec(), t;

	(void)worker;
	(void)e;
	b->best[i] = 1e30;
	do {
		t = thread_sec();
		b->run(b->mem[i]);
		t = thread_sec() - t;
		b->best[i] = t < b->best[i] ? t : b->best[i];
	} while (bench_sec() - start < b->sec);
	return 0;
}

/* The sum over the threads of work / seconds. */
static double rate(
	struct bench *b, struct moe_pool *p, int threads, void (*run)(float *), double work)
{
	struct moe_err e;
	double sum = 0;

	b->run = run;
	if (moe_pool_run(p, (size_t)threads, task, b, &e))
		exit(1);
	for (int i = 0; i < threads; i++)
		sum += work / b->best[i];
	return sum * 1e-9;
}

int main(int argc, char **argv)
{
	int threads = argc == 3 ? atoi(argv[1]) : 0;
	const struct moe_tile *t = moe_tile();
	struct bench b = { 0 };
	struct moe_pool *p;
	struct moe_err e;

	if (threads < 1)
		return 2;
	p = moe_pool_new(threads, &e);
	b.mem = calloc((size_t)threads, sizeof(*b.mem));
	b.best = calloc((size_t)threads, sizeof(*b.best));
	b.sec = atof(argv[2]);
	if (!p || !b.mem || !b.best)
		return 1;
	for (int i = 0; i < threads; i++) {
		if (!(b.mem[i] = malloc(READ)))
			return 1;
		for (size_t j = 0; j < READ / 4; j++)
			b.mem[i][j] = (float)(j % 7);
	}
	printf("products of one tile, %s\tGFLOP/s\t%.1f\n", t->name,
		rate(&b, p, threads, tiles, 2.0 * TILE_K * t->mr * t->nr * TILE_REPS));
	printf("products of %d^3, %s\tGFLOP/s\t%.1f\n", CUBE, moe_gemm_describe(),
		rate(&b, p, threads, cube, 2.0 * CUBE * CUBE * CUBE));
	printf("bytes read from memory, 256 MiB a thread\tGB/s\t%.1f\n",
		rate(&b, p, threads, read_all, (double)READ));
	return 0;
}
