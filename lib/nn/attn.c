/* attn.c - blocked causal attention, forward and backward, and the row form for decoding. Knows
 * nothing of layers or caches. */
#include "nn/attn.h"
#include "tensor/gemm.h"
#include "tensor/vec.h"
#include "util/elementary.h"

#include <math.h>
#include <string.h>

#ifdef MOE_REAL_F64
#define FMA(x, y, z) __builtin_fma(x, y, z)
#else
#define FMA(x, y, z) __builtin_fmaf(x, y, z)
#endif

static size_t at(int row, int ld)
{
	return (size_t)row * (size_t)ld;
}

/* Columns of the scores, rounded up: BLIS sums a last column that stands alone in another order
 * than its neighbours, and odd column counts cost up to a third more. */
static int padded(int n)
{
	return (n + 15) / 16 * 16;
}

size_t moe_attn_scratch(int hd, int n_keys)
{
	return (size_t)padded(n_keys) * (size_t)(2 * hd + 2 * MOE_ATTN_BLOCK) + MOE_ATTN_BLOCK;
}

/* xt [hd, n_par + n] (row stride ld) = the parent's and the own rows, transposed; zeros up to the
 * stride. */
static void gather_t(
	const struct moe_attn *a, const moe_real *xp, const moe_real *x, moe_real *xt, int ld)
{
	int nk = a->n_par + a->n;

	if (a->n_par)
		moe_transpose(a->n_par, a->hd, xp, a->ldk, xt, ld);
	moe_transpose(a->n, a->hd, x, a->ldk, xt + a->n_par, ld);
	for (int d = 0; d < a->hd && nk < ld; d++)
		memset(xt + at(d, ld) + nk, 0, (size_t)(ld - nk) * sizeof(*xt));
}

void moe_attn_fwd(
	const struct moe_attn *a, moe_real *o, int ldo, moe_real *lse, int ldl, moe_real *scratch)
{
	int nk = padded(a->n_par + a->n), hd = a->hd;
	moe_real *kt = scratch, *s = kt + at(hd, nk);

	gather_t(a, a->kp, a->k, kt, nk);
	for (int i0 = 0; i0 < a->n; i0 += MOE_ATTN_BLOCK) {
		int bq = a->n - i0 < MOE_ATTN_BLOCK ? a->n - i0 : MOE_ATTN_BLOCK, own = i0 + bq,
		    seen = padded(a->n_par + own);

		for (int h = 0; h < a->group; h++) {
			moe_real *ob = o + at(i0, ldo) + h * hd;

			moe_gemm_rows(bq, seen, hd, a->q + at(i0, a->ldq) + h * hd, a->ldq, kt, nk,
				0, s, seen);
			for (int i = 0; i < bq; i++) {
				moe_real *row = s + at(i, seen), top;
				int valid = a->n_par + i0 + i + 1;
				double sum;

				top = moe_vec_max((size_t)valid, row);
				sum = moe_vec_exp_sum((size_t)valid, row, top, a->scale);
				memset(row + valid, 0, (size_t)(seen - valid) * sizeof(*row));
				if (lse)
					lse[at(i0 + i, ldl) + (size_t)h] = (moe_real)((double)top *
							(double)a->scale +
						moe_log(sum));
				/* kept for after the product; the diagonal block's tail of s is
				 * free only beyond `seen` */
				s[at(bq, seen) + (size_t)i] = (moe_real)(1 / sum);
			}
			if (a->n_par)
				moe_gemm_rows(bq, hd, a->n_par, s, seen, a->vp, a->ldk, 0, ob, ldo);
			moe_gemm_rows(bq, hd, own, s + a->n_par, seen, a->v, a->ldk,
				a->n_par ? 1 : 0, ob, ldo);
			for (int i = 0; i < bq; i++)
				moe_vec_scale(
					(size_t)hd, s[at(bq, seen) + (size_t)i], ob + at(i, ldo));
		}
	}
}

/* s: scores -> probabilities; dp: gradient of probabilities -> gradient of scores. */
static MOE_CLONES void softmax_bwd_row(int n, moe_real *restrict s, moe_real *restrict dp,
	moe_real scale, moe_real lse, moe_real delta)
{
	for (int j = 0; j < n; j++)
		s[j] = s[j] * scale - lse;
	moe_vec_exp((size_t)n, s, s);
	for (int j = 0; j < n; j++)
		dp[j] = s[j] * (dp[j] - delta) * scale;
}

