/* test_sample.c - drawing and decoding: distributions, agreement with the training forward pass,
 * and independence of threads, slots and arms. */
#include "model/decode.h"
#include "model/draw.h"
#include "model/sample.h"
#include "util/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DRAWS 40000

/* ---- draw ---- */

static const moe_real toy[6] = { 1.0f, 3.0f, 2.0f, 0.0f, 2.5f, -1.0f };

/* Chi-square of DRAWS draws against p; the caller compares it with a quantile. Also checks the logp
 * of every draw. */
static void softmax(double t, const int keep[6], double p[6])
{
	double z = 0.0;

	for (int i = 0; i < 6; i++)
		z += p[i] = keep[i] ? exp((double)toy[i] / t) : 0.0;
	for (int i = 0; i < 6; i++)
		p[i] /= z;
}

static double chi2(const struct moe_sample_opts *o, const double p[6])
{
	static const int all[6] = { 1, 1, 1, 1, 1, 1 };
	struct moe_draw_cand cand[6];
	moe_real buf[6];
	struct moe_draw_work w = { buf, cand };
	struct moe_rng k = moe_rng_key(7, "test");
	double count[6] = { 0 }, sum = 0.0, whole[6];
	struct moe_err e = { 0 };

	softmax(o->temperature, all, whole);
	for (int i = 0; i < DRAWS; i++) {
		struct moe_draw d;

		assert_int_equal(
			moe_draw_token(toy, 6, o, moe_rng_uniform(k, 1, (uint64_t)i), &w, &d, &e),
			0);
		assert_in_range(d.id, 0, 5);
		assert_true(p[d.id] > 0.0);
		assert_true(fabs((double)d.logp - log(p[d.id])) < 1e-5);
		assert_true(fabs((double)d.full_logp - log(whole[d.id])) < 1e-5);
		count[d.id] += 1.0;
	}
	for (int i = 0; i < 6; i++)
		if (p[i] > 0.0)
			sum += (count[i] - DRAWS * p[i]) * (count[i] - DRAWS * p[i]) /
				(DRAWS * p[i]);
	return sum;
}

static void draws_follow_the_distribution(void **state)
{
	/* order by logit: 1 (3), 4 (2.5), 2 (2), 0 (1), 3 (0), 5 (-1) */
	const int all[6] = { 1, 1, 1, 1, 1, 1 }, three[6] = { 0, 1, 1, 0, 1, 0 },
		  two[6] = { 0, 1, 0, 0, 1, 0 };
	struct moe_sample_opts o = { .temperature = 1, .top_p = 1 };
	double p[6];

	(void)state;
	softmax(1, all, p);
	assert_true(chi2(&o, p) < 20.5); /* 5 degrees of freedom, 0.999 */
	o.temperature = 0.7;
	softmax(0.7, all, p);
	assert_true(chi2(&o, p) < 20.5);
	o.top_k = 3;
	softmax(0.7, three, p);
	assert_true(chi2(&o, p) < 13.8); /* 2 */
	o.top_k = 0;
	o.temperature = 1;
	o.top_p = 0.6; /* 0.441 + 0.267 reaches it */
	softmax(1, two, p);
	assert_true(chi2(&o, p) < 10.8); /* 1 */
	o.top_k = 3;
	o.top_p = 0.8; /* of the three: 0.506, 0.307, 0.186: two reach 0.8 */
	assert_true(chi2(&o, p) < 10.8);
	o.top_p = 0.85;
	softmax(1, three, p);
	assert_true(chi2(&o, p) < 13.8);
}

