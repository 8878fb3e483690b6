/* head.c - logits and log-probabilities at chosen rows, and their gradient. At most BUDGET logits
 * exist at a time: some rows of the whole vocabulary, or (only beyond 262144 tokens) of a span of
 * it. Weights that must be widened or turned are so COLS at a time. */
#include "model/acts.h"
#include "nn/loss.h"
#include "tensor/gemm.h"
#include "tensor/vec.h"
#include "util/elementary.h"

#include <math.h>
#include <string.h>
#include <time.h>

#ifdef MOE_REAL_F64
enum {
	ROWS = 256,
	WIDE_ROWS = ROWS,
	ROWS_MIN = 64,
	COLS = 1500,
	BUDGET = ROWS_MIN * 4096
}; /* so that the tests reach spans */
#else
/* Wide heads are read from memory for every block of rows: more rows, half as many reads. */
enum { ROWS = 256, WIDE_ROWS = 512, ROWS_MIN = 96, COLS = 8192, BUDGET = ROWS_MIN * 262144 };
#endif

static double now_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Scratch of the head, and the span [s0, s0+span) of the vocabulary whose logits there are. */
struct head {
	const struct moe_model *m;
	struct pass *p;
	struct moe_pool *pool;
	int rows; /* most rows of a block */
	double inv_temp;
	moe_real *h;                /* [rows, D] gathered hidden states */
	moe_real *logits, *scratch; /* [rows, span_max], [threads, span_max] */
	moe_real *wide, *turned;    /* [COLS, D] when stored otherwise; [D, COLS] */
	const moe_real *w;          /* tokens [c0, c0+cols) as [cols, D] */
	bool t, ready;              /* a head of one piece is turned once */
	int cols_max, cols, span_max, s0, span;
	double lse[WIDE_ROWS], top[WIDE_ROWS], sum[WIDE_ROWS], dot[WIDE_ROWS];
	/* the block at hand, whose rows a pool's threads share out */
	int n;
	moe_real *z;           /* [n, span] the piece's columns of logits */
	const int32_t *target; /* [n] */
	double z_target[WIDE_ROWS];
	const moe_real *dlogp, *dent, *H; /* [n]; the last two may be NULL */
	bool entropy;                     /* is wanted */
	moe_real *dh;                     /* [n, D] */
};

static size_t at(int row, int cols)
{
	return (size_t)row * (size_t)cols;
}

static int head_init(struct head *q, const struct moe_model *m, struct moe_acts *a, int n,
	double temperature, struct moe_err *e)
{
	struct pass *p = a->priv;
	size_t D = (size_t)m->config.D, sz = sizeof(moe_real), cols;
	int V = m->config.V, most = D > 256 ? WIDE_ROWS : ROWS;

	memset(q, 0, sizeof(*q));
	q->m = m;
	q->p = p;
	q->pool = a->pool;
	q->inv_temp = 1 / temperature;
	q->t = D < 384;
	q->rows = BUDGET / V > most ? most : BUDGET / V < ROWS_MIN ? ROWS_MIN : BUDGET / V;
	q->rows = n < q->rows && n > 0 ? n : q->rows;
	q->span_max = V < BUDGET / q->rows ? V : BUDGET / q->rows;
	q->cols_max = q->span_max < COLS || (m->head.dtype == MOE_REAL_DTYPE && !q->t) ? q->span_max
										       : COLS;
	cols = (size_t)q->cols_max;
	moe_arena_reset(&p->tmp);
	q->h = moe_arena_get(&p->tmp, (size_t)q->rows * D, sz, e);
	q->logits = moe_arena_get(&p->tmp, (size_t)q->rows * (size_t)q->span_max, sz, e);
	q->scratch = moe_arena_get(&p->tmp,
		(size_t)q->span_max * (size_t)(q->pool ? moe_pool_threads(q->pool) : 1), sz, e);
	if (!q->h || !q->logits || !q->scratch)
		return -1;
	if (m->head.dtype != MOE_REAL_DTYPE && !(q->wide = moe_arena_get(&p->tmp, cols * D, sz, e)))
		return -1;
	if (q->t && !(q->turned = moe_arena_get(&p->tmp, cols * D, sz, e)))
		return -1;
	return 0;
}

