/* ablate_out.c - directions that are projected out of trained weights: those along which the
 * adapter moved in training, and the one in which the pairs' sides differ. Nothing is trained. */
#include "moe/ablate_priv.h"

#include "model/prep.h"
#include "moe/features.h"
#include "moe/heldout.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a trajectory ---- */

void moe_trajectory_free(struct moe_trajectory *t)
{
	for (size_t i = 0; i < t->n; i++)
		moe_experts_free(&t->x[i]);
	free(t->x);
	free(t->step);
	*t = (struct moe_trajectory){ 0 };
}

static bool same_layout(const struct moe_experts *x, const struct moe_experts *y)
{
	if (x->n_view != y->n_view || x->R != y->R || x->scale != y->scale)
		return false;
	for (size_t i = 0; i < x->n_view; i++)
		if (strcmp(x->view[i].name, y->view[i].name) != 0 ||
			x->view[i].rows != y->view[i].rows || x->view[i].cols != y->view[i].cols)
			return false;
	return true;
}

int moe_trajectory_add(
	struct moe_trajectory *t, const struct moe_adapter *a, size_t max_mem, struct moe_err *e)
{
	size_t bytes = a->x.n_param * sizeof(*a->x.param);

	if (t->n && !same_layout(&t->x[0], &a->x))
		return moe_fail(e, MOE_DATA,
			"the adapter after step %lld has another layout than those before it: a "
			"trajectory is of one run",
			(long long)a->step);
	if (t->n && a->step <= t->step[t->n - 1])
		return moe_fail(e, MOE_DATA,
			"the adapter after step %lld stands behind the one after step %lld: a "
			"trajectory is in the order of the steps",
			(long long)a->step, (long long)t->step[t->n - 1]);
	if (max_mem && (t->n + 1) * bytes > max_mem)
		return moe_fail(e, MOE_DATA,
			"a trajectory of more than %zu adapters of %zu bytes; --max-mem allows no "
			"more: give fewer of its steps",
			t->n, bytes);
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 16;
		struct moe_experts *x = realloc(t->x, cap * sizeof(*x));
		int64_t *step = x ? realloc(t->step, cap * sizeof(*step)) : NULL;

		t->x = x ? x : t->x;
		if (!step)
			return moe_fail(e, MOE_SYSTEM, "out of memory for a trajectory");
		t->step = step;
		t->cap = cap;
	}
	if (moe_experts_copy(&t->x[t->n], &a->x, e))
		return -1;
	t->step[t->n++] = a->step;
	return 0;
}

/* S [d, d] += s^2 (B A - B' A')(B A - B' A')', lower half. With F = [B, -B'] [d, 2R] and M = [A;
 * A'] [2R, d_in] that is s^2 F (M M') F'. y NULL: B' = 0. f [2R, d] and h [2R, d] are scratch. */
static void add_step(double *S, const struct moe_experts *x, const struct moe_experts *y,
	size_t cell, double *f, double *h)
{
	const struct moe_view *va = moe_view_of(x, cell, MOE_ROLE_A),
			      *vb = moe_view_of(x, cell, MOE_ROLE_B);
	const struct moe_experts *of[2] = { x, y };
	size_t R = (size_t)x->R, d = (size_t)vb->rows, d_in = (size_t)va->cols, n = y ? 2 * R : R;

	for (size_t r = 0; r < n; r++) {
		const moe_real *B = of[r / R]->param + vb->off;

		for (size_t i = 0; i < d; i++)
			f[r * d + i] = (r < R ? x->scale : -x->scale) * (double)B[i * R + r % R];
	}
	memset(h, 0, n * d * sizeof(*h));
	for (size_t r = 0; r < n; r++)
		for (size_t q = 0; q < n; q++) { /* h = (M M') F' */
			const moe_real *a = of[r / R]->param + va->off + (r % R) * d_in,
				       *b = of[q / R]->param + va->off + (q % R) * d_in;
			double m = 0;

			for (size_t k = 0; k < d_in; k++)
				m += (double)a[k] * (double)b[k];
			for (size_t i = 0; i < d; i++)
				h[r * d + i] += m * f[q * d + i];
		}
	for (size_t i = 0; i < d; i++)
		for (size_t r = 0; r < n; r++)
			for (size_t j = 0; j <= i; j++)
				S[i * d + j] += f[r * d + i] * h[r * d + j];
}