static void draw_edges(void **state)
{
	struct moe_draw_cand cand[300];
	moe_real buf[300], l[300];
	struct moe_draw_work w = { buf, cand };
	struct moe_sample_opts o = { .temperature = 1, .top_p = 1 };
	struct moe_draw d;
	struct moe_err e = { 0 };

	(void)state;
	for (int i = 0; i < 300; i++)
		l[i] = i == 77 || i == 200 ? 5.0f : -1000.0f;
	/* u at both ends, with most of the vocabulary at probability zero */
	assert_int_equal(moe_draw_token(l, 300, &o, 0.0, &w, &d, &e), 0);
	assert_int_equal(d.id, 77);
	assert_int_equal(moe_draw_token(l, 300, &o, nextafter(1.0, 0.0), &w, &d, &e), 0);
	assert_int_equal(d.id, 200);
	/* ties go to the lower id */
	o.temperature = 0;
	assert_int_equal(moe_draw_token(l, 300, &o, 0.9, &w, &d, &e), 0);
	assert_int_equal(d.id, 77);
	o.temperature = 1;
	o.top_k = 1;
	assert_int_equal(moe_draw_token(l, 300, &o, 0.9, &w, &d, &e), 0);
	assert_int_equal(d.id, 77);
	assert_true(d.logp == 0.0f);
	l[5] = NAN;
	assert_int_equal(moe_draw_token(l, 300, &o, 0.5, &w, &d, &e), -1);
	assert_int_equal(e.code, MOE_NUMERIC);
}

/* ---- sampling ---- */

#define N_REQ   5
#define MAX_NEW 40

struct fixture {
	struct moe_model m;
	struct moe_experts x;
	int32_t ids[N_REQ][150];
	struct moe_sample_req req[N_REQ];
	struct moe_sample_opts o;
	uint16_t *half; /* as_bf16 */
};

static void make_experts(struct moe_experts *x, const struct moe_config *c)
{
	struct moe_err e = { 0 };
	struct moe_rng k = moe_rng_key(5, "experts");

	x->E = 2;
	x->rank[0] = 3;
	x->rank[1] = 5;
	x->bank[0] = MOE_BANK_CLEAN;
	x->bank[1] = MOE_BANK_QUARANTINE;
	x->scale = 2;
	for (int i = 0; i < MOE_LINEARS; i++)
		x->target[i] = i != MOE_V;
	assert_int_equal(moe_experts_init(x, c, &e), 0);
	for (size_t i = 0; i < x->n_param; i++)
		x->param[i] = (moe_real)(0.05 * moe_rng_normal(k, i, 0));
}

/* Weights ten times the usual, so that distributions are far from uniform. */
static void make(struct fixture *f, const char *preset, int D)
{
	static const int len[N_REQ] = { 33, 1, 100, 64, 150 };
	struct moe_config c;
	struct moe_err e = { 0 };
	struct moe_rng k = moe_rng_key(11, "prompt");

	memset(f, 0, sizeof(*f));
	assert_int_equal(moe_config_preset(preset, &c, &e), 0);
	if (D) { /* small, but decoded as a wide model; grouped heads, head norms, biases */
		c.family = MOE_QWEN3;
		c.D = D;
		c.L = 2;
		c.H = 4;
		c.K = 2;
		c.hd = 40;
		c.F = 136;
		c.qk_norm = true;
		c.qkv_bias = true;
	}
	assert_int_equal(moe_model_new(&f->m, &c, 3, 1, &e), 0);
	for (size_t i = 0; i < f->m.n_param; i++)
		f->m.param[i] *= f->m.param[i] == 1 ? 1 : 5;
	make_experts(&f->x, &c);
	f->o = (struct moe_sample_opts){
		.max_new = MAX_NEW, .temperature = 1, .top_p = 1, .seed = 9
	};
	for (int i = 0; i < N_REQ; i++) {
		for (int t = 0; t < len[i]; t++)
			f->ids[i][t] = (int32_t)moe_rng_below(
				k, (uint64_t)i, (uint64_t)t, (uint64_t)c.V);
		f->req[i] = (struct moe_sample_req){ .prompt = f->ids[i],
			.n_prompt = len[i],
			.key = 100 + (uint64_t)i,
			.n_samples = 3 + 20 * (i == 2) };
	}
}

static void done(struct fixture *f)
{
	moe_experts_free(&f->x);
	moe_model_free(&f->m);
	free(f->half);
}