static void bwd_block(const struct moe_attn *a, const struct moe_attn_grad *g, int i0, int h,
	const moe_real *kt, const moe_real *vt, moe_real *s, moe_real *dp)
{
	int nk = padded(a->n_par + a->n), hd = a->hd, np = a->n_par;
	int bq = a->n - i0 < MOE_ATTN_BLOCK ? a->n - i0 : MOE_ATTN_BLOCK, own = i0 + bq,
	    seen = padded(np + own);
	const moe_real *q = a->q + at(i0, a->ldq) + h * hd, *d_o = g->d_o + at(i0, g->ldo) + h * hd,
		       *o = g->o + at(i0, g->ldo) + h * hd;
	moe_real *dq = g->dq + at(i0, a->ldq) + h * hd;

	moe_gemm(false, false, bq, seen, hd, 1, q, a->ldq, kt, nk, 0, s, seen);
	moe_gemm(false, false, bq, seen, hd, 1, d_o, g->ldo, vt, nk, 0, dp, seen);
	for (int i = 0; i < bq; i++) {
		int valid = np + i0 + i + 1;
		size_t tail = (size_t)(seen - valid) * sizeof(*s);
		moe_real delta = (moe_real)moe_vec_dot(
			(size_t)hd, d_o + at(i, g->ldo), o + at(i, g->ldo));

		softmax_bwd_row(valid, s + at(i, seen), dp + at(i, seen), a->scale,
			g->lse[at(i0 + i, g->ldl) + (size_t)h], delta);
		memset(s + at(i, seen) + valid, 0, tail);
		memset(dp + at(i, seen) + valid, 0, tail);
	}
	if (np) {
		moe_gemm(false, false, bq, hd, np, 1, dp, seen, a->kp, a->ldk, 0, dq, a->ldq);
		moe_gemm(true, false, np, hd, bq, 1, dp, seen, q, a->ldq, 1, g->dkp, a->ldk);
		moe_gemm(true, false, np, hd, bq, 1, s, seen, d_o, g->ldo, 1, g->dvp, a->ldk);
	}
	moe_gemm(false, false, bq, hd, own, 1, dp + np, seen, a->k, a->ldk, np ? 1 : 0, dq, a->ldq);
	moe_gemm(true, false, own, hd, bq, 1, dp + np, seen, q, a->ldq, 1, g->dk, a->ldk);
	moe_gemm(true, false, own, hd, bq, 1, s + np, seen, d_o, g->ldo, 1, g->dv, a->ldk);
}

void moe_attn_bwd(const struct moe_attn *a, const struct moe_attn_grad *g, moe_real *scratch)
{
	int nk = padded(a->n_par + a->n);
	moe_real *kt = scratch, *vt = kt + at(a->hd, nk), *s = vt + at(a->hd, nk),
		 *dp = s + at(MOE_ATTN_BLOCK, nk);

	gather_t(a, a->kp, a->k, kt, nk);
	gather_t(a, a->vp, a->v, vt, nk);
	for (int i0 = 0; i0 < a->n; i0 += MOE_ATTN_BLOCK)
		for (int h = 0; h < a->group; h++)
			bwd_block(a, g, i0, h, kt, vt, s, dp);
}

/* s[len] = q . kt, each a chain of fused multiply-adds over hd, in the panels of moe_gemm_rows. */
static MOE_CLONES void scores(int hd, const moe_real *q, const struct moe_kv *p, moe_real *s)
{
	enum { W = 32 };

	for (int j0 = 0; j0 < p->len; j0 += W) {
		int w = p->len - j0 < W ? p->len - j0 : W;

		for (int d0 = 0; d0 < hd; d0 += MOE_GEMM_PANEL) {
			int d1 = d0 + MOE_GEMM_PANEL < hd ? d0 + MOE_GEMM_PANEL : hd;
			moe_real acc[W] = { 0 };

			if (w == W)
				for (int d = d0; d < d1; d++)
					for (int j = 0; j < W; j++)
						acc[j] = FMA(q[d],
							p->kt[at(d, p->ldk) + (size_t)(j0 + j)],
							acc[j]);
			else
				for (int d = d0; d < d1; d++)
					for (int j = 0; j < w; j++)
						acc[j] = FMA(q[d],
							p->kt[at(d, p->ldk) + (size_t)(j0 + j)],
							acc[j]);
			for (int j = 0; j < w; j++)
				s[j0 + j] = d0 ? s[j0 + j] + acc[j] : acc[j];
		}
	}
}

/* o[hd] = (first ? 0 : o) + s . v */
static MOE_CLONES void weigh(
	int hd, const moe_real *s, const struct moe_kv *p, int first, moe_real *o)
{
	enum { W = 32 };

	for (int d0 = 0; d0 < hd; d0 += W) {
		int w = hd - d0 < W ? hd - d0 : W;

		for (int j0 = 0; j0 < p->len; j0 += MOE_GEMM_PANEL) {
			int j1 = j0 + MOE_GEMM_PANEL < p->len ? j0 + MOE_GEMM_PANEL : p->len;
			moe_real acc[W] = { 0 };

			if (w == W)
				for (int j = j0; j < j1; j++)
					for (int d = 0; d < W; d++)
						acc[d] = FMA(s[j],
							p->v[at(j, p->ldv) + (size_t)(d0 + d)],
							acc[d]);
			else
				for (int j = j0; j < j1; j++)
					for (int d = 0; d < w; d++)
						acc[d] = FMA(s[j],
							p->v[at(j, p->ldv) + (size_t)(d0 + d)],
							acc[d]);
			for (int d = 0; d < w; d++)
				o[d0 + d] = first && j0 == 0 ? acc[d] : o[d0 + d] + acc[d];
		}
	}
}

void moe_attn_row(int hd, int group, const moe_real *q, int n_part, const struct moe_kv *part,
	moe_real scale, moe_real *o, moe_real *scratch)
{
	for (int h = 0; h < group; h++) {
		size_t n = 0, done = 0;
		moe_real top;
		double sum;
		int first = 1;

		for (int p = 0; p < n_part; p++) {
			scores(hd, q + h * hd, &part[p], scratch + n);
			n += (size_t)part[p].len;
		}
		top = moe_vec_max(n, scratch);
		sum = moe_vec_exp_sum(n, scratch, top, scale);
		for (int p = 0; p < n_part; p++) {
			if (part[p].len == 0)
				continue;
			weigh(hd, scratch + done, &part[p], first, o + h * hd);
			first = 0;
			done += (size_t)part[p].len;
		}
		moe_vec_scale((size_t)hd, (moe_real)(1 / sum), o + h * hd);
	}
}
