/* logreg.c - logistic regression by L-BFGS; it knows nothing of tokens or pairs. */
#include "moe/logreg.h"

#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY 10
#define ITER_MAX 500
#define GRAD_TOL 1e-7

double moe_sigmoid(double z)
{
	return z >= 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z));
}

/* Parameters are theta[d + 1]: weights of the standardised features, then the bias. */
struct problem {
	const struct moe_logreg_data *p;
	double l2, total;
	double *mean, *inv;     /* [d] standardisation; inv 0 where a feature does not vary */
	double *raw;            /* [d] weights of raw features, scratch */
	double *acc;            /* [d] scratch */
};

static double dot(const double *a, const double *b, size_t n)
{
	double s = 0;

	for (size_t i = 0; i < n; i++)
		s += a[i] * b[i];
	return s;
}

static int standardise(struct problem *q, struct moe_err *e)
{
	const struct moe_logreg_data *p = q->p;
	double class_wt[2] = { 0, 0 };

	for (size_t i = 0; i < p->n; i++) {
		class_wt[p->y[i] ? 1 : 0] += p->wt[i];
		for (size_t k = 0; k < p->d; k++)
			q->mean[k] += p->wt[i] * (double)p->x[i * p->d + k];
	}
	q->total = class_wt[0] + class_wt[1];
	if (!(class_wt[0] > 0 && class_wt[1] > 0))
		return moe_fail(e, MOE_DATA, "a score needs tokens of both hack and clean completions");
	for (size_t k = 0; k < p->d; k++) {
		q->mean[k] /= q->total;
		if (!isfinite(q->mean[k]))
			return moe_fail(e, MOE_NUMERIC, "feature %zu of the score is not finite", k);
	}
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->d; k++) {
			double v = (double)p->x[i * p->d + k] - q->mean[k];

			q->inv[k] += p->wt[i] * v * v;
		}
	for (size_t k = 0; k < p->d; k++) {
		double sd = sqrt(q->inv[k] / q->total);

		q->inv[k] = sd > 1e-7 * (1 + fabs(q->mean[k])) ? 1 / sd : 0;
	}
	return 0;
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

/* Objective and its gradient g[d + 1]. */
static double objective(struct problem *q, const double *theta, double *g)
{
	const struct moe_logreg_data *p = q->p;
	double loss = 0, sum_r = 0, b = unfold(q, theta, q->raw);

	memset(q->acc, 0, p->d * sizeof(*q->acc));
	for (size_t i = 0; i < p->n; i++) {
		const float *x = p->x + i * p->d;
		double z = b, m, r;

		if (p->wt[i] <= 0)
			continue;
		for (size_t k = 0; k < p->d; k++)
			z += q->raw[k] * (double)x[k];
		m = p->y[i] ? -z : z;
		loss += p->wt[i] * (m > 0 ? m + log1p(exp(-m)) : log1p(exp(m)));
		r = p->wt[i] * (moe_sigmoid(z) - (p->y[i] ? 1.0 : 0.0));
		sum_r += r;
		for (size_t k = 0; k < p->d; k++)
			q->acc[k] += r * (double)x[k];
	}
	for (size_t k = 0; k < p->d; k++)
		g[k] = (q->acc[k] - sum_r * q->mean[k]) * q->inv[k] / q->total + q->l2 * theta[k];
	g[p->d] = sum_r / q->total;
	return loss / q->total + q->l2 / 2 * dot(theta, theta, p->d);
}

/* ---- L-BFGS ---- */

struct lbfgs {
	size_t n;
	int count;                     /* pairs kept, the newest at (next - 1) mod MEMORY */
	int next;
	double *s[MEMORY], *y[MEMORY], rho[MEMORY];
	double *theta, *grad, *trial, *trial_grad, *dir;
	double *block;                 /* all of the above */
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

int moe_logreg(const struct moe_logreg_data *p, double l2, double *w, double *b, struct moe_logreg_fit *fit, struct moe_err *e)
{
	struct problem q = { .p = p, .l2 = l2 };
	struct moe_logreg_fit unused;
	struct lbfgs l = { 0 };
	double *block = moe_alloc(4 * p->d, sizeof(double), e);
	int rc = -1;

	if (block) {
		q.mean = block;
		q.inv = block + p->d;
		q.raw = block + 2 * p->d;
		q.acc = block + 3 * p->d;
		rc = standardise(&q, e) || lbfgs_init(&l, p->d + 1, e) ? -1 : 0;
	}
	if (rc == 0) {
		minimise(&q, &l, fit ? fit : &unused);
		*b = unfold(&q, l.theta, w);
		if (!isfinite(*b))
			rc = moe_fail(e, MOE_NUMERIC, "the fit of the score did not stay finite");
	}
	free(l.block);
	free(block);
	return rc;
}