static void halve(struct fixture *f, struct moe_weight *w)
{
	const uint16_t *full = w->data; /* little-endian: the upper half comes second */
	size_t at = (size_t)((const moe_real *)w->data - f->m.param),
	       n = (size_t)w->rows * (size_t)w->cols;

	for (size_t i = 0; i < n; i++)
		f->half[at + i] = full[2 * i + 1];
	w->data = f->half + at;
	w->dtype = MOE_BF16;
}

/* The matrices as a file in bf16 has them. */
static void as_bf16(struct fixture *f)
{
	assert_non_null(f->half = malloc(f->m.n_param * sizeof(*f->half)));
	for (int l = 0; l < f->m.config.L; l++)
		for (int i = 0; i < MOE_LINEARS; i++)
			halve(f, &f->m.layer[l].w[i]);
	halve(f, &f->m.embed);
	if (f->m.head.dtype != MOE_BF16)
		f->m.config.tied ? (void)(f->m.head = f->m.embed) : halve(f, &f->m.head);
}

static size_t total(const struct moe_sample_req *req, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (size_t)req[i].n_samples;
	return sum;
}

static struct moe_completion *sample(const struct fixture *f, const struct moe_experts *x, size_t n,
	const struct moe_sample_req *req, int threads)
{
	struct moe_completion *out = calloc(total(req, n), sizeof(*out));
	struct moe_err e = { 0 };
	struct moe_pool *pool = moe_pool_new(threads, &e);

	assert_non_null(out);
	assert_non_null(pool);
	if (moe_sample(&f->m, x, &f->o, n, req, pool, out, &e))
		fail_msg("%s", e.msg);
	moe_pool_free(pool);
	return out;
}

static void assert_same(const struct moe_completion *a, const struct moe_completion *b)
{
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->stopped, b->stopped);
	assert_memory_equal(a->ids, b->ids, (size_t)a->n * sizeof(*a->ids));
	assert_memory_equal(a->logp, b->logp, (size_t)a->n * sizeof(*a->logp));
}

static void release(struct moe_completion *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		moe_completion_free(&c[i]);
	free(c);
}

static void threads_do_not_matter(void **state)
{
	struct fixture f;

	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		struct moe_completion *a, *b;
		size_t n;

		make(&f, "tiny", wide ? 264 : 0);
		n = total(f.req, N_REQ);
		a = sample(&f, &f.x, N_REQ, f.req, 1);
		b = sample(&f, &f.x, N_REQ, f.req, 3);
		for (size_t i = 0; i < n; i++)
			assert_same(&a[i], &b[i]);
		release(a, n);
		release(b, n);
		done(&f);
	}
}

/* A prompt shared by a group, or computed for each sample alone, beside others or not: the same
 * completions. */
static void sharing_does_not_matter(void **state)
{
	struct fixture f;
	struct moe_completion *a, *b;
	size_t at = 0;

	(void)state;
	make(&f, "tiny", 0);
	a = sample(&f, &f.x, N_REQ, f.req, 1);
	for (int i = 0; i < N_REQ; i++)
		for (int s = 0; s < f.req[i].n_samples; s++) {
			struct moe_sample_req one = f.req[i];

			one.first_sample = s;
			one.n_samples = 1;
			b = sample(&f, &f.x, 1, &one, 1);
			assert_same(&a[at++], &b[0]);
			release(b, 1);
		}
	release(a, at);
	done(&f);
}

/* Largest difference between sampled log-probabilities and those of the training forward pass; also
 * that greedy tokens are the best. */
