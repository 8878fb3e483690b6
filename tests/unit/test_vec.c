/* test_vec.c - exponentials against libm, sums, transposition, half floats; products against a
 * plain loop; the row property. */
#include "nn/attn.h"
#include "nn/loss.h"
#include "tensor/gemm.h"
#include "tensor/stored.h"
#include "tensor/tile.h"
#include "tensor/vec.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static float rnd(uint64_t a)
{
	return (float)moe_rng_normal(moe_rng_key(11, "test"), a, 0);
}

static float *filled(size_t n, uint64_t key)
{
	float *p = malloc(n * sizeof(*p));

	for (size_t i = 0; i < n; i++)
		p[i] = rnd(key * 1000003 + i);
	return p;
}

static void test_exp(void **state)
{
	float x[4001], y[4001];
	double worst = 0;

	(void)state;
	for (int i = 0; i < 4001; i++)
		x[i] = (float)(-87.3 + i * (175.6 / 4000));
	moe_vec_exp(4001, x, y);
	for (int i = 0; i < 4001; i++) {
		double want = exp((double)x[i]), err = fabs((double)y[i] - want) / want;

		worst = err > worst ? err : worst;
	}
	if (worst > 2e-7)
		fail_msg("relative error %g", worst);
	float edge[] = { -1000, -INFINITY, 1000, NAN, 0 }, out[5];
	moe_vec_exp(5, edge, out);
	assert_true(out[0] == 0 && out[1] == 0 && out[2] > 1e38f && out[2] < INFINITY &&
		isnan(out[3]) && out[4] == 1);
}

static void test_sums(void **state)
{
	float *x = filled(1003, 1), *y = filled(1003, 2), col[7] = { 0 };
	double sum = 0, dot = 0;
	float top = x[0];

	(void)state;
	for (int i = 0; i < 1003; i++) {
		sum += (double)x[i];
		dot += (double)x[i] * (double)y[i];
		top = x[i] > top ? x[i] : top;
	}
	assert_true(fabs(moe_vec_sum(1003, x) - sum) < 1e-10);
	assert_true(fabs(moe_vec_dot(1003, x, y) - dot) < 1e-10);
	assert_true(moe_vec_max(1003, x) == top);
	moe_vec_sum_rows(143, 7, x, 7, col);
	sum = 0;
	for (int i = 3; i < 1001; i += 7)
		sum += (double)x[i];
	assert_true(fabs((double)col[3] - sum) < 1e-5);
	free(x);
	free(y);
}

static void test_transpose(void **state)
{
	float *x = filled(37 * 29, 3), y[29 * 40];

	(void)state;
	moe_transpose(37, 29, x, 29, y, 40);
	for (int i = 0; i < 37; i++)
		for (int j = 0; j < 29; j++)
			assert_true(y[j * 40 + i] == x[i * 29 + j]);
	free(x);
}

/* Every f16: the value by its fields. */
static void test_halves(void **state)
{
	(void)state;
	for (uint32_t h = 0; h < 65536; h++) {
		uint16_t in = (uint16_t)h;
		int exp_ = (int)(h >> 10 & 31), frac = (int)(h & 1023);
		double want = exp_ ? ldexp(1024 + frac, exp_ - 25) : ldexp(frac, -24);
		uint32_t bits;
		float out;

		moe_widen(MOE_F16, 1, &in, &out);
		if (exp_ == 31) {
			assert_true(frac ? isnan(out) : isinf(out));
			continue;
		}
		assert_true(out == (float)(h & 0x8000 ? -want : want));
		moe_widen(MOE_BF16, 1, &in, &out);
		memcpy(&bits, &out, 4);
		assert_true(bits == h << 16);
	}
}

