/* attend.c - one row's attention over cache blocks. Keys lie transposed in their block, so that
 * scores are sums of whole vectors.
 *
 * The order of operations is that of moe_attn_fwd and moe_attn_row (nn/attn.h); what differs is
 * that blocks are padded to whole vectors, which changes no bit of the numbers that are used. */
#include "model/decode_priv.h"

#include "nn/norm.h"
#include "nn/rope.h"
#include "tensor/gemm.h"
#include "tensor/vec.h"

#include <math.h>
#include <string.h>

#define W MOE_DECODE_LANES

#ifdef MOE_REAL_F64
#define FMA(x, y, z) __builtin_fma(x, y, z)
#else
#define FMA(x, y, z) __builtin_fmaf(x, y, z)
#endif

/* Keys of one head in a block; its values follow, one row of hdp for each position. */
static moe_real *head_of(const struct moe_decoder *d, moe_real *block, int pos, int head)
{
	const struct moe_config *c = &d->p->m->config;

	return block +
		((size_t)d->layer * (size_t)c->K + (size_t)head) * (size_t)(c->hd + d->p->hdp) *
		(size_t)pos;
}

static void store_row(struct moe_decoder *d, const struct moe_decode_row *row, moe_real *x)
{
	const struct moe_config *c = &d->p->m->config;
	const struct moe_decode_layer *y = &d->p->layer[d->layer];
	int q = c->H * c->hd, half = c->hd / 2, pos = row->mine->pos, lane = row->at % pos;
	moe_real *block = row->mine->block[row->at / pos];

	if (y->qnorm)
		moe_rmsnorm(c->H, c->hd, x, c->hd, y->qnorm, c->eps, x, c->hd, NULL);
	if (y->knorm)
		moe_rmsnorm(c->K, c->hd, x + q, c->hd, y->knorm, c->eps, x + q, c->hd, NULL);
	moe_rope(1, c->H + c->K, c->hd, x, 0, d->p->cos_ + (size_t)row->pos * (size_t)half,
		d->p->sin_ + (size_t)row->pos * (size_t)half, false);
	for (int h = 0; h < c->K; h++) {
		moe_real *keys = head_of(d, block, pos, h),
			 *value = keys + (size_t)c->hd * (size_t)pos +
			(size_t)lane * (size_t)d->p->hdp;
		const moe_real *k = x + q + h * c->hd;

		for (int j = 0; j < c->hd; j++)
			keys[j * pos + lane] = k[j];
		memcpy(value, k + c->K * c->hd, (size_t)c->hd * sizeof(*value));
	}
}

static int store_rows(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct moe_decoder *d = ctx;
	const struct moe_config *c = &d->p->m->config;
	int from = (int)task * MOE_DECODE_ROWS,
	    to = from + MOE_DECODE_ROWS < d->M ? from + MOE_DECODE_ROWS : d->M;

	(void)worker;
	(void)e;
	for (int i = from; i < to; i++)
		store_row(d, &d->row[i], d->qkv + (size_t)i * (size_t)((c->H + 2 * c->K) * c->hd));
	return 0;
}

/* s[w] = q[hd] . keys[hd, w]: chains of fused multiply-adds in panels, as moe_gemm_rows has them. w
 * is a constant at each call. */
static inline __attribute__((always_inline)) void score_lanes(int w, int hd, int pos,
	const moe_real *restrict q, const moe_real *restrict keys, moe_real *restrict s)
{
	for (int p = 0; p < hd; p += MOE_GEMM_PANEL) {
		int end = p + MOE_GEMM_PANEL < hd ? p + MOE_GEMM_PANEL : hd;
		moe_real acc[2 * W] = { 0 };

		for (int j = p; j < end; j++)
			for (int t = 0; t < w; t++)
				acc[t] = FMA(q[j], keys[j * pos + t], acc[t]);
		for (int t = 0; t < w; t++)
			s[t] = p ? s[t] + acc[t] : acc[t];
	}
}

/* s[len, rounded up to 8] = q[hd] . keys[hd, pos] */
MOE_CLONES static void scores(int hd, int len, int pos, const moe_real *restrict q,
	const moe_real *restrict keys, moe_real *restrict s)
{
	int at = 0;

	for (; len - at > W; at += 2 * W)
		if (at + 2 * W <= pos)
			score_lanes(2 * W, hd, pos, q, keys + at, s + at);
		else
			score_lanes(W, hd, pos, q, keys + at, s + at);
	for (; at < len; at += W / 4)
		if (len - at > W / 2) {
			score_lanes(W, hd, pos, q, keys + at, s + at);
			at += W - W / 4;
		} else if (len - at > W / 4) {
			score_lanes(W / 2, hd, pos, q, keys + at, s + at);
			at += W / 4;
		} else {
			score_lanes(W / 4, hd, pos, q, keys + at, s + at);
		}
}