/* Points q->w at the tokens from c0 within the span, q->cols of them. */
static void piece(struct head *q, int c0)
{
	const struct moe_weight *w = &q->m->head;
	int D = q->m->config.D, left = q->s0 + q->span - c0;

	q->cols = left < q->cols_max ? left : q->cols_max;
	if (q->ready)
		return;
	if (w->dtype == MOE_REAL_DTYPE)
		q->w = (const moe_real *)w->data + (size_t)c0 * (size_t)D;
	else {
		moe_weight_widen(w, c0, q->cols, q->wide);
		q->w = q->wide;
	}
	if (q->t && !(q->m->head_forth && q->cols == q->m->config.V))
		moe_transpose(q->cols, D, q->w, D, q->turned, q->cols);
	q->ready = q->cols == q->m->config.V;
}

static void gather(struct head *q, const struct moe_acts *a, int n, const int32_t *row)
{
	size_t D = (size_t)q->m->config.D;

	for (int i = 0; i < n; i++)
		memcpy(q->h + (size_t)i * D, a->out + (size_t)row[i] * D, D * sizeof(moe_real));
}

/* Rows of the piece's logits z = h w^T. */
static void logits_rows(void *ctx, int from, int to, int worker)
{
	const struct head *q = ctx;
	int D = q->m->config.D, n = to - from, k = q->cols;
	const moe_real *h = q->h + at(from, D);
	moe_real *z = q->z + at(from, q->span);

	(void)worker;
	if (q->m->head_forth && k == q->m->config.V)
		moe_gemm_rows_ready(n, k, D, h, D, q->m->head_forth, 0, z, q->span);
	else if (q->p->exact && q->t)
		moe_gemm_rows(n, k, D, h, D, q->turned, k, 0, z, q->span);
	else if (q->p->exact)
		moe_gemm_stored(n, k, D, h, D, q->w, MOE_REAL_DTYPE, D, 0, z, q->span);
	else
		moe_gemm(false, !q->t, n, k, D, 1, h, D, q->t ? q->turned : q->w, q->t ? k : D, 0,
			z, q->span);
}

/* Logits of n gathered rows over the span from s0. */
static void logits(struct head *q, int n, int s0)
{
	int V = q->m->config.V;

	q->n = n;
	q->s0 = s0;
	q->span = V - s0 < q->span_max ? V - s0 : q->span_max;
	for (int c0 = s0; c0 < s0 + q->span; c0 += q->cols) {
		piece(q, c0);
		q->z = q->logits + (c0 - s0);
		moe_pool_rows(q->pool, n, MOE_ROW_GRAIN, logits_rows, q);
	}
}

/* Folds a span's logits into the running maximum, sum and (with entropy) sum of exp * logit of each
 * row. */
static void fold_row(struct head *q, int i, moe_real *z, moe_real *scratch)
{
	size_t n = (size_t)q->span;
	double top = (double)moe_vec_max(n, z), sum, dot = 0, ent, lse, keep;
	bool entropy = q->entropy;

	lse = entropy ? moe_softmax_row(n, z, q->inv_temp, &ent)
		      : moe_logsumexp(n, z, q->inv_temp, scratch);
	if (q->span == q->m->config.V) {
		q->lse[i] = lse;
		q->dot[i] = entropy ? ent : 0;
		return;
	}
	/* sum and dot are relative to exp(top * inv_temp) */
	sum = moe_exp(lse - top * q->inv_temp);
	dot = entropy ? (lse - ent) * sum : 0;
	if (q->s0 == 0 || top > q->top[i]) {
		keep = q->s0 == 0 ? 0 : moe_exp((q->top[i] - top) * q->inv_temp);
		q->sum[i] = (q->s0 == 0 ? 0 : q->sum[i] * keep) + sum;
		q->dot[i] = (q->s0 == 0 ? 0 : q->dot[i] * keep) + dot;
		q->top[i] = top;
	} else {
		keep = moe_exp((top - q->top[i]) * q->inv_temp);
		q->sum[i] += sum * keep;
		q->dot[i] += dot * keep;
	}
	q->lse[i] = q->top[i] * q->inv_temp + moe_log(q->sum[i]);
}

static void fold_rows(void *ctx, int from, int to, int worker)
{
	struct head *q = ctx;

	for (int i = from; i < to; i++) {
		moe_real *z = q->logits + at(i, q->span);
		int t = q->target[i];

		if (t >= q->s0 && t < q->s0 + q->span)
			q->z_target[i] = (double)z[t - q->s0];
		fold_row(q, i, z, q->scratch + at(worker, q->span_max));
	}
}

