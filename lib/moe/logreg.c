/* logreg.c - logistic regression by L-BFGS; it knows nothing of tokens or pairs. */
#include "moe/logreg.h"
#include "util/elementary.h"

#include "tensor/vec.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY     10
#define ITER_MAX   500
#define GRAD_TOL   1e-6
#define CHUNK_ROWS 256 /* fixed: the sums' order must not depend on threads */
#define LANES      8

double moe_sigmoid(double z)
{
	return z >= 0 ? 1 / (1 + moe_exp(-z)) : moe_exp(z) / (1 + moe_exp(z));
}

/* Parameters are theta[d + 1]: weights of the standardised features, then the bias. */
struct problem {
	const struct moe_logreg_data *p;
	double l2, total;
	double *mean, *inv; /* [d] standardisation; inv 0 where a feature does not vary */
	double *raw;        /* [d] weights of raw features, scratch */
	double *acc;        /* [d] scratch */
	double bias;        /* goes with raw */
	double *part;       /* [chunks, d + 2] loss, sum of residuals, X' residuals */
	size_t chunks;
	struct moe_pool *pool;
};

static double dot(const double *a, const double *b, size_t n)
{
	double s = 0;

	for (size_t i = 0; i < n; i++)
		s += a[i] * b[i];
	return s;
}

/* *total = sum of weights. */
static int standardise(const struct moe_logreg_data *p, double *mean, double *inv, double *total,
	struct moe_err *e)
{
	double class_wt[2] = { 0, 0 };

	memset(mean, 0, p->d * sizeof(*mean));
	memset(inv, 0, p->d * sizeof(*inv));
	for (size_t i = 0; i < p->n; i++) {
		class_wt[p->y[i] ? 1 : 0] += p->wt[i];
		for (size_t k = 0; k < p->d; k++)
			mean[k] += p->wt[i] * (double)p->x[i * p->d + k];
	}
	*total = class_wt[0] + class_wt[1];
	if (!(class_wt[0] > 0 && class_wt[1] > 0))
		return moe_fail(
			e, MOE_DATA, "a score needs tokens of both hack and clean completions");
	for (size_t k = 0; k < p->d; k++) {
		mean[k] /= *total;
		if (!isfinite(mean[k]))
			return moe_fail(
				e, MOE_NUMERIC, "feature %zu of the score is not finite", k);
	}
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->d; k++) {
			double v = (double)p->x[i * p->d + k] - mean[k];

			inv[k] += p->wt[i] * v * v;
		}
	for (size_t k = 0; k < p->d; k++) {
		double sd = sqrt(inv[k] / *total);

		inv[k] = sd > 1e-7 * (1 + fabs(mean[k])) ? 1 / sd : 0;
	}
	return 0;
}

int moe_logreg_standard(
	const struct moe_logreg_data *p, double *mean, double *inv, struct moe_err *e)
{
	double total;

	return standardise(p, mean, inv, &total, e);
}

/* Weights for the raw features from those of the standardised. */
static double unfold(const struct problem *q, const double *theta, double *raw)
{
	double b = theta[q->p->d];

	for (size_t k = 0; k < q->p->d; k++) {
		raw[k] = theta[k] * q->inv[k];
		b -= raw[k] * q->mean[k];
	}
	return b;
}

MOE_CLONES double moe_logreg_dot(const double *w, const float *x, size_t d)
{
	double lane[LANES] = { 0 }, s = 0;
	size_t k = 0;

	for (; k + LANES <= d; k += LANES)
		for (size_t i = 0; i < LANES; i++)
			lane[i] += w[k + i] * (double)x[k + i];
	for (size_t i = 0; i < LANES; i++)
		s += lane[i];
	for (; k < d; k++)
		s += w[k] * (double)x[k];
	return s;
}

/* acc += r x */
static MOE_CLONES void add_row(double *acc, double r, const float *x, size_t d)
{
	for (size_t k = 0; k < d; k++)
		acc[k] += r * (double)x[k];
}

/* Rows of one chunk: their loss, the sum of residuals, and X' residuals, into the chunk's own part.
 */
