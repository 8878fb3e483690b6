/* svd.c - one-sided Jacobi. Columns are rotated in pairs until all are orthogonal; their lengths
 * are the singular values then. */
#include "tensor/svd.h"
#include "tensor/vec.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SWEEPS 60
#define TOL    1e-15 /* cosine of two columns that counts as a right angle */

/* Sum of x y in eight lanes, folded in a fixed order: the same bits on every processor. */
static MOE_CLONES double dot(int n, const double *x, const double *y)
{
	double lane[8] = { 0 };
	int i = 0;

	for (; i + 8 <= n; i += 8)
		for (int k = 0; k < 8; k++)
			lane[k] += x[i + k] * y[i + k];
	for (; i < n; i++)
		lane[i & 7] += x[i] * y[i];
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
		((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* (x, y) = (c x - t y, t x + c y) */
static MOE_CLONES void rotate(int n, double c, double t, double *restrict x, double *restrict y)
{
	for (int i = 0; i < n; i++) {
		double p = x[i], q = y[i];

		x[i] = c * p - t * q;
		y[i] = t * p + c * q;
	}
}

/* Makes the k columns w[i] [len] orthogonal; r [k, k] takes the same rotations, from the identity.
 */
static void orthogonalise(int k, int len, double *w, double *r)
{
	bool moved = true;

	for (int sweep = 0; moved && sweep < SWEEPS; sweep++) {
		moved = false;
		for (int p = 0; p < k; p++)
			for (int q = p + 1; q < k; q++) {
				double *x = w + (size_t)p * (size_t)len,
				       *y = w + (size_t)q * (size_t)len;
				double a = dot(len, x, x), b = dot(len, y, y), g = dot(len, x, y);
				double z, t, c;

				if (fabs(g) <= TOL * sqrt(a * b))
					continue;
				/* the smaller of the two angles that make x and y orthogonal */
				z = (b - a) / (2 * g);
				t = (z < 0 ? -1 : 1) / (fabs(z) + sqrt(1 + z * z));
				c = 1 / sqrt(1 + t * t);
				rotate(len, c, c * t, x, y);
				rotate(k, c, c * t, r + (size_t)p * (size_t)k,
					r + (size_t)q * (size_t)k);
				moved = true;
			}
	}
}

/* order[i] = the column of rank i, longest first; equals stay as they come. */
static void sort_columns(int k, const double *length, int *order)
{
	for (int i = 0; i < k; i++) {
		int at = i;

		for (; at > 0 && length[order[at - 1]] < length[i]; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

/* -1 when the largest entry of v is negative, else 1. */
static double sign_of(int n, const double *v)
{
	double most = 0, sign = 1;

	for (int i = 0; i < n; i++)
		if (fabs(v[i]) > most) {
			most = fabs(v[i]);
			sign = v[i] < 0 ? -1 : 1;
		}
	return sign;
}

static int finite(int m, int n, const double *a, struct moe_err *e)
{
	for (size_t i = 0; i < (size_t)m * (size_t)n; i++)
		if (!isfinite(a[i]))
			return moe_fail(e, MOE_NUMERIC,
				"a matrix of %d x %d that is to be decomposed holds %g", m, n,
				a[i]);
	return 0;
}

int moe_svd(int m, int n, const double *a, double *s, double *u, double *v, struct moe_err *e)
{
	/* The vectors of the shorter side are the rotations, those of the longer the rotated
	 * columns: k columns of length len. */
	bool tall = m >= n;
	int k = tall ? n : m, len = tall ? m : n, rc = -1;
	size_t K = (size_t)k, N = (size_t)len;
	double *w = moe_alloc(K * N, sizeof(*w), e),
	       *r = w ? moe_alloc(K * K, sizeof(*r), e) : NULL;
	double *length = r ? moe_alloc(K, sizeof(*length), e) : NULL;
	int *order = length ? moe_alloc(K, sizeof(*order), e) : NULL;

	if (order && finite(m, n, a, e) == 0) {
		double *of_long = tall ? u : v, *of_short = tall ? v : u;

		for (size_t i = 0; i < K; i++) {
			for (size_t j = 0; j < N; j++)
				w[i * N + j] = tall ? a[j * (size_t)n + i] : a[i * (size_t)n + j];
			r[i * K + i] = 1;
		}
		orthogonalise(k, len, w, r);
		for (size_t i = 0; i < K; i++)
			length[i] = sqrt(dot(len, w + i * N, w + i * N));
		sort_columns(k, length, order);
		for (size_t i = 0; i < K; i++) {
			const double *col = w + (size_t)order[i] * N,
				     *rot = r + (size_t)order[i] * K;
			double sign = tall ? sign_of(k, rot) : sign_of(len, col);

			s[i] = length[order[i]];
			if (!(s[i] > 1e-14 * length[order[0]]))
				s[i] = 0;
			for (size_t j = 0; of_long && j < N; j++)
				of_long[i * N + j] = s[i] > 0 ? sign * col[j] / s[i] : 0;
			for (size_t j = 0; of_short && j < K; j++)
				of_short[i * K + j] = sign * rot[j];
		}
		rc = 0;
	}
	free(w);
	free(r);
	free(length);
	free(order);
	return rc;
}
