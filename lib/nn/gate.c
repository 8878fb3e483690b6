/* gate.c - gates from logits and their losses, row by row; which expert a row is for, and when, is
 * not decided here. */
#include "nn/gate.h"
#include "util/elementary.h"

#include "tensor/vec.h"

#include <math.h>

#define BISECTIONS    50
#define NEAR_ONE      1e-6 /* alpha - 1 below this is softmax: the exponent 1/(alpha-1) is past use */
#define TINY_NORM     1e-12
#define COLUMNS_MAX   64
#define SINKHORN_TINY 1e-300

/* Row t of an array with row stride ld. */
static const moe_real *row_of(const moe_real *x, int t, int ld)
{
	return x + (size_t)t * (size_t)ld;
}

static moe_real *mutable_row(moe_real *x, int t, int ld)
{
	return x + (size_t)t * (size_t)ld;
}

static double dot_row(int E, const moe_real *x, const moe_real *y)
{
	double sum = 0;

	for (int i = 0; i < E; i++)
		sum += (double)x[i] * (double)y[i];
	return sum;
}

/* y[D] += a x[D] */
static void add_scaled(int D, double a, const moe_real *x, moe_real *y)
{
	for (int i = 0; i < D; i++)
		y[i] += (moe_real)(a * (double)x[i]);
}

/* ---- logits ---- */

void moe_gate_linear(int T, int D, int E, const moe_real *x, int ldx, const moe_real *w,
	const moe_real *b, double scale, moe_real *z)
{
	for (int t = 0; t < T; t++)
		for (int i = 0; i < E; i++) {
			/* one dot product per logit, its eight lanes folded in a fixed order: no
			 * blocking over rows, so no bit depends on T */
			double s = moe_vec_dot((size_t)D, row_of(x, t, ldx), row_of(w, i, D));

			mutable_row(z, t, E)[i] = (moe_real)(scale * (s + (b ? (double)b[i] : 0)));
		}
}

void moe_gate_linear_bwd(int T, int D, int E, const moe_real *dz, const moe_real *x, int ldx,
	const moe_real *w, double scale, moe_real *dx, int lddx, moe_real *dw, moe_real *db)
{
	for (int t = 0; t < T; t++)
		for (int i = 0; i < E; i++) {
			double g = scale * (double)row_of(dz, t, E)[i];

			if (g == 0)
				continue;
			if (dx) /* dx_t += g w_i */
				add_scaled(D, g, row_of(w, i, D), mutable_row(dx, t, lddx));
			if (dw) /* dw_i += g x_t */
				add_scaled(D, g, row_of(x, t, ldx), mutable_row(dw, i, D));
			if (db)
				db[i] += (moe_real)g;
		}
}

/* c = u.w / (|u| |w|) with u = x - m, and the two norms */
struct cosine {
	double c, nu, nw;
};

static double centred(const moe_real *x, const moe_real *m, int j)
{
	return (double)x[j] - (m ? (double)m[j] : 0);
}

static struct cosine cosine_of(int D, const moe_real *x, const moe_real *m, const moe_real *w)
{
	struct cosine k = { 0 };

	for (int j = 0; j < D; j++) {
		double u = centred(x, m, j);

		k.c += u * (double)w[j];
		k.nu += u * u;
		k.nw += (double)w[j] * (double)w[j];
	}
	k.nu = fmax(sqrt(k.nu), TINY_NORM);
	k.nw = fmax(sqrt(k.nw), TINY_NORM);
	k.c /= k.nu * k.nw;
	return k;
}

void moe_gate_cosine(int T, int D, int E, const moe_real *x, int ldx, const moe_real *m,
	const moe_real *w, double scale, moe_real *z)
{
	for (int t = 0; t < T; t++)
		for (int i = 0; i < E; i++)
			mutable_row(z, t, E)[i] = (moe_real)(scale *
				cosine_of(D, row_of(x, t, ldx), m, row_of(w, i, D)).c);
}