static int chunk(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct problem *q = ctx;
	const struct moe_logreg_data *p = q->p;
	double *part = q->part + task * (p->d + 2), *acc = part + 2;
	size_t end = (task + 1) * CHUNK_ROWS < p->n ? (task + 1) * CHUNK_ROWS : p->n;

	(void)worker;
	(void)e;
	memset(part, 0, (p->d + 2) * sizeof(*part));
	for (size_t i = task * CHUNK_ROWS; i < end; i++) {
		const float *x = p->x + i * p->d;
		double z, m, r;

		if (p->wt[i] <= 0)
			continue;
		z = q->bias + moe_logreg_dot(q->raw, x, p->d);
		m = p->y[i] ? -z : z;
		part[0] += p->wt[i] * (m > 0 ? m + moe_log1p(moe_exp(-m)) : moe_log1p(moe_exp(m)));
		r = p->wt[i] * (moe_sigmoid(z) - (p->y[i] ? 1.0 : 0.0));
		part[1] += r;
		add_row(acc, r, x, p->d);
	}
	return 0;
}

/* Objective and its gradient g[d + 1]. */
static double objective(struct problem *q, const double *theta, double *g)
{
	const struct moe_logreg_data *p = q->p;
	double loss = 0, sum_r = 0;

	q->bias = unfold(q, theta, q->raw);
	if (q->pool)
		(void)moe_pool_run(q->pool, q->chunks, chunk, q, NULL); /* chunks do not fail */
	else
		for (size_t c = 0; c < q->chunks; c++)
			(void)chunk(q, c, 0, NULL);
	memset(q->acc, 0, p->d * sizeof(*q->acc));
	for (size_t c = 0; c < q->chunks; c++) {
		const double *part = q->part + c * (p->d + 2);

		loss += part[0];
		sum_r += part[1];
		for (size_t k = 0; k < p->d; k++)
			q->acc[k] += part[2 + k];
	}
	for (size_t k = 0; k < p->d; k++)
		g[k] = (q->acc[k] - sum_r * q->mean[k]) * q->inv[k] / q->total + q->l2 * theta[k];
	g[p->d] = sum_r / q->total;
	return loss / q->total + q->l2 / 2 * dot(theta, theta, p->d);
}

/* ---- L-BFGS ---- */

struct lbfgs {
	size_t n;
	int count; /* pairs kept, the newest at (next - 1) mod MEMORY */
	int next;
	double *s[MEMORY], *y[MEMORY], rho[MEMORY];
	double *theta, *grad, *trial, *trial_grad, *dir;
	double *block; /* all of the above */
};

static int lbfgs_init(struct lbfgs *l, size_t n, struct moe_err *e)
{
	double *p;

	*l = (struct lbfgs){ .n = n };
	l->block = p = moe_alloc((2 * MEMORY + 5) * n, sizeof(*p), e);
	if (!p)
		return -1;
	for (int i = 0; i < MEMORY; i++) {
		l->s[i] = p + (size_t)(2 * i) * n;
		l->y[i] = p + (size_t)(2 * i + 1) * n;
	}
	p += (size_t)(2 * MEMORY) * n;
	l->theta = p;
	l->grad = p + n;
	l->trial = p + 2 * n;
	l->trial_grad = p + 3 * n;
	l->dir = p + 4 * n;
	return 0;
}

/* dir = -H grad by the two-loop recursion. */
static void direction(struct lbfgs *l)
{
	double alpha[MEMORY];
	int newest = (l->next + MEMORY - 1) % MEMORY;

	for (size_t k = 0; k < l->n; k++)
		l->dir[k] = -l->grad[k];
	for (int c = 0; c < l->count; c++) {
		int i = (l->next + 2 * MEMORY - 1 - c) % MEMORY;

		alpha[i] = l->rho[i] * dot(l->s[i], l->dir, l->n);
		for (size_t k = 0; k < l->n; k++)
			l->dir[k] -= alpha[i] * l->y[i][k];
	}
	if (l->count) {
		double scale = 1 / (l->rho[newest] * dot(l->y[newest], l->y[newest], l->n));

		for (size_t k = 0; k < l->n; k++)
			l->dir[k] *= scale;
	}
	for (int c = l->count - 1; c >= 0; c--) {
		int i = (l->next + 2 * MEMORY - 1 - c) % MEMORY;
		double beta = l->rho[i] * dot(l->y[i], l->dir, l->n);

		for (size_t k = 0; k < l->n; k++)
			l->dir[k] += (alpha[i] - beta) * l->s[i][k];
	}
}

