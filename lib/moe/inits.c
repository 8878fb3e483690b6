/* inits.c - directions of weights, and their way into A and B. Which a method takes is its own
 * business. */
#include "moe/inits.h"

#include "model/prep.h"
#include "moe/features.h"
#include "tensor/svd.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RIDGE 1e-3 /* of the mean variance of the contrast */

/* ---- what the pairs say of the inputs ---- */

/* One side of a pair: its rows of the pass, and where the means go. */
struct tap {
	struct moe_input_contrast *c;
	size_t pair;
	int first, n; /* rows of completion tokens */
	double sign;  /* 1 hack, -1 clean */
};

static void take(void *ctx, int layer, enum moe_group g, const moe_real *in, int d)
{
	struct tap *t = ctx;
	double *to = t->c->delta[layer * MOE_GROUPS + (int)g] + t->pair * (size_t)d;

	for (int r = t->first; r < t->first + t->n; r++)
		for (int k = 0; k < d; k++)
			to[k] += t->sign * (double)in[(size_t)r * (size_t)d + (size_t)k] / t->n;
}

struct contrast_job {
	const struct moe_engine *g;
	const struct moe_pairs *p;
	struct moe_input_contrast *c;
	struct moe_acts *acts; /* [threads] */
};

/* Task i: pair i, its hack and then its clean side, each in a pass of its own. */
static int contrast_task(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct contrast_job *j = ctx;
	struct moe_acts *acts = &j->acts[worker];
	int rc = 0;

	for (int hack = 1; hack >= 0 && rc == 0; hack--) {
		struct moe_seen s = moe_pair_seen(&j->p->pair[i], hack);
		int n = moe_features_tokens(&j->g->m->config, &s), T = s.n_prompt + n;
		int32_t *ids = moe_alloc((size_t)T, sizeof(*ids), e);
		struct moe_seg seg = { 0, T, -1, 0 };
		struct moe_batch b = { T, ids, 1, &seg };
		struct tap t = { j->c, i, s.n_prompt, n, hack ? 1 : -1 };

		if (ids) {
			memcpy(ids, s.prompt, (size_t)s.n_prompt * sizeof(*ids));
			memcpy(ids + s.n_prompt, s.completion, (size_t)n * sizeof(*ids));
		}
		acts->tap = take;
		acts->tap_ctx = &t;
		rc = ids && n > 0 ? moe_forward(j->g->m, NULL, NULL, &b, acts, e) : ids ? 0 : -1;
		free(ids);
	}
	return rc;
}

int moe_input_contrast_make(struct moe_input_contrast *c, const struct moe_engine *g,
	const struct moe_pairs *p, struct moe_err *e)
{
	const struct moe_config *f = &g->m->config;
	struct contrast_job j = { g, p, c, NULL };
	int threads = moe_pool_threads(g->pool), rc = 0;

	*c = (struct moe_input_contrast){ .P = p->n, .L = f->L };
	c->delta = moe_alloc((size_t)f->L * MOE_GROUPS, sizeof(*c->delta), e);
	j.acts = moe_alloc((size_t)threads, sizeof(*j.acts), e);
	rc = c->delta && j.acts ? 0 : -1;
	for (int i = 0; rc == 0 && i < f->L * MOE_GROUPS; i++) {
		int in, out;

		moe_linear_shape(f, moe_groups[i % MOE_GROUPS].lin[0], &in, &out);
		c->delta[i] = moe_alloc(p->n * (size_t)in + 1, sizeof(**c->delta), e);
		rc = c->delta[i] ? 0 : -1;
	}
	if (rc == 0)
		rc = moe_pool_run(g->pool, p->n, contrast_task, &j, e);
	for (int i = 0; j.acts && i < threads; i++)
		moe_acts_free(&j.acts[i]);
	free(j.acts);
	if (rc)
		moe_input_contrast_free(c);
	return rc;
}

void moe_input_contrast_free(struct moe_input_contrast *c)
{
	for (int i = 0; c->delta && i < c->L * MOE_GROUPS; i++)
		free(c->delta[i]);
	free(c->delta);
	*c = (struct moe_input_contrast){ 0 };
}