static void check_product(bool ta, bool tb, int m, int n, int k)
{
	float *a = filled((size_t)(m * k), 4), *b = filled((size_t)(k * n), 5),
	      *c = filled((size_t)(m * n), 6), *d = filled((size_t)(m * n), 6);

	moe_gemm(ta, tb, m, n, k, 0.5f, a, ta ? m : k, b, tb ? k : n, 2, c, n);
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++) {
			double sum = 2 * (double)d[i * n + j];

			for (int l = 0; l < k; l++)
				sum += 0.5 * (double)a[ta ? l * m + i : i * k + l] *
					(double)b[tb ? j * k + l : l * n + j];
			if (fabs(sum - (double)c[i * n + j]) > 1e-4)
				fail_msg("%d %d %d: element %d, %d is %g, not %g", m, n, k, i, j,
					(double)c[i * n + j], sum);
		}
	free(a);
	free(b);
	free(c);
	free(d);
}

static void test_product(void **state)
{
	float c[6] = { NAN, NAN, NAN, NAN, NAN, NAN };

	(void)state;
	for (int t = 0; t < 4; t++) {
		check_product(t & 1, t & 2, 5, 7, 3);
		check_product(t & 1, t & 2, 130, 33, 300);
	}
	moe_gemm(false, false, 2, 3, 0, 1, c, 1, c, 3, 0, c, 3); /* an empty sum, over NaN */
	for (int i = 0; i < 6; i++)
		assert_true(c[i] == 0);
	assert_non_null(strstr(moe_gemm_describe(), moe_tile()->name));
	assert_string_equal(moe_kernels(), "portable");
}

/* Every element is the chain that packed.h promises, at odd shapes, alone, added to C, and with A
 * transposed; nothing past the last column is touched. */
static void check_chain(bool ta, int m, int n, int k, int beta)
{
	int lda = (ta ? m : k) + 3, ldb = n + 5, ldc = n + 1;
	float *a = filled((size_t)((ta ? k : m) * lda), 4), *b = filled((size_t)(k * ldb), 5),
	      *c = filled((size_t)(m * ldc), 6), *d = filled((size_t)(m * ldc), 6);

	moe_gemm(ta, false, m, n, k, 1, a, lda, b, ldb, (float)beta, c, ldc);
	for (int i = 0; i < m; i++) {
		assert_true(c[i * ldc + n] ==
			d[i * ldc + n]); /* nothing past the last column is touched */
		for (int j = 0; j < n; j++) {
			float sum = 0;

			for (int p = 0; p < k; p += MOE_GEMM_PANEL) {
				float part = 0;

				for (int l = p; l < k && l < p + MOE_GEMM_PANEL; l++)
					part = fmaf(a[ta ? l * lda + i : i * lda + l],
						b[l * ldb + j], part);
				sum = p ? sum + part : beta ? d[i * ldc + j] + part : part;
			}
			if (sum != c[i * ldc + j])
				fail_msg("%d %d %d: element %d, %d is %.9g, not %.9g", m, n, k, i,
					j, (double)c[i * ldc + j], (double)sum);
		}
	}
	free(a);
	free(b);
	free(c);
	free(d);
}

