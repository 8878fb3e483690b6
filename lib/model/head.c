/* head.c - logits and log-probabilities at chosen rows, and their gradient. Logits exist for ROWS rows and COLS tokens at a time. */
#include "model/acts.h"
#include "nn/loss.h"
#include "tensor/gemm.h"
#include "tensor/vec.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { ROWS = 256, COLS = 8192 };

static double now_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Scratch of the head, and the stretch [c0, c0+cols) of the vocabulary in use. */
struct head {
	const struct moe_model *m;
	struct pass *p;
	int threads;
	double inv_temp;
	moe_real *h;                /* [ROWS, D] gathered hidden states */
	moe_real *logits, *scratch; /* [ROWS, cols], [cols] */
	moe_real *wide, *turned;    /* [COLS, D] when stored otherwise; [D, COLS] */
	const moe_real *w;          /* the stretch as [cols, D] */
	bool t, ready;              /* a head of one stretch is turned once */
	int c0, cols;
	double lse[ROWS], top[ROWS], sum[ROWS], dot[ROWS];
};

static bool is_own(const struct moe_weight *w)
{
#ifdef MOE_REAL_F64
	return w->dtype == MOE_F64;
#else
	return w->dtype == MOE_F32;
#endif
}

static int head_init(struct head *q, const struct moe_model *m, struct moe_acts *a, double temperature, struct moe_err *e)
{
	struct pass *p = a->priv;
	size_t D = (size_t)m->config.D, cols = (size_t)(m->config.V < COLS ? m->config.V : COLS), sz = sizeof(moe_real);

	memset(q, 0, sizeof(*q));
	q->m = m;
	q->p = p;
	q->threads = a->gemm_threads;
	q->inv_temp = 1 / temperature;
	q->t = p->exact || D < 384;
	moe_arena_reset(&p->tmp);
	q->h = moe_arena_get(&p->tmp, ROWS * D, sz, e);
	q->logits = moe_arena_get(&p->tmp, ROWS * cols, sz, e);
	q->scratch = moe_arena_get(&p->tmp, cols, sz, e);
	if (!q->h || !q->logits || !q->scratch)
		return -1;
	if (!is_own(&m->head) && !(q->wide = moe_arena_get(&p->tmp, cols * D, sz, e)))
		return -1;
	if (q->t && !(q->turned = moe_arena_get(&p->tmp, cols * D, sz, e)))
		return -1;
	return 0;
}

/* Points q->w at the stretch from c0. */
static void stretch(struct head *q, int c0)
{
	const struct moe_weight *w = &q->m->head;
	int D = q->m->config.D, V = q->m->config.V;

	q->c0 = c0;
	q->cols = V - c0 < COLS ? V - c0 : COLS;
	if (q->ready)
		return;
	if (is_own(w))
		q->w = (const moe_real *)w->data + (size_t)c0 * (size_t)D;
	else {
		moe_weight_widen(w, c0, q->cols, q->wide);
		q->w = q->wide;
	}
	if (q->t)
		moe_transpose(q->cols, D, q->w, D, q->turned, q->cols);
	q->ready = q->cols == V;
}

static void gather(struct head *q, const struct moe_acts *a, int n, const int32_t *row)
{
	size_t D = (size_t)q->m->config.D;

	for (int i = 0; i < n; i++)
		memcpy(q->h + (size_t)i * D, a->out + (size_t)row[i] * D, D * sizeof(moe_real));
}

static void logits(struct head *q, int n)
{
	int D = q->m->config.D;

	if (q->p->exact)
		moe_gemm_rows(n, q->cols, D, q->h, D, q->turned, q->cols, 0, q->logits, q->cols, q->threads);
	else
		moe_gemm(false, !q->t, n, q->cols, D, 1, q->h, D, q->t ? q->turned : q->w, q->t ? q->cols : D, 0, q->logits, q->cols, q->threads);
}

/* Folds a stretch's logits into the running maximum, sum and (with entropy) sum of exp * logit of each row. */
static void fold_row(struct head *q, int i, moe_real *z, bool entropy)
{
	size_t n = (size_t)q->cols;
	double top = (double)moe_vec_max(n, z), sum, dot = 0, ent, lse, keep;

	lse = entropy ? moe_softmax_row(n, z, q->inv_temp, &ent) : moe_logsumexp(n, z, q->inv_temp, q->scratch);
	if (q->cols == q->m->config.V) {
		q->lse[i] = lse;
		q->dot[i] = entropy ? ent : 0;
		return;
	}
	/* sum and dot are relative to exp(top * inv_temp) */
	sum = exp(lse - top * q->inv_temp);
	dot = entropy ? (lse - ent) * sum : 0;
	if (q->c0 == 0 || top > q->top[i]) {
		keep = q->c0 == 0 ? 0 : exp((q->top[i] - top) * q->inv_temp);
		q->sum[i] = (q->c0 == 0 ? 0 : q->sum[i] * keep) + sum;
		q->dot[i] = (q->c0 == 0 ? 0 : q->dot[i] * keep) + dot;
		q->top[i] = top;
	} else {
		keep = exp((top - q->top[i]) * q->inv_temp);
		q->sum[i] += sum * keep;
		q->dot[i] += dot * keep;
	}
	q->lse[i] = q->top[i] * q->inv_temp + log(q->sum[i]);
}