/* ---- directions ---- */

/* to [r, in] = x C^(1/2) for x [r, in], with Q [k, in] and g [k]: sqrt(a) x + (x Q^T .* g) Q. */
static void times_root(int r, int in, const double *x, double root_a, int k, const double *Q,
	const double *g, double *to)
{
	for (int i = 0; i < r; i++) {
		const double *row = x + (size_t)i * (size_t)in;
		double *out = to + (size_t)i * (size_t)in;

		for (int c = 0; c < in; c++)
			out[c] = root_a * row[c];
		for (int q = 0; q < k; q++) {
			const double *dir = Q + (size_t)q * (size_t)in;
			double dot = 0;

			for (int c = 0; c < in; c++)
				dot += row[c] * dir[c];
			for (int c = 0; c < in; c++)
				out[c] += dot * g[q] * dir[c];
		}
	}
}

int moe_directions(int out, int in, const double *W, size_t P, const double *D, int r, double *u,
	double *s, double *v, struct moe_err *e)
{
	size_t O = (size_t)out, I = (size_t)in, k = O < I ? O : I, q = P < I ? P : I,
	       rr = (size_t)r;
	/* M [out, in]; U [k, out], S [k], V [k, in] of it; Q [q, in] and g [q] of the contrast */
	double *M = moe_alloc(O * I + k * (O + I + 1) + q * (I + 1) + 1, sizeof(*M), e), *U, *S, *V,
	       *Q, *g, a = 0, root_a;
	int rc = -1;

	if (!M)
		return -1;
	U = M + O * I;
	S = U + k * O;
	V = S + k;
	Q = V + k * I;
	g = Q + q * I;
	if (P == 0) {
		rc = moe_svd(out, in, W, S, U, V, e);
		for (size_t i = 0; rc == 0 && i < rr * I; i++)
			v[i] = V[i];
	} else if (moe_svd((int)P, in, D, g, NULL, Q, e) == 0) {
		for (size_t i = 0; i < P * I; i++)
			a += D[i] * D[i] / (double)P;
		a *= RIDGE / in;
		root_a = sqrt(fmax(a, 1e-20));
		for (size_t i = 0; i < q; i++)
			g[i] = sqrt(a + g[i] * g[i] / (double)P) - root_a;
		times_root(out, in, W, root_a, (int)q, Q, g, M);
		rc = moe_svd(out, in, M, S, U, V, e);
		if (rc == 0)
			times_root(r, in, V, root_a, (int)q, Q, g, v);
	}
	for (size_t i = 0; rc == 0 && i < rr * O; i++)
		u[i] = U[i];
	for (size_t i = 0; rc == 0 && i < rr; i++)
		s[i] = S[i];
	free(M);
	return rc;
}

static double make_unit(size_t n, double *v)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i] * v[i];
	sum = sqrt(sum);
	for (size_t i = 0; sum > 0 && i < n; i++)
		v[i] /= sum;
	return sum;
}

int moe_signed_direction(int out, int in, const double *W, size_t P, const double *D, double *u,
	double *v, struct moe_err *e)
{
	memset(v, 0, (size_t)in * sizeof(*v));
	for (size_t p = 0; p < P; p++)
		for (int c = 0; c < in; c++)
			v[c] += D[p * (size_t)in + (size_t)c] / (double)P;
	if (!(make_unit((size_t)in, v) > 0))
		return moe_fail(e, MOE_DATA,
			"the pairs' sides do not differ in the input of a Linear: they give no "
			"direction");
	for (int o = 0; o < out; o++) {
		u[o] = 0;
		for (int c = 0; c < in; c++)
			u[o] += W[(size_t)o * (size_t)in + (size_t)c] * v[c];
	}
	return make_unit((size_t)out, u) > 0
		? 0
		: moe_fail(e, MOE_DATA, "a Linear maps the pairs' direction to 0");
}