void moe_gate_cosine_bwd(int T, int D, int E, const moe_real *dz, const moe_real *x, int ldx,
	const moe_real *m, const moe_real *w, double scale, moe_real *dx, int lddx, moe_real *dw)
{
	for (int t = 0; t < T; t++)
		for (int i = 0; i < E; i++) {
			const moe_real *xt = row_of(x, t, ldx), *wi = row_of(w, i, D);
			struct cosine k = cosine_of(D, xt, m, wi);
			double g = scale * (double)row_of(dz, t, E)[i];

			for (int j = 0; j < D; j++) {
				double u = centred(xt, m, j) / k.nu, v = (double)wi[j] / k.nw;

				if (dx) /* (w/|w| - c u/|u|) / |u| */
					mutable_row(dx, t,
						lddx)[j] += (moe_real)(g * (v - k.c * u) / k.nu);
				if (dw) /* (u/|u| - c w/|w|) / |w| */
					mutable_row(dw, i,
						D)[j] += (moe_real)(g * (u - k.c * v) / k.nw);
			}
		}
}

/* ---- softmax ---- */

/* Largest of a row, and the sum of exp(z - largest). */
static double exp_sum(int E, const moe_real *z, double *max)
{
	double sum = 0;

	*max = (double)moe_vec_max((size_t)E, z);
	for (int i = 0; i < E; i++)
		sum += moe_exp((double)z[i] - *max);
	return sum;
}

void moe_gate_softmax(int T, int E, const moe_real *z, moe_real *p)
{
	for (int t = 0; t < T; t++) {
		const moe_real *zt = row_of(z, t, E);
		double max, sum = exp_sum(E, zt, &max);

		for (int i = 0; i < E; i++)
			mutable_row(p, t, E)[i] = (moe_real)(moe_exp((double)zt[i] - max) / sum);
	}
}

void moe_gate_softmax_bwd(int T, int E, const moe_real *p, const moe_real *dp, moe_real *dz)
{
	for (int t = 0; t < T; t++) {
		const moe_real *pt = row_of(p, t, E), *g = row_of(dp, t, E);
		double mean = dot_row(E, pt, g); /* sum_j p_j dp_j */

		for (int i = 0; i < E; i++)
			mutable_row(
				dz, t, E)[i] += (moe_real)((double)pt[i] * ((double)g[i] - mean));
	}
}

/* ---- top-k ---- */

void moe_gate_topk(int T, int E, int k, bool renorm, const moe_real *p, moe_real *y, uint8_t *pick)
{
	for (int t = 0; t < T; t++) {
		const moe_real *pt = row_of(p, t, E);
		uint8_t *c = pick + (size_t)t * (size_t)E;
		double sum = 0;

		for (int i = 0; i < E; i++)
			c[i] = 0;
		for (int n = 0; n < k && n < E; n++) {
			int best = -1; /* the largest that is left; of equal ones the first */

			for (int i = 0; i < E; i++)
				if (!c[i] && (best < 0 || pt[i] > pt[best]))
					best = i;
			c[best] = 1;
			sum += (double)pt[best];
		}
		for (int i = 0; i < E; i++)
			mutable_row(y, t, E)[i] = !c[i] ? 0
				: renorm                ? (moe_real)((double)pt[i] / sum)
							: pt[i];
	}
}

void moe_gate_topk_bwd(int T, int E, bool renorm, const moe_real *p, const moe_real *y,
	const uint8_t *pick, const moe_real *dy, moe_real *dp)
{
	for (int t = 0; t < T; t++) {
		const moe_real *yt = row_of(y, t, E), *g = row_of(dy, t, E);
		const uint8_t *c = pick + (size_t)t * (size_t)E;
		double sum = 0, mean = 0;

		for (int i = 0; renorm && i < E; i++)
			sum += c[i] ? (double)row_of(p, t, E)[i] : 0;
		if (renorm)
			mean = dot_row(E, yt, g);
		/* y_i = p_i / S over the picked:  dp_i = (dy_i - sum_j y_j dy_j) / S */
		for (int i = 0; i < E; i++)
			if (c[i])
				mutable_row(dp, t, E)[i] += renorm
					? (moe_real)(((double)g[i] - mean) / sum)
					: g[i];
	}
}