static void test_chain(void **state)
{
	static const int shape[][3] = { { 1, 1, 1 }, { 5, 7, 3 }, { 6, 16, 24 }, { 45, 48, 24 },
		{ 64, 24, 45 }, { 33, 259, 96 }, { 37, 75, 97 }, { 100, 8, 20 }, { 24, 32, 200 },
		{ 193, 300, 193 }, { 23, 16, 7 }, { 12, 31, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(shape) / sizeof(*shape); i++)
		for (int t = 0; t < 4; t++)
			check_chain(t & 1, shape[i][0], shape[i][1], shape[i][2], t >> 1);
}

/* B as weights are stored: the same bits as from its transpose, for every dtype, with odd edges,
 * added to C, and nothing touched beside it. */
static void check_stored(int m, int n, int k, int beta)
{
	int lda = k + 3, ldb = k + 5, ldc = n + 1;
	float *a = filled((size_t)(m * lda), 4), *b = filled((size_t)(n * ldb), 5),
	      *bt = malloc((size_t)(k * n) * 4), *c = filled((size_t)(m * ldc), 6),
	      *d = filled((size_t)(m * ldc), 6);
	uint16_t *half = malloc((size_t)(n * ldb) * 2);

	for (int t = MOE_F32; t <= MOE_BF16; t++) {
		const void *stored = t == MOE_F32 ? (const void *)b : half;

		for (int i = 0; i < n * ldb; i++) {
			uint32_t bits;

			memcpy(&bits, &b[i], 4);
			half[i] = t == MOE_BF16 ? (uint16_t)(bits >> 16)
						: (uint16_t)(0x3000 + bits % 0x0fff +
							  (bits >> 31 << 15)); /* some number */
		}
		for (int j = 0; j < n; j++)
			for (int l = 0; l < k; l++)
				moe_widen((enum moe_dtype)t, 1,
					(const char *)stored +
						(size_t)(j * ldb + l) *
							moe_dtype_size((enum moe_dtype)t),
					&bt[l * n + j]);
		memcpy(d, c, (size_t)(m * ldc) * 4);
		moe_gemm_rows(m, n, k, a, lda, bt, n, (float)beta, d, ldc);
		moe_gemm_stored(
			m, n, k, a, lda, stored, (enum moe_dtype)t, ldb, (float)beta, c, ldc);
		for (int i = 0; i < m * ldc; i++)
			if (c[i] != d[i])
				fail_msg("%d x %d x %d, dtype %d, beta %d: number %d is %.9g, not "
					 "%.9g",
					m, n, k, t, beta, i, (double)c[i], (double)d[i]);
	}
	free(a);
	free(b);
	free(bt);
	free(c);
	free(d);
	free(half);
}

static void test_stored(void **state)
{
	static const int shape[][3] = { { 1, 16, 96 }, { 1, 32, 200 }, { 1, 17, 100 }, { 2, 48, 8 },
		{ 5, 7, 3 }, { 6, 16, 96 }, { 7, 33, 192 }, { 16, 64, 576 }, { 64, 24, 45 },
		{ 130, 35, 193 }, { 257, 16, 97 }, { 70, 96, 600 } };

	(void)state;
	for (size_t i = 0; i < sizeof(shape) / sizeof(*shape); i++)
		for (int beta = 0; beta < 2; beta++)
			check_stored(shape[i][0], shape[i][1], shape[i][2], beta);
}

/* B made ready once, from either order: the bits of the product that copies it, and of one row
 * alone, over more than one block of rows, columns and k. */
static void check_ready(int m, int n, int k)
{
	int ldc = n + 1;
	float *a = filled((size_t)(m * k), 12), *b = filled((size_t)(k * n), 13),
	      *bt = malloc((size_t)(k * n) * 4), *c = filled((size_t)(m * ldc), 14),
	      *d = filled((size_t)(m * ldc), 14), *ready = malloc(moe_gemm_ready_size(n, k) * 4);

	moe_transpose(k, n, b, n, bt, k);
	for (int turned = 0; turned < 2; turned++) {
		moe_gemm_ready(turned, n, k, turned ? bt : b, turned ? k : n, ready);
		for (int beta = 0; beta < 2; beta++) {
			moe_gemm_rows(m, n, k, a, k, b, n, (float)beta, d, ldc);
			moe_gemm_rows_ready(m, n, k, a, k, ready, (float)beta, c, ldc);
			assert_memory_equal(c, d, (size_t)(m * ldc) * 4);
		}
		moe_gemm_rows_ready(m, n, k, a, k, ready, 0, c, ldc);
		moe_gemm_rows_ready(1, n, k, a + (m - 1) * k, k, ready, 0, d, ldc);
		assert_memory_equal(d, c + (m - 1) * ldc, (size_t)n * 4);
	}
	free(a);
	free(b);
	free(bt);
	free(c);
	free(d);
	free(ready);
}

static void test_ready(void **state)
{
	static const int shape[][3] = { { 1, 1, 1 }, { 64, 96, 96 }, { 65, 259, 97 },
		{ 7, 33, 256 }, { 1160, 520, 100 }, { 25, 1040, 193 } };

	(void)state;
	for (size_t i = 0; i < sizeof(shape) / sizeof(*shape); i++)
		check_ready(shape[i][0], shape[i][1], shape[i][2]);
}

/* A row's bits do not depend on the rows beside it. */
static void test_rows(void **state)
{
	static const int shape[][2] = { { 96, 96 }, { 256, 96 }, { 96, 256 }, { 32, 96 },
		{ 96, 24 }, { 576, 576 }, { 48, 300 }, { 259, 96 } };
	static const int rows[] = { 1, 2, 5, 16, 63, 64, 100, 300, 515 };

	(void)state;
	for (size_t s = 0; s < sizeof(shape) / sizeof(*shape); s++) {
		int n = shape[s][0], k = shape[s][1];
		float *a = filled((size_t)(515 * k), 7), *b = filled((size_t)(k * n), 8),
		      *one = malloc((size_t)(515 * n) * 4), *all = malloc((size_t)(515 * n) * 4);

		for (int i = 0; i < 515; i++)
			moe_gemm_rows(1, n, k, a + i * k, k, b, n, 0, one + i * n, n);
		for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
			moe_gemm_rows(rows[r], n, k, a, k, b, n, 0, all, n);
			if (memcmp(one, all, (size_t)(rows[r] * n) * 4) != 0)
				fail_msg("N %d, K %d: %d rows together differ from one by one", n,
					k, rows[r]);
		}
		free(a);
		free(b);
		free(one);
		free(all);
	}
}

