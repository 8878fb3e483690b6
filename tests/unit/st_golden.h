/* st_golden.h - golden values of whole models in safetensors: reading, and comparing. Include after
 * cmocka. */
#ifndef MOE_TESTS_ST_GOLDEN_H
#define MOE_TESTS_ST_GOLDEN_H

#include "formats/safetensors.h"
#include "model/experts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIR "tests/golden/"

static float *golden(const struct moe_st *st, const char *name, size_t n)
{
	const struct moe_st_tensor *t = moe_st_find(st, name);
	float *f = malloc((n + 1) * sizeof(*f));
	struct moe_err e;

	if (!t || t->bytes != 4 * n)
		fail_msg("the golden file has no '%s' of %zu values", name, n);
	assert_int_equal(moe_st_floats(t, 0, n, f, &e), 0);
	return f;
}

/* Largest difference over the largest golden value; fails above 2e-5. */
static double apart(const char *what, const float *got, const float *want, size_t n)
{
	double off = 0, scale = 0;

	for (size_t i = 0; i < n; i++) {
		off = fmax(off, fabs((double)got[i] - (double)want[i]));
		scale = fmax(scale, fabs((double)want[i]));
	}
	if (!(off <= 2e-5 * scale))
		fail_msg("%s: off by %.3g of %.3g", what, off, scale);
	return off / scale;
}

/* Parameters "param.VIEW" of all that is not state. */
static void golden_params(const struct moe_st *st, struct moe_experts *x)
{
	for (size_t i = 0; i < x->n_view; i++) {
		const struct moe_view *v = &x->view[i];
		char name[80];
		float *want;

		snprintf(name, sizeof(name), "param.%s", v->name);
		if (v->role == MOE_ROLE_STATE)
			continue;
		want = golden(st, name, v->n);
		memcpy(x->param + v->off, want, v->n * sizeof(*want));
		free(want);
	}
}

/* Gradients "PREFIX.VIEW" of the same, against dx [n_param]: the largest relative difference. */
static double golden_grads(const struct moe_st *st, const char *prefix, const struct moe_experts *x,
	const moe_real *dx)
{
	double far = 0;

	for (size_t i = 0; i < x->n_view; i++) {
		const struct moe_view *v = &x->view[i];
		char name[80];
		float *want;

		snprintf(name, sizeof(name), "%s.%s", prefix, v->name);
		if (v->role == MOE_ROLE_STATE)
			continue;
		want = golden(st, name, v->n);
		far = fmax(far, apart(name, dx + v->off, want, v->n));
		free(want);
	}
	return far;
}

#endif