void moe_gate_groups(int E, int groups, int top, moe_real *score)
{
	moe_real sum[COLUMNS_MAX] = { 0 }, unused[COLUMNS_MAX];
	uint8_t pick[COLUMNS_MAX];
	int size = E / groups;

	for (int q = 0; q < groups; q++) {
		moe_gate_topk(1, size, 2, false, score + q * size, unused, pick);
		for (int i = 0; i < size; i++)
			sum[q] += pick[i] ? score[q * size + i] : 0;
	}
	moe_gate_topk(1, groups, top, false, sum, unused, pick);
	for (int i = 0; i < size * groups; i++)
		score[i] = pick[i / size] ? score[i] : (moe_real)-INFINITY;
}

/* ---- alpha-entmax ---- */

/* max(x, 0)^(1/(alpha-1)); the two closed exponents are exact and cheap. */
static double entmax_power(double x, double a)
{
	if (x <= 0)
		return 0;
	return a == 1 ? x : a == 0.5 ? x * x : moe_pow(x, 1 / a);
}

static double entmax_sum(int E, const moe_real *z, double a, double tau)
{
	double sum = 0;

	for (int i = 0; i < E; i++)
		sum += entmax_power(a * (double)z[i] - tau, a);
	return sum;
}

/* One row; a = alpha - 1. The sum falls as tau rises: at lo the largest alone gives 1, at hi equal
 * shares would. */
static void entmax_row(int E, const moe_real *z, double a, moe_real *p)
{
	double max = (double)moe_vec_max((size_t)E, z), lo, width, sum;

	lo = a * max - 1;
	width = (a * max - moe_pow(1.0 / E, a)) - lo;
	for (int n = 0; n < BISECTIONS; n++) {
		width /= 2;
		if (entmax_sum(E, z, a, lo + width) >= 1)
			lo += width;
	}
	/* what the bisection leaves over is divided away */
	sum = entmax_sum(E, z, a, lo);
	for (int i = 0; i < E; i++)
		p[i] = (moe_real)(entmax_power(a * (double)z[i] - lo, a) / sum);
}

void moe_gate_entmax(int T, int E, double alpha, const moe_real *z, moe_real *p)
{
	if (alpha - 1 < NEAR_ONE) {
		moe_gate_softmax(T, E, z, p);
		return;
	}
	for (int t = 0; t < T; t++)
		entmax_row(E, row_of(z, t, E), alpha - 1, mutable_row(p, t, E));
}

/* sum_i dp_i * dp_i/dalpha of one row; sum_s = sum_i s_i, a = alpha - 1. */
static double entmax_alpha_row(
	int E, const moe_real *p, const moe_real *dp, double alpha, double sum_s)
{
	double a = alpha - 1, H = 0, second = 0, sum = 0;

	for (int i = 0; i < E; i++) {
		double l = p[i] > 0 ? moe_log((double)p[i]) : 0;

		H += (double)p[i] * l;
		second += (double)p[i] * l * l;
	}
	for (int i = 0; i < E; i++) {
		double pi = (double)p[i], l, q;

		if (!(pi > 0))
			continue;
		l = moe_log(pi);
		q = moe_pow(pi, 2 - alpha) / sum_s;
		sum += (double)dp[i] *
			(a < NEAR_ONE ? pi / 2 * (second - l * l)
				      : (pi - q) / (a * a) - (pi * l - q * H) / a);
	}
	return sum;
}

void moe_gate_entmax_bwd(int T, int E, double alpha, const moe_real *p, const moe_real *dp,
	moe_real *dz, double *dalpha)
{
	for (int t = 0; t < T; t++) {
		const moe_real *pt = row_of(p, t, E), *g = row_of(dp, t, E);
		double sum_s = 0, mean = 0;

		/* s_i = p_i^(2-alpha) on the support: softmax's p at alpha 1, sparsemax's 1 at 2 */
		for (int i = 0; i < E; i++)
			if (pt[i] > 0) {
				double s = moe_pow((double)pt[i], 2 - alpha);

				sum_s += s;
				mean += s * (double)g[i];
			}
		mean /= sum_s;
		for (int i = 0; i < E; i++)
			if (pt[i] > 0)
				mutable_row(dz, t,
					E)[i] += (moe_real)(moe_pow((double)pt[i], 2 - alpha) *
					((double)g[i] - mean));
		if (dalpha)
			*dalpha += entmax_alpha_row(E, pt, g, alpha, sum_s);
	}
}

/* ---- floor, sigmoid, relu: element by element ---- */