/* out[hdp] = (first ? 0 : out) + p[n] . values[n, hdp], n <= pos. */
MOE_CLONES static void mix(int n, int hdp, bool first, const moe_real *restrict p,
	const moe_real *restrict values, moe_real *restrict out)
{
	for (int c = 0; c < hdp; c += W) {
		moe_real acc[W] = { 0 };

		for (int t = 0; t < n; t++)
			for (int j = 0; j < W; j++)
				acc[j] = FMA(p[t], values[t * hdp + c + j], acc[j]);
		for (int j = 0; j < W; j++)
			out[c + j] = first ? acc[j] : out[c + j] + acc[j];
	}
}

/* A stretch of a row's context: a block, its positions, how many of them the row sees. */
struct part {
	moe_real *block;
	int pos, n;
};

/* Part b of a row's context (the prompt's first, then its own); block NULL past the end. */
static struct part context(const struct moe_decode_row *r, int b)
{
	int shared = r->shared ? (r->n_shared + r->shared->pos - 1) / r->shared->pos : 0;
	const struct moe_chain *c = b < shared ? r->shared : r->mine;
	int left = (b < shared ? r->n_shared : r->at + 1) - (b < shared ? b : b - shared) * c->pos;

	return (struct part){ left > 0 ? c->block[b < shared ? b : b - shared] : NULL, c->pos,
		left < c->pos ? left : c->pos };
}

static void attend_head(const struct moe_decoder *d, const struct moe_decode_row *r, int head,
	const moe_real *q, moe_real *out, moe_real *s)
{
	const struct moe_config *c = &d->p->m->config;
	moe_real sum[MOE_DECODE_HD_MAX];
	int ctx = 0, at = 0;
	struct part p;
	double total;

	for (int b = 0; (p = context(r, b)).block; b++, ctx += p.n)
		scores(c->hd, p.n, p.pos, q, head_of(d, p.block, p.pos, head), s + ctx);
	total = moe_vec_exp_sum(
		(size_t)ctx, s, moe_vec_max((size_t)ctx, s), (moe_real)(1.0 / sqrt((double)c->hd)));
	for (int b = 0; (p = context(r, b)).block; b++, at += p.n)
		mix(p.n, d->p->hdp, b == 0, s + at,
			head_of(d, p.block, p.pos, head) + (size_t)c->hd * (size_t)p.pos, sum);
	memcpy(out, sum, (size_t)c->hd * sizeof(*out));
	moe_vec_scale((size_t)c->hd, (moe_real)(1 / total), out);
}

static int attend_rows(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct moe_decoder *d = ctx;
	const struct moe_config *c = &d->p->m->config;
	int from = (int)task * MOE_DECODE_ROWS,
	    to = from + MOE_DECODE_ROWS < d->M ? from + MOE_DECODE_ROWS : d->M;
	moe_real *s = d->score + (size_t)worker * (size_t)(d->p->max_ctx + 2 * W);

	(void)e;
	for (int i = from; i < to; i++)
		for (int h = 0; h < c->H; h++)
			attend_head(d, &d->row[i], h / (c->H / c->K),
				d->qkv + (size_t)i * (size_t)((c->H + 2 * c->K) * c->hd) +
					h * c->hd,
				d->att + (size_t)i * (size_t)(c->H * c->hd) + h * c->hd, s);
	return 0;
}

static int store_and_attend(void *ctx, size_t task, int worker, struct moe_err *e)
{
	return store_rows(ctx, task, worker, e) || attend_rows(ctx, task, worker, e);
}

int moe_decode_attention(struct moe_decoder *d, bool keys_only, struct moe_err *e)
{
	size_t tasks = ((size_t)d->M + MOE_DECODE_ROWS - 1) / MOE_DECODE_ROWS;

	if (keys_only)
		return moe_decode_run(d, tasks, store_rows, d, e);
	if (d->apart)
		return moe_decode_run(d, tasks, store_and_attend, d, e);
	return moe_decode_run(d, tasks, store_rows, d, e) ||
			moe_decode_run(d, tasks, attend_rows, d, e)
		? -1
		: 0;
}