/* q->lse of n gathered rows; logp[i] and entropy[i] (either may be NULL). */
static void block_logp(
	struct head *q, int n, const int32_t *target, moe_real *logp, moe_real *entropy)
{
	int V = q->m->config.V;
	const double *z_target = q->z_target;

	q->target = target;
	q->entropy = entropy != NULL;
	for (int s0 = 0; s0 < V; s0 += q->span) {
		logits(q, n, s0);
		moe_pool_rows(q->pool, n, 1, fold_rows, q);
	}
	for (int i = 0; i < n; i++) {
		if (logp)
			logp[i] = (moe_real)(z_target[i] * q->inv_temp - q->lse[i]);
		if (entropy)
			entropy[i] = (moe_real)(q->span == V ? q->dot[i]
							     : q->lse[i] - q->dot[i] / q->sum[i]);
	}
}

static int check(const struct moe_model *m, const struct moe_acts *a, int n, const int32_t *row,
	const int32_t *target, double temperature, struct moe_err *e)
{
	const struct pass *p = a->priv;

	if (!p || !p->valid)
		return moe_fail(
			e, MOE_DATA, "there is no forward pass to take log-probabilities from");
	if (!(temperature >= MOE_GREEDY))
		return moe_fail(e, MOE_USAGE, "temperature %g: it must be at least %g", temperature,
			MOE_GREEDY);
	for (int i = 0; i < n; i++)
		if (row[i] < 0 || row[i] >= p->T || target[i] < 0 || target[i] >= m->config.V)
			return moe_fail(e, MOE_DATA,
				"row %d of %d tokens shall predict token %d of a vocabulary of %d",
				(int)row[i], p->T, (int)target[i], m->config.V);
	return 0;
}

int moe_head_logp(const struct moe_model *m, const struct moe_batch *b, struct moe_acts *a, int n,
	const int32_t *row, const int32_t *target, double temperature, moe_real *logp,
	moe_real *entropy, struct moe_err *e)
{
	double t0 = now_sec(), g0 = moe_gemm_sec();
	struct head q;

	(void)b;
	if (check(m, a, n, row, target, temperature, e) || head_init(&q, m, a, n, temperature, e))
		return -1;
	for (int i = 0; i < n; i += q.rows) {
		int k = n - i < q.rows ? n - i : q.rows;

		gather(&q, a, k, row + i);
		block_logp(&q, k, target + i, logp + i, entropy ? entropy + i : NULL);
	}
	a->gemm_sec += moe_gemm_sec() - g0;
	a->total_sec += now_sec() - t0;
	return 0;
}

/* scratch = what a row's entropy H adds to the gradient of its logits z, for a gradient dent of H:
 * with log p_j = z_j / temperature - lse,  dH/dz_j = -p_j (log p_j + H) / temperature. */
static void entropy_gradient(
	const struct head *q, int i, const moe_real *z, double dent, double H, moe_real *scratch)
{
	double c = -dent * q->inv_temp;

	for (int j = 0; j < q->span; j++) {
		double lp = (double)z[j] * q->inv_temp - q->lse[i];

		scratch[j] = (moe_real)(c * moe_exp(lp) * (lp + H));
	}
}

int moe_head_kl(const struct moe_model *m, int n, const moe_real *p, const moe_real *q, double *kl,
	struct moe_err *e)
{
	size_t V = (size_t)m->config.V, D = (size_t)m->config.D;
	/* rows of which the whole vocabulary's logits fit twice */
	int most = BUDGET / 2 / m->config.V > 0 ? BUDGET / 2 / m->config.V : 1;
	struct pass tmp = { .exact = true };
	struct moe_acts a = { .priv = &tmp };
	struct head h;
	moe_real *z;
	int rc = head_init(&h, m, &a, n < most ? n : most, 1, e);

	z = rc == 0 ? moe_arena_get(&tmp.tmp, (size_t)h.rows * V, sizeof(*z), e) : NULL;
	for (int i = 0; z && i < n; i += h.rows) {
		int k = n - i < h.rows ? n - i : h.rows;

		memcpy(h.h, p + (size_t)i * D, (size_t)k * D * sizeof(*p));
		logits(&h, k, 0);
		memcpy(z, h.logits, (size_t)k * V * sizeof(*z));
		memcpy(h.h, q + (size_t)i * D, (size_t)k * D * sizeof(*q));
		logits(&h, k, 0);
		for (int r = 0; r < k; r++) {
			const moe_real *x = z + (size_t)r * V, *y = h.logits + (size_t)r * V;
			double lse_x = moe_logsumexp(V, x, 1, h.scratch),
			       lse_y = moe_logsumexp(V, y, 1, h.scratch), sum = 0;

			/* sum of P (log P - log Q), log P = x - lse_x, log Q = y - lse_y */
			memcpy(h.scratch, x, V * sizeof(*x));
			moe_vec_exp_sum(V, h.scratch, (moe_real)lse_x, 1);
			for (size_t v = 0; v < V; v++)
				sum += (double)h.scratch[v] * ((double)x[v] - (double)y[v]);
			kl[i + r] = sum - lse_x + lse_y;
		}
	}
	moe_arena_free(&tmp.tmp);
	return z ? 0 : -1;
}