/* Moves theta to trial and remembers the step. */
static void accept(struct lbfgs *l)
{
	double *s = l->s[l->next], *y = l->y[l->next], sy;

	for (size_t k = 0; k < l->n; k++) {
		s[k] = l->trial[k] - l->theta[k];
		y[k] = l->trial_grad[k] - l->grad[k];
	}
	sy = dot(s, y, l->n);
	if (sy > 1e-14 * dot(y, y, l->n)) {
		l->rho[l->next] = 1 / sy;
		l->next = (l->next + 1) % MEMORY;
		l->count += l->count < MEMORY;
	}
	memcpy(l->theta, l->trial, l->n * sizeof(*l->theta));
	memcpy(l->grad, l->trial_grad, l->n * sizeof(*l->grad));
}

static double largest(const double *v, size_t n)
{
	double m = 0;

	for (size_t i = 0; i < n; i++)
		m = fmax(m, fabs(v[i]));
	return m;
}

static void minimise(struct problem *q, struct lbfgs *l, struct moe_logreg_fit *fit)
{
	double f = objective(q, l->theta, l->grad);
	int it;

	for (it = 0; it < ITER_MAX && largest(l->grad, l->n) > GRAD_TOL; it++) {
		double slope, step, trial_f = f;
		bool found = false;

		direction(l);
		slope = dot(l->dir, l->grad, l->n);
		step = l->count ? 1 : 1 / fmax(1, largest(l->grad, l->n));
		for (int back = 0; back < 40 && !found; back++, step /= 2) {
			for (size_t k = 0; k < l->n; k++)
				l->trial[k] = l->theta[k] + step * l->dir[k];
			trial_f = objective(q, l->trial, l->trial_grad);
			found = trial_f <= f + 1e-4 * step * slope;
		}
		if (!found)
			break; /* no descent left at this precision */
		accept(l);
		f = trial_f;
	}
	*fit = (struct moe_logreg_fit){ it, f, largest(l->grad, l->n) };
}

/* theta from weights of the raw features. */
static void fold(const struct problem *q, const double *w, double b, double *theta)
{
	size_t d = q->p->d;

	theta[d] = b;
	for (size_t k = 0; k < d; k++) {
		theta[k] = q->inv[k] > 0 ? w[k] / q->inv[k] : 0;
		theta[d] += q->inv[k] > 0 ? w[k] * q->mean[k] : 0;
	}
}

int moe_logreg(const struct moe_logreg_data *p, double l2, bool warm, struct moe_pool *pool,
	double *w, double *b, struct moe_logreg_fit *fit, struct moe_err *e)
{
	struct problem q = {
		.p = p, .l2 = l2, .pool = pool, .chunks = (p->n + CHUNK_ROWS - 1) / CHUNK_ROWS
	};
	struct moe_logreg_fit unused;
	struct lbfgs l = { 0 };
	double *block = moe_alloc(4 * p->d, sizeof(double), e);
	int rc = -1;

	q.part = block ? moe_alloc(q.chunks * (p->d + 2), sizeof(double), e) : NULL;
	if (q.part) {
		q.mean = block;
		q.inv = block + p->d;
		q.raw = block + 2 * p->d;
		q.acc = block + 3 * p->d;
		rc = standardise(p, q.mean, q.inv, &q.total, e) || lbfgs_init(&l, p->d + 1, e) ? -1
											       : 0;
	}
	if (rc == 0) {
		if (warm)
			fold(&q, w, *b, l.theta);
		minimise(&q, &l, fit ? fit : &unused);
		*b = unfold(&q, l.theta, w);
		if (!isfinite(*b))
			rc = moe_fail(e, MOE_NUMERIC, "the fit of the score did not stay finite");
	}
	free(l.block);
	free(q.part);
	free(block);
	return rc;
}