/* q->lse of n gathered rows; logp[i] and entropy[i] (either may be NULL). */
static void block_logp(struct head *q, int n, const int32_t *target, moe_real *logp, moe_real *entropy)
{
	int V = q->m->config.V;
	double z_target[ROWS];

	for (int c0 = 0; c0 < V; c0 += COLS) {
		stretch(q, c0);
		logits(q, n);
		for (int i = 0; i < n; i++) {
			moe_real *z = q->logits + (size_t)i * (size_t)q->cols;

			if (target[i] >= c0 && target[i] < c0 + q->cols)
				z_target[i] = (double)z[target[i] - c0];
			fold_row(q, i, z, entropy != NULL);
		}
	}
	for (int i = 0; i < n; i++) {
		if (logp)
			logp[i] = (moe_real)(z_target[i] * q->inv_temp - q->lse[i]);
		if (entropy)
			entropy[i] = (moe_real)(V <= COLS ? q->dot[i] : q->lse[i] - q->dot[i] / q->sum[i]);
	}
}

static int check(const struct moe_model *m, const struct moe_acts *a, int n, const int32_t *row, const int32_t *target, double temperature,
	struct moe_err *e)
{
	const struct pass *p = a->priv;

	if (!p || !p->valid)
		return moe_fail(e, MOE_DATA, "there is no forward pass to take log-probabilities from");
	if (!(temperature > 0))
		return moe_fail(e, MOE_USAGE, "temperature %g: it must be above 0", temperature);
	for (int i = 0; i < n; i++)
		if (row[i] < 0 || row[i] >= p->T || target[i] < 0 || target[i] >= m->config.V)
			return moe_fail(e, MOE_DATA, "row %d of %d tokens shall predict token %d of a vocabulary of %d", (int)row[i], p->T, (int)target[i],
				m->config.V);
	return 0;
}

int moe_head_logp(const struct moe_model *m, const struct moe_batch *b, struct moe_acts *a, int n, const int32_t *row, const int32_t *target,
	double temperature, moe_real *logp, moe_real *entropy, struct moe_err *e)
{
	double t0 = now_sec(), g0 = moe_gemm_sec();
	struct head q;

	(void)b;
	if (check(m, a, n, row, target, temperature, e) || head_init(&q, m, a, temperature, e))
		return -1;
	for (int i = 0; i < n; i += ROWS) {
		int k = n - i < ROWS ? n - i : ROWS;

		gather(&q, a, k, row + i);
		block_logp(&q, k, target + i, logp + i, entropy ? entropy + i : NULL);
	}
	a->gemm_sec += moe_gemm_sec() - g0;
	a->total_sec += now_sec() - t0;
	return 0;
}

/* Logits of one stretch -> gradient of the logits, in place: d(logp)/dz_j = (1[j = target] - p_j) / temperature. */
static void to_gradient(struct head *q, int n, const int32_t *target, const moe_real *dlogp)
{
	for (int i = 0; i < n; i++) {
		moe_real *z = q->logits + (size_t)i * (size_t)q->cols;
		double c = (double)dlogp[i] * q->inv_temp;

		moe_vec_exp_sum((size_t)q->cols, z, (moe_real)(q->lse[i] / q->inv_temp), (moe_real)q->inv_temp);
		moe_vec_scale((size_t)q->cols, (moe_real)-c, z);
		if (target[i] >= q->c0 && target[i] < q->c0 + q->cols)
			z[target[i] - q->c0] += (moe_real)c;
	}
}

int moe_head_backward(const struct moe_model *m, struct moe_acts *a, int n, const int32_t *row, const int32_t *target, double temperature,
	const moe_real *dlogp, moe_real *d_out, moe_real *dm, struct moe_err *e)
{
	int D = m->config.D, V = m->config.V;
	struct head q;
	moe_real *dh;

	if (check(m, a, n, row, target, temperature, e) || head_init(&q, m, a, temperature, e))
		return -1;
	dh = moe_arena_get(&q.p->tmp, ROWS * (size_t)D, sizeof(*dh), e);
	if (!dh)
		return -1;
	for (int i = 0; i < n; i += ROWS) {
		int k = n - i < ROWS ? n - i : ROWS;

		gather(&q, a, k, row + i);
		block_logp(&q, k, target + i, a->logp ? a->logp + i : NULL, NULL);
		for (int c0 = 0; c0 < V; c0 += COLS) {
			if (V > COLS) { /* else the logits are still there */
				stretch(&q, c0);
				logits(&q, k);
			}
			to_gradient(&q, k, target + i, dlogp + i);
			moe_gemm(false, false, k, D, q.cols, 1, q.logits, q.cols, q.w, D, c0 ? 1 : 0, dh, D, q.threads);
			if (dm)
				moe_gemm(true, false, q.cols, D, k, 1, q.logits, q.cols, q.h, D, 1, dm + m->head.off + (size_t)c0 * (size_t)D, D, q.threads);
		}
		for (int j = 0; j < k; j++)
			moe_vec_add((size_t)D, dh + (size_t)j * (size_t)D, d_out + (size_t)row[i + j] * (size_t)D);
	}
	return 0;
}
