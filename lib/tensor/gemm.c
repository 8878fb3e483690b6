/* gemm.c - chooses who multiplies: our own product (packed.h, stored.h) or BLIS. The one file that
 * includes blis.h. No arithmetic. */
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
#include "tensor/stored.h"
#include "tensor/tile.h"
#include "tensor/vec.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char description[96];
static const char *asked; /* by moe_kernels_choose, or NULL */
static bool native;
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
	const char *name = asked ? asked : getenv("MOE_KERNELS");

	native = name && !strcmp(name, "native");
#ifdef MOE_REAL_F64
	native = true;
#endif
	if (!native) {
		snprintf(description, sizeof(description), "portable kernels (%s)",
			moe_tile()->name);
		return;
	}
	choose_family();
	bli_init();
	snprintf(description, sizeof(description), "BLIS %s, %s kernels",
		bli_info_get_version_str(), bli_arch_string(bli_arch_query_id()));
}

bool moe_kernels_choose(const char *name)
{
	if (strcmp(name, "portable") != 0 && strcmp(name, "native") != 0)
		return false;
	asked = name;
	return true;
}

const char *moe_kernels(void)
{
	pthread_once(&once, start);
	return native ? description : "portable";
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

/* Products below this many multiply-adds, a few microseconds, are not timed: reading the clock
 * twice would cost a good part of them. */
#define TIMED (64.0 * 64 * 64)

static double clock_sec(int m, int n, int k)
{
	struct timespec t;

	if ((double)m * n * k < TIMED)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void blis_product(bool ta, bool tb, int m, int n, int k, moe_real alpha, const moe_real *a,
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

/* Below this many multiply-adds a call of BLIS costs more than the product. */
#define BLIS_WORTH (96.0 * 96 * 96)

void moe_gemm(bool ta, bool tb, int m, int n, int k, moe_real alpha, const moe_real *a, int lda,
	const moe_real *b, int ldb, moe_real beta, moe_real *c, int ldc)
{
	double t0;

	if (m <= 0 || n <= 0)
		return;
	k = k > 0 ? k : 0;
	pthread_once(&once, start);
	t0 = clock_sec(m, n, k);
#ifdef MOE_REAL_F64
	blis_product(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
#else
	if (native && (double)m * n * k >= BLIS_WORTH)
		blis_product(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
	else
		moe_gemm_packed(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
#endif
	seconds += clock_sec(m, n, k) - t0;
}

void moe_gemm_rows(int m, int n, int k, const moe_real *a, int lda, const moe_real *b, int ldb,
	moe_real beta, moe_real *c, int ldc)
{
	double t0 = clock_sec(m, n, k);

	if (m <= 0 || n <= 0)
		return;
#ifdef MOE_REAL_F64
	/* panels of k in the same order as packed.h's; once through where k is 0, for beta */
	for (int p = 0; p < k || p == 0; p += MOE_GEMM_PANEL) {
		int len = k - p < MOE_GEMM_PANEL ? k - p : MOE_GEMM_PANEL;

		blis_product(false, false, m, n, len, 1, a + p, lda, b + (size_t)p * (size_t)ldb,
			ldb, p ? 1 : beta, c, ldc);
	}
#else
	moe_gemm_packed(false, false, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
#endif
	seconds += clock_sec(m, n, k) - t0;
}

size_t moe_gemm_ready_size(int n, int k)
{
#ifdef MOE_REAL_F64
	return (size_t)n * (size_t)k;
#else
	return moe_gemm_packed_size(n, k);
#endif
}

void moe_gemm_ready(bool tb, int n, int k, const moe_real *b, int ldb, moe_real *to)
{
#ifdef MOE_REAL_F64
	/* no order of its own: op(B) [k, n] */
	for (int l = 0; l < k; l++)
		for (int j = 0; j < n; j++)
			to[(size_t)l * (size_t)n + (size_t)j] = tb
				? b[(size_t)j * (size_t)ldb + (size_t)l]
				: b[(size_t)l * (size_t)ldb + (size_t)j];
#else
	moe_gemm_packed_make(tb, n, k, b, ldb, to);
#endif
}

void moe_gemm_rows_ready(int m, int n, int k, const moe_real *a, int lda, const moe_real *ready,
	moe_real beta, moe_real *c, int ldc)
{
#ifdef MOE_REAL_F64
	moe_gemm_rows(m, n, k, a, lda, ready, n, beta, c, ldc);
#else
	double t0 = clock_sec(m, n, k);

	if (m <= 0 || n <= 0)
		return;
	moe_gemm_packed_use(m, n, k, a, lda, ready, beta, c, ldc);
	seconds += clock_sec(m, n, k) - t0;
#endif
}

/* Columns of B, widened COLS at a time: for processors without stored.h's kernels. */
static void widened_product(int m, int n, int k, const moe_real *a, int lda, const void *b,
	enum moe_dtype t, int ldb, moe_real beta, moe_real *c, int ldc)
{
	enum { COLS = 32 };
	moe_real wide[COLS * MOE_GEMM_PANEL];

	/* B [n, k] as stored: wide [cols, len] is cols rows of it, numbers p .. p + len - 1, used
	 * transposed; C [m, cols] is added to from the second panel on */
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
#ifdef MOE_REAL_F64
			blis_product(false, true, m, cols, len, 1, a + p, lda, wide, len,
				p ? 1 : beta, c + j, ldc);
#else
			moe_gemm_packed(false, true, m, cols, len, 1, a + p, lda, wide, len,
				p ? 1 : beta, c + j, ldc);
#endif
		}
}

void moe_gemm_stored(int m, int n, int k, const moe_real *a, int lda, const void *b,
	enum moe_dtype t, int ldb, moe_real beta, moe_real *c, int ldc)
{
	double t0 = clock_sec(m, n, k);

	if (m <= 0 || n <= 0)
		return;
#ifdef MOE_STORED_KERNELS
	if (k > 0 && t != MOE_F64 && moe_stored_ready()) {
		moe_stored_product(m, n, k, a, lda, b, t, ldb, beta, c, ldc);
		seconds += clock_sec(m, n, k) - t0;
		return;
	}
#endif
	widened_product(m, n, k, a, lda, b, t, ldb, beta, c, ldc);
	seconds += clock_sec(m, n, k) - t0;
}