/* Modified Gram-Schmidt, twice, on the m rows of u [m, d]. Rows that are (nearly) in the span of
 * those before become 0. */
static void orthonormal(double *u, size_t m, size_t d)
{
	for (size_t i = 0; i < m; i++) {
		double *v = u + i * d, was = 0, norm = 0;

		for (size_t k = 0; k < d; k++)
			was += v[k] * v[k];
		for (int pass = 0; pass < 2; pass++)
			for (size_t j = 0; j < i; j++) {
				const double *w = u + j * d;
				double dot = 0;

				for (size_t k = 0; k < d; k++)
					dot += v[k] * w[k];
				for (size_t k = 0; k < d; k++)
					v[k] -= dot * w[k];
			}
		for (size_t k = 0; k < d; k++)
			norm += v[k] * v[k];
		norm = norm > 1e-24 * was ? 1 / sqrt(norm) : 0;
		for (size_t k = 0; k < d; k++)
			v[k] *= norm;
	}
}

/* Eigenvectors of the symmetric c [m, m] by Jacobi rotations: rows of v [m, m]; c becomes diagonal.
 */
static void jacobi(double *c, double *v, size_t m)
{
	for (size_t i = 0; i < m * m; i++)
		v[i] = i / m == i % m;
	for (int sweep = 0; sweep < 60; sweep++) {
		double off = 0, all = 0;

		for (size_t i = 0; i < m * m; i++) {
			all += c[i] * c[i];
			off += i / m != i % m ? c[i] * c[i] : 0;
		}
		if (off <= 1e-30 * all)
			return;
		for (size_t p = 0; p < m; p++)
			for (size_t q = p + 1; q < m; q++) {
				double t, cs, sn, g = c[p * m + q];

				if (g == 0)
					continue;
				/* the rotation by which c[p, q] vanishes; Golub & Van Loan 8.5.2 */
				t = (c[q * m + q] - c[p * m + p]) / (2 * g);
				t = (t >= 0 ? 1 : -1) / (fabs(t) + sqrt(1 + t * t));
				cs = 1 / sqrt(1 + t * t);
				sn = t * cs;
				for (size_t k = 0; k < m; k++) { /* columns */
					double a = c[k * m + p], b = c[k * m + q];

					c[k * m + p] = cs * a - sn * b;
					c[k * m + q] = sn * a + cs * b;
				}
				for (size_t k = 0; k < m; k++) { /* rows */
					double a = c[p * m + k], b = c[q * m + k];

					c[p * m + k] = cs * a - sn * b;
					c[q * m + k] = sn * a + cs * b;
					a = v[p * m + k];
					b = v[q * m + k];
					v[p * m + k] = cs * a - sn * b;
					v[q * m + k] = sn * a + cs * b;
				}
			}
	}
}

static void times(const double *S, size_t d, const double *u, size_t m, double *y)
{
	for (size_t i = 0; i < m; i++)
		for (size_t r = 0; r < d; r++) {
			double sum = 0;

			for (size_t k = 0; k < d; k++)
				sum += S[r * d + k] * u[i * d + k];
			y[i * d + r] = sum;
		}
}

/* Room for one Linear. */
struct room {
	double *S, *f, *h;                   /* [d, d], [2R, d], [2R, d] */
	double *u, *y, *c, *v;               /* [m, d], [m, d], [m, m], [m, m] */
	size_t d, m;                         /* d_out, how many directions are iterated */
	double trace, kept;                  /* of S; of its k leading eigenvalues */
	double value[MOE_ABLATE_DIRECTIONS]; /* the k leading eigenvalues */
};

#define ITERATIONS 300
#define SPARE      8 /* directions beyond the k, so that those converge */