void moe_deal(int n, int n_deployed, int *slot)
{
	int dep = 0, quar = n_deployed;

	for (int i = 0; i < n; i++) {
		bool deployed = quar == n || (dep < n_deployed && i % 2 == 0);

		slot[i] = deployed ? dep++ : quar++;
	}
}

/* ---- a Linear's first rows and columns ---- */

static int enough(const struct moe_begin *q, struct moe_err *e)
{
	int most = q->in < q->out ? q->in : q->out;

	return q->n <= most ? 0
			    : moe_fail(e, MOE_USAGE,
				      "the experts take %d directions of each Linear, and one of "
				      "%d x %d has no more than %d: give them lower ranks",
				      q->n, q->out, q->in, most);
}

/* Room for n directions: u [n, out], v [n, in], s [n]. */
struct directions {
	double *u, *v, *s;
};

static int find_directions(const struct moe_begin *q, size_t P, const double *D,
	struct directions *d, struct moe_err *e)
{
	size_t I = (size_t)q->in, O = (size_t)q->out, n = (size_t)q->n;

	*d = (struct directions){ 0 };
	if (enough(q, e) || !(d->u = moe_alloc(n * (I + O + 1), sizeof(*d->u), e)))
		return -1;
	d->v = d->u + n * O;
	d->s = d->v + n * I;
	return moe_directions(q->out, q->in, q->W, P, D, q->n, d->u, d->s, d->v, e);
}

int moe_begin_dealt(const struct moe_begin *q, bool unit, struct moe_err *e)
{
	size_t I = (size_t)q->in, O = (size_t)q->out, n = (size_t)q->n;
	struct directions d = { 0 };
	int *slot = moe_alloc(n, sizeof(*slot), e);
	int rc = slot ? find_directions(q, q->P, q->D, &d, e) : -1;

	if (rc == 0)
		moe_deal(q->n, q->n_deployed, slot);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		double *a = q->a + (size_t)slot[i] * I, *b = q->b + (size_t)slot[i] * O;

		memcpy(a, d.v + i * I, I * sizeof(*a));
		for (size_t o = 0; o < O; o++)
			b[o] = d.u[i * O + o] * (unit ? 1 : d.s[i]);
		if (unit)
			make_unit(I, a);
	}
	free(d.u);
	free(slot);
	return rc;
}

/* to = unit(from - (from.u) u), u of length 1 */
static void without(size_t n, const double *from, const double *u, double *to)
{
	double dot = 0;

	for (size_t i = 0; i < n; i++)
		dot += from[i] * u[i];
	for (size_t i = 0; i < n; i++)
		to[i] = from[i] - dot * u[i];
	make_unit(n, to);
}

int moe_begin_seeded(const struct moe_begin *q, int seed, struct moe_err *e)
{
	size_t I = (size_t)q->in, O = (size_t)q->out, next = 0;
	double *in = moe_alloc(I + O, sizeof(*in), e), *out = in ? in + I : NULL;
	struct directions d = { 0 };
	int rc = in ? find_directions(q, 0, NULL, &d, e) : -1;

	if (rc == 0)
		rc = moe_signed_direction(q->out, q->in, q->W, q->P, q->D, out, in, e);
	for (int i = 0; rc == 0 && i < q->n; i++) {
		double *a = q->a + (size_t)i * I, *b = q->b + (size_t)i * O;

		if (i == seed) {
			memcpy(a, in, I * sizeof(*a));
			memcpy(b, out, O * sizeof(*b));
			continue;
		}
		without(I, d.v + next * I, in, a);
		without(O, d.u + next * O, out, b);
		next++;
	}
	free(d.u);
	free(in);
	return rc;
}

/* ---- into A and B ---- */

struct begin_job {
	const struct moe_engine *g;
	const struct moe_input_contrast *c;
	struct moe_adapter *a;
	moe_begin_fn *fn;
	int *slot; /* [n] slot of R of each that trains, the deployed ones first */
	int *with; /* [n] its fixed one, or -1 */
	int n, n_deployed;
};

