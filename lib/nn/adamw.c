/* adamw.c - the optimiser, gradient norms and learning-rate schedules. Knows no model. */
#include "nn/adamw.h"
#include "tensor/vec.h"
#include "util/mem.h"
#include "util/elementary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int moe_adamw_init(struct moe_adamw *o, size_t n, const struct moe_region *region, size_t n_region,
	int n_owner, struct moe_err *e)
{
	memset(o, 0, sizeof(*o));
	for (size_t i = 0; i < n_region; i++) {
		const struct moe_region *r = &region[i];

		if (r->rows == 0 || r->cols == 0 || r->ld < r->cols || r->owner < 0 ||
			r->owner >= n_owner || r->off >= n ||
			(r->rows - 1) * r->ld + r->cols > n - r->off)
			return moe_fail(e, MOE_USAGE,
				"region %zu of the optimiser lies outside of its %zu parameters", i,
				n);
	}
	o->beta1 = 0.9;
	o->beta2 = 0.999;
	o->eps = 1e-8;
	o->n = n;
	o->n_region = n_region;
	o->n_owner = n_owner;
	o->region = moe_alloc(n_region, sizeof(*o->region), e);
	o->m = o->region ? moe_alloc(n, sizeof(*o->m), e) : NULL;
	o->v = o->m ? moe_alloc(n, sizeof(*o->v), e) : NULL;
	o->step = o->v ? moe_alloc((size_t)n_owner, sizeof(*o->step), e) : NULL;
	o->frozen = o->step ? moe_alloc((size_t)n_owner, sizeof(*o->frozen), e) : NULL;
	if (!o->frozen) {
		moe_adamw_free(o);
		return -1;
	}
	memcpy(o->region, region, n_region * sizeof(*region));
	return 0;
}

void moe_adamw_free(struct moe_adamw *o)
{
	free(o->region);
	free(o->m);
	free(o->v);
	free(o->step);
	free(o->frozen);
	memset(o, 0, sizeof(*o));
}

struct coef {
	moe_real keep; /* lr wd */
	moe_real b1, c1, b2, c2, rate, root, eps;
};

/* AdamW without its decay (Loshchilov & Hutter 2019, algorithm 2), n numbers of one region:
 *
 *     m = b1 m + (1 - b1) g                 first moment
 *     v = b2 v + (1 - b2) h^2               second moment; h = g unless moments are split
 *     p -= lr m^ / (sqrt(v^) + eps)         m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)
 *
 * The corrections by t are in c->rate = lr / (1 - b1^t) and c->root = 1 / sqrt(1 - b2^t). */
static MOE_CLONES void update(size_t n, const struct coef *c, moe_real *restrict p,
	const moe_real *g, const moe_real *h, moe_real *restrict m, moe_real *restrict v)
{
	for (size_t i = 0; i < n; i++) {
		m[i] = c->b1 * m[i] + c->c1 * g[i];
		v[i] = c->b2 * v[i] + c->c2 * h[i] * h[i];
#ifdef MOE_REAL_F64
		p[i] -= c->rate * m[i] / (sqrt(v[i]) * c->root + c->eps);
#else
		p[i] -= c->rate * m[i] / (sqrtf(v[i]) * c->root + c->eps);
#endif
	}
}

/* Decoupled decay, before the update: p moves toward ref, or toward 0 where there is none. */
static MOE_CLONES void decay(
	size_t n, moe_real keep, moe_real *restrict p, const moe_real *restrict ref)
{
	if (ref)
		for (size_t i = 0; i < n; i++)
			p[i] -= keep * (p[i] - ref[i]);
	else
		for (size_t i = 0; i < n; i++)
			p[i] -= keep * p[i];
}

void moe_adamw_step(
	struct moe_adamw *o, moe_real *param, const moe_real *grad, const moe_real *ref, double lr)
{
	/* an owner that is frozen in this step keeps its moments and its clock */
	for (int i = 0; i < o->n_owner; i++)
		o->step[i] += !o->frozen[i];
	for (size_t k = 0; k < o->n_region; k++) {
		const struct moe_region *r = &o->region[k];
		double t = (double)o->step[r->owner], rate = lr * r->lr;
		struct coef c = { (moe_real)(rate * o->wd * r->decay), (moe_real)o->beta1,
			(moe_real)(1 - o->beta1), (moe_real)o->beta2, (moe_real)(1 - o->beta2),
			(moe_real)(rate / (1 - moe_pow(o->beta1, t))),
			(moe_real)(1 / sqrt(1 - moe_pow(o->beta2, t))), (moe_real)o->eps };

		if (o->frozen[r->owner])
			continue;
		/* rows of a region lie ld apart: those between belong to other owners */
		for (size_t i = 0; i < r->rows; i++) {
			size_t at = r->off + i * r->ld;

			if (c.keep != 0)
				decay(r->cols, c.keep, param + at, ref ? ref + at : NULL);
			update(r->cols, &c, param + at, grad + at,
				(o->second ? o->second : grad) + at, o->m + at, o->v + at);
		}
	}
}

double moe_adamw_norm(const struct moe_adamw *o, const moe_real *grad)
{
	double sum = 0;

	for (size_t k = 0; k < o->n_region; k++) {
		const struct moe_region *r = &o->region[k];

		for (size_t i = 0; !o->frozen[r->owner] && i < r->rows; i++)
			sum += moe_vec_sumsq(r->cols, grad + r->off + i * r->ld);
	}
	return sqrt(sum);
}

double moe_grad_norm(size_t n, const moe_real *g)
{
	return sqrt(moe_vec_sumsq(n, g));
}

double moe_grad_clip(size_t n, moe_real *g, double norm, double max)
{
	double factor = max > 0 ? max / (norm + 1e-6) : 1;

	if (!(factor < 1))
		return 1;
	moe_vec_scale(n, (moe_real)factor, g);
	return factor;
}

int moe_schedule_parse(const char *name, enum moe_schedule *out, struct moe_err *e)
{
	static const char *const names[] = { "constant", "linear", "cosine" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(name, names[i])) {
			*out = (enum moe_schedule)i;
			return 0;
		}
	return moe_fail(e, MOE_USAGE, "'%s' is not a schedule: constant, linear, cosine", name);
}

double moe_schedule_factor(enum moe_schedule s, uint64_t t, uint64_t total, uint64_t warmup)
{
	double done;

	if (t < warmup)
		return (double)(t + 1) / (double)warmup;
	if (s == MOE_CONSTANT || total <= warmup)
		return 1;
	if (t >= total)
		return 0;
	done = (double)(t - warmup) / (double)(total - warmup);
	return s == MOE_LINEAR ? 1 - done : 0.5 * (1 + moe_cos(3.14159265358979323846 * done));
}
