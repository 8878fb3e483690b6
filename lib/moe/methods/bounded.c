/* bounded.c - experts that cannot blow up: each direction of a Linear has a gain of at most its own
 * singular value, and the quarantine may turn what it reads within the directions that it was given
 * (vGROUT's antipasto). Every rollout trains both banks.
 *
 *     clean       U diag(S tanh g) V x
 *     quarantine  U diag(S tanh g) R V x      R = (I + K)^-1 (I - K), K = X - X^T
 *
 * U, S, V are the directions of corda (moe/inits.h), dealt to the banks in turn, and stay as they
 * are; g and X begin at 0, so that nothing is added at first, and are what trains. */
#include "moe/methods/rows.h"

#include "moe/inits.h"
#include "util/elementary.h"

#include <math.h>
#include <string.h>

static const struct moe_setting settings[] = {
	{ "lr_ratio", 1, 0, 1e3, NULL, "the learning rate of gains and rotation over --lr" },
	{ 0 },
};

enum { RANK_MAX = 64 }; /* of a quarantine expert: what is inverted lies on the stack */
enum {
	GAIN,
	READ,
	WRITE,
	TENSORS
}; /* G [1 + r, R]: row 0 is g, the others X; V [R, in]; U S [out, R] */

static int most_quarantine(const struct moe_experts *x)
{
	int r = 0;

	for (int i = 0; i < x->E; i++)
		if (x->bank[i] == MOE_BANK_QUARANTINE && x->rank[i] > r)
			r = x->rank[i];
	return r;
}

static int tensors(const struct moe_experts *x, int d_in, int d_out,
	struct moe_router_tensor out[MOE_FORM_TENSORS])
{
	int R = 0;

	for (int i = 0; i < x->E; i++)
		R += x->rank[i];
	out[GAIN] = (struct moe_router_tensor){ "G", MOE_ROLE_FORM, 1 + most_quarantine(x), R };
	out[READ] = (struct moe_router_tensor){ "V", MOE_ROLE_STATE, R, d_in };
	out[WRITE] = (struct moe_router_tensor){ "U", MOE_ROLE_STATE, d_out, R };
	return TENSORS;
}

static double tanh_of(double v)
{
	return 1 - 2 / (1 + moe_exp(2 * v)); /* exp overflows to infinity: then 1 */
}

/* ---- the rotation of one expert: r x r, C order ---- */

/* inv = (I + K)^-1 by elimination with partial pivots; I + K is never singular for a skew K. */
static void invert(int r, const double *K, double *inv)
{
	double m[RANK_MAX * RANK_MAX] = { 0 };

	for (int i = 0; i < r * r; i++) {
		inv[i] = i / r == i % r;
		m[i] = K[i] + inv[i];
	}
	for (int c = 0; c < r; c++) {
		int pivot = c;

		for (int i = c + 1; i < r; i++)
			if (fabs(m[i * r + c]) > fabs(m[pivot * r + c]))
				pivot = i;
		for (int k = 0; k < r; k++) {
			double p = m[c * r + k], q = inv[c * r + k];

			m[c * r + k] = m[pivot * r + k];
			m[pivot * r + k] = p;
			inv[c * r + k] = inv[pivot * r + k];
			inv[pivot * r + k] = q;
		}
		for (int i = 0; i < r; i++) {
			double f = i == c ? 0 : m[i * r + c] / m[c * r + c];

			for (int k = 0; f != 0 && k < r; k++) {
				m[i * r + k] -= f * m[c * r + k];
				inv[i * r + k] -= f * inv[c * r + k];
			}
		}
	}
	/* m is diagonal now */
	for (int i = 0; i < r * r; i++)
		inv[i] /= m[i / r * r + i / r];
}

/* K = X - X^T of the expert whose columns begin at `first` of G [., R]; inv = (I + K)^-1;
 * rot = inv (I - K). */
static void rotation(int r, int R, const moe_real *G, int first, double *inv, double *rot)
{
	double K[RANK_MAX * RANK_MAX] = { 0 };

	for (int i = 0; i < r; i++)
		for (int j = 0; j < r; j++)
			K[i * r + j] =
				(double)G[(size_t)(1 + i) * (size_t)R + (size_t)(first + j)] -
				(double)G[(size_t)(1 + j) * (size_t)R + (size_t)(first + i)];
	invert(r, K, inv);
	for (int i = 0; i < r; i++)
		for (int j = 0; j < r; j++) {
			rot[i * r + j] = inv[i * r + j];
			for (int k = 0; k < r; k++)
				rot[i * r + j] -= inv[i * r + k] * K[k * r + j];
		}
}

static void make(const struct moe_experts *x, int d_in, int d_out,
	moe_real *const p[MOE_FORM_TENSORS], moe_real *A, moe_real *B)
{
	size_t R = (size_t)x->R, in = (size_t)d_in;
	double inv[RANK_MAX * RANK_MAX] = { 0 }, rot[RANK_MAX * RANK_MAX] = { 0 };

	/* B = U S diag(tanh g) */
	for (size_t i = 0; i < R; i++) {
		double gain = tanh_of((double)p[GAIN][i]);

		for (size_t o = 0; o < (size_t)d_out; o++)
			B[o * R + i] = (moe_real)(gain * (double)p[WRITE][o * R + i]);
	}
	/* A = V, of the quarantine R V */
	memcpy(A, p[READ], R * in * sizeof(*A));
	for (int e = 0; e < x->E; e++) {
		int r = x->rank[e], first = x->first[e];

		if (x->bank[e] != MOE_BANK_QUARANTINE)
			continue;
		rotation(r, x->R, p[GAIN], first, inv, rot);
		for (int i = 0; i < r; i++)
			for (size_t c = 0; c < in; c++) {
				double sum = 0;

				for (int k = 0; k < r; k++)
					sum += rot[i * r + k] *
						(double)p[READ][(size_t)(first + k) * in + c];
				A[(size_t)(first + i) * in + c] = (moe_real)sum;
			}
	}
}