/* The leading k eigenvectors of S into the first rows of u, by orthogonal iteration, ordered by a
 * Rayleigh-Ritz step each time (Golub & Van Loan 8.2.4). Returns how many have an eigenvalue. */
static size_t leading(struct room *r, size_t k, size_t cell)
{
	struct moe_rng key = moe_rng_key(1, "trajectory");
	size_t d = r->d, m = r->m, n = 0;
	double last = 0;

	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < d; j++)
			r->u[i * d + j] = moe_rng_normal(key, cell, i * d + j);
	orthonormal(r->u, m, d);
	for (int it = 0; it < ITERATIONS; it++) {
		double now = 0;

		times(r->S, d, r->u, m, r->y);
		for (size_t i = 0; i < m; i++)
			for (size_t j = 0; j < m; j++) {
				r->c[i * m + j] = 0;
				for (size_t q = 0; q < d; q++)
					r->c[i * m + j] += r->u[i * d + q] * r->y[j * d + q];
			}
		jacobi(r->c, r->v, m);
		/* order: a selection by eigenvalue, rotated into y */
		memset(r->u, 0, m * d * sizeof(*r->u));
		for (size_t i = 0; i < m; i++) {
			size_t top = 0;

			for (size_t j = 0; j < m; j++)
				top = r->c[j * m + j] > r->c[top * m + top] ? j : top;
			for (size_t j = 0; j < m; j++)
				for (size_t q = 0; q < d; q++)
					r->u[i * d + q] += r->v[top * m + j] * r->y[j * d + q];
			if (i < k) {
				r->value[i] = fmax(r->c[top * m + top], 0);
				now += r->value[i];
			}
			r->c[top * m + top] = -INFINITY;
		}
		orthonormal(r->u, m, d);
		r->kept = now;
		if (fabs(now - last) <= 1e-14 * now && it > 2)
			break;
		last = now;
	}
	/* beyond the rank of S there is rounding, and no direction */
	while (n < k && n < m && r->value[n] > 1e-13 * r->value[0])
		n++;
	return n;
}

/* B [d, R] <- (I - U' U) B, U the first k rows of u. */
static void project(moe_real *B, size_t R, const struct room *r, size_t k)
{
	for (size_t c = 0; c < R; c++)
		for (size_t i = 0; i < k; i++) {
			const double *u = r->u + i * r->d;
			double dot = 0;

			for (size_t j = 0; j < r->d; j++)
				dot += u[j] * (double)B[j * R + c];
			for (size_t j = 0; j < r->d; j++)
				B[j * R + c] = (moe_real)((double)B[j * R + c] - dot * u[j]);
		}
}

static int room_make(
	struct room *r, const struct moe_experts *x, size_t cell, int k, struct moe_err *e)
{
	size_t R = (size_t)x->R, total;

	r->d = (size_t)moe_view_of(x, cell, MOE_ROLE_B)->rows;
	r->m = (size_t)k + SPARE < r->d ? (size_t)k + SPARE : r->d;
	total = r->d * r->d + 4 * R * r->d + 2 * r->m * r->d + 2 * r->m * r->m;
	free(r->S);
	r->S = moe_alloc(total, sizeof(*r->S), e);
	if (!r->S)
		return -1;
	r->f = r->S + r->d * r->d;
	r->h = r->f + 2 * R * r->d;
	r->u = r->h + 2 * R * r->d;
	r->y = r->u + r->m * r->d;
	r->c = r->y + r->m * r->d;
	r->v = r->c + r->m * r->m;
	return 0;
}

/* S of one Linear, whole, over all steps. A trajectory that begins after step 0 begins at delta =
 * 0, where training begins. */
static void gather(
	struct room *r, const struct moe_trajectory *t, const struct moe_experts *last, size_t cell)
{
	const struct moe_experts *before = NULL;