static double gap(
	const struct fixture *f, const struct moe_experts *x, double temperature, bool greedy)
{
	struct moe_completion *a = sample(f, x, N_REQ, f->req, 2);
	struct moe_err e = { 0 };
	struct moe_acts acts = { .exact = true };
	double worst = 0.0;

	for (size_t i = 0, at = 0; i < N_REQ; i++)
		for (int s = 0; s < f->req[i].n_samples; s++, at++) {
			int32_t ids[200], row[MAX_NEW];
			moe_real logp[MAX_NEW];
			int T = f->req[i].n_prompt + a[at].n;
			int np = f->req[i].n_prompt;
			/* as training has a group: the last prompt token is the completion's own */
			struct moe_seg seg[2] = { { 0, np - 1, -1, 0 },
				{ np - 1, a[at].n + 1, 0, np - 1 } },
				       alone = { 0, T, -1, 0 };
			struct moe_batch b = { T, ids, np > 1 ? 2 : 1, np > 1 ? seg : &alone };

			memcpy(ids, f->req[i].prompt, (size_t)f->req[i].n_prompt * sizeof(*ids));
			memcpy(ids + f->req[i].n_prompt, a[at].ids, (size_t)a[at].n * sizeof(*ids));
			for (int t = 0; t < a[at].n; t++)
				row[t] = f->req[i].n_prompt + t - 1;
			assert_int_equal(moe_forward(&f->m, x, NULL, &b, &acts, &e), 0);
			assert_int_equal(moe_head_logp(&f->m, &b, &acts, a[at].n, row, a[at].ids,
						 temperature, logp, NULL, &e),
				0);
			for (int t = 0; t < a[at].n; t++)
				worst = fmax(worst, fabs((double)logp[t] - (double)a[at].logp[t]));
			for (int v = 0; greedy && v < f->m.config.V;
				v++) { /* no other first token is more likely */
				int32_t other = v;
				moe_real p;

				assert_int_equal(moe_head_logp(&f->m, &b, &acts, 1, row, &other, 1,
							 &p, NULL, &e),
					0);
				assert_true(v == a[at].ids[0] || p <= logp[0]);
			}
		}
	moe_acts_free(&acts);
	release(a, total(f->req, N_REQ));
	return worst;
}

static void logp_is_that_of_training(void **state)
{
	struct fixture f;
	double worst;

	(void)state;
	make(&f, "tiny", 0);
	worst = gap(&f, &f.x, 1, false);
	print_message(
		"tiny: sampled against trained log-probability, largest difference %g\n", worst);
	assert_true(worst == 0.0); /* bit for bit: exact products */
	f.o.temperature = 0.6;
	assert_true(gap(&f, NULL, 0.6, false) < 1e-5);
	f.o.temperature = 0;
	assert_true(gap(&f, NULL, 1, true) < 1e-5);
	done(&f);
	make(&f, "tiny", 264);
	worst = gap(&f, &f.x, 1, false);
	print_message("wide: largest difference %g\n", worst);
	assert_true(worst == 0.0);
	as_bf16(&f);
	assert_true(gap(&f, &f.x, 1, false) == 0.0); /* halves are widened on the way */
	done(&f);
}

static void greedy_ignores_the_draw(void **state)
{
	struct fixture f;
	struct moe_completion *a;

	(void)state;
	make(&f, "tiny", 0);
	f.o.temperature = 0;
	a = sample(&f, &f.x, N_REQ, f.req, 1);
	for (size_t i = 0, at = 0; i < N_REQ; at += (size_t)f.req[i++].n_samples)
		for (int s = 1; s < f.req[i].n_samples; s++)
			assert_same(&a[at], &a[at + (size_t)s]);
	release(a, total(f.req, N_REQ));
	done(&f);
}

/* More samples than slots: finished slots are filled again; stop tokens end completions early, and
 * are kept. */
static void slots_are_refilled(void **state)
{
	struct fixture f;
	struct moe_completion *a, *b;
	int32_t stop[120];
	size_t n = 300;
	int stopped = 0;

	(void)state;
	make(&f, "tiny", 0);
	for (int i = 0; i < 120; i++)
		stop[i] = 2 * i;
	f.o.stop = stop;
	f.o.n_stop = 60;
	f.req[0].n_samples = (int)n;
	a = sample(&f, NULL, 1, f.req, 1);
	for (size_t i = 0; i < n; i++) {
		bool last = false;

		assert_in_range(a[i].n, 1, MAX_NEW);
		for (int t = 0; t < a[i].n; t++) {
			last = a[i].ids[t] < 120 && a[i].ids[t] % 2 == 0;
			assert_true(!last || t == a[i].n - 1);
		}
		assert_int_equal(a[i].stopped, last);
		assert_true(last || a[i].n == MAX_NEW);
		stopped += last;
	}
	assert_in_range(stopped, 10, n);
	f.req[0].first_sample =
		250; /* the draw of sample 250 does not care that 250 others came before */
	f.req[0].n_samples = 1;
	b = sample(&f, NULL, 1, f.req, 1);
	assert_same(&a[250], &b[0]);
	release(b, 1);
	release(a, n);
	done(&f);
}