/* Decoding's row form and training's block form agree bit for bit, with a parent and without. */
static void test_attention_forms(void **state)
{
	enum { HD = 24, GROUP = 2, NP = 37, N = 150, W = HD * (GROUP + 2) };
	float *x = filled((size_t)(NP + N) * W, 9), *o = malloc(N * HD * GROUP * 4), lse[N * GROUP],
	      *kt = malloc(HD * (NP + N) * 4), row[HD * GROUP];
	float *scratch = malloc(moe_attn_scratch(HD, NP + N) * 4);
	float *own = x + NP * W;

	(void)state;
	for (int with = 0; with < 2; with++) {
		struct moe_attn a = { .hd = HD,
			.group = GROUP,
			.n = N,
			.n_par = with ? NP : 0,
			.scale = 0.2f,
			.q = own,
			.k = own + HD * GROUP,
			.v = own + HD * (GROUP + 1),
			.kp = x + HD * GROUP,
			.vp = x + HD * (GROUP + 1),
			.ldq = W,
			.ldk = W };

		moe_attn_fwd(&a, o, HD * GROUP, lse, GROUP, scratch);
		moe_transpose(NP, HD, a.kp, W, kt, NP);
		moe_transpose(N, HD, a.k, W, kt + NP * HD, N);
		for (int t = 0; t < N; t++) {
			struct moe_kv part[2] = { { kt, NP, a.vp, W, with ? NP : 0 },
				{ kt + NP * HD, N, a.v, W, t + 1 } };

			moe_attn_row(HD, GROUP, own + t * W, 2, part, 0.2f, row, scratch);
			assert_memory_equal(row, o + t * HD * GROUP, sizeof(row));
		}
	}
	free(x);
	free(o);
	free(kt);
	free(scratch);
}

static void test_softmax(void **state)
{
	float *z = filled(1000, 10), p[1000], q[1000];
	double lse, entropy, sum = 0, want = 0;

	(void)state;
	memcpy(p, z, sizeof(p));
	lse = moe_softmax_row(1000, p, 1.25, &entropy);
	assert_true(lse == moe_logsumexp(1000, z, 1.25, q));
	memcpy(q, z, sizeof(q));
	assert_true(lse == moe_softmax_row(1000, q, 1.25, NULL));
	for (int i = 0; i < 1000; i++)
		sum += exp((double)z[i] * 1.25);
	for (int i = 0; i < 1000; i++) {
		double pi = exp((double)z[i] * 1.25) / sum;

		want -= pi * log(pi);
		assert_true(fabs(pi - (double)p[i]) < 1e-6 * pi);
	}
	assert_true(fabs(lse - log(sum)) < 1e-6);
	assert_true(fabs(entropy - want) < 1e-5);
	free(z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exp),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_transpose),
		cmocka_unit_test(test_halves),
		cmocka_unit_test(test_product),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_stored),
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_attention_forms),
		cmocka_unit_test(test_softmax),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