	for (size_t i = 0; i <= t->n; i++) {
		const struct moe_experts *now = i < t->n ? &t->x[i] : last;

		if (now && (i > 0 || t->step[0] > 0))
			add_step(r->S, now, before, cell, r->f, r->h);
		before = now;
	}
	r->trace = 0;
	for (size_t i = 0; i < r->d; i++) {
		r->trace += r->S[i * r->d + i];
		for (size_t j = 0; j < i; j++)
			r->S[j * r->d + i] = r->S[i * r->d + j];
	}
}

int moe_ablate_trajectory(struct moe_adapter *to, const struct moe_adapter *from,
	const struct moe_trajectory *t, int k, struct moe_err *e)
{
	bool further = t->n && from->step > t->step[t->n - 1];
	struct room r = { 0 };
	double trace = 0, kept = 0;
	int rc = 0;

	if (!t->n || !same_layout(&t->x[0], &from->x))
		return moe_fail(e, MOE_DATA,
			"the trajectory's adapters have another layout than the one to ablate: it "
			"is of another run");
	for (size_t cell = 0; rc == 0 && cell < (size_t)to->x.config.L * MOE_LINEARS; cell++) {
		const struct moe_view *b = moe_view_of(&to->x, cell, MOE_ROLE_B);

		if (!b)
			continue;
		rc = room_make(&r, &to->x, cell, k, e);
		if (rc)
			break;
		gather(&r, t, further ? &from->x : NULL, cell);
		if (!(r.trace > 0))
			continue; /* this Linear never moved */
		if (!isfinite(r.trace)) {
			rc = moe_fail(e, MOE_NUMERIC, "the trajectory is not finite");
			break;
		}
		project(to->x.param + b->off, (size_t)to->x.R, &r, leading(&r, (size_t)k, cell));
		trace += r.trace;
		kept += r.kept;
	}
	free(r.S);
	return rc || moe_rec_set_str(&to->match, "kind", "trajectory", e) ||
			moe_rec_set_int(&to->match, "directions", k, e) ||
			moe_rec_set_int(&to->match, "steps", (int64_t)(t->n + further), e) ||
			moe_rec_set_f64(&to->match, "share", trace > 0 ? kept / trace : 0, e)
		? -1
		: 0;
}

/* ---- the pairs' direction ---- */

/* Margin of held-out pairs (heldout.h) along the direction of the others; x [2 n, D] is one
 * layer's. */
static double margin(const float *x, const struct moe_held *h, size_t D, uint8_t *in, moe_real *v,
	moe_real *middle)
{
	double sum = 0, sum2 = 0, n = (double)h->n, mean, var;

	for (uint32_t f = 0; f < h->folds; f++) {
		for (size_t i = 0; i < h->n; i++)
			in[i] = !moe_held_is_out(h, i, f);
		moe_contrast(x, h->n, D, in, v, middle);
		for (size_t i = 0; i < h->n; i++) {
			double diff = 0;

			for (size_t k = 0; !in[i] && k < D; k++)
				diff += (double)v[k] *
					((double)x[2 * i * D + k] - (double)x[(2 * i + 1) * D + k]);
			sum += diff;
			sum2 += diff * diff;
		}
	}
	mean = sum / n;
	var = (sum2 - n * mean * mean) / (n - 1);
	return var > 0 ? mean / sqrt(var) : mean > 0 ? 1e300 : 0;
}

/* v [D] of the layer at which the pairs are told apart best. */
static int choose(const struct moe_engine *g, const struct moe_pairs *p, moe_real *v, int *layer,
	double *best, struct moe_err *e)
{
	size_t D = (size_t)g->m->config.D, d = (size_t)moe_features_dim(&g->m->config), n = p->n;
	float *x = moe_features_of_pairs(g, p, NULL, e),
	      *one = x ? moe_alloc(2 * n * D, sizeof(*one), e) : NULL;
	moe_real *w = one ? moe_alloc(2 * D, sizeof(*w), e) : NULL;
	uint8_t *in = w ? moe_alloc(n, 1, e) : NULL;
	struct moe_held h = { 0 };
	int rc = in && !moe_held_begin(&h, n, 5, 1, e) ? 0 : -1;

	*best = -INFINITY;
	if (rc == 0 && h.folds < 2)
		rc = moe_fail(e, MOE_DATA,
			"pairs-out chooses its layer by pairs that are held out: two are too few "
			"to be one");
	for (size_t l = 0; rc == 0 && l < d / D; l++) {
		double m;

		for (size_t i = 0; i < 2 * n; i++)
			memcpy(one + i * D, x + i * d + l * D, D * sizeof(*one));
		m = margin(one, &h, D, in, w, w + D);
		if (!(m > *best))
			continue;
		*best = m;
		*layer = (int)l + 1;
		moe_contrast(one, n, D, NULL, v, w + D);
	}
	moe_held_free(&h);
	free(in);
	free(w);
	free(one);
	free(x);
	return rc;
}