/* dX of one expert from H = dR [r, r]: with d rot = -inv dK (I + rot),
 *     dK = -inv^T H (I + rot)^T,  dX = dK - dK^T */
static void rotation_bwd(int r, const double *inv, const double *rot, const double *H, double *dX)
{
	double t[RANK_MAX * RANK_MAX] = { 0 }, dK[RANK_MAX * RANK_MAX] = { 0 };

	for (int i = 0; i < r; i++)
		for (int j = 0; j < r; j++) {
			t[i * r + j] = 0;
			for (int k = 0; k < r; k++)
				t[i * r + j] += inv[k * r + i] * H[k * r + j];
		}
	for (int i = 0; i < r; i++)
		for (int j = 0; j < r; j++) {
			dK[i * r + j] = -t[i * r + j];
			for (int k = 0; k < r; k++)
				dK[i * r + j] -= t[i * r + k] * rot[j * r + k];
		}
	for (int i = 0; i < r; i++)
		for (int j = 0; j < r; j++)
			dX[i * r + j] = dK[i * r + j] - dK[j * r + i];
}

static void bwd(const struct moe_experts *x, int d_in, int d_out,
	moe_real *const p[MOE_FORM_TENSORS], const moe_real *dA, const moe_real *dB,
	moe_real *const d[MOE_FORM_TENSORS])
{
	size_t R = (size_t)x->R, in = (size_t)d_in;
	double inv[RANK_MAX * RANK_MAX] = { 0 }, rot[RANK_MAX * RANK_MAX] = { 0 },
			      H[RANK_MAX * RANK_MAX] = { 0 }, dX[RANK_MAX * RANK_MAX] = { 0 };

	/* dg = (1 - tanh^2 g) sum over out of dB U S */
	for (size_t i = 0; i < R; i++) {
		double gain = tanh_of((double)p[GAIN][i]), sum = 0;

		for (size_t o = 0; o < (size_t)d_out; o++)
			sum += (double)dB[o * R + i] * (double)p[WRITE][o * R + i];
		d[GAIN][i] += (moe_real)((1 - gain * gain) * sum);
	}
	for (int e = 0; e < x->E; e++) {
		int r = x->rank[e], first = x->first[e];

		if (x->bank[e] != MOE_BANK_QUARANTINE)
			continue;
		/* H = dA V^T */
		for (int i = 0; i < r * r; i++) {
			const moe_real *a = dA + (size_t)(first + i / r) * in,
				       *v = p[READ] + (size_t)(first + i % r) * in;

			H[i] = 0;
			for (size_t c = 0; c < in; c++)
				H[i] += (double)a[c] * (double)v[c];
		}
		rotation(r, x->R, p[GAIN], first, inv, rot);
		rotation_bwd(r, inv, rot, H, dX);
		for (int i = 0; i < r * r; i++)
			d[GAIN][(size_t)(1 + i / r) * R + (size_t)(first + i % r)] += (moe_real)
				dX[i];
	}
}

static const struct moe_form form = { "bounded", tensors, make, bwd };

/* ---- at moe-pin ---- */

/* V into A and U S into B for a moment; init moves them to where they stay. */
static int begin(const struct moe_adapter *a, const struct moe_begin *q, struct moe_err *e)
{
	(void)a;
	return moe_begin_dealt(q, false, e);
}

static int init(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	struct moe_err *e)
{
	struct moe_experts *x = &a->x;

	if (moe_begin_at(g, p, a, begin, e))
		return -1;
	for (size_t cell = 0; cell < (size_t)x->config.L * MOE_LINEARS; cell++) {
		const struct moe_view *va = moe_view_of(x, cell, MOE_ROLE_A),
				      *vb = moe_view_of(x, cell, MOE_ROLE_B);
		moe_real *t[MOE_FORM_TENSORS];

		if (!va)
			continue;
		moe_form_params(x, x->param, cell, t);
		memcpy(t[READ], x->param + va->off, va->n * sizeof(*t[READ]));
		memcpy(t[WRITE], x->param + vb->off, vb->n * sizeof(*t[WRITE]));
	}
	moe_experts_form(x);
	return 0;
}

static int check(const double *set, const struct moe_experts *x, struct moe_err *e)
{
	(void)set;
	return most_quarantine(x) <= RANK_MAX
		? 0
		: moe_fail(e, MOE_USAGE, "a quarantine expert of this method has at most %d ranks",
			  RANK_MAX);
}

const struct moe_method moe_method_bounded = {
	.name = "bounded",
	.purpose = "bounded gains on frozen directions; the quarantine turns what it reads",
	.cites = "vGROUT's antipasto; CorDA (Yang et al. 2406.05223); Cayley's rotation",
	.supports = "a bound on what an expert can add; no published numbers",
	.presence = "yes: every gate is 1",
	.placebo = "vanilla",
	.needs_pairs = true,
	.settings = settings,
	.form = &form,
	.plan = moe_decision_table_ones,
	.check = check,
	.init = init,
};