/* Logits of the span -> gradient of the logits, in place: d(logp)/dz_j = (1[j = target] - p_j) /
 * temperature; with q->dent, gradient and value (q->H) of the rows' entropies are there too. */
static void gradient_rows(void *ctx, int from, int to, int worker)
{
	struct head *q = ctx;
	moe_real *scratch = q->scratch + at(worker, q->span_max);
	size_t n = (size_t)q->span;

	for (int i = from; i < to; i++) {
		moe_real *z = q->logits + at(i, q->span);
		double c = (double)q->dlogp[i] * q->inv_temp;
		int t = q->target[i];

		if (q->dent)
			entropy_gradient(q, i, z, (double)q->dent[i], (double)q->H[i], scratch);
		moe_vec_exp_sum(n, z, (moe_real)(q->lse[i] / q->inv_temp), (moe_real)q->inv_temp);
		moe_vec_scale(n, (moe_real)-c, z);
		if (t >= q->s0 && t < q->s0 + q->span)
			z[t - q->s0] += (moe_real)c;
		if (q->dent)
			moe_vec_add(n, scratch, z);
	}
}

/* Rows of dh [n, D] = or += dz [n, cols] w [cols, D], the piece's share. */
static void through_rows(void *ctx, int from, int to, int worker)
{
	const struct head *q = ctx;
	int D = q->m->config.D;

	(void)worker;
	moe_gemm(false, false, to - from, D, q->cols, 1, q->z + at(from, q->span), q->span, q->w, D,
		q->z == q->logits && q->s0 == 0 ? 0 : 1, q->dh + at(from, D), D);
}

/* From the span's gradient of the logits: q->dh (overwritten by the first span) and the weight's.
 */
static void through(struct head *q, int n, moe_real *dw)
{
	int D = q->m->config.D;

	for (int c0 = q->s0; c0 < q->s0 + q->span; c0 += q->cols) {
		piece(q, c0);
		q->z = q->logits + (c0 - q->s0);
		moe_pool_rows(q->pool, n, MOE_ROW_GRAIN, through_rows, q);
		if (dw)
			moe_gemm(true, false, q->cols, D, n, 1, q->z, q->span, q->h, D, 1,
				dw + at(c0, D), D);
	}
}

int moe_head_backward(const struct moe_model *m, struct moe_acts *a, int n, const int32_t *row,
	const int32_t *target, double temperature, const moe_real *dlogp, moe_real *d_out,
	moe_real *dm, struct moe_err *e)
{
	size_t D = (size_t)m->config.D;
	const moe_real *dent = a->dentropy;
	moe_real H[WIDE_ROWS];
	struct head q;

	if (check(m, a, n, row, target, temperature, e) || head_init(&q, m, a, n, temperature, e))
		return -1;
	q.H = H;
	q.dh = moe_arena_get(&q.p->tmp, (size_t)q.rows * D, sizeof(*q.dh), e);
	if (!q.dh)
		return -1;
	for (int i = 0; i < n; i += q.rows) {
		int k = n - i < q.rows ? n - i : q.rows;

		gather(&q, a, k, row + i);
		block_logp(&q, k, target + i, a->logp ? a->logp + i : NULL, dent ? H : NULL);
		for (int s0 = 0; s0 < m->config.V; s0 += q.span) {
			/* else its logits are still there; entropies leave probabilities */
			if (q.span != m->config.V || dent)
				logits(&q, k, s0);
			q.dlogp = dlogp + i;
			q.dent = dent ? dent + i : NULL;
			moe_pool_rows(q.pool, k, 1, gradient_rows, &q);
			through(&q, k, dm ? dm + m->head.off : NULL);
		}
		for (int j = 0; j < k; j++)
			moe_vec_add(D, q.dh + (size_t)j * D, d_out + (size_t)row[i + j] * D);
	}
	return 0;
}