/* x with one more expert of rank 1 in the bank shared, and with o and down among its targets. */
static int widen(struct moe_experts *x, struct moe_err *e)
{
	struct moe_experts to = { .E = x->E + 1,
		.scale = x->scale,
		.router = x->router,
		.placement = x->placement,
		.deploy = x->deploy };
	size_t R = (size_t)x->R;

	if (x->E == MOE_EXPERTS_MAX)
		return moe_fail(e, MOE_DATA, "pairs-out adds an expert, and there are %d already",
			MOE_EXPERTS_MAX);
	if (x->router && !(x->target[MOE_O] && x->target[MOE_DOWN]))
		return moe_fail(e, MOE_DATA,
			"pairs-out adapts o and down, which would move this adapter's router: it "
			"must have been laid out with them (moe-pin --targets)");
	memcpy(to.rank, x->rank, sizeof(to.rank));
	memcpy(to.bank, x->bank, sizeof(to.bank));
	memcpy(to.name, x->name, sizeof(to.name));
	memcpy(to.target, x->target, sizeof(to.target));
	memcpy(to.set, x->set, sizeof(to.set));
	to.target[MOE_O] = to.target[MOE_DOWN] = true;
	to.rank[x->E] = 1;
	to.bank[x->E] = MOE_BANK_SHARED;
	snprintf(to.name[x->E], sizeof(to.name[0]), "%s", MOE_ABLATE_PAIRS);
	if (moe_experts_init(&to, &x->config, e))
		return -1;
	for (size_t i = 0, j = 0; i < to.n_view; i++) { /* the same order, with new ones between */
		const struct moe_view *v = &to.view[i], *u = j < x->n_view ? &x->view[j] : NULL;
		moe_real *into = to.param + v->off;

		if (!u || strcmp(u->name, v->name) != 0)
			continue;
		j++;
		if (v->role == MOE_ROLE_B)
			for (size_t r = 0; r < (size_t)v->rows; r++)
				memcpy(into + r * (R + 1), x->param + u->off + r * R,
					R * sizeof(*into));
		else /* A's new row is the last */
			memcpy(into, x->param + u->off, u->n * sizeof(*into));
	}
	memcpy(to.present, x->present, sizeof(double) * (size_t)x->E);
	for (size_t c = 0; c < (size_t)x->config.L * MOE_LINEARS; c++)
		memcpy(to.alive + c * (R + 1), x->alive + c * R, R * sizeof(*to.alive));
	moe_experts_free(x);
	*x = to;
	return 0;
}

/* One Linear W [D, d_in] that writes to the residual stream. The trained experts: B <- B - v (v'
 * B). The new one, slot R-1: s c B A = -v (v' W), c the gate of its bank. */