void moe_gate_floor(int T, int E, double eps, const moe_real *p, moe_real *y)
{
	for (size_t i = 0; i < (size_t)T * (size_t)E; i++)
		y[i] = (moe_real)((1 - E * eps) * (double)p[i] + eps);
}

void moe_gate_floor_bwd(int T, int E, double eps, const moe_real *dy, moe_real *dp)
{
	for (size_t i = 0; i < (size_t)T * (size_t)E; i++)
		dp[i] += (moe_real)((1 - E * eps) * (double)dy[i]);
}

void moe_gate_sigmoid(int T, int E, const moe_real *z, moe_real *y)
{
	for (size_t i = 0; i < (size_t)T * (size_t)E; i++) {
		double v = moe_exp(-fabs((double)z[i])); /* never overflows */

		y[i] = (moe_real)(z[i] >= 0 ? 1 / (1 + v) : v / (1 + v));
	}
}

void moe_gate_sigmoid_bwd(int T, int E, const moe_real *y, const moe_real *dy, moe_real *dz)
{
	for (size_t i = 0; i < (size_t)T * (size_t)E; i++)
		dz[i] += dy[i] * y[i] * (1 - y[i]);
}

void moe_gate_relu(int T, int E, const moe_real *z, moe_real *y)
{
	for (size_t i = 0; i < (size_t)T * (size_t)E; i++)
		y[i] = z[i] > 0 ? z[i] : 0;
}

void moe_gate_relu_bwd(int T, int E, const moe_real *y, const moe_real *dy, moe_real *dz)
{
	for (size_t i = 0; i < (size_t)T * (size_t)E; i++)
		dz[i] += y[i] > 0 ? dy[i] : 0;
}

/* ---- losses over the rows of one scope ---- */

void moe_gate_shares(int T, int E, const uint8_t *pick, double *f)
{
	for (int i = 0; i < E; i++) {
		size_t n = 0;

		for (int t = 0; t < T; t++)
			n += pick[(size_t)t * (size_t)E + (size_t)i];
		f[i] = (double)n / T;
	}
}

double moe_gate_balance(
	int T, int E, int k, const double *f, const moe_real *p, double coef, moe_real *dp)
{
	double loss = 0, c = coef * E / k;

	for (int i = 0; i < E; i++) {
		double mean = 0; /* P_i */

		for (int t = 0; t < T; t++) {
			mean += (double)row_of(p, t, E)[i] / T;
			if (dp) /* only P_i has a gradient: f_i / T for each row */
				mutable_row(dp, t, E)[i] += (moe_real)(c * f[i] / T);
		}
		loss += c * f[i] * mean;
	}
	return loss;
}

double moe_gate_balance_sequence(
	int T, int E, int k, const double *f, const moe_real *s, double coef, moe_real *ds)
{
	double loss = 0, c = coef * E / k;

	for (int t = 0; t < T; t++) {
		const moe_real *st = row_of(s, t, E);
		double sum = 0, mean = 0; /* S = sum of scores; sum_i f_i p_i with p = s / S */

		for (int i = 0; i < E; i++) {
			sum += (double)st[i];
			mean += f[i] * (double)st[i];
		}
		mean /= sum;
		loss += c * mean / T;
		/* ds_i = (f_i - sum_j f_j p_j) / S */
		for (int i = 0; ds && i < E; i++)
			mutable_row(ds, t, E)[i] += (moe_real)(c / T * (f[i] - mean) / sum);
	}
	return loss;
}

double moe_gate_z_loss(int T, int E, const moe_real *z, double coef, moe_real *dz)
{
	double loss = 0;

	for (int t = 0; t < T; t++) {
		const moe_real *zt = row_of(z, t, E);
		double max, sum = exp_sum(E, zt, &max), lse = max + moe_log(sum);

		loss += coef * lse * lse / T;
		/* d lse / dz = softmax */
		for (int i = 0; dz && i < E; i++)
			mutable_row(dz, t, E)[i] += (moe_real)(2 * coef / T * lse *
				moe_exp((double)zt[i] - max) / sum);
	}
	return loss;
}

