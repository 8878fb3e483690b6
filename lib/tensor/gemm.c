/* gemm.c - the one file that includes blis.h: kernel choice, one thread a call, panels. No other
 * arithmetic. */
#define _DEFAULT_SOURCE
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wshadow"
#include <blis.h>
#pragma GCC diagnostic pop

#include "tensor/gemm.h"
#include "tensor/small.h"
#include "tensor/vec.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char description[96];
static _Thread_local double seconds;

/* The numbers of BLIS_ARCH_TYPE belong to one version of BLIS, and one that is not built in aborts
 * the process: ask for a family only in the version (and the Debian build, which has all of x86)
 * whose numbers are known. */
static void choose_family(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
	const char *set = getenv("BLIS_ARCH_TYPE"), *version = bli_info_get_version_str();

	if (set || strncmp(version, "0.9.0", 5) != 0)
		return;
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512cd"))
		setenv("BLIS_ARCH_TYPE", "0", 1); /* skx */
#endif
}

static void start(void)
{
	choose_family();
	bli_init();
	snprintf(description, sizeof(description), "BLIS %s, %s kernels%s",
		bli_info_get_version_str(), bli_arch_string(bli_arch_query_id()),
		moe_gemm_small_ready() ? "; own AVX2 kernels for narrow products" : "");
}

const char *moe_gemm_describe(void)
{
	pthread_once(&once, start);
	return description;
}

double moe_gemm_sec(void)
{
	return seconds;
}

double moe_gemm_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void moe_gemm_spent(double t0)
{
	seconds += moe_gemm_clock() - t0;
}

static void product(bool ta, bool tb, int m, int n, int k, moe_real alpha, const moe_real *a,
	int lda, const moe_real *b, int ldb, moe_real beta, moe_real *c, int ldc)
{
	rntm_t rntm = BLIS_RNTM_INITIALIZER;

	bli_rntm_set_num_threads(1, &rntm);
#ifdef MOE_REAL_F64
	bli_dgemm_ex(
#else
	bli_sgemm_ex(
#endif
		ta ? BLIS_TRANSPOSE : BLIS_NO_TRANSPOSE, tb ? BLIS_TRANSPOSE : BLIS_NO_TRANSPOSE, m,
		n, k, &alpha, (moe_real *)(uintptr_t)a, lda, 1, (moe_real *)(uintptr_t)b, ldb, 1,
		&beta, c, ldc, 1, NULL, &rntm);
}

void moe_gemm(bool ta, bool tb, int m, int n, int k, moe_real alpha, const moe_real *a, int lda,
	const moe_real *b, int ldb, moe_real beta, moe_real *c, int ldc)
{
	double t0;

	if (m <= 0 || n <= 0)
		return;
	pthread_once(&once, start);
	t0 = moe_gemm_clock();
	product(ta, tb, m, n, k > 0 ? k : 0, alpha, a, lda, b, ldb, beta, c, ldc);
	moe_gemm_spent(t0);
}

void moe_gemm_rows(int m, int n, int k, const moe_real *a, int lda, const moe_real *b, int ldb,
	moe_real beta, moe_real *c, int ldc)
{
	bool small = k > 0 && moe_gemm_small_ready();

	if (m <= 0 || n <= 0)
		return;
	for (int p = 0; p < k || p == 0; p += MOE_GEMM_PANEL) {
		int len = k - p < MOE_GEMM_PANEL ? k - p : MOE_GEMM_PANEL;

		if (small)
			moe_gemm_small(false, m, n, len, a + p, lda, b + (size_t)p * (size_t)ldb,
				ldb, p ? 1 : beta, c, ldc);
		else
			moe_gemm(false, false, m, n, len, 1, a + p, lda,
				b + (size_t)p * (size_t)ldb, ldb, p ? 1 : beta, c, ldc);
	}
}

void moe_gemm_stored(int m, int n, int k, const moe_real *a, int lda, const void *b,
	enum moe_dtype t, int ldb, moe_real beta, moe_real *c, int ldc)
{
	enum { COLS = 16 };
	moe_real wide[COLS * MOE_GEMM_PANEL];

	if (k > 0 && t != MOE_F64 && moe_gemm_small_ready()) {
		moe_gemm_small_stored(m, n, k, a, lda, b, t, ldb, beta, c, ldc);
		return;
	}
	for (int j = 0; j < n; j += COLS)
		for (int p = 0; p < k || p == 0; p += MOE_GEMM_PANEL) {
			int cols = n - j < COLS ? n - j : COLS,
			    len = k - p < MOE_GEMM_PANEL ? k - p : MOE_GEMM_PANEL;

			for (int i = 0; i < cols; i++)
				moe_widen(t, (size_t)len,
					(const char *)b +
						((size_t)(j + i) * (size_t)ldb + (size_t)p) *
							moe_dtype_size(t),
					wide + i * len);
			moe_gemm(false, true, m, cols, len, 1, a + p, lda, wide, len, p ? 1 : beta,
				c + j, ldc);
		}
}