static void write_cell(struct moe_experts *x, size_t cell, const struct moe_weight *w,
	const moe_real *v, double c, moe_real *row, double *sum)
{
	const struct moe_view *a = moe_view_of(x, cell, MOE_ROLE_A),
			      *b = moe_view_of(x, cell, MOE_ROLE_B);
	size_t R = (size_t)x->R, D = (size_t)b->rows, d_in = (size_t)a->cols;
	moe_real *A = x->param + a->off + (R - 1) * d_in, *B = x->param + b->off;

	for (size_t r = 0; r + 1 < R; r++) {
		double dot = 0;

		for (size_t i = 0; i < D; i++)
			dot += (double)v[i] * (double)B[i * R + r];
		for (size_t i = 0; i < D; i++)
			B[i * R + r] = (moe_real)((double)B[i * R + r] - dot * (double)v[i]);
	}
	memset(sum, 0, d_in * sizeof(*sum));
	for (size_t i = 0; i < D; i++) { /* v' W, a row of W at a time */
		const moe_real *from = row;

		if (w->dtype == MOE_REAL_DTYPE)
			from = (const moe_real *)w->data + i * d_in;
		else
			moe_weight_widen(w, (int)i, 1, row);
		for (size_t k = 0; k < d_in; k++)
			sum[k] += (double)v[i] * (double)from[k];
	}
	for (size_t k = 0; k < d_in; k++)
		A[k] = (moe_real)sum[k];
	for (size_t i = 0; i < D; i++)
		B[i * R + R - 1] = (moe_real)(-(double)v[i] / (x->scale * c));
}

/* The gate that experts of the bank shared have while sampling; a bank that there was not has 1. */
static int shared_gate(struct moe_adapter *to, double *c, struct moe_err *e)
{
	bool any = false;

	for (int i = 0; i < to->x.E; i++)
		any |= to->x.bank[i] == MOE_BANK_SHARED;
	for (int k = 0; !any && k < MOE_DECISIONS; k++)
		to->plan.gate[k][MOE_BANK_SHARED] = to->plan.mask[k][MOE_BANK_SHARED] = 1;
	if (!any)
		to->plan.sample[MOE_BANK_SHARED] = 1;
	*c = to->plan.sample[MOE_BANK_SHARED];
	return *c != 0 && to->x.scale != 0
		? 0
		: moe_fail(e, MOE_DATA,
			  "pairs-out works through the bank shared, which the plan (or the scale) "
			  "puts at 0");
}

int moe_ablate_pairs(struct moe_adapter *to, const struct moe_engine *g, const struct moe_pairs *p,
	struct moe_err *e)
{
	static const enum moe_linear writes[] = { MOE_O, MOE_DOWN };
	size_t D = (size_t)g->m->config.D, widest;
	moe_real *v = moe_alloc(D, sizeof(*v), e), *row = NULL;
	double *sum = NULL, best = 0, c = 1;
	int layer = 0, rc = v ? choose(g, p, v, &layer, &best, e) : -1, d_in, d_out;

	if (rc == 0 && !layer)
		rc = moe_fail(e, MOE_DATA,
			"the pairs' sides do not differ in the base's states: they give no "
			"direction");
	rc = rc || shared_gate(to, &c, e) || widen(&to->x, e) ? -1 : 0;
	moe_linear_shape(&g->m->config, MOE_DOWN, &d_in, &d_out);
	widest = (size_t)d_in;
	moe_linear_shape(&g->m->config, MOE_O, &d_in, &d_out);
	widest = (size_t)d_in > widest ? (size_t)d_in : widest;
	if (rc == 0 &&
		(!(row = moe_alloc(widest, sizeof(*row), e)) ||
			!(sum = moe_alloc(widest, sizeof(*sum), e))))
		rc = -1;
	for (int l = 0; rc == 0 && l < to->x.config.L; l++)
		for (int k = 0; rc == 0 && k < 2; k++) {
			if (g->m->layer[l].bias[writes[k]].data)
				rc = moe_fail(e, MOE_DATA,
					"layer %d writes a bias to the residual stream, which no "
					"expert can take away: pairs-out is not possible",
					l);
			else
				write_cell(&to->x, (size_t)l * MOE_LINEARS + writes[k],
					&g->m->layer[l].w[writes[k]], v, c, row, sum);
		}
	free(v);
	free(row);
	free(sum);
	return rc || moe_rec_set_str(&to->match, "kind", "pairs", e) ||
			moe_rec_set_int(&to->match, "pairs", (int64_t)p->n, e) ||
			moe_rec_set_int(&to->match, "layer", layer, e) ||
			moe_rec_set_f64(&to->match, "margin", best, e)
		? -1
		: 0;
}