double moe_gate_spread(int E, const double *q, const double *c, double coef, double *dq)
{
	double mean = 0, var = 0;

	for (int i = 0; i < E; i++)
		mean += c[i] * q[i] / E;
	for (int i = 0; i < E; i++)
		var += (c[i] * q[i] - mean) * (c[i] * q[i] - mean) / (E - 1);
	if (E < 2 || !(mean > 0))
		return 0;
	/* d(v / m^2) = 2 (cq - m) c / ((E-1) m^2) - 2 v c / (E m^3) */
	for (int i = 0; i < E; i++)
		dq[i] += coef * 2 * c[i] / (mean * mean) *
			((c[i] * q[i] - mean) / (E - 1) - var / (E * mean));
	return coef * var / (mean * mean);
}

/* share [E] = exp(score / eps + v), over its sum */
static void plan_row(int E, const moe_real *score, double eps, const double *v, double *share)
{
	double max = -INFINITY, sum = 0;

	for (int i = 0; i < E; i++) {
		share[i] = (double)score[i] / eps + v[i];
		if (share[i] > max) /* fmax here is an internal error of gcc 12 for aarch64 */
			max = share[i];
	}
	for (int i = 0; i < E; i++) {
		share[i] = moe_exp(share[i] - max);
		sum += share[i];
	}
	for (int i = 0; i < E; i++)
		share[i] /= sum;
}

void moe_gate_sinkhorn(
	int T, int E, const moe_real *score, int ld, double eps, int rounds, double *v)
{
	double share[COLUMNS_MAX];

	for (int i = 0; i < E; i++)
		v[i] = 0;
	/* the row's shares sum to 1; then each column's potential by what the column has too much
	 */
	for (int n = 0; n < rounds; n++) {
		double sum[COLUMNS_MAX] = { 0 };

		for (int t = 0; t < T; t++) {
			plan_row(E, row_of(score, t, ld), eps, v, share);
			for (int i = 0; i < E; i++)
				sum[i] += share[i];
		}
		for (int i = 0; i < E; i++)
			v[i] += moe_log((double)T / E / fmax(sum[i], SINKHORN_TINY));
	}
}

int moe_gate_sinkhorn_pick(int E, const moe_real *score, double eps, const double *v)
{
	int best = 0;

	for (int i = 1; i < E; i++)
		best = (double)score[i] / eps + v[i] > (double)score[best] / eps + v[best] ? i
											   : best;
	return best;
}

void moe_gate_take(int T, int n, const moe_real *score, int ld, moe_real *mark, int ld_mark)
{
	for (int t = 0; t < T; t++) {
		moe_real s = *row_of(score, t, ld);
		int before = 0; /* rows that are preferred to t */

		for (int q = 0; q < T; q++) {
			moe_real other = *row_of(score, q, ld);

			before += other > s || (other == s && q < t);
		}
		*mutable_row(mark, t, ld_mark) = before < n;
	}
}

double moe_gate_remoe_coef(double coef, double target, double zero_share)
{
	return zero_share < target ? coef * 1.2 : zero_share > target ? coef / 1.2 : coef;
}

double moe_gate_pin(
	int T, int E, const moe_real *z, const bool *in, bool hot, double coef, moe_real *dz)
{
	double loss = 0;
	int n = 0;

	for (int i = 0; i < E; i++)
		n += in[i];
	for (int t = 0; n > 0 && n < E && t < T; t++) {
		const moe_real *zt = row_of(z, t, E);
		double max = -INFINITY, sum, top, part = 0;

		/* -log M = lse(all) - lse(wanted); the second with its own largest, so that a mass
		 * of 1e-300 still has a finite loss and its gradient */
		sum = exp_sum(E, zt, &top);
		for (int i = 0; i < E; i++)
			if (in[i] == hot)
				max = fmax(max, (double)zt[i]);
		for (int i = 0; i < E; i++)
			part += in[i] == hot ? moe_exp((double)zt[i] - max) : 0;
		loss += coef / T * ((top + moe_log(sum)) - (max + moe_log(part)));
		/* softmax over all minus softmax over the wanted */
		for (int i = 0; dz && i < E; i++)
			mutable_row(dz, t, E)[i] += (moe_real)(coef / T *
				(moe_exp((double)zt[i] - top) / sum -
					(in[i] == hot ? moe_exp((double)zt[i] - max) / part : 0)));
	}
	return loss;
}
