/* decode_bench.c - how fast the engine samples, for tests/bench/decode.sh: one line of JSON. Not a
 * test: it measures.
 *
 * usage: decode_bench MODEL_DIR THREADS BATCH GROUP PROMPT_LEN NEW SECONDS
 * BATCH completions of NEW tokens after prompts of PROMPT_LEN random tokens, each prompt shared by
 * GROUP of them; temperature 1, nothing stops early. The best of the passes within SECONDS counts;
 * it includes the prompts.
 */
#include "model/model.h"
#include "model/sample.h"
#include "tests/bench/bench.h"
#include "util/rng.h"

#include <stdio.h>
#include <stdlib.h>

static int32_t *prompts(int n, int len, int vocab)
{
	int32_t *p = malloc(sizeof(*p) * (size_t)(n * len));

	for (int i = 0; i < n * len; i++)
		p[i] = (int32_t)moe_rng_below(
			moe_rng_key(1, "bench"), (uint64_t)i, 0, (uint64_t)vocab);
	return p;
}

/* Seconds of one pass; negative on failure. */
static double pass(const struct moe_model *m, const struct moe_sample_opts *o, int batch, int group,
	const int32_t *prompt, int len, struct moe_pool *pool, struct moe_err *e)
{
	int n = batch / group;
	struct moe_sample_req *req = calloc((size_t)n, sizeof(*req));
	struct moe_completion *out = calloc((size_t)batch, sizeof(*out));
	double t = bench_sec();
	long tokens = 0;

	for (int i = 0; i < n; i++)
		req[i] = (struct moe_sample_req){ .prompt = prompt + i * len,
			.n_prompt = len,
			.key = (uint64_t)i,
			.n_samples = group };
	if (moe_sample(m, NULL, o, (size_t)n, req, pool, out, e))
		return -1;
	t = bench_sec() - t;
	for (int i = 0; i < batch; i++) {
		tokens += out[i].n;
		moe_completion_free(&out[i]);
	}
	free(req);
	free(out);
	return tokens == (long)batch * o->max_new ? t : -1;
}

int main(int argc, char **argv)
{
	struct moe_sample_opts o = { .temperature = 1, .top_p = 1, .seed = 1 };
	struct moe_err e = { 0 };
	struct moe_model m;
	struct moe_pool *pool;
	int threads, batch, group, len;
	double best = -1, start = bench_sec();
	int32_t *prompt;

	if (argc != 8)
		return 2;
	threads = atoi(argv[2]);
	batch = atoi(argv[3]);
	group = atoi(argv[4]);
	len = atoi(argv[5]);
	o.max_new = atoi(argv[6]);
	pool = moe_pool_new(threads, &e);
	if (!pool || moe_model_load(&m, argv[1], &e)) {
		fprintf(stderr, "decode_bench: %s\n", e.msg);
		return 4;
	}
	prompt = prompts(batch, len, m.config.V);
	do {
		double t = pass(&m, &o, batch, group, prompt, len, pool, &e);
		if (t < 0) {
			fprintf(stderr, "decode_bench: %s\n", e.msg);
			return 4;
		}
		if (best < 0 || t < best)
			best = t;
	} while (bench_sec() - start < atof(argv[7]));
	printf("{\"engine\":\"moetools\",\"threads\":%d,\"batch\":%d,\"tokens_per_sec\":%.1f,\"peak_mb\":%.1f}\n",
		threads, batch, batch * o.max_new / best, bench_peak_mb());
	free(prompt);
	moe_model_free(&m);
	moe_pool_free(pool);
	return 0;
}