static void list_slots(struct begin_job *j)
{
	const struct moe_experts *x = &j->a->x;

	for (int quarantine = 0; quarantine < 2; quarantine++) {
		for (int e = 0; e < x->E; e++) {
			int live = x->rank[e] - x->fixed[e];

			if ((x->bank[e] == MOE_BANK_QUARANTINE) != quarantine)
				continue;
			for (int r = 0; r < live; r++) {
				j->slot[j->n] = x->first[e] + r;
				j->with[j->n++] = r < x->fixed[e] ? x->first[e] + live + r : -1;
			}
		}
		j->n_deployed = quarantine ? j->n_deployed : j->n;
	}
}

/* Slot `to` of the cell: row of A and column of B times sign. */
static void put_slot(
	const struct moe_adapter *a, const struct moe_begin *q, int i, int to, double sign)
{
	const struct moe_experts *x = &a->x;
	moe_real *A = x->param + moe_view_of(x, q->cell, MOE_ROLE_A)->off,
		 *B = x->param + moe_view_of(x, q->cell, MOE_ROLE_B)->off;

	for (int c = 0; c < q->in; c++)
		A[(size_t)to * (size_t)q->in + (size_t)c] =
			(moe_real)(float)q->a[(size_t)i * (size_t)q->in + (size_t)c];
	for (int o = 0; o < q->out; o++)
		B[(size_t)o * (size_t)x->R + (size_t)to] = (moe_real)(float)(sign *
			q->b[(size_t)i * (size_t)q->out + (size_t)o]);
}

static int begin_task(void *ctx, size_t cell, int worker, struct moe_err *e)
{
	struct begin_job *j = ctx;
	int layer = (int)cell / MOE_LINEARS, linear = (int)cell % MOE_LINEARS, rc = -1;
	struct moe_begin q = { .cell = cell, .n = j->n, .n_deployed = j->n_deployed };
	struct moe_arena arena = { 0 };
	const moe_real *w;
	double *W;

	(void)worker;
	if (!j->a->x.target[linear])
		return 0;
	moe_linear_shape(&j->g->m->config, (enum moe_linear)linear, &q.in, &q.out);
	if (j->c) {
		q.P = j->c->P;
		q.D = j->c->delta[layer * MOE_GROUPS + (int)moe_group_of((enum moe_linear)linear)];
	}
	q.W = W = moe_alloc((size_t)q.in * (size_t)q.out, sizeof(*W), e);
	q.a = moe_alloc((size_t)q.n * (size_t)q.in, sizeof(*q.a), e);
	q.b = moe_alloc((size_t)q.n * (size_t)q.out, sizeof(*q.b), e);
	if (W && q.a && q.b &&
		moe_weight_get(&j->g->m->layer[layer].w[linear], &arena, &w, e) == 0) {
		for (size_t i = 0; i < (size_t)q.in * (size_t)q.out; i++)
			W[i] = (double)w[i];
		rc = j->fn(j->a, &q, e);
	}
	for (int i = 0; rc == 0 && i < q.n; i++) {
		put_slot(j->a, &q, i, j->slot[i], 1);
		if (j->with[i] >= 0)
			put_slot(j->a, &q, i, j->with[i], -1);
	}
	moe_arena_free(&arena);
	free(W);
	free(q.a);
	free(q.b);
	return rc;
}

int moe_begin_at(const struct moe_engine *g, const struct moe_pairs *p, struct moe_adapter *a,
	moe_begin_fn *fn, struct moe_err *e)
{
	struct moe_input_contrast c = { 0 };
	struct begin_job j = { .g = g, .a = a, .fn = fn };
	int rc = -1;

	j.slot = moe_alloc(2 * (size_t)a->x.R, sizeof(*j.slot), e);
	if (j.slot && (!p || moe_input_contrast_make(&c, g, p, e) == 0)) {
		j.with = j.slot + a->x.R;
		j.c = p ? &c : NULL;
		list_slots(&j);
		rc = moe_pool_run(g->pool, (size_t)a->x.config.L * MOE_LINEARS, begin_task, &j, e);
	}
	moe_input_contrast_free(&c);
	free(j.slot);
	return rc;
}