/* gate 0 of a bank equals alive 0; equal adapters give equal completions; the bank does matter. */
static void gates_and_alive_agree(void **state)
{
	static const moe_real off[2] = { 1, 0 }, on[2] = { 1, 1 };
	struct fixture f;

	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		struct moe_completion *a, *b, *c;
		size_t n, differ = 0;

		make(&f, "tiny", wide ? 264 : 0);
		n = total(f.req, N_REQ);
		c = sample(&f, &f.x, N_REQ, f.req, 1);
		for (int i = 0; i < N_REQ; i++)
			f.req[i].outer = on;
		a = sample(&f, &f.x, N_REQ, f.req, 1);
		for (size_t i = 0; i < n; i++)
			assert_same(&a[i], &c[i]);
		release(a, n);
		for (int i = 0; i < N_REQ; i++)
			f.req[i].outer = off;
		a = sample(&f, &f.x, N_REQ, f.req, 1);
		for (int i = 0; i < N_REQ; i++)
			f.req[i].outer = NULL;
		for (int i = 0; i < f.m.config.L * MOE_LINEARS; i++)
			for (int r = 0; r < f.x.rank[1]; r++)
				f.x.alive[i * f.x.R + f.x.first[1] + r] = 0;
		b = sample(&f, &f.x, N_REQ, f.req, 1);
		for (size_t i = 0; i < n; i++) {
			assert_same(&a[i], &b[i]);
			differ += a[i].n != c[i].n ||
				memcmp(a[i].ids, c[i].ids, (size_t)a[i].n * sizeof(int32_t)) != 0;
		}
		assert_true(differ > n / 2);
		release(a, n);
		release(b, n);
		release(c, n);
		done(&f);
	}
}

static void bad_requests_are_refused(void **state)
{
	struct fixture f;
	struct moe_completion out[8];
	struct moe_err e = { 0 };

	(void)state;
	make(&f, "tiny", 0);
	f.ids[0][3] = f.m.config.V;
	assert_int_equal(moe_sample(&f.m, NULL, &f.o, 1, f.req, NULL, out, &e), -1);
	assert_int_equal(e.code, MOE_DATA);
	f.ids[0][3] = 0;
	f.req[0].n_prompt = 0;
	assert_int_equal(moe_sample(&f.m, NULL, &f.o, 1, f.req, NULL, out, &e), -1);
	assert_int_equal(e.code, MOE_DATA);
	f.req[0].n_prompt = 3;
	f.m.config.max_pos = 3;
	assert_int_equal(moe_sample(&f.m, NULL, &f.o, 1, f.req, NULL, out, &e), -1);
	f.m.config.max_pos = 8; /* five tokens fit, not 40 */
	assert_int_equal(moe_sample(&f.m, NULL, &f.o, 1, f.req, NULL, out, &e), 0);
	assert_int_equal(out[0].n, 5);
	for (int i = 0; i < f.req[0].n_samples; i++)
		moe_completion_free(&out[i]);
	f.o.top_p = 0;
	assert_int_equal(moe_sample(&f.m, NULL, &f.o, 1, f.req, NULL, out, &e), -1);
	assert_int_equal(e.code, MOE_USAGE);
	done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(draws_follow_the_distribution),
		cmocka_unit_test(draw_edges),
		cmocka_unit_test(threads_do_not_matter),
		cmocka_unit_test(sharing_does_not_matter),
		cmocka_unit_test(logp_is_that_of_training),
		cmocka_unit_test(greedy_ignores_the_draw),
		cmocka_unit_test(slots_are_refilled),
		cmocka_unit_test(gates_and_alive_agree),
		cmocka_unit_test(bad_requests_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
